"""A process that lives long: it does everything over and over, and says after each round what it holds. F13.

Run by `test_long_life.py`, as a program of its own, so that nothing else is in its memory.
"""

import asyncio
import gc
import os
import sys
import threading
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import counterpoint as cp

FILLING = bytes(2000)
"""So large that whoever keeps what was read of the log keeps much."""

TAIL = 150_000
"""So many events fill the part of the index that is in memory."""

ALL = cp.Query.all()


class StopEarlyError(Exception):
    pass


class Happened(cp.Event):
    number: int


class Record(cp.Command):
    number: int

    def run(self, ra: cp.ReadAppender) -> int:
        ra.read_events(query(self.number).reverse().limit(1))
        return ra.append_event(Happened(self.number))


def query(number: int) -> cp.Query:
    return cp.Query().add_item(tags=[f"of:{number % 50}"])


def event(number: int, data: bytes = b'{"number":1}') -> cp.RawEvent:
    return cp.RawEvent("Happened", data, [f"of:{number % 50}", f"some:{number % 500}"])


def fill(store: cp.EmbeddedStore) -> None:
    store.append([event(number, FILLING) for number in range(500)])
    for _ in range(TAIL // 1000):
        store.append([event(number) for number in range(1000)])


def append(store: cp.EmbeddedStore, count: int) -> None:
    """One half under conditions, of which some are refused; the other half by tasks, and some by commands."""
    head = store.head()
    for number in range(count // 2):
        condition = cp.AppendCondition(query(number), after=head)
        try:
            head = store.append([event(number)], condition)
        except cp.AppendConditionFailed:
            head = store.head()
    runner = cp.CommandRunner(store)
    for number in range(count // 100):
        runner.run(Record(number))
    left = count - count // 2

    async def work() -> None:
        for start in range(0, left, 500):
            await asyncio.gather(*[store.append_async([event(n)]) for n in range(min(500, left - start))])

    asyncio.run(work())


def read(store: cp.EmbeddedStore, count: int) -> None:
    """Reads of all kinds, of which most are not read to their ends."""
    for number in range(count):
        list(store.read(query(number), limit=20, reverse=bool(number % 2)))
        list(islice(store.read(ALL), 600))
        next(iter(store.read(query(number), after=number)))
        _ = store.why(1 + number).seen(cp.AppendCondition(ALL))
        store.set_cursor(f"cursor {number % 10}", number)
        store.wait(number, timeout=0)


def subscribe(store: cp.EmbeddedStore, count: int) -> None:
    """Half of them are closed, half dropped; some are waited for when that happens."""
    for number in range(count):
        subscription = store.subscribe(query(number))
        list(islice(subscription, 5))
        if number % 2:
            subscription.close()
    waiting = [store.subscribe(query(number), after=2**40) for number in range(4)]
    threads = [threading.Thread(target=list, args=(subscription,)) for subscription in waiting]
    for thread, subscription in zip(threads, waiting, strict=True):
        thread.start()
        subscription.close()
        thread.join()


def subscribe_in_a_loop(store: cp.EmbeddedStore, count: int) -> None:
    """The same with tasks, which are cancelled while they wait."""

    async def follow(number: int) -> None:
        left = 5
        async for _ in store.subscribe(query(number)):
            left -= 1
            if left == 0:
                break
        async with store.subscribe(query(number), after=2**40) as subscription:
            await anext(subscription)

    async def main() -> None:
        tasks = [asyncio.create_task(follow(number)) for number in range(count)]
        await asyncio.sleep(0.05)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(main())


def open_and_close(store: cp.EmbeddedStore, path: Path, count: int) -> None:
    """Half of them alone and half beside others; half are closed, half dropped."""
    for number in range(count):
        for place in (path / "small", path / "large" if number % 10 == 0 else "memory:"):
            other = cp.open(place)
            other.append([event(number)])
            list(other.read(limit=1))
            if number % 2:
                other.close()


def verify(store: cp.EmbeddedStore, count: int) -> None:
    def stop_early(_: int, __: int) -> None:
        raise StopEarlyError

    for _ in range(count):
        try:
            store.verify(stop_early)
        except StopEarlyError:
            continue
        raise AssertionError("a verification went on without its caller")


def held(threads: int) -> tuple[int, int, int, int]:
    """Bytes of memory, descriptors, threads and Python objects, once so few threads are left."""
    until = time.monotonic() + 10
    while len(os.listdir("/proc/self/task")) > threads and time.monotonic() < until:  # noqa: PTH208
        time.sleep(0.01)
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    left = [len(os.listdir(f"/proc/self/{what}")) for what in ("fd", "task")]  # noqa: PTH208
    return pages * os.sysconf("SC_PAGE_SIZE"), left[0], left[1], len(gc.get_objects())


def rounds(store: cp.EmbeddedStore, path: Path, appends: int, times: int) -> Iterator[None]:
    while True:
        append(store, appends)
        read(store, times)
        subscribe(store, times // 2)
        subscribe_in_a_loop(store, times - times // 2)
        open_and_close(store, path, times)
        verify(store, times)
        yield


def main() -> None:
    """Says what is held before the store is opened, after each round, and after it is closed."""
    path, appends, times = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    # The first store makes what a process keeps for good: a descriptor that forked children need.
    cp.open(path / "first").close()
    print("before", *held(1), 0, flush=True)
    with cp.open(path / "large", durability="os") as store:
        fill(store)
        threads = 0
        for _ in rounds(store, path, appends, times):
            if threads == 0:
                # Those that wait for nobody end after a second: what is left then is what there has to be.
                time.sleep(1.5)
                threads = len(os.listdir("/proc/self/task"))  # noqa: PTH208
            figures = held(threads)
            print("round", *figures, store.stats()["segments"], flush=True)
            if sys.stdin.readline() != "go on\n":
                break
    del store
    print("after", *held(1), 0, flush=True)
