"""The stores that are compared, behind one small protocol each of them implements in a module of its own.

To add one: write its module, and name it in `PEERS`. A module imports its store when it is loaded and not
before, so that a child process can tell what the store adds to the memory of Python.
"""

from collections.abc import Iterable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from benches.workload import Event

OURS = "counterpoint"
PEERS = {OURS: "benches.peers.counterpoint_peer", "sqlite": "benches.peers.sqlite_peer"}
"""By name; ours first."""


class OpenStore(Protocol):
    """One open store, for many threads. What it returns for an event is of its own kind."""

    def head(self) -> int:
        """Return the last position."""
        ...

    def append_conditional(self, event: Event, after: int) -> int:
        """Append one event if no event past `after` has its first tag; return its position, durable."""
        ...

    def prepare(self, events: Iterable[Event]) -> Sequence[Any]:
        """Make this store's own events, as an application would, for :meth:`append_batch`."""
        ...

    def append_batch(self, prepared: Sequence[Any]) -> int:
        """Append what :meth:`prepare` made, all or nothing, durable; return the last position."""
        ...

    def read(
        self, types: Sequence[str] = (), tags: Sequence[str] = (), *, last: bool = False
    ) -> Sequence[object]:
        """Return the events with one of `types`, if any, and all of `tags`; with `last` only the last one."""
        ...

    def first(self) -> object:
        """Begin to read everything, and return the first event."""
        ...

    def replay(self) -> None:
        """Read everything, touching nothing."""
        ...

    def replay_fields(self) -> None:
        """Read everything, looking at every field of every event."""
        ...

    def run_command(self, order: int) -> int:
        """Read the events of an order, decode them, decide, and append one more; return its position."""
        ...

    def subscribe(self, after: int) -> Iterator[object] | None:
        """Return an iterator that waits for new events; None if the store has none but polling."""
        ...

    def leave(self) -> None:
        """Give back what the calling thread holds, since it is about to end."""
        ...

    def close(self) -> None:
        """Close it cleanly."""
        ...

    def __enter__(self) -> Self:
        """Return the store, to be closed at the end of the block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it cleanly."""
        self.close()


class Peer(Protocol):
    """One kind of store."""

    @property
    def title(self) -> str:
        """How tables name it."""
        ...

    @property
    def version(self) -> str:
        """Its version and the settings that matter."""
        ...

    def open(self, path: Path) -> OpenStore:
        """Open the store in the directory `path`, made if need be; durable by fsync."""
        ...

    def used_bytes(self, path: Path) -> int:
        """Return how many bytes of a closed store hold something: without what is only preallocated."""
        ...


def load(name: str) -> Peer:
    """Import a peer by its name in `PEERS`."""
    peer: Peer = import_module(PEERS[name]).PEER
    return peer


def stored_bytes(path: Path) -> int:
    """Return what the files of a directory take up on the disk, preallocated room included."""
    return sum(file.stat().st_blocks * 512 for file in path.iterdir())
