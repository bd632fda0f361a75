"""Prevent record duplication: an order that is sent twice is placed once.

A browser retries, a user clicks again, a queue delivers twice. The client draws a token for each order it
means, and the token is a tag: an order whose token is in the log is a re-submission. The smallest decision
there is, so it needs no projection: one read, one question, one append.

After https://dcb.events/examples/prevent-record-duplication/.
"""

from typing import Annotated

import counterpoint as cp


class OrderSubmitted(cp.Event):
    """An order came in, under the token that the client drew for it."""

    order_id: Annotated[str, cp.Tag("order")]
    token: Annotated[str, cp.Tag("idempotency")]


class OrderResubmitted(Exception):
    """The token was used already; the message names the order it led to."""


class SubmitOrder(cp.Command):
    """Places an order, unless its token was used before. Returns the position of the order."""

    order_id: str
    token: str

    def run(self, ra: cp.ReadAppender) -> int:
        same_token = cp.Query().add_item(types=[OrderSubmitted], tags=[f"idempotency:{self.token}"])
        for earlier in ra.read_events(same_token):
            raise OrderResubmitted(f'order "{earlier.event.order_id}" was placed with this token already')
        return ra.append_event(OrderSubmitted(self.order_id, self.token))


def main() -> None:
    """Submits an order twice."""
    with cp.open("memory:") as store:
        runner = cp.CommandRunner(store)
        for order_id, token in (("o1", "11111"), ("o2", "11111"), ("o2", "22222")):
            try:
                print(f"{order_id} with token {token}: position {runner.run(SubmitOrder(order_id, token))}")
            except OrderResubmitted as refusal:
                print(f"{order_id} with token {token}: {refusal}")


if __name__ == "__main__":
    main()
