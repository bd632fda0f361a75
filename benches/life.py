"""Rows about a store's life: opening it, after a clean end and after none, and the memory it takes."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benches.peers import Peer
from benches.results import Measured, interleave
from benches.run import Run

ROOT = Path(__file__).parents[1]


def open_stores(run: Run) -> None:
    """Measure opening the filled stores, which are closed; each in the page cache."""
    subjects: dict[str, Callable[[], Measured]] = {}
    for name, peer in run.peers.items():
        subjects[name] = _opening("open.clean", peer, run.path(name, "filled"))
        subjects[f"{name}:killed"] = _killed_and_opened(name, peer, run.path(name, "filled"))
    interleave(run.settings.rounds, subjects, run.samples)


def _opening(key: str, peer: Peer, path: Path) -> Callable[[], Measured]:
    def measure() -> Measured:
        start = time.perf_counter()
        with peer.open(path) as store:
            store.head()
            seconds = time.perf_counter() - start
        return {key: seconds * 1000}

    return measure


def _killed_and_opened(name: str, peer: Peer, path: Path) -> Callable[[], Measured]:
    opening = _opening("open.killed", peer, path)

    def measure() -> Measured:
        _child("die", name, path)
        return opening()

    return measure


def weigh(run: Run) -> None:
    """Measure memory, in a process that does nothing else."""
    interleave(
        run.settings.rounds,
        {name: _weighing(name, run.path(name, "filled")) for name in run.peers},
        run.samples,
    )


def _weighing(name: str, path: Path) -> Callable[[], Measured]:
    def measure() -> Measured:
        weighed: dict[str, float] = json.loads(_child("weigh", name, path))
        return weighed

    return measure


def _child(job: str, peer: str, path: Path) -> str:
    command = [sys.executable, "-m", "benches.child", job, peer, str(path)]
    child = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False, timeout=600)
    expected = -9 if job == "die" else 0
    if child.returncode != expected:
        raise RuntimeError(f"{' '.join(command)} ended with {child.returncode} instead of {expected}")
    return child.stdout
