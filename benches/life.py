"""Rows about a store's life: opening it, after a clean end and after none, and the memory it takes."""

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path

from benches.family import run_child
from benches.peers import Peer
from benches.results import Measured
from benches.run import Run

WEIGHED_ROWS = ("memory.idle", "memory.replay")


def open_stores(run: Run) -> None:
    """Measure opening the filled stores, which are closed; each in the page cache."""
    subjects: dict[str, Callable[[], Measured]] = {}
    for name, peer in run.peers.items():
        subjects[name] = opening("open.clean", peer, run.path(name, "filled"))
        subjects[f"{name}:killed"] = killed_and_opened(name, peer, run.path(name, "filled"))
    run.interleave("opening", subjects)


def opening(key: str, peer: Peer, path: Path) -> Callable[[], Measured]:
    """Return what opens a store, and its server, and asks for the head; in ms."""

    def measure() -> Measured:
        start = time.perf_counter()
        with peer.open(path) as store:
            store.head()
            seconds = time.perf_counter() - start
        return {key: seconds * 1000}

    return measure


def killed_and_opened(name: str, peer: Peer, path: Path) -> Callable[[], Measured]:
    """Return what has a process append a little and be killed, and measures opening after that."""
    measure_opening = opening("open.killed", peer, path)

    def measure() -> Measured:
        run_child("die", name, path, expected=-signal.SIGKILL)
        return measure_opening()

    return measure


def weigh(run: Run) -> None:
    """Measure memory, in a process that does nothing else."""
    run.interleave("memory", {name: _weighing(name, run.path(name, "filled")) for name in run.peers})


def _weighing(name: str, path: Path) -> Callable[[], Measured]:
    def measure() -> Measured:
        weighed = weighed_in_child(name, path)
        return {row: weighed[row] for row in WEIGHED_ROWS}

    return measure


def weighed_in_child(name: str, path: Path) -> dict[str, float]:
    """Return what `benches.weigh` says of a store, in MiB."""
    weighed: dict[str, float] = json.loads(run_child("weigh", name, path))
    return weighed
