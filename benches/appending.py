"""Rows about appending from one thread: bulk, single, through commands; and the bytes that it leaves."""

import os
import time
from collections.abc import Callable
from itertools import count, islice

from benches.limits import SyncLoop
from benches.machine import written_bytes
from benches.peers import OURS, OpenStore, Peer, stored_bytes
from benches.results import LIMIT, Latencies, Measured
from benches.run import Run
from benches.workload import PAYLOAD_BYTES, History, Stock, fresh_event

BATCH = 1000
FINER = 5
FASTEST = 100_000
"""More appends per second than these are not prepared for."""
Measure = Callable[[], Measured]


def fill(run: Run) -> None:
    """Fill the stores that later rows read, in batches, and take that for the bulk rows."""
    what = "filling the store"
    with run.opened(what, "filled") as stores:
        subjects = {name: filling(store, run.history, run.settings.rounds) for name, store in stores.items()}
        record = record_bytes(run, BATCH)
        with SyncLoop(run.directory / "limit", record, run.settings.seconds) as limit:
            subjects[LIMIT] = lambda: {"bulk": BATCH * limit.run(run.settings.seconds).per_second}
            run.interleave(what, subjects, patience=float("inf"))
        for name, store in stores.items():
            with run.attempt("settling", name):
                store.settle()
    # What is left to be written would be written while others are measured.
    os.sync()
    for name, peer in tuple(run.peers.items()):
        if len(run.samples["bulk"].get(name, ())) < run.settings.rounds:
            # Every other row would speak of a store that is not full.
            del run.peers[name]
            continue
        _sizes(run, name, peer, "filled", "disk.bulk", run.history.events)


def filling(store: OpenStore, history: History, parts: int) -> Measure:
    """Return what appends one part of a history after the other."""
    number = count()

    def measure() -> Measured:
        events = history.slice(next(number), parts)
        made = appended = 0.0
        total = 0
        while batch := list(islice(events, BATCH)):
            start = time.perf_counter()
            prepared = store.prepare(batch)
            between = time.perf_counter()
            store.append_batch(prepared)
            appended += time.perf_counter() - between
            made += between - start
            total += len(batch)
        return {"bulk": total / appended, "bulk.made": total / (made + appended)}

    return measure


def _sizes(run: Run, name: str, peer: Peer, store: str, key: str, events: int) -> None:
    path = run.path(name, store)
    sizes = {key: peer.used_bytes(path), f"{key}.stored": stored_bytes(path)}
    for row, size in sizes.items():
        subjects = run.samples.setdefault(row, {})
        subjects.setdefault(name, []).append(size / events)
        if name == OURS:
            subjects.setdefault(LIMIT, []).append(PAYLOAD_BYTES)


def record_bytes(run: Run, events: int) -> int:
    """Return how many bytes ours writes for one append: a conditional one, if it is of one event."""
    path, appends = run.path(OURS, "probe"), 10

    def used() -> int:
        with run.ours.open(path) as store:
            for _ in range(appends):
                if events == 1:
                    store.append_conditional(fresh_event(), store.head())
                else:
                    store.append_batch(store.prepare([fresh_event() for _ in range(events)]))
        return run.ours.used_bytes(path)

    first = used()
    second = used()
    run.remove(OURS, "probe")
    return (second - first) // appends


def append_single(run: Run) -> None:
    """Measure one thread: on an empty store, on a filled one, and through commands."""
    what = "appending, one thread"
    record = record_bytes(run, 1)
    with (
        SyncLoop(run.directory / "limit", record, run.settings.seconds) as limit,
        run.opened(what, "empty") as empty,
        run.opened(what, "filled") as filled,
    ):
        subjects: dict[str, Measure] = {}
        for name, store in empty.items():
            subjects[name] = _rate(run, "append", conditional(run.stock, store))
        subjects[LIMIT] = _rate(run, "append", limit.write)
        for name, store in filled.items():
            subjects[f"{name}:filled"] = _rate(run, "append.full", conditional(run.stock, store))
        for name, store in filled.items():
            subjects[f"{name}:command"] = _rate(run, "command", _commands(run, store), middle=False)
        # Many short samples: what is compared should be measured at the same time, and disks have moods.
        for _ in range(FINER):
            run.interleave(what, subjects)


def _rate(run: Run, key: str, call: Callable[[], object], *, middle: bool = True) -> Measure:
    seconds = run.settings.seconds / FINER

    def measure() -> Measured:
        run.stock.fill(seconds * FASTEST)
        latencies = Latencies.of(call, seconds)
        rate = {key: latencies.per_second}
        return rate | {f"{key}.p50": latencies.median} if middle else rate

    return measure


def conditional(stock: Stock, store: OpenStore) -> Callable[[], None]:
    """Return what appends one event after the head last seen, which is that of its last append."""
    head, take = store.head(), stock.take

    def append() -> None:
        nonlocal head
        head = store.append_conditional(take(), head)

    return append


def _commands(run: Run, store: OpenStore) -> Callable[[], int]:
    # Each order in turn: they grow by one event each round, for all stores alike.
    numbers = count()
    orders = run.history.orders
    return lambda: store.run_command(next(numbers) % orders)


def append_for_size(run: Run) -> None:
    """Measure what single conditional appends leave on the disk, and what they write to it on the way."""
    for _ in range(run.settings.rounds):
        for name, peer in run.peers.items():
            with run.attempt("bytes on disk", name):
                _append_singles(run, name, peer)
            run.remove(name, "single")


def _append_singles(run: Run, name: str, peer: Peer) -> None:
    singles = run.settings.singles
    run.stock.fill(singles)
    with peer.open(run.path(name, "single")) as store:
        append = conditional(run.stock, store)
        append()
        before = written_bytes(run.directory)
        for _ in range(singles - 1):
            append()
        after = written_bytes(run.directory)
    if before is not None and after is not None:
        samples = run.samples.setdefault("disk.written", {})
        samples.setdefault(name, []).append((after - before) / (singles - 1))
    _sizes(run, name, peer, "single", "disk.single", singles)
