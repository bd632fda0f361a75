"""What a store is: the protocol that everything typed is written against.

The embedded engine is one implementation, and a server database can be another. So a position is an
increasing integer that may have gaps and be of any size, and nothing above this protocol computes with one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from counterpoint._engine import RawEvent, SequencedEvent
from counterpoint.query import AppendCondition, Query

if TYPE_CHECKING:
    from counterpoint.subscription import Subscription

__all__ = ["Read", "Store", "check_store"]


class Read(Protocol):
    """A snapshot of the log, seen through a query.

    It may be iterated any number of times, by any number of threads, and gives the same events each time.
    """

    @property
    def head(self) -> int:
        """The last position of the log when the read was made, whether it matches or not; 0 if it was empty.

        Nothing appears later at or below it (I5): so it is the `after` to guard a decision with.
        """
        ...

    def __iter__(self) -> Iterator[SequencedEvent]:
        """Stream the events, in memory that does not grow with their number."""
        ...


class Store(Protocol):
    """An append-only log of events with conditional appends. Safe to use from many threads.

    After :meth:`close` every method raises ``StoreClosed``. Trouble below is a ``StorageError``.
    """

    def append(
        self, events: Iterable[RawEvent], condition: AppendCondition | Iterable[AppendCondition] | None = None
    ) -> int:
        """Append all `events` or none, and return the position of the last one.

        They are stored only if no event in the log breaks one of the conditions. The events of one append are
        not checked against each other (I11), and are next to each other in the log.

        Raises AppendConditionFailed if a condition is broken: nothing was stored, no position was used up.
        Raises ValueError for an append without events, whatever the conditions say.
        """
        ...

    def append_async(
        self, events: Iterable[RawEvent], condition: AppendCondition | Iterable[AppendCondition] | None = None
    ) -> Awaitable[int]:
        """Append as :meth:`append` does, for a task of the running event loop: ``await`` gives the position.

        It does not block the loop, and takes no thread for each append. Await it, once: a store may begin at
        the call or only when it is awaited, and may raise what :meth:`append` raises at either of the two.
        Appends of which each is awaited before the next are stored in that order.

        Cancelling it leaves open whether the events are stored: read to find out.
        """
        ...

    def read(
        self,
        query: Query = ...,
        *,
        after: int = 0,
        until: int | None = None,
        reverse: bool = False,
        limit: int | None = None,
    ) -> Read:
        """Take a snapshot and return what `query` matches in it, in order of position; by default everything.

        `after` is exclusive and may be past the head, `until` is inclusive, both in reverse too; `limit`
        counts matching events. They tighten what the query carries itself: the greater `after`, the smaller
        `until` and `limit`; in reverse if either says so.

        Raises ValueError for a query without items, a negative position, or a limit below 1.
        """
        ...

    def head(self) -> int:
        """Return the position of the last event, 0 for an empty log."""
        ...

    def wait(self, after: int, timeout: float | None = None) -> int:
        """Wait until there is an event past `after`, and return the head.

        After `timeout` seconds it is returned as it is. Signals, such as Ctrl-C, get through while waiting.
        """
        ...

    def subscribe(self, query: Query = ..., *, after: int = 0) -> Subscription:
        """Return the matching events past `after`: those in the log, then each new one as it comes.

        `after` and the query's own ``after`` combine as in :meth:`read`. Its ``until``, ``limit`` and
        ``reverse`` have no meaning for a subscription: ValueError.
        """
        ...

    def get_cursor(self, name: str) -> int:
        """Return the position that was last set under `name`, 0 if there is none."""
        ...

    def set_cursor(self, name: str, position: int, expected: int | None = None) -> bool:
        """Set the position under `name`, by which a consumer remembers how far it has come.

        With `expected`, only if that is the present position; False says that it was not.
        """
        ...

    def close(self) -> None:
        """Close the store. Whoever waits on it gets ``StoreClosed``. Closing twice is fine."""
        ...

    @property
    def closed(self) -> bool:
        """Whether the store is closed."""
        ...

    def __enter__(self) -> Self:
        """Return the store, to be closed at the end of the block."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the store."""
        ...


def check_store(store: object) -> None:
    """Refuse what is certainly no store, where it is given and not at its first use."""
    if isinstance(store, type) or not hasattr(store, "read"):
        what = f"the class {store.__qualname__}" if isinstance(store, type) else type(store).__name__
        raise TypeError(f"store must be a Store, as from cp.open(...), not {what}")
