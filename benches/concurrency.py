"""Rows about appending from many threads, asyncio tasks and processes."""

import asyncio
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial

from benches.appending import FASTEST, conditional
from benches.family import Child
from benches.peers import OpenStore
from benches.results import Measured
from benches.run import Run
from benches.workload import fresh_event

STARTED_SECONDS = 60.0
"""Starting processes takes its time, which is not what is measured."""


def append_from_threads(run: Run) -> None:
    """Measure many threads that append to one store."""
    with run.opened("appending, many threads", "empty") as stores:
        for threads in run.settings.threads:
            run.interleave(
                f"{threads} threads",
                {name: partial(_crowd, run, store, threads) for name, store in stores.items()},
            )


def _crowd(run: Run, store: OpenStore, threads: int) -> Measured:
    seconds = run.settings.seconds
    run.stock.fill(seconds * FASTEST)
    done = [0] * threads
    failures: list[BaseException] = []
    ready = threading.Barrier(threads + 1)
    end = float("inf")

    def work(index: int) -> None:
        try:
            append = conditional(run.stock, store)
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


def append_from_tasks(run: Run) -> None:
    """Measure many asyncio tasks of one thread that append to one store."""
    tasks = run.settings.tasks
    what = f"{tasks:,} asyncio tasks"
    with run.opened(what, "empty") as stores:
        run.interleave(what, {name: _tasks(run, store) for name, store in stores.items()})


def _tasks(run: Run, store: OpenStore) -> Callable[[], Measured]:
    def measure() -> Measured:
        run.stock.fill(run.settings.seconds * FASTEST)
        return {"append.tasks": asyncio.run(_gather(run, store))}

    return measure


async def _gather(run: Run, store: OpenStore) -> float:
    done, take = 0, run.stock.take
    # Alone, so that a store that cannot says so once and not a thousand times.
    first = await store.append_async(take(), store.head())
    start = time.perf_counter()
    end = start + run.settings.seconds

    async def work() -> None:
        nonlocal done
        head = first
        while time.perf_counter() < end:
            head = await store.append_async(take(), head)
            done += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(run.settings.tasks):
            group.create_task(work())
    return done / (time.perf_counter() - start)


def append_from_processes(run: Run) -> None:
    """Measure processes, with one thread each, that append to one store."""
    able = list(run.peers)
    for processes in run.settings.processes:
        run.interleave(
            f"processes, {processes} at once",
            {name: partial(_processes, run, name, processes) for name in able},
            patience=STARTED_SECONDS,
        )
        # A store that fails with so many does not do better with more.
        able = [name for name in able if name in run.samples.get(f"append.processes.{processes}", ())]


def _processes(run: Run, name: str, processes: int) -> Measured:
    peer, path = run.peers[name], run.path(name, "shared")
    # No store is open here: with an embedded one, one process is to be alone.
    if not path.exists():
        # With an event: a server that is stopped before it has one may not have made its files yet.
        with peer.open(path) as store:
            store.append_conditional(fresh_event(), 0)
    with ExitStack() as stack:
        stack.enter_context(peer.serve(path))
        children = [
            stack.enter_context(Child("append", name, path, str(run.settings.seconds)))
            for _ in range(processes)
        ]
        for child in children:
            child.ready()
        start = time.perf_counter()
        for child in children:
            child.go()
        ends = [child.result() for child in children]
    finished = max(end["end"] for end in ends)
    return {f"append.processes.{processes}": sum(end["appends"] for end in ends) / (finished - start)}
