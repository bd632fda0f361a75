"""Odd places and odd moments: what somebody else does to the files of a store that is open. F12.

Each is tried in a process of its own, which has to come to its end with a clear error or none: it must not
hang, be ended by a signal, or lose what it said was stored without a word. Paths that cannot be used are in
`test_opening.py`, read-only file systems in `test_read_only_places.py`.
"""

import os
import shutil
import subprocess
from contextlib import ExitStack
from pathlib import Path

import counterpoint as cp
import pytest

from tests import child, members
from tests.budget import tries
from tests.model import Draft, log_of
from tests.opener import SMALL_SEGMENT, Opener

pytestmark = pytest.mark.timeout(tries(120, 0))

LOCKS = ["members.lock", "append.lock", "sync.lock", "prepare.lock", "index.lock", "cursors.lock"]

APPENDS = """
    store = cp.open(sys.argv[1], segment_bytes=4096)
    waiting = threading.Thread(target=lambda: wait(store), daemon=True)

    def wait(store):
        try:
            store.wait(10**9)
        except cp.Error:
            pass

    waiting.start()
    said, seen = 0, 0
    say("open", store.append([event("x" * 100)]))
    sys.stdin.readline()
    try:
        for _ in range(int(sys.argv[2])):
            said = store.append([event("x" * 100)])
            assert store.head() >= said > seen
            seen = store.head()
            assert len(list(store.read(after=said - 1))) >= 1
        say("appended", said)
    except (cp.Error, OSError) as error:
        say(type(error).__name__, str(error).replace("\\n", " "))
    uses = [store.head, store.stats, lambda: store.append([event("y")]), lambda: list(store.read())]
    for use in uses:
        try:
            use()
        except (cp.Error, OSError) as error:
            assert str(error)
    try:
        store.close()
        say("closed")
    except (cp.Error, OSError) as error:
        say("closed", type(error).__name__)
    waiting.join(30)
    say("over", waiting.is_alive())
"""


def told(process: "subprocess.Popen[str]") -> list[str]:
    """What a program says to its end, which must be one of its own."""
    out, _ = process.communicate(timeout=child.PATIENCE)
    assert process.returncode == 0, (process.returncode, out)
    return out.splitlines()


@pytest.mark.parametrize("name", ["marks", *LOCKS])
def test_who_has_the_store_open_goes_on_when_a_lock_or_the_marks_are_deleted(
    open_on_disk: Opener, tmp_path: Path, name: str
) -> None:
    """They are not needed under their names by those who have them open, and made again by the next."""
    with child.running(APPENDS, tmp_path / "store", 50) as process:
        assert child.line(process) == "open 1"
        (tmp_path / "store" / name).unlink()
        members.tell(process, "go")
        assert told(process) == ["appended 51", "closed", "over False"]
    assert open_on_disk().head() >= 51


@pytest.mark.parametrize("name", ["marks", *LOCKS])
def test_a_closed_store_opens_without_its_locks_and_marks(
    open_on_disk: Opener, tmp_path: Path, name: str
) -> None:
    with open_on_disk(segment_bytes=SMALL_SEGMENT) as store:
        store.append([Draft("A", data=bytes(500)).raw()] * 20)
        log = log_of(store)
    (tmp_path / "store" / name).unlink()
    with open_on_disk(read_only=True) as reader:
        assert log_of(reader) == log
    with open_on_disk() as store:
        assert log_of(store) == log
        assert store.append([Draft("A").raw()]) == 21


@pytest.mark.parametrize("size", [0, 128])
def test_marks_that_are_cut_short_under_a_store_are_an_error_and_lose_nothing(
    open_on_disk: Opener, tmp_path: Path, size: int
) -> None:
    """It was a bus error, or a head of 0 where the file was cut inside the page."""
    with (
        child.running(APPENDS, tmp_path / "store", 50) as process,
        child.running(APPENDS, tmp_path / "store", 50) as other,
    ):
        assert {child.line(process), child.line(other)} == {"open 1", "open 2"}
        os.truncate(tmp_path / "store" / "marks", size)
        for one in (process, other):
            members.tell(one, "go")
            said = told(one)
            assert said[0].startswith("CorruptionError marks") or "marks" in said[0], said
            assert said[-1] == "over False"
    with open_on_disk(segment_bytes=SMALL_SEGMENT) as store:
        assert store.head() >= 2
        assert store.append([Draft("A").raw()]) == store.head()


def test_marks_that_lack_only_what_nobody_uses_do_not_matter(open_on_disk: Opener, tmp_path: Path) -> None:
    with child.running(APPENDS, tmp_path / "store", 50) as process:
        assert child.line(process) == "open 1"
        os.truncate(tmp_path / "store" / "marks", 4000)
        members.tell(process, "go")
        assert told(process) == ["appended 51", "closed", "over False"]
    assert open_on_disk().head() >= 51


@pytest.mark.parametrize("content", [b"\x00" * 4096, b"\xff" * 4096, bytes(range(256)) * 16])
def test_marks_that_are_written_over_under_a_store_are_an_error_and_acknowledge_nothing(
    open_on_disk: Opener, tmp_path: Path, content: bytes
) -> None:
    """Garbage that says that everything is durable must not be believed."""
    with child.running(APPENDS, tmp_path / "store", 50) as process:
        assert child.line(process) == "open 1"
        with (tmp_path / "store" / "marks").open("r+b") as marks:
            marks.write(content)
        members.tell(process, "go")
        said = told(process)
        assert said[0].startswith("CorruptionError"), said
        assert said[-1] == "over False"
    with open_on_disk() as store:
        assert store.head() >= 1
        assert store.append([Draft("A").raw()]) == store.head()


def test_marks_that_are_cut_short_amid_appends_lose_nothing_that_was_acknowledged(
    open_on_disk: Opener, tmp_path: Path
) -> None:
    """At any moment of an append. It is an error and never a signal."""
    program = """
        store = cp.open(sys.argv[1], segment_bytes=4096)

        def append():
            try:
                while True:
                    say(store.append([event("x" * 100)]))
            except cp.StorageError as error:
                say(type(error).__name__)

        threads = [threading.Thread(target=append) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    """
    codes = []
    for _ in range(tries(5, 500)):
        with child.running(program, tmp_path / "store") as process:
            said = [child.line(process) for _ in range(10)]
            os.truncate(tmp_path / "store" / "marks", 0)
            said += child.rest(process)
            codes.append(process.wait(child.PATIENCE))
        errors = {word for word in said if not word.isdigit()}
        assert errors
        assert errors <= {"CorruptionError", "PoisonedError", "StorageError"}
        with open_on_disk(segment_bytes=SMALL_SEGMENT) as store:
            assert store.head() >= max(int(word) for word in said if word.isdigit())
            assert [event.position for event in store.read()] == list(range(1, store.head() + 1))
    assert set(codes) == {0}


def test_an_append_to_a_store_whose_directory_is_gone_is_an_error(tmp_path: Path) -> None:
    """It was acknowledged, and lost with the process."""
    for stop in ("fsync", "os"):
        program = f"""
            store = cp.open(sys.argv[1], durability="{stop}")
            say("open", store.append([event("x")]))
            sys.stdin.readline()
            for append in (lambda: store.append([event("y")]), lambda: store.set_cursor("c", 1)):
                try:
                    append()
                    say("acknowledged")
                except cp.StorageError as error:
                    say(type(error).__name__, error.errno)
            say(store.head(), len(list(store.read())))
            store.close()
        """
        with child.running(program, tmp_path / "store") as process:
            assert child.line(process) == "open 1"
            shutil.rmtree(tmp_path / "store")
            members.tell(process, "go")
            assert told(process) == ["StorageError 2", "StorageError 2", "1 1"]
        assert not (tmp_path / "store").exists()


def test_a_store_that_was_removed_leaves_the_one_in_its_place_alone(tmp_path: Path) -> None:
    """It made segments in the new directory, and replaced the new store's files of these names and its
    cursors."""
    with cp.open(tmp_path / "store", segment_bytes=SMALL_SEGMENT) as old:
        old.append([Draft("Old", data=bytes(1000)).raw()])
        shutil.rmtree(tmp_path / "store")
        with cp.open(tmp_path / "store", segment_bytes=SMALL_SEGMENT) as new:
            for n in range(12):
                new.append([Draft("New", (f"n:{n}",), bytes(1000)).raw()])
            assert new.set_cursor("c", 5)
            files = sorted(file.name for file in (tmp_path / "store").glob("*.log"))
            for _ in range(8):
                with pytest.raises(cp.StorageError):
                    old.append([Draft("Old", data=bytes(1000)).raw()])
            with pytest.raises(cp.StorageError):
                old.set_cursor("c", 99)
            assert [event.type for event in old.read()] == ["Old"]
            old.close()
            assert sorted(file.name for file in (tmp_path / "store").glob("*.log")) == files
            assert new.append([Draft("New").raw()]) == 13
    with cp.open(tmp_path / "store", segment_bytes=SMALL_SEGMENT) as new:
        assert [event.type for event in new.read()] == ["New"] * 13
        assert new.get_cursor("c") == 5


def test_a_store_may_be_moved_while_it_is_open(tmp_path: Path) -> None:
    with cp.open(tmp_path / "store", segment_bytes=SMALL_SEGMENT) as store:
        store.append([Draft("A", data=bytes(1000)).raw()])
        (tmp_path / "store").rename(tmp_path / "moved")
        for n in range(20):
            assert store.append([Draft("A", data=bytes(1000)).raw()]) == n + 2
        with cp.open(tmp_path / "moved", segment_bytes=SMALL_SEGMENT) as same:
            assert same.head() == 21
    assert not (tmp_path / "store").exists()
    with cp.open(tmp_path / "moved") as store:
        assert len(log_of(store)) == 21


def test_a_segment_that_is_removed_or_cut_under_a_store_is_an_error(tmp_path: Path) -> None:
    program = """
        store = cp.open(sys.argv[1], segment_bytes=4096)
        for n in range(40):
            store.append([event("x" * 500, f"n:{n}")])
        say("open", store.head())
        sys.stdin.readline()
        try:
            say(len(list(store.read())))
        except cp.StorageError as error:
            say(type(error).__name__)
        say("found", store.verify().ok)
    """
    first = tmp_path / "store" / "00000000000000000001.log"
    with child.running(program, tmp_path / "store") as process:
        assert child.line(process) == "open 40"
        os.truncate(first, 700)
        members.tell(process, "go")
        assert told(process) == ["CorruptionError", "found False"]
    with pytest.raises(cp.CorruptionError):
        cp.open(tmp_path / "store")


def test_four_processes_that_create_one_store_at_once_all_get_it(tmp_path: Path) -> None:
    """Some to write, some to read: a reader finds no store yet, or all of it."""
    write = """
        for path in sys.stdin:
            with cp.open(path.strip()) as store:
                say(store.append([event(str(os.getpid()))]))
    """
    read = """
        for path in sys.stdin:
            while True:
                try:
                    with cp.open(path.strip(), read_only=True) as store:
                        say("read", store.wait(3, timeout=60), len(list(store.read())))
                    break
                except FileNotFoundError:
                    continue
    """
    with ExitStack() as stack:
        writers = [stack.enter_context(child.running(write)) for _ in range(4)]
        readers = [stack.enter_context(child.running(read)) for _ in range(2)]
        for n in range(tries(20, 2000)):
            for process in [*readers, *writers]:
                members.tell(process, tmp_path / f"store {n}")
            assert sorted(child.line(process) for process in writers) == ["1", "2", "3", "4"]
            assert [child.line(process) for process in readers] == ["read 4 4"] * 2
            with cp.open(tmp_path / f"store {n}") as store:
                assert sorted(e.data for e in store.read()) == sorted(str(p.pid).encode() for p in writers)
            shutil.rmtree(tmp_path / f"store {n}")


CLOCK = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>

int clock_gettime(clockid_t clock, struct timespec *now) {
    int (*real)(clockid_t, struct timespec *) = dlsym(RTLD_NEXT, "clock_gettime");
    int status = real(clock, now);
    const char *hours = getenv("CLOCK_IS_AHEAD_BY_HOURS");
    if (clock == CLOCK_REALTIME && hours) now->tv_sec += atol(hours) * 3600;
    return status;
}
"""


def test_the_time_of_the_log_does_not_go_back_with_the_clock(
    open_on_disk: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock that is set forwards and back under one process, and is right for the others."""
    if shutil.which("cc") is None:
        pytest.skip("there is no C compiler to make a clock with")
    (tmp_path / "clock.c").write_text(CLOCK)
    clock = tmp_path / "clock.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", clock, tmp_path / "clock.c", "-ldl"], check=True)
    program = """
        with cp.open(sys.argv[1]) as store:
            for hours in (0, -24, 24, 23, -24):
                os.environ["CLOCK_IS_AHEAD_BY_HOURS"] = str(hours)
                say(store.append([event(f"{hours}")] * 2))
    """
    with open_on_disk() as store:
        store.append([Draft("A").raw()])
        with monkeypatch.context() as patched:
            patched.setenv("LD_PRELOAD", str(clock))
            assert child.run(program, tmp_path / "store") == ["3", "5", "7", "9", "11"]
        store.append([Draft("A").raw()])
        times = [event.recorded_at for event in store.read()]
    with open_on_disk() as store:
        store.append([Draft("A").raw()])
        times += [event.recorded_at for event in store.read(after=12)]
    assert times == sorted(times)
    hour = 3_600_000_000
    assert times[0] <= times[1] == times[3] < times[0] + hour, "a clock that is behind"
    assert times[0] + 23 * hour < times[5] == times[7] == times[-1], "the log's time, once it is ahead"
