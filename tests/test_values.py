"""Values: equal by content, hashable, frozen, printable, and the same after pickle and copy."""

import copy
import pickle
from typing import Any
from uuid import UUID

import counterpoint as cp
import pytest
from hypothesis import given, seed
from hypothesis import strategies as st

from tests.budget import SEED, examples
from tests.model import matches, query_of

ID = UUID("00112233-4455-6677-8899-aabbccddeeff")

# Each value with the others that differ from it in one thing.
RAW: dict[str, Any] = {"type": "A", "data": b"d", "tags": ("x", "y"), "metadata": b"m", "id": ID}
RAW_OTHER: dict[str, Any] = {"type": "B", "data": b"e", "tags": ("x",), "metadata": None, "id": None}
SEQUENCED = RAW | {"position": 7, "recorded_at": 1_700_000_000_000_000}
SEQUENCED_OTHER = RAW_OTHER | {"position": 8, "recorded_at": 0}

A_TAGGED = cp.Query().add_item(types=["A"], tags=["x", "y"])
VALUES: dict[str, tuple[Any, Any, list[Any]]] = {
    "RawEvent": (
        cp.RawEvent(**RAW),
        cp.RawEvent(**RAW),
        [cp.RawEvent(**(RAW | {name: value})) for name, value in RAW_OTHER.items()],
    ),
    "SequencedEvent": (
        cp.SequencedEvent(**SEQUENCED),
        cp.SequencedEvent(**SEQUENCED),
        [cp.SequencedEvent(**(SEQUENCED | {name: value})) for name, value in SEQUENCED_OTHER.items()],
    ),
    "QueryItem": (
        cp.QueryItem(types=["A", "B"], tags=["x"]),
        cp.QueryItem(["A", "B"], ["x"]),
        [
            cp.QueryItem(["A"], ["x"]),
            cp.QueryItem(["A", "B"]),
            cp.QueryItem([], ["x"]),
            cp.QueryItem(["x"], ["A", "B"]),
        ],
    ),
    "Query": (
        A_TAGGED.add_item(tags=["z"]).after(3).limit(2).reverse(),
        cp.Query()
        .add_item(types=("A",), tags=("x", "y"))
        .add_item(tags=iter("z"))
        .reverse()
        .limit(2)
        .after(3),
        [
            A_TAGGED,
            A_TAGGED.add_item(tags=["z"]).after(3).limit(2),
            A_TAGGED.after(3).limit(2).reverse(),
            cp.Query(),
        ],
    ),
    "Query.all": (
        cp.Query.all(),
        cp.Query.all(),
        [cp.Query(), cp.Query.all().after(1), cp.Query.all().limit(1)],
    ),
    "AppendCondition": (
        cp.AppendCondition(A_TAGGED, after=3),
        cp.AppendCondition(query=A_TAGGED, after=3),
        [cp.AppendCondition(A_TAGGED), cp.AppendCondition(cp.Query.all(), after=3), A_TAGGED],
    ),
}


@pytest.mark.parametrize("name", VALUES)
def test_values_are_equal_by_content(name: str) -> None:
    value, same, others = VALUES[name]
    assert value == same
    assert hash(value) == hash(same)
    assert len({value, same}) == 1
    for other in others:
        assert value != other
        assert len({value, other}) == 2


@pytest.mark.parametrize("name", VALUES)
def test_values_are_unequal_to_anything_else(name: str) -> None:
    value, _, _ = VALUES[name]
    for other in (None, 1, "A", (), object(), *[each for key, (each, _, _) in VALUES.items() if key != name]):
        assert value != other


def test_a_raw_event_is_not_the_sequenced_event_it_became() -> None:
    assert cp.RawEvent("A", b"") != cp.SequencedEvent(1, "A", b"")


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_values_survive_pickle(name: str, protocol: int) -> None:
    value, _, others = VALUES[name]
    for each in (value, *others):
        again = pickle.loads(pickle.dumps(each, protocol))
        assert type(again) is type(each)
        assert again == each
        assert hash(again) == hash(each)
        assert repr(again) == repr(each)


@pytest.mark.parametrize("name", VALUES)
def test_values_survive_copy(name: str) -> None:
    value, _, _ = VALUES[name]
    assert copy.copy(value) == copy.deepcopy(value) == copy.deepcopy([value])[0] == value


@pytest.mark.parametrize("name", VALUES)
def test_values_are_frozen(name: str) -> None:
    value, _, _ = VALUES[name]
    for attribute in ("type", "data", "tags", "types", "position", "query", "after", "items", "invented"):
        with pytest.raises((AttributeError, TypeError)):
            setattr(value, attribute, "changed")


@pytest.mark.parametrize("name", VALUES)
def test_the_repr_of_a_value_begins_with_its_name(name: str) -> None:
    value, same, _ = VALUES[name]
    assert repr(value).startswith(type(value).__name__)
    assert repr(value) == repr(same)


def test_the_repr_of_an_event_tells_what_it_is() -> None:
    for shown in ("'A'", "'x'", "'y'", "b'd'"):
        assert shown in repr(cp.RawEvent(**RAW))
        assert shown in repr(cp.SequencedEvent(**SEQUENCED))
    assert "7" in repr(cp.SequencedEvent(**SEQUENCED))


def test_the_repr_of_a_query_makes_the_same_query() -> None:
    for query in (VALUES["Query"][0], cp.Query.all(), cp.Query.all().after(9), cp.Query(), A_TAGGED.until(4)):
        assert eval(repr(query), {"Query": cp.Query}) == query


def test_a_raw_event_gives_back_what_it_was_made_of() -> None:
    event = cp.RawEvent(**RAW)
    assert {name: getattr(event, name) for name in RAW} == RAW
    assert type(event.tags) is tuple
    assert type(event.data) is bytes
    assert type(event.id) is UUID
    bare = cp.RawEvent("A", b"")
    assert (bare.tags, bare.metadata, bare.id) == ((), None, None)


def test_the_tags_of_an_event_and_both_sides_of_an_item_lose_duplicates() -> None:
    assert cp.RawEvent("A", b"", ["b", "a", "b"]).tags == ("b", "a")
    item = cp.QueryItem(["B", "A", "B"], ["b", "a", "b"])
    assert (item.types, item.tags) == (("B", "A"), ("b", "a"))


def test_events_come_back_as_the_same_values(store: cp.EmbeddedStore) -> None:
    store.append([cp.RawEvent(**RAW), cp.RawEvent("A", b"")])
    first, second = store.read()
    assert first == cp.SequencedEvent(position=1, recorded_at=first.recorded_at, **RAW)
    assert second == cp.SequencedEvent(2, "A", b"", recorded_at=second.recorded_at)
    assert pickle.loads(pickle.dumps(first)) == copy.copy(first) == first
    assert list(store.read()) == [first, second]
    assert len({first, second, *store.read()}) == 2


def test_a_query_is_never_changed_by_what_is_made_of_it() -> None:
    base = cp.Query().add_item(types=["A"])
    made = [base.add_item(types=["B"]), base.after(3), base.limit(1), base.reverse(), base.until(2)]
    assert base == cp.Query().add_item(types=["A"])
    assert len({base, *made}) == 6
    assert cp.Query() == cp.Query()


def test_an_event_class_stands_for_its_type_names_in_a_query() -> None:
    class Renamed(cp.Event):
        former_types = ("OldName", "OlderName")

    assert cp.Query().add_item(types=[Renamed, "Other"]) == cp.Query().add_item(
        types=["Renamed", "OldName", "OlderName", "Other"]
    )


TEXTS = st.lists(st.sampled_from(["A", "B", "a", "b", "a,b", "\x00"]), max_size=3).map(tuple)


@seed(SEED)
@examples(default=200, soak=20_000)
@given(
    items=st.lists(st.tuples(TEXTS, TEXTS).filter(any), min_size=1, max_size=3),
    type=st.sampled_from("AB"),
    tags=TEXTS,
)
def test_a_query_matches_what_the_model_says(items: list[Any], type: str, tags: tuple[str, ...]) -> None:
    query = query_of(tuple(items))
    for event in (cp.RawEvent(type, b"", tags), cp.SequencedEvent(1, type, b"", tags)):
        assert query.matches(event) == matches(tuple(items), type, tags)
        assert cp.Query.all().matches(event)
    for types, all_tags in items:
        assert cp.QueryItem(types, all_tags).matches(type, tags) == matches(((types, all_tags),), type, tags)
    assert pickle.loads(pickle.dumps(query)) == query
