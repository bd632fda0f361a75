"""Ours, as an application would use it: through the public names only."""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, ClassVar

import counterpoint as cp

from benches import workload
from benches.peers import Cannot, OpenStore, Peer
from benches.workload import Event, order_tag


class ItemReserved(cp.Event):
    """An event of workload W as an application declares it."""

    event_type: ClassVar[str] = workload.TYPE
    order: Annotated[str, cp.Tag("order")]
    customer: Annotated[str, cp.Tag("customer")]
    note: str


class StockCounted(cp.Event):
    """The event of the rare type."""

    event_type: ClassVar[str] = workload.RARE_TYPE
    order: Annotated[str, cp.Tag("order")]
    customer: Annotated[str, cp.Tag("customer")]
    note: str


class ReserveItem(cp.Command):
    """Reads what an order has, and adds to it."""

    order: str

    def run(self, ra: cp.ReadAppender) -> int:
        """Decide: an order that has nothing is not known."""
        events = ra.read_events(cp.Query().add_item(tags=[f"order:{self.order}"]))
        if not events:
            raise LookupError(self.order)
        last = events[-1].event
        return ra.append_event(ItemReserved(self.order, last.customer, last.note))


class OpenCounterpoint(OpenStore):
    """One open store."""

    def __init__(self, path: Path, read_cache_bytes: int | None = None) -> None:
        """Open it."""
        self._store = cp.open(path, read_cache_bytes=read_cache_bytes)
        self._runner = cp.CommandRunner(self._store)

    def head(self) -> int:
        """Return the last position."""
        return self._store.head()

    def append_conditional(self, event: Event, after: int) -> int:
        """Append one event unless its first tag has come up."""
        condition = cp.AppendCondition(cp.Query().add_item(tags=[event.tags[0]]), after)
        return self._store.append([cp.RawEvent(event.type, event.data, event.tags)], condition)

    def append_async(self, event: Event, after: int) -> Awaitable[int]:
        """Append one event unless its first tag has come up, from a task."""
        append: Callable[..., Awaitable[int]] | None = getattr(self._store, "append_async", None)
        if append is None:
            raise Cannot("this version has no append_async")
        condition = cp.AppendCondition(cp.Query().add_item(tags=[event.tags[0]]), after)
        return append([cp.RawEvent(event.type, event.data, event.tags)], condition)

    def prepare(self, events: Iterable[Event]) -> Sequence[cp.RawEvent]:
        """Make RawEvents."""
        return [cp.RawEvent(event.type, event.data, event.tags) for event in events]

    def append_batch(self, prepared: Sequence[cp.RawEvent]) -> int:
        """Append a batch."""
        return self._store.append(prepared)

    def read(
        self, types: Sequence[str] = (), tags: Sequence[str] = (), *, last: bool = False
    ) -> Sequence[object]:
        """Read by index; the query is made each time."""
        query = cp.Query().add_item(types=types, tags=tags)
        if last:
            return list(self._store.read(query, reverse=True, limit=1))
        return list(self._store.read(query))

    def first(self) -> object:
        """Return the first event of a full read."""
        return next(iter(self._store.read()))

    def replay(self) -> None:
        """Read everything."""
        for _ in self._store.read():
            pass

    def replay_fields(self) -> None:
        """Read everything, and look."""
        for e in self._store.read():
            _ = (e.position, e.type, e.tags, e.data, e.metadata, e.id, e.recorded_at)

    def run_command(self, order: int) -> int:
        """Run a typed command."""
        return self._runner.run(ReserveItem(order_tag(order)[len("order:") :]))

    def subscribe(self, after: int) -> Iterator[object]:
        """Subscribe to everything."""
        return self._store.subscribe(after=after)

    def leave(self) -> None:
        """Threads hold nothing."""

    def close(self) -> None:
        """Close it cleanly."""
        self._store.close()


class Counterpoint(Peer):
    """The embedded engine with its defaults."""

    title = "Counterpoint"
    version = f"{version('counterpoint')}, durability=fsync"

    def open(self, path: Path) -> OpenCounterpoint:
        """Open a store directory."""
        return OpenCounterpoint(path)

    def open_uncached(self, path: Path) -> OpenCounterpoint:
        """Open it without the cache of answers."""
        return OpenCounterpoint(path, read_cache_bytes=0)

    def used_bytes(self, path: Path) -> int:
        """Leave out the zeros at the end of the segments, and the segment that is prepared (``*.tmp``)."""
        files = [file for file in path.iterdir() if file.suffix != ".tmp"]
        # One segment is 64 MiB at most.
        return sum(
            len(file.read_bytes().rstrip(b"\0")) if file.suffix == ".log" else file.stat().st_size
            for file in files
        )


PEER = Counterpoint()
