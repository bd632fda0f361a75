"""Several processes have one store open, append and read. Kills and random races have files of their own."""

import multiprocessing
import shutil
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import counterpoint as cp
import pytest

from tests import child, members
from tests.budget import tries
from tests.model import Draft, log_of
from tests.opener import SMALL_SEGMENT, Opener

pytestmark = pytest.mark.timeout(tries(120, 0))

APPEND = """
    path, name, batches = sys.argv[1], sys.argv[2], int(sys.argv[3])
    with cp.open(path, segment_bytes=4096) as store:
        say("open")
        sys.stdin.readline()
        last = 0
        for number in range(batches):
            batch = [event(f"{name}.{number}.{n}", f"of:{name}") for n in range(number % 3 + 1)]
            own = cp.AppendCondition(cp.Query().add_item(types=["A"], tags=[f"of:{name}"]), after=last)
            last = store.append(batch, own)
            say(f"{name}.{number}", len(batch), last)
"""


def test_processes_that_append_at_once_lose_nothing_and_never_refuse_each_other(
    open_on_disk: Opener, tmp_path: Path
) -> None:
    """I1, I2, I4: each is guarded by its own events, so that whatever conflicts is a false conflict."""
    batches = tries(150, 5000)
    with ExitStack() as stack:
        processes = [
            stack.enter_context(child.running(APPEND, tmp_path / "store", name, batches)) for name in range(4)
        ]
        members.start_together(processes)
        told = [child.line(process) for process in processes for _ in range(batches)]
        assert [process.wait(child.PATIENCE) for process in processes] == [0] * 4
    with open_on_disk() as store:
        members.check_log(store, told)
        assert store.head() == 4 * sum(number % 3 + 1 for number in range(batches))


def test_a_head_that_one_process_has_seen_is_complete_in_every_other(
    open_on_disk: Opener, tmp_path: Path
) -> None:
    """I5, by reads of everything and by reads that ask the index, while the log goes on to new segments."""
    append = """
        store = cp.open(sys.argv[1], segment_bytes=4096)
        while True:
            store.append([event("x" * 50, "of:0")] * 3)
    """
    read = """
        with cp.open(sys.argv[1], segment_bytes=4096) as store:
            for line in sys.stdin:
                head = int(line)
                assert store.head() >= head
                for query in (cp.Query.all(), cp.Query().add_item(tags=["of:0"])):
                    seen = [event.position for event in store.read(query, until=head)]
                    assert seen == list(range(1, head + 1)), f"{head}: {len(seen)}, {seen[-3:]}"
                say(head)
    """
    rounds = tries(40, 500)
    with ExitStack() as stack:
        stack.enter_context(child.running(append, tmp_path / "store"))
        readers = [stack.enter_context(child.running(read, tmp_path / "store")) for _ in range(2)]
        store = open_on_disk()
        for _ in range(rounds):
            before = store.head()
            head = store.wait(before, timeout=child.PATIENCE)
            assert head > before, "the appending process stalls"
            for reader in readers:
                members.tell(reader, head)
            assert [child.line(reader) for reader in readers] == [str(head)] * 2


def test_a_subscription_and_a_wait_see_what_other_processes_append(
    open_on_disk: Opener, tmp_path: Path
) -> None:
    """Each process says what it was woken for before the next event comes: nobody is carried along by a
    later one."""
    program = """
        store = cp.open(sys.argv[1])
        how = sys.argv[2]
        say("open")
        after = 0

        async def follow():
            async for event in store.subscribe():
                say(event.data.decode())

        if how == "subscribe":
            for event in store.subscribe():
                say(event.data.decode())
        elif how == "async":
            import asyncio
            asyncio.run(follow())
        while True:
            after = store.wait(after)
            say([event.data.decode() for event in store.read()][-1])
    """
    with ExitStack() as stack:
        followers = [
            stack.enter_context(child.running(program, tmp_path / "store", how))
            for how in ("subscribe", "async", "wait")
        ]
        assert [child.line(process) for process in followers] == ["open"] * 3
        store = open_on_disk()
        for n in range(tries(30, 2000)):
            store.append([Draft("A", data=str(n).encode()).raw()])
            assert [child.line(process) for process in followers] == [str(n)] * 3


def test_no_increment_of_a_cursor_is_lost_between_processes(open_on_disk: Opener, tmp_path: Path) -> None:
    program = """
        with cp.open(sys.argv[1]) as store:
            say("open")
            sys.stdin.readline()
            for _ in range(int(sys.argv[2])):
                while not store.set_cursor("count", (seen := store.get_cursor("count")) + 1, expected=seen):
                    pass
                store.set_cursor(f"own {os.getpid()}", store.get_cursor(f"own {os.getpid()}") + 1)
    """
    turns = tries(40, 2000)
    with ExitStack() as stack:
        processes = [stack.enter_context(child.running(program, tmp_path / "store", turns)) for _ in range(4)]
        members.start_together(processes)
        assert [process.wait(child.PATIENCE) for process in processes] == [0] * 4
        store = open_on_disk()
        assert store.get_cursor("count") == 4 * turns
        assert [store.get_cursor(f"own {process.pid}") for process in processes] == [turns] * 4


def test_processes_that_create_one_store_at_once_all_get_it(tmp_path: Path) -> None:
    """F12: one makes it, the others find it made, however the two fall together."""
    program = """
        for path in sys.stdin:
            with cp.open(path.strip()) as store:
                say(store.append([event(str(os.getpid()))]))
    """
    with ExitStack() as stack:
        processes = [stack.enter_context(child.running(program)) for _ in range(3)]
        for n in range(tries(40, 2000)):
            for process in processes:
                members.tell(process, tmp_path / f"store {n}")
            assert sorted(child.line(process) for process in processes) == ["1", "2", "3"]
            with cp.open(tmp_path / f"store {n}") as store:
                assert sorted(e.data for e in store.read()) == sorted(str(p.pid).encode() for p in processes)
            shutil.rmtree(tmp_path / f"store {n}")


def _append_some(path: Path, number: int) -> list[int]:
    with cp.open(path) as store:
        return [store.append([Draft("A", (f"n:{number}",)).raw()]) for _ in range(20)]


@pytest.mark.parametrize("method", ["spawn", "forkserver", "fork"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # fork beside other tests' threads
def test_the_workers_of_a_pool_share_a_store(open_on_disk: Opener, tmp_path: Path, method: str) -> None:
    """Workers that are forked too, as long as they open the store themselves."""
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this system has no {method}")
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(4, context) as pool:
        told = list(pool.map(_append_some, [tmp_path / "store"] * 8, range(8)))
    store = open_on_disk()
    assert sorted(position for positions in told for position in positions) == list(range(1, 161))
    for number, positions in enumerate(told):
        own = store.read(cp.Query().add_item(tags=[f"n:{number}"]))
        assert [event.position for event in own] == positions


def test_handles_of_one_process_are_like_those_of_several(open_on_disk: Opener) -> None:
    stores = [open_on_disk(segment_bytes=SMALL_SEGMENT) for _ in range(5)]
    for n in range(100):
        assert stores[n % 5].append([Draft("A", (f"n:{n}",), bytes(200)).raw()]) == n + 1
        assert [store.head() for store in stores] == [n + 1] * 5
    stores.pop().close()
    assert len({tuple(log_of(store)) for store in stores}) == 1
    free = cp.AppendCondition(cp.Query().add_item(tags=["n:99"]))
    for store in stores:
        with pytest.raises(cp.AppendConditionFailed) as refused:
            store.append([Draft("A").raw()], free)
        assert refused.value.position == 100


@pytest.fixture(params=["marks", "members.lock", "append.lock", "sync.lock", "prepare.lock", "cursors.lock"])
def removed(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_who_joins_a_store_whose_file_was_removed_is_told_so(
    open_on_disk: Opener, tmp_path: Path, removed: str
) -> None:
    """F12: two processes with two locks of one name would both be the one appender."""
    program = """
        try:
            cp.open(sys.argv[1])
            say("joined")
        except cp.CorruptionError as error:
            say("replaced" in str(error) and error.file)
    """
    store = open_on_disk()
    store.append([Draft("A").raw()])
    (tmp_path / "store" / removed).unlink()
    assert child.run(program, tmp_path / "store") == ["marks"]
    assert store.append([Draft("A").raw()]) == 2
    store.close()
    with open_on_disk() as reopened:
        assert reopened.head() == 2


def test_a_store_that_is_removed_while_it_is_open_is_not_taken_for_the_new_one_of_its_name(
    open_on_disk: Opener, tmp_path: Path
) -> None:
    store = open_on_disk()
    store.append([Draft("Old").raw()])
    shutil.rmtree(tmp_path / "store")
    program = """
        with cp.open(sys.argv[1]) as store:
            say(store.append([event("new")]), store.head())
    """
    assert child.run(program, tmp_path / "store") == ["1 1"]
    assert [event.type for event in store.read()] == ["Old"]
    store.close()
    with open_on_disk() as new:
        assert [event.data for event in new.read()] == [b"new"]
