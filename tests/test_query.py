"""Queries and append conditions as values: what they are made of, and what is refused at once."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import counterpoint as cp
import pytest

A = cp.Query().add_item(types=["A"])
EVERYTHING = cp.Query.all()


class Renovated(cp.Event):
    event_type = "test.renovated"
    former_types = ("test.repaired", "test.patched")


def test_an_item_is_added_and_the_query_stays_as_it_was() -> None:
    both = A.add_item(tags=["x", "y"])
    assert A.items == (cp.QueryItem(types=["A"]),)
    assert both.items == (cp.QueryItem(types=["A"]), cp.QueryItem(tags=["x", "y"]))


def test_an_event_class_stands_for_its_name_and_its_former_names() -> None:
    query = cp.Query().add_item(types=[Renovated, "Other"])
    assert query.items == (cp.QueryItem(types=["test.renovated", "test.repaired", "test.patched", "Other"]),)


def test_a_type_name_stands_for_itself_only() -> None:
    assert cp.Query().add_item(types=["test.renovated"]).items == (cp.QueryItem(types=["test.renovated"]),)


def test_types_and_tags_may_be_any_iterable() -> None:
    assert cp.Query().add_item(types=iter(["A"]), tags={"x": 1}) == cp.Query().add_item(
        types=["A"], tags=("x",)
    )


@pytest.mark.parametrize("sides", [{}, {"types": []}, {"tags": ()}, {"types": iter(()), "tags": iter(())}])
def test_an_item_with_both_sides_empty_is_refused_at_once(sides: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"an item needs types or tags.*Query\.all\(\)"):
        cp.Query().add_item(**sides)


def test_an_item_cannot_be_added_to_the_query_for_everything() -> None:
    with pytest.raises(ValueError, match=r"Query\(\)"):
        EVERYTHING.add_item(types=["A"])


@pytest.mark.parametrize("side", ["types", "tags"])
@pytest.mark.parametrize(
    ("wrong", "advice"),
    [
        ("abc", r"SIDE=\['abc'\]"),
        (Renovated, r"SIDE=\[Renovated\]"),
        (None, "leave SIDE out"),
        (b"abc", "not bytes"),
        (1, "not int"),
    ],
)
def test_a_side_that_is_no_list_is_refused(side: str, wrong: Any, advice: str) -> None:
    with pytest.raises(TypeError, match=f"{side} must be a list.*{advice.replace('SIDE', side)}"):
        cp.Query().add_item(**{side: wrong})


def test_the_sides_are_named() -> None:
    """Two lists of str in a row: tags in the place of types would match nothing, and guard nothing."""
    with pytest.raises(TypeError):
        cp.Query().add_item(["order:o1"])  # type: ignore[call-arg, misc, unused-ignore]


def test_an_instance_among_the_types_is_refused_with_what_belongs_there() -> None:
    with pytest.raises(TypeError, match="a type must be a str or an event class, not Renovated"):
        cp.Query().add_item(types=[Renovated()])  # type: ignore[list-item]


@pytest.mark.parametrize("wrong", ["abc", ["A"], [Renovated], [None], [cp.Query.all()]])
def test_a_query_is_of_items(wrong: Any) -> None:
    with pytest.raises(TypeError, match="an item must be a QueryItem"):
        cp.Query.of(wrong)


@pytest.mark.parametrize("wrong", [[1], [None], [b"A"], [["A"]], [int], [object()]])
def test_a_type_is_a_name_or_an_event_class(wrong: Any) -> None:
    with pytest.raises(TypeError):
        cp.Query().add_item(types=wrong)


def test_a_class_that_is_no_event_is_named() -> None:
    with pytest.raises(TypeError, match="NoEvent is not an event class"):
        cp.Query().add_item(types=[type("NoEvent", (), {})])


@pytest.mark.parametrize(
    "use",
    [
        lambda query: query.items,
        lambda query: query.matches(cp.RawEvent("A", b"")),
        cp.AppendCondition,
        lambda query: cp.open("memory:").read(query),
        lambda query: cp.open("memory:").subscribe(query),
        lambda query: cp.ReadAppender(cp.open("memory:")).read_events(query),
    ],
)
@pytest.mark.parametrize("query", [cp.Query(), cp.Query().after(3).reverse()])
def test_a_query_without_items_is_refused_wherever_it_is_used(
    query: cp.Query, use: Callable[[cp.Query], object]
) -> None:
    with pytest.raises(ValueError, match=r"no items.*Query\.all\(\)"):
        use(query)


@pytest.mark.parametrize("bound", ["after", "until", "limit"])
@pytest.mark.parametrize("wrong", [True, 1.0, "1", None, [1]])
def test_a_bound_is_an_int(bound: str, wrong: Any) -> None:
    with pytest.raises(TypeError, match=f"{bound} must be an int"):
        getattr(A, bound)(wrong)


@pytest.mark.parametrize(
    ("bound", "wrong"), [("after", -1), ("until", -(2**70)), ("limit", -1), ("limit", 0)]
)
def test_a_bound_has_a_least_value(bound: str, wrong: int) -> None:
    with pytest.raises(ValueError, match=f"{bound} must be . or more, not {wrong}"):
        getattr(A, bound)(wrong)


def test_a_bound_set_again_is_replaced() -> None:
    assert A.after(5).limit(2).until(9).after(3).limit(7).until(8) == A.after(3).limit(7).until(8)


@pytest.mark.parametrize(
    ("query", "arguments", "tightened"),
    [
        (A, {}, A),
        (A.after(3), {"after": 2}, A.after(3)),
        (A.after(3), {"after": 4}, A.after(4)),
        (A.until(3), {"until": 2}, A.until(2)),
        (A.until(3), {"until": 4}, A.until(3)),
        (A, {"until": 4}, A.until(4)),
        (A.limit(3), {"limit": 2}, A.limit(2)),
        (A.limit(3), {"limit": 4}, A.limit(3)),
        (A, {"limit": 4}, A.limit(4)),
        (A.reverse(), {"reverse": False}, A.reverse()),
        (A, {"reverse": True}, A.reverse()),
    ],
)
def test_the_arguments_of_a_read_tighten_what_the_query_says(
    query: cp.Query, arguments: dict[str, Any], tightened: cp.Query
) -> None:
    store = cp.open("memory:")
    store.append([cp.RawEvent(name, b"") for name in "AABAAABA"])
    assert list(store.read(query, **arguments)) == list(store.read(tightened))


def test_matching_is_any_item_all_tags_any_type() -> None:
    query = cp.Query().add_item(types=["A", "B"], tags=["x", "y"]).add_item(tags=["z"])
    for type_, tags, expected in [
        ("A", ["x", "y"], True),
        ("B", ["y", "w", "x"], True),
        ("C", ["x", "y"], False),
        ("A", ["x"], False),
        ("C", ["z"], True),
        ("A", [], False),
    ]:
        event = cp.RawEvent(type_, b"", tags)
        envelope = cp.Envelope(None, 1, type_, tuple(tags), 0)
        assert query.matches(event) == query.matches(envelope) == expected
        assert EVERYTHING.matches(event)


@pytest.mark.parametrize(
    "query",
    [
        EVERYTHING,
        EVERYTHING.after(3).until(9).reverse().limit(2),
        cp.Query(),
        A.add_item(types=["B"], tags=["x", "y"]),
    ],
)
def test_a_query_is_a_value(query: cp.Query) -> None:
    for same in (pickle.loads(pickle.dumps(query)), copy.deepcopy(query), eval(repr(query), vars(cp))):
        assert same == query
        assert hash(same) == hash(query)
    assert query != query.after(77)
    with pytest.raises(AttributeError):
        query.items = ()  # type: ignore[misc]


def test_a_condition_keeps_the_items_of_its_query_only() -> None:
    condition = cp.AppendCondition(A.after(3).until(9).reverse().limit(2), after=5)
    assert condition == cp.AppendCondition(A, 5)
    assert condition.query == A
    assert pickle.loads(pickle.dumps(condition)) == condition
    assert len({condition, cp.AppendCondition(A, 5), cp.AppendCondition(A)}) == 2
    with pytest.raises(AttributeError):
        condition.after = 1  # type: ignore[misc]


def test_a_condition_guards_the_whole_log_by_default_and_may_be_past_any_head() -> None:
    assert cp.AppendCondition(A).after == 0
    assert cp.AppendCondition(A, after=2**80).after == 2**80


@pytest.mark.parametrize("wrong", [None, "A", [A], cp.QueryItem(["A"]), cp.Query])
def test_the_query_of_a_condition_is_a_query(wrong: Any) -> None:
    with pytest.raises(TypeError, match="must be a Query"):
        cp.AppendCondition(wrong)


@pytest.mark.parametrize(
    ("wrong", "error"), [(True, TypeError), ("1", TypeError), (1.0, TypeError), (-1, ValueError)]
)
def test_the_after_of_a_condition_is_a_position(wrong: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="after must be"):
        cp.AppendCondition(A, after=wrong)


def test_a_failed_condition_says_which_event_broke_what() -> None:
    store = cp.open("memory:")
    store.append([cp.RawEvent("A", b"", ["x"])])
    conditions = [cp.AppendCondition(cp.Query().add_item(types=["B"])), cp.AppendCondition(A)]
    with pytest.raises(cp.AppendConditionFailed) as caught:
        store.append([cp.RawEvent("B", b"")], conditions)
    error = caught.value
    assert (error.position, error.condition, error.attempts) == (1, conditions[1], 1)
    assert "position 1" in str(error)
    assert "'A'" in str(error)
    assert "attempts" not in str(error)
    error.attempts = 4
    again = pickle.loads(pickle.dumps(error))
    assert (again.position, again.condition, again.attempts) == (1, conditions[1], 4)
    assert "4 attempts" in str(again)
    assert not isinstance(error, cp.StorageError)
