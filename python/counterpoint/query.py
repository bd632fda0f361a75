"""Queries and append conditions: what to read, and what an append must not have missed.

The words are those of the Dynamic Consistency Boundary specification (https://dcb.events).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, NamedTuple, Protocol

import msgspec

from counterpoint._engine import MAX_QUERY_ITEMS, QueryItem
from counterpoint.type_names import type_names

__all__ = ["AppendCondition", "Query", "QueryItem", "Window", "check_position"]


class Window(NamedTuple):
    """Which part of the matching events to read, and in which order."""

    after: int = 0
    until: int | None = None
    reverse: bool = False
    limit: int | None = None

    def tighten(self, after: int, until: int | None, reverse: bool, limit: int | None) -> Window:
        """Return what satisfies both this window and the given bounds."""
        check_position("after", after)
        if until is not None:
            check_position("until", until)
        if not isinstance(reverse, bool):
            raise TypeError(f"reverse must be a bool, not {type(reverse).__name__}")
        if limit is not None:
            _check_limit(limit)
        return Window(
            max(self.after, after),
            _smaller(self.until, until),
            self.reverse or reverse,
            _smaller(self.limit, limit),
        )


WHOLE = Window()
"""The whole log, forwards."""


_NOTHING: tuple[()] = ()

_TOO_MANY = MAX_QUERY_ITEMS + 1
"""More is not taken from an iterable, which may be endless: so many are refused."""

_new = object.__new__


class _TypeAndTags(Protocol):
    @property
    def type(self) -> str: ...
    @property
    def tags(self) -> tuple[str, ...]: ...


class Query:
    """An immutable value: items joined by OR, and the window to read them in.

    ``Query()`` has no items and is refused wherever it is used: add items to it, or say ``Query.all()``.
    """

    __slots__ = ("__weakref__", "_items", "_window")

    _items: tuple[QueryItem, ...] | None
    _window: Window

    def __init__(self) -> None:
        """Start without items."""
        self._items = ()
        self._window = WHOLE

    @classmethod
    def all(cls) -> Query:
        """Return the query that matches every event."""
        return _ALL

    @classmethod
    def of(cls, items: Iterable[QueryItem] | None) -> Query:
        """Return the query with these items; None stands for every event."""
        if items is None:
            return _ALL
        items = tuple(islice(items, _TOO_MANY))
        for item in items:
            if not isinstance(item, QueryItem):
                raise TypeError(f"an item must be a QueryItem, not {type(item).__name__}")
        return _query(items, WHOLE)

    def add_item(self, *, types: Iterable[str | type[Any]] = _NOTHING, tags: Iterable[str] = ()) -> Query:
        """Return this query with one more item: any of `types`, and all of `tags`.

        An empty side does not restrict; both empty is a ValueError. A string in `types` is one type name;
        an event class stands for its type name and its former type names, but not for its subclasses.
        """
        items = self._items
        if items is None:
            raise ValueError("Query.all() matches every event already: start from Query() to add items")
        # One query is made for each decision: what needs no look gets none.
        if types is not _NOTHING:
            _check_list("types", types)
            types = _names(types)
        if type(tags) is not list:
            _check_list("tags", tags)
            tags = tuple(islice(tags, _TOO_MANY))
        if not types and not tags:
            raise ValueError("an item needs types or tags: Query.all() is the query for every event")
        query = _new(Query)
        query._items = (*items, QueryItem(types, tags))
        query._window = self._window
        return query

    def after(self, position: int) -> Query:
        """Return this query, reading only events past `position`."""
        check_position("after", position)
        return _query(self._items, self._window._replace(after=position))

    def until(self, position: int) -> Query:
        """Return this query, reading only events up to `position`, which is included."""
        check_position("until", position)
        return _query(self._items, self._window._replace(until=position))

    def limit(self, limit: int) -> Query:
        """Return this query, reading at most `limit` events, which must be 1 or more."""
        _check_limit(limit)
        return _query(self._items, self._window._replace(limit=limit))

    def reverse(self) -> Query:
        """Return this query, reading the last event first."""
        return _query(self._items, self._window._replace(reverse=True))

    def whole(self) -> Query:
        """Return this query without its window: the same items over the whole log."""
        return self if self._window is WHOLE else _query(self._items, WHOLE)

    @property
    def items(self) -> tuple[QueryItem, ...] | None:
        """The items; None if every event matches. Raises ValueError if there are none to use."""
        if self._items == ():
            raise ValueError("the query has no items: add one with add_item(), or use Query.all()")
        return self._items

    @property
    def window(self) -> Window:
        """What ``after``, ``until``, ``reverse`` and ``limit`` were set to."""
        return self._window

    def matches(self, event: _TypeAndTags) -> bool:
        """Say whether `event`, anything with a type and tags, matches one of the items."""
        items = self.items
        if items is None:
            return True
        try:
            type_, tags = event.type, event.tags
        except AttributeError as error:
            raise TypeError(f"an event with a type and tags is needed, not {type(event).__name__}") from error
        for item in items:  # noqa: SIM110  half the time of any(...), and projections ask for every event
            if item.matches(type_, tags):
                return True
        return False

    def __eq__(self, other: object) -> bool:
        """Two queries are equal if their items, in order, and their windows are."""
        if not isinstance(other, Query):
            return NotImplemented
        return self._items == other._items and self._window == other._window

    def __hash__(self) -> int:
        """Agree with equality."""
        return hash((self._items, self._window))

    def __repr__(self) -> str:
        """Return the expression that makes this query."""
        return "".join(self._calls())

    def _calls(self) -> Iterator[str]:
        yield "Query.all()" if self._items is None else "Query()"
        for item in self._items or ():
            sides = {"types": list(item.types), "tags": list(item.tags)}
            yield f".add_item({', '.join(f'{side}={values!r}' for side, values in sides.items() if values)})"
        after, until, reverse, limit = self._window
        if after:
            yield f".after({after})"
        if until is not None:
            yield f".until({until})"
        if reverse:
            yield ".reverse()"
        if limit is not None:
            yield f".limit({limit})"


def _query(items: tuple[QueryItem, ...] | None, window: Window) -> Query:
    query = _new(Query)
    query._items = items
    query._window = window
    return query


_ALL = _query(None, WHOLE)


class AppendCondition(msgspec.Struct, frozen=True):
    """An append succeeds only if no event past `after` matches `query`.

    Only the items of the query count: its window is dropped. ``after=0`` stands for the whole log.
    """

    query: Query
    after: int = 0

    def __post_init__(self) -> None:
        """Refuse what could not be checked."""
        if not isinstance(self.query, Query):
            raise TypeError(f"query must be a Query, not {type(self.query).__name__}")
        check_position("after", self.after)
        self.query.items  # noqa: B018  a query without items is refused here
        if self.query.window is not WHOLE:
            msgspec.structs.force_setattr(self, "query", self.query.whole())


def check_position(name: str, value: int) -> None:
    """Refuse what is not a position: an int from 0, however large."""
    if type(value) is not int and (isinstance(value, bool) or not isinstance(value, int)):
        raise TypeError(f"{name} must be an int, not {type(value).__name__}")
    if value < 0:
        raise ValueError(f"{name} must be 0 or more, not {value}")


def _check_limit(limit: int) -> None:
    if isinstance(limit, bool) or not isinstance(limit, int):
        raise TypeError(f"limit must be an int, not {type(limit).__name__}")
    if limit < 1:
        raise ValueError(f"limit must be 1 or more, not {limit}")


def _smaller(a: int | None, b: int | None) -> int | None:
    if a is None or b is None:
        return b if a is None else a
    return min(a, b)


def _check_list(name: str, values: object) -> None:
    if type(values) is list or type(values) is tuple:
        return
    # A string is an iterable of strings: "ab" would quietly become the two names "a" and "b".
    if isinstance(values, (str, type)):
        shown = values.__name__ if isinstance(values, type) else repr(values)
        raise TypeError(f"{name} must be a list, not {shown}: write {name}=[{shown}]")
    if values is None:
        raise TypeError(f"{name} must be a list, not None: leave {name} out if any will do")
    if isinstance(values, bytes) or not isinstance(values, Iterable):
        raise TypeError(f"{name} must be a list, not {type(values).__name__}")


def _names(types: Iterable[str | type[Any]]) -> list[str]:
    names: list[str] = []
    for type_ in islice(types, _TOO_MANY):
        if isinstance(type_, type):
            names.extend(type_names(type_))
        elif isinstance(type_, str):
            names.append(type_)
        else:
            raise TypeError(f"a type must be a str or an event class, not {type(type_).__name__}: {type_!r}")
    return names
