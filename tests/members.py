"""Processes that have a store open together: how they start, and what must be in the log after them."""

import os
import subprocess
from collections import Counter
from collections.abc import Sequence

import counterpoint as cp

from tests import child
from tests.model import Stored, log_of


def tell(process: subprocess.Popen[str], what: object) -> None:
    """Sends a line to a program."""
    assert process.stdin is not None
    os.write(process.stdin.fileno(), f"{what}\n".encode())


def start_together(processes: Sequence[subprocess.Popen[str]]) -> None:
    """Waits until each has said that it has the store open, then sends a line to each."""
    for process in processes:
        assert child.line(process).split()[:1] == ["open"]
    for process in processes:
        tell(process, "go")


def check_log(store: cp.EmbeddedStore, told: Sequence[str]) -> list[Stored]:
    """Checks the log against what processes said of their appends: `name size last`, where name ends in
    `.number`.

    All that was acknowledged is there, whole, once and in its place; a batch that was not is there whole or
    not at all, and has `number % 3 + 1` events. I1, I2, I3.
    """
    log = log_of(store)
    assert [event.position for event in log] == list(range(1, len(log) + 1))
    names = [event.data.decode() for event in log]
    assert len(set(names)) == len(names), "an event is there twice"
    for line in told:
        name, size, last = line.split()
        first = int(last) - int(size)
        there = names[first : int(last)]
        assert there == [f"{name}.{n}" for n in range(int(size))], (
            f"of {line!r} there is {there}; the log has {len(log)} events"
        )
    for batch, size in Counter(name.rpartition(".")[0] for name in names).items():
        assert size == int(batch.rpartition(".")[2]) % 3 + 1, f"{batch} is there in part"
    return log
