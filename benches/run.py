"""One run: its sizes, its stores, and what it has measured so far."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from benches.peers import OURS, Peer
from benches.results import Samples
from benches.workload import History, Stock


@dataclass(frozen=True)
class Settings:
    """How much is measured."""

    events: int = 200_000
    seconds: float = 0.5
    """How long one sample of a rate takes."""
    rounds: int = 5
    threads: tuple[int, ...] = (8, 32, 128)
    singles: int = 2000
    """How many single appends the bytes on disk are taken over."""


@dataclass(frozen=True)
class Run:
    """Where the measurements of a run meet."""

    settings: Settings
    peers: Mapping[str, Peer]
    directory: Path
    """Holds the stores, each in a directory of its own."""
    samples: Samples = field(default_factory=dict)

    stock: Stock = field(default_factory=Stock)

    @cached_property
    def history(self) -> History:
        """What the filled stores are filled with."""
        return History(self.settings.events)

    def path(self, peer: str, store: str) -> Path:
        """Return the directory of one store."""
        return self.directory / f"{peer}-{store}"

    def remove(self, peer: str, store: str) -> None:
        """Remove one store."""
        shutil.rmtree(self.path(peer, store), ignore_errors=True)

    @property
    def ours(self) -> Peer:
        """Return the one that the others are compared with."""
        return self.peers[OURS]
