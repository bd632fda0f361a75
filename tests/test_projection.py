"""Projections, alone and several in one decision."""

import pickle
from typing import Annotated, Any

import counterpoint as cp
import pytest


class PagePrinted(cp.Event):
    book: Annotated[str, cp.Tag("book")]
    printer: Annotated[str, cp.Tag("printer")]


class PageSpoilt(cp.Event):
    book: Annotated[str, cp.Tag("book")]


class Pages(cp.Projection[int]):
    book: str

    def query(self) -> cp.Query:
        return cp.Query().add_item(types=[PagePrinted, PageSpoilt], tags=[f"book:{self.book}"])

    def init(self) -> int:
        return 0

    def apply(self, state: int, envelope: cp.Envelope) -> int:
        match envelope.event:
            case PagePrinted(book=self.book):
                return state + 1
            case PageSpoilt(book=self.book):
                return state - 1
        raise AssertionError(f"{envelope} is not for {self}")


class PrintersUsed(cp.Projection[list[str]]):
    """Its state is mutable and changed in place, which each fold must survive."""

    printer: str

    def query(self) -> cp.Query:
        return cp.Query().add_item(tags=[f"printer:{self.printer}"])

    def init(self) -> list[str]:
        return []

    def apply(self, state: list[str], envelope: cp.Envelope) -> list[str]:
        state.append(envelope.event.book)
        return state


class Everything(cp.Projection[int]):
    def query(self) -> cp.Query:
        return cp.Query.all()

    def init(self) -> int:
        return 0

    def apply(self, state: int, envelope: cp.Envelope) -> int:
        return state + 1


class PositionsIn(cp.Projection[list[int]]):
    window: cp.Query

    def query(self) -> cp.Query:
        return self.window

    def init(self) -> list[int]:
        return []

    def apply(self, state: list[int], envelope: cp.Envelope) -> list[int]:
        return [*state, envelope.position]


class PositionsOnDemand(cp.OnDemandProjection[list[int]]):
    window: cp.Query

    def query(self) -> cp.Query:
        return self.window

    def init(self) -> list[int]:
        return []

    def apply(self, state: list[int], envelope: cp.Envelope) -> list[int]:
        return [*state, envelope.position]


WINDOW = cp.Query().add_item(tags=["book:b1"]).after(1).until(4).reverse().limit(2)


class Counting:
    """A store that tells what was read from it."""

    def __init__(self, store: cp.Store) -> None:
        self.store = store
        self.reads: list[cp.Query] = []

    def read(self, query: cp.Query, **arguments: Any) -> cp.Read:
        assert not arguments
        self.reads.append(query)
        return self.store.read(query)


@pytest.fixture
def store() -> cp.EmbeddedStore:
    """b1 b2 b1 b1 b2, the fourth being spoilt."""
    store = cp.open("memory:")
    cp.ReadAppender(store).append_events(
        [
            PagePrinted("b1", "p1"),
            PagePrinted("b2", "p1"),
            PagePrinted("b1", "p2"),
            PageSpoilt("b1"),
            PagePrinted("b2", "p2"),
        ]
    )
    return store


def test_a_projection_folds_what_its_query_matches(store: cp.EmbeddedStore) -> None:
    assert Pages("b1").run(store) == 1
    assert Pages("b2").run(store) == 2
    assert Pages("none").run(store) == 0
    assert Everything().run(store) == 5


def test_a_state_that_is_changed_in_place_is_made_anew_for_each_run(store: cp.EmbeddedStore) -> None:
    printer = PrintersUsed("p1")
    assert printer.run(store) == printer.run(store) == ["b1", "b2"]


def test_a_projection_is_a_value(store: cp.EmbeddedStore) -> None:
    assert Pages("b1") == Pages("b1") != Pages("b2")
    assert pickle.loads(pickle.dumps(Pages("b1"))).run(store) == 1
    with pytest.raises(AttributeError):
        Pages("b1").book = "b2"  # type: ignore[misc]


def test_a_projection_folds_the_whole_history_whatever_the_window_of_its_query(
    store: cp.EmbeddedStore,
) -> None:
    assert PositionsIn(WINDOW).run(store) == cp.ReadAppender(store).fold(PositionsIn(WINDOW)) == [1, 3, 4]


def test_an_on_demand_projection_honours_the_window_of_its_query(store: cp.EmbeddedStore) -> None:
    on_demand = PositionsOnDemand(WINDOW)
    assert on_demand.run(store) == cp.ReadAppender(store).fold(on_demand) == [4, 3]


def test_a_projection_uses_the_registry_it_was_given(store: cp.EmbeddedStore) -> None:
    with pytest.raises(cp.UnknownEventType):
        Everything().run(store, cp.EventRegistry())


def test_a_projection_without_items_is_refused(store: cp.EmbeddedStore) -> None:
    for projection in (PositionsIn(cp.Query()), PositionsOnDemand(cp.Query().limit(1))):
        for use in (lambda p: p.run(store), cp.ReadAppender(store).fold):
            with pytest.raises(ValueError, match="no items"):
                use(projection)
    with pytest.raises(ValueError, match="no items"):
        cp.ReadAppender(store).fold(Everything(), PositionsIn(cp.Query()))


def test_what_is_no_projection_is_refused_with_what_is_needed(store: cp.EmbeddedStore) -> None:
    ra: Any = cp.ReadAppender(store)
    for wrong, text in (
        (Pages, r"an instance is needed, not the class: Pages\(\.\.\.\)"),
        ([Pages("b1")], r"fold_all\(\)"),
        (Pages("b1").query(), "a projection is needed, not Query"),
    ):
        with pytest.raises(TypeError, match=text):
            ra.fold(wrong)
    with pytest.raises(TypeError, match=r"use fold\(\) for one"):
        ra.fold_all(Pages("b1"))
    assert ra.conditions == ()


def test_a_projection_whose_query_is_none_is_named(store: cp.EmbeddedStore) -> None:
    class Forgetful(cp.Projection[int]):
        def query(self) -> Any:
            return None

        def init(self) -> int:
            return 0

    for use in (Forgetful().run, lambda s: cp.ReadAppender(s).fold(Forgetful())):
        with pytest.raises(TypeError, match=r"query\(\) of .*Forgetful must return a Query, not NoneType"):
            use(store)


def test_what_a_projection_must_define_is_named(store: cp.EmbeddedStore) -> None:
    class Nothing(cp.Projection[int]):
        pass

    with pytest.raises(NotImplementedError, match=r"Nothing needs a method query\(\)"):
        Nothing().run(store)


def test_several_projections_are_one_read_and_each_sees_its_own(store: cp.EmbeddedStore) -> None:
    counting = Counting(store)
    ra = cp.ReadAppender(counting)  # type: ignore[arg-type]
    assert ra.fold(Pages("b1"), PrintersUsed("p1"), Pages("b2"), Pages("b1")) == (1, ["b1", "b2"], 2, 1)
    assert counting.reads == [
        cp.Query()
        .add_item(types=[PagePrinted, PageSpoilt], tags=["book:b1"])
        .add_item(tags=["printer:p1"])
        .add_item(types=[PagePrinted, PageSpoilt], tags=["book:b2"])
    ]
    assert ra.conditions == (cp.AppendCondition(counting.reads[0], after=5),)


def test_one_projection_over_everything_does_not_widen_the_others(store: cp.EmbeddedStore) -> None:
    ra = cp.ReadAppender(store)
    assert ra.fold(Pages("b1"), Everything()) == (1, 5)
    assert ra.conditions == (cp.AppendCondition(cp.Query.all(), after=5),)


def test_on_demand_projections_read_for_themselves_and_states_keep_their_order(
    store: cp.EmbeddedStore,
) -> None:
    counting = Counting(store)
    ra = cp.ReadAppender(counting)  # type: ignore[arg-type]
    on_demand = PositionsOnDemand(WINDOW)
    assert ra.fold(on_demand, Pages("b1"), on_demand, Pages("b2")) == ([4, 3], 1, [4, 3], 2)
    assert len(counting.reads) == 3
    assert cp.AppendCondition(WINDOW, after=5) in ra.conditions


@pytest.mark.parametrize("folded", [(Pages("b1"),), (Pages("b1"), PrintersUsed("p3"))])
def test_a_fold_guards_by_its_queries_and_by_nothing_else(store: cp.EmbeddedStore, folded: Any) -> None:
    ra = cp.ReadAppender(store)
    ra.fold(*folded)
    cp.ReadAppender(store).append_event(PagePrinted("b2", "p2"))
    assert ra.append_event(PagePrinted("b3", "p1")) == 7
    cp.ReadAppender(store).append_event(PagePrinted("b1", "p2"))
    with pytest.raises(cp.AppendConditionFailed):
        ra.append_event(PagePrinted("b3", "p1"))


def test_a_fold_of_one_is_a_state_and_a_fold_of_none_is_refused(store: cp.EmbeddedStore) -> None:
    ra = cp.ReadAppender(store)
    assert ra.fold(Pages("b1")) == 1
    with pytest.raises(TypeError, match="at least one"):
        ra.fold()


@pytest.mark.parametrize("books", [[], ["b1"], ["b1", "b2"], ["b2", "b1", "b2"]])
def test_any_number_of_projections_gives_as_many_states(store: cp.EmbeddedStore, books: list[str]) -> None:
    counting = Counting(store)
    ra = cp.ReadAppender(counting)  # type: ignore[arg-type]
    assert ra.fold_all(Pages(book) for book in books) == [{"b1": 1, "b2": 2}[book] for book in books]
    assert len(counting.reads) == (1 if books else 0)
