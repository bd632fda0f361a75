"""Projections: a state folded from the events that a query matches."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Generic, TypeVar

import msgspec
from typing_extensions import dataclass_transform

from counterpoint._engine import QueryItem
from counterpoint.envelope import Envelope
from counterpoint.query import Query
from counterpoint.registry import EventRegistry, registry_or_default
from counterpoint.store import Store, check_store

__all__ = ["OnDemandProjection", "Projection", "fold", "query_of", "union"]

State = TypeVar("State")


@dataclass_transform(frozen_default=True, field_specifiers=(msgspec.field,))
class Projection(msgspec.Struct, Generic[State], frozen=True):
    """A state computed from the log on every call: fields say what it is about, methods how it comes about.

    The whole history that the query matches is folded, from the first event to the last. The query's
    ``after``, ``until``, ``limit`` and ``reverse`` do not count; they do for :class:`OnDemandProjection`.
    """

    def query(self) -> Query:
        """Return which events matter."""
        raise NotImplementedError(f"{type(self).__qualname__} needs a method query()")

    def init(self) -> State:
        """Return the state before the first event; called anew for each fold."""
        raise NotImplementedError(f"{type(self).__qualname__} needs a method init()")

    def apply(self, state: State, envelope: Envelope[Any]) -> State:
        """Return the state after one more event."""
        raise NotImplementedError(f"{type(self).__qualname__} needs a method apply()")

    def run(self, store: Store, registry: EventRegistry | None = None) -> State:
        """Return the state as of now. It guards nothing: in a command use ``ReadAppender.fold``."""
        check_store(store)
        decode = registry_or_default(registry).decode
        query = query_of(self)
        return fold([(self, query)], map(decode, store.read(self._seen(query))))[0]

    def _seen(self, query: Query) -> Query:
        return query.whole()


@dataclass_transform(frozen_default=True, field_specifiers=(msgspec.field,))
class OnDemandProjection(Projection[State], Generic[State], frozen=True):
    """A projection over part of what its query matches: the query's window counts.

    For instance the last event of an order only: ``Query().add_item(...).reverse().limit(1)``.
    """

    def _seen(self, query: Query) -> Query:
        return query


def query_of(projection: Projection[Any]) -> Query:
    """Return the query of a projection. Raises TypeError, by its name, if it has none to give."""
    if isinstance(projection, type):
        raise TypeError(f"an instance is needed, not the class: {projection.__qualname__}(...)")
    name = type(projection).__qualname__
    if isinstance(projection, Iterable):
        raise TypeError(f"a projection is needed, not {name}: fold_all() takes any number of them")
    if not isinstance(projection, Projection):
        raise TypeError(f"a projection is needed, not {name}")
    query: object = projection.query()
    if not isinstance(query, Query):
        raise TypeError(f"query() of {name} must return a Query, not {type(query).__name__}")
    return query


def union(queries: Iterable[Query]) -> Query:
    """Return the query for whatever one of `queries` matches, over the whole log."""
    items: dict[QueryItem, None] = {}
    everything = False
    for query in queries:
        # All of them are looked at, so that one without items is refused whatever the others are.
        if query.items is None:
            everything = True
        else:
            items.update(dict.fromkeys(query.items))
    return Query.of(None if everything else items)


def fold(
    projections: Sequence[tuple[Projection[State], Query]], envelopes: Iterable[Envelope[Any]]
) -> list[State]:
    """Return the states after `envelopes`, which the union of the queries gave.

    Each projection sees those that its own query matches.
    """
    states = [projection.init() for projection, _ in projections]
    if len(projections) == 1:
        (state,), ((projection, _),) = states, projections
        for envelope in envelopes:
            state = projection.apply(state, envelope)
        return [state]
    for envelope in envelopes:
        for i, (projection, query) in enumerate(projections):
            if query.matches(envelope):
                states[i] = projection.apply(states[i], envelope)
    return states
