"""Child processes that take part in a measurement: `benches.child`, and how to speak with it.

A child opens its store and says that it is ready; it begins when it is told to, and ends with a result. Each
message is a line, of JSON if it comes from the child. Times are those of `time.perf_counter`, which on Linux
is one clock for all processes.
"""

import json
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benches.peers import Cannot

ROOT = Path(__file__).parents[1]
SECONDS = 900
"""A child that takes longer is stuck, and killed."""


def command(job: str, peer: str, path: Path, *arguments: str) -> list[str]:
    """Return the command of a child."""
    return [sys.executable, "-m", "benches.child", job, peer, str(path), *arguments]


def run_child(job: str, peer: str, path: Path, expected: int = 0) -> str:
    """Run a child that needs no telling; return what it said once it has ended as `expected`."""
    child = subprocess.run(
        command(job, peer, path), cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False, timeout=SECONDS
    )
    if child.returncode != expected:
        raise RuntimeError(f"the child to {job} ended with {child.returncode} instead of {expected}")
    return child.stdout


class Child:
    """A child that is told when to begin."""

    def __init__(self, job: str, peer: str, path: Path, *arguments: str) -> None:
        """Start it."""
        self._process = subprocess.Popen(
            command(job, peer, path, *arguments),
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._limit = threading.Timer(SECONDS, self._process.kill)
        self._limit.daemon = True
        self._limit.start()

    def ready(self) -> None:
        """Wait until it has its store open; raises `Cannot` if it could not."""
        self._message()

    def go(self) -> None:
        """Tell it to begin."""
        if self._process.stdin:
            self._process.stdin.write("go\n")
            self._process.stdin.flush()

    def result(self) -> Any:
        """Wait for its result; raises `Cannot` if it failed."""
        return self._message()["result"]

    def _message(self) -> Any:
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            raise RuntimeError(f"a child ended with {self._process.wait()} before it was done")
        message = json.loads(line)
        if "error" in message:
            raise Cannot(f"another process: {message['error']}")
        return message

    def __enter__(self) -> Self:
        """Return itself, to be ended with the block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it: kill it, unless it ends by itself."""
        if error is not None:
            self._process.kill()
        self._process.communicate()
        self._limit.cancel()
