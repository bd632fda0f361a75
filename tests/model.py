"""The reference model: a store that is a list and one predicate. It is the oracle of the other tests.

It shares nothing with the store under test, not even the query class: items are plain tuples, which
`query_of` and `condition_of` translate.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

import counterpoint as cp

Item = tuple[tuple[str, ...], tuple[str, ...]]
"""Types, of which one must be the event's, and tags, all of which the event must have."""

Items = tuple[Item, ...] | None
"""Items of a query, ORed. None stands for the query that matches every event."""


@dataclass(frozen=True)
class Draft:
    """An event before it is appended."""

    type: str
    tags: tuple[str, ...] = ()
    data: bytes = b""
    metadata: bytes | None = None
    id: UUID | None = None

    def raw(self) -> cp.RawEvent:
        return cp.RawEvent(type=self.type, data=self.data, tags=self.tags, metadata=self.metadata, id=self.id)


@dataclass(frozen=True)
class Stored:
    """An event as every read has to return it, `recorded_at` aside."""

    position: int
    type: str
    tags: tuple[str, ...]
    data: bytes
    metadata: bytes | None
    id: UUID | None


@dataclass(frozen=True)
class Guard:
    """A condition: no event after `after` may match `items`."""

    items: Items
    after: int = 0


def matches(items: Items, type: str, tags: Sequence[str]) -> bool:
    """The one predicate."""
    if items is None:
        return True
    return any(
        (not some_types or type in some_types) and set(all_tags) <= set(tags)
        for some_types, all_tags in items
    )


@dataclass
class Model:
    """A store that nobody could get wrong."""

    events: list[Stored] = field(default_factory=list)

    def head(self) -> int:
        return len(self.events)

    def conflicts(self, guards: Sequence[Guard]) -> set[tuple[Guard, int]]:
        """Every broken guard with every position that breaks it."""
        return {
            (guard, event.position)
            for guard in guards
            for event in self.events
            if event.position > guard.after and matches(guard.items, event.type, event.tags)
        }

    def append(self, drafts: Sequence[Draft], guards: Sequence[Guard] = ()) -> set[tuple[Guard, int]]:
        """Stores the drafts and returns the empty set, or stores nothing and returns the conflicts."""
        conflicts = self.conflicts(guards)
        if not conflicts:
            for draft in drafts:
                tags = tuple(dict.fromkeys(draft.tags))
                stored = Stored(self.head() + 1, draft.type, tags, draft.data, draft.metadata, draft.id)
                self.events.append(stored)
        return conflicts

    def read(
        self,
        items: Items = None,
        *,
        after: int = 0,
        until: int | None = None,
        reverse: bool = False,
        limit: int | None = None,
    ) -> list[Stored]:
        found = [
            event
            for event in self.events
            if event.position > after
            and (until is None or event.position <= until)
            and matches(items, event.type, event.tags)
        ]
        if reverse:
            found.reverse()
        return found if limit is None else found[:limit]


def stored(event: cp.SequencedEvent) -> Stored:
    """What a store returned, as the model says it."""
    return Stored(event.position, event.type, event.tags, event.data, event.metadata, event.id)


def log_of(store: cp.EmbeddedStore) -> list[Stored]:
    """The whole log."""
    return [stored(event) for event in store.read()]


def query_of(items: Items) -> cp.Query:
    if items is None:
        return cp.Query.all()
    query = cp.Query()
    for types, tags in items:
        query = query.add_item(types=types, tags=tags)
    return query


def condition_of(guard: Guard) -> cp.AppendCondition:
    return cp.AppendCondition(query_of(guard.items), after=guard.after)
