"""`append_async`: what `append` does, for any number of tasks of an event loop."""

import asyncio
import gc
import weakref
from collections.abc import Awaitable
from pathlib import Path
from threading import Event, Thread

import counterpoint as cp
import pytest

from tests.budget import tries
from tests.model import Draft, log_of, query_of
from tests.opener import Opener
from tests.racing import start

pytestmark = pytest.mark.timeout(tries(120, 0))

A = Draft("A").raw()
FREE = cp.AppendCondition(cp.Query().add_item(types=["A"]))


def test_an_append_is_awaited_for_its_position_and_is_seen_from_then_on(store: cp.EmbeddedStore) -> None:
    async def main() -> None:
        assert await store.append_async([A]) == 1
        assert store.head() == 1
        assert await store.append_async((Draft("B", ("t",), b"data").raw() for _ in range(3)), None) == 4
        assert store.append([A]) == 5
        later = cp.AppendCondition(FREE.query, after=5)
        assert await store.append_async([A], later) == 6
        assert await store.append_async([A], [cp.AppendCondition(cp.Query.all(), after=6)]) == 7

    asyncio.run(main())
    assert [event.type for event in log_of(store)] == ["A", "B", "B", "B", "A", "A", "A"]


def test_a_refused_append_raises_the_condition_that_it_was_given(store: cp.EmbeddedStore) -> None:
    async def main() -> None:
        await store.append_async([A])
        conditions = [cp.AppendCondition(FREE.query, after=1), FREE]
        for given in (FREE, conditions, iter(conditions)):
            future = store.append_async([A], given)
            with pytest.raises(cp.AppendConditionFailed) as failed:
                await future
            assert (failed.value.position, failed.value.attempts) == (1, 1)
            assert failed.value.condition is FREE

    asyncio.run(main())
    assert store.head() == 1


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (([],), ValueError),
        ((A,), TypeError),
        (([None],), TypeError),
        ((1,), TypeError),
        (([A], cp.Query.all()), TypeError),
        (([A], [FREE, None]), TypeError),
        (([A] * 65_536,), ValueError),
    ],
)
def test_bad_arguments_are_refused_by_the_call(
    store: cp.EmbeddedStore, arguments: tuple[object, ...], error: type[Exception]
) -> None:
    async def main() -> None:
        before = store.append_async([A])
        with pytest.raises(error):
            store.append_async(*arguments)  # type: ignore[arg-type]
        assert [await before, await store.append_async([A])] == [1, 2]

    asyncio.run(main())


def test_what_the_events_raise_comes_through(store: cp.EmbeddedStore) -> None:
    def broken() -> object:
        yield A
        raise KeyError

    async def main() -> None:
        with pytest.raises(KeyError):
            store.append_async(broken())  # type: ignore[arg-type]

    asyncio.run(main())
    assert store.head() == 0


def test_without_a_running_event_loop_nothing_is_appended(store: cp.EmbeddedStore) -> None:
    with pytest.raises(RuntimeError, match="no running event loop"):
        store.append_async([A])
    assert store.append([A]) == 1


def test_appends_are_stored_in_the_order_of_the_calls(store: cp.EmbeddedStore) -> None:
    async def main() -> None:
        calls = [
            store.append_async([Draft("A", data=str(n).encode()).raw()]) if n % 7 else to_position(store, n)
            for n in range(500)
        ]
        assert await asyncio.gather(*calls) == list(range(1, 501))

    asyncio.run(main())
    assert [event.data for event in store.read()] == [str(n).encode() for n in range(500)]


async def _position(position: int) -> int:
    return position


def to_position(store: cp.EmbeddedStore, n: int) -> Awaitable[int]:
    # A blocking append stands in the same queue.
    return _position(store.append([Draft("A", data=str(n).encode()).raw()]))


def test_a_cancelled_append_disturbs_no_other(store: cp.EmbeddedStore) -> None:
    """It may have been stored: what is certain is that the others are."""
    complaints = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        appends = []
        for n in range(tries(300, 20_000)):
            appends.append(store.append_async([Draft("A", (f"n:{n}",)).raw()]))
            if n % 3 == 0:
                appends[-1].cancel()
            if n % 10 == 0:
                await asyncio.sleep(0)
        for n, result in enumerate(await asyncio.gather(*appends, return_exceptions=True)):
            if n % 3:
                mine = query_of((((), (f"n:{n}",)),))
                assert [event.position for event in store.read(mine)] == [result]
            else:
                assert isinstance(result, asyncio.CancelledError)
        assert await store.append_async([A]) == len(appends) + 1

    asyncio.run(main(), debug=True)
    assert complaints == []


def test_a_task_that_is_cancelled_in_an_append_ends(store: cp.EmbeddedStore) -> None:
    async def append() -> None:
        while True:
            await store.append_async([A])

    async def main() -> None:
        task = asyncio.create_task(append())
        while store.head() < 10:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await store.append_async([A]) == store.head()

    asyncio.run(main())


def test_closing_in_the_loop_finishes_what_was_appended_first(open_store: Opener) -> None:
    for count in (1, 2, 300):
        store = open_store(f"store {count}")

        async def main(store: cp.EmbeddedStore = store, count: int = count) -> None:
            appends = [store.append_async([A], FREE if n % 2 else ()) for n in range(count)]
            store.close()
            with pytest.raises(cp.StoreClosed):
                store.append_async([A])
            results = await asyncio.gather(*appends, return_exceptions=True)
            assert [result for result in results if isinstance(result, int)] == [
                n + 1 for n in range((count + 1) // 2)
            ]
            assert all(isinstance(result, cp.AppendConditionFailed) for result in results[1::2])

        asyncio.run(main())


def test_a_loop_that_stops_gets_its_answers_when_it_runs_again(store: cp.EmbeddedStore) -> None:
    async def append() -> asyncio.Future[int]:
        return store.append_async([A])

    with asyncio.Runner() as runner:
        futures = [runner.run(append()) for _ in range(3)]
        store.close()

        async def positions() -> list[int]:
            return await asyncio.gather(*futures)

        assert runner.run(positions()) == [1, 2, 3]


def test_a_loop_that_is_closed_with_appends_under_way_harms_nobody(store: cp.EmbeddedStore) -> None:
    async def append() -> None:
        for _ in range(100):
            store.append_async([A])

    for n in range(tries(5, 200)):
        asyncio.run(append())
        assert store.append([A]) == (n + 1) * 101


def test_loops_and_stores_that_come_and_go_leave_nothing_open(open_store: Opener) -> None:
    def held() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    async def use(stores: int) -> None:
        for _ in range(stores):
            with open_store(f"store {held()}") as store:
                assert await store.append_async([A])
                store.append_async([A])  # of which the loop never hears

    asyncio.run(use(1))
    before = held()
    asyncio.run(use(20))
    for _ in range(20):
        asyncio.run(use(1))
    assert held() <= before


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_a_loop_that_is_forgotten_with_appends_under_way_is_freed(store: cp.EmbeddedStore) -> None:
    async def append() -> None:
        store.append_async([A])

    loop = asyncio.new_event_loop()
    loop.run_until_complete(append())
    forgotten = weakref.ref(loop)
    del loop
    gc.collect()
    assert forgotten() is None
    assert store.append([A]) == 2


def test_a_thread_that_computes_does_not_keep_answers_away(store: cp.EmbeddedStore) -> None:
    """The store's threads have no need of the interpreter to bring an answer."""
    stop = Event()

    def compute() -> None:
        while not stop.is_set():
            sum(range(1000))

    thread = Thread(target=compute)
    thread.start()
    try:

        async def main() -> None:
            for n in range(20):
                assert await store.append_async([A]) == n + 1

        asyncio.run(main())
    finally:
        stop.set()
        thread.join()


def test_an_append_in_a_done_callback_is_one_like_others(store: cp.EmbeddedStore) -> None:
    async def main() -> list[int]:
        done = asyncio.get_running_loop().create_future()
        positions: list[int] = []

        def again(append: asyncio.Future[int]) -> None:
            positions.append(append.result())
            if len(positions) < 50:
                store.append_async([A]).add_done_callback(again)
            else:
                done.set_result(None)

        store.append_async([A]).add_done_callback(again)
        await done
        return positions

    assert start(lambda: asyncio.run(main()))() == list(range(1, 51))


def test_a_store_that_nobody_refers_to_answers_first(tmp_path: Path) -> None:
    async def main() -> int:
        return await cp.open(tmp_path / "store").append_async([A])

    for n in range(3):
        assert asyncio.run(main()) == n + 1
