"""One to eight processes append, and are killed at random moments and replaced. F4."""

import random
import shutil
from itertools import count
from pathlib import Path

import counterpoint as cp
import pytest

from tests import members
from tests.budget import SEED, Goal, tries
from tests.crowd import Crowd
from tests.model import Draft, log_of
from tests.opener import SMALL_SEGMENT, Opener

pytestmark = pytest.mark.timeout(tries(120, 0))

KINDS = ["stays"] * 5 + ["comes_and_goes"] * 3
"""How eight members behave."""


def after_all(store: cp.EmbeddedStore, crowd: Crowd) -> None:
    """Nothing acknowledged is lost, nothing is doubled, and nothing is there that nobody was about to
    append; and the store finds itself whole."""
    log = members.check_log(store, crowd.told)
    batches = {event.data.decode().rpartition(".")[0] for event in log}
    assert len(batches) - len(crowd.told) <= crowd.may_be_untold, "more than could have been under way"
    verification = store.verify()
    assert verification, verification.findings
    assert verification.events == len(log)


def kill_some(crowd: Crowd, chance: random.Random, least: int) -> int:
    """Kills at least so many, and returns how many it were. Whoever lives must get on after each."""
    kills = 0
    while kills < least:
        crowd.wait_for(chance.randint(0, 30))
        crowd.kill(chance.choice(crowd.living))
        kills += 1
        # Mostly it is replaced. Some die alone or nearly, and many come at once after them.
        wanted = chance.choice([len(crowd.living) + 1] * 3 + [1, 2, 8])
        for _ in range(min(8, wanted) - len(crowd.living)):
            crowd.add(chance.choice(KINDS))
        while len(crowd.living) > wanted:
            crowd.kill(chance.choice(crowd.living))
            kills += 1
        crowd.wait_for_everybody()
    return kills


@pytest.mark.parametrize("durability", ["fsync", "os"])
def test_members_that_are_killed_lose_nothing_and_hold_nobody_up(
    open_on_disk: Opener, tmp_path: Path, durability: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Somebody always has the store open, so it is never recovered: the others go on from what the dead left.

    With segments of a few batches, and members who come and go, kills hit rollovers, openings and closings
    too. A store takes some dozen kills: with thousands of such segments openings would take most of the time.
    """
    chance, goal = random.Random(SEED), Goal(30, 5000, share=0.05)
    kills, appends, stall = 0, 0, 0.0
    for name in map(str, count()):
        if not goal.is_ahead(kills):
            break
        with Crowd(tmp_path / name, durability, SMALL_SEGMENT, SEED + kills) as crowd:
            store = open_on_disk(name, durability=durability, segment_bytes=SMALL_SEGMENT)
            for kind in KINDS:
                crowd.add(kind)
            crowd.wait_for_everybody()
            kills += kill_some(crowd, chance, least=30)
        # The members are dead, and what they wrote last may not be durable yet: that is settled by the next
        # append.
        store.append([Draft("A", data=b"last.0.0").raw()])
        seen = log_of(store)
        after_all(store, crowd)
        store.close()
        with open_on_disk(name, segment_bytes=SMALL_SEGMENT) as reopened:
            assert log_of(reopened) == seen
        shutil.rmtree(tmp_path / name)
        appends, stall = appends + len(crowd.told), max(stall, crowd.stall)
    with capsys.disabled():
        print(f"\n{durability}, kills: {goal}; {appends} appends, longest stall {stall:.3f} s")


def test_a_store_all_of_whose_members_are_killed_at_once_is_recovered_by_the_next(
    open_on_disk: Opener, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who opens it first recovers it while the others come in, and may be killed at that."""
    chance, goal = random.Random(SEED + 1), Goal(60, 5000, share=0.05)
    kills, appends, stall = 0, 0, 0.0
    for name in map(str, count()):
        if not goal.is_ahead(kills):
            break
        least = kills + 60
        with Crowd(tmp_path / name, "fsync", SMALL_SEGMENT, SEED + 1 + kills) as crowd:
            while kills < least:
                wanted = chance.choice([8] * 3 + [1, 2, 3])
                for kind in chance.sample(KINDS, wanted):
                    crowd.add(kind)
                if chance.random() < 0.5:
                    crowd.wait_for_everybody()
                crowd.wait_for(chance.randint(0, 60))
                crowd.kill_all()
                kills += wanted
                with open_on_disk(name, segment_bytes=SMALL_SEGMENT) as store:
                    head = store.head()
                    assert [event.position for event in store.read()] == list(range(1, head + 1))
        with open_on_disk(name, segment_bytes=SMALL_SEGMENT) as store:
            after_all(store, crowd)
        shutil.rmtree(tmp_path / name)
        appends, stall = appends + len(crowd.told), max(stall, crowd.stall)
    with capsys.disabled():
        print(f"\nkills of all: {goal}; {appends} appends, longest stall {stall:.3f} s")
