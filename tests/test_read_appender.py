"""ReadAppender: what it records of each read, and that its appends are guarded by just that."""

from typing import Annotated, Any
from uuid import UUID

import counterpoint as cp
import pydantic
import pytest


class ShelfCounted(cp.Event):
    shelf: Annotated[str, cp.Tag("shelf")]
    count: int = 0


class ShelfMoved(cp.Event):
    shelf: Annotated[str, cp.Tag("shelf")]


ID = UUID("00112233-4455-6677-8899-aabbccddeeff")
REGISTRY = cp.EventRegistry.default()
ANYTHING = cp.Query.all()


def on(shelf: str) -> cp.Query:
    return cp.Query().add_item(tags=[f"shelf:{shelf}"])


@pytest.fixture
def store() -> cp.EmbeddedStore:
    return cp.open("memory:")


@pytest.fixture
def ra(store: cp.EmbeddedStore) -> cp.ReadAppender:
    return cp.ReadAppender(store)


def somebody_else(store: cp.Store, *events: cp.Event) -> int:
    return store.append([REGISTRY.encode(event) for event in events])


def test_it_reads_envelopes(store: cp.EmbeddedStore, ra: cp.ReadAppender) -> None:
    store.append([REGISTRY.encode(ShelfCounted("a", 3), metadata=b"by me", id=ID)])
    [envelope] = ra.read_events(on("a"))
    assert envelope.event == ShelfCounted("a", 3)
    assert (envelope.position, envelope.type, envelope.tags) == (1, "ShelfCounted", ("shelf:a",))
    assert (envelope.metadata, envelope.id) == (b"by me", ID)
    assert envelope.recorded_at == next(iter(store.read())).recorded_at > 1_500_000_000_000_000


def test_it_honours_the_window_of_a_query(store: cp.EmbeddedStore, ra: cp.ReadAppender) -> None:
    somebody_else(store, *(ShelfCounted("a", n) for n in range(1, 6)))
    window = on("a").after(1).until(4).reverse().limit(2)
    assert [envelope.position for envelope in ra.read_events(window)] == [4, 3]


def test_it_appends_one_or_several(store: cp.EmbeddedStore, ra: cp.ReadAppender) -> None:
    assert ra.append_event(ShelfCounted("a"), metadata=b"m", id=ID) == 1
    assert ra.append_events(event for event in (ShelfCounted("b"), ShelfMoved("c"))) == 3
    assert ra.append_events([REGISTRY.encode(ShelfMoved("d"), metadata=b"raw")]) == 4
    assert [(e.type, e.tags, e.metadata, e.id) for e in store.read()] == [
        ("ShelfCounted", ("shelf:a",), b"m", ID),
        ("ShelfCounted", ("shelf:b",), None, None),
        ("ShelfMoved", ("shelf:c",), None, None),
        ("ShelfMoved", ("shelf:d",), b"raw", None),
    ]


def test_several_events_are_appended_all_or_none(store: cp.EmbeddedStore, ra: cp.ReadAppender) -> None:
    with pytest.raises(TypeError, match="int is not registered"):
        ra.append_events([ShelfCounted("a"), 5])
    with pytest.raises(ValueError, match="at least one event"):
        ra.append_events([])
    assert store.head() == 0


def test_without_a_read_nothing_is_guarded(store: cp.EmbeddedStore, ra: cp.ReadAppender) -> None:
    assert ra.conditions == ()
    somebody_else(store, ShelfCounted("a"))
    assert ra.append_event(ShelfCounted("a")) == 2


def test_a_read_is_recorded_with_the_head_and_not_with_the_last_event_seen(
    store: cp.EmbeddedStore, ra: cp.ReadAppender
) -> None:
    somebody_else(store, ShelfCounted("a"), ShelfCounted("b"))
    ra.read_events(on("a"))
    assert ra.conditions == (cp.AppendCondition(on("a"), after=2),)


@pytest.mark.parametrize(
    "window",
    [
        on("a"),
        on("a").limit(1),
        on("a").reverse().limit(1),
        on("a").after(2),
        on("a").until(1),
        on("a").after(10**30),
        on("nowhere"),
        ANYTHING,
        ANYTHING.limit(1),
    ],
)
def test_the_guard_of_a_read_holds_while_nothing_arrives_and_fails_when_something_does(
    store: cp.EmbeddedStore, window: cp.Query
) -> None:
    """Also of a limited or a reverse read, and of one that found nothing."""
    somebody_else(store, ShelfCounted("a", 1), ShelfCounted("a", 2), ShelfCounted("a", 3))
    ra = cp.ReadAppender(store)
    ra.read_events(window)
    assert ra.append_event(ShelfCounted("b")) == 4

    ra = cp.ReadAppender(store)
    ra.read_events(window)
    shelf = "nowhere" if window == on("nowhere") else "a"
    position = somebody_else(store, ShelfMoved(shelf))
    with pytest.raises(cp.AppendConditionFailed) as caught:
        ra.append_event(ShelfCounted("b"))
    assert caught.value.position == position
    assert caught.value.condition.query.matches(cp.RawEvent("ShelfMoved", b"", [f"shelf:{shelf}"]))
    assert store.head() == position


def test_what_was_not_read_does_not_guard(store: cp.EmbeddedStore, ra: cp.ReadAppender) -> None:
    ra.read_events(on("a"))
    somebody_else(store, ShelfCounted("b"), ShelfMoved("c"))
    assert ra.append_event(ShelfCounted("a")) == 3


def test_each_read_guards_from_its_own_snapshot(store: cp.EmbeddedStore, ra: cp.ReadAppender) -> None:
    """One `after` for both would let the first read miss what came between."""
    ra.read_events(on("a"))
    somebody_else(store, ShelfCounted("a"))
    ra.read_events(on("b"))
    assert ra.conditions == (cp.AppendCondition(on("a"), 0), cp.AppendCondition(on("b"), 1))
    with pytest.raises(cp.AppendConditionFailed) as caught:
        ra.append_event(ShelfCounted("c"))
    assert (caught.value.position, caught.value.condition) == (1, ra.conditions[0])


def test_the_same_query_read_twice_guards_from_the_first_time_on(
    store: cp.EmbeddedStore, ra: cp.ReadAppender
) -> None:
    ra.read_events(on("a"))
    somebody_else(store, ShelfCounted("a"))
    assert len(ra.read_events(on("a").reverse())) == 1
    assert ra.conditions == (cp.AppendCondition(on("a"), 0),)
    with pytest.raises(cp.AppendConditionFailed):
        ra.append_event(ShelfCounted("b"))


def test_a_second_append_does_not_conflict_with_the_first(
    store: cp.EmbeddedStore, ra: cp.ReadAppender
) -> None:
    ra.read_events(on("a"))
    ra.read_events(ANYTHING)
    assert ra.append_events([ShelfCounted("a"), ShelfCounted("a")]) == 2
    assert [condition.after for condition in ra.conditions] == [2, 2]
    assert ra.append_event(ShelfCounted("a")) == 3
    assert len(ra.read_events(on("a"))) == 3
    assert ra.append_event(ShelfCounted("a")) == 4


def test_a_second_append_still_conflicts_with_what_others_did_meanwhile(
    store: cp.EmbeddedStore, ra: cp.ReadAppender
) -> None:
    ra.read_events(on("a"))
    ra.append_event(ShelfCounted("a"))
    somebody_else(store, ShelfMoved("a"))
    with pytest.raises(cp.AppendConditionFailed) as caught:
        ra.append_event(ShelfCounted("a"))
    assert caught.value.position == 2


def test_a_failed_append_moves_no_guard(store: cp.EmbeddedStore, ra: cp.ReadAppender) -> None:
    ra.read_events(on("a"))
    somebody_else(store, ShelfCounted("a"))
    before = ra.conditions
    for _ in range(2):
        with pytest.raises(cp.AppendConditionFailed):
            ra.append_event(ShelfCounted("a"))
        assert ra.conditions == before


def test_a_read_that_fails_halfway_guards_too(store: cp.EmbeddedStore, ra: cp.ReadAppender) -> None:
    """A command that swallows the error has still seen something, and decides on it."""
    store.append([cp.RawEvent("ShelfCounted", b"not JSON", ["shelf:a"])])
    with pytest.raises(cp.EventDecodeError) as caught:
        ra.read_events(on("a"))
    assert (caught.value.type, caught.value.position) == ("ShelfCounted", 1)
    assert ra.conditions == (cp.AppendCondition(on("a"), 1),)


def test_an_event_of_unknown_type_is_named(store: cp.EmbeddedStore, ra: cp.ReadAppender) -> None:
    store.append([cp.RawEvent("test.Unheard", b"{}")])
    with pytest.raises(cp.UnknownEventType, match=r"test\.Unheard"):
        ra.read_events(ANYTHING)


def test_it_uses_the_registry_it_was_given(store: cp.EmbeddedStore) -> None:
    registry = cp.EventRegistry()
    registry.register(ShelfCounted, type="test.counted")
    ra = cp.ReadAppender(store, registry)
    ra.append_event(ShelfCounted("a", 1))
    assert next(iter(store.read())).type == "test.counted"
    assert ra.read_events(ANYTHING)[0].event == ShelfCounted("a", 1)
    with pytest.raises(TypeError, match="ShelfMoved"):
        ra.append_event(ShelfMoved("a"))


def test_events_of_a_former_type_guard_a_query_by_class(store: cp.EmbeddedStore) -> None:
    class ShelfAudited(cp.Event):
        former_types = ("test.ShelfChecked",)

    ra = cp.ReadAppender(store)
    ra.read_events(cp.Query().add_item(types=[ShelfAudited]))
    store.append([cp.RawEvent("test.ShelfChecked", b"{}")])
    with pytest.raises(cp.AppendConditionFailed):
        ra.append_event(ShelfCounted("a"))


def test_it_appends_a_raw_event_as_it_is(store: cp.EmbeddedStore, ra: cp.ReadAppender) -> None:
    raw = ra.registry.encode(ShelfCounted("a"), metadata=b"by me", id=ID)
    assert ra.append_event(raw) == 1
    assert [(e.metadata, e.id) for e in store.read()] == [(b"by me", ID)]
    for beside in ({"metadata": b"m"}, {"id": ID}):
        with pytest.raises(TypeError, match="its own metadata and id"):
            ra.append_event(raw, **beside)
    assert store.head() == 1


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (ShelfCounted, r"an instance is needed, not the class: ShelfCounted\(\.\.\.\)"),
        ({"shelf": "a"}, r"builtins\.dict.*derive it from cp\.Event or register it"),
        ([ShelfCounted("a")], r"builtins\.list.*derive it from cp\.Event or register it"),
    ],
)
def test_what_is_no_event_is_refused_with_what_to_do(
    store: cp.EmbeddedStore, ra: cp.ReadAppender, wrong: Any, text: str
) -> None:
    with pytest.raises(TypeError, match=text):
        ra.append_event(wrong)
    assert store.head() == 0


def test_one_event_is_no_list_of_events(store: cp.EmbeddedStore) -> None:
    class Iterable(pydantic.BaseModel):
        """As all pydantic models are."""

    registry = cp.EventRegistry()
    registry.register(Iterable)
    ra = cp.ReadAppender(store, registry)
    wrong: list[Any] = [ShelfCounted("a"), REGISTRY.encode(ShelfCounted("a")), Iterable(), None]
    for event in wrong:
        with pytest.raises(TypeError, match="use append_event for one"):
            ra.append_events(event)
    assert store.head() == 0


def test_an_event_that_could_not_be_read_back_stores_nothing(
    store: cp.EmbeddedStore, ra: cp.ReadAppender
) -> None:
    with pytest.raises(ValueError, match=r"ShelfCounted could not be read back: .*\$\.count"):
        ra.append_events([ShelfCounted("a"), ShelfCounted("a", count="many")])  # type: ignore[arg-type]
    assert store.head() == 0


class SparseStore:
    """A store whose positions have gaps: a ReadAppender may compare them, but not count with them."""

    def __init__(self) -> None:
        self.conditions: list[cp.AppendCondition] = []

    class _Read:
        head = 10**25

        def __iter__(self) -> Any:
            return iter(())

    def read(self, query: cp.Query, **_: Any) -> Any:
        return self._Read()

    def append(self, events: Any, condition: Any = None) -> int:
        self.conditions = list(condition)
        return 10**25 + 1000


def test_a_position_may_be_of_any_size_and_have_gaps() -> None:
    store = SparseStore()
    ra = cp.ReadAppender(store)  # type: ignore[arg-type]
    ra.read_events(on("a"))
    assert ra.append_event(ShelfCounted("a")) == 10**25 + 1000
    assert store.conditions == [cp.AppendCondition(on("a"), 10**25)]
    assert ra.conditions == (cp.AppendCondition(on("a"), 10**25 + 1000),)
