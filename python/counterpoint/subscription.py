"""Subscriptions: the events of the past, then each new one, in one order without gap or duplicate."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Protocol, Self

from counterpoint._engine import SequencedEvent
from counterpoint.wakeups import Wakeups

__all__ = ["Feed", "Subscription"]

WAIT_SECONDS = 0.1
"""How long a blocking wait takes at most until it looks whether the subscription was closed."""

EVENTS_PER_TURN = 100
"""How many events an asyncio consumer gets in a row before other tasks have their turn."""


class Feed(Protocol):
    """What a store gives to make a subscription of: the events, without the waiting."""

    @property
    def position(self) -> int:
        """The last position that was looked at, whether it matched or not."""
        ...

    def try_next(self) -> SequencedEvent | None:
        """Return the next matching event, None if there is none yet."""
        ...


class Subscription:
    """An iterator, blocking or async, that ends only when it is closed. Also a context manager.

    Iterating blocks until there is an event; ``async for`` lets other tasks run meanwhile. If the store is
    closed, it raises ``StoreClosed``. After :meth:`close`, from whatever thread, the iteration ends.
    """

    def __init__(self, feed: Feed, wait: Callable[[int, float], int], wakeups: Wakeups) -> None:
        """Take a feed, and both ways to wait for more. Made by ``Store.subscribe``."""
        self._feed = feed
        self._wait = wait
        self._wakeups = wakeups
        self._closed = False
        self._futures: set[asyncio.Future[None]] = set()
        self._in_turn = 0

    @property
    def position(self) -> int:
        """The last position that was looked at: where a later subscription can go on from."""
        return self._feed.position

    @property
    def closed(self) -> bool:
        """Whether the subscription is closed; that the store is closed does not count."""
        return self._closed

    def try_next(self) -> SequencedEvent | None:
        """Return the next event without waiting, None if there is none yet or the subscription is closed."""
        return None if self._closed else self._feed.try_next()

    def close(self) -> None:
        """End the iteration, also for those who wait in it. Closing twice is fine."""
        self._closed = True
        for future in tuple(self._futures):
            with suppress(RuntimeError):  # a loop that was closed before
                future.get_loop().call_soon_threadsafe(_wake, future)

    def __iter__(self) -> Self:
        """Return itself."""
        return self

    def __next__(self) -> SequencedEvent:
        """Return the next event, waiting for it if need be."""
        while not self._closed:
            event = self._feed.try_next()
            if event is not None:
                return event
            self._wait(self._feed.position, WAIT_SECONDS)
        raise StopIteration

    def __aiter__(self) -> Self:
        """Return itself."""
        return self

    async def __anext__(self) -> SequencedEvent:
        """Return the next event, waiting for it in asyncio if need be."""
        self._in_turn += 1
        if self._in_turn > EVENTS_PER_TURN:
            self._in_turn = 1
            await asyncio.sleep(0)
        while not self._closed:
            # Between taking an event and returning it nothing is awaited: a cancelled task loses none.
            event = self._feed.try_next()
            if event is not None:
                return event
            await self._wait_in_loop()
        raise StopAsyncIteration

    async def _wait_in_loop(self) -> None:
        with self._wakeups.waiting(self._feed.position) as future:
            self._futures.add(future)
            try:
                # Looked at after adding: either close() sees the future, or this sees that it was closed.
                if not self._closed:
                    await future
            finally:
                self._futures.discard(future)

    def __enter__(self) -> Self:
        """Return itself, to be closed at the end of the block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the subscription."""
        self.close()

    async def __aenter__(self) -> Self:
        """Return itself, to be closed at the end of the block."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the subscription."""
        self.close()


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
