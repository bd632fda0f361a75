"""Workload W: what every store is given. Knows no store, so that a child process can weigh one by itself.

A type of 12 characters, two tags of 20, 200 bytes of data: 252 bytes of payload.
"""

import os
from collections.abc import Iterator
from itertools import count
from typing import NamedTuple

TYPE = "ItemReserved"
RARE_TYPE = "StockCounted"
DATA_BYTES = 200
PAYLOAD_BYTES = len(TYPE) + 2 * 20 + DATA_BYTES

PER_ORDER = 10
"""So many events share an order, spread over the whole log."""
DENSE = 10_000
"""So many events carry each of the two dense tags, if the log is large enough."""


class Event(NamedTuple):
    """An event before any store has made its own of it. The first tag is the one that conditions ask for."""

    type: str
    tags: tuple[str, ...]
    data: bytes


def order_tag(number: int) -> str:
    """Return the tag of an order."""
    return f"order:{number:014}"


def customer_tag(number: int) -> str:
    """Return the tag of a customer."""
    return f"customer:{number:011}"


def order_event(order: int, customer: int, type: str = TYPE) -> Event:
    """Return an event of workload W; its data is JSON, of two fields and a filler."""
    data = f'{{"order":"{order:014}","customer":"{customer:011}","note":"'
    return Event(type, (order_tag(order), customer_tag(customer)), f'{data:x<{DATA_BYTES - 2}}"}}'.encode())


# Ten million for each process: a condition is never about an order that another process has, too.
_fresh = count(10**13 + os.getpid() * 10**7)


def fresh_event() -> Event:
    """Return an event whose order no other event has, in any process. Any thread may ask."""
    number = next(_fresh)
    return order_event(number, 10 + number % 1000)


class Stock:
    """Fresh events, made in advance so that making them is not measured. Any thread may take."""

    def __init__(self) -> None:
        """Start without any."""
        self._ready: list[Event] = []

    def fill(self, events: float) -> None:
        """Make as many as are missing."""
        self._ready += [fresh_event() for _ in range(int(events) - len(self._ready))]

    def take(self) -> Event:
        """Return one, made now if there is none."""
        try:
            return self._ready.pop()
        except IndexError:
            return fresh_event()


class History:
    """The events that a store is filled with before it is read."""

    both = (customer_tag(0), customer_tag(1))
    """Two tags of about `dense` events each, of which only ten carry both."""

    def __init__(self, events: int, first_order: int = 0) -> None:
        """Plan `events` events, at least 400, in whole hundreds, with orders from `first_order` on."""
        self.events = max(400, events // 100 * 100)
        self.first_order = first_order
        self.orders = self.events // PER_ORDER
        self._stride = max(4, self.events // DENSE)
        self.dense = self.events // self._stride

    def event(self, number: int) -> Event:
        """Return the event with this number, from 0."""
        place, spot = number % self.orders, number % self._stride
        order = self.first_order + place
        if place == 0:
            event = order_event(order, 0)
            return event._replace(tags=(*event.tags, customer_tag(1)))
        if place == 7:
            return order_event(order, 7, RARE_TYPE)
        return order_event(order, spot - 1 if spot in (1, 2) else 10 + number % 1000)

    def slice(self, part: int, parts: int) -> Iterator[Event]:
        """Yield one of `parts` consecutive parts."""
        first, last = (self.events * edge // parts for edge in (part, part + 1))
        return map(self.event, range(first, last))
