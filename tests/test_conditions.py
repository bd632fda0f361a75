"""Append conditions: a matrix of broken and unbroken ones, and the bugs that peers had here."""

import counterpoint as cp
import pytest

from tests.model import Draft, Guard, Items, Model, condition_of, log_of

HISTORY = [
    Draft("Opened", ("account:1", "bank:a")),
    Draft("Opened", ("account:2", "bank:b")),
    Draft("Moved", ("account:1", "account:2")),
    Draft("Closed", ("account:2",)),
]

# Each condition with every position that breaks it.
CONFLICTING: dict[str, tuple[Items, int, set[int]]] = {
    "a type": (((("Opened",), ()),), 0, {1, 2}),
    "a tag": ((((), ("account:1",)),), 0, {1, 3}),
    "one of several types": (((("Nope", "Closed"), ()),), 0, {4}),
    "all of several tags": ((((), ("account:2", "account:1")),), 0, {3}),
    "a type and a tag": (((("Opened",), ("bank:b",)),), 1, {2}),
    "one of several items": (((("Nope",), ()), ((), ("nope",)), (("Moved",), ("account:2",))), 0, {3}),
    "a type after all but the last": (((("Closed",), ()),), 3, {4}),
    "everything": (None, 3, {4}),
}

NOT_CONFLICTING: dict[str, tuple[Items, int]] = {
    "an unknown type": (((("Nope",), ()),), 0),
    "an unknown tag": ((((), ("nope",)),), 0),
    "a known type with a known tag that no one event has": (((("Closed",), ("account:1",)),), 0),
    "two known tags that no one event has": ((((), ("bank:a", "bank:b")),), 0),
    "items that mix type and tag of different events": (
        ((("Closed",), ("bank:b",)), (("Moved",), ("bank:a",))),
        0,
    ),
    "a type after its last event": (((("Opened",), ()),), 2),
    "a tag after its last event": ((((), ("account:2",)),), 4),
    "everything after the head": (None, 4),
}


@pytest.fixture
def bank(store: cp.EmbeddedStore) -> cp.EmbeddedStore:
    store.append([draft.raw() for draft in HISTORY[:2]])
    store.append([draft.raw() for draft in HISTORY[2:]])
    return store


@pytest.mark.parametrize("name", CONFLICTING)
def test_a_condition_that_an_event_matches_is_broken_by(bank: cp.EmbeddedStore, name: str) -> None:
    items, after, breaking = CONFLICTING[name]
    condition = condition_of(Guard(items, after))
    with pytest.raises(cp.AppendConditionFailed) as refused:
        bank.append([cp.RawEvent(type="New", data=b"")], condition)
    assert refused.value.position in breaking
    assert refused.value.condition == condition
    assert refused.value.attempts == 1
    assert bank.head() == 4


@pytest.mark.parametrize("name", NOT_CONFLICTING)
def test_a_condition_that_no_event_matches_is_not_broken_by(bank: cp.EmbeddedStore, name: str) -> None:
    items, after = NOT_CONFLICTING[name]
    assert bank.append([cp.RawEvent(type="New", data=b"")], condition_of(Guard(items, after))) == 5


def test_the_matrix_agrees_with_the_model() -> None:
    model = Model()
    assert not model.append(HISTORY)
    for items, after, breaking in CONFLICTING.values():
        assert {position for _, position in model.conflicts([Guard(items, after)])} == breaking
    for items, after in NOT_CONFLICTING.values():
        assert not model.conflicts([Guard(items, after)])


@pytest.mark.parametrize("name", CONFLICTING)
def test_one_broken_condition_among_all_unbroken_ones_refuses(bank: cp.EmbeddedStore, name: str) -> None:
    items, after, breaking = CONFLICTING[name]
    broken = condition_of(Guard(items, after))
    fine = [condition_of(Guard(*each)) for each in NOT_CONFLICTING.values()]
    for conditions in ([broken, *fine], [*fine, broken], (*fine[:4], broken, *fine[4:])):
        with pytest.raises(cp.AppendConditionFailed) as refused:
            bank.append([cp.RawEvent(type="New", data=b"")], conditions)
        assert refused.value.position in breaking
        assert refused.value.condition == broken
    assert bank.append([cp.RawEvent(type="New", data=b"")], fine) == 5


def test_a_failed_condition_is_an_outcome_and_not_storage_trouble() -> None:
    assert issubclass(cp.AppendConditionFailed, cp.Error)
    assert not issubclass(cp.AppendConditionFailed, cp.StorageError)
    for trouble in (cp.CorruptionError, cp.PoisonedError):
        assert issubclass(trouble, cp.StorageError)


def test_only_the_items_of_a_query_count_in_a_condition(bank: cp.EmbeddedStore) -> None:
    """A query that was read with a limit guards the whole of what it matches, not what was seen."""
    query = cp.Query().add_item(types=["Opened"]).after(2).limit(1).reverse()
    with pytest.raises(cp.AppendConditionFailed):
        bank.append([cp.RawEvent(type="New", data=b"")], cp.AppendCondition(query))
    assert bank.append([cp.RawEvent(type="New", data=b"")], cp.AppendCondition(query, after=2)) == 5


def test_a_condition_on_an_empty_store_holds(store: cp.EmbeddedStore) -> None:
    assert store.append([Draft("A").raw()], cp.AppendCondition(cp.Query.all())) == 1


def test_a_batch_is_not_checked_against_its_own_events(store: cp.EmbeddedStore) -> None:
    """I11."""
    unclaimed = cp.AppendCondition(cp.Query().add_item(types=["Claimed"], tags=["name:ada"]))
    claim = Draft("Claimed", ("name:ada",)).raw()
    assert store.append([claim, claim, claim], [unclaimed, cp.AppendCondition(cp.Query.all())]) == 3


@pytest.mark.parametrize("place", range(5))
def test_any_one_event_of_a_batch_breaks_the_condition_of_another(
    store: cp.EmbeddedStore, place: int
) -> None:
    """A peer checked a condition only against the last event of a batch."""
    batch = [Draft("Other", ("other",)).raw() for _ in range(5)]
    batch[place] = Draft("Claimed", ("name:ada",)).raw()
    store.append(batch)
    for query in (cp.Query().add_item(types=["Claimed"]), cp.Query().add_item(tags=["name:ada"])):
        with pytest.raises(cp.AppendConditionFailed) as refused:
            store.append([Draft("Claimed", ("name:ada",)).raw()], cp.AppendCondition(query))
        assert refused.value.position == place + 1


@pytest.mark.parametrize("separator", [",", ";", " ", "|", ":", "\x00", "\x1f", "\n", "\t", "/", "\\", '"'])
def test_tags_never_collide_with_tags_that_hold_a_separator(store: cp.EmbeddedStore, separator: str) -> None:
    """A peer joined tags with a separator. The same for a type beside a tag."""
    joined = f"a{separator}b"
    store.append([Draft("T", ("a", "b")).raw(), Draft("T", (joined,)).raw()])
    query = cp.Query()
    assert [e.position for e in store.read(query.add_item(tags=[joined]))] == [2]
    assert [e.position for e in store.read(query.add_item(tags=["a", "b"]))] == [1]
    assert [e.position for e in store.read(query.add_item(tags=["a"]))] == [1]
    assert [e.position for e in store.read(query.add_item(types=[f"T{separator}a"]))] == []
    assert store.append([Draft("U").raw()], cp.AppendCondition(query.add_item(tags=[joined]), after=2)) == 3
    with pytest.raises(cp.AppendConditionFailed) as refused:
        store.append([Draft("U").raw()], cp.AppendCondition(query.add_item(tags=[joined])))
    assert refused.value.position == 2


def test_a_type_and_a_tag_of_the_same_text_stay_apart(store: cp.EmbeddedStore) -> None:
    store.append([Draft("word", ("tag",)).raw(), Draft("tag", ("word",)).raw()])
    assert [e.position for e in store.read(cp.Query().add_item(types=["word"]))] == [1]
    assert [e.position for e in store.read(cp.Query().add_item(tags=["word"]))] == [2]


def test_an_event_with_more_tags_than_the_condition_names_still_breaks_it(store: cp.EmbeddedStore) -> None:
    store.append([Draft("T", tuple(f"tag:{n}" for n in range(64))).raw()])
    for n in range(0, 64, 9):
        with pytest.raises(cp.AppendConditionFailed):
            store.append([Draft("U").raw()], cp.AppendCondition(cp.Query().add_item(tags=[f"tag:{n}"])))


def test_a_conflict_is_found_however_far_behind_the_head_it_is(store: cp.EmbeddedStore) -> None:
    """Sealed segments answer as the tail does, at each boundary of `after`."""
    model = Model()
    for n in range(300):
        draft = Draft("Even" if n % 2 == 0 else "Odd", (f"n:{n}", f"mod7:{n % 7}"), data=bytes(64))
        model.append([draft])
        store.append([draft.raw()])
    assert log_of(store) == model.read()
    for n in range(0, 300, 13):
        items: Items = (((), (f"n:{n}",)),)
        with pytest.raises(cp.AppendConditionFailed) as refused:
            store.append([Draft("New").raw()], condition_of(Guard(items, n)))
        assert refused.value.position == n + 1
        both: Items = ((("Even", "Odd"), (f"n:{n}", f"mod7:{n % 7}")),)
        for guard in (Guard(items, n + 1), Guard(both, n + 1)):
            store.append([Draft("New").raw()], condition_of(guard))
