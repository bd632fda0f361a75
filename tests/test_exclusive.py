"""`exclusive=True`: the handle is the only one, or there is none."""

import os
from contextlib import ExitStack
from pathlib import Path

import counterpoint as cp
import pytest

from tests import child
from tests.budget import tries
from tests.model import Draft
from tests.opener import Opener

pytestmark = pytest.mark.timeout(tries(120, 0))

HOLD = """
    store = cp.open(sys.argv[1], exclusive=sys.argv[2] == "True")
    say(os.getpid(), store.append([event("held")]))
    sys.stdin.read()
    store.close()
"""


@pytest.mark.parametrize(("first", "second"), [(True, False), (False, True), (True, True)])
def test_a_handle_that_wants_to_be_alone_and_another_one_exclude_each_other(
    open_on_disk: Opener, first: bool, second: bool
) -> None:
    store = open_on_disk(exclusive=first)
    store.append([Draft("A").raw()])
    for _ in range(3):
        with pytest.raises(cp.StoreLocked) as locked:
            open_on_disk(exclusive=second)
        assert locked.value.pid == (os.getpid() if first else None)
    assert store.append([Draft("A").raw()]) == 2
    store.close()
    assert open_on_disk(exclusive=second).head() == 2


@pytest.mark.parametrize(("first", "second"), [(True, False), (False, True), (True, True)])
def test_processes_exclude_each_other_in_every_order(
    open_on_disk: Opener, tmp_path: Path, first: bool, second: bool
) -> None:
    with child.running(HOLD, tmp_path / "store", first) as holder:
        assert child.line(holder) == f"{holder.pid} 1"
        for _ in range(3):
            with pytest.raises(cp.StoreLocked) as locked:
                open_on_disk(exclusive=second)
            assert isinstance(locked.value, cp.Error)
            assert locked.value.pid == (holder.pid if first else None)
            if first:
                assert str(holder.pid) in str(locked.value)
        assert holder.stdin is not None
        holder.stdin.close()
        assert holder.wait(child.PATIENCE) == 0
    assert open_on_disk(exclusive=second).append([Draft("A").raw()]) == 2


def test_who_is_refused_leaves_the_members_as_they_were(open_on_disk: Opener, tmp_path: Path) -> None:
    """A lock that is asked for in vain must not cost the one that was held, here or elsewhere."""
    with child.running(HOLD, tmp_path / "store", False) as other:
        assert child.line(other) == f"{other.pid} 1"
        stores = [open_on_disk() for _ in range(2)]
        for turn in range(10):
            with pytest.raises(cp.StoreLocked):
                open_on_disk(exclusive=True)
            stores.pop(0).close()
            stores.append(open_on_disk())
            assert stores[turn % 2].append([Draft("A").raw()]) == turn + 2
        for store in stores:
            store.close()
        with pytest.raises(cp.StoreLocked):
            open_on_disk(exclusive=True)
        child.kill(other)
    assert open_on_disk(exclusive=True).head() == 11


@pytest.mark.parametrize("second", [True, False])
def test_the_next_opening_succeeds_when_the_exclusive_holder_was_killed(
    open_on_disk: Opener, tmp_path: Path, second: bool
) -> None:
    for turn in range(tries(3, 100)):
        with child.running(HOLD, tmp_path / "store", True) as holder:
            assert child.line(holder) == f"{holder.pid} {turn + 1}"
            child.kill(holder)
            with open_on_disk(exclusive=second) as store:
                assert [event.data for event in store.read()] == [b"held"] * (turn + 1)


def test_the_pid_of_a_former_holder_is_not_told(open_on_disk: Opener, tmp_path: Path) -> None:
    """After an exclusive holder was killed, others share the store; whoever wants it alone must not be sent
    to a process that is gone."""
    with child.running(HOLD, tmp_path / "store", True) as holder:
        child.line(holder)
        child.kill(holder)
    store = open_on_disk()
    with pytest.raises(cp.StoreLocked) as locked:
        open_on_disk(exclusive=True)
    assert locked.value.pid is None
    assert store.append([Draft("A").raw()]) == 2


def test_of_many_that_want_to_be_alone_at_once_one_is_at_a_time(tmp_path: Path) -> None:
    """Each writes a name while it is alone, and finds it at the end: nobody else was in."""
    program = """
        path, turns = sys.argv[1], int(sys.argv[2])
        said, won = sys.argv[1] + ".holder", 0
        while won < turns:
            try:
                store = cp.open(path, exclusive=True)
            except cp.StoreLocked as locked:
                assert locked.pid != os.getpid()
                continue
            with store:
                with open(said, "w") as file:
                    file.write(str(os.getpid()))
                store.append([event(str(os.getpid()))])
                with open(said) as file:
                    assert file.read() == str(os.getpid()), "two at a time"
            won += 1
        say(won)
    """
    turns = tries(10, 500)
    with ExitStack() as stack:
        processes = [stack.enter_context(child.running(program, tmp_path / "store", turns)) for _ in range(3)]
        assert [child.line(process) for process in processes] == [str(turns)] * 3
    with cp.open(tmp_path / "store") as store:
        assert store.head() == 3 * turns


def test_a_store_in_memory_is_alone_anyway() -> None:
    with cp.open("memory:", exclusive=True) as one, cp.open("memory:", exclusive=True) as other:
        one.append([Draft("A").raw()])
        assert (one.head(), other.head()) == (1, 0)
