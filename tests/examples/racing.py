"""Races for the examples: the same jobs at once in threads on one store, or in processes that fight for it.

A job is called with a store. For processes it must be picklable, and so must be what it returns or raises.
"""

import multiprocessing
import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from threading import Barrier, Condition
from typing import Any, Protocol

import counterpoint as cp

from tests.racing import race

Job = Callable[[Any], Any]

PROCESSES = 4
PATIENCE = 60.0
"""Seconds until a racer that does not get the store counts as hung: it turns a hang into a failure."""

TURN = 0.002
"""Seconds that a process lets the store alone after a job, so that the others get in between."""


class Race(Protocol):
    """Where a race takes place."""

    def alone(self, job: Job) -> Any:
        """Does one job before or after the race, and returns what it returns."""

    def at_once(self, jobs: Sequence[Job]) -> list[Any]:
        """Does all jobs at once; what each of them returned, or the exception that it raised, in order."""


class ThreadRace:
    """One thread for each job, all on one store. Everybody has decided before anybody appends.

    So it does not take luck for the decisions to overlap: without a guard, every racer wins, every time.
    """

    def __init__(self, store: cp.EmbeddedStore) -> None:
        self._store = store

    def alone(self, job: Job) -> Any:
        return job(self._store)

    def at_once(self, jobs: Sequence[Job]) -> list[Any]:
        gate = Gate(len(jobs))

        def racer(job: Job) -> Any:
            store = GatedStore(self._store, gate)
            try:
                return outcome(job, store)
            finally:
                store.pass_gate()

        return race([partial(racer, job) for job in jobs])


class Gate:
    """Opens once everybody is there."""

    def __init__(self, racers: int) -> None:
        self._missing = racers
        self._changed = Condition()

    def arrive(self) -> None:
        with self._changed:
            self._missing -= 1
            self._changed.notify_all()

    def wait(self) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self._missing <= 0, PATIENCE)


class GatedStore:
    """One racer's view of the store: waits at the gate before its first append, or at the end without one."""

    def __init__(self, store: cp.EmbeddedStore, gate: Gate) -> None:
        self._store = store
        self._gate: Gate | None = gate

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def append(self, *args: Any) -> int:
        self.pass_gate()
        return self._store.append(*args)

    def pass_gate(self) -> None:
        gate, self._gate = self._gate, None
        if gate:
            gate.arrive()
            gate.wait()


class ProcessRace:
    """A few processes that share out the jobs; each opens the store for each job, as soon as it is let in."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def alone(self, job: Job) -> Any:
        with let_in(self._path) as store:
            return job(store)

    def at_once(self, jobs: Sequence[Job]) -> list[Any]:
        context = multiprocessing.get_context("spawn")
        start = context.Barrier(PROCESSES)
        shares = [jobs[first::PROCESSES] for first in range(PROCESSES)]
        results: list[Any] = [None] * len(jobs)
        with ProcessPoolExecutor(PROCESSES, context, initializer=_wait_for_all, initargs=(start,)) as pool:
            for first, share in enumerate(pool.map(_do_share, [self._path] * PROCESSES, shares)):
                results[first::PROCESSES] = share
        return results


def outcome(job: Job, store: Any) -> Any:
    """What the job returns, or the exception that it raises."""
    try:
        return job(store)
    except Exception as error:
        return error


def let_in(path: Path) -> cp.EmbeddedStore:
    """Opens a store that other processes hold now and then: tries again until they let go."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return cp.open(path)
        except cp.StoreLocked:
            if time.monotonic() > deadline:
                raise
            time.sleep(random.uniform(0, TURN / 2))


def _wait_for_all(start: Barrier) -> None:
    start.wait(PATIENCE)


def _do_share(path: Path, share: Sequence[Job]) -> list[Any]:
    results = []
    for job in share:
        with let_in(path) as store:
            results.append(outcome(job, store))
        time.sleep(TURN)
    return results
