"""Events: their type names, their tags, and what an event class may not be."""

import enum
import gc
import pickle
import weakref
from typing import Annotated, Any, ClassVar, NewType
from uuid import UUID

import counterpoint as cp
import msgspec
import pytest
from typing_extensions import TypeAliasType

ID = UUID("00112233-4455-6677-8899-aabbccddeeff")

CustomerId = NewType("CustomerId", str)
RoomTag = Annotated[str, cp.Tag("room")]
SeatTag = TypeAliasType("SeatTag", Annotated[int, cp.Tag("seat")])


class Colour(enum.Enum):
    RED = "red"


class Size(str, enum.Enum):  # noqa: UP042  not a StrEnum, whose str() would be its value
    LARGE = "large"


class Floor(enum.IntEnum):
    GROUND = 0


class RoomBooked(cp.Event):
    """A class of this module, so that it can be pickled; local ones below."""

    room: RoomTag
    night: int


def tags_of(hint: Any, value: Any) -> list[str]:
    """The tags of an event with one field."""
    cls = msgspec.defstruct("OneField", [("field", hint)], bases=(cp.Event,), module=__name__, frozen=True)
    return list(cls(value).tags())  # type: ignore[attr-defined]


def test_an_event_is_registered_under_the_name_of_its_class() -> None:
    assert cp.EventRegistry.default().lookup("RoomBooked") is RoomBooked


def test_an_event_may_have_a_type_name_of_its_own() -> None:
    class Named(cp.Event):
        event_type: ClassVar[str] = "test.named"

    assert cp.EventRegistry.default().lookup("test.named") is Named
    with pytest.raises(cp.UnknownEventType):
        cp.EventRegistry.default().lookup("Named")


def test_a_type_name_needs_no_annotation() -> None:
    class Bare(cp.Event):
        event_type = "test.bare"

    assert cp.EventRegistry.default().lookup("test.bare") is Bare


def test_a_type_name_is_not_inherited() -> None:
    class Parent(cp.Event):
        event_type = "test.parent"
        former_types = ("test.old-parent",)

    class Child(Parent):
        pass

    registry = cp.EventRegistry.default()
    assert registry.lookup("test.parent") is registry.lookup("test.old-parent") is Parent
    assert registry.lookup("Child") is Child


@pytest.mark.parametrize("name", ["event_type", "former_types", "tags"])
def test_a_field_with_a_name_that_event_uses_is_refused(name: str) -> None:
    with pytest.raises(TypeError, match=f"field '{name}'"):
        msgspec.defstruct("Clash", [(name, str)], bases=(cp.Event,), module=__name__, frozen=True)


def test_events_are_frozen_compared_by_value_and_hashable() -> None:
    event = RoomBooked("101", night=3)
    assert event == RoomBooked("101", 3) != RoomBooked("101", 4)
    assert len({event, RoomBooked("101", 3)}) == 1
    with pytest.raises(AttributeError):
        event.night = 4  # type: ignore[misc]
    assert pickle.loads(pickle.dumps(event)) == event


def test_an_event_without_tag_fields_has_no_tags() -> None:
    assert tags_of(str, "x") == []


@pytest.mark.parametrize(
    ("value", "tag"),
    [
        ("o1", "t:o1"),
        ("a:b", "t:a:b"),
        ("", "t:"),
        (7, "t:7"),
        (-1, "t:-1"),
        (2**70, f"t:{2**70}"),
        (ID, f"t:{ID}"),
        (Colour.RED, "t:red"),
        (Size.LARGE, "t:large"),
        (Floor.GROUND, "t:0"),
        (CustomerId("c1"), "t:c1"),
    ],
)
def test_a_tag_is_the_name_and_the_value(value: Any, tag: str) -> None:
    assert tags_of(Annotated[Any, cp.Tag("t")], value) == [tag]


@pytest.mark.parametrize("hint", [str | None, list[str | None]])
def test_none_gives_no_tag(hint: Any) -> None:
    assert tags_of(Annotated[hint, cp.Tag("t")], None) == []
    assert tags_of(Annotated[hint, cp.Tag("t")], ["a", None]) == ["t:a"]


@pytest.mark.parametrize("several", [["a", "b"], ("a", "b")])
def test_a_collection_gives_a_tag_for_each_value(several: Any) -> None:
    assert tags_of(Annotated[Any, cp.Tag("t")], several) == ["t:a", "t:b"]


@pytest.mark.parametrize("several", [{"a", "b"}, frozenset("ab")])
def test_a_set_gives_a_tag_for_each_value_too(several: Any) -> None:
    assert sorted(tags_of(Annotated[Any, cp.Tag("t")], several)) == ["t:a", "t:b"]


def test_a_field_may_have_several_tags() -> None:
    assert tags_of(Annotated[str, cp.Tag("buyer"), cp.Tag("person")], "p1") == ["buyer:p1", "person:p1"]


@pytest.mark.parametrize(
    ("hint", "value", "tags"),
    [
        (Annotated[str, cp.Tag("t")] | None, "a", ["t:a"]),
        (Annotated[str, cp.Tag("t")] | None, None, []),
        (list[Annotated[str, cp.Tag("t")]], ["a", "b"], ["t:a", "t:b"]),
        (tuple[Annotated[str, cp.Tag("t")], ...] | None, ("a", "b"), ["t:a", "t:b"]),
        (Annotated[list[Annotated[str, cp.Tag("t")]], "note"], ["a"], ["t:a"]),
        (RoomTag, "101", ["room:101"]),
        (SeatTag, 5, ["seat:5"]),
        (RoomTag | None, "101", ["room:101"]),
    ],
)
def test_a_tag_counts_inside_of_an_optional_a_collection_and_an_alias(
    hint: Any, value: Any, tags: list[str]
) -> None:
    assert tags_of(hint, value) == tags


@pytest.mark.parametrize("value", [True, 1.5, b"x", object(), {"a": 1}, [["a"]], [True]])
def test_other_values_cannot_be_tags(value: Any) -> None:
    with pytest.raises(TypeError, match="field 'field' of OneField"):
        tags_of(Annotated[Any, cp.Tag("t")], value)


def test_tags_inside_of_a_mapping_are_refused_and_not_overlooked() -> None:
    with pytest.raises(TypeError, match="field 'field' of OneField"):
        tags_of(dict[str, Annotated[str, cp.Tag("t")]], {})


@pytest.mark.parametrize("hint", [Annotated[str, cp.Tag], list[Annotated[str, cp.Tag]] | None])
def test_a_tag_that_is_not_made_is_refused_and_not_overlooked(hint: Any) -> None:
    with pytest.raises(TypeError, match=r'field \'field\' of OneField.*write Tag\("name"\)'):
        tags_of(hint, "o1")


def test_tags_come_in_the_order_of_the_fields_inherited_ones_first() -> None:
    class Base(cp.Event):
        a: Annotated[str, cp.Tag("a")]

    class Derived(Base):
        b: Annotated[str, cp.Tag("b")]

    assert Derived("1", "2").tags() == ["a:1", "b:2"]


def test_tags_may_be_overridden() -> None:
    class Moved(cp.Event):
        room: RoomTag

        def tags(self) -> list[str]:
            return [*super().tags(), "moved"]

    raw = cp.EventRegistry.default().encode(Moved("101"))
    assert raw.tags == ("room:101", "moved")


def test_tags_that_are_one_str_are_refused() -> None:
    class Careless(cp.Event):
        def tags(self) -> str:
            return "room:101"

    with pytest.raises(TypeError, match="room:101"):
        cp.EventRegistry.default().encode(Careless())


def test_annotations_may_refer_to_what_is_defined_later() -> None:
    class Early(cp.Event):
        room: "LaterDefined"

    assert Early("101").tags() == ["later:101"]


LaterDefined = Annotated[str, cp.Tag("later")]


def test_an_annotation_that_cannot_be_resolved_is_named() -> None:
    class Lost(cp.Event):
        room: "NowhereDefined"  # type: ignore[name-defined]  # noqa: F821

    with pytest.raises(TypeError, match=r"Lost.*NowhereDefined"):
        Lost("101").tags()
    with pytest.raises(TypeError, match=r"Lost.*NowhereDefined"):
        cp.EventRegistry.default().encode(Lost("101"))
    with pytest.raises(TypeError, match=r"Lost.*NowhereDefined"):
        cp.EventRegistry.default().decode(cp.SequencedEvent(1, "Lost", b"{}"))


def test_a_class_that_is_gone_is_not_kept_by_its_tags() -> None:
    cls = msgspec.defstruct("Gone", [("field", Annotated[str, cp.Tag("t")])])
    event = cls("a")
    assert cp.Event.tags(event) == ["t:a"]  # type: ignore[arg-type]
    gone = weakref.ref(cls)
    del cls, event
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize("name", ["", ":", "a:b", "order:"])
def test_a_tag_name_is_not_empty_and_has_no_colon(name: str) -> None:
    with pytest.raises(ValueError, match="tag name"):
        cp.Tag(name)


@pytest.mark.parametrize("name", [None, 1, b"a", str])
def test_a_tag_name_is_a_str(name: Any) -> None:
    with pytest.raises(TypeError, match="tag name"):
        cp.Tag(name)


def test_an_envelope_knows_when_to_the_microsecond() -> None:
    envelope = cp.Envelope(
        RoomBooked("101", 1), 1, "RoomBooked", (), recorded_at=1_700_000_000_123_457, metadata=b"m"
    )
    assert envelope.recorded_datetime.isoformat() == "2023-11-14T22:13:20.123457+00:00"
    assert pickle.loads(pickle.dumps(envelope)) == envelope
    assert (envelope.metadata, envelope.id) == (b"m", None)
