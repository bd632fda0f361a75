"""`cp.open(path, read_only=True)`: it shows what writers made durable, follows them, and refuses to write.

That it changes nothing, and where it works, is in `test_read_only_places.py`.
"""

import asyncio
import io
import random
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any

import counterpoint as cp
import pytest

from tests import child
from tests.budget import SEED, tries
from tests.model import Draft, log_of
from tests.opener import SMALL_SEGMENT, Opener

pytestmark = pytest.mark.timeout(tries(120, 0))

A = cp.Query().add_item(types=["A"])
QUERIES = [
    cp.Query.all(),
    A,
    cp.Query().add_item(tags=["n:1"]),
    cp.Query().add_item(types=["A"], tags=["n:1", "even"]).add_item(tags=["n:2"]),
]


class LookedAt(cp.Event):
    """What a command appends."""


def answers(store: cp.EmbeddedStore, until: int) -> list[list[cp.SequencedEvent]]:
    """Everything that a store answers up to a position."""
    windows: list[dict[str, Any]] = [{}, {"reverse": True}, {"after": 5, "limit": 3}]
    return [list(store.read(query, until=until, **window)) for query in QUERIES for window in windows]


def fill(store: cp.EmbeddedStore, count: int) -> None:
    for n in range(count):
        tags = (f"n:{n % 3}", "even" if n % 2 else "odd")
        store.append([Draft("A", tags, bytes(200)).raw(), Draft("B", tags).raw()])


@pytest.fixture
def writer(open_on_disk: Opener) -> cp.EmbeddedStore:
    return open_on_disk(segment_bytes=SMALL_SEGMENT)


@pytest.fixture
def reader(writer: cp.EmbeddedStore, open_on_disk: Opener) -> cp.EmbeddedStore:
    """Beside a writer that has appended one event."""
    writer.append([Draft("A", ("n:1",)).raw()])
    return open_on_disk(read_only=True)


async def append_async(store: cp.EmbeddedStore) -> int:
    return await store.append_async([Draft("A").raw()])


WRITES: dict[str, Callable[[cp.EmbeddedStore], Any]] = {
    "append": lambda store: store.append([Draft("A").raw()]),
    "append under a condition": lambda store: store.append([Draft("A").raw()], cp.AppendCondition(A)),
    "append_async": lambda store: asyncio.run(append_async(store)),
    "set_cursor": lambda store: store.set_cursor("c", 1),
    "set_cursor, expected": lambda store: store.set_cursor("c", 1, expected=0),
    "through a command": lambda store: cp.ReadAppender(store).append_event(LookedAt()),
}


@pytest.mark.parametrize("name", WRITES)
def test_what_would_change_the_store_is_refused_at_once(
    writer: cp.EmbeddedStore, reader: cp.EmbeddedStore, name: str
) -> None:
    with pytest.raises(io.UnsupportedOperation, match="read_only=True") as refused:
        WRITES[name](reader)
    assert isinstance(refused.value, OSError)
    assert isinstance(refused.value, ValueError)
    assert (writer.head(), reader.head(), writer.get_cursor("c")) == (1, 1, 0)


def test_a_refused_append_consumes_no_events(reader: cp.EmbeddedStore) -> None:
    events = iter([Draft("A").raw()])
    with pytest.raises(io.UnsupportedOperation):
        reader.append(events)
    assert len(list(events)) == 1


@pytest.mark.parametrize("path", ["missing", "missing/below", "empty", "others"])
def test_where_there_is_no_store_none_is_made(tmp_path: Path, path: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "others").mkdir()
    (tmp_path / "others" / "notes.txt").write_text("not ours")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(FileNotFoundError) as missing:
        cp.open(tmp_path / path, read_only=True)
    assert path in str(missing.value)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_path_that_is_a_file_is_an_os_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"precious")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(NotADirectoryError):
            cp.open(path, read_only=True)
    assert (tmp_path / "file").read_bytes() == b"precious"


@pytest.mark.parametrize(
    "option",
    [
        {"exclusive": True},
        {"durability": "os"},
        {"sync_interval": 1.0},
        {"record_conditions": False},
        {"segment_bytes": 4096},
    ],
)
def test_an_option_that_means_nothing_to_a_reader_is_refused(
    writer: cp.EmbeddedStore, tmp_path: Path, option: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match=next(iter(option))):
        cp.open(tmp_path / "store", read_only=True, **option)


def test_a_store_in_memory_cannot_be_read_only() -> None:
    with pytest.raises(ValueError, match="memory:"):
        cp.open("memory:", read_only=True)


@pytest.mark.parametrize("wrong", [1, "yes", None])
def test_read_only_is_true_or_false(tmp_path: Path, wrong: Any) -> None:
    with pytest.raises(TypeError, match="read_only"):
        cp.open(tmp_path / "store", read_only=wrong)
    assert list(tmp_path.iterdir()) == []


def test_a_reader_answers_like_a_writer_at_the_same_head(
    writer: cp.EmbeddedStore, reader: cp.EmbeddedStore, open_on_disk: Opener
) -> None:
    for turn in range(tries(6, 100)):
        fill(writer, 20)
        with open_on_disk(read_only=True) as fresh:
            for store in (reader, fresh):
                assert store.head() == writer.head() == 1 + 40 * (turn + 1)
                assert answers(store, store.head()) == answers(writer, writer.head())
    assert writer.set_cursor("c", 3)
    assert reader.get_cursor("c") == 3
    guard = cp.AppendCondition(A, after=writer.head())
    position = writer.append([Draft("B").raw()], guard)
    assert reader.why(position).conditions == writer.why(position).conditions == (guard,)
    assert reader.verify().ok
    assert reader.stats()["head"] == reader.verify().events == position


def test_a_decision_may_be_looked_at_but_not_made(writer: cp.EmbeddedStore, reader: cp.EmbeddedStore) -> None:
    class Look(cp.Command):
        def run(self, ra: cp.ReadAppender) -> int:
            return len(ra.read_events(cp.Query().add_item(types=[LookedAt])))

    class Decide(Look):
        def run(self, ra: cp.ReadAppender) -> int:
            return ra.append_event(LookedAt())

    runner = cp.CommandRunner(reader)
    assert runner.run(Look()) == 0
    cp.ReadAppender(writer).append_event(LookedAt())
    assert runner.run(Look()) == 1
    with pytest.raises(io.UnsupportedOperation):
        runner.run(Decide())


def test_waiting_and_subscriptions_follow_a_writer(
    writer: cp.EmbeddedStore, reader: cp.EmbeddedStore
) -> None:
    assert reader.wait(0) == 1
    assert reader.wait(1, timeout=0.02) == 1
    count = tries(200, 5000)
    appending = Thread(target=lambda: fill(writer, count))
    appending.start()
    with reader.subscribe(A, after=0) as events:
        positions = [next(events).position for _ in range(count + 1)]
    appending.join()
    assert positions == [event.position for event in writer.read(A)]


def test_async_subscriptions_follow_a_writer(writer: cp.EmbeddedStore, reader: cp.EmbeddedStore) -> None:
    async def follow() -> list[int]:
        positions = []
        async with reader.subscribe(A) as events:
            async for event in events:
                positions.append(event.position)
                if len(positions) > 60:
                    break
        return positions

    async def both() -> list[int]:
        following = asyncio.create_task(follow())
        await asyncio.to_thread(fill, writer, 60)
        return await following

    assert asyncio.run(both()) == [event.position for event in writer.read(A)]


@pytest.mark.parametrize(
    "waits",
    [lambda store: store.wait(10**9), lambda store: next(store.subscribe(after=10**9))],
    ids=["wait", "subscribe"],
)
def test_closing_a_reader_ends_what_waits_in_it(
    reader: cp.EmbeddedStore, waits: Callable[[cp.EmbeddedStore], object]
) -> None:
    raised: list[type] = []

    def wait() -> None:
        try:
            waits(reader)
        except cp.StoreClosed:
            raised.append(cp.StoreClosed)

    waiting = Thread(target=wait)
    waiting.start()
    events = iter(reader.read())
    reader.close()
    waiting.join(child.PATIENCE)
    assert raised == [cp.StoreClosed]
    for use in (reader.head, reader.stats, reader.verify, lambda: next(events)):
        with pytest.raises(cp.StoreClosed):
            use()
    for write in WRITES.values():
        with pytest.raises(cp.StoreClosed):
            write(reader)


def test_threads_may_share_a_reader(writer: cp.EmbeddedStore, reader: cp.EmbeddedStore) -> None:
    wrong: list[object] = []
    over = False

    def read() -> None:
        known = 0
        while not over:
            read = reader.read()
            positions = [event.position for event in read]
            if positions != list(range(1, read.head + 1)) or read.head < known:
                wrong.append((known, read.head, positions))
            known = read.head

    threads = [Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    fill(writer, tries(100, 2000))
    over = True
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_reader_keeps_nobody_out_and_nobody_keeps_it_out(open_on_disk: Opener, tmp_path: Path) -> None:
    program = """
        with cp.open(sys.argv[1], exclusive=True) as store:
            say(store.append([event("x")]))
            sys.stdin.readline()
            say(store.append([event("y")]))
    """
    with child.running(program, tmp_path / "store") as alone:
        assert child.line(alone) == "1"
        reader = open_on_disk(read_only=True)
        with pytest.raises(cp.StoreLocked):
            open_on_disk()
        assert alone.stdin is not None
        alone.stdin.write("go\n")
        alone.stdin.flush()
        assert child.line(alone) == "2"
        assert alone.wait(child.PATIENCE) == 0
    again = open_on_disk(exclusive=True)
    assert (reader.head(), again.head()) == (2, 2)
    assert again.append([Draft("A").raw()]) == 3
    assert reader.wait(2, timeout=child.PATIENCE) == 3


APPENDS = """
    store = cp.open(sys.argv[1], segment_bytes=4096, durability=sys.argv[2])
    say("open", store.head())
    while True:
        say(store.append([event("x" * 300, "t")] * 3))
"""


@pytest.mark.parametrize("durability", ["fsync", "os"])
def test_a_reader_follows_writers_that_are_killed_and_replaced(
    open_on_disk: Opener, tmp_path: Path, durability: str
) -> None:
    """I5: nothing that it has shown goes or changes, whatever the dead leave and the next one recovers."""
    chance = random.Random(SEED)
    with cp.open(tmp_path / "store", segment_bytes=SMALL_SEGMENT) as store:
        fill(store, 1)
    readers = [open_on_disk(read_only=True)]
    shown: list[cp.SequencedEvent] = []
    subscription = readers[0].subscribe()
    followed: list[cp.SequencedEvent] = []
    for _ in range(tries(5, 500)):
        with child.running(APPENDS, tmp_path / "store", durability) as process:
            assert child.line(process).startswith("open")
            acknowledged = 0
            for _ in range(chance.randint(1, 60)):
                acknowledged = int(child.line(process))
                if chance.random() < 0.2:
                    now = list(chance.choice(readers).read())
                    assert now[: len(shown)] == shown[: len(now)]
                    shown = max(shown, now, key=len)
            if durability == "fsync":
                assert readers[0].head() >= acknowledged
            child.kill(process)
        readers.append(open_on_disk(read_only=True))
        for reader in readers:
            now = list(reader.read())
            assert now[: len(shown)] == shown[: len(now)]
            shown = max(shown, now, key=len)
        while (event := subscription.try_next()) is not None:
            followed.append(event)
        assert followed == shown[: len(followed)]
    with cp.open(tmp_path / "store", segment_bytes=SMALL_SEGMENT) as store:
        log = list(store.read())
        assert log[: len(shown)] == shown
        for reader in readers:
            assert list(reader.read()) == log
            assert answers(reader, len(log)) == answers(store, len(log))
        while (event := subscription.try_next()) is not None:
            followed.append(event)
        assert followed == log
    assert readers[0].verify().ok


def test_a_forked_child_is_refused_and_opens_its_own(open_on_disk: Opener, tmp_path: Path) -> None:
    program = """
        import warnings
        warnings.simplefilter("ignore")
        reader = cp.open(sys.argv[1], read_only=True)
        pid = os.fork()
        if pid == 0:
            try:
                reader.head()
            except cp.StorageError as error:
                say("open stores after forking" in str(error))
            reader.close()
            with cp.open(sys.argv[1], read_only=True) as own:
                say(own.head(), len(list(own.read())))
            os._exit(0)
        say(os.waitpid(pid, 0)[1], reader.head())
    """
    with open_on_disk() as store:
        fill(store, 1)
    assert child.run(program, tmp_path / "store") == ["True", "2 2", "0 2"]


def test_a_reader_is_named_as_such(reader: cp.EmbeddedStore) -> None:
    assert "read_only" in repr(reader)
    assert log_of(reader) != []
