"""All measurements, in an order in which each finds what it needs."""

from collections.abc import Callable

from benches import appending, concurrency, life, reading, subscribing
from benches.peers import OURS
from benches.results import Result, judge
from benches.run import Run
from benches.targets import rows

STEPS: tuple[tuple[str, Callable[[Run], None]], ...] = (
    ("filling the stores", appending.fill),
    ("opening", life.open_stores),
    ("weighing", life.weigh),
    ("reading everything", reading.read_everything),
    ("reading by index", reading.read_by_index),
    # From here on the filled stores change.
    ("appending, one thread", appending.append_single),
    ("appending, many threads", concurrency.append_from_threads),
    ("appending, many tasks", concurrency.append_from_tasks),
    ("appending, many processes", concurrency.append_from_processes),
    ("bytes on disk", appending.append_for_size),
    ("subscription", subscribing.subscribe),
)


def measure(run: Run, say: Callable[[str], None]) -> list[Result]:
    """Measure everything, and judge it."""
    for title, step in STEPS:
        say(title)
        step(run)
    return judge(rows(run.history, run.settings), run.samples, OURS, run.history.events)
