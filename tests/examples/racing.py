"""Races for the examples: the same jobs at once, in threads on one store, or in processes that all have it
open.

Everybody has decided before anybody appends. So it does not take luck for the decisions to overlap: without
a guard, every racer wins, every time. A job is called with a store. For processes it must be picklable, and
so must be what it returns or raises.
"""

import multiprocessing
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from threading import Barrier
from typing import Any, Protocol

import counterpoint as cp

from tests.racing import race

Job = Callable[[Any], Any]

PROCESSES = 4
PATIENCE = 60.0
"""Seconds until a racer who is waited for counts as hung: it turns a hang into a failure."""

OFTEN = 1e-5
"""By default a thread keeps the interpreter for 5 ms, time for a hundred commands that meet nobody."""


class Race(Protocol):
    """Where a race takes place."""

    def alone(self, job: Job) -> Any:
        """Does one job before or after the race, and returns what it returns."""

    def at_once(self, jobs: Sequence[Job]) -> list[Any]:
        """Does all jobs at once; what each of them returned, or the exception that it raised, in order."""


class ThreadRace:
    """One thread for each job, all on one store."""

    def __init__(self, store: cp.EmbeddedStore) -> None:
        self._store = store

    def alone(self, job: Job) -> Any:
        return job(self._store)

    def at_once(self, jobs: Sequence[Job]) -> list[Any]:
        return _race(self._store, jobs, Barrier(len(jobs)))


class ProcessRace:
    """A few processes that share out the jobs. Each has the store open, and a thread for each of its jobs."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def alone(self, job: Job) -> Any:
        with cp.open(self._path) as store:
            return job(store)

    def at_once(self, jobs: Sequence[Job]) -> list[Any]:
        processes = min(PROCESSES, len(jobs))
        context = multiprocessing.get_context("spawn")
        meeting = context.Barrier(processes)
        shares = [jobs[first::processes] for first in range(processes)]
        results: list[Any] = [None] * len(jobs)
        with ProcessPoolExecutor(processes, context, initializer=_prepare, initargs=(meeting,)) as pool:
            for first, share in enumerate(pool.map(_do_share, [self._path] * processes, shares)):
                results[first::processes] = share
        return results


class GatedStore:
    """One racer's view of the store: waits at the gate before its first append, or at the end without one."""

    def __init__(self, store: cp.EmbeddedStore, gate: Barrier) -> None:
        self._store = store
        self._gate: Barrier | None = gate

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def append(self, *args: Any) -> int:
        self.pass_gate()
        return self._store.append(*args)

    def pass_gate(self) -> None:
        gate, self._gate = self._gate, None
        if gate:
            gate.wait(PATIENCE)


def _race(store: cp.EmbeddedStore, jobs: Sequence[Job], gate: Barrier) -> list[Any]:
    def racer(job: Job) -> Any:
        gated = GatedStore(store, gate)
        try:
            return job(gated)
        except Exception as error:
            return error
        finally:
            gated.pass_gate()

    return race([partial(racer, job) for job in jobs])


# In the processes.

_meetings: list[Any] = []


def _prepare(meeting: Any) -> None:
    _meetings.append(meeting)
    sys.setswitchinterval(OFTEN)


def _do_share(path: Path, share: Sequence[Job]) -> list[Any]:
    [meeting] = _meetings
    with cp.open(path) as store:
        # Who is last at the gate of this process waits for the other processes before opening it.
        return _race(store, share, Barrier(len(share), action=partial(meeting.wait, PATIENCE)))
