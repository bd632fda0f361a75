"""System calls that fail, one by one, from outside: strace makes the kernel's answer an error. F2.

Whatever call it is, it is a clear error or none at all: no hang, no end by a signal, no damage where there is
none; the store is poisoned once an append has failed (I9); and opened again it has all that was acknowledged.
"""

import builtins
import errno
import random
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import child
from tests.budget import SEED, SOAK, tries
from tests.disks import budget, writers
from tests.disks.needs import need

pytestmark = [pytest.mark.timeout(tries(120, 0)), need("strace")]

CALLS = {
    "pwrite64": ["ENOSPC", "EIO", "EINTR", "EDQUOT", "EFBIG"],
    "fdatasync": ["EIO", "ENOSPC", "EINTR", "EDQUOT"],
    "fsync": ["EIO", "ENOSPC", "EINTR"],
    "openat": ["EMFILE", "EIO", "EACCES", "ENOSPC", "ENFILE", "EROFS", "ENOMEM", "EINTR"],
    "renameat": ["EIO", "ENOSPC", "EACCES", "EROFS"],
    "unlinkat": ["EIO", "EACCES", "EROFS"],
    "ftruncate": ["EIO", "ENOSPC", "EINTR"],
    "flock": ["ENOLCK", "EIO", "EINTR"],
    "pread64": ["EIO", "EINTR", "ENOMEM"],
    "preadv2": ["EIO", "EAGAIN", "EINTR"],
    "statx": ["EIO", "ENOMEM", "EACCES"],
    "getdents64": ["EIO", "ENOMEM"],
    "mkdir": ["ENOSPC", "EIO", "EACCES", "EROFS"],
    "mmap": ["ENOMEM", "EAGAIN", "ENODEV"],
    "clone3": ["EAGAIN", "ENOMEM"],
    "fcntl": ["EMFILE", "EINVAL"],
}
"""The calls that a store makes, each with errors that it can meet."""

VICTIM = """
    path, name = sys.argv[1:]
    failed = {}

    def attempt(what, do):
        try:
            return do()
        except (cp.Error, OSError, MemoryError) as error:
            failed[what] = type(error).__name__
            say("failed", what, type(error).__name__, getattr(error, "errno", None), error)

    def append():
        for n in range(0, 72, 3):
            batch = [cp.RawEvent("A", f"{name}.{n}.0".encode(), [f"n:{n}"], bytes(700))]
            guard = cp.AppendCondition(cp.Query().add_item(tags=["nobody"]))
            say("told", f"{name}.{n}", 1, store.append(batch, guard))

    say("ready")
    sys.stdin.readline()
    store = attempt("open", lambda: cp.open(path, segment_bytes=4096))
    if store:
        attempt("append", append)
        attempt("again", lambda: store.append([event(f"{name}.99.0")]))
        attempt("cursor", lambda: store.set_cursor("c", 1))
        attempt("cursor", lambda: store.get_cursor("c"))
        attempt("read", lambda: list(store.read()))
        attempt("select", lambda: list(store.read(cp.Query().add_item(tags=["n:3"]))))
        attempt("stats", store.stats)
        attempt("close", store.close)
    say("end")
"""


@pytest.fixture(scope="module")
def checker() -> Iterator[writers.Checker]:
    """One for all: nothing is mounted here."""
    with writers.checking() as checker:
        yield checker


@contextmanager
def interfering(process: subprocess.Popen[str], call: str, what: str, log: Path) -> Iterator[None]:
    """Interferes with the calls of a process from here on."""
    program = ["strace", "--follow-forks", "-o", log, "-e", f"trace={call}", "-e", f"inject={call}:{what}"]
    tracer = subprocess.Popen([*map(str, program), "-p", str(process.pid)], stderr=subprocess.PIPE)
    with tracer:
        try:
            assert tracer.stderr is not None
            said = tracer.stderr.readline()
            assert b"attached" in said, said
            yield
            assert tracer.wait(child.PATIENCE) == 0
        finally:
            tracer.kill()


def run_with(path: Path, name: str, checker: writers.Checker, call: str, what: str, told: list[str]) -> int:
    """Opens, appends, reads and closes while a call fails, and checks what is there then.

    Returns how often it failed.
    """
    log = path.with_name("log")
    failed: dict[str, tuple[str, str]] = {}
    with writers.talking(VICTIM, path, name) as victim:
        assert victim.line() == "ready"
        with interfering(victim.process, call, what, log):
            victim.say("go")
            while (line := victim.line()) != "end":
                said, _, rest = line.partition(" ")
                if said == "told":
                    told.append(rest)
                else:
                    tried, kind, text = rest.split(" ", 2)
                    failed.setdefault(tried, (kind, text))
            assert victim.ends() == 0
    check_what_it_said(failed, what)
    checker.check(path, told, path.with_name("told"))
    return log.read_text().count("(INJECTED)")


def check_what_it_said(failed: dict[str, tuple[str, str]], what: str) -> None:
    number = getattr(errno, what.split(":", maxsplit=1)[0].removeprefix("error="))
    for tried, (kind, text) in failed.items():
        assert kind in ("StorageError", "PoisonedError", "MemoryError") or (
            tried == "open" and issubclass(getattr(builtins, kind), OSError)
        ), (tried, kind, text)
        assert f"(os error {number})" in text or f"[Errno {number}]" in text or text.startswith("11 "), (
            tried,
            text,
        )
    if "append" in failed:
        # Where the marks cannot be looked at or the lock not be had, nobody gets as far as the poison.
        kind, text = failed["again"]
        assert kind == "PoisonedError" or "lock" in text or "look at marks" in text, failed


@pytest.mark.parametrize("call", CALLS)
def test_a_system_call_that_fails_is_told_of_and_loses_nothing(
    tmp_path: Path, checker: writers.Checker, call: str
) -> None:
    """Once in its place, and from then on for ever, at one place after the other until there are no more."""
    chance = random.Random(f"{SEED} {call}")
    if SOAK:
        cases = [(name, n, ever) for n in range(1, 150) for name in CALLS[call] for ever in ("", "+")]
    else:
        cases = [(CALLS[call][0], 1, ""), (CALLS[call][1], chance.randint(2, 6), "+")]
    # To try again after EINTR is right, and would never end.
    cases = [(name, n, ever) for name, n, ever in cases if (name, ever) != ("EINTR", "+")]
    ran, injected, told, over = 0, 0, list[str](), set[tuple[str, str]]()
    together = 1 if call == "mkdir" else 8  # Only who makes a store calls it.
    for turn, (name, n, ever) in zip(budget.turns(len(cases), len(cases)), cases, strict=False):
        if turn % together == 0:
            told = []
        if (name, ever) in over:
            continue
        what = f"error={name}:when={n}{ever}"
        times = run_with(tmp_path / f"store{turn // together}", f"{turn}", checker, call, what, told)
        ran, injected = ran + 1, injected + times
        if SOAK and not times:
            over.add((name, ever))
    print(f"{call}: {ran} cases up to {what}, {injected} calls failed, seed {SEED}")
    assert injected, f"{call} is not called"


def test_a_directory_that_cannot_be_looked_at_is_not_said_to_exist(
    tmp_path: Path, checker: writers.Checker
) -> None:
    """Found by every place of a failing `statx`: opening then went on to make the directory."""
    told = list[str]()
    assert run_with(tmp_path / "store", "0", checker, "statx", "error=EIO:when=1000", told) == 0
    for n in (1, 2, 3):
        assert run_with(tmp_path / "store", f"{n}", checker, "statx", f"error=EIO:when={n}+", told)
