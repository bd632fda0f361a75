"""Random stories, in which the store, on disk and in memory, must answer everything as the model does."""

import shutil
import tempfile
from pathlib import Path
from typing import Any, ClassVar

import counterpoint as cp
import pytest
from hypothesis import seed
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.budget import SEED, examples, tries
from tests.model import Draft, Guard, Items, Model, Stored, condition_of, log_of, query_of, stored

# Small alphabets, so that things collide. "a,b" and "a\0b" are what joined tags would look like.
TYPES = st.sampled_from(["A", "B", "C"])
TAGS = st.sampled_from(["a", "b", "c", "a,b", "a\x00b"])
NAMES = st.sampled_from(["one", "two"])

# Mostly small, at times so large that a segment holds one event, or that one event is larger than a segment.
DATA = st.one_of(
    st.binary(max_size=20),
    st.integers(500, 6000).map(lambda size: bytes([size % 256]) * size),
)
DRAFTS = st.builds(
    Draft,
    type=TYPES,
    tags=st.lists(TAGS, max_size=4).map(tuple),
    data=DATA,
    metadata=st.none() | st.binary(max_size=8),
    id=st.none() | st.uuids(),
)
ITEM = st.tuples(st.lists(TYPES, max_size=2).map(tuple), st.lists(TAGS, max_size=2).map(tuple)).filter(any)
ITEMS = st.none() | st.lists(ITEM, min_size=1, max_size=3).map(tuple)

# A position is said from the start, from the head, or is beyond every log.
PLACES = st.one_of(
    st.tuples(st.just("start"), st.integers(0, 12)),
    st.tuples(st.just("head"), st.integers(-6, 2)),
    st.tuples(st.just("start"), st.sampled_from([2**63, 2**64 - 1, 2**64, 2**70])),
)
GUARDS = st.lists(st.tuples(ITEMS, PLACES), max_size=4)

Place = tuple[str, int]


class Story(RuleBasedStateMachine):
    """What every store can do. `open` and `reopen` differ by kind."""

    def open(self) -> cp.EmbeddedStore:
        return cp.open("memory:", segment_bytes=4096)

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.cursors: dict[str, int] = {}
        self.reads: list[tuple[cp.Read, list[Stored], int]] = []
        self.subscriptions: list[tuple[cp.Subscription, Items, int]] = []
        self.store = self.open()

    def teardown(self) -> None:
        self.store.close()

    def place(self, place: Place) -> int:
        origin, distance = place
        return max(0, distance + (self.model.head() if origin == "head" else 0))

    # Appends

    @initialize(history=st.lists(st.lists(DRAFTS, min_size=1, max_size=3), max_size=8))
    def some_history(self, history: list[list[Draft]]) -> None:
        for drafts in history:
            self.append(drafts)

    @rule(drafts=st.lists(DRAFTS, min_size=1, max_size=5))
    def append(self, drafts: list[Draft]) -> None:
        self.model.append(drafts)
        assert self.store.append(draft.raw() for draft in drafts) == self.model.head()

    @rule(drafts=st.lists(DRAFTS, min_size=1, max_size=3), guards=GUARDS)
    def append_under_conditions(self, drafts: list[Draft], guards: list[tuple[Items, Place]]) -> None:
        self.append_or_conflict(drafts, [Guard(items, self.place(place)) for items, place in guards])

    @rule(drafts=st.lists(DRAFTS, min_size=1, max_size=3), items=ITEMS)
    def read_decide_append(self, drafts: list[Draft], items: Items) -> None:
        """Nothing comes between the read and the append, so this always succeeds."""
        read = self.store.read(query_of(items))
        guard = Guard(items, read.head)
        assert not self.model.conflicts([guard])
        self.append_or_conflict(drafts, [guard])

    def append_or_conflict(self, drafts: list[Draft], guards: list[Guard]) -> None:
        conflicts = self.model.append(drafts, guards)
        given = [condition_of(guard) for guard in guards]
        condition = given[0] if len(given) == 1 else given
        events = [draft.raw() for draft in drafts]
        if not conflicts:
            assert self.store.append(events, condition) == self.model.head()
            return
        with pytest.raises(cp.AppendConditionFailed) as refused:
            self.store.append(events, condition)
        broken = {(condition_of(guard), position) for guard, position in conflicts}
        assert (refused.value.condition, refused.value.position) in broken

    @rule(items=ITEMS)
    def append_nothing(self, items: Items) -> None:
        with pytest.raises(ValueError, match="at least one event"):
            self.store.append([], condition_of(Guard(items)))

    # Reads

    @rule(
        items=ITEMS,
        after=st.none() | PLACES,
        until=st.none() | PLACES,
        reverse=st.booleans(),
        limit=st.none() | st.integers(1, 9),
        carried=st.booleans(),
    )
    def read(
        self,
        items: Items,
        after: Place | None,
        until: Place | None,
        reverse: bool,
        limit: int | None,
        carried: bool,
    ) -> None:
        """Every form of a read, said by arguments or carried by the query."""
        start = 0 if after is None else self.place(after)
        end = None if until is None else self.place(until)
        expected = self.model.read(items, after=start, until=end, reverse=reverse, limit=limit)
        query = query_of(items)
        if carried:
            query = query.after(start)
            query = query if limit is None else query.limit(limit)
            query = query if end is None else query.until(end)
            query = query.reverse() if reverse else query
            read = self.store.read(query)
        else:
            read = self.store.read(query, after=start, until=end, reverse=reverse, limit=limit)
        assert read.head == self.model.head()
        assert [stored(event) for event in read] == expected

    @rule(items=ITEMS, reverse=st.booleans())
    def start_a_read(self, items: Items, reverse: bool) -> None:
        read = self.store.read(query_of(items), reverse=reverse)
        self.reads.append((read, self.model.read(items, reverse=reverse), self.model.head()))

    @precondition(lambda self: self.reads)
    @rule(keep=st.booleans())
    def finish_a_read(self, keep: bool) -> None:
        """However much was appended since, a read is of its own snapshot."""
        read, expected, head = self.reads[0] if keep else self.reads.pop(0)
        assert read.head == head
        assert [stored(event) for event in read] == expected

    # Subscriptions

    @rule(items=ITEMS, after=PLACES)
    def subscribe(self, items: Items, after: Place) -> None:
        start = self.place(after)
        self.subscriptions.append((self.store.subscribe(query_of(items), after=start), items, start))

    @precondition(lambda self: self.subscriptions)
    @rule(data=st.data())
    def follow(self, data: st.DataObject) -> None:
        """A subscription delivers what a read would, and then nothing."""
        number = data.draw(st.integers(0, len(self.subscriptions) - 1))
        subscription, items, start = self.subscriptions[number]
        steps = data.draw(st.integers(1, 20))
        due = self.model.read(items, after=start, limit=steps)
        delivered = [event for event in (subscription.try_next() for _ in range(steps)) if event is not None]
        assert [stored(event) for event in delivered] == due
        self.subscriptions[number] = (subscription, items, due[-1].position if due else start)

    @precondition(lambda self: self.subscriptions)
    @rule()
    def unsubscribe(self) -> None:
        self.subscriptions.pop(0)[0].close()

    # Head and cursors

    @invariant()
    def heads_agree(self) -> None:
        assert self.store.head() == self.model.head()

    @rule(after=PLACES)
    def wait(self, after: Place) -> None:
        start = self.place(after)
        assert self.store.wait(start, timeout=None if start < self.model.head() else 0) == self.model.head()

    @rule(name=NAMES, place=PLACES.filter(lambda place: place[1] < 2**63))
    def set_cursor(self, name: str, place: Place) -> None:
        assert self.store.set_cursor(name, self.place(place))
        self.cursors[name] = self.place(place)

    @rule(name=NAMES, position=st.integers(0, 3), expected=st.integers(0, 3))
    def set_cursor_if(self, name: str, position: int, expected: int) -> None:
        won = self.cursors.get(name, 0) == expected
        assert self.store.set_cursor(name, position, expected=expected) is won
        if won:
            self.cursors[name] = position

    @rule(name=NAMES)
    def get_cursor(self, name: str) -> None:
        assert self.store.get_cursor(name) == self.cursors.get(name, 0)


class StoryOnDisk(Story):
    """The same, with closing and opening again, and segments so small that every story has several."""

    options: ClassVar[dict[str, Any]] = {"segment_bytes": 4096}

    def open(self) -> cp.EmbeddedStore:
        if not hasattr(self, "home"):
            self.home = Path(tempfile.mkdtemp(prefix="counterpoint-"))
        return cp.open(self.home / "store", **self.options)

    def teardown(self) -> None:
        super().teardown()
        self.store = self.open()
        try:
            assert log_of(self.store) == self.model.read()
        finally:
            self.store.close()
            shutil.rmtree(self.home)

    @rule()
    def reopen(self) -> None:
        self.store.close()
        for subscription, _, _ in self.subscriptions:
            with pytest.raises(cp.StoreClosed):
                next(subscription)
        self.reads.clear()
        self.subscriptions.clear()
        self.store = self.open()
        assert log_of(self.store) == self.model.read()


class StoryOnDiskLater(StoryOnDisk):
    """The same without waiting for the disk."""

    options: ClassVar[dict[str, Any]] = {"segment_bytes": 8192, "durability": "os"}


@pytest.mark.timeout(tries(400, 0))  # A green run takes seconds; a red one needs time to shrink its story.
@pytest.mark.parametrize("story", [Story, StoryOnDisk, StoryOnDiskLater])
def test_the_store_answers_everything_as_the_model_does(story: type[Story]) -> None:
    settings = examples(default=40, soak=5000, stateful_step_count=30)
    run_state_machine_as_test(seed(SEED)(story), settings=settings)
