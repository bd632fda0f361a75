"""Reading back at once: what an event class could not read again never reaches the log."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any

import attrs
import counterpoint as cp
import msgspec
import pydantic
import pytest

NOW = datetime(2025, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


def stored(raw: cp.RawEvent) -> cp.SequencedEvent:
    """What a store makes of a raw event."""
    return cp.SequencedEvent(1, raw.type, raw.data, raw.tags)


@pytest.fixture
def registry() -> cp.EventRegistry:
    return cp.EventRegistry()


class Measured(msgspec.Struct):
    at: datetime
    value: float | None = None
    few: Annotated[int, msgspec.Meta(lt=10)] = 0


@dataclass
class MeasuredByDataclass:
    at: datetime
    value: float | None = None
    few: Annotated[int, msgspec.Meta(lt=10)] = 0


@attrs.define
class MeasuredByAttrs:
    at: datetime
    value: float | None = None
    few: Annotated[int, msgspec.Meta(lt=10)] = 0


class MeasuredByPydantic(pydantic.BaseModel):
    at: datetime
    value: float | None = None
    few: Annotated[int, pydantic.Field(lt=10)] = 0


MEASURED: list[Any] = [Measured, MeasuredByDataclass, MeasuredByAttrs, MeasuredByPydantic]


@pytest.mark.parametrize("cls", MEASURED)
@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("at", "yesterday"),
        ("at", None),
        ("value", "much"),
        ("value", float("nan")),
        ("value", float("-inf")),
        ("few", 10),
        ("few", "three"),
    ],
)
def test_what_could_not_be_read_back_is_refused_before_it_is_stored(cls: Any, field: str, wrong: Any) -> None:
    registry = cp.EventRegistry()
    registry.register(cls)
    event = cls(at=NOW)
    assert registry.decode(stored(registry.encode(event))).event == event
    setattr(event, field, wrong)
    with pytest.raises(ValueError, match=f"^{cls.__name__} could not be read back: "):
        registry.encode(event)


def test_what_could_not_be_read_back_is_named_with_its_place(registry: cp.EventRegistry) -> None:
    registry.register(Measured)
    with pytest.raises(ValueError) as refused:  # noqa: PT011  its text is compared below
        registry.encode(Measured(NOW, few="three"))  # type: ignore[arg-type]
    assert str(refused.value) == "Measured could not be read back: Expected `int`, got `str` - at `$.few`"
    assert isinstance(refused.value.__cause__, msgspec.ValidationError)


def test_what_is_nested_is_read_back_too(registry: cp.EventRegistry) -> None:
    @registry.register
    @dataclass
    class Series:
        values: list[float | None]
        named: dict[str, float | None] = field(default_factory=dict)

    assert registry.encode(Series((1.0, None))).data == b'{"values":[1.0,null],"named":{}}'  # type: ignore[arg-type]
    for spoilt in (Series([1.0, float("nan")]), Series([], {"a": float("inf")})):
        with pytest.raises(ValueError, match=r"Series could not be read back: NaN"):
            registry.encode(spoilt)


def test_an_upcaster_is_no_part_of_reading_back(registry: cp.EventRegistry) -> None:
    registry.register(Measured)
    registry.upcaster("Measured")(lambda _: pytest.fail("was run"))
    registry.encode(Measured(NOW))


def test_pydantic_fields_that_are_not_stored_as_they_are_are_refused(registry: cp.EventRegistry) -> None:
    class Secret(pydantic.BaseModel):
        password: pydantic.SecretStr

    class Excluded(pydantic.BaseModel):
        note: str = pydantic.Field(default="", exclude=True)

    class Private(pydantic.BaseModel):
        name: str
        _cache: object = pydantic.PrivateAttr(default_factory=object)

    for cls in (Secret, Excluded, Private):
        registry.register(cls)
    with pytest.raises(ValueError, match=r"Secret could not be read back: field 'password'"):
        registry.encode(Secret(password=pydantic.SecretStr("hunter2")))
    with pytest.raises(ValueError, match=r"Excluded could not be read back: field 'note'"):
        registry.encode(Excluded(note="lost"))
    assert registry.encode(Private(name="kept")).data == b'{"name":"kept"}'


def test_private_fields_of_attrs_classes_are_refused(registry: cp.EventRegistry) -> None:
    @attrs.define
    class Hidden:
        _total: int = 0

    with pytest.raises(TypeError, match=r"field '_total' of .*Hidden is private"):
        registry.register(Hidden)


def test_a_value_without_json_is_named_with_its_class(registry: cp.EventRegistry) -> None:
    for cls in (Measured, MeasuredByPydantic):
        registry.register(cls)
    for event in (Measured(NOW), MeasuredByPydantic(at=NOW)):
        event.value = object()  # type: ignore[assignment]
        with pytest.raises((TypeError, ValueError), match=f"{type(event).__name__} could not be encoded"):
            registry.encode(event)
