"""What mypy must understand of projections, and what it must refuse."""

from typing import Any, assert_type

import counterpoint as cp


class Count(cp.Projection[int]):
    tag: str

    def query(self) -> cp.Query:
        return cp.Query().add_item(tags=[self.tag])

    def init(self) -> int:
        return 0

    def apply(self, state: int, envelope: cp.Envelope) -> int:
        return state + 1


class Names(cp.OnDemandProjection[list[str]]):
    def query(self) -> cp.Query:
        return cp.Query.all().limit(3)

    def init(self) -> list[str]:
        return []

    def apply(self, state: list[str], envelope: cp.Envelope[Any]) -> list[str]:
        return [*state, envelope.type]


def runs(store: cp.Store) -> None:
    assert_type(Count("a").run(store), int)
    assert_type(Names().run(store, cp.EventRegistry()), list[str])

    Count()  # type: ignore[call-arg]
    Count("a").tag = "b"  # type: ignore[misc]


def folds(ra: cp.ReadAppender) -> None:
    a, names = Count("a"), Names()
    assert_type(ra.fold(a), int)
    assert_type(ra.fold(names), list[str])
    assert_type(ra.fold(a, names), tuple[int, list[str]])
    assert_type(ra.fold(a, names, a), tuple[int, list[str], int])
    assert_type(ra.fold(a, a, a, names), tuple[int, int, int, list[str]])
    assert_type(ra.fold(a, a, a, a, names), tuple[int, int, int, int, list[str]])
    assert_type(ra.fold(a, a, a, a, a, names), tuple[int, int, int, int, int, list[str]])
    assert_type(ra.fold_all(Count(tag) for tag in "abc"), list[int])

    ra.fold(5)  # type: ignore[call-overload]
    ra.fold(Count)  # type: ignore[call-overload]
    ra.fold_all(a)  # type: ignore[arg-type]


class WrongApply(cp.Projection[int]):
    def apply(self, state: str, envelope: cp.Envelope) -> int:  # type: ignore[override]
        return 0


class WrongApplyResult(cp.Projection[int]):
    def apply(self, state: int, envelope: cp.Envelope) -> str:  # type: ignore[override]
        return ""


class WrongApplyArguments(cp.Projection[int]):
    def apply(self, state: int) -> int:  # type: ignore[override]
        return 0


class WrongInit(cp.OnDemandProjection[int]):
    def init(self) -> str:  # type: ignore[override]
        return ""


class WrongQuery(cp.Projection[int]):
    def query(self) -> str:  # type: ignore[override]
        return ""
