"""A cart is ordered at current prices or just replaced ones, all of it or nothing."""

from datetime import UTC, datetime, timedelta

import counterpoint as cp
import pytest

from examples.dynamic_price import (
    CartItem,
    CartOrdered,
    OrderCart,
    PriceNotAccepted,
    ProductListed,
    ProductRepriced,
)
from tests.examples.racing import Race
from tests.examples.scenario import Meddled, Run, given, history, kinds

NOW = datetime(2025, 1, 10, 12, tzinfo=UTC)


def repriced(product_id: str, cents: int, minutes_ago: float) -> ProductRepriced:
    return ProductRepriced(product_id, cents, NOW - timedelta(minutes=minutes_ago))


def order(*items: tuple[str, int]) -> OrderCart:
    return OrderCart(tuple(CartItem(*item) for item in items), at=NOW)


@pytest.fixture
def runner(store: cp.EmbeddedStore) -> cp.CommandRunner:
    return cp.CommandRunner(store)


def test_a_product_is_ordered_at_its_first_price(store, runner):
    given(store, ProductListed("p1", 123))
    runner.run(order(("p1", 123)))
    assert history(store)[-1] == CartOrdered((CartItem("p1", 123),))


def test_a_price_that_was_never_shown_is_refused(store, runner):
    given(store, ProductListed("p1", 123))
    with pytest.raises(PriceNotAccepted, match='"p1" cannot be ordered at 100 cents'):
        runner.run(order(("p1", 100)))


def test_a_product_that_was_never_listed_has_no_price(runner):
    with pytest.raises(PriceNotAccepted):
        runner.run(order(("p0", 123)))


@pytest.mark.parametrize("minutes", [0, 9, 9.99, 10, 20])
def test_the_current_price_is_good_however_new(store, runner, minutes):
    given(store, ProductListed("p1", 123), repriced("p1", 134, minutes))
    runner.run(order(("p1", 134)))


@pytest.mark.parametrize("minutes", [0, 9, 9.99])
def test_a_price_replaced_less_than_ten_minutes_ago_is_good(store, runner, minutes):
    given(store, ProductListed("p1", 123), repriced("p1", 134, minutes))
    runner.run(order(("p1", 123)))


@pytest.mark.parametrize("minutes", [10, 11, 20])
def test_a_price_replaced_ten_minutes_ago_or_more_is_refused(store, runner, minutes):
    given(store, ProductListed("p1", 123), repriced("p1", 134, minutes))
    with pytest.raises(PriceNotAccepted):
        runner.run(order(("p1", 123)))


def test_of_many_changes_every_price_replaced_just_now_is_good(store, runner):
    given(store, ProductListed("p1", 1), repriced("p1", 2, 30), repriced("p1", 3, 8), repriced("p1", 4, 2))
    for cents in (2, 3, 4):
        runner.run(order(("p1", cents)))
    with pytest.raises(PriceNotAccepted):
        runner.run(order(("p1", 1)))


def test_a_cart_of_many_products_is_one_event_with_the_tags_of_all(store, runner):
    given(
        store,
        ProductListed("p1", 123),
        repriced("p1", 134, 9),
        ProductListed("p2", 321),
        ProductListed("p3", 7),
    )
    position = runner.run(order(("p1", 123), ("p2", 321), ("p3", 7)))
    [ordered] = store.read(after=position - 1)
    assert ordered.tags == ("product:p1", "product:p2", "product:p3")


def test_one_refused_item_refuses_the_cart(store, runner):
    given(store, ProductListed("p1", 123), ProductListed("p2", 321))
    with pytest.raises(PriceNotAccepted, match='"p2" cannot be ordered at 999 cents'):
        runner.run(order(("p1", 123), ("p2", 999)))
    assert len(history(store)) == 2


def test_the_same_product_twice_in_a_cart_is_checked_line_by_line(store, runner):
    given(store, ProductListed("p1", 123), repriced("p1", 134, 5))
    runner.run(order(("p1", 123), ("p1", 134)))
    with pytest.raises(PriceNotAccepted):
        runner.run(order(("p1", 123), ("p1", 1)))


def test_a_large_cart_is_one_read(store):
    products = [f"p{n}" for n in range(40)]
    given(store, *(ProductListed(product, 100) for product in products))
    ra = cp.ReadAppender(store)
    order(*((product, 100) for product in products)).run(ra)
    assert len(ra.conditions) == 1


@pytest.mark.parametrize("product_id", ["p1", "p2"])
def test_a_price_of_any_product_in_the_cart_that_changes_meanwhile_stops_the_order(store, product_id):
    given(store, ProductListed("p1", 123), ProductListed("p2", 321))
    with pytest.raises(cp.AppendConditionFailed):
        order(("p1", 123), ("p2", 321)).run(Meddled(store, repriced(product_id, 500, 0)))


def test_other_products_and_orders_stop_no_order(store):
    given(store, ProductListed("p1", 123), ProductListed("p2", 321))
    for meanwhile in (repriced("p2", 500, 0), CartOrdered((CartItem("p1", 123),))):
        order(("p1", 123)).run(Meddled(store, meanwhile))


def test_no_order_in_a_race_is_later_than_the_change_that_ended_its_price(race: Race):
    race.alone(list_product)
    jobs = [Run(order(("p1", cents))) for _ in range(10) for cents in (100, 110)]
    outcomes = race.at_once([*jobs[:10], reprice_product, *jobs[10:]])
    assert kinds(outcomes).keys() <= {int, PriceNotAccepted, type(None)}
    current = 0
    for event in race.alone(history):
        if isinstance(event, CartOrdered):
            assert event.items == (CartItem("p1", current),)
        else:
            current = event.cents


def list_product(store: cp.EmbeddedStore) -> None:
    given(store, ProductListed("p1", 100))


def reprice_product(store: cp.EmbeddedStore) -> None:
    given(store, repriced("p1", 110, minutes_ago=30))
