"""Forking with a store open: the child is refused, opens its own, and costs the parent nothing. F11."""

import os
import signal
from pathlib import Path

import counterpoint as cp
import pytest

from tests import child
from tests.budget import tries
from tests.model import Draft
from tests.opener import Opener

pytestmark = [
    pytest.mark.timeout(tries(120, 0)),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork"),
]

PRELUDE = (
    child.PRELUDE
    + """
import warnings
warnings.simplefilter("ignore")

def forked(work):
    "Runs work in a forked child, which must come to its end."
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except BaseException as error:
            say(type(error).__name__, error)
            os._exit(1)
        os._exit(0)
    return pid

def ended(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
"""
)


def test_a_forked_child_is_refused_and_its_parent_goes_on(open_on_disk: Opener, tmp_path: Path) -> None:
    """In a peer, use after a fork hung."""
    program = """
        store = cp.open(sys.argv[1])
        store.append([event("x")])
        read, subscription = store.read(), store.subscribe()
        begun = iter(read)
        uses = [
            lambda: store.append([event("y")]),
            lambda: store.head(),
            lambda: store.read(),
            lambda: list(read),
            lambda: next(begun),
            lambda: store.wait(0),
            lambda: store.subscribe(),
            lambda: next(subscription),
            lambda: store.get_cursor("c"),
            lambda: store.set_cursor("c", 1),
            lambda: store.stats(),
            lambda: store.verify(),
            lambda: store.why(1),
        ]

        def refused(use):
            try:
                use()
            except cp.StorageError as error:
                assert "open stores after forking" in str(error)
                say("refused")

        for use in uses:
            assert ended(forked(lambda: refused(use))) == 0
        say("parent", store.append([event("z")]), next(begun).position, next(subscription).position)
    """
    assert child.run(program, tmp_path / "store", prelude=PRELUDE) == ["refused"] * 13 + ["parent 2 1 1"]
    assert [e.data for e in open_on_disk().read()] == [b"x", b"z"]


def test_a_forked_child_opens_a_store_of_its_own(open_on_disk: Opener, tmp_path: Path) -> None:
    """Also while it still has its parent's, and drops or closes that."""
    program = """
        store = cp.open(sys.argv[1])
        store.append([event("parent")])

        def work():
            global store
            inherited, store = store, cp.open(sys.argv[1])
            with store:
                store.append([event("child")], cp.AppendCondition(cp.Query.all(), after=store.head()))
                inherited.close()
                del inherited
                store.append([event("child again")])

        for turn in range(3):
            assert ended(forked(work)) == 0
            assert store.append([event("parent")]) == 3 * turn + 4
    """
    child.run(program, tmp_path / "store", prelude=PRELUDE)
    data = [event.data for event in open_on_disk().read()]
    assert data == [b"parent", *[b"child", b"child again", b"parent"] * 3]


def test_children_take_no_lock_from_their_parent_and_keep_none_for_it(
    open_on_disk: Opener, tmp_path: Path
) -> None:
    """Neither a child that ends, however it does, nor one that lives on when its parent was killed."""
    program = """
        store = cp.open(sys.argv[1], exclusive=True)
        store.append([event("x")])
        assert ended(forked(lambda: None)) == 0
        if os.fork() == 0:
            sys.exit()
        os.wait()
        if os.fork() == 0:
            store.close()
            sys.exit()
        os.wait()
        # A child gives up its share of the locks as soon as it runs.
        runs, says = os.pipe()
        children = [forked(lambda: (os.write(says, b"x"), time.sleep(600))) for _ in range(3)]
        for _ in children:
            assert os.read(runs, 1) == b"x"
        say(*children)
        sys.stdin.read()
    """
    with child.running(program, tmp_path / "store", prelude=PRELUDE) as parent:
        children = list(map(int, child.line(parent).split()))
        try:
            with pytest.raises(cp.StoreLocked) as locked:
                open_on_disk()
            assert locked.value.pid == parent.pid
            parent.kill()
            parent.wait(child.PATIENCE)
            store = open_on_disk(exclusive=True)
            assert store.append([Draft("A").raw()]) == 2
        finally:
            for pid in children:
                os.kill(pid, signal.SIGKILL)


def test_a_parent_that_was_killed_amid_appends_leaves_no_lock_to_its_children(
    open_on_disk: Opener, tmp_path: Path
) -> None:
    """The children are forked at any moment of an append: with the append lock held, with the sync lock
    held."""
    program = """
        store = cp.open(sys.argv[1])

        def append():
            while True:
                store.append([event("x")])

        for _ in range(3):
            threading.Thread(target=append, daemon=True).start()
        store.wait(5)
        # A child gives up its share of the locks as soon as it runs.
        runs, says = os.pipe()
        children = [forked(lambda: (os.write(says, b"x"), time.sleep(600))) for _ in range(10)]
        for _ in children:
            assert os.read(runs, 1) == b"x"
        say(*children)
        sys.stdin.read()
    """
    for _ in range(tries(3, 100)):
        with child.running(program, tmp_path / "store", prelude=PRELUDE) as parent:
            children = list(map(int, child.line(parent).split()))
            try:
                other = open_on_disk()
                head = other.append([Draft("A").raw()])
                parent.kill()
                parent.wait(child.PATIENCE)
                assert other.append([Draft("A").raw()]) > head
                other.close()
                open_on_disk(exclusive=True).close()
            finally:
                for pid in children:
                    os.kill(pid, signal.SIGKILL)


def test_a_fork_while_threads_append_and_wait_neither_hangs_nor_harms(
    open_on_disk: Opener, tmp_path: Path
) -> None:
    program = """
        store = cp.open(sys.argv[1], segment_bytes=4096)
        over, told = threading.Event(), []

        def append(name):
            while not over.is_set():
                told.append(store.append([event(f"{name}", "parent")]))

        def work(turn):
            try:
                store.append([event("never")])
            except cp.StorageError:
                pass
            with cp.open(sys.argv[1], segment_bytes=4096) as own:
                own.append([event(f"{turn}", "child")])

        threads = [threading.Thread(target=append, args=(name,)) for name in range(3)]
        threads.append(threading.Thread(target=lambda: store.wait(10**9, timeout=2)))
        for thread in threads:
            thread.start()
        store.wait(10)
        for turn in range(int(sys.argv[2])):
            assert ended(forked(lambda: work(turn))) == 0
        over.set()
        for thread in threads:
            thread.join()
        assert len(set(told)) == len(told)
        say(len(told))
    """
    forks = tries(100, 1000)
    [told] = child.run(program, tmp_path / "store", forks, prelude=PRELUDE)
    with open_on_disk() as store:
        of_children = [e.data.decode() for e in store.read(cp.Query().add_item(tags=["child"]))]
        assert of_children == [str(turn) for turn in range(forks)]
        assert store.head() == int(told) + forks


def test_a_program_that_was_started_with_a_store_open_keeps_no_lock(
    open_on_disk: Opener, tmp_path: Path
) -> None:
    """No descriptor of a store gets into another program, even one that takes all that are left open."""
    program = """
        import subprocess
        store = cp.open(sys.argv[1], exclusive=True)
        store.append([event("x")])
        program = subprocess.Popen(["sleep", "600"], close_fds=False)
        say(program.pid)
        sys.stdin.read()
    """
    with child.running(program, tmp_path / "store") as parent:
        pid = int(child.line(parent))
        try:
            held = [str(fd.readlink()) for fd in Path(f"/proc/{pid}/fd").iterdir()]
            assert not [file for file in held if str(tmp_path) in file]
            parent.kill()
            parent.wait(child.PATIENCE)
            assert open_on_disk(exclusive=True).head() == 1
        finally:
            os.kill(pid, signal.SIGKILL)
