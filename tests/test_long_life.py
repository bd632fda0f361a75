"""Memory, descriptors and threads of a process that does everything over and over stay what they are. F13."""

from pathlib import Path
from typing import NamedTuple

import pytest

from tests import child, members
from tests.budget import SOAK, Goal, tries

pytestmark = pytest.mark.timeout(tries(240, 0))

MIB = 1 << 20
WARM_UP = 3
"""Rounds until memory that is used again and again is there."""

MEMORY = tries(8, 32) * MIB
OBJECTS = 200
"""Python keeps some lists of its own; what leaks would leak each round."""


class Held(NamedTuple):
    """What a process holds, and how many files the log has, of which each may be open."""

    what: str
    memory: int
    descriptors: int
    threads: int
    objects: int
    segments: int


def read_held(line: str) -> Held:
    what, *figures = line.split()
    return Held(what, *map(int, figures))


def test_a_process_that_lives_long_holds_no_more_than_at_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The log grows meanwhile, whose newest part the index has in memory: to that there is a bound."""
    appends, times = tries(4000, 50_000), tries(40, 100)
    goal = Goal(5 * appends, 10_000_000, share=0.1)
    program = "from tests.long_life import main; main()"
    with child.running(program, tmp_path, appends, times) as process:
        before = read_held(child.line(process))
        warm = [read_held(child.line(process))]
        for _ in range(WARM_UP - 1):
            members.tell(process, "go on")
            warm.append(read_held(child.line(process)))
        rounds: list[Held] = []
        while goal.is_ahead(len(rounds) * appends):
            members.tell(process, "go on")
            rounds.append(read_held(child.line(process)))
        members.tell(process, "enough")
        after = read_held(child.line(process))
        assert process.wait(child.PATIENCE) == 0

    with capsys.disabled():
        grown = (max(held.memory for held in rounds) - max(held.memory for held in warm)) / MIB
        print(f"\n{goal}: {len(rounds) * times} subscriptions, memory grew by {grown:.1f} MiB, {rounds[-1]}")
    most = max(warm, key=lambda held: held.memory)
    for held in rounds:
        assert held.threads == warm[-1].threads
        assert held.descriptors <= warm[-1].descriptors + held.segments - warm[-1].segments
        assert held.memory <= most.memory + MEMORY
        assert held.objects <= max(held.objects for held in warm) + OBJECTS
    assert (after.descriptors, after.threads) == (before.descriptors, before.threads)
    assert SOAK or len(rounds) == 5
