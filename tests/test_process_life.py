"""The life of a process around an open store: imports, signals, exits. F11; forks are in `test_fork.py`."""

import os
import signal
from pathlib import Path

import counterpoint as cp
import pytest

from tests import child
from tests.budget import tries
from tests.opener import SMALL_SEGMENT, Opener

pytestmark = pytest.mark.timeout(tries(120, 0))


def test_importing_leaves_signals_alone_and_works_in_any_thread() -> None:
    """A peer took over Ctrl-C when imported, and could not be imported outside the main thread."""
    program = """
        import signal
        handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE)]
        say(handlers == [signal.default_int_handler, signal.SIG_DFL, signal.SIG_IGN])
    """
    assert child.run(program) == ["True"]
    in_thread = """
        import threading, os
        def work():
            import counterpoint as cp
            with cp.open("memory:") as store:
                os.write(1, f"{store.append([cp.RawEvent('A', b'')])}".encode())
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    """
    assert child.run(in_thread, prelude="") == ["1"]


@pytest.mark.parametrize(
    "waiting",
    [
        "store.wait(5)",
        "next(store.subscribe())",
        "[store.append([event('x')]) for _ in iter(int, 1)]",
        "asyncio.run(follow())",
        "asyncio.run(append())",
    ],
)
def test_ctrl_c_ends_what_waits(waiting: str) -> None:
    program = f"""
        import asyncio
        store = cp.open("memory:")

        async def follow():
            async for event in store.subscribe():
                say("nothing was appended")

        async def append():
            while True:
                await store.append_async([event("x")])

        try:
            say("ready")
            {waiting}
        except KeyboardInterrupt:
            say("interrupted", store.head() >= 0)
            store.close()
    """
    with child.running(program) as process:
        assert child.line(process) == "ready"
        process.send_signal(signal.SIGINT)
        assert child.line(process) == "interrupted True"
        assert process.wait(60) == 0


def test_ctrl_c_in_an_append_on_disk_keeps_what_was_acknowledged(
    open_on_disk: Opener, tmp_path: Path
) -> None:
    program = """
        store, last = cp.open(sys.argv[1]), 0
        try:
            say("ready")
            while True:
                last = store.append([event("x")])
        except KeyboardInterrupt:
            say(last)
    """
    with child.running(program, tmp_path / "store") as process:
        assert child.line(process) == "ready"
        process.send_signal(signal.SIGINT)
        last = int(child.line(process))
        assert process.wait(60) == 0
    assert open_on_disk().head() in (last, last + 1)


def test_the_interpreter_exits_quietly_with_everything_open(open_on_disk: Opener, tmp_path: Path) -> None:
    program = """
        store = cp.open(sys.argv[1])
        store.append([event("x" * 100)] * 5000)
        events, subscription = iter(store.read()), store.subscribe()
        next(events), next(subscription)
        for waiting in (lambda: store.wait(10**9), lambda: next(store.subscribe(after=10**9))):
            threading.Thread(target=waiting, daemon=True).start()
        say("done")
    """
    for _ in range(tries(3, 50)):
        assert child.run(program, tmp_path / "store") == ["done"]
    assert open_on_disk().head() == 5000 * tries(3, 50)


@pytest.mark.parametrize("end", ["pass", "sys.exit()", "append_in_a_thread()", "os._exit(0)"])
def test_the_interpreter_exits_quietly_with_appends_under_way(
    open_on_disk: Opener, tmp_path: Path, end: str
) -> None:
    """The thread that answers has nothing to do with the interpreter, so its end does not matter to it."""
    program = f"""
        import asyncio
        store = cp.open(sys.argv[1])

        def append_in_a_thread():
            threading.Thread(target=lambda: asyncio.run(append()), daemon=True).start()
            time.sleep(0.01)

        async def append():
            kept.extend(store.append_async([event("x")]) for _ in range(1000))
            await kept[0]

        kept = []
        loop = asyncio.new_event_loop()
        loop.run_until_complete(append())
        say("done")
        loop.close()
        {end}
    """
    for _ in range(tries(2, 50)):
        assert child.run(program, tmp_path / "store") == ["done"]
    assert open_on_disk().head() > 0


def test_a_store_that_was_never_closed_is_free_when_nobody_refers_to_it(
    open_on_disk: Opener, tmp_path: Path
) -> None:
    program = """
        import gc
        def use():
            return cp.open(sys.argv[1]).append([event("x")])
        for _ in range(3):
            say(use())
            gc.collect()
    """
    assert child.run(program, tmp_path / "store") == ["1", "2", "3"]
    assert open_on_disk().head() == 3


def test_a_closed_store_holds_no_file_open(open_on_disk: Opener, tmp_path: Path) -> None:
    """F13: also while somebody still refers to the store."""

    def held() -> list[str]:
        fds = [fd for fd in Path("/proc/self/fd").iterdir() if fd.is_symlink()]
        return [str(fd.readlink()) for fd in fds if fd.is_symlink() and str(tmp_path) in str(fd.readlink())]

    store = open_on_disk(segment_bytes=SMALL_SEGMENT)
    for _ in range(20):
        store.append([cp.RawEvent("A", bytes(3000))])
    assert held() != []
    store.close()
    assert held() == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_child_forked_in_the_midst_of_appends_has_a_loop_and_a_store_of_its_own(
    open_on_disk: Opener, tmp_path: Path
) -> None:
    program = """
        import asyncio, warnings
        warnings.simplefilter("ignore")

        async def append(store, count):
            return await asyncio.gather(*[store.append_async([event("x")]) for _ in range(count)])

        async def main():
            store = cp.open(sys.argv[1] + "/parent")
            appends = [store.append_async([event("x")]) for _ in range(300)]
            pid = os.fork()
            if pid == 0:
                # asyncio knows that the loop is the parent's.
                with cp.open(sys.argv[1] + "/child") as own:
                    asyncio.new_event_loop().run_until_complete(append(own, 300))
                    say("child", own.head())
                os._exit(0)
            say("parent", len(set(await asyncio.gather(*appends))))
            say("status", os.waitpid(pid, 0)[1])

        asyncio.run(main())
    """
    for n in range(tries(3, 100)):
        (tmp_path / str(n)).mkdir()
        said = child.run(program, tmp_path / str(n))
        assert sorted(said) == ["child 300", "parent 300", "status 0"]


APPENDS = """
    store = cp.open(sys.argv[1], segment_bytes=4096)
    say("open")
    while True:
        store.append([event("x")])
"""


@pytest.mark.parametrize("waiting", ["store.wait(10**9)", "next(store.subscribe(after=10**9))"])
def test_ctrl_c_ends_what_waits_while_other_processes_append(
    open_on_disk: Opener, tmp_path: Path, waiting: str
) -> None:
    program = f"""
        store = cp.open(sys.argv[1], segment_bytes=4096)
        try:
            say("open")
            {waiting}
        except KeyboardInterrupt:
            say("interrupted", store.append([event("y")]) > 0)
            store.close()
    """
    with (
        child.running(APPENDS, tmp_path / "store") as other,
        child.running(program, tmp_path / "store") as process,
    ):
        assert [child.line(other), child.line(process)] == ["open", "open"]
        store = open_on_disk()
        process.send_signal(signal.SIGINT)
        assert child.line(process) == "interrupted True"
        assert process.wait(child.PATIENCE) == 0
        assert store.wait(head := store.head(), timeout=child.PATIENCE) > head, "the other one stalls"


def test_a_process_that_exits_with_the_store_open_disturbs_no_other(
    open_on_disk: Opener, tmp_path: Path
) -> None:
    """Quietly, whatever its threads are at, and however it leaves."""
    program = """
        store = cp.open(sys.argv[1], segment_bytes=4096)
        iter(store.read()), store.subscribe()
        def append():
            while True:
                store.append([event("y")])
        for waiting in (lambda: store.wait(10**9), lambda: next(store.subscribe(after=10**9)), append):
            threading.Thread(target=waiting, daemon=True).start()
        say(store.append([event("z")]) > 0)
        if sys.argv[2] == "_exit":
            os._exit(0)
    """
    with child.running(APPENDS, tmp_path / "store") as other:
        assert child.line(other) == "open"
        store = open_on_disk()
        for turn in range(tries(6, 200)):
            assert child.run(program, tmp_path / "store", ["exit", "_exit"][turn % 2]) == ["True"]
            assert store.wait(head := store.head(), timeout=child.PATIENCE) > head, "the other one stalls"
    assert len(list(store.read(cp.Query.all()))) == store.head()


def test_a_process_has_room_for_descriptors_once_a_store_is_open(tmp_path: Path) -> None:
    """Its table grew when a segment was opened with the append lock held, which took 20 ms if it had
    threads."""
    program = """
        from pathlib import Path
        with cp.open(sys.argv[1]):
            say(*[line for line in Path("/proc/self/status").read_text().splitlines() if "FDSize" in line])
    """
    [said] = child.run(program, tmp_path / "store")
    assert int(said.split()[-1]) >= 512
