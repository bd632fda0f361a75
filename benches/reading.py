"""Rows about reading: everything, by index, and as it comes."""

import random
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import cycle

from benches.limits import copied_bytes_per_second
from benches.peers import OURS, OpenStore
from benches.results import LIMIT, Latencies, Measured, interleave
from benches.run import Run
from benches.workload import PER_ORDER, RARE_TYPE, fresh_event, order_tag

ORDERS = 5000
PAUSE_SECONDS = 0.002
"""Between two appends, so that the subscriber waits again before each."""


def read_everything(run: Run) -> None:
    """Measure full reads, and how soon they begin."""
    per_event = run.samples["disk.bulk"][OURS][0]

    def copy() -> Measured:
        rate = copied_bytes_per_second() / per_event
        return {"replay": rate, "replay.fields": rate}

    with ExitStack() as stack:
        plain, fields = dict[str, Callable[[], Measured]](), dict[str, Callable[[], Measured]]()
        for name, peer in run.peers.items():
            store = stack.enter_context(peer.open(run.path(name, "filled")))
            plain[name] = _replaying("replay", store, store.replay)
            fields[f"{name}:fields"] = _replaying("replay.fields", store, store.replay_fields)
            fields[f"{name}:first"] = _reading("replay.first", store.first, run.settings.seconds / 5)
        interleave(run.settings.rounds, plain | {LIMIT: copy} | fields, run.samples)


def _replaying(key: str, store: OpenStore, replay: Callable[[], None]) -> Callable[[], Measured]:
    events = store.head()

    def measure() -> Measured:
        start = time.perf_counter()
        replay()
        return {key: events / (time.perf_counter() - start)}

    return measure


def _reading(key: str, read: Callable[[], object], seconds: float) -> Callable[[], Measured]:
    return lambda: {key: Latencies.of(read, seconds).median}


def read_by_index(run: Run) -> None:
    """Measure selective reads, on caches that are warm but not of one event only."""
    history = run.history
    # Made in advance, and many, so that not only the caches' favourites are read.
    orders = cycle([order_tag(random.randrange(history.orders)) for _ in range(ORDERS)])
    with ExitStack() as stack:
        stores = {
            name: stack.enter_context(peer.open(run.path(name, "filled"))) for name, peer in run.peers.items()
        }
        reads: tuple[tuple[str, int, Callable[[OpenStore], Sequence[object]]], ...] = (
            ("one_tag", PER_ORDER, lambda store: store.read(tags=[next(orders)])),
            ("two_tags", PER_ORDER, lambda store: store.read(tags=history.both)),
            ("type", PER_ORDER, lambda store: store.read(types=[RARE_TYPE])),
            ("last", 1, lambda store: store.read(tags=[next(orders)], last=True)),
        )
        for key, expected, read in reads:
            subjects = {}
            for name, store in stores.items():
                found = len(read(store))
                if found != expected:
                    raise AssertionError(f"{name} found {found} events and not {expected} for {key}")
                subjects[name] = _reading(key, partial(read, store), run.settings.seconds / 2)
            interleave(run.settings.rounds, subjects, run.samples)


def subscribe(run: Run) -> None:
    """Measure how long after an acknowledgement a thread that waits in a subscription has the event."""
    appends = max(3, int(run.settings.seconds * 400))
    for name, peer in run.peers.items():
        with peer.open(run.path(name, "empty")) as store:
            events = store.subscribe(store.head())
            if events is None:
                continue
            for _ in range(run.settings.rounds):
                delay = _delay(store, events, appends)
                run.samples.setdefault("subscription", {}).setdefault(name, []).append(delay)


def _delay(store: OpenStore, events: Iterator[object], appends: int) -> float:
    """Return the microseconds of the delay in the middle; negative if the event comes before the answer."""
    received: list[int] = []
    acknowledged: list[int] = []

    def receive() -> None:
        for _ in range(appends):
            next(events)
            received.append(time.perf_counter_ns())

    receiver = threading.Thread(target=receive, daemon=True)
    receiver.start()
    for _ in range(appends):
        time.sleep(PAUSE_SECONDS)
        store.append_conditional(fresh_event(), store.head())
        acknowledged.append(time.perf_counter_ns())
    receiver.join()
    delays = [after - before for before, after in zip(acknowledged, received, strict=True)]
    return statistics.median(delays) / 1000
