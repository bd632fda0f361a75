"""What mypy must understand of commands, and what it must refuse."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, assert_type

import counterpoint as cp

Clock = Callable[[], datetime]


class SeatTaken(cp.Event):
    show: Annotated[str, cp.Tag("show")]
    seat: int = 1


class TakeSeat(cp.Command):
    show: str

    def run(self, ra: cp.ReadAppender) -> int:
        return ra.append_event(SeatTaken(self.show))


class TakeNothing(cp.Command):
    def run(self, ra: cp.ReadAppender) -> None: ...


@dataclass
class Plain:
    show: str

    def run(self, appender: cp.ReadAppender) -> tuple[int, str]:
        return appender.append_events([SeatTaken(self.show)]), self.show


class TakeSeatNow(cp.CommandWithEffect[Clock, int]):
    show: str

    def run(self, ra: cp.ReadAppender, deps: Clock) -> int:
        deps().isoformat()
        return ra.append_event(SeatTaken(self.show))

    def effect(self, result: int, deps: Clock) -> None: ...


class NoResultType(cp.CommandWithEffect[Clock]):
    def run(self, ra: cp.ReadAppender, deps: Clock) -> str:
        return "free"


def commands(store: cp.Store) -> None:
    runner = cp.CommandRunner(store, max_attempts=2, backoff=cp.Backoff.remote())
    assert_type(runner.run(TakeSeat("opera")), int)
    runner.run(TakeNothing())
    assert_type(runner.run(Plain("opera")), tuple[int, str])
    assert_type(cp.CommandRunner(cp.open("memory:")).run(TakeSeat(show="opera")), int)

    TakeSeat()  # type: ignore[call-arg]
    TakeSeat(1)  # type: ignore[arg-type]
    TakeSeat("opera").show = "ballet"  # type: ignore[misc]
    runner.run(SeatTaken("opera"))  # type: ignore[arg-type]
    runner.run(TakeSeat)  # type: ignore[arg-type]
    cp.CommandRunner("orders")  # type: ignore[arg-type]


def commands_with_effect(store: cp.Store, clock: Clock) -> None:
    runner = cp.CommandWithEffectRunner(store, clock)
    assert_type(runner, cp.CommandWithEffectRunner[Clock])
    assert_type(runner.run(TakeSeatNow("opera")), int)
    assert_type(runner.run(NoResultType()), Any)

    runner.run(TakeSeat("opera"))  # type: ignore[arg-type]
    cp.CommandWithEffectRunner(store, 5).run(TakeSeatNow("opera"))  # type: ignore[arg-type]


class WrongRun(cp.Command):
    def run(self, ra: cp.ReadAppender, deps: Clock) -> int:  # type: ignore[override]
        return 1


class WrongDeps(cp.CommandWithEffect[Clock, int]):
    def run(self, ra: cp.ReadAppender, deps: str) -> int:  # type: ignore[override]
        return 1


class WrongEffect(cp.CommandWithEffect[Clock, int]):
    def effect(self, result: str, deps: Clock) -> None: ...  # type: ignore[override]


def appends(ra: cp.ReadAppender) -> None:
    assert_type(ra.append_event(SeatTaken("opera"), metadata=b"m"), int)
    assert_type(ra.append_events([SeatTaken("opera"), SeatTaken("ballet", 2)]), int)
    assert_type(ra.read_events(cp.Query.all()), list[cp.Envelope[Any]])
    assert_type(ra.conditions, tuple[cp.AppendCondition, ...])

    ra.append_event(SeatTaken("opera"), metadata="m")  # type: ignore[arg-type]
    ra.append_events(SeatTaken("opera"))  # type: ignore[arg-type]
    ra.read_events("opera")  # type: ignore[arg-type]
