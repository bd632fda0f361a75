"""One run: its sizes, its stores, what it has measured so far, and what it had to leave out."""

import gc
import shutil
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from benches.peers import OURS, Cannot, OpenStore, Peer
from benches.results import Measured, Samples
from benches.workload import History, Stock

PATIENCE_SECONDS = 10.0
"""What takes longer than this is measured in the first round only."""
REASON_LENGTH = 300
"""Characters of what a store says when it fails; some say all that was asked of them."""


@dataclass(frozen=True)
class Settings:
    """How much is measured."""

    events: int = 1_000_000
    seconds: float = 0.5
    """How long one sample of a rate takes."""
    rounds: int = 3
    threads: tuple[int, ...] = (8, 32, 128)
    tasks: int = 1000
    processes: tuple[int, ...] = (1, 2, 4, 8, 16)
    singles: int = 2000
    """How many single appends the bytes on disk are taken over."""

    @classmethod
    def quick(cls) -> "Settings":
        """Return sizes that show that everything works, in seconds, and little else."""
        return cls(events=400, seconds=0.005, rounds=1, threads=(2,), tasks=3, processes=(1, 2), singles=5)


@dataclass(frozen=True)
class Run:
    """Where the measurements of a run meet."""

    settings: Settings
    peers: dict[str, Peer]
    """By name; one that cannot keep up is taken out."""
    directory: Path
    """Holds the stores, each in a directory of its own."""
    samples: Samples = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    """A line for each thing that a store could not do, and why."""

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

    @contextmanager
    def opened(self, what: str, store: str) -> Iterator[dict[str, OpenStore]]:
        """Open this store of every peer for the block; yield those that could be opened, by name."""
        with ExitStack() as stack:
            found = {}
            for name, peer in self.peers.items():
                with self.attempt(what, name):
                    found[name] = stack.enter_context(peer.open(self.path(name, store)))
            yield found

    def interleave(
        self,
        what: str,
        subjects: Mapping[str, Callable[[], Measured]],
        *,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        """Measure the subjects in turn, round for round, so that a noisy moment falls on neighbours alike.

        A subject is named after a store or `LIMIT`; what follows a colon tells its measurements apart. One
        that fails, or that takes longer than `patience` seconds, is not measured again.
        """
        waiting = dict(subjects)
        for _ in range(self.settings.rounds):
            for key, measure in tuple(waiting.items()):
                name = key.partition(":")[0]
                gc.collect()
                start = time.monotonic()
                measured: Measured | None = None
                with self.attempt(what, name):
                    measured = measure()
                for row, value in (measured or {}).items():
                    self.samples.setdefault(row, defaultdict(list))[name].append(value)
                if measured is None or time.monotonic() - start > patience:
                    del waiting[key]

    @contextmanager
    def attempt(self, what: str, name: str) -> Iterator[None]:
        """Go on when a store cannot do `what`, and say so; and when another than ours fails at it."""
        try:
            yield
        except Cannot as reason:
            self.leave_out(what, name, str(reason))
        except Exception as error:
            if name not in self.peers or name == OURS:
                raise
            self.leave_out(what, name, f"{type(error).__name__}: {error}")

    def leave_out(self, what: str, name: str, reason: str) -> None:
        """Say once that a store could not do something."""
        title = self.peers[name].title if name in self.peers else name
        reason = reason.replace(f"{self.directory}/", "")
        line = f"{what}: {title}: {' '.join(reason.split())[:REASON_LENGTH]}"
        if line not in self.left_out:
            self.left_out.append(line)
