"""Processes that append without end and can be killed at any moment: quick to replace, since they are
forked from one that has everything imported and no store open.

All report over one pipe, with one write for each line, so that what was said before a kill is whole and is
read.
"""

import os
import signal
import subprocess
import threading
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from tests import child, members

PARENT = """
import random, signal, traceback
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
path, durability, segment_bytes, seed = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]

def open_store():
    return cp.open(path, durability=durability, segment_bytes=segment_bytes)

class Work:
    "Appends batches of 1 to 3 events, each guarded by its own events: any refusal is a false conflict."

    def __init__(self, name, store):
        self.name, self.store, self.turn, self.last = name, store, 0, 0
        self.chance = random.Random(f"{seed} {name}")
        self.own = cp.Query().add_item(tags=[f"of:{name}"])

    def append(self):
        name, size = f"{self.name}.{self.turn}", self.turn % 3 + 1
        filling = bytes(self.chance.randrange(700))
        batch = [cp.RawEvent("A", f"{name}.{n}".encode(), [f"of:{self.name}"], filling) for n in range(size)]
        started = time.monotonic()
        self.last = self.store.append(batch, cp.AppendCondition(self.own, after=self.last))
        took = time.monotonic() - started
        self.turn += 1
        say("told", self.name.split("-")[0], f"{took:.6f}", name, size, self.last)

def stay(number):
    store = open_store()

    def run(thread):
        try:
            work = Work(f"{number}-{thread}", store)
            while True:
                work.append()
        except BaseException:
            fail(number)

    threading.Thread(target=run, args=(1,)).start()
    run(0)

def come_and_go(number):
    work = Work(f"{number}-0", None)
    while True:
        with open_store() as work.store:
            for _ in range(work.chance.randrange(4)):
                work.append()

def fail(number):
    say("failed", number, traceback.format_exc().replace("\\n", " | "))
    os._exit(1)

for line in sys.stdin:
    number, kind = line.split()
    pid = os.fork()
    if pid == 0:
        try:
            {"stays": stay, "comes and goes": come_and_go}[kind.replace("_", " ")](int(number))
        except BaseException:
            fail(number)
    say("born", number, pid)
"""

KINDS = {"stays": 2, "comes_and_goes": 1}
"""How members behave, and how many appends each may have under way."""


class Crowd:
    """Some processes on one store, and what they have said."""

    def __init__(self, path: Path, durability: str, segment_bytes: int, seed: int) -> None:
        self.told: list[str] = []
        """`name size last` of each acknowledged append."""
        self.stall = 0.0
        """The longest that an append took, in seconds, that was acknowledged."""
        self.may_be_untold = 0
        """How many appends were under way in members that were killed."""
        self._living: dict[int, str] = {}
        self._pids: dict[int, int] = {}
        self._counts: defaultdict[int, int] = defaultdict(int)
        self._failure = ""
        self._born = 0
        self._changed = threading.Condition()
        self._running = child.running(PARENT, path, durability, segment_bytes, seed)

    def __enter__(self) -> Self:
        self._parent = self._running.__enter__()
        self._reader = threading.Thread(target=self._read, args=(self._parent,), daemon=True)
        self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill_all()
        self._parent.kill()
        self._reader.join(child.PATIENCE)
        self._running.__exit__(None, None, None)

    def add(self, kind: str) -> None:
        """Starts one more member."""
        self._born += 1
        number = self._born
        self._living[number] = kind
        members.tell(self._parent, f"{number} {kind}")
        self._wait(lambda: number in self._pids, "the parent of all hangs")

    @property
    def living(self) -> list[int]:
        return list(self._living)

    def kind(self, number: int) -> str:
        return self._living[number]

    def kill(self, number: int) -> None:
        """Kills a member, wherever it is."""
        self.may_be_untold += KINDS[self._living.pop(number)]
        os.kill(self._pids[number], signal.SIGKILL)

    def kill_all(self) -> None:
        for number in self.living:
            self.kill(number)

    def wait_for(self, appends: int) -> None:
        """Waits until so many more appends are acknowledged."""
        enough = len(self.told) + appends
        self._wait(lambda: len(self.told) >= enough, "all hang")

    def wait_for_everybody(self) -> None:
        """Waits until each who lives has one more append acknowledged."""
        before = {number: self._counts[number] for number in self._living}
        late = lambda: [number for number, count in before.items() if self._counts[number] <= count]  # noqa: E731
        self._wait(lambda: not late(), f"some of {before} hang")

    def _wait(self, done: Callable[[], bool], otherwise: str) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self._failure or done(), child.PATIENCE), otherwise
            assert not self._failure, self._failure

    def _read(self, parent: subprocess.Popen[str]) -> None:
        assert parent.stdout is not None
        for line in parent.stdout:
            what, number, *rest = line.split(maxsplit=3)
            with self._changed:
                if what == "born":
                    self._pids[int(number)] = int(rest[0])
                elif what == "told":
                    self.stall = max(self.stall, float(rest[0]))
                    self._counts[int(number)] += 1
                    self.told.append(rest[1].strip())
                else:
                    self._failure = line
                self._changed.notify_all()
