"""A closed store refuses everything with one clear error."""

import asyncio
from collections.abc import Callable
from typing import Any

import counterpoint as cp
import pytest

from tests.model import Draft

A = cp.Query().add_item(types=["A"])


async def append_async(store: cp.EmbeddedStore) -> int:
    return await store.append_async([Draft("A").raw()])


CLOSED: dict[str, Callable[[cp.EmbeddedStore], Any]] = {
    "append": lambda store: store.append([Draft("A").raw()]),
    "append under a condition": lambda store: store.append([Draft("A").raw()], cp.AppendCondition(A)),
    "append_async": lambda store: asyncio.run(append_async(store)),
    "read": lambda store: list(store.read()),
    "head": lambda store: store.head(),
    "subscribe": lambda store: next(iter(store.subscribe())),
    "wait": lambda store: store.wait(0),
    "wait, already past": lambda store: store.wait(0, timeout=0),
    "get_cursor": lambda store: store.get_cursor("c"),
    "set_cursor": lambda store: store.set_cursor("c", 1),
    "stats": lambda store: store.stats(),
    "verify": lambda store: store.verify(),
    "why": lambda store: store.why(1),
    "enter": lambda store: store.__enter__(),
    "read_events": lambda store: cp.ReadAppender(store).read_events(A),
}


@pytest.mark.parametrize("name", CLOSED)
def test_a_closed_store_refuses(store: cp.EmbeddedStore, name: str) -> None:
    store.append([Draft("A").raw()])
    store.close()
    with pytest.raises(cp.StoreClosed):
        CLOSED[name](store)


def test_closing_twice_is_fine(store: cp.EmbeddedStore) -> None:
    store.close()
    store.close()


def test_leaving_the_context_closes_the_store_also_on_an_error(
    open_store: Callable[[], cp.EmbeddedStore],
) -> None:
    with pytest.raises(KeyError), open_store() as store:
        raise KeyError
    with pytest.raises(cp.StoreClosed):
        store.head()


@pytest.mark.parametrize("count", [2, 5000])
def test_an_open_iterator_of_a_closed_store_says_so_at_the_next_event(
    store: cp.EmbeddedStore, count: int
) -> None:
    store.append([Draft("A", data=bytes(100)).raw()] * count)
    events, subscription = iter(store.read()), store.subscribe()
    assert next(events) == next(iter(subscription))
    store.close()
    with pytest.raises(cp.StoreClosed):
        list(events)
    with pytest.raises(cp.StoreClosed):
        list(subscription)

    async def follow() -> None:
        async for _ in subscription:
            pass

    with pytest.raises(cp.StoreClosed):
        asyncio.run(follow())


def test_an_iterator_that_was_at_its_end_stays_there_when_the_store_closes(store: cp.EmbeddedStore) -> None:
    store.append([Draft("A").raw()])
    events = iter(store.read())
    assert len(list(events)) == 1
    store.close()
    assert list(events) == []
