"""Rows about reading: everything, and by index."""

import random
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import cycle

from benches.limits import copied_bytes_per_second
from benches.peers import OURS, OpenStore
from benches.results import LIMIT, Latencies, Measured
from benches.run import Run
from benches.workload import PER_ORDER, RARE_TYPE, order_tag

ORDERS = 5000


def read_everything(run: Run) -> None:
    """Measure full reads, and how soon they begin."""
    per_event = run.samples["disk.bulk"][OURS][0]

    def copy() -> Measured:
        rate = copied_bytes_per_second() / per_event
        return {"replay": rate, "replay.fields": rate}

    with run.opened("full read", "filled") as stores:
        plain, fields = dict[str, Callable[[], Measured]](), dict[str, Callable[[], Measured]]()
        for name, store in stores.items():
            plain[name] = _replaying("replay", store, store.replay)
            fields[f"{name}:fields"] = _replaying("replay.fields", store, store.replay_fields)
            fields[f"{name}:first"] = measure_reads("replay.first", store.first, run.settings.seconds / 5)
        run.interleave("full read", plain | {LIMIT: copy} | fields)


def _replaying(key: str, store: OpenStore, replay: Callable[[], None]) -> Callable[[], Measured]:
    events = store.head()

    def measure() -> Measured:
        start = time.perf_counter()
        replay()
        return {key: events / (time.perf_counter() - start)}

    return measure


def measure_reads(key: str, read: Callable[[], object], seconds: float) -> Callable[[], Measured]:
    """Return what reads again and again for so long; the read in the middle, in microseconds."""
    return lambda: {key: Latencies.of(read, seconds).median}


def read_by_index(run: Run) -> None:
    """Measure selective reads, on caches that are warm but not of one event only.

    Ours are measured twice: for the first time, and read again, when small answers are still known.
    """
    history = run.history
    # Made in advance, and many, so that not only the caches' favourites are read.
    orders = cycle([order_tag(random.randrange(history.orders)) for _ in range(ORDERS)])
    with (
        run.opened("selective reads", "filled") as stores,
        run.ours.open_uncached(run.path(OURS, "filled")) as uncached,
    ):
        reads: tuple[tuple[str, str, int, Callable[[OpenStore], Sequence[object]]], ...] = (
            ("one tag", "one_tag", PER_ORDER, lambda store: store.read(tags=[next(orders)])),
            ("two tags", "two_tags", PER_ORDER, lambda store: store.read(tags=history.both)),
            ("type only", "type", PER_ORDER, lambda store: store.read(types=[RARE_TYPE])),
            ("last event of a tag", "last", 1, lambda store: store.read(tags=[next(orders)], last=True)),
        )
        for what, key, expected, read in reads:
            subjects = {
                name: _checked(run, f"{key}.again", partial(read, store), expected)
                for name, store in stores.items()
            }
            subjects[f"{OURS}:first"] = _checked(run, key, partial(read, uncached), expected)
            run.interleave(what, subjects)
            count_others_twice(run, key)


def count_others_twice(run: Run, key: str) -> None:
    """Take what others need to read again for what they need for the first time: they have no such choice."""
    again = run.samples[f"{key}.again"]
    run.samples[key].update({name: samples for name, samples in again.items() if name != OURS})


def _checked(
    run: Run, key: str, read: Callable[[], Sequence[object]], expected: int
) -> Callable[[], Measured]:
    measure_these = measure_reads(key, read, run.settings.seconds / 2)

    def measure() -> Measured:
        found = len(read())
        if found != expected:
            raise AssertionError(f"{found} events were found and not {expected}")
        return measure_these()

    return measure
