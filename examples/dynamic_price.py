"""Dynamic product price: a cart of any number of products, each at a price that was just shown.

Prices change while customers fill their carts. An order is good at the current price of each product, or at
one that was replaced only minutes ago. How many products there are is known only when the order comes in: the
boundary is put together at run time, one projection for each product, all in one read and one guarded append.

After https://dcb.events/examples/dynamic-product-price/.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated

import counterpoint as cp

GRACE_PERIOD = timedelta(minutes=10)


class ProductListed(cp.Event):
    """A product is for sale."""

    product_id: Annotated[str, cp.Tag("product")]
    cents: int


class ProductRepriced(cp.Event):
    """A product has another price."""

    product_id: Annotated[str, cp.Tag("product")]
    cents: int
    repriced_at: datetime


@dataclass(frozen=True)
class CartItem:
    """A product, at the price that the customer was shown."""

    product_id: str
    cents: int


class CartOrdered(cp.Event):
    """A customer ordered some products: tagged with each of them."""

    items: tuple[CartItem, ...]

    def tags(self) -> list[str]:
        """One tag for each product; the items are no plain field that `cp.Tag` could mark."""
        return [f"product:{item.product_id}" for item in self.items]


class AcceptedPrices(cp.Projection[frozenset[int]]):
    """The prices at which the product can be ordered at a given moment."""

    product_id: str
    at: datetime

    def query(self) -> cp.Query:
        return cp.Query().add_item(
            types=[ProductListed, ProductRepriced], tags=[f"product:{self.product_id}"]
        )

    def init(self) -> frozenset[int]:
        return frozenset()

    def apply(self, state: frozenset[int], envelope: cp.Envelope) -> frozenset[int]:
        match envelope.event:
            case ProductRepriced(cents=cents, repriced_at=replaced_at) if (
                self.at - replaced_at < GRACE_PERIOD
            ):
                return state | {cents}
            case ProductListed(cents=cents) | ProductRepriced(cents=cents):
                return frozenset({cents})
        return state


class PriceNotAccepted(Exception):
    """The price is neither the current one nor one that was replaced just now."""


class OrderCart(cp.Command):
    """Orders the products of a cart at the prices shown. `at` is the moment at which the customer ordered."""

    items: tuple[CartItem, ...]
    at: datetime

    def run(self, ra: cp.ReadAppender) -> int:
        accepted = ra.fold_all(AcceptedPrices(item.product_id, self.at) for item in self.items)
        for item, prices in zip(self.items, accepted, strict=True):
            if item.cents not in prices:
                raise PriceNotAccepted(f'product "{item.product_id}" cannot be ordered at {item.cents} cents')
        return ra.append_event(CartOrdered(self.items))


def main() -> None:
    """Orders at a price that has just been replaced, in time and too late."""
    noon = datetime(2025, 1, 1, 12, tzinfo=UTC)
    with cp.open("memory:") as store:
        ra = cp.ReadAppender(store)
        ra.append_event(ProductListed("metronome", cents=30_00))
        ra.append_event(ProductListed("tuning fork", cents=8_00))
        ra.append_event(ProductRepriced("metronome", cents=35_00, repriced_at=noon))

        runner = cp.CommandRunner(store)
        cart = (CartItem("metronome", 30_00), CartItem("tuning fork", 8_00))
        for minutes in (9, 10):
            try:
                position = runner.run(OrderCart(cart, at=noon + timedelta(minutes=minutes)))
                print(f"{minutes} minutes after the change: position {position}")
            except PriceNotAccepted as refusal:
                print(f"{minutes} minutes after the change: {refusal}")


if __name__ == "__main__":
    main()
