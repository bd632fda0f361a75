"""The registry: which class has which name, codecs of every kind of class, upcasters, and errors."""

import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from importlib.metadata import version
from types import SimpleNamespace
from typing import Annotated, Any
from uuid import UUID

import attrs
import counterpoint as cp
import msgspec
import pydantic
import pydantic.dataclasses
import pytest

ID = UUID("00112233-4455-6677-8899-aabbccddeeff")
NOW = datetime(2025, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


class StructPaid(msgspec.Struct, frozen=True):
    order_id: Annotated[str, cp.Tag("order")]
    total: Decimal
    at: datetime
    lines: tuple[UUID, ...] = ()


@dataclass(frozen=True)
class DataclassPaid:
    order_id: Annotated[str, cp.Tag("order")]
    total: Decimal
    at: datetime
    lines: tuple[UUID, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotsPaid:
    order_id: Annotated[str, cp.Tag("order")]
    total: Decimal
    at: datetime
    lines: tuple[UUID, ...] = ()


@attrs.frozen
class AttrsPaid:
    order_id: Annotated[str, cp.Tag("order")]
    total: Decimal
    at: datetime
    lines: tuple[UUID, ...] = ()


class PydanticPaid(pydantic.BaseModel, frozen=True):
    order_id: Annotated[str, cp.Tag("order")]
    total: Decimal
    at: datetime
    lines: tuple[UUID, ...] = ()


@pydantic.dataclasses.dataclass(frozen=True)
class PydanticDataclassPaid:
    order_id: Annotated[str, cp.Tag("order")]
    total: Decimal
    at: datetime
    lines: tuple[UUID, ...] = ()


KINDS: list[Any] = [StructPaid, DataclassPaid, SlotsPaid, AttrsPaid, PydanticPaid, PydanticDataclassPaid]


def stored(raw: cp.RawEvent, position: int = 1) -> cp.SequencedEvent:
    """What a store makes of a raw event."""
    return cp.SequencedEvent(position, raw.type, raw.data, raw.tags, raw.metadata, raw.id, recorded_at=5)


def sequenced(type: str, data: bytes) -> cp.SequencedEvent:
    return cp.SequencedEvent(7, type, data)


@pytest.fixture
def registry() -> cp.EventRegistry:
    return cp.EventRegistry()


@pytest.mark.parametrize("cls", KINDS)
def test_classes_of_every_kind_come_back_as_they_went_in(registry: cp.EventRegistry, cls: Any) -> None:
    registry.register(cls)
    event = cls(order_id="o1", total=Decimal("12.50"), at=NOW, lines=(ID,))
    raw = registry.encode(event, metadata=b"by me", id=ID)
    assert (raw.type, raw.tags, raw.metadata, raw.id) == (cls.__name__, ("order:o1",), b"by me", ID)
    assert msgspec.json.decode(raw.data)["order_id"] == "o1"
    envelope = registry.decode(stored(raw))
    assert envelope == cp.Envelope(event, 1, cls.__name__, ("order:o1",), 5, b"by me", ID)
    assert type(envelope.event) is cls


@pytest.mark.parametrize("cls", KINDS)
def test_upcast_data_of_every_kind_is_read_as_ever(registry: cp.EventRegistry, cls: Any) -> None:
    registry.register(cls, former_types=["Settled"])
    event = cls(order_id="o1", total=Decimal("12.50"), at=NOW, lines=(ID,))

    @registry.upcaster("Settled")
    def rename(data: dict[str, Any]) -> dict[str, Any]:
        return {"order_id": data.pop("order"), **data}

    data = msgspec.json.decode(registry.encode(event).data)
    old = {"order": data.pop("order_id"), **data}
    assert registry.decode(sequenced("Settled", msgspec.json.encode(old))).event == event
    assert registry.decode(sequenced(cls.__name__, registry.encode(event).data)).event == event


@pytest.mark.parametrize("cls", KINDS)
def test_a_payload_that_does_not_fit_its_class_says_which_and_why(
    registry: cp.EventRegistry, cls: Any
) -> None:
    registry.register(cls)
    for data in (b"", b"{", b"[]", b"null", b"{}", b'{"order_id":1}', b"\xff"):
        with pytest.raises(cp.EventDecodeError) as error:
            registry.decode(sequenced(cls.__name__, data))
        assert (error.value.type, error.value.position) == (cls.__name__, 7)
        assert error.value.__cause__ is not None
        again = pickle.loads(pickle.dumps(error.value))
        assert (str(again), again.position) == (str(error.value), 7)


def test_the_decorator_registers_with_and_without_arguments(registry: cp.EventRegistry) -> None:
    @registry.register
    @dataclass
    class Plain:
        x: int

    @registry.register(type="named", former_types=["once", "twice"], tags=lambda event: [f"x:{event.x}"])
    @dataclass
    class Named:
        x: int

    assert registry.lookup("Plain") is Plain
    assert registry.lookup("named") is registry.lookup("once") is registry.lookup("twice") is Named
    assert registry.encode(Named(1)) == cp.RawEvent("named", b'{"x":1}', ["x:1"])
    assert cp.Query().add_item(types=[Named]) == cp.Query().add_item(types=["named", "once", "twice"])


def test_a_class_may_bring_its_names_and_tags_itself(registry: cp.EventRegistry) -> None:
    @registry.register
    @dataclass
    class Own:
        x: int
        event_type = "own"
        former_types = ("owned",)

        def tags(self) -> list[str]:
            return ["mine"]

    assert registry.encode(Own(1)) == cp.RawEvent("own", b'{"x":1}', ["mine"])
    assert registry.lookup("owned") is Own


def test_a_field_called_tags_is_just_a_field(registry: cp.EventRegistry) -> None:
    @registry.register
    @dataclass
    class Article:
        tags: list[str] = field(default_factory=list)

    assert registry.encode(Article(["a"])) == cp.RawEvent("Article", b'{"tags":["a"]}')

    @registry.register
    @dataclass(slots=True)
    class Slotted:
        event_type: int
        former_types: int
        tags: int

    assert registry.encode(Slotted(1, 2, 3)).type == "Slotted"


def test_pydantic_aliases_and_computed_fields_come_back(registry: cp.EventRegistry) -> None:
    class Aliased(pydantic.BaseModel, extra="forbid"):
        order_id: str = pydantic.Field(alias="orderId")

        @pydantic.computed_field  # type: ignore[prop-decorator]
        @property
        def twice(self) -> str:
            return self.order_id * 2

    registry.register(Aliased)
    raw = registry.encode(Aliased(orderId="o1"))
    assert raw.data == b'{"orderId":"o1"}'
    assert registry.decode(stored(raw)).event == Aliased(orderId="o1")


def test_a_tag_as_a_default_is_refused(registry: cp.EventRegistry) -> None:
    class InStruct(msgspec.Struct):
        order_id: Any = cp.Tag("order")

    @dataclass
    class InDataclass:
        order_id: Any = cp.Tag("order")  # noqa: RUF009  the mistake

    @attrs.define
    class InAttrs:
        order_id: Any = cp.Tag("order")  # noqa: RUF009

    class InPydantic(pydantic.BaseModel):
        order_id: Any = cp.Tag("order")

    @dataclass
    class TheClass:
        order_id: Any = cp.Tag

    classes: list[Any] = [InStruct, InDataclass, InAttrs, InPydantic, TheClass]
    for cls in classes:
        registry.register(cls)
        with pytest.raises(TypeError, match=r"field 'order_id' of .* has a Tag as its default"):
            registry.encode(cls("o1") if cls is not InPydantic else cls(order_id="o1"))


def test_tags_that_are_no_method_are_refused(registry: cp.EventRegistry) -> None:
    @dataclass
    class Computed:
        x: int

        @property
        def tags(self) -> list[str]:
            return ["lost"]

    class Constant(cp.Event):
        tags = ["lost"]  # type: ignore[assignment]  # noqa: RUF012

    registry.register(Computed)
    registry.register(Constant)
    for event in (Computed(1), Constant()):
        with pytest.raises(TypeError, match=r"must be a method tags\(\)"):
            registry.encode(event)
    with pytest.raises(TypeError, match="tags must be a function"):
        registry.register(DataclassPaid, tags=["x"])  # type: ignore[call-overload]


@pytest.mark.parametrize("wrong", [int, dict, type("Plain", (), {}), "Name", 1, SimpleNamespace(x=1)])
def test_other_classes_are_refused(registry: cp.EventRegistry, wrong: Any) -> None:
    with pytest.raises(TypeError, match="event class"):
        registry.register(wrong)


@pytest.mark.parametrize(
    ("kwargs", "error"),
    [
        ({"type": ""}, ValueError),
        ({"type": "x" * 256}, ValueError),
        ({"type": 1}, TypeError),
        ({"former_types": "Old"}, TypeError),
        ({"former_types": [1]}, TypeError),
        ({"former_types": [""]}, ValueError),
    ],
)
def test_bad_names_are_refused_and_leave_nothing_behind(
    registry: cp.EventRegistry, kwargs: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error, match="StructPaid"):
        registry.register(StructPaid, **kwargs)
    with pytest.raises(cp.UnknownEventType):
        registry.lookup("StructPaid")


def test_two_classes_for_one_type_name_are_refused(registry: cp.EventRegistry) -> None:
    registry.register(StructPaid, type="Paid")
    with pytest.raises(ValueError, match=r"'Paid'.*DataclassPaid.*StructPaid"):
        registry.register(DataclassPaid, type="Paid")
    with pytest.raises(ValueError, match="'Paid'"):
        registry.register(DataclassPaid, type="Billed", former_types=["Paid"])
    assert registry.lookup("Paid") is StructPaid
    with pytest.raises(cp.UnknownEventType):
        registry.lookup("Billed")


def test_a_class_that_is_registered_again_has_the_new_tags(registry: cp.EventRegistry) -> None:
    event = StructPaid("o1", Decimal(1), NOW)
    registry.register(StructPaid)
    assert registry.encode(event).tags == ("order:o1",)
    registry.register(StructPaid, tags=lambda _: ["new"])
    assert registry.encode(event).tags == ("new",)


def test_one_class_has_one_type_name_in_a_registry(registry: cp.EventRegistry) -> None:
    registry.register(StructPaid, type="Paid")
    registry.register(StructPaid, type="Paid")
    with pytest.raises(ValueError, match="already"):
        registry.register(StructPaid, type="Billed")


def test_a_class_with_two_names_in_two_registries_stands_for_both_in_a_query() -> None:
    @dataclass
    class TwoNames:
        x: int

    cp.EventRegistry().register(TwoNames, type="one")
    cp.EventRegistry().register(TwoNames, type="two")
    assert cp.Query().add_item(types=[TwoNames]) == cp.Query().add_item(types=["one", "two"])


def define(name: str, module: str, qualname: str) -> type[Any]:
    return type(
        name, (msgspec.Struct,), {"__annotations__": {}, "__module__": module, "__qualname__": qualname}
    )


def test_a_class_that_is_defined_again_takes_its_own_place(registry: cp.EventRegistry) -> None:
    """A reloaded module, a notebook cell that ran twice."""
    first = registry.register(define("Again", "notebook", "Again"), former_types=["Before"])
    assert registry.encode(first()).type == "Again"
    second = registry.register(define("Again", "notebook", "Again"))
    assert registry.lookup("Again") is second
    with pytest.raises(cp.UnknownEventType):
        registry.lookup("Before")
    with pytest.raises(TypeError, match="later class"):
        registry.encode(first())


def test_a_class_local_to_a_function_gives_way(registry: cp.EventRegistry) -> None:
    registry.register(define("Same", "tests.a", "test_one.<locals>.Same"))
    other = registry.register(define("Same", "tests.b", "test_two.<locals>.Same"))
    assert registry.lookup("Same") is other
    proper = registry.register(define("Same", "app", "Same"))
    assert registry.lookup("Same") is proper
    with pytest.raises(ValueError, match="'Same'"):
        registry.register(define("Same", "tests.b", "test_two.<locals>.Same"))


def test_a_replaced_class_is_not_decoded_into_any_more(registry: cp.EventRegistry) -> None:
    first = registry.register(define("Again", "notebook", "Again"))
    assert type(registry.decode(sequenced("Again", b"{}")).event) is first
    second = registry.register(define("Again", "notebook", "Again"))
    assert type(registry.decode(sequenced("Again", b"{}")).event) is second


def test_an_unknown_type_is_named_with_its_position(registry: cp.EventRegistry) -> None:
    with pytest.raises(cp.UnknownEventType, match="'Nobody'") as error:
        registry.lookup("Nobody")
    assert (error.value.type, error.value.position) == ("Nobody", None)
    with pytest.raises(cp.UnknownEventType, match=r"'Nobody'.*position 7") as error:
        registry.decode(sequenced("Nobody", b"{}"))
    assert (error.value.type, error.value.position) == ("Nobody", 7)
    assert str(pickle.loads(pickle.dumps(error.value))) == str(error.value)


def test_an_event_of_a_class_that_is_not_registered_is_refused(registry: cp.EventRegistry) -> None:
    with pytest.raises(
        TypeError, match=r"StructPaid.*not registered.*derive it from cp\.Event or register it"
    ):
        registry.encode(StructPaid("o1", Decimal(1), NOW))
    with pytest.raises(TypeError, match="not an event class"):
        cp.Query().add_item(types=[int])


def test_a_subclass_is_a_class_of_its_own(registry: cp.EventRegistry) -> None:
    registry.register(DataclassPaid)

    @dataclass(frozen=True)
    class Special(DataclassPaid):
        pass

    with pytest.raises(TypeError, match="Special"):
        registry.encode(Special("o1", Decimal(1), NOW))


def test_registries_do_not_know_of_each_other(registry: cp.EventRegistry) -> None:
    class Global(cp.Event):
        pass

    with pytest.raises(cp.UnknownEventType):
        registry.lookup("Global")
    assert cp.EventRegistry.default().lookup("Global") is Global
    assert registry.register(Global) is Global
    assert registry.lookup("Global") is Global


def test_an_upcaster_may_come_before_the_class_and_after_the_first_event(registry: cp.EventRegistry) -> None:
    @dataclass
    class Measured:
        metres: float

    @registry.upcaster("MeasuredInFeet")
    def to_metres(data: dict[str, Any]) -> dict[str, Any]:
        return {"metres": data["feet"] * 0.25}

    registry.register(Measured, former_types=["MeasuredInFeet"])
    assert registry.decode(sequenced("MeasuredInFeet", b'{"feet":8}')).event == Measured(2.0)
    assert registry.decode(sequenced("Measured", b'{"metres":1}')).event == Measured(1.0)

    @registry.upcaster("Measured")
    def same(data: dict[str, Any]) -> dict[str, Any]:
        return {"metres": data["metres"] + 1}

    assert registry.decode(sequenced("Measured", b'{"metres":1}')).event == Measured(2.0)


def test_an_upcaster_that_fails_is_a_decode_error(registry: cp.EventRegistry) -> None:
    registry.register(StructPaid)

    @registry.upcaster("StructPaid")
    def broken(data: dict[str, Any]) -> dict[str, Any]:
        return {"total": data["nowhere"]}

    with pytest.raises(cp.EventDecodeError, match="nowhere") as error:
        registry.decode(sequenced("StructPaid", b"{}"))
    assert isinstance(error.value.__cause__, KeyError)


@pytest.mark.parametrize("returned", [None, [], "x", StructPaid])
def test_an_upcaster_that_returns_no_dict_is_named(registry: cp.EventRegistry, returned: Any) -> None:
    registry.register(StructPaid)

    @registry.upcaster("StructPaid")
    def forgetful(data: dict[str, Any]) -> Any:
        return returned

    with pytest.raises(cp.EventDecodeError, match=r"forgetful must return a dict, not") as error:
        registry.decode(sequenced("StructPaid", b"{}"))
    assert isinstance(error.value.__cause__, TypeError)


def test_two_upcasters_for_one_type_are_refused(registry: cp.EventRegistry) -> None:
    def one(data: dict[str, Any]) -> dict[str, Any]:
        return data

    def two(data: dict[str, Any]) -> dict[str, Any]:
        return data

    one.__qualname__, two.__qualname__ = "one", "two"
    registry.upcaster("Old")(one)
    registry.upcaster("Old")(one)
    with pytest.raises(ValueError, match="one"):
        registry.upcaster("Old")(two)


def test_an_upcaster_without_a_name_is_refused(registry: cp.EventRegistry) -> None:
    with pytest.raises(TypeError, match="type name"):
        registry.upcaster(lambda data: data)  # type: ignore[arg-type]


def test_the_module_functions_are_those_of_the_default_registry() -> None:
    @cp.register(former_types=["test.OldDefault"])
    @dataclass
    class InDefault:
        x: int

    @cp.upcaster("test.OldDefault")
    def one_more(data: dict[str, Any]) -> dict[str, Any]:
        return {"x": data["x"] + 1}

    old = sequenced("test.OldDefault", b'{"x":1}')
    assert cp.decode(old) == cp.EventRegistry.default().decode(old)
    assert cp.decode(old).event == InDefault(2)
    assert cp.encode(InDefault(2), metadata=b"m") == cp.RawEvent("InDefault", b'{"x":2}', metadata=b"m")


def test_the_package_knows_its_version() -> None:
    assert cp.__version__ == version("counterpoint")


def test_many_threads_may_meet_in_a_registry(registry: cp.EventRegistry) -> None:
    """Whatever the order, each thread finds what it registered, and the last upcaster wins for all."""
    errors: list[BaseException] = []

    def guarded(job: Callable[[], None]) -> Callable[[], None]:
        def run() -> None:
            try:
                job()
            except BaseException as error:
                errors.append(error)

        return run

    def register(n: int) -> None:
        for i in range(50):
            name = f"Type{n}x{i}"
            cls = registry.register(define(name, "m", name))
            assert type(registry.decode(sequenced(name, b"{}")).event) is cls
            assert registry.encode(cls()).type == name

    threads = [threading.Thread(target=guarded(lambda n=n: register(n))) for n in range(8)]  # type: ignore[misc]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not errors


def test_pydantic_and_attrs_are_not_imported_for_others() -> None:
    code = (
        "import sys, counterpoint as cp\n"
        "class Plain(cp.Event):\n    x: int\n"
        "cp.EventRegistry.default().encode(Plain(1))\n"
        "assert not {'pydantic', 'attr', 'attrs'} & set(sys.modules), 'imported'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
