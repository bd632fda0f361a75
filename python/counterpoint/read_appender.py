"""The ReadAppender: reads, remembers what was read, and appends only if that is still all there is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, TypeVar, overload
from uuid import UUID

from counterpoint._engine import MAX_BATCH_EVENTS, QueryItem, RawEvent
from counterpoint.envelope import Envelope
from counterpoint.projection import OnDemandProjection, Projection, fold, query_of, union
from counterpoint.query import AppendCondition, Query
from counterpoint.registry import EventRegistry, registry_or_default
from counterpoint.store import Store, check_store

__all__ = ["ReadAppender"]

A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
E = TypeVar("E")
F = TypeVar("F")


class ReadAppender:
    """What one attempt of one command reads and appends through.

    Each read is recorded as a condition: its query, and the head of the snapshot it was made in. An append
    succeeds only if nothing that matches any of these reads has arrived since. A read that found nothing
    guards as well. Not for several threads at once.
    """

    __slots__ = ("_heads", "_registry", "_store")

    def __init__(self, store: Store, registry: EventRegistry | None = None) -> None:
        """Start with nothing read. Without `registry` the default one encodes and decodes."""
        check_store(store)
        self._store = store
        self._registry = registry_or_default(registry)
        # Keyed by items, since only they guard: what part of the matches was looked at does not matter.
        self._heads: dict[tuple[QueryItem, ...] | None, int] = {}

    @property
    def registry(self) -> EventRegistry:
        """What encodes and decodes here: ``ra.registry.encode(event, metadata=...)`` makes a RawEvent."""
        return self._registry

    @property
    def conditions(self) -> tuple[AppendCondition, ...]:
        """What an append would be guarded by now, in the order of first reading."""
        return tuple([AppendCondition(Query.of(items), head) for items, head in self._heads.items()])

    def read_events(self, query: Query) -> list[Envelope[Any]]:
        """Return the events that `query` matches now, within its window, and guard coming appends by it.

        What counts for the guard is the head of the snapshot, not the last event seen: a limited or reverse
        read that is still true does not fail. The same query read twice guards from the first time on.

        Raises UnknownEventType or EventDecodeError for an event that cannot be decoded.
        """
        return list(self._read(query))

    def append_event(self, event: object, *, metadata: bytes | None = None, id: UUID | None = None) -> int:
        """Append one event, guarded by everything read so far, and return its position.

        It is stored at once, and stays if the command is refused or started over later: append everything
        that a decision leads to together, with :meth:`append_events`. A ``RawEvent`` is taken as it is.

        Raises AppendConditionFailed; a runner then starts the command over. Raises what
        ``EventRegistry.encode`` raises for an event that could not be read again.
        """
        if not isinstance(event, RawEvent):
            event = self._registry.encode(event, metadata, id)
        elif metadata is not None or id is not None:
            raise TypeError("a RawEvent has its own metadata and id: give them to RawEvent(...)")
        return self._append([event])

    def append_events(self, events: Iterable[object]) -> int:
        """Append all events or none, guarded likewise, and return the position of the last one.

        A ``RawEvent`` among them is taken as it is: ``ra.registry.encode(event, metadata=...)`` makes one.
        """
        if isinstance(events, RawEvent) or not isinstance(events, Iterable) or type(events) in self._registry:
            raise TypeError(
                f"events must be a list of events, not {type(events).__name__}: use append_event for one"
            )
        encode = self._registry.encode
        # One too many is refused, and no more are made of an iterable that does not end.
        some = islice(events, MAX_BATCH_EVENTS + 1)
        return self._append([event if isinstance(event, RawEvent) else encode(event) for event in some])

    @overload
    def fold(self, a: Projection[A], /) -> A: ...
    @overload
    def fold(self, a: Projection[A], b: Projection[B], /) -> tuple[A, B]: ...
    @overload
    def fold(self, a: Projection[A], b: Projection[B], c: Projection[C], /) -> tuple[A, B, C]: ...
    @overload
    def fold(
        self, a: Projection[A], b: Projection[B], c: Projection[C], d: Projection[D], /
    ) -> tuple[A, B, C, D]: ...
    @overload
    def fold(
        self, a: Projection[A], b: Projection[B], c: Projection[C], d: Projection[D], e: Projection[E], /
    ) -> tuple[A, B, C, D, E]: ...
    @overload
    def fold(
        self,
        a: Projection[A],
        b: Projection[B],
        c: Projection[C],
        d: Projection[D],
        e: Projection[E],
        f: Projection[F],
        /,
    ) -> tuple[A, B, C, D, E, F]: ...
    @overload
    def fold(self, *projections: Projection[Any]) -> Any: ...
    def fold(self, *projections: Projection[Any]) -> Any:
        """Return the state of one projection, or a tuple of those of several, and guard by their queries.

        Plain projections are folded from one read of all their queries, and so from one snapshot; each sees
        only what its own query matches. On-demand projections read for themselves. :meth:`fold_all` is for a
        number of projections that is known only at run time.
        """
        states = self.fold_all(projections)
        if not states:
            raise TypeError("fold() needs at least one projection")
        return states[0] if len(states) == 1 else tuple(states)

    def fold_all(self, projections: Iterable[Projection[A]]) -> list[A]:
        """Return the states of any number of projections, in their order, as :meth:`fold` does."""
        if isinstance(projections, Projection):
            raise TypeError("fold_all() takes a list of projections: use fold() for one")
        queried = [(projection, query_of(projection)) for projection in projections]
        plain = [(p, query) for p, query in queried if not isinstance(p, OnDemandProjection)]
        states = iter(fold(plain, self._read(union(query for _, query in plain))) if plain else ())
        return [
            fold([(p, query)], self._read(query))[0] if isinstance(p, OnDemandProjection) else next(states)
            for p, query in queried
        ]

    def _read(self, query: Query) -> Iterator[Envelope[Any]]:
        read = self._store.read(query)
        head, items = read.head, query.items
        # Recorded before the first event is looked at, so that a read which is given up halfway guards too;
        # of two reads the older head, since the decision may rest on either.
        self._heads[items] = min(head, self._heads.get(items, head))
        return map(self._registry.decode, read)

    def _append(self, events: list[RawEvent]) -> int:
        last = self._store.append(events, self.conditions)
        # Nothing that was read has changed up to our own events, and these are no surprise to us (I11).
        for items in self._heads:
            self._heads[items] = last
        return last
