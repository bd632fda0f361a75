"""The demo: thousands of students fight for seats, and the log alone must prove that no rule was broken.

    python -m examples.demo [directory]

Many threads run `course_subscriptions` against one durable store. Courses come into fashion one after another
and have too few seats, so that the rules refuse and commands conflict. At the end the store is opened anew
and replayed: whatever the threads believe they did, only what is in the log counts. Exits with 1 if a rule
was broken.
"""

import argparse
import random
import re
import statistics
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import counterpoint as cp
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from examples.course_subscriptions import (
    MAX_COURSES,
    CourseOffered,
    OfferCourse,
    StudentSubscribed,
    SubscribeStudent,
    SubscriptionError,
)

STUDENTS = 4_000
COURSES = 1_200
SEATS = range(5, 20)
REQUESTS = 40_000
THREADS = 32
FASHION = 8
"""So many courses are in fashion at a time."""

MARK = "examples.demo"
"""The cursor by which the demo knows a store that it made."""

FILES = re.compile(
    r"\d{20}\.log|cursors|marks|(append|cursors|index|members|prepare|sync)\.lock|next\.ready|next-\w+\.tmp|cursors\.tmp"
)
"""The names of all files that a store can have."""

SECONDS = 20.0
"""When the time is up, the requests that are left are not made."""

Request = Callable[[int, random.Random], cp.Command]
"""Makes the command for a request, given its number from 0."""

console = Console(highlight=False)


class Attempts:
    """Counts how often a command was run. Itself a command, as any object with `run(ra)` is."""

    def __init__(self, command: cp.Command) -> None:
        self.command = command
        self.count = 0

    def run(self, ra: cp.ReadAppender) -> int:
        self.count += 1
        position: int = self.command.run(ra)
        return position


class Rush:
    """Requests that many threads share out and run; and what became of them."""

    def __init__(self, store: cp.Store, total: int, request: Request) -> None:
        self.runner = cp.CommandRunner(store, max_attempts=1_000)
        self.total = total
        self.request = request
        self.done = 0
        self.accepted: list[int] = []
        self.latencies: list[float] = []
        self.refused: Counter[str] = Counter()
        self.conflicts = 0
        self.started = time.perf_counter()
        self.seconds = 0.0
        self.finished = False
        self._stopped = False
        self._lock = threading.Lock()

    def run(self) -> Iterator[None]:
        """Runs all requests; yields now and then, and at the end, so that the caller can show progress."""
        with ThreadPoolExecutor(THREADS) as pool:
            try:
                threads = [pool.submit(self._work, random.Random(seed)) for seed in range(THREADS)]
                while not self.finished:
                    self.finished = not wait(threads, timeout=0.1).not_done
                    self.seconds = time.perf_counter() - self.started
                    yield
            finally:
                self._stopped = True
        for thread in threads:
            thread.result()

    def _work(self, rng: random.Random) -> None:
        while not self._stopped and time.perf_counter() - self.started < SECONDS:
            with self._lock:
                number = self.done
                if number == self.total:
                    return
                self.done += 1
            self._run_one(Attempts(self.request(number, rng)))

    def _run_one(self, command: Attempts) -> None:
        started = time.perf_counter()
        try:
            position, refusal = self.runner.run(command), None
        except SubscriptionError as error:
            position, refusal = 0, type(error).__name__
        latency = time.perf_counter() - started
        with self._lock:
            self.conflicts += command.count - 1
            if refusal:
                self.refused[refusal] += 1
            else:
                self.accepted.append(position)
                self.latencies.append(latency)


def offer(number: int, rng: random.Random) -> OfferCourse:
    """Every course is offered once."""
    return OfferCourse(f"course-{number}", rng.choice(SEATS))


def subscription(number: int, rng: random.Random) -> SubscribeStudent:
    """A student wants a seat, mostly in one of the few courses that are in fashion just now."""
    if rng.random() < 0.8:
        course = (number * COURSES // REQUESTS + rng.randrange(FASHION)) % COURSES
    else:
        course = rng.randrange(COURSES)
    return SubscribeStudent(f"student-{rng.randrange(STUDENTS)}", f"course-{course}")


def show(title: str, rush: Rush) -> None:
    """Runs the rush under a live display, or with a plain line now and then where there is no terminal."""

    def figures() -> str:
        accepted, refused, rate = len(rush.accepted), rush.refused.total(), len(rush.accepted) / rush.seconds
        return f"accepted {accepted:,}  refused {refused:,}  conflicts {rush.conflicts:,}  {rate:,.0f}/s"

    def frame() -> Group:
        bar = Table.grid(padding=(0, 1))
        done = f"{rush.done:,} of {rush.total:,}"
        bar.add_row(f"[bold]{title}", ProgressBar(rush.total, rush.done, width=40), done)
        return Group(bar, figures())

    if console.is_terminal:
        with Live(console=console) as live:
            for _ in rush.run():
                live.update(frame())
    else:
        next_line = 0.0
        for _ in rush.run():
            if rush.seconds >= next_line or rush.finished:
                console.print(f"{title}: {rush.done:,} of {rush.total:,}  {figures()}", soft_wrap=True)
                next_line = rush.seconds + 2


def broken_rules(store: cp.Store, acknowledged: list[int]) -> list[str]:
    """Replays the log and returns what is wrong with it. It must hold every `acknowledged` position."""
    seats: dict[str, int] = {}
    students: defaultdict[str, set[str]] = defaultdict(set)
    courses: defaultdict[str, set[str]] = defaultdict(set)
    broken, missing = [], set(acknowledged)
    for envelope in cp.ReadAppender(store).read_events(cp.Query.all()):
        missing.discard(envelope.position)
        match envelope.event:
            case CourseOffered(course_id=course, capacity=capacity):
                if course in seats:
                    broken.append(f"{course} is offered twice")
                seats[course] = capacity
            case StudentSubscribed(student_id=student, course_id=course):
                if student in students[course]:
                    broken.append(f"{student} has two seats in {course}")
                students[course].add(student)
                courses[student].add(course)
                if len(students[course]) > seats.get(course, 0):
                    broken.append(f"{course} is overbooked at position {envelope.position}")
                if len(courses[student]) > MAX_COURSES:
                    broken.append(f"{student} takes too many courses at position {envelope.position}")
    return broken + [
        f"position {position} was acknowledged and is not in the log" for position in sorted(missing)
    ]


def report(rush: Rush) -> Table:
    """The figures of the fight."""
    table = Table(title="The fight for seats", show_header=False, title_justify="left")
    table.add_column()
    table.add_column(justify="right")
    table.add_row("requests", f"{rush.done:,} by {THREADS} threads")
    table.add_row("accepted", f"{len(rush.accepted):,}")
    for reason, count in rush.refused.most_common():
        table.add_row(f"refused: {reason}", f"{count:,}")
    table.add_row("conflicts, retried", f"{rush.conflicts:,}")
    table.add_row("attempts/s", f"{(rush.done + rush.conflicts) / rush.seconds:,.0f}")
    table.add_row("appends/s, each durable", f"{len(rush.accepted) / rush.seconds:,.0f}")
    if len(rush.latencies) > 1:
        percentiles = statistics.quantiles(rush.latencies, n=100)
        table.add_row("latency p50 of accepted, with retries", f"{percentiles[49] * 1000:.1f} ms")
        table.add_row("latency p99 of accepted, with retries", f"{percentiles[98] * 1000:.1f} ms")
    return table


def clear(directory: Path) -> None:
    """Removes what an earlier demo left. Raises ValueError, and removes nothing, if it is anything else."""
    if not directory.exists():
        return
    files = sorted(directory.iterdir())
    if not files:
        return
    for file in files:
        if file.is_symlink() or not file.is_file() or not FILES.fullmatch(file.name):
            raise ValueError(f"{file} is no file of a store: name another directory")
    if not (directory / "00000000000000000001.log").exists():
        raise ValueError(f"{directory} is not a store: name another directory")
    ours = {"CourseOffered", "StudentSubscribed"}
    with cp.open(directory, exclusive=True) as store:
        if not store.get_cursor(MARK) or any(event.type not in ours for event in store.read()):
            raise ValueError(
                f"{directory} is a store that is not this demo's alone: remove it, or name another directory"
            )
    # One by one: what came since it was looked at is not removed.
    for file in files:
        file.unlink(missing_ok=True)


def interpreter() -> str:
    """How to call the Python that runs this, from the working directory if it is below."""
    python, here = Path(sys.executable), Path.cwd()
    return str(python.relative_to(here) if python.is_relative_to(here) else python)


def run(directory: Path) -> int:
    """Runs the demo on a store directory, which it makes anew; the exit code."""
    try:
        clear(directory)
    except (ValueError, OSError, cp.Error) as error:
        console.print(str(error), style="red", markup=False)
        return 2
    with cp.open(directory) as store:
        store.set_cursor(MARK, 1)
        offering = Rush(store, COURSES, offer)
        show("courses", offering)
        fight = Rush(store, REQUESTS, subscription)
        show("students", fight)
    with cp.open(directory) as store:
        broken = broken_rules(store, offering.accepted + fight.accepted)
        events = store.head()
    console.print(report(fight))
    console.print(f"\nReplayed {events:,} events of the store, opened anew:")
    for line in broken[:10]:
        console.print(f"  [red]{line}")
    if not broken:
        console.print(f"  [green]no course is overbooked, no student takes more than {MAX_COURSES} courses,")
        console.print("  [green]and every event that was acknowledged is there")
    console.print(f"\nThe store is yours. Open it with {interpreter()}:\n", markup=False, soft_wrap=True)
    for line in (
        "import counterpoint as cp",
        f"store = cp.open({str(directory)!r})",
        'print(*store.read(cp.Query().add_item(tags=["course:course-0"])), sep="\\n")',
    ):
        console.print(f"    {line}", markup=False, soft_wrap=True)
    return 1 if broken else 0


def main(arguments: list[str] | None = None) -> int:
    """Runs the demo as the command line says; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.demo",
        description="Thousands of students fight for seats, and the log must prove that no rule was broken.",
    )
    parser.add_argument(
        "directory",
        nargs="?",
        default=".demo",
        type=Path,
        help="where to make the store, by default %(default)s; one that an earlier demo made is replaced",
    )
    try:
        return run(parser.parse_args(arguments).directory)
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
