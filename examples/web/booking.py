"""The box office: a seat is sold once, and a customer gets so many seats of a show.

The two rules belong to no one aggregate. Which process decides does not matter to them: the append is
refused if the seat or the customer's seats have changed since they were read, whoever changed them.
"""

from typing import Annotated

import counterpoint as cp

MAX_SEATS = 4

# What happened.


class ShowAnnounced(cp.Event):
    """Seats of a show are for sale from now on."""

    show: Annotated[str, cp.Tag("show")]
    seats: tuple[str, ...]


class SeatSold(cp.Event):
    """A seat belongs to a customer."""

    show: Annotated[str, cp.Tag("show")]
    seat: Annotated[str, cp.Tag("seat")]
    customer: Annotated[str, cp.Tag("customer")]


# What a decision must know.


class SeatsOfShow(cp.Projection[tuple[str, ...] | None]):
    """The seats that a show has, None if there is no such show."""

    show: str

    def query(self) -> cp.Query:
        return cp.Query().add_item(types=[ShowAnnounced], tags=[f"show:{self.show}"])

    def init(self) -> tuple[str, ...] | None:
        return None

    def apply(
        self, state: tuple[str, ...] | None, envelope: cp.Envelope[ShowAnnounced]
    ) -> tuple[str, ...] | None:
        return envelope.event.seats


class SaleOfSeat(cp.Projection[cp.Envelope[SeatSold] | None]):
    """The sale of a seat, None while it is free."""

    show: str
    seat: str

    def query(self) -> cp.Query:
        return cp.Query().add_item(types=[SeatSold], tags=[f"show:{self.show}", f"seat:{self.seat}"])

    def init(self) -> cp.Envelope[SeatSold] | None:
        return None

    def apply(
        self, state: cp.Envelope[SeatSold] | None, envelope: cp.Envelope[SeatSold]
    ) -> cp.Envelope[SeatSold] | None:
        return envelope


class SeatsOfCustomer(cp.Projection[int]):
    """How many seats of a show a customer has."""

    show: str
    customer: str

    def query(self) -> cp.Query:
        return cp.Query().add_item(types=[SeatSold], tags=[f"show:{self.show}", f"customer:{self.customer}"])

    def init(self) -> int:
        return 0

    def apply(self, state: int, envelope: cp.Envelope[SeatSold]) -> int:
        return state + 1


class SoldSeats(cp.Projection[dict[str, str]]):
    """The sold seats of a show, with their customers."""

    show: str

    def query(self) -> cp.Query:
        return cp.Query().add_item(types=[SeatSold], tags=[f"show:{self.show}"])

    def init(self) -> dict[str, str]:
        return {}

    def apply(self, state: dict[str, str], envelope: cp.Envelope[SeatSold]) -> dict[str, str]:
        return {**state, envelope.event.seat: envelope.event.customer}


# Why the answer can be no.


class BookingRefused(Exception):
    """A rule of the box office refuses the command."""


class NoSuchSeat(BookingRefused):
    """The show, or the seat in it, does not exist."""


class ShowAlreadyAnnounced(BookingRefused):
    """A show is announced once."""


class SeatTaken(BookingRefused):
    """Somebody else has the seat."""


class TooManySeats(BookingRefused):
    """The customer has as many seats of the show as a customer may."""


# The decisions.


class AnnounceShow(cp.Command):
    """Puts the seats of a show on sale."""

    show: str
    seats: tuple[str, ...]

    def run(self, ra: cp.ReadAppender) -> int:
        if ra.fold(SeatsOfShow(self.show)) is not None:
            raise ShowAlreadyAnnounced(f'show "{self.show}" is announced already')
        return ra.append_event(ShowAnnounced(self.show, self.seats))


class BuySeat(cp.Command):
    """Sells a seat. To buy one's own seat again changes nothing: who got no answer can ask once more."""

    show: str
    seat: str
    customer: str

    def run(self, ra: cp.ReadAppender) -> int:
        seats, sale, count = ra.fold(
            SeatsOfShow(self.show),
            SaleOfSeat(self.show, self.seat),
            SeatsOfCustomer(self.show, self.customer),
        )
        if self.seat not in (seats or ()):
            raise NoSuchSeat(f'show "{self.show}" has no seat "{self.seat}"')
        if sale is not None and sale.event.customer == self.customer:
            return sale.position
        if sale is not None:
            raise SeatTaken(f'seat "{self.seat}" is sold')
        if count >= MAX_SEATS:
            raise TooManySeats(f'"{self.customer}" has {MAX_SEATS} seats already')
        return ra.append_event(SeatSold(self.show, self.seat, self.customer))
