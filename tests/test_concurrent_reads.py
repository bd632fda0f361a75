"""Reads, waits and subscriptions while others append and close."""

import asyncio
import random
import threading

import counterpoint as cp
import pytest

from tests.budget import SEED, tries
from tests.model import Draft, log_of, matches, stored
from tests.opener import Opener
from tests.racing import race, start

pytestmark = pytest.mark.timeout(tries(120, 0))

ODD = cp.Query().add_item(types=["Odd"]).add_item(tags=["third"])
LAST = Draft("Last")


def write(store: cp.EmbeddedStore, writer: int, batches: int) -> None:
    chance = random.Random(SEED * 1000 + writer)
    for n in range(batches):
        drafts = [
            Draft("Odd" if n % 2 else "Even", ("third",) if n % 3 == 0 else (), f"{writer}.{n}.{i}".encode())
            for i in range(chance.randint(1, 4))
        ]
        store.append([draft.raw() for draft in drafts])


def test_nothing_appears_later_at_or_below_an_observed_head(store: cp.EmbeddedStore) -> None:
    """I5, S9. Peers whose commits land out of order lose 1 % of the events this way."""
    written = threading.Event()

    def read() -> int:
        seen: list[cp.SequencedEvent] = []
        while True:
            last_round = written.is_set()
            head = store.head()
            assert head >= len(seen)
            assert [event.position for event in store.read(until=head)][-1:] == ([head] if head else [])
            read = store.read(after=len(seen))
            assert read.head >= head
            seen += read
            assert [event.position for event in seen] == list(range(1, read.head + 1))
            if last_round:
                assert list(store.read(until=len(seen))) == seen
                return len(seen)

    readers = [start(read) for _ in range(3)]
    race([lambda n=n: write(store, n, tries(40, 3000)) for n in range(4)])  # type: ignore[misc]
    written.set()
    assert [reader() for reader in readers] == [store.head()] * 3 != [0] * 3


@pytest.mark.parametrize("reverse", [False, True])
def test_a_read_that_streams_keeps_its_snapshot_while_appends_go_on(
    store: cp.EmbeddedStore, reverse: bool
) -> None:
    write(store, 0, 150)
    everything, some = list(store.read(reverse=reverse)), list(store.read(ODD, reverse=reverse))

    def read() -> None:
        first, second = (
            store.read(reverse=reverse, until=len(everything)),
            store.read(ODD, until=len(everything)),
        )
        assert list(first) == everything
        assert list(second) == (some[::-1] if reverse else some)

    streaming = store.read(reverse=reverse)
    events = iter(streaming)
    beginning = [next(events) for _ in range(5)]
    readers = [start(read) for _ in range(2)]
    race([lambda n=n: write(store, n, tries(40, 3000)) for n in range(1, 4)])  # type: ignore[misc]
    for reader in readers:
        reader()
    assert beginning + list(events) == everything
    assert list(streaming) == everything
    assert streaming.head == len(everything) < store.head()


def test_one_iterator_shared_by_threads_gives_every_event_once(store: cp.EmbeddedStore) -> None:
    write(store, 0, 400)
    events = iter(store.read())
    shares = race([lambda: [event.position for event in events]] * 4)
    assert sorted(position for share in shares for position in share) == list(range(1, store.head() + 1))


def follow(subscription: cp.Subscription) -> list[cp.SequencedEvent]:
    """All that a subscription delivers until the last event."""
    events = []
    for event in subscription:
        events.append(event)
        if event.type == LAST.type:
            break
    return events


def test_subscriptions_see_every_event_once_and_in_order(store: cp.EmbeddedStore) -> None:
    """No gap, no duplicate: some catch up first, some are live from the start, all end the same."""
    write(store, 0, 20)
    start_at = store.head()
    with_last = ODD.add_item(types=[LAST.type])
    everything = [start(lambda: follow(store.subscribe())) for _ in range(2)]
    live = start(lambda: follow(store.subscribe(after=start_at)))
    some = [start(lambda: follow(store.subscribe(with_last))) for _ in range(2)]
    race([lambda n=n: write(store, n, tries(40, 3000)) for n in range(1, 5)])  # type: ignore[misc]
    late = start(lambda: follow(store.subscribe(with_last, after=3)))
    store.append([LAST.raw()])

    log = list(store.read())
    assert [result() for result in everything] == [log, log]
    assert live() == log[start_at:]
    matching = list(store.read(with_last))
    assert [result() for result in some] == [matching, matching]
    assert late() == [event for event in matching if event.position > 3]
    items = ((("Odd", LAST.type), ()), ((), ("third",)))
    assert [stored(event) for event in matching] == [
        e for e in log_of(store) if matches(items, e.type, e.tags)
    ]


def test_async_subscriptions_see_every_event_once_and_in_order(store: cp.EmbeddedStore) -> None:
    async def follow_async(query: cp.Query) -> list[cp.SequencedEvent]:
        events = []
        async with asyncio.timeout(60):
            async for event in store.subscribe(query):
                events.append(event)
                if event.type == LAST.type:
                    break
        return events

    async def main() -> list[list[cp.SequencedEvent]]:
        tasks = [asyncio.create_task(follow_async(cp.Query.all())) for _ in range(20)]
        tasks += [asyncio.create_task(follow_async(ODD.add_item(types=[LAST.type]))) for _ in range(20)]
        await asyncio.sleep(0)

        def appends() -> None:
            race([lambda n=n: write(store, n, tries(20, 1000)) for n in range(3)])  # type: ignore[misc]
            store.append([LAST.raw()])

        await asyncio.to_thread(appends)
        return await asyncio.gather(*tasks)

    results = asyncio.run(main())
    log, some = list(store.read()), list(store.read(ODD.add_item(types=[LAST.type])))
    assert results == [log] * 20 + [some] * 20


def test_a_thousand_async_subscriptions_take_no_thousand_threads(open_store: Opener) -> None:
    store = open_store()

    async def main() -> int:
        subscriptions = [store.subscribe() for _ in range(1000)]
        tasks = [asyncio.create_task(anext(aiter(each))) for each in subscriptions]
        await asyncio.sleep(0)
        threads = threading.active_count()
        store.append([LAST.raw()])
        events = await asyncio.wait_for(asyncio.gather(*tasks), 60)
        assert {event.position for event in events} == {1}
        return threads

    before = threading.active_count()
    assert asyncio.run(main()) < before + 10


def test_a_wait_wakes_when_something_is_appended(store: cp.EmbeddedStore) -> None:
    for n in range(20):
        waiting = [start(lambda n=n: store.wait(n)) for _ in range(4)]  # type: ignore[misc]
        store.append([LAST.raw()])
        assert [result() for result in waiting] == [n + 1] * 4


def test_a_wait_for_what_is_there_returns_at_once(store: cp.EmbeddedStore) -> None:
    store.append([LAST.raw()] * 3)
    assert store.wait(0) == store.wait(2) == store.wait(2, timeout=0) == 3


def test_a_wait_whose_time_runs_out_returns_the_head_it_has(store: cp.EmbeddedStore) -> None:
    assert store.wait(0, timeout=0) == store.wait(0, timeout=0.01) == 0
    store.append([LAST.raw()] * 3)
    assert store.wait(3, timeout=0.01) == store.wait(2**64 - 1, timeout=0) == 3


@pytest.mark.parametrize("what", ["wait", "subscribe", "append", "read"])
def test_closing_wakes_or_stops_everybody(store: cp.EmbeddedStore, what: str) -> None:
    """F11: whether they were in the middle of it or come too late, all are told."""
    at_it = threading.Semaphore(0)

    def work() -> None:
        at_it.release()
        while True:
            if what == "wait":
                store.wait(2**63)
            elif what == "subscribe":
                next(store.subscribe(after=2**63))
            elif what == "append":
                store.append([LAST.raw()])
            else:
                list(store.read())

    store.append([LAST.raw()] * 500)
    workers = [start(work) for _ in range(6)]
    for _ in workers:
        assert at_it.acquire(timeout=60)
    store.close()
    for worker in workers:
        with pytest.raises(cp.StoreClosed):
            worker()


def test_closing_the_store_wakes_async_subscriptions_too(store: cp.EmbeddedStore) -> None:
    async def main() -> list[BaseException | cp.SequencedEvent]:
        tasks = [asyncio.create_task(anext(store.subscribe())) for _ in range(20)]  # type: ignore[arg-type]
        await asyncio.sleep(0)
        await asyncio.to_thread(store.close)
        return await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 60)

    assert {type(error) for error in asyncio.run(main())} == {cp.StoreClosed}


def test_what_was_acknowledged_before_a_concurrent_close_is_kept(open_on_disk: Opener) -> None:
    for _ in range(tries(5, 200)):
        store = open_on_disk()
        before, told = store.head(), []
        at_it = threading.Event()

        def work(
            store: cp.EmbeddedStore = store, told: list[int] = told, at_it: threading.Event = at_it
        ) -> None:
            while True:
                told.append(store.append([LAST.raw()]))
                at_it.set()

        workers = [start(work) for _ in range(4)]
        assert at_it.wait(60)
        store.close()
        for worker in workers:
            with pytest.raises(cp.StoreClosed):
                worker()
        assert len(set(told)) == len(told)  # One in each thread may be stored although nobody was told.
        with open_on_disk() as store:
            assert [event.position for event in store.read()] == list(range(1, store.head() + 1))
            assert max(told) <= store.head() <= before + len(told) + len(workers)


def test_closing_a_subscription_ends_its_iteration_and_no_other(store: cp.EmbeddedStore) -> None:
    first, second = store.subscribe(), store.subscribe()
    endings = start(lambda: list(first))
    first.close()
    assert endings() == []
    store.append([LAST.raw()])
    assert next(second).position == 1
    with store.subscribe() as third:
        assert next(third).position == 1
    assert list(third) == []


def test_cursors_are_compared_and_set_atomically(store: cp.EmbeddedStore) -> None:
    def work() -> int:
        won = 0
        for _ in range(tries(50, 2000)):
            seen = store.get_cursor("counter")
            won += store.set_cursor("counter", seen + 1, expected=seen)
        return won

    assert sum(race([work] * 6)) == store.get_cursor("counter") > 0
    assert store.get_cursor("another") == 0
