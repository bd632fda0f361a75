"""A sign-up is confirmed once, with the right address and code, in time."""

from datetime import UTC, datetime, timedelta

import counterpoint as cp
import pytest

from examples.opt_in_token import (
    AlreadyConfirmed,
    CodeExpired,
    ConfirmSignUp,
    NoSuchSignUp,
    RequestSignUp,
    SignUpConfirmed,
    SignUpRequested,
    World,
)
from tests.examples.racing import Race
from tests.examples.scenario import Run, StoppedClock, given, history, kinds

NOW = datetime(2025, 1, 10, 12, tzinfo=UTC)
JOHN = "john.doe@example.com"


def no_mail(email: str, text: str) -> None:
    """Picklable, as the racing processes need it."""


def code_111111() -> str:
    return "111111"


WORLD = World(no_mail, StoppedClock(NOW), code_111111)


def requested(minutes_ago: float = 1) -> SignUpRequested:
    return SignUpRequested(JOHN, "111111", "John Doe", NOW - timedelta(minutes=minutes_ago))


@pytest.fixture
def runner(store: cp.EmbeddedStore) -> cp.CommandWithEffectRunner[World]:
    return cp.CommandWithEffectRunner(store, WORLD)


def test_a_request_is_stored_with_its_code_and_then_mailed_once(store):
    mails = []

    def send_mail(email: str, text: str) -> None:
        mails.append((email, text, len(history(store))))

    world = World(send_mail, StoppedClock(NOW), code_111111)
    assert cp.CommandWithEffectRunner(store, world).run(RequestSignUp(JOHN, "John Doe")) == "111111"
    assert history(store) == [requested(minutes_ago=0)]
    assert mails == [(JOHN, "Your code is 111111", 1)]


def test_the_right_code_confirms_and_carries_the_name_over(store, runner):
    given(store, requested())
    runner.run(ConfirmSignUp(JOHN, "111111"))
    assert history(store)[-1] == SignUpConfirmed(JOHN, "111111", "John Doe")


@pytest.mark.parametrize(("email", "code"), [(JOHN, "000000"), ("jane@example.com", "111111")])
def test_a_wrong_code_or_address_confirms_nothing(store, runner, email, code):
    given(store, requested())
    with pytest.raises(NoSuchSignUp, match=f"no sign-up of {email} has this code"):
        runner.run(ConfirmSignUp(email, code))


def test_address_and_code_must_be_of_one_sign_up(store, runner):
    given(store, requested(), SignUpRequested("jane@example.com", "222222", "Jane", NOW))
    with pytest.raises(NoSuchSignUp):
        runner.run(ConfirmSignUp(JOHN, "222222"))


def test_a_code_confirms_once(store, runner):
    given(store, requested(), SignUpConfirmed(JOHN, "111111", "John Doe"))
    with pytest.raises(AlreadyConfirmed):
        runner.run(ConfirmSignUp(JOHN, "111111"))


@pytest.mark.parametrize("minutes", [0, 59, 60])
def test_a_code_is_good_for_sixty_minutes(store, runner, minutes):
    given(store, requested(minutes_ago=minutes))
    runner.run(ConfirmSignUp(JOHN, "111111"))


@pytest.mark.parametrize("minutes", [60.01, 61])
def test_after_sixty_minutes_a_code_has_expired(store, runner, minutes):
    given(store, requested(minutes_ago=minutes))
    with pytest.raises(CodeExpired, match="ask for a new one"):
        runner.run(ConfirmSignUp(JOHN, "111111"))


def test_a_used_code_is_named_before_an_expired_one(store, runner):
    given(store, requested(minutes_ago=90), SignUpConfirmed(JOHN, "111111", "John Doe"))
    with pytest.raises(AlreadyConfirmed):
        runner.run(ConfirmSignUp(JOHN, "111111"))


def test_of_many_who_race_with_one_code_one_confirms(race: Race):
    race.alone(Run(RequestSignUp(JOHN, "John Doe"), WORLD))
    outcomes = race.at_once([Run(ConfirmSignUp(JOHN, "111111"), WORLD)] * 20)
    assert kinds(outcomes) == {int: 1, AlreadyConfirmed: 19}
    assert len(race.alone(history)) == 2
