"""The stores that are compared, behind one small protocol each of them implements in a module of its own.

To add one: write its module, and name it in `PEERS`. A module imports its store when it is loaded and not
before, so that a child process can tell what the store adds to the memory of Python.
"""

from collections.abc import Awaitable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from benches.workload import Event

OURS = "counterpoint"
PEERS = {
    OURS: "benches.peers.counterpoint_peer",
    "sqlite": "benches.peers.sqlite_peer",
    "umadb": "benches.peers.umadb_peer",
    "eventsourcing": "benches.peers.eventsourcing_peer",
}
"""By name; ours first."""


class Cannot(Exception):  # noqa: N818  an outcome
    """A store cannot do what a row asks of it, or cannot run here; the text says why."""


class OpenStore(Protocol):
    """One open store, for many threads. What it returns for an event is of its own kind."""

    def head(self) -> int:
        """Return the last position."""
        ...

    def append_conditional(self, event: Event, after: int) -> int:
        """Append one event if no event past `after` has its first tag; return its position, durable."""
        ...

    def append_async(self, event: Event, after: int) -> Awaitable[int]:
        """Do the same for an asyncio task; raises `Cannot`, as here, if the store has no such call."""
        raise Cannot("its calls block, there is none for asyncio")

    def prepare(self, events: Iterable[Event]) -> Sequence[Any]:
        """Make this store's own events, as an application would, for :meth:`append_batch`."""
        ...

    def append_batch(self, prepared: Sequence[Any]) -> int:
        """Append what :meth:`prepare` made, all or nothing, durable; return the last position."""
        ...

    def read(
        self, types: Sequence[str] = (), tags: Sequence[str] = (), *, last: bool = False
    ) -> Sequence[object]:
        """Return the events with one of `types`, if any, and all of `tags`; with `last` only the last one.

        Raises `Cannot` if the store has no such read.
        """
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

    def subscribe(self, after: int) -> Iterator[object]:
        """Return an iterator that waits for new events; raises `Cannot`, as here, if one has to poll."""
        raise Cannot("it has no subscription: one has to poll")

    def settle(self) -> None:
        """Finish what the store would do in the background while others are measured."""
        return

    def server(self) -> Sequence[int]:
        """Return the ids of the processes that serve the store; none, as here, if it is embedded."""
        return ()

    def kill(self) -> None:
        """Kill the server as by kill -9, if there is one."""
        return

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
    """One kind of store; embedded unless it overrides `serve` and `join`."""

    @property
    def title(self) -> str:
        """How tables name it."""
        ...

    @property
    def version(self) -> str:
        """Its version and the settings that matter."""
        ...

    def check(self, directory: Path) -> None:
        """Raise `Cannot` if it cannot keep stores below `directory`, as on a machine without its server."""
        return

    def open(self, path: Path) -> OpenStore:
        """Open the store in the directory `path`, made if need be; durable by fsync. Starts its server."""
        ...

    def open_uncached(self, path: Path) -> OpenStore:
        """Open a store that keeps no answers, so that every read is one for the first time."""
        raise Cannot("what it caches is its own affair")

    def serve(self, path: Path) -> AbstractContextManager[object]:
        """Run for the block what `join` needs: the server of the store, which as here may have none."""
        return nullcontext()

    def join(self, path: Path) -> OpenStore:
        """Open a store that other processes have open too: without starting a server."""
        return self.open(path)

    def used_bytes(self, path: Path) -> int:
        """Return how many bytes of a closed store hold something: without what is only preallocated."""
        ...


def load(name: str) -> Peer:
    """Import a peer by its name in `PEERS`; raises `Cannot` if its library is not installed."""
    try:
        peer: Peer = import_module(PEERS[name]).PEER
    except ModuleNotFoundError as error:
        raise Cannot(f"{error.name} is not installed") from error
    return peer


def stored_bytes(path: Path) -> int:
    """Return what the files of a directory take up on the disk, preallocated room included."""
    return sum(file.stat().st_blocks * 512 for file in path.rglob("*") if file.is_file())
