"""A name belongs to one account, is freed some days after, and goes to one of many who race for it."""

from datetime import UTC, datetime, timedelta

import counterpoint as cp
import pytest

from examples.unique_username import (
    AccountClosed,
    AccountOpened,
    AccountRenamed,
    Clock,
    CloseAccount,
    OpenAccount,
    RenameAccount,
    UsernameClaimed,
    UsernameNotInUse,
)
from tests.examples.racing import Race
from tests.examples.scenario import Run, StoppedClock, given, history, kinds

NOW = datetime(2025, 1, 10, 12, tzinfo=UTC)
CLOCK = StoppedClock(NOW)


def days_ago(days: float) -> datetime:
    return NOW - timedelta(days=days)


@pytest.fixture
def runner(store: cp.EmbeddedStore) -> cp.CommandWithEffectRunner[Clock]:
    return cp.CommandWithEffectRunner(store, CLOCK)


def test_a_name_that_nobody_has_is_free(store, runner):
    runner.run(OpenAccount("u1"))
    assert history(store) == [AccountOpened("u1")]


def test_a_name_in_use_is_claimed(store, runner):
    given(store, AccountOpened("u1"))
    with pytest.raises(UsernameClaimed, match='"u1" is claimed'):
        runner.run(OpenAccount("u1"))


def test_names_are_told_apart(store, runner):
    given(store, AccountOpened("u1"))
    runner.run(OpenAccount("u10"))
    assert history(store)[-1] == AccountOpened("u10")


@pytest.mark.parametrize("freed", [AccountClosed, lambda name, at: AccountRenamed(name, "u1changed", at)])
@pytest.mark.parametrize("days", [0, 2.99, 3])
def test_a_name_let_go_up_to_three_days_ago_is_still_claimed(store, runner, freed, days):
    given(store, AccountOpened("u1"), freed("u1", days_ago(days)))
    with pytest.raises(UsernameClaimed, match='"u1" is claimed until'):
        runner.run(OpenAccount("u1"))


@pytest.mark.parametrize("freed", [AccountClosed, lambda name, at: AccountRenamed(name, "u1changed", at)])
@pytest.mark.parametrize("days", [3.01, 4])
def test_a_name_let_go_more_than_three_days_ago_is_free(store, runner, freed, days):
    given(store, AccountOpened("u1"), freed("u1", days_ago(days)))
    runner.run(OpenAccount("u1"))
    assert history(store)[-1] == AccountOpened("u1")


def test_a_name_taken_by_a_change_is_claimed(store, runner):
    given(store, AccountOpened("u1"), AccountRenamed("u1", "u2", days_ago(400)))
    with pytest.raises(UsernameClaimed, match='"u2" is claimed'):
        runner.run(OpenAccount("u2"))


def test_a_name_that_was_taken_again_is_claimed(store, runner):
    given(store, AccountOpened("u1"), AccountClosed("u1", days_ago(9)), AccountOpened("u1"))
    with pytest.raises(UsernameClaimed):
        runner.run(OpenAccount("u1"))


def test_a_name_changes_to_a_free_one_and_is_tagged_with_both(store, runner):
    given(store, AccountOpened("u1"))
    position = runner.run(RenameAccount("u1", "u2"))
    assert history(store)[-1] == AccountRenamed("u1", "u2", NOW)
    [changed] = store.read(after=position - 1)
    assert changed.tags == ("username:u1", "username:u2")


def test_a_name_changes_to_no_name_that_is_claimed(store, runner):
    given(store, AccountOpened("u1"), AccountOpened("u2"))
    with pytest.raises(UsernameClaimed, match='"u2" is claimed'):
        runner.run(RenameAccount("u1", "u2"))


def test_only_a_name_in_use_can_change_or_be_closed(store, runner):
    given(store, AccountOpened("u1"), AccountClosed("u1", days_ago(1)))
    for command in (RenameAccount("u1", "u2"), CloseAccount("u1"), CloseAccount("nobody")):
        with pytest.raises(UsernameNotInUse):
            runner.run(command)


def test_an_account_is_closed_at_the_time_of_the_clock(store, runner):
    given(store, AccountOpened("u1"))
    runner.run(CloseAccount("u1"))
    assert history(store)[-1] == AccountClosed("u1", NOW)


def test_of_fifty_racers_on_an_empty_store_one_gets_the_name(race: Race):
    outcomes = race.at_once([Run(OpenAccount("u1"), CLOCK)] * 50)
    assert kinds(outcomes) == {int: 1, UsernameClaimed: 49}
    assert race.alone(history) == [AccountOpened("u1")]


def test_of_many_who_race_to_change_to_one_name_one_gets_it(race: Race):
    for n in range(20):
        race.alone(Run(OpenAccount(f"u{n}"), CLOCK))
    outcomes = race.at_once([Run(RenameAccount(f"u{n}", "best"), CLOCK) for n in range(20)])
    assert kinds(outcomes) == {int: 1, UsernameClaimed: 19}
    assert len(race.alone(history)) == 21
