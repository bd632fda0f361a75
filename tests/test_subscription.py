"""Subscriptions, blocking and async: catch-up then live, closing, and no threads left behind."""

import asyncio
import gc
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import counterpoint as cp
import pytest
from counterpoint import wakeups
from counterpoint.wakeups import Wakeups

PATIENCE = 30.0
A = cp.Query().add_item(types=["A"])


def add(store: cp.Store, types: str) -> int:
    return store.append([cp.RawEvent(name, b"") for name in types])


def take(subscription: Iterator[cp.SequencedEvent], count: int) -> list[int]:
    return [next(subscription).position for _ in range(count)]


async def take_async(subscription: AsyncIterator[cp.SequencedEvent], count: int) -> list[int]:
    return [(await anext(subscription)).position for _ in range(count)]


def in_thread(job: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=job)
    thread.start()
    return thread


def wakeup_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("counterpoint")]


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "did not come true"
        time.sleep(0.01)


def run(main: Any) -> Any:
    return asyncio.run(asyncio.wait_for(main, PATIENCE))


# Blocking.


def test_a_subscription_gives_the_past_and_then_what_comes(store: cp.EmbeddedStore) -> None:
    add(store, "ABA")
    subscription = store.subscribe(A)
    assert take(subscription, 2) == [1, 3]
    adder = in_thread(lambda: [add(store, "BA") for _ in range(3)])
    assert take(subscription, 3) == [5, 7, 9]
    adder.join()
    assert subscription.position == 9


def test_a_subscription_starts_past_the_greater_after(store: cp.EmbeddedStore) -> None:
    add(store, "AAAAA")
    assert take(store.subscribe(A.after(2), after=3), 1) == [4]
    assert take(store.subscribe(A.after(3), after=2), 1) == [4]


def test_a_subscription_may_start_past_the_head(store: cp.EmbeddedStore) -> None:
    add(store, "A")
    subscription = store.subscribe(after=3)
    adder = in_thread(lambda: [add(store, "A") for _ in range(4)])
    assert take(subscription, 2) == [4, 5]
    adder.join()


@pytest.mark.parametrize("query", [A.limit(1), A.reverse(), A.until(5)])
def test_a_bounded_query_cannot_be_subscribed_to(store: cp.EmbeddedStore, query: cp.Query) -> None:
    with pytest.raises(ValueError, match="subscription"):
        store.subscribe(query)


def test_trying_does_not_wait(store: cp.EmbeddedStore) -> None:
    subscription = store.subscribe(A)
    assert subscription.try_next() is None
    add(store, "BA")
    event = subscription.try_next()
    assert event is not None
    assert event.position == 2
    assert subscription.try_next() is None
    subscription.close()
    add(store, "A")
    assert subscription.try_next() is None


def test_closing_ends_the_iteration_of_whoever_waits(store: cp.EmbeddedStore) -> None:
    add(store, "A")
    subscription = store.subscribe()
    seen: list[int] = []
    reader = in_thread(lambda: seen.extend(event.position for event in subscription))
    eventually(lambda: seen == [1] or subscription.position == 1)
    subscription.close()
    reader.join(PATIENCE)
    assert not reader.is_alive()
    assert seen == [1]
    assert list(subscription) == []
    assert subscription.closed
    subscription.close()


def test_a_subscription_is_a_context_manager(store: cp.EmbeddedStore) -> None:
    add(store, "AA")
    with store.subscribe() as subscription:
        for event in subscription:
            if event.position == 2:
                break
    assert subscription.closed
    assert not store.closed


def test_closing_the_store_is_an_error_for_whoever_waits(store: cp.EmbeddedStore) -> None:
    errors: list[type] = []

    def read() -> None:
        try:
            next(store.subscribe())
        except cp.StoreClosed as error:
            errors.append(type(error))

    reader = in_thread(read)
    time.sleep(0.05)
    store.close()
    reader.join(PATIENCE)
    assert errors == [cp.StoreClosed]


# Async.


def test_an_async_subscription_gives_the_past_and_then_what_comes(store: cp.EmbeddedStore) -> None:
    add(store, "ABA")

    async def main() -> list[int]:
        subscription = store.subscribe(A)
        positions = await take_async(subscription, 2)
        adder = asyncio.get_running_loop().run_in_executor(None, lambda: [add(store, "BA") for _ in range(3)])
        positions += await take_async(subscription, 3)
        await adder
        return positions

    assert run(main()) == [1, 3, 5, 7, 9]


def test_the_loop_is_free_while_a_subscription_waits(store: cp.EmbeddedStore) -> None:
    async def main() -> list[int]:
        waiting = asyncio.create_task(take_async(store.subscribe(A), 1))
        for _ in range(20):
            await asyncio.sleep(0.001)
        assert not waiting.done()
        add(store, "A")
        return await waiting

    assert run(main()) == [1]


def test_who_looked_before_the_head_moved_need_not_wait_for_it_to_move_again() -> None:
    """The thread has told of this head already, and waits for the next, when somebody comes for this one."""
    end = threading.Event()

    def wait(after: int, seconds: float) -> int:
        if after >= 1:
            end.wait(PATIENCE)
            raise cp.StoreClosed("the end of this test")
        return 1

    async def main() -> None:
        wakeups = Wakeups(wait)
        with wakeups.waiting(after=5) as far:
            for _ in range(2):
                with wakeups.waiting(after=0) as near:
                    await asyncio.wait_for(near, PATIENCE / 2)
            assert not far.done()

    try:
        run(main())
    finally:
        end.set()


def test_catching_up_leaves_the_loop_to_others_now_and_then(store: cp.EmbeddedStore) -> None:
    add(store, "A" * 1000)
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def main() -> None:
        task = asyncio.create_task(others())
        await take_async(store.subscribe(), 1000)
        task.cancel()

    run(main())
    assert turns >= 9


def test_many_subscriptions_of_a_loop_share_one_thread(store: cp.EmbeddedStore) -> None:
    async def main() -> None:
        tasks = [asyncio.create_task(take_async(store.subscribe(A), 3)) for _ in range(200)]
        for _ in range(3):
            await asyncio.sleep(0.01)
            assert len(wakeup_threads()) == 1
            add(store, "BA")
        assert await asyncio.gather(*tasks) == [[2, 4, 6]] * 200

    eventually(lambda: not wakeup_threads())
    run(main())


@pytest.fixture
def rarely_looking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets no look now and then make up for a wake-up that was missed."""
    monkeypatch.setattr("counterpoint.wakeups.WAIT_SECONDS", 2 * PATIENCE)


@pytest.mark.usefixtures("rarely_looking")
def test_subscriptions_that_look_at_different_positions_are_all_woken(store: cp.EmbeddedStore) -> None:
    """One that starts past the head must not make the thread wait for that."""

    async def main() -> None:
        far = asyncio.create_task(take_async(store.subscribe(after=5), 1))
        await asyncio.sleep(0.01)
        near = store.subscribe()
        for position in range(1, 6):
            following = asyncio.create_task(take_async(near, 1))
            await asyncio.sleep(0.005)
            add(store, "A")
            assert await following == [position]
            assert not far.done()
        add(store, "A")
        assert await far == [6]

    run(main())


@pytest.mark.usefixtures("rarely_looking")
def test_nothing_is_missed_between_looking_and_waiting(store: cp.EmbeddedStore) -> None:
    count = 2000

    async def main() -> None:
        adder = asyncio.get_running_loop().run_in_executor(
            None, lambda: [add(store, "A") for _ in range(count)]
        )
        both = await asyncio.gather(*(take_async(store.subscribe(), count) for _ in range(2)))
        assert both == [list(range(1, count + 1))] * 2
        await adder

    run(main())


@pytest.mark.parametrize("where", ["in the loop", "in another thread"])
def test_closing_ends_the_async_iteration_of_whoever_waits(store: cp.EmbeddedStore, where: str) -> None:
    add(store, "A")

    async def main() -> list[int]:
        subscription = store.subscribe()

        async def read() -> list[int]:
            return [event.position async for event in subscription]

        tasks = [asyncio.create_task(read()) for _ in range(3)]
        await asyncio.sleep(0.02)
        if where == "in the loop":
            subscription.close()
        else:
            await asyncio.to_thread(subscription.close)
        positions = [position for seen in await asyncio.gather(*tasks) for position in seen]
        with pytest.raises(StopAsyncIteration):
            await anext(subscription)
        return positions

    started = time.monotonic()
    assert run(main()) == [1]
    assert time.monotonic() - started < PATIENCE / 2


def test_an_async_subscription_is_a_context_manager(store: cp.EmbeddedStore) -> None:
    add(store, "A")

    async def main() -> cp.Subscription:
        async with store.subscribe() as subscription:
            assert await take_async(subscription, 1) == [1]
        return subscription

    assert run(main()).closed


def test_closing_the_store_is_an_error_for_every_task_that_waits(store: cp.EmbeddedStore) -> None:
    async def main() -> None:
        tasks = [asyncio.create_task(take_async(store.subscribe(), 1)) for _ in range(3)]
        await asyncio.sleep(0.02)
        store.close()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(result) for result in results] == [cp.StoreClosed] * 3
        with pytest.raises(cp.StoreClosed):
            store.subscribe()

    run(main())
    eventually(lambda: not wakeup_threads())


def test_a_task_that_is_cancelled_leaves_its_subscription_usable(store: cp.EmbeddedStore) -> None:
    async def main() -> list[int]:
        subscription = store.subscribe()
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(subscription), 0.01)
        add(store, "AA")
        return await take_async(subscription, 2)

    assert run(main()) == [1, 2]


def test_a_task_that_is_cancelled_loses_no_event(store: cp.EmbeddedStore) -> None:
    """Cancelled at every point where it can be, also where it leaves its turn to others."""
    count = 1000
    add(store, "A" * count)

    async def main() -> list[int]:
        subscription = store.subscribe()
        positions: list[int] = []
        while len(positions) < count:
            task = asyncio.ensure_future(anext(subscription))
            await asyncio.sleep(0)
            task.cancel()
            try:
                positions.append((await task).position)
            except asyncio.CancelledError:
                assert subscription.position == len(positions)
        return positions

    assert run(main()) == list(range(1, count + 1))


def test_one_loop_after_another_can_wait_and_the_threads_go(store: cp.EmbeddedStore) -> None:
    subscription = store.subscribe()

    async def main() -> int:
        waiting = asyncio.create_task(take_async(subscription, 1))
        await asyncio.sleep(0.005)
        add(store, "A")
        return (await waiting)[0]

    assert [run(main()) for _ in range(5)] == [1, 2, 3, 4, 5]
    eventually(lambda: not wakeup_threads())


def test_two_loops_in_two_threads_can_wait_at_once(store: cp.EmbeddedStore) -> None:
    results: list[list[int]] = []

    def follow() -> None:
        results.append(run(take_async(store.subscribe(), 3)))

    threads = [in_thread(follow) for _ in range(2)]
    time.sleep(0.05)
    for _ in range(3):
        add(store, "A")
    for thread in threads:
        thread.join(PATIENCE)
    assert results == [[1, 2, 3]] * 2


def test_a_loop_that_is_closed_while_somebody_waits_is_let_go(store: cp.EmbeddedStore) -> None:
    loop = asyncio.new_event_loop()
    task = loop.create_task(take_async(store.subscribe(), 1))
    loop.run_until_complete(asyncio.sleep(0.01))
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    loop.close()
    add(store, "A")
    eventually(lambda: not wakeup_threads())
    del task
    gc.collect()
    assert run(take_async(store.subscribe(), 1)) == [1]


def test_the_thread_ends_when_nobody_waits_any_longer_and_comes_back(
    store: cp.EmbeddedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wakeups, "IDLE_SECONDS", 0.01)

    async def main() -> None:
        subscription = store.subscribe()
        for position in (1, 2):
            waiting = asyncio.create_task(take_async(subscription, 1))
            await asyncio.sleep(0.01)
            assert len(wakeup_threads()) == 1
            add(store, "A")
            assert await waiting == [position]
            deadline = time.monotonic() + PATIENCE
            while wakeup_threads():
                assert time.monotonic() < deadline
                await asyncio.sleep(0.05)

    eventually(lambda: not wakeup_threads())
    run(main())
