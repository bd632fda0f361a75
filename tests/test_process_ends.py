"""How a process ends, or is interrupted, with a store open to be written or only read. F11.

Each is a program of its own that has to end by itself: with status 0, nothing on its standard error, and in
time.
"""

import signal
from pathlib import Path

import counterpoint as cp
import pytest

from tests import child
from tests.budget import tries
from tests.opener import Opener

pytestmark = pytest.mark.timeout(tries(120, 0))

MODES = pytest.mark.parametrize("mode", ["", ", read_only=True"], ids=["writing", "reading"])


@pytest.fixture
def path(open_on_disk: Opener, tmp_path: Path) -> Path:
    with open_on_disk() as store:
        store.append([cp.RawEvent("A", bytes(100))] * 3000)
    return tmp_path / "store"


@MODES
@pytest.mark.parametrize(
    "waiting",
    [
        "store.wait(10**9)",
        "next(store.subscribe(after=10**9))",
        "asyncio.run(follow())",
        "[len(list(store.read())) for _ in iter(int, 1)]",
        "[store.verify() for _ in iter(int, 1)]",
    ],
)
def test_ctrl_c_ends_what_waits_or_reads_and_the_store_is_as_it_was(
    path: Path, mode: str, waiting: str
) -> None:
    program = f"""
        import asyncio
        store = cp.open(sys.argv[1]{mode})

        async def follow():
            async for event in store.subscribe(after=10**9):
                say("nothing was appended")

        try:
            say("ready")
            {waiting}
        except KeyboardInterrupt:
            say("interrupted", store.head(), next(iter(store.read())).position)
            store.close()
    """
    with child.running(program, path) as process:
        assert child.line(process) == "ready"
        process.send_signal(signal.SIGINT)
        assert child.line(process) == "interrupted 3000 1"
        assert process.wait(child.PATIENCE) == 0


ENDS = {
    "a loop that is run to its end": """
        asyncio.run(main(0))
    """,
    "a loop that is left with its tasks": """
        loop = asyncio.new_event_loop()
        tasks.append(loop.run_until_complete(main(0)))
    """,
    "sys.exit in a task": """
        async def leave():
            await main(0)
            sys.exit(0)

        asyncio.run(leave())
    """,
    "a loop in a daemon thread": """
        threading.Thread(target=lambda: asyncio.run(main(600)), daemon=True).start()
        time.sleep(0.1)
    """,
    "os._exit with a loop in a thread": """
        threading.Thread(target=lambda: asyncio.run(main(600)), daemon=True).start()
        time.sleep(0.1)
        os._exit(0)
    """,
    "close in another thread, and the end right after it": """
        threading.Thread(target=lambda: asyncio.run(main(600)), daemon=True).start()
        time.sleep(0.1)
        store.close()
    """,
}


@MODES
@pytest.mark.parametrize("end", ENDS)
def test_the_interpreter_exits_quietly_with_live_subscriptions(path: Path, mode: str, end: str) -> None:
    program = f"""
        import asyncio, logging, warnings
        warnings.simplefilter("ignore")
        # Python says so itself when a loop is left with its tasks.
        logging.getLogger("asyncio").setLevel(logging.CRITICAL)
        store, tasks, live = cp.open(sys.argv[1]{mode}), [], []

        async def follow(after):
            live.append(store.subscribe(after=after))
            try:
                async for event in live[-1]:
                    pass
            except cp.StoreClosed:
                pass

        async def main(seconds):
            tasks.extend(asyncio.create_task(follow(after)) for after in (0, 1500, 10**9))
            await asyncio.sleep(0.05)
            say("following", len(live))
            await asyncio.sleep(seconds)

        begun = iter(store.read())
        next(begun)
    """ + ENDS[end]
    for _ in range(tries(1, 50)):
        assert child.run(program, path) == ["following 3"]
    with cp.open(path) as store:
        assert store.head() == 3000


@MODES
def test_a_store_that_is_closed_under_everything_that_uses_it_ends_all_of_it(path: Path, mode: str) -> None:
    program = f"""
        import asyncio
        store, ended = cp.open(sys.argv[1]{mode}), []

        def using(name, use):
            def run():
                try:
                    while True:
                        use()
                except cp.StoreClosed:
                    ended.append(name)
            return threading.Thread(target=run)

        async def follow():
            async for event in store.subscribe():
                pass

        begun = iter(store.read())
        threads = [
            using("read", lambda: list(store.read())),
            using("wait", lambda: store.wait(10**9)),
            using("subscribe", lambda: list(store.subscribe())),
            using("async", lambda: asyncio.run(follow())),
            using("head", store.head),
            using("verify", store.verify),
            using("why", lambda: store.why(1)),
            using("stats", store.stats),
            using("cursor", lambda: store.get_cursor("c")),
        ]
        for thread in threads:
            thread.start()
        time.sleep(0.2)
        for closing in [threading.Thread(target=store.close) for _ in range(3)]:
            closing.start()
        for thread in threads:
            thread.join(30)
        say(*sorted(ended))
    """
    names = ["async", "cursor", "head", "read", "stats", "subscribe", "verify", "wait", "why"]
    for _ in range(tries(2, 100)):
        assert child.run(program, path) == [" ".join(names)]


@MODES
def test_everything_may_be_forgotten_in_any_order(path: Path, mode: str) -> None:
    """What reads go on with keeps the store open; when nobody refers to any of it, its files are closed."""
    program = f"""
        import gc, itertools, pathlib

        def held():
            files = map(os.path.realpath, pathlib.Path("/proc/self/fd").iterdir())
            return [file for file in files if sys.argv[1] in file]

        for order in itertools.permutations(range(4)):
            store = cp.open(sys.argv[1]{mode})
            parts = [store, store.read(), iter(store.read()), store.subscribe()]
            next(parts[2]), next(parts[3])
            del store
            for number in order:
                parts[number] = None
                if parts[2] is not None:
                    next(parts[2])
                if parts[3] is not None:
                    next(parts[3])
            gc.collect()
            assert held() == [], held()
        say("forgotten")
    """
    assert child.run(program, path) == ["forgotten"]
