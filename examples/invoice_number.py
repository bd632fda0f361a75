"""Invoice number: consecutive from 1, without gaps, however many are issued at once.

The boundary is a type of event alone, and the decision needs one event of it: the last. Read backwards with a
limit of one, it costs the same with ten invoices in the store and with a million; the guard still covers them
all.

After https://dcb.events/examples/invoice-number/.
"""

from typing import Annotated

import counterpoint as cp


class InvoiceIssued(cp.Event):
    """An invoice went out."""

    number: Annotated[int, cp.Tag("invoice")]
    customer: str
    cents: int


class LastInvoiceNumber(cp.OnDemandProjection[int]):
    """The number of the latest invoice; 0: there is none yet."""

    def query(self) -> cp.Query:
        return cp.Query().add_item(types=[InvoiceIssued]).reverse().limit(1)

    def init(self) -> int:
        return 0

    def apply(self, state: int, envelope: cp.Envelope) -> int:
        number: int = envelope.event.number
        return number


class IssueInvoice(cp.Command):
    """Issues an invoice and returns its number."""

    customer: str
    cents: int

    def run(self, ra: cp.ReadAppender) -> int:
        number = ra.fold(LastInvoiceNumber()) + 1
        ra.append_event(InvoiceIssued(number, self.customer, self.cents))
        return number


def main() -> None:
    """Issues three invoices."""
    with cp.open("memory:") as store:
        runner = cp.CommandRunner(store)
        for customer in ("ada", "bela", "clara"):
            print(f"{customer}: invoice {runner.run(IssueInvoice(customer, cents=42_00))}")


if __name__ == "__main__":
    main()
