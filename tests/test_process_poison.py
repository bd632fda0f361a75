"""A failed write in one process stops the appends of all. I9."""

from contextlib import ExitStack
from pathlib import Path

import counterpoint as cp
import pytest

from tests import child, members
from tests.budget import tries
from tests.model import Draft
from tests.opener import SMALL_SEGMENT, Opener

pytestmark = pytest.mark.timeout(tries(120, 0))

FAILS = """
    import resource, signal
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    store = cp.open(sys.argv[1], segment_bytes=4096)
    say("open")
    sys.stdin.readline()
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
    try:
        say(store.append([event("x" * 10_000)]))
    except cp.StorageError as error:
        say(type(error).__name__, error.errno)
    try:
        say(store.append([event("y")]))
    except cp.PoisonedError as error:
        say("PoisonedError")
    say(store.head(), [e.data.decode() for e in store.read()])
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    sys.stdin.readline()
    store.close()
"""

OTHER = """
    store = cp.open(sys.argv[1], segment_bytes=4096)
    say("open")
    def append():
        try:
            while True:
                last.append(store.append([event("z")]))
        except cp.StorageError as error:
            say(type(error).__name__, "File too large" in str(error))
    last = [0]
    append()
    try:
        store.append([event("z")])
    except cp.PoisonedError as error:
        say("still", "File too large" in str(error))
    say(last[-1], store.head() >= last[-1])
    for line in sys.stdin:
        break
    store.close()
"""


def test_a_failed_write_in_one_process_stops_the_appends_of_all_until_all_have_closed(
    open_on_disk: Opener, tmp_path: Path
) -> None:
    """The cause is named everywhere. Reads go on, and nothing acknowledged is lost."""
    with ExitStack() as stack:
        others = [stack.enter_context(child.running(OTHER, tmp_path / "store")) for _ in range(3)]
        assert [child.line(other) for other in others] == ["open"] * 3
        failing = stack.enter_context(child.running(FAILS, tmp_path / "store"))
        store = open_on_disk(segment_bytes=SMALL_SEGMENT)
        members.start_together([failing])
        assert child.line(failing) == "StorageError 27"
        assert child.line(failing) == "PoisonedError"
        for other in others:
            assert child.line(other) == "PoisonedError True"
            assert child.line(other) == "still True"
        acknowledged = [child.line(other).split() for other in others]
        assert [complete for _, complete in acknowledged] == ["True"] * 3
        with pytest.raises(cp.PoisonedError, match="File too large"):
            store.append([Draft("A").raw()])
        joined = open_on_disk(segment_bytes=SMALL_SEGMENT)
        with pytest.raises(cp.PoisonedError, match="File too large"):
            joined.append([Draft("A").raw()])
        assert {event.data for event in joined.read()} == {b"z"}
        for process in (failing, *others):
            members.tell(process, "close")
            assert process.wait(child.PATIENCE) == 0
        store.close()
        joined.close()
    with open_on_disk(segment_bytes=SMALL_SEGMENT) as reopened:
        head = reopened.head()
        assert head >= max(int(last) for last, _ in acknowledged)
        assert [event.position for event in reopened.read()] == list(range(1, head + 1))
        assert reopened.append([Draft("A").raw()]) == head + 1


def test_a_cursor_that_cannot_be_written_stops_nobody(open_on_disk: Opener, tmp_path: Path) -> None:
    """Cursors are not the log: the failure is the caller's alone."""
    program = """
        import resource, signal
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        store = cp.open(sys.argv[1])
        resource.setrlimit(resource.RLIMIT_FSIZE, (8, resource.RLIM_INFINITY))
        try:
            store.set_cursor("c", 1)
        except cp.StorageError as error:
            say(type(error).__name__, error.errno, store.get_cursor("c"))
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        say(store.append([event("x")]), store.set_cursor("c", 2, expected=0))
    """
    store = open_on_disk()
    assert store.append([Draft("A").raw()]) == 1
    assert child.run(program, tmp_path / "store") == ["StorageError 27 0", "2 True"]
    assert store.append([Draft("A").raw()]) == 3
    assert store.get_cursor("c") == 2
