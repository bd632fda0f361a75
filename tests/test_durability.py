"""What was acknowledged stays, over reopening and over kill -9. Several processes are in
`test_processes.py`."""

import random
from pathlib import Path

import counterpoint as cp
import pytest

from tests import child
from tests.budget import SEED, tries
from tests.model import Draft, Model, log_of
from tests.opener import SMALL_SEGMENT, Opener

pytestmark = pytest.mark.timeout(tries(120, 0))

APPEND = """
    path, durability, run, threads = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
    say("opening")
    store = cp.open(path, durability=durability, segment_bytes=4096)
    say("open", store.head())

    def work(thread):
        number = 0
        while True:
            name = f"{run}.{thread}.{number}"
            batch = [event(f"{name}.{n}", f"thread:{thread}") for n in range(number % 3 + 1)]
            guard = cp.AppendCondition(cp.Query().add_item(tags=["nobody"]))
            say(name, len(batch), store.append(batch, guard if number % 2 else None))
            number += 1

    for thread in range(threads):
        threading.Thread(target=work, args=(thread,)).start()
"""


def test_reopening_after_a_close_keeps_everything(open_on_disk: Opener) -> None:
    model, chance = Model(), random.Random(SEED)
    for turn in range(tries(12, 500)):
        with open_on_disk(segment_bytes=SMALL_SEGMENT, durability=chance.choice(["fsync", "os"])) as store:
            assert log_of(store) == model.read()
            for n in range(chance.randint(0, 6)):
                drafts = [
                    Draft(
                        "A",
                        (f"turn:{turn}", f"n:{n}"),
                        bytes(chance.randint(0, 900)),
                        b"m" if n % 2 else None,
                    )
                    for _ in range(chance.randint(1, 3))
                ]
                model.append(drafts)
                assert store.append([draft.raw() for draft in drafts]) == model.head()
            assert store.head() == model.head()


def test_reopening_keeps_times_and_cursors(open_on_disk: Opener) -> None:
    with open_on_disk() as store:
        store.append([Draft("A").raw()] * 3)
        assert store.set_cursor("orders", 2)
        assert store.set_cursor("orders", 3, expected=2)
        events = list(store.read())
    with open_on_disk() as store:
        assert list(store.read()) == events
        assert store.get_cursor("orders") == 3
        store.append([Draft("A").raw()])
        assert [e.recorded_at for e in store.read()] == sorted(e.recorded_at for e in store.read())


def test_conditions_see_what_was_there_before_reopening(open_on_disk: Opener) -> None:
    """A peer accepted every guard after its index came up empty."""
    with open_on_disk(segment_bytes=SMALL_SEGMENT) as store:
        for n in range(40):
            store.append([Draft("Claimed", (f"name:{n}",), bytes(300)).raw()])
    with open_on_disk(segment_bytes=SMALL_SEGMENT) as store:
        for n in range(40):
            name = cp.Query().add_item(types=["Claimed"], tags=[f"name:{n}"])
            with pytest.raises(cp.AppendConditionFailed) as refused:
                store.append([Draft("Claimed", (f"name:{n}",)).raw()], cp.AppendCondition(name))
            assert refused.value.position == n + 1
        assert store.append([Draft("Claimed", ("name:40",)).raw()], cp.AppendCondition(name, after=40)) == 41


def test_segments_may_change_their_size_between_openings(open_on_disk: Opener) -> None:
    for size in (SMALL_SEGMENT, 1 << 20, 2 * SMALL_SEGMENT, None, SMALL_SEGMENT):
        with open_on_disk(segment_bytes=size) as store:
            before = store.head()
            store.append([Draft("A", data=bytes(1000)).raw() for _ in range(2)])
            store.append([Draft("A", data=bytes(3 * SMALL_SEGMENT)).raw()])
            assert [e.position for e in store.read()] == list(range(1, before + 4))


def test_segments_are_named_by_their_first_position(open_on_disk: Opener, tmp_path: Path) -> None:
    with open_on_disk(segment_bytes=SMALL_SEGMENT) as store:
        for _ in range(30):
            store.append([Draft("A", data=bytes(500)).raw()])
    names = sorted(file.name for file in (tmp_path / "store").glob("*.log"))
    assert names[0] == "00000000000000000001.log"
    assert len(names) > 3
    assert all(len(name) == 24 and 1 <= int(name[:20]) <= 31 for name in names)


def test_an_empty_store_reopens_empty(open_on_disk: Opener) -> None:
    for _ in range(3):
        with open_on_disk() as store:
            assert (store.head(), list(store.read())) == (0, [])


# kill -9


def after_a_kill(store: cp.EmbeddedStore, told: list[str], threads: int, kills: int) -> None:
    """All that was acknowledged is there, whole, once and in its place, and nothing was invented."""
    log = log_of(store)
    assert [event.position for event in log] == list(range(1, len(log) + 1))
    names = [event.data.decode() for event in log]
    assert len(set(names)) == len(names)
    for line in told:
        name, size, last = line.split()
        first = int(last) - int(size)
        assert names[first : int(last)] == [f"{name}.{n}" for n in range(int(size))], line
    batches: dict[str, int] = {}
    for event in names:
        batch = event.rpartition(".")[0]
        batches[batch] = batches.get(batch, 0) + 1
    for batch, size in batches.items():
        assert size == int(batch.rpartition(".")[2]) % 3 + 1, f"{batch} is there in part"
    assert len(batches) - len(told) <= threads * kills, "more in flight than there were threads"


@pytest.mark.parametrize(("durability", "threads"), [("fsync", 1), ("fsync", 4), ("os", 1), ("os", 4)])
def test_kill_9_loses_nothing_acknowledged_and_doubles_nothing(
    open_on_disk: Opener, tmp_path: Path, durability: str, threads: int
) -> None:
    chance, told = random.Random(SEED), list[str]()
    kills = tries(4, 500)
    for turn in range(kills):
        with child.running(APPEND, tmp_path / "store", durability, turn, threads) as process:
            assert child.line(process) == "opening"
            said = []
            if turn % 4 != 3:  # Every fourth is killed while it opens.
                assert child.line(process).split()[0] == "open"
                said = [child.line(process) for _ in range(chance.randint(0, 150))]
            said += child.kill(process)
        told += [line for line in said if not line.startswith("open")]
        if turn % 2:  # Every other is recovered by the next child.
            with open_on_disk(segment_bytes=SMALL_SEGMENT) as store:
                after_a_kill(store, told, threads, turn + 1)
    with open_on_disk(segment_bytes=SMALL_SEGMENT) as store:
        after_a_kill(store, told, threads, kills)
        assert len(told) > kills
        head = store.head()
        assert store.append([Draft("A", data=b"last").raw()]) == head + 1


def test_what_a_torn_write_left_behind_the_last_frame_is_dropped(
    open_on_disk: Opener, tmp_path: Path
) -> None:
    """I8: a killed process may leave anything there; it was never acknowledged."""
    program = """
        store = cp.open(sys.argv[1])
        say(*[store.append([event(f"{n}")]) for n in range(9)])
        sys.stdin.read()
    """
    chance = random.Random(SEED)
    for turn in range(tries(6, 300)):
        with child.running(program, tmp_path / "store") as process:
            assert child.line(process).split()[-1] == str(9 * (turn + 1))
            child.kill(process)
        file = tmp_path / "store" / "00000000000000000001.log"
        with file.open("r+b") as log:
            end = -(-len(log.read().rstrip(b"\x00")) // 8) * 8
            log.seek(end)
            log.write(chance.randbytes(chance.choice([1, 7, 8, 64, 300, 5000])))
    with open_on_disk() as store:
        assert [e.data.decode() for e in store.read()] == [str(n) for n in range(9)] * tries(6, 300)
