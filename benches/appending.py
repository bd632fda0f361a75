"""Rows about appending: bulk, single, from many threads, and commands."""

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from itertools import count, islice

from benches.limits import SyncLoop
from benches.machine import written_bytes
from benches.peers import OURS, OpenStore, Peer, stored_bytes
from benches.results import LIMIT, Latencies, Measured, interleave
from benches.run import Run
from benches.workload import PAYLOAD_BYTES, fresh_event

BATCH = 1000
FINER = 5
FASTEST = 100_000
"""More appends per second than these are not prepared for."""
Measure = Callable[[], Measured]


def fill(run: Run) -> None:
    """Fill the stores that later rows read, in batches, and take that for the bulk rows."""
    with ExitStack() as stack:
        subjects: dict[str, Measure] = {}
        for name, peer in run.peers.items():
            store = stack.enter_context(peer.open(run.path(name, "filled")))
            subjects[name] = _filling(run, store)
        record = record_bytes(run, BATCH)
        limit = stack.enter_context(SyncLoop(run.directory / "limit", record, run.settings.seconds))
        subjects[LIMIT] = lambda: {"bulk": BATCH * limit.run(run.settings.seconds).per_second}
        interleave(run.settings.rounds, subjects, run.samples)
    for name, peer in run.peers.items():
        _sizes(run, name, peer, "filled", "disk.bulk", run.history.events)


def _filling(run: Run, store: OpenStore) -> Measure:
    parts = count()

    def measure() -> Measured:
        events = run.history.slice(next(parts), run.settings.rounds)
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
    with ExitStack() as stack:
        limit = stack.enter_context(
            SyncLoop(run.directory / "limit", record_bytes(run, 1), run.settings.seconds)
        )
        empty, filled, commands = dict[str, Measure](), dict[str, Measure](), dict[str, Measure]()
        for name, peer in run.peers.items():
            store = stack.enter_context(peer.open(run.path(name, "empty")))
            empty[name] = _rate(run, "append", _conditional(run, store))
            store = stack.enter_context(peer.open(run.path(name, "filled")))
            filled[f"{name}:filled"] = _rate(run, "append.full", _conditional(run, store))
            commands[f"{name}:command"] = _rate(run, "command", _commands(run, store), middle=False)
        empty[LIMIT] = _rate(run, "append", limit.write)
        interleave(run.settings.rounds * FINER, empty | filled | commands, run.samples)


def _rate(run: Run, key: str, call: Callable[[], object], *, middle: bool = True) -> Measure:
    # Many short samples: what is compared should be measured at the same time, and disks have moods.
    seconds = run.settings.seconds / FINER

    def measure() -> Measured:
        run.stock.fill(seconds * FASTEST)
        latencies = Latencies.of(call, seconds)
        rate = {key: latencies.per_second}
        return rate | {f"{key}.p50": latencies.median} if middle else rate

    return measure


def _conditional(run: Run, store: OpenStore) -> Callable[[], None]:
    """Return what appends one event after the head last seen, which is that of its last append."""
    head, take = store.head(), run.stock.take

    def append() -> None:
        nonlocal head
        head = store.append_conditional(take(), head)

    return append


def _commands(run: Run, store: OpenStore) -> Callable[[], int]:
    # Each order in turn: they grow by one event each round, for all stores alike.
    numbers = count()
    orders = run.history.orders
    return lambda: store.run_command(next(numbers) % orders)


def append_from_threads(run: Run) -> None:
    """Measure many threads that append to one store."""
    with ExitStack() as stack:
        stores = {
            name: stack.enter_context(peer.open(run.path(name, "empty"))) for name, peer in run.peers.items()
        }
        for threads in run.settings.threads:
            interleave(
                run.settings.rounds,
                {name: _crowd(run, store, threads) for name, store in stores.items()},
                run.samples,
            )


def _crowd(run: Run, store: OpenStore, threads: int) -> Measure:
    seconds = run.settings.seconds

    def measure() -> Measured:
        run.stock.fill(seconds * FASTEST)
        done = [0] * threads
        failures: list[BaseException] = []
        ready = threading.Barrier(threads + 1)
        end = float("inf")

        def work(index: int) -> None:
            try:
                append = _conditional(run, store)
                ready.wait()
                ready.wait()
                while time.perf_counter() < end:
                    append()
                    done[index] += 1
            except BaseException as error:
                failures.append(error)
                ready.abort()
            finally:
                store.leave()

        workers = [threading.Thread(target=work, args=(index,)) for index in range(threads)]
        for worker in workers:
            worker.start()
        with suppress(threading.BrokenBarrierError):
            ready.wait()
            end = time.perf_counter() + seconds
            ready.wait()
        start = end - seconds
        for worker in workers:
            worker.join()
        if failures:
            raise failures[0]
        return {f"append.{threads}": sum(done) / (time.perf_counter() - start)}

    return measure


def append_for_size(run: Run) -> None:
    """Measure what single conditional appends leave on the disk, and what they write to it on the way."""
    singles = run.settings.singles
    for _ in range(run.settings.rounds):
        for name, peer in run.peers.items():
            run.stock.fill(singles)
            with peer.open(run.path(name, "single")) as store:
                append = _conditional(run, store)
                append()
                before = written_bytes(run.directory)
                for _ in range(singles - 1):
                    append()
                after = written_bytes(run.directory)
            if before is not None and after is not None:
                samples = run.samples.setdefault("disk.written", {})
                samples.setdefault(name, []).append((after - before) / (singles - 1))
            _sizes(run, name, peer, "single", "disk.single", singles)
            run.remove(name, "single")
