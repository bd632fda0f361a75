"""An order whose token was used is a re-submission, however many are sent at once."""

import counterpoint as cp
import pytest

from examples.prevent_duplication import OrderResubmitted, OrderSubmitted, SubmitOrder
from tests.examples.racing import Race
from tests.examples.scenario import Run, given, history, kinds


@pytest.fixture
def runner(store: cp.EmbeddedStore) -> cp.CommandRunner:
    return cp.CommandRunner(store)


def test_an_order_with_a_new_token_is_placed(store, runner):
    given(store, OrderSubmitted("o12345", "11111"))
    runner.run(SubmitOrder("o54321", "22222"))
    assert history(store)[-1] == OrderSubmitted("o54321", "22222")


def test_a_used_token_is_a_resubmission_and_names_the_first_order(store, runner):
    given(store, OrderSubmitted("o12345", "11111"))
    with pytest.raises(OrderResubmitted, match='"o12345" was placed with this token already'):
        runner.run(SubmitOrder("o54321", "11111"))
    assert history(store) == [OrderSubmitted("o12345", "11111")]


def test_the_same_token_a_hundred_times_at_once_places_one_order(race: Race):
    outcomes = race.at_once([Run(SubmitOrder(f"o{n}", "11111")) for n in range(100)])
    assert kinds(outcomes) == {int: 1, OrderResubmitted: 99}
    [order] = race.alone(history)
    assert {str(outcome) for outcome in outcomes if isinstance(outcome, OrderResubmitted)} == {
        f'order "{order.order_id}" was placed with this token already'
    }
