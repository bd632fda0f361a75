"""Commands and their runners: retries from scratch, errors at once, effects once."""

import pickle
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import counterpoint as cp
import pytest


class TicketSold(cp.Event):
    show: Annotated[str, cp.Tag("show")]
    seat: int


class SoldOut(Exception):  # noqa: N818
    pass


SEATS = 3


def tickets(show: str) -> cp.Query:
    return cp.Query().add_item(types=[TicketSold], tags=[f"show:{show}"])


class SellTicket(cp.Command):
    show: str

    def run(self, ra: cp.ReadAppender) -> int:
        sold = ra.read_events(tickets(self.show))
        if len(sold) == SEATS:
            raise SoldOut(self.show)
        ra.append_event(TicketSold(self.show, seat=len(sold) + 1))
        return len(sold) + 1


class Interrupted:
    """A command that others come before, so and so many times."""

    def __init__(self, store: cp.Store, times: int) -> None:
        self.store = store
        self.times = times
        self.appenders: list[cp.ReadAppender] = []

    def run(self, ra: cp.ReadAppender) -> int:
        self.appenders.append(ra)
        assert ra.conditions == ()
        seen = len(ra.read_events(tickets("opera")))
        if len(self.appenders) <= self.times:
            cp.ReadAppender(self.store).append_event(TicketSold("opera", seat=seen + 1))
        ra.append_event(TicketSold("opera", seat=seen + 1))
        return seen + 1


@pytest.fixture
def store() -> cp.EmbeddedStore:
    return cp.open("memory:")


def test_a_command_returns_what_it_decides(store: cp.EmbeddedStore) -> None:
    runner = cp.CommandRunner(store)
    assert [runner.run(SellTicket("opera")) for _ in range(SEATS)] == [1, 2, 3]


def test_a_domain_error_is_raised_at_once(store: cp.EmbeddedStore) -> None:
    runner = cp.CommandRunner(store, sleep=lambda _: pytest.fail("slept"))
    for _ in range(SEATS):
        runner.run(SellTicket("opera"))
    with pytest.raises(SoldOut):
        runner.run(SellTicket("opera"))
    assert store.head() == SEATS


@pytest.mark.parametrize(
    "error", [cp.StorageError("disk"), cp.Error("other"), ValueError(), KeyboardInterrupt()]
)
def test_only_a_failed_condition_is_tried_again(store: cp.EmbeddedStore, error: BaseException) -> None:
    attempts = []

    class Fails:
        def run(self, ra: cp.ReadAppender) -> None:
            attempts.append(ra)
            raise error

    with pytest.raises(type(error)):
        cp.CommandRunner(store).run(Fails())
    assert len(attempts) == 1


def test_any_object_with_run_is_a_command(store: cp.EmbeddedStore) -> None:
    @dataclass
    class SellBlock:
        seats: list[int]

        def run(self, appender: cp.ReadAppender) -> int:
            return appender.append_events(TicketSold("opera", seat) for seat in self.seats)

    assert cp.CommandRunner(store).run(SellBlock([1, 2])) == 2


def test_a_stale_decision_is_made_again_from_scratch(store: cp.EmbeddedStore) -> None:
    command = Interrupted(store, times=2)
    assert cp.CommandRunner(store).run(command) == 3
    assert len(command.appenders) == len(set(map(id, command.appenders))) == 3
    assert [cp.EventRegistry.default().decode(e).event.seat for e in store.read()] == [1, 2, 3]


@pytest.mark.parametrize("max_attempts", [1, 2, 4, 7])
def test_after_the_last_attempt_the_failure_is_raised_with_their_number(
    store: cp.EmbeddedStore, max_attempts: int
) -> None:
    command = Interrupted(store, times=100)
    runner = cp.CommandRunner(store, max_attempts=max_attempts, sleep=lambda _: None)
    with pytest.raises(cp.AppendConditionFailed) as caught:
        runner.run(command)
    assert caught.value.attempts == len(command.appenders) == max_attempts
    assert caught.value.position == store.head() == max_attempts
    assert pickle.loads(pickle.dumps(caught.value)).attempts == max_attempts


def test_there_are_four_attempts_by_default(store: cp.EmbeddedStore) -> None:
    with pytest.raises(cp.AppendConditionFailed, match=r"4 attempts: raise max_attempts, or narrow what"):
        cp.CommandRunner(store).run(Interrupted(store, times=4))
    assert cp.CommandRunner(store).run(Interrupted(store, times=3)) == 8


@pytest.mark.parametrize(
    ("wrong", "error"), [(0, ValueError), (-1, ValueError), (True, TypeError), (1.0, TypeError)]
)
def test_there_is_at_least_one_attempt(store: cp.EmbeddedStore, wrong: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="max_attempts"):
        cp.CommandRunner(store, max_attempts=wrong)


def test_the_first_retry_is_at_once_and_the_next_ones_are_within_the_backoff(store: cp.EmbeddedStore) -> None:
    slept: list[float] = []
    cp.CommandRunner(store, max_attempts=20, sleep=slept.append).run(Interrupted(store, times=10))
    assert len(slept) == 9
    for retry, seconds in enumerate(slept):
        assert 0 <= seconds <= min(0.05, 0.001 * 2**retry)


def test_a_runner_waits_as_its_backoff_says(store: cp.EmbeddedStore) -> None:
    slept: list[float] = []
    runner = cp.CommandRunner(store, max_attempts=5, backoff=cp.Backoff.remote(), sleep=slept.append)
    runner.run(Interrupted(store, times=4))
    assert slept == [0.05, 0.1, 0.2, 0.4]


def test_a_backoff_doubles_up_to_its_cap() -> None:
    backoff = cp.Backoff(first=0.5, base=1.0, factor=2.0, cap=6.0, jitter=False)
    assert [backoff.delay(retry) for retry in (1, 2, 3, 4, 5, 5000)] == [0.5, 1.0, 2.0, 4.0, 6.0, 6.0]


def test_jitter_uses_the_whole_range() -> None:
    delays = [cp.Backoff(base=1.0, cap=1.0).delay(2) for _ in range(1000)]
    assert 0 <= min(delays) < 0.1
    assert 0.9 < max(delays) <= 1


@pytest.mark.parametrize("name", ["first", "base", "factor", "cap"])
@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        (-1, ValueError),
        (float("nan"), ValueError),
        (float("inf"), ValueError),
        ("1", TypeError),
        (True, TypeError),
    ],
)
def test_a_backoff_is_made_of_finite_numbers(name: str, wrong: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=name):
        cp.Backoff(**{name: wrong})


def test_an_async_run_is_refused(store: cp.EmbeddedStore) -> None:
    class Async:
        async def run(self, ra: cp.ReadAppender) -> int:
            return ra.append_event(TicketSold("opera", 1))

    def logged(method: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(method)
        def call(*args: Any) -> Any:
            return method(*args)

        return call

    class Decorated:
        run = logged(Async.run)

    for command in (Async(), Decorated()):
        with pytest.raises(TypeError, match="async"):
            cp.CommandRunner(store).run(command)
    assert store.head() == 0


def test_a_run_that_yields_is_refused_and_not_taken_for_a_decision(store: cp.EmbeddedStore) -> None:
    class Yields:
        def run(self, ra: cp.ReadAppender) -> Any:
            yield ra.append_event(TicketSold("opera", 1))

    class YieldsAsync:
        async def run(self, ra: cp.ReadAppender) -> Any:
            yield ra.append_event(TicketSold("opera", 1))

    for command, text in ((Yields(), "generator"), (YieldsAsync(), "async")):
        with pytest.raises(TypeError, match=text):
            cp.CommandRunner(store).run(command)
    assert store.head() == 0


@pytest.mark.parametrize("wrong", [0.1, None, cp.Backoff])
def test_a_backoff_is_refused_when_it_is_given_and_not_when_it_is_needed(
    store: cp.EmbeddedStore, wrong: Any
) -> None:
    for runner in (cp.CommandRunner, lambda *_, **kwargs: cp.CommandWithEffectRunner(store, None, **kwargs)):
        with pytest.raises(TypeError, match=r"backoff must be a Backoff, such as cp\.Backoff\(\)"):
            runner(store, backoff=wrong)


@pytest.mark.parametrize("wrong", ["orders", None, cp.EmbeddedStore, Path("orders")])
def test_what_is_no_store_is_refused_where_it_is_given(wrong: Any) -> None:
    class Nothing(cp.Projection[int]):
        pass

    for use in (cp.CommandRunner, cp.ReadAppender, lambda s: cp.CommandWithEffectRunner(s, 1), Nothing().run):
        with pytest.raises(TypeError, match=r"store must be a Store, as from cp\.open\(\.\.\.\), not "):
            use(wrong)


@pytest.mark.parametrize("wrong", [SellTicket, object(), None, "SellTicket", cp.Command])
def test_what_is_no_command_is_refused(store: cp.EmbeddedStore, wrong: Any) -> None:
    for runner in (cp.CommandRunner(store), cp.CommandWithEffectRunner(store, None)):
        with pytest.raises(TypeError, match="command"):
            runner.run(wrong)


def test_a_command_without_run_is_named(store: cp.EmbeddedStore) -> None:
    class Idle(cp.Command):
        pass

    with pytest.raises(NotImplementedError, match=r"Idle needs a method run\(ra\)"):
        cp.CommandRunner(store).run(Idle())


def test_a_command_is_a_value() -> None:
    assert SellTicket("opera") == SellTicket(show="opera") != SellTicket("ballet")
    assert pickle.loads(pickle.dumps(SellTicket("opera"))) == SellTicket("opera")
    with pytest.raises(AttributeError):
        SellTicket("opera").show = "ballet"  # type: ignore[misc]


def test_a_runner_uses_the_registry_it_was_given(store: cp.EmbeddedStore) -> None:
    registry = cp.EventRegistry()
    registry.register(TicketSold, type="test.sold")
    cp.CommandRunner(store, registry=registry).run(SellTicket("opera"))
    assert next(iter(store.read())).type == "test.sold"


def test_of_many_who_race_for_the_seats_as_many_win_as_there_are(store: cp.EmbeddedStore) -> None:
    runner = cp.CommandRunner(store, max_attempts=1000)
    outcomes: list[object] = []

    def sell() -> None:
        try:
            outcomes.append(runner.run(SellTicket("opera")))
        except SoldOut:
            outcomes.append(SoldOut)

    threads = [threading.Thread(target=sell) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(seat for seat in outcomes if isinstance(seat, int)) == [1, 2, 3]
    assert outcomes.count(SoldOut) == 13
    assert store.head() == SEATS


@dataclass
class Deps:
    """A clock and a mailer."""

    now: float
    sent: list[str]


class SellAndMail(cp.CommandWithEffect[Deps, int]):
    show: str

    def run(self, ra: cp.ReadAppender, deps: Deps) -> int:
        seat = len(ra.read_events(tickets(self.show))) + 1
        if deps.now > 20:
            raise SoldOut("too late")
        if len(deps.sent) < 1:
            deps.sent.append("decided")
            cp.ReadAppender(ra._store).append_event(TicketSold(self.show, seat))
        ra.append_event(TicketSold(self.show, seat))
        return seat

    def effect(self, result: int, deps: Deps) -> None:
        deps.sent.append(f"seat {result}")


def test_an_effect_comes_once_after_the_attempt_that_succeeded(store: cp.EmbeddedStore) -> None:
    deps = Deps(now=12, sent=[])
    assert cp.CommandWithEffectRunner(store, deps).run(SellAndMail("opera")) == 2
    assert deps.sent == ["decided", "seat 2"]


def test_a_refused_command_has_no_effect(store: cp.EmbeddedStore) -> None:
    deps = Deps(now=21, sent=[])
    with pytest.raises(SoldOut):
        cp.CommandWithEffectRunner(store, deps).run(SellAndMail("opera"))
    assert deps.sent == []


def test_a_command_that_gives_up_has_no_effect(store: cp.EmbeddedStore) -> None:
    deps = Deps(now=12, sent=[])
    with pytest.raises(cp.AppendConditionFailed) as caught:
        cp.CommandWithEffectRunner(store, deps, max_attempts=1).run(SellAndMail("opera"))
    assert caught.value.attempts == 1
    assert deps.sent == ["decided"]


def test_an_effect_sees_its_events_in_the_store_and_does_nothing_by_default(store: cp.EmbeddedStore) -> None:
    class Quiet(cp.CommandWithEffect[list[int]]):
        def run(self, ra: cp.ReadAppender, deps: list[int]) -> int:
            return ra.append_event(TicketSold("opera", 1))

    class Looks(Quiet):
        def effect(self, result: int, deps: list[int]) -> None:
            deps += [result, store.head()]

    heads: list[int] = []
    runner = cp.CommandWithEffectRunner(store, heads)
    assert runner.run(Quiet()) == 1
    assert heads == []
    assert runner.run(Looks()) == 2
    assert heads == [2, 2]


@pytest.mark.parametrize(
    "error", [RuntimeError("no mail"), cp.AppendConditionFailed(1, cp.AppendCondition(cp.Query.all()))]
)
def test_an_effect_that_fails_is_not_repeated_and_its_events_stay(
    store: cp.EmbeddedStore, error: Exception
) -> None:
    """Even if it fails by a condition of its own: the decision is made."""
    effects = []

    class Fails(cp.CommandWithEffect[None, int]):
        def run(self, ra: cp.ReadAppender, deps: None) -> int:
            return ra.append_event(TicketSold("opera", 1))

        def effect(self, result: int, deps: None) -> None:
            effects.append(result)
            raise error

    with pytest.raises(type(error)):
        cp.CommandWithEffectRunner(store, None).run(Fails())
    assert (effects, store.head()) == ([1], 1)


def test_any_object_with_run_and_effect_has_one(store: cp.EmbeddedStore) -> None:
    class Plain:
        def run(self, ra: cp.ReadAppender, deps: list[int]) -> int:
            return ra.append_event(TicketSold("opera", 1))

        def effect(self, result: int, deps: list[int]) -> None:
            deps.append(result)

    done: list[int] = []
    assert cp.CommandWithEffectRunner(store, done).run(Plain()) == 1
    assert done == [1]


def test_an_effect_that_could_not_happen_is_refused_before_anything_is_appended(
    store: cp.EmbeddedStore,
) -> None:
    class Without:
        def run(self, ra: cp.ReadAppender, deps: None) -> int:
            return ra.append_event(TicketSold("opera", 1))

    class Async(Without):
        async def effect(self, result: int, deps: None) -> None:
            pytest.fail("was run")

    class Yields(Without):
        def effect(self, result: int, deps: None) -> Any:
            yield pytest.fail("was run")

    runner: Any = cp.CommandWithEffectRunner(store, None)
    for command in (Without(), Async(), Yields()):
        with pytest.raises(TypeError, match="effect"):
            runner.run(command)
    assert store.head() == 0


def test_the_default_sleep_is_the_clocks(store: cp.EmbeddedStore) -> None:
    started = time.monotonic()
    backoff = cp.Backoff(first=0.05, jitter=False)
    cp.CommandRunner(store, backoff=backoff).run(Interrupted(store, times=1))
    assert time.monotonic() - started >= 0.05
