"""Races of asyncio tasks. After a race the log is checked again, as after those of threads."""

import asyncio
import random
from collections.abc import Callable

import counterpoint as cp
import pytest

from tests.budget import SEED, tries
from tests.model import Draft, Guard, Items, condition_of
from tests.opener import Opener
from tests.racing import race
from tests.test_concurrency import Record, prove

pytestmark = pytest.mark.timeout(tries(120, 0))

A = Draft("A").raw()
FREE = cp.AppendCondition(cp.Query().add_item(types=["A"]))


async def append(record: Record, store: cp.EmbeddedStore, drafts: list[Draft], guards: list[Guard]) -> bool:
    given = [condition_of(guard) for guard in guards]
    try:
        last = await store.append_async([draft.raw() for draft in drafts], given)
    except cp.AppendConditionFailed as failed:
        record.refused.append((failed.position, guards[given.index(failed.condition)], guards))
        return False
    record.accepted.append((last, drafts, guards))
    return True


def test_a_thousand_tasks_race_and_every_accepted_append_is_proved(store: cp.EmbeddedStore) -> None:
    tags = [f"t:{n}" for n in range(20)]

    async def work(n: int, record: Record) -> None:
        chance = random.Random(SEED * 1000 + n)
        for turn in range(tries(4, 200)):
            some = tuple(chance.sample(tags, 2))
            items: Items = (((), some[:1]), (("A",), some[1:]))
            head = store.head()
            await asyncio.sleep(0)
            drafts = [
                Draft(chance.choice("AB"), some[:1], f"{n}.{turn}.{i}".encode()) for i in range(n % 2 + 1)
            ]
            await append(record, store, drafts, [Guard(items, head)])

    async def main() -> list[Record]:
        records = [Record() for _ in range(1000)]
        await asyncio.gather(*[work(n, record) for n, record in enumerate(records)])
        return records

    records = asyncio.run(main())
    prove(store, records)
    assert any(record.refused for record in records)
    assert sum(len(record.accepted) + len(record.refused) for record in records) == 1000 * tries(4, 200)


def test_a_thousand_tasks_with_boundaries_of_their_own_never_conflict(store: cp.EmbeddedStore) -> None:
    async def work(n: int) -> None:
        own, head = cp.Query().add_item(tags=[f"own:{n}"]), 0
        for _ in range(tries(3, 100)):
            event = Draft("A", ("shared", f"own:{n}")).raw()
            head = await store.append_async([event], cp.AppendCondition(own, after=head))

    async def main() -> None:
        await asyncio.gather(*[work(n) for n in range(1000)])

    asyncio.run(main())
    assert store.head() == 1000 * tries(3, 100)


def test_of_a_thousand_tasks_for_one_name_one_wins_and_the_others_see_it(store: cp.EmbeddedStore) -> None:
    async def claim() -> bool:
        try:
            return await store.append_async([A], FREE) == 1
        except cp.AppendConditionFailed as failed:
            # One that could not see the winner counts as a winner too many.
            return failed.position != store.head()

    async def main() -> int:
        return sum(await asyncio.gather(*[claim() for _ in range(1000)]))

    assert asyncio.run(main()) == 1


def test_two_loops_and_threads_that_wait_share_a_store(store: cp.EmbeddedStore) -> None:
    turns = tries(20, 2000)

    def drafts(name: str, turn: int) -> list[Draft]:
        return [Draft("A", (name,), f"{turn}.{i}".encode()) for i in range(turn % 3 + 1)]

    def waits(name: str) -> list[Record]:
        record = Record()
        for turn in range(turns):
            record.append(store, drafts(name, turn), [Guard((((), ("shared",)),), store.head())])
            record.append(store, [Draft("S", ("shared",))], [Guard((((), ("shared",)),), store.head())])
        return [record]

    async def awaits(name: str) -> Record:
        record = Record()
        for turn in range(turns):
            await append(record, store, drafts(name, turn), [Guard((((), ("shared",)),), store.head())])
            await append(
                record, store, [Draft("S", ("shared",))], [Guard((((), ("shared",)),), store.head())]
            )
        return record

    async def main(name: str) -> list[Record]:
        return await asyncio.gather(*[awaits(f"{name}.{n}") for n in range(20)])

    jobs: list[Callable[[], list[Record]]] = [
        lambda: asyncio.run(main("one")),
        lambda: asyncio.run(main("two")),
        lambda: waits("three"),
        lambda: waits("four"),
    ]
    records = [record for records in race(jobs) for record in records]
    prove(store, records)
    assert sum(len(record.accepted) + len(record.refused) for record in records) == 42 * 2 * turns


def test_closing_from_another_thread_answers_every_task(open_on_disk: Opener) -> None:
    store = open_on_disk()

    async def work() -> int:
        count = 0
        try:
            while True:
                await store.append_async([A])
                count += 1
        except cp.StoreClosed:
            return count

    async def main() -> int:
        tasks = [asyncio.create_task(work()) for _ in range(50)]
        while store.head() < 500:
            await asyncio.sleep(0)
        closing = asyncio.to_thread(store.close)
        counts = await asyncio.gather(*tasks, closing)
        return sum(count for count in counts if count is not None)

    assert asyncio.run(main()) == open_on_disk().head() >= 500
