"""A disk that is full, really. F5.

The error names the cause, reads go on, nothing acknowledged is lost, nobody hangs; and once there is room and
the store is opened again, appends go on.
"""

import random
import re
import time
from pathlib import Path

import counterpoint as cp
import pytest

from tests import child
from tests.budget import SEED, SOAK, tries
from tests.disks import budget, mounts, writers
from tests.disks.needs import need

pytestmark = pytest.mark.timeout(tries(120, 0))

KIB, MIB = 1 << 10, 1 << 20
FULL = "No space left on device"
FULL_OR_REFUSED = f"{FULL}|is full or failing"
"""The second where a change to a mapped page is refused, for which a file system can give no reason."""
BALLAST = "ballast"
"""A file that keeps room, to be freed."""

KINDS = [pytest.param(kind, marks=need("mounting", "loop", kind)) for kind in ("ext4", "xfs", "btrfs")]


def check_what_they_said(processes: list[writers.Writer]) -> None:
    """Who met the full disk says so, and so do the others, who were told of it.

    It may be a thread of the store that meets it, after a pause: then all were told.
    """
    opened = [process for process in processes if "open" not in process.failed]
    for process in processes:
        for tried in ("open", "append", "again"):
            if tried in process.failed:
                kind, errno, text = process.failed[tried]
                assert re.search(FULL_OR_REFUSED, text), text
                assert (kind, errno) in (("StorageError", "28"), ("PoisonedError", "None")), text
    for process in opened:
        assert "append" in process.failed
        assert process.failed["again"][0] == "PoisonedError"
        told = (int(append.split()[2]) for _, _, append in process.told)
        assert process.read >= max(told, default=0)
        assert "read" not in process.failed


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("segment_bytes", [4 * KIB, 64 * KIB, 64 * MIB])
@need("mounting")
def test_a_full_disk_in_memory_is_told_of_and_appends_go_on_once_there_is_room(
    tmp_path: Path, checker: writers.Checker, segment_bytes: int, count: int
) -> None:
    chance = random.Random(f"{SEED} {segment_bytes} {count}")
    for turn in budget.turns(2, 160):
        room = int(64 * KIB * 128 ** chance.random())
        home = tmp_path / f"{turn}"
        home.mkdir()
        ballast = 2 * MIB + 2 * min(segment_bytes, 4 * MIB)
        with mounts.mounted("none", "tmpfs", home / "mount", f"size={room + ballast}") as at:
            (at / BALLAST).write_bytes(bytes(ballast))
            options = {"segment_bytes": segment_bytes, "durability": chance.choice(["fsync", "os"])}
            with writers.writing(at / "store", count, None, **options) as processes:
                for process in processes:
                    process.finish()
            check_what_they_said(processes)
            (at / BALLAST).unlink()
            checker.check(at / "store", writers.acknowledged(processes), home / "told")


@pytest.mark.parametrize("kind", KINDS)
def test_a_device_that_fills_up_is_told_of_and_appends_go_on_once_there_is_room(
    tmp_path: Path, checker: writers.Checker, kind: str
) -> None:
    for turn in budget.turns(1, 30):
        home = tmp_path / f"{turn}"
        home.mkdir()
        durability = random.Random(f"{SEED} {turn} {kind}").choice(["fsync", "os"])
        with mounts.mounted(mounts.make(kind, home / "image"), kind, home / "mount") as at:
            (at / BALLAST).write_bytes(bytes(4 * MIB))
            with writers.writing(at / "store", 3, None, durability=durability) as processes:
                for process in processes:
                    process.wait_for(2)
                mounts.fill(at / "filling")
                for process in processes:
                    process.finish()
            check_what_they_said(processes)
            (at / BALLAST).unlink()
            checker.check(at / "store", writers.acknowledged(processes), home / "told")


@pytest.mark.parametrize("kind", KINDS)
def test_an_idle_store_whose_device_has_filled_up_says_so(
    tmp_path: Path, checker: writers.Checker, kind: str
) -> None:
    """Where the file system copies on write, the shared page needs room for the next change to it."""
    with mounts.mounted(mounts.make(kind, tmp_path / "image"), kind, tmp_path / "mount") as at:
        (at / BALLAST).write_bytes(bytes(4 * MIB))
        with writers.talking(writers.IDLE, at / "store", FULL_OR_REFUSED) as process:
            assert process.line() == "open"
            time.sleep(1.2)  # Until it is sealed.
            mounts.fill(at / "filling")
            mounts.command("sync", "-f", at)
            process.say("go")
            assert process.line() in ("StorageError True", "PoisonedError True", "appended 2")
            assert process.line() in ("opening 28", "opened")
            assert process.line() in ("closed", "StorageError True")
            assert process.line() == "waited 1"
            assert process.ends() == 0
        (at / BALLAST).unlink()
        assert checker.check(at / "store", [], tmp_path / "told") in (1, 2)


@need("mounting")
def test_a_disk_without_room_for_another_file_is_told_of_and_appends_go_on_once_there_is(
    tmp_path: Path, checker: writers.Checker
) -> None:
    """Inodes run out at the making of a store, and of each of its files."""
    told: list[str] = []
    for inodes in range(1, 60) if SOAK else (1, 8, 9, 11):
        at, home = tmp_path / "mount", tmp_path / f"{inodes}"
        home.mkdir()
        with mounts.mounted("none", "tmpfs", at, f"nr_inodes={inodes + 6}"):
            ballast = [at / f"{BALLAST}{n}" for n in range(5)]
            for file in ballast:
                file.touch()
            with writers.writing(at / "store", 2, None, f"{inodes}w") as processes:
                for process in processes:
                    process.finish()
            assert all(
                FULL in process.failed[min(process.failed, key=["open", "append", "again"].index)][2]
                for process in processes
            )
            told = writers.acknowledged(processes)
            mounts.command("mount", "-o", "remount,nr_inodes=1000", at)
            checker.check(at / "store", told, home / "told")
    assert told, "with so many there is a log"


CURSORS = """
    store = cp.open(sys.argv[1])
    store.append([event("cursors.0.0")])
    store.set_cursor("c", 1)
    say("open")
    sys.stdin.readline()
    for name in ("c", "d"):
        try:
            say("set", store.set_cursor(name, 2))
        except cp.StorageError as error:
            say(type(error).__name__, error.errno, store.get_cursor("c"), store.get_cursor("d"))
    say(store.append([event("cursors.3.0")]))
    sys.stdin.readline()
    say(store.set_cursor("c", 2, expected=1), store.set_cursor("d", 1), store.get_cursor("c"))
    store.close()
"""


@need("mounting")
def test_a_cursor_that_there_is_no_room_for_stays_where_it_was(
    tmp_path: Path, checker: writers.Checker
) -> None:
    """Appends go on in what was allocated."""
    with mounts.mounted("none", "tmpfs", tmp_path / "mount", "size=4M") as at:
        (at / BALLAST).write_bytes(bytes(1 * MIB))
        with writers.talking(CURSORS, at / "store") as process:
            assert process.line() == "open"
            mounts.fill(at / "filling")
            process.say("go")
            assert [process.line() for _ in range(3)] == ["StorageError 28 1 0"] * 2 + ["2"]
            (at / BALLAST).unlink()
            process.say("go on")
            assert process.line() == "True True 2"
            assert process.ends() == 0
        assert checker.check(at / "store", [], tmp_path / "told") == 2


def test_a_cursor_that_is_written_to_a_full_device_stays_where_it_was(tmp_path: Path) -> None:
    with cp.open(tmp_path / "store") as store:
        store.set_cursor("c", 1)
        (tmp_path / "store" / "cursors.tmp").symlink_to("/dev/full")
        with pytest.raises(cp.StorageError, match=FULL) as full:
            store.set_cursor("c", 2)
        assert full.value.errno == 28
        assert store.get_cursor("c") == 1
        (tmp_path / "store" / "cursors.tmp").unlink()
        assert store.set_cursor("c", 2, expected=1)
        assert store.append([cp.RawEvent("A", b"")]) == 1


SEALING = """
    store = cp.open(sys.argv[1])
    def append(first, count):
        names = (f"sealing.{n * 3}" for n in range(first, first + count))
        return store.append([cp.RawEvent("A", f"{name}.0".encode(), [name]) for name in names])
    def has(ending):
        return any(name.endswith(ending) for name in os.listdir(sys.argv[1]))
    def found():
        return [e.position for e in store.read(cp.Query().add_item(tags=["sealing.300"]))]
    append(0, 65_000)
    say(append(65_000, 65_000))
    sys.stdin.readline()
    say(append(130_000, 1_073))
    def wait_until(done):
        until = time.monotonic() + 10
        while time.monotonic() < until:
            if done():
                return True
            time.sleep(0.003)
        return False
    say("begun", wait_until(lambda: has("seal.tmp")), "gone", wait_until(lambda: not has("seal.tmp")))
    say(has(".idx"), bool(store.verify()), found(), append(131_073, 1))
    sys.stdin.readline()
    say(wait_until(lambda: has(".idx")), bool(store.verify()), found())
    store.close()
"""


@need("mounting")
def test_an_index_file_that_there_is_no_room_for_is_made_once_there_is(
    tmp_path: Path, checker: writers.Checker
) -> None:
    """Until then memory has the index, and what was begun of the file does not keep room that the log may
    need."""
    with mounts.mounted("none", "tmpfs", tmp_path / "mount", "size=64M") as at:
        with writers.talking(SEALING, at / "store") as process:
            assert process.line() == "130000"
            mounts.fill(at / "filling", leave=3 * MIB // 2)
            process.say("go")
            assert process.line() == "131073"
            assert process.line() == "begun True gone True"
            assert process.line() == "False True [101] 131074"
            (at / "filling").unlink()
            process.say("go on")
            assert process.line() == "True True [101]"
            assert process.ends() == 0
        assert checker.check(at / "store", [], tmp_path / "told") == 131_074


LIMITED = """
    import resource
    told, unlimited = [], resource.getrlimit(resource.RLIMIT_FSIZE)
    number = 0
    for limit in map(int, sys.argv[2:]):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, unlimited[1]))
        try:
            with cp.open(sys.argv[1], segment_bytes=1 << 16) as store:
                for _ in range(60):
                    data = f"limited.{number * 3}.0".encode()
                    last = store.append([cp.RawEvent("A", data, [], bytes(3000))])
                    told.append(f"limited.{number * 3} 1 {last}")
                    number += 1
        except cp.StorageError as error:
            met = type(error).__name__, error.errno, "File too large" in str(error)
            assert met == ("StorageError", 27, True), (limit, met, error)
        number += 1
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
        with cp.open(sys.argv[1], segment_bytes=1 << 16) as store:
            names = [event.data.decode() for event in store.read()]
            assert all(names[int(last) - 1] == f"{name}.0" for name, _, last in map(str.split, told)), limit
            assert store.verify(), limit
    say(len(told))
"""


def test_a_limit_on_the_size_of_files_is_told_of_and_appends_go_on_without_it(tmp_path: Path) -> None:
    """At the making of the store, of its marks, of a segment, and between."""
    chance, limits = random.Random(SEED), [0, 63, 64, 4095, 4096, 65_535, 65_536, 70_000]
    for turn in range(tries(1, 50)):
        (told,) = child.run(LIMITED, tmp_path / f"store{turn}", *limits)
        assert turn or int(told) > 10
        limits = [chance.randrange(1 << chance.randrange(1, 21)) for _ in range(20)]
