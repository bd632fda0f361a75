"""Wrong arguments of every public function: a `TypeError` or `ValueError`, and the store is unharmed."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from decimal import Decimal
from itertools import repeat
from typing import Any
from uuid import UUID

import counterpoint as cp
import pytest

from tests.model import Draft, log_of

A = cp.Query().add_item(types=["A"])
NOT_INT = [True, False, 1.0, float("nan"), "1", b"1", [1], object()]
NOT_TEXTS: list[Any] = ["abc", b"abc", 1, None, [b"abc"], [1], [None], ["a", 2], {1: "a"}, object()]
NOT_BYTES = ["text", 1, ["a"], object(), 1.5]


@pytest.fixture
def one(store: cp.EmbeddedStore) -> Iterator[cp.EmbeddedStore]:
    """A store of one event, which must be all that it holds after the test, and still append."""
    store.append([Draft("A", ("a",)).raw()])
    before = log_of(store)
    yield store
    assert log_of(store) == before
    assert store.append([Draft("A", ("a",)).raw()]) == 2
    assert [e.position for e in store.read(A)] == [1, 2]


def calls_with_position(one: cp.EmbeddedStore, wrong: Any) -> list[Callable[[], object]]:
    """Every way to give a position."""
    return [
        lambda: one.read(after=wrong),
        lambda: one.read(until=wrong),
        lambda: one.subscribe(after=wrong),
        lambda: one.wait(wrong, timeout=0),
        lambda: one.set_cursor("c", wrong),
        lambda: one.set_cursor("c", 0, expected=wrong),
        lambda: cp.Query.all().after(wrong),
        lambda: one.append(
            [Draft("B").raw()], cp.AppendCondition(cp.Query().add_item(types=["B"]), after=wrong)
        ),
    ]


@pytest.mark.parametrize("wrong", NOT_INT)
def test_a_position_is_an_int_and_nothing_like_one(one: cp.EmbeddedStore, wrong: Any) -> None:
    for call in calls_with_position(one, wrong):
        with pytest.raises(TypeError):
            call()


@pytest.mark.parametrize("wrong", [-1, -(2**63), -(2**64), -(2**100)])
def test_a_position_is_not_negative(one: cp.EmbeddedStore, wrong: int) -> None:
    for call in calls_with_position(one, wrong):
        with pytest.raises(ValueError, match=str(wrong)):
            call()


@pytest.mark.parametrize("wrong", [True, 1.0, "1", b"1", [1]])
def test_a_limit_is_an_int(one: cp.EmbeddedStore, wrong: Any) -> None:
    with pytest.raises(TypeError):
        one.read(limit=wrong)
    with pytest.raises(TypeError):
        one.read(cp.Query.all().limit(wrong))


@pytest.mark.parametrize("wrong", NOT_TEXTS)
def test_types_and_tags_are_collections_of_str(one: cp.EmbeddedStore, wrong: Any) -> None:
    """A str is an iterable of str: given for a list, it would be its letters."""
    for call in (
        lambda: one.append([cp.RawEvent(type="A", data=b"", tags=wrong)]),
        lambda: one.read(cp.Query().add_item(tags=wrong)),
        lambda: one.read(cp.Query().add_item(types=wrong)),
        lambda: cp.QueryItem(types=wrong),
        lambda: cp.QueryItem(tags=wrong),
    ):
        with pytest.raises(TypeError):
            call()


@pytest.mark.parametrize("wrong", [b"A", 1, None, ["A"], object()])
def test_a_type_and_a_cursor_name_are_str(one: cp.EmbeddedStore, wrong: Any) -> None:
    for call in (
        lambda: one.append([cp.RawEvent(type=wrong, data=b"")]),
        lambda: one.get_cursor(wrong),
        lambda: one.set_cursor(wrong, 1),
    ):
        with pytest.raises(TypeError):
            call()


@pytest.mark.parametrize("wrong", NOT_BYTES)
def test_data_and_metadata_are_bytes(one: cp.EmbeddedStore, wrong: Any) -> None:
    with pytest.raises(TypeError):
        one.append([cp.RawEvent(type="A", data=wrong)])
    with pytest.raises(TypeError):
        one.append([cp.RawEvent(type="A", data=b"", metadata=wrong)])


@pytest.mark.parametrize(
    ("wrong", "advice"),
    [
        ({"user": "ada"}, r"not dict: encode it, as with json\.dumps\(\.\.\.\)\.encode\(\)"),
        (1, r"not int: encode it"),
        ("text", r"not str: encode it, as with \.encode\(\)"),
        (bytearray(b"x"), r"not bytearray: convert it with bytes"),
        (memoryview(b"x"), r"not memoryview: convert it with bytes"),
    ],
)
def test_what_is_not_bytes_is_refused_with_how_to_make_them(wrong: Any, advice: str) -> None:
    with pytest.raises(TypeError, match=f"metadata must be bytes, {advice}"):
        cp.RawEvent("A", b"", metadata=wrong)


def test_data_is_not_none(one: cp.EmbeddedStore) -> None:
    with pytest.raises(TypeError):
        one.append([cp.RawEvent(type="A", data=None)])  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [str(UUID(int=1)), UUID(int=1).bytes, 1, b"", object()])
def test_an_id_is_a_uuid(one: cp.EmbeddedStore, wrong: Any) -> None:
    with pytest.raises(TypeError):
        one.append([cp.RawEvent(type="A", data=b"", id=wrong)])


@pytest.mark.parametrize("surrogate", [0xD800, 0xDC80, 0xDFFF])
def test_lone_surrogates_are_refused(one: cp.EmbeddedStore, surrogate: int) -> None:
    """They have no UTF-8, so they could not come back."""
    text = f"a{chr(surrogate)}b"
    for call in (
        lambda: one.append([cp.RawEvent(type=text, data=b"")]),
        lambda: one.append([cp.RawEvent(type="A", data=b"", tags=["a", text])]),
        lambda: one.read(cp.Query().add_item(types=[text])),
        lambda: one.read(cp.Query().add_item(tags=[text])),
        lambda: one.set_cursor(text, 1),
        lambda: one.get_cursor(text),
    ):
        with pytest.raises(ValueError):  # noqa: PT011 - the codec's own UnicodeEncodeError will do
            call()


def test_nul_is_a_character_like_any_other(store: cp.EmbeddedStore) -> None:
    store.append([cp.RawEvent("A\x00B", b"\x00", ["\x00", "a\x00"])])
    store.append([cp.RawEvent("A", b"\x00", ["a"])])
    assert [
        e.position for e in store.read(cp.Query().add_item(types=["A\x00B"], tags=["\x00", "a\x00"]))
    ] == [1]
    assert [e.position for e in store.read(cp.Query().add_item(types=["A"]))] == [2]
    assert store.set_cursor("\x00", 1)
    assert (store.get_cursor("\x00"), store.get_cursor("\x00\x00")) == (1, 0)


@pytest.mark.parametrize("wrong", [None, 1, True, "A", b"A", object(), [None], ["A"], [b"A"], [1], [["A"]]])
def test_events_are_raw_events(one: cp.EmbeddedStore, wrong: Any) -> None:
    with pytest.raises(TypeError):
        one.append(wrong)


def test_one_raw_event_is_not_a_list_of_them(one: cp.EmbeddedStore) -> None:
    with pytest.raises(TypeError):
        one.append(Draft("A").raw())  # type: ignore[arg-type]


def test_a_sequenced_event_is_not_appended_again(one: cp.EmbeddedStore) -> None:
    with pytest.raises(TypeError):
        one.append(list(one.read()))  # type: ignore[arg-type]


def test_a_typed_event_is_refused_with_a_word_about_read_appender(one: cp.EmbeddedStore) -> None:
    class SomethingTyped(cp.Event):
        amount: int

    for events in (
        [SomethingTyped(amount=1)],
        [Draft("A").raw(), SomethingTyped(amount=1)],
        SomethingTyped(amount=1),
    ):
        with pytest.raises(TypeError, match="ReadAppender"):
            one.append(events)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wrong", [1, True, "all", A, cp.QueryItem(types=["B"]), (A, 0), [A], [None], object()]
)
def test_a_condition_is_an_append_condition(one: cp.EmbeddedStore, wrong: Any) -> None:
    """A query alone is no condition: it does not say after which position."""
    with pytest.raises(TypeError):
        one.append([Draft("A").raw()], wrong)


@pytest.mark.parametrize(
    "wrong", [None, 1, "A", ["A"], cp.QueryItem(types=["A"]), [cp.QueryItem(types=["A"])], object()]
)
def test_a_query_is_a_query(one: cp.EmbeddedStore, wrong: Any) -> None:
    for call in (
        lambda: one.read(wrong),
        lambda: one.subscribe(wrong),
        lambda: one.append([Draft("B").raw()], cp.AppendCondition(wrong)),
    ):
        with pytest.raises(TypeError):
            call()


@pytest.mark.parametrize("wrong", ["1", b"", [1], object(), Decimal("NaN")])
def test_a_timeout_is_a_number(one: cp.EmbeddedStore, wrong: Any) -> None:
    with pytest.raises(TypeError):
        one.wait(5, timeout=wrong)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("wrong", [float("nan"), -1, -0.5])
def test_a_timeout_is_not_negative_and_not_nan(one: cp.EmbeddedStore, wrong: float) -> None:
    """Either refused or no wait at all, but never a wait without end."""
    with suppress(ValueError):
        assert one.wait(5, timeout=wrong) == 1


def test_an_iterable_that_raises_midway_stores_nothing(one: cp.EmbeddedStore) -> None:
    class BoomError(Exception):
        pass

    def events() -> Iterator[cp.RawEvent]:
        yield Draft("A").raw()
        raise BoomError

    def texts() -> Iterator[str]:
        yield "a"
        raise BoomError

    for call in (
        lambda: one.append(events()),
        lambda: one.append([cp.RawEvent("A", b"", texts())]),
        lambda: one.read(cp.Query().add_item(tags=texts())),
        lambda: one.read(cp.Query().add_item(types=texts())),
    ):
        with pytest.raises(BoomError):
            call()


def test_an_iterable_may_use_the_store_while_it_is_consumed(store: cp.EmbeddedStore) -> None:
    """No lock of the engine is held while foreign code runs."""

    def events() -> Iterator[cp.RawEvent]:
        for n in range(3):
            assert store.append([Draft("Inner").raw()]) == n + 1
            assert store.head() == sum(1 for _ in store.read()) == n + 1
            yield Draft("Outer").raw()

    assert store.append(events()) == 6
    assert [e.type for e in store.read()] == ["Inner"] * 3 + ["Outer"] * 3


def test_what_was_given_may_change_afterwards(store: cp.EmbeddedStore) -> None:
    tags, types = ["a"], ["A"]
    event, query, item = (
        cp.RawEvent("A", b"", tags),
        cp.Query().add_item(types=types, tags=tags),
        cp.QueryItem(types),
    )
    tags.append("b")
    types[0] = "B"
    store.append([event])
    assert event.tags == ("a",)
    assert item.types == ("A",)
    assert [e.tags for e in store.read(query)] == [("a",)]


def test_a_list_that_shrinks_or_grows_while_it_is_read_does_no_harm(store: cp.EmbeddedStore) -> None:
    class Restless(list[Any]):
        def __iter__(self) -> Iterator[Any]:
            first = self[0]
            self.clear()
            yield first
            self.extend([first] * 3)

    class Liar(list[Any]):
        def __len__(self) -> int:
            return 2**62

    store.append(Restless([Draft("A").raw(), Draft("A").raw()]))
    with suppress(MemoryError, ValueError):  # Python's own list() believes the length.
        store.append(Liar([Draft("A").raw()]))
    fine = cp.AppendCondition(cp.Query().add_item(types=["Nope"]))
    last = store.append([cp.RawEvent("B", b"", Restless(["a", "b"]))], Restless([fine, fine]))
    assert [e.position for e in store.read()] == list(range(1, last + 1))
    assert [e.tags for e in store.read(cp.Query().add_item(types=["B"]))] == [("a",)]


def test_memory_that_changes_while_it_is_read_is_copied_or_refused(store: cp.EmbeddedStore) -> None:
    data = bytearray(b"before")
    try:
        event = cp.RawEvent("A", data)  # type: ignore[arg-type]
    except TypeError:
        return
    data[:] = b"after!"
    store.append([event])
    assert [e.data for e in store.read()] == [b"before"]


@pytest.mark.parametrize("wrong", [True, 0, b"", "default", cp.EventRegistry])
def test_a_registry_is_a_registry(one: cp.EmbeddedStore, wrong: Any) -> None:
    """Told where it is given, and not at the first event, with a word about a missing attribute."""

    class Count(cp.Projection[int]):
        def query(self) -> cp.Query:
            return A

    for call in (
        lambda: cp.ReadAppender(one, wrong),
        lambda: cp.CommandRunner(one, registry=wrong),
        lambda: cp.CommandWithEffectRunner(one, None, registry=wrong),
        lambda: Count().run(one, wrong),
    ):
        with pytest.raises(TypeError, match="registry must be an EventRegistry or None"):
            call()


@pytest.mark.parametrize("wrong", [None, b"{}", Draft("A").raw(), object()])
def test_what_is_decoded_is_an_event_of_the_log(wrong: Any) -> None:
    with pytest.raises(TypeError, match="decode takes a SequencedEvent"):
        cp.decode(wrong)


@pytest.mark.parametrize("wrong", [None, 1, "A", ["A"], object()])
def test_what_a_query_matches_is_an_event(wrong: Any) -> None:
    with pytest.raises(TypeError, match="an event with a type and tags is needed"):
        A.matches(wrong)


@pytest.mark.parametrize("wrong", [None, 1, A, object()])
def test_what_a_decision_had_seen_is_asked_by_its_condition(one: cp.EmbeddedStore, wrong: Any) -> None:
    with pytest.raises(TypeError, match="condition must be an AppendCondition"):
        one.why(1).seen(wrong)


def test_of_an_iterable_without_end_no_more_is_taken_than_there_may_be(one: cp.EmbeddedStore) -> None:
    """All of it would take all memory, and the process with it."""
    raw, item = Draft("A").raw(), cp.QueryItem(types=["A"])
    for call in (
        lambda: cp.Query().add_item(tags=repeat("a")),
        lambda: cp.Query().add_item(types=repeat("A")),
        lambda: one.read(cp.Query.of(repeat(item))),
        lambda: one.append(repeat(raw)),
        lambda: cp.ReadAppender(one).append_events(repeat(raw)),
        lambda: cp.EventRegistry().register(type("Local", (cp.Event,), {}), former_types=map(str, repeat(1))),
    ):
        with pytest.raises(ValueError, match=r"65,?53[56]"):
            call()


def test_an_undecodable_payload_says_where_it_is(store: cp.EmbeddedStore) -> None:
    class Deposited(cp.Event):
        amount: int

    store.append([Draft("Deposited", data=b'{"amount":1}').raw()])
    for data in (b"", b"{", b"\xff", b"[]", b'{"amount":"much"}', b"{}", b"null"):
        position = store.append([Draft("Deposited", data=data).raw()])
        query = cp.Query().add_item(types=[Deposited]).after(position - 1)
        with pytest.raises(cp.EventDecodeError) as error:
            cp.ReadAppender(store).read_events(query)
        assert (error.value.position, error.value.type) == (position, "Deposited")
        assert error.value.__cause__ is not None
        assert str(position) in str(error.value)
        assert isinstance(error.value, cp.Error)
    assert [e.event for e in cp.ReadAppender(store).read_events(cp.Query.all().limit(1))] == [
        Deposited(amount=1)
    ]


def test_an_unknown_event_type_says_where_it_is(store: cp.EmbeddedStore) -> None:
    store.append([Draft("NobodyKnowsThis", data=b"{}").raw()] * 2)
    with pytest.raises(cp.UnknownEventType) as error:
        cp.ReadAppender(store).read_events(cp.Query.all().after(1))
    assert (error.value.position, error.value.type) == (2, "NobodyKnowsThis")
    assert "NobodyKnowsThis" in str(error.value)
    assert isinstance(error.value, cp.Error)
    assert store.append([Draft("A").raw()]) == 3
