"""Backups: whole, or known not to be, and apart from the store they are of."""

import itertools
import os
import random
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import counterpoint as cp
import pytest

from tests import child, members
from tests.budget import SEED, tries
from tests.model import Draft, Stored, log_of
from tests.opener import SMALL_SEGMENT, Opener
from tests.test_opening import powerless

pytestmark = pytest.mark.timeout(tries(120, 0))


def fill(store: cp.EmbeddedStore, batches: int = 60) -> list[Stored]:
    for n in range(batches):
        guard = cp.AppendCondition(cp.Query().add_item(types=["B"]), after=n)
        store.append([Draft("A", (f"n:{n}", "all"), bytes(90), b"meta").raw()] * (n % 3 + 1), guard)
    return log_of(store)


def assert_backs_up(path: Path, events: list[Stored]) -> None:
    """The backup is a store like any other, that can be used without the one it is of."""
    with cp.open(path, segment_bytes=SMALL_SEGMENT) as copy:
        assert log_of(copy) == events
        assert copy.verify()
        if events:
            assert [event.position for event in copy.read(cp.Query().add_item(tags=["n:0"]))] == [1]
        assert copy.append([Draft("More").raw()]) == len(events) + 1
        assert copy.verify()


def assert_unfinished(path: Path) -> None:
    before = sorted(path.iterdir())
    with pytest.raises(cp.StorageError, match=r"unfinished copy.*make the backup again"):
        cp.open(path)
    assert sorted(path.iterdir()) == before, "nothing is made where no store is"


def contents(path: Path) -> dict[str, bytes]:
    kept = [file for file in path.iterdir() if file.suffix in (".log", ".idx") or file.name == "cursors"]
    return {file.name: file.read_bytes() for file in kept}


@pytest.mark.parametrize("options", [{}, {"copy": True}, {"verify": True}, {"copy": True, "verify": True}])
def test_a_backup_of_any_store_is_opened_like_a_store(
    store: cp.EmbeddedStore, tmp_path: Path, options: dict[str, bool]
) -> None:
    events = fill(store)
    store.set_cursor("reader", 7)
    made = store.backup(tmp_path / "copy", **options)
    assert (made.path, made.head) == (str(tmp_path / "copy"), store.head())
    assert made.segments == store.stats()["segments"]
    assert made.copied_bytes > 0
    if "copy" in options:
        assert (made.cloned_bytes, made.linked_bytes) == (0, 0)
    if "verify" in options:
        assert made.verification
        assert made.verification.events == len(events)
    else:
        assert made.verification is None
    with cp.open(tmp_path / "copy") as copy:
        assert copy.get_cursor("reader") == 7
        why, was = copy.why(9), store.why(9)
        assert (why.first, why.last, why.recorded_at) == (was.first, was.last, was.recorded_at)
        assert why.conditions == was.conditions
    assert_backs_up(tmp_path / "copy", events)
    assert log_of(store) == events


def test_an_empty_store_can_be_backed_up(store: cp.EmbeddedStore, tmp_path: Path) -> None:
    made = store.backup(str(tmp_path / "copy"), verify=True)
    assert (made.head, made.segments, made.index_files) == (0, 1, 0)
    assert_backs_up(tmp_path / "copy", [])


def test_a_backup_has_the_index_too(open_on_disk: Opener, tmp_path: Path) -> None:
    with open_on_disk() as store:
        store.append([cp.RawEvent("A", b"", (f"n:{n}", "all")) for n in range(20_000)])
    store = open_on_disk()
    assert store.stats()["index_files"] == 1
    assert store.backup(tmp_path / "copy").index_files == 1
    with cp.open(tmp_path / "copy") as copy:
        assert copy.stats()["index_files"] == 1
        assert [event.position for event in copy.read(cp.Query().add_item(tags=["n:77"]))] == [78]


@pytest.mark.parametrize("copy", [False, True])
def test_neither_store_changes_a_byte_of_the_other(open_on_disk: Opener, tmp_path: Path, copy: bool) -> None:
    with open_on_disk(segment_bytes=SMALL_SEGMENT) as store:
        events = fill(store)
        store.set_cursor("reader", 7)
        made = store.backup(tmp_path / "copy", copy=copy)
    assert (made.cloned_bytes + made.linked_bytes > 0) is not copy
    ours, theirs = contents(tmp_path / "store"), contents(tmp_path / "copy")
    # Killed, so that opening it recovers.
    program = """
    store = cp.open(sys.argv[1], segment_bytes=4096)
    for n in range(60):
        store.append([event("more " * 30)])
    store.set_cursor("reader", 60)
    os._exit(0)
    """
    child.run(program, tmp_path / "copy")
    cp.open(tmp_path / "copy").close()
    assert contents(tmp_path / "store") == ours
    shutil.rmtree(tmp_path / "copy")
    with open_on_disk(segment_bytes=SMALL_SEGMENT) as store:
        store.backup(tmp_path / "copy", copy=copy)
    assert contents(tmp_path / "copy").keys() == theirs.keys()
    theirs = contents(tmp_path / "copy")
    child.run(program, tmp_path / "store")
    with open_on_disk() as store:
        assert store.head() == len(events) + 60
    assert contents(tmp_path / "copy") == theirs
    assert_backs_up(tmp_path / "copy", events)


def test_backups_beside_appends_of_several_processes_are_whole(open_on_disk: Opener, tmp_path: Path) -> None:
    program = """
    store = cp.open(sys.argv[1], segment_bytes=4096)
    say("open")
    sys.stdin.readline()
    name = 0
    while True:
        last = store.append([event(f"{sys.argv[2]}.{name}.{n}") for n in range(name % 3 + 1)])
        say(f"{sys.argv[2]}.{name}", name % 3 + 1, last)
        name += 1
    """
    store = open_on_disk(segment_bytes=SMALL_SEGMENT)
    made = []
    with child.running(program, store.path, "a") as a, child.running(program, store.path, "b") as b:
        members.start_together([a, b])
        threads = [
            threading.Thread(
                target=lambda n=n: made.append(store.backup(tmp_path / f"copy {n}", verify=n > 1))
            )
            for n in range(4)
        ]
        for n in range(tries(10, 1000)):
            before = store.head()
            copy = tmp_path / f"copy {n + 10}"
            assert store.backup(copy, copy=n % 2 == 0).head >= before
            with cp.open(copy, segment_bytes=SMALL_SEGMENT) as opened:
                members.check_log(opened, [])
                assert opened.verify()
            shutil.rmtree(copy)
            if n == 5:
                for thread in threads:
                    thread.start()
        for thread in threads:
            thread.join()
        told = child.kill(a) + child.kill(b)
    assert len(made) == 4
    for backup in made:
        with cp.open(backup.path, segment_bytes=SMALL_SEGMENT) as opened:
            log = members.check_log(opened, [line for line in told if int(line.split()[-1]) <= backup.head])
            assert len(log) == backup.head


KILLED = """
import signal
for line in sys.stdin:
    n = int(line)
    if os.fork() == 0:
        store = cp.open(sys.argv[1], segment_bytes=4096)
        say("begins", n, os.getpid(), store.head())
        made = store.backup(f"{sys.argv[2]}/{n}", copy=n % 3 == 0, verify=n % 2 == 0)
        say("made", n, made.head, 0)
        signal.pause()
"""


def test_a_backup_whose_process_is_killed_is_known_and_made_by_trying_again(
    open_on_disk: Opener, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """F4. One killed at its first steps leaves nothing at its path."""
    store = open_on_disk(segment_bytes=SMALL_SEGMENT)
    events = fill(store, 100)
    chance, outcomes = random.Random(SEED), {"nothing": 0, "unfinished": 0, "whole": 0}
    backups = tmp_path / "backups"
    backups.mkdir()
    with child.running(KILLED, store.path, backups) as parent:
        for n in itertools.count():
            if n >= tries(20, 4000) and outcomes["unfinished"]:
                break
            path = backups / str(n)
            members.tell(parent, n)
            # Whoever had made the one before may have come to say so.
            while (said := child.line(parent).split())[0] == "made":
                assert int(said[1]) == n - 1
            what, _, pid, _ = said
            assert what == "begins"
            while n % 2 and not path.exists():
                pass
            threading.Event().wait(chance.random() * chance.choice([0, 0.004, 0.016]))
            os.kill(int(pid), signal.SIGKILL)
            outcome = outcome_at(path, events)
            outcomes[outcome] += 1
            while (again := backup_again(store, path, outcome)) is None:
                outcome = outcome_at(path, events)  # It was not quite dead.
            if again:
                assert_backs_up(path, events)
            for left in backups.glob(".counterpoint-*"):
                if (left / "unfinished").exists():
                    assert_unfinished(left)
                shutil.rmtree(left)
            shutil.rmtree(path)
    with capsys.disabled():
        print(f"\nbackups killed: {outcomes}")


def outcome_at(path: Path, events: list[Stored]) -> str:
    if not path.exists():
        return "nothing"
    if (path / "unfinished").exists():
        assert_unfinished(path)
        return "unfinished"
    with cp.open(path) as copy:
        assert log_of(copy) == events
        assert copy.verify()
    return "whole"


def backup_again(store: cp.EmbeddedStore, path: Path, outcome: str) -> bool | None:
    """Whether a backup to the same path was made; None if somebody is still at it."""
    try:
        store.backup(path, verify=True)
    except FileExistsError:
        assert outcome == "whole"
        return False
    except cp.StoreLocked:
        return None
    return True


def test_a_backup_that_is_interrupted_is_known_to_be_unfinished(tmp_path: Path) -> None:
    """As by Ctrl-C."""

    def interrupt(number: int, frame: object) -> None:
        raise InterruptedError

    with cp.open("memory:", durability="os") as store:
        for _ in range(2):
            store.append([cp.RawEvent("A", bytes(1 << 20)) for _ in range(16)])
        before = signal.signal(signal.SIGALRM, interrupt)
        try:
            while not (tmp_path / "copy").exists():  # The signal may come before the backup begins.
                signal.setitimer(signal.ITIMER_REAL, 0.003)
                with pytest.raises(InterruptedError):
                    store.backup(tmp_path / "copy", verify=True)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        assert_unfinished(tmp_path / "copy")
        assert [file.name for file in (tmp_path / "copy").iterdir()] == ["unfinished"], "no room is kept"
        assert store.backup(tmp_path / "copy").head == 32
    with cp.open(tmp_path / "copy") as copy:
        assert copy.head() == 32


def test_a_full_disk_is_a_clear_error_and_harms_nothing(open_on_disk: Opener, tmp_path: Path) -> None:
    """F5, here a limit for files, which writes meet in the same way."""
    with open_on_disk() as store:
        events = fill(store)
    program = """
    import errno, resource
    store = cp.open(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
    try:
        store.backup(sys.argv[2], copy=True)
    except cp.StorageError as error:
        assert error.errno == errno.EFBIG, error
        assert "copy of 00000000000000000001.log" in str(error), error
    else:
        say("no error")
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
    store.read().head
    os._exit(0)
    """
    assert child.run(program, tmp_path / "store", tmp_path / "copy") == []
    assert_unfinished(tmp_path / "copy")
    with open_on_disk() as store:
        assert store.backup(tmp_path / "copy").head == len(events)
    assert_backs_up(tmp_path / "copy", events)


def test_where_no_backup_can_be_is_an_error_that_says_why(open_on_disk: Opener, tmp_path: Path) -> None:
    """F12."""
    store, other = open_on_disk(), open_on_disk("other")
    fill(store, 3)
    (tmp_path / "file").write_bytes(b"precious")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "notes.txt").write_text("precious")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    (tmp_path / "way in").symlink_to(tmp_path / "store")
    refused: list[tuple[str, type[Exception], str]] = [
        ("file", NotADirectoryError, "file"),
        ("file/below", NotADirectoryError, "file"),
        ("folder", FileExistsError, r"not empty, it has notes\.txt"),
        ("store", ValueError, "inside the store"),
        ("store/backup/today", ValueError, "inside the store"),
        ("way in/today", ValueError, "inside the store"),
        (".", FileExistsError, "not empty"),
        ("other", cp.StoreLocked, "in use"),
        ("link", FileNotFoundError, "link"),
        ("a" * 300, OSError, "too long"),
        ("nul\x00inside", ValueError, "path"),
    ]
    before = contents(tmp_path / "store")
    for path, error, text in refused:
        with pytest.raises(error, match=text):
            store.backup(tmp_path / path)
    assert contents(tmp_path / "store") == before
    assert not list((tmp_path / "store").glob("unfinished"))
    assert (tmp_path / "folder" / "notes.txt").read_text() == "precious"
    assert other.append([Draft("A").raw()]) == 1
    with pytest.raises(ValueError, match="empty path"):
        store.backup("")
    with pytest.raises(ValueError, match="directory"):
        store.backup("memory:")
    store.close()
    with pytest.raises(cp.StoreClosed):
        store.backup(tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


@pytest.mark.parametrize("path", [None, 1, b"bytes", ["a"], object()])
def test_the_path_of_a_backup_is_a_str_or_path_like(store: cp.EmbeddedStore, path: Any) -> None:
    with pytest.raises(TypeError):
        store.backup(path)


def test_a_backup_without_permission_is_a_permission_error(open_on_disk: Opener, tmp_path: Path) -> None:
    store = open_on_disk()
    fill(store, 3)
    (tmp_path / "locked").mkdir()
    with powerless(tmp_path / "locked"):
        for path in ("locked", "locked/copy"):
            with pytest.raises(PermissionError):
                store.backup(tmp_path / path)
    assert list((tmp_path / "locked").iterdir()) == []
    assert store.backup(tmp_path / "locked").head == store.head()


def test_parents_are_made_and_an_empty_directory_is_taken(open_on_disk: Opener, tmp_path: Path) -> None:
    store = open_on_disk(segment_bytes=SMALL_SEGMENT)
    events = fill(store)
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "some" / "where" / "copy", tmp_path / "empty"):
        store.backup(path)
        assert_backs_up(path, events)
        assert [file.name for file in path.parent.iterdir() if file.name.startswith(".")] == []
    with pytest.raises(FileExistsError):
        store.backup(tmp_path / "empty")


def test_a_backup_on_another_file_system_is_copied(open_on_disk: Opener, tmp_path: Path) -> None:
    store = open_on_disk(segment_bytes=SMALL_SEGMENT)
    events = fill(store)
    shared = Path("/dev/shm")
    if not os.access(shared, os.W_OK) or shared.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no other file system at /dev/shm that can be written to")
    with tempfile.TemporaryDirectory(dir=shared) as directory:
        made = store.backup(Path(directory) / "copy", verify=True)
        assert (made.cloned_bytes, made.linked_bytes) == (0, 0)
        assert_backs_up(Path(directory) / "copy", events)


@contextmanager
def file_system_that_clones(home: Path) -> Iterator[Path]:
    """An XFS in a file, or no test."""
    if os.geteuid() != 0 or not shutil.which("mkfs.xfs"):
        pytest.skip("mounting a file system that clones takes root and mkfs.xfs")
    image, mounted = home / "image", home / "mounted"
    mounted.mkdir()
    with image.open("wb") as file:
        file.truncate(320 << 20)
    for command in (["mkfs.xfs", "-q", image], ["mount", "-o", "loop", image, mounted]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"no file system that clones could be mounted: {done.stderr}")
    try:
        yield mounted
    finally:
        subprocess.run(["umount", mounted], check=True)


def test_a_file_system_that_clones_gives_clones(tmp_path: Path) -> None:
    with file_system_that_clones(tmp_path) as mounted:
        with cp.open(mounted / "store", segment_bytes=SMALL_SEGMENT) as store:
            events = fill(store)
            made = store.backup(mounted / "copy", verify=True)
            assert (made.cloned_bytes > 0, made.linked_bytes) == (True, 0)
            assert {file.stat().st_nlink for file in (mounted / "copy").iterdir()} == {1}
            assert store.backup(mounted / "real", copy=True).cloned_bytes == 0
        first = mounted / "store" / "00000000000000000001.log"
        first.write_bytes(bytes(first.stat().st_size))
        assert_backs_up(mounted / "copy", events)


def test_a_damaged_store_gives_no_backup_that_was_verified(open_on_disk: Opener, tmp_path: Path) -> None:
    store = open_on_disk(segment_bytes=SMALL_SEGMENT)
    fill(store)
    first = tmp_path / "store" / "00000000000000000001.log"
    damaged = bytearray(first.read_bytes())
    damaged[300] ^= 1
    with first.open("r+b") as file:
        file.write(damaged)
    for options in ({"verify": True}, {"copy": True}):
        with pytest.raises(cp.CorruptionError, match=r"00000000000000000001\.log") as refused:
            store.backup(tmp_path / "copy", **options)
        assert refused.value.file == first.name
        assert refused.value.offset > 0
        assert_unfinished(tmp_path / "copy")
    assert store.append([Draft("A").raw()]) == store.head(), "the store goes on"


def test_a_poisoned_store_can_be_backed_up(open_on_disk: Opener, tmp_path: Path) -> None:
    """When it is needed most. All that was acknowledged is there."""
    program = """
    import resource
    store = cp.open(sys.argv[1])
    for n in range(5):
        store.append([event(str(n))])
    resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, 1 << 30))
    try:
        while True:
            store.append([event("x" * 300_000)])
    except cp.StorageError:
        head = store.head()
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 30, 1 << 30))
    try:
        store.append([event("x")])
    except cp.PoisonedError:
        say(head, store.backup(sys.argv[2], verify=True).head)
    os._exit(0)
    """
    ((head, backed_up),) = (line.split() for line in child.run(program, tmp_path / "s", tmp_path / "copy"))
    assert int(head) == int(backed_up) >= 5
    with cp.open(tmp_path / "copy") as copy:
        assert copy.head() == int(head)


def test_a_result_is_a_value(store: cp.EmbeddedStore, tmp_path: Path) -> None:
    fill(store, 3)
    made = store.backup(tmp_path / "copy")
    assert made == cp.Backup(made.path, 6, made.segments, 0, made.copied_bytes, 0, 0)
    with pytest.raises(AttributeError):
        made.head = 5  # type: ignore[misc]
