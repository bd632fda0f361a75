"""Processes that append on a disk that may fail, and tell what was acknowledged; and one that checks what is
there afterwards. Waiting for what they say has an end.
"""

import os
import select
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests import child, members

_WRITER = """
from tests.disks.device import Page

path, name, page, options = sys.argv[1], sys.argv[2], sys.argv[3], eval(sys.argv[4])
page = Page(__import__("pathlib").Path(page)) if page != "-" else None
chance = __import__("random").Random(name)

def attempt(what, do):
    try:
        return do()
    except (cp.Error, OSError) as error:
        say("failed", what, type(error).__name__, error.errno, error)

def append_until_it_fails(store):
    number = 0
    guard = cp.AppendCondition(cp.Query().add_item(tags=["nobody"]))
    while True:
        filling = bytes(chance.randrange(700))
        names = [f"{name}.{number}.{n}" for n in range(number % 3 + 1)]
        batch = [cp.RawEvent("A", n.encode(), [f"of:{name}"], filling) for n in names]
        failed = page.failures if page else 0
        last = store.append(batch, guard if number % 2 else None)
        say("told", page.sequence if page else 0, failed, f"{name}.{number}", len(batch), last)
        number += 1

def read_all(store):
    say("read", sum(1 for _ in store.read()))

store = attempt("open", lambda: cp.open(path, **options))
if store:
    say("open")
    attempt("append", lambda: append_until_it_fails(store))
    attempt("again", lambda: say("appended", store.append([event("again")])))
    attempt("read", lambda: read_all(store))
    attempt("close", store.close)
say("end")
"""

_CHECKER = """
import traceback
from pathlib import Path
from tests import members

for line in sys.stdin:
    path, told, appends = line.split()
    try:
        with cp.open(path, segment_bytes=4096) as store:
            log = members.check_log(store, Path(told).read_text().splitlines())
            result = store.verify()
            assert result and not result.findings, result
            if appends == "appends":
                assert store.append([event(f"checker{len(log)}.0.0")]) == len(log) + 1
        say("sound", len(log))
    except BaseException:
        say("unsound", repr(traceback.format_exc()))
"""


IDLE = """
    import re
    waited = []
    def found(error):
        return bool(re.search(sys.argv[2], str(error)))
    store = cp.open(sys.argv[1])
    store.append([event("idle.0.0")])
    def wait():
        try:
            store.wait(1)
        except cp.StoreClosed:
            pass
        waited.append(1)
    waiting = threading.Thread(target=wait)
    waiting.start()
    say("open")
    sys.stdin.readline()
    try:
        say("appended", store.append([event("idle.3.0")]))
    except cp.StorageError as error:
        say(type(error).__name__, found(error))
    try:
        cp.open(sys.argv[1]).close()
        say("opened")
    except (cp.StorageError, OSError) as error:
        say("opening", error.errno)
    try:
        store.close()
        say("closed")
    except cp.StorageError as error:
        say(type(error).__name__, found(error))
    waiting.join()
    say("waited", len(waited))
"""
"""A store that nothing happens to until a line comes; it then says what an append and an opening meet."""


class Process:
    """A program that says lines, each of which is waited for so long and no longer.

    Without threads: one that lives on would keep the test in its namespace of mounts.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._said = b""

    def line(self) -> str:
        """The next line."""
        assert self.process.stdout is not None
        until = time.monotonic() + child.PATIENCE
        while b"\n" not in self._said:
            ready, _, _ = select.select([self.process.stdout], [], [], max(0, until - time.monotonic()))
            assert ready, "a process hangs"
            more = os.read(self.process.stdout.fileno(), 1 << 16)
            assert more, f"a process ended with {self.ends()}"
            self._said += more
        line, _, self._said = self._said.partition(b"\n")
        return line.decode()

    def say(self, what: object) -> None:
        """Sends it a line."""
        members.tell(self.process, what)

    def ends(self) -> int:
        """Waits for its end, and returns its code, which is negative for a signal."""
        return self.process.wait(child.PATIENCE)


@contextmanager
def talking(program: str, *arguments: object) -> Iterator[Process]:
    """A program under way, killed at the end if it still runs."""
    with child.running(program, *arguments) as process:
        yield Process(process)


class Writer(Process):
    """A process that appends until it fails."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        super().__init__(process)
        self.told: list[tuple[int, int, str]] = []
        """Of each acknowledged append: how much the device had done when it was, how often it had failed when
        it began, and `name size last`."""
        self.failed: dict[str, tuple[str, str, str]] = {}
        """By what was tried: kind of error, errno, text."""
        self.read = -1

    def wait_for(self, appends: int) -> None:
        """Waits until so many more are acknowledged."""
        enough = len(self.told) + appends
        while len(self.told) < enough and not self.failed:
            self._take(self.line())

    def finish(self) -> None:
        """Waits for it to end, which it does in order when its appends fail."""
        while (line := self.line()) != "end":
            self._take(line)
        assert self.ends() == 0

    def kill(self) -> None:
        """Kills it, and takes what it had said in whole lines."""
        self.process.kill()
        assert self.process.stdout is not None
        while more := os.read(self.process.stdout.fileno(), 1 << 16):
            self._said += more
        lines, self._said = self._said.split(b"\n")[:-1], b""
        for line in filter(b"end".__ne__, lines):
            self._take(line.decode())
        self.ends()

    def _take(self, line: str) -> None:
        what, _, rest = line.partition(" ")
        if what == "told":
            sequence, failures, append = rest.split(" ", 2)
            self.told.append((int(sequence), int(failures), append))
        elif what == "failed":
            tried, kind, number, text = rest.split(" ", 3)
            self.failed[tried] = (kind, number, text)
        elif what == "read":
            self.read = int(rest)
        else:
            assert what == "open", line


@contextmanager
def writing(
    path: Path, count: int, page: Path | None = None, run: str = "w", **options: object
) -> Iterator[list[Writer]]:
    """So many writers on a store, killed at the end if they still run."""
    options.setdefault("segment_bytes", 4096)
    with ExitStack() as stack:
        started = []
        for n in range(count):
            program = child.running(_WRITER, path, f"{run}{n}", page or "-", options)
            started.append(Writer(stack.enter_context(program)))
            stack.callback(started[-1].kill)
        yield started


def acknowledged(writers: Sequence[Writer]) -> list[str]:
    """`name size last` of all that was."""
    return [append for writer in writers for _, _, append in writer.told]


class Checker(Process):
    """A process that opens stores and says whether they are what they have to be."""

    def check(self, store: Path, told: Sequence[str], notes: Path, *, appends: bool = True) -> int:
        """All that was acknowledged is there, whole, once and in its place; `verify` finds nothing; the store
        takes appends. Returns how many events there are."""
        notes.write_text("".join(f"{line}\n" for line in told))
        self.say(f"{store} {notes} {'appends' if appends else 'reads'}")
        said, _, rest = self.line().partition(" ")
        assert said == "sound", rest.encode().decode("unicode_escape")
        return int(rest)


@contextmanager
def checking() -> Iterator[Checker]:
    """Such a process."""
    with child.running(_CHECKER) as process:
        yield Checker(process)
