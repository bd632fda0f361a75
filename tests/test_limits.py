"""Every limit of the data model: at the limit accepted, one above refused with its name and both numbers."""

import re
from collections.abc import Callable

import counterpoint as cp
import pytest

from tests.model import Draft, log_of

TEXT = 255
TAGS = 64
DATA = 16 * 1024 * 1024
EVENTS = 65_535
MANY = 65_535


def refused(make: Callable[[], object], name: str, limit: int, value: int) -> None:
    """The refusal names what was too great, the limit and the value."""
    with pytest.raises(ValueError, match=name) as error:
        make()
    numbers = {
        int(number) for number in re.findall(r"\d+", re.sub(r"(?<=\d)[_,](?=\d)", "", str(error.value)))
    }
    assert {limit, value} <= numbers, str(error.value)


def unharmed(store: cp.EmbeddedStore, head: int) -> None:
    """After a refusal nothing is stored, and the next append takes the next position."""
    assert store.head() == head
    assert store.append([Draft("Next", ("next",)).raw()]) == head + 1
    assert [e.position for e in store.read(cp.Query().add_item(tags=["next"]), after=head)] == [head + 1]


@pytest.mark.parametrize("letter", ["x", "\u00e9", "\u20ac", "\U0001f600", "\x00"])
def test_a_type_has_at_most_255_bytes_of_utf8(store: cp.EmbeddedStore, letter: str) -> None:
    longest = letter * (TEXT // len(letter.encode()))
    longest += "x" * (TEXT - len(longest.encode()))
    store.append([cp.RawEvent(type=longest, data=b"")])
    refused(lambda: store.append([cp.RawEvent(type=longest + "x", data=b"")]), "type", TEXT, TEXT + 1)
    unharmed(store, 1)
    assert [e.type for e in store.read(cp.Query().add_item(types=[longest]))] == [longest]


@pytest.mark.parametrize("letter", ["x", "\u00e9", "\u20ac", "\U0001f600", "\x00"])
def test_a_tag_has_at_most_255_bytes_of_utf8(store: cp.EmbeddedStore, letter: str) -> None:
    longest = letter * (TEXT // len(letter.encode()))
    longest += "x" * (TEXT - len(longest.encode()))
    store.append([cp.RawEvent(type="A", data=b"", tags=[longest])])
    refused(lambda: store.append([cp.RawEvent("A", b"", [longest + "x"])]), "tag", TEXT, TEXT + 1)
    unharmed(store, 1)
    assert [e.tags for e in store.read(cp.Query().add_item(tags=[longest]))] == [(longest,)]


def test_types_and_tags_are_not_empty(store: cp.EmbeddedStore) -> None:
    with pytest.raises(ValueError, match="type"):
        store.append([cp.RawEvent(type="", data=b"")])
    with pytest.raises(ValueError, match="tag"):
        store.append([cp.RawEvent(type="A", data=b"", tags=["a", ""])])
    unharmed(store, 0)


def test_types_and_tags_of_a_query_keep_the_same_limits(store: cp.EmbeddedStore) -> None:
    refused(lambda: store.read(cp.Query().add_item(types=["x" * 256])), "type", TEXT, TEXT + 1)
    refused(lambda: store.read(cp.Query().add_item(tags=["x" * 256])), "tag", TEXT, TEXT + 1)
    with pytest.raises(ValueError, match="type"):
        store.read(cp.Query().add_item(types=[""]))
    with pytest.raises(ValueError, match="tag"):
        store.read(cp.Query().add_item(tags=[""]))
    assert list(store.read(cp.Query().add_item(types=["x" * 255], tags=["x" * 255]))) == []


def test_an_event_has_at_most_64_different_tags(store: cp.EmbeddedStore) -> None:
    tags = [f"tag:{n}" for n in range(TAGS)]
    store.append([cp.RawEvent("A", b"", tags), cp.RawEvent("A", b"", [*tags, *tags]), cp.RawEvent("A", b"")])
    assert [e.tags for e in store.read()] == [tuple(tags), tuple(tags), ()]
    refused(lambda: store.append([cp.RawEvent("A", b"", [*tags, "one more"])]), "tag", TAGS, TAGS + 1)
    unharmed(store, 3)


def test_the_data_of_an_event_has_at_most_16_mib(store: cp.EmbeddedStore) -> None:
    largest = b"\x5a" * DATA
    store.append([cp.RawEvent("A", largest)])
    refused(lambda: store.append([cp.RawEvent("A", largest + b"x")]), "data", DATA, DATA + 1)
    unharmed(store, 1)
    assert next(iter(store.read())).data == largest


def test_the_metadata_of_an_event_has_at_most_16_mib(store: cp.EmbeddedStore) -> None:
    largest = b"\x5a" * DATA
    store.append([cp.RawEvent("A", b"", metadata=largest)])
    refused(
        lambda: store.append([cp.RawEvent("A", b"", metadata=largest + b"x")]), "metadata", DATA, DATA + 1
    )
    unharmed(store, 1)
    assert next(iter(store.read())).metadata == largest


def test_a_batch_has_at_most_65_535_events(store: cp.EmbeddedStore) -> None:
    event = cp.RawEvent("A", b"")
    refused(lambda: store.append([event] * (EVENTS + 1)), "event", EVENTS, EVENTS + 1)
    assert store.head() == 0
    assert store.append([event] * EVENTS) == EVENTS
    unharmed(store, EVENTS)
    assert sum(1 for _ in store.read()) == EVENTS + 1


def test_an_endless_iterable_of_events_is_refused_at_the_limit(store: cp.EmbeddedStore) -> None:
    def endless() -> object:
        yield from [cp.RawEvent("A", b"")] * (4 * EVENTS)
        raise AssertionError("asked for four times as many as will ever be accepted")

    with pytest.raises(ValueError, match="event"):
        store.append(endless())  # type: ignore[arg-type]
    unharmed(store, 0)


def test_a_batch_as_a_whole_has_a_limit(store: cp.EmbeddedStore) -> None:
    """64 events of 16 MiB share one payload here, but would be a gibibyte in the log."""
    with pytest.raises(ValueError, match=r"batch|append"):
        store.append([cp.RawEvent("A", bytes(DATA))] * 64)
    unharmed(store, 0)


def test_a_query_has_at_most_65_535_items(store: cp.EmbeddedStore) -> None:
    store.append([Draft("A").raw()])
    query = cp.Query()
    for n in range(3000):
        query = query.add_item(types=[f"T{n}"])
    assert list(store.read(query)) == []
    assert [e.position for e in store.read(query.add_item(types=["A"]))] == [1]
    many = cp.Query().add_item(types=[f"T{n}" for n in range(MANY - 1)] + ["A"])
    assert [e.position for e in store.read(many)] == [1]


def test_an_append_has_at_most_65_535_conditions(store: cp.EmbeddedStore) -> None:
    fine = cp.AppendCondition(cp.Query().add_item(types=["Nope"]))
    store.append([Draft("A").raw()], [fine] * MANY)
    refused(lambda: store.append([Draft("A").raw()], [fine] * (MANY + 1)), "condition", MANY, MANY + 1)
    unharmed(store, 1)


def test_a_cursor_name_has_1_to_255_bytes(store: cp.EmbeddedStore) -> None:
    store.append([Draft("A").raw()])
    assert store.set_cursor("\u00e9" * 127 + "x", 1)
    assert store.get_cursor("\u00e9" * 127 + "x") == 1
    refused(lambda: store.set_cursor("\u00e9" * 128, 1), "cursor", TEXT, TEXT + 1)
    refused(lambda: store.get_cursor("x" * 256), "cursor", TEXT, TEXT + 1)
    for wrong in (lambda: store.set_cursor("", 1), lambda: store.get_cursor("")):
        with pytest.raises(ValueError, match="cursor"):
            wrong()
    unharmed(store, 1)


def test_one_bad_event_refuses_its_whole_batch(store: cp.EmbeddedStore) -> None:
    def batch() -> object:
        yield Draft("A").raw()
        yield Draft("B").raw()
        yield cp.RawEvent("C", b"", ["x" * 256])

    with pytest.raises(ValueError, match="tag"):
        store.append(batch())  # type: ignore[arg-type]
    unharmed(store, 0)
    assert len(log_of(store)) == 1
