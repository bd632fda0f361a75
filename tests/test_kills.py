"""Eight processes append, and are killed at random moments and replaced. F4."""

import random
from pathlib import Path

import counterpoint as cp
import pytest

from tests import members
from tests.budget import SEED, tries
from tests.crowd import Crowd
from tests.model import Draft, log_of
from tests.opener import SMALL_SEGMENT, Opener

pytestmark = pytest.mark.timeout(tries(120, 0))

MEMBERS = 8
KINDS = ["stays"] * 5 + ["comes_and_goes"] * 3


def after_all(store: cp.EmbeddedStore, crowd: Crowd) -> None:
    """Nothing acknowledged is lost, nothing is doubled, and nothing is there that nobody was about to
    append."""
    log = members.check_log(store, crowd.told)
    batches = {event.data.decode().rpartition(".")[0] for event in log}
    assert len(batches) - len(crowd.told) <= crowd.may_be_untold, "more than could have been under way"


@pytest.mark.parametrize("durability", ["fsync", "os"])
def test_members_that_are_killed_lose_nothing_and_hold_nobody_up(
    open_on_disk: Opener, tmp_path: Path, durability: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Somebody always has the store open, so it is never recovered: the others go on from what the dead left.

    With segments of a few batches, and members who come and go, kills hit rollovers, openings and closings
    too.
    """
    chance, kills = random.Random(SEED), tries(30, 5000)
    with Crowd(tmp_path / "store", durability, SMALL_SEGMENT, SEED) as crowd:
        store = open_on_disk(durability=durability, segment_bytes=SMALL_SEGMENT)
        for kind in KINDS:
            crowd.add(kind)
        crowd.wait_for_everybody()
        for _ in range(kills):
            crowd.wait_for(chance.randint(0, 30))
            victim = chance.choice(crowd.living)
            kind = crowd.kind(victim)
            crowd.kill(victim)
            crowd.add(kind)
            crowd.wait_for_everybody()
    # The members are dead, and what they wrote last may not be durable yet: that is settled by the next
    # append.
    store.append([Draft("A", data=b"last.0.0").raw()])
    seen = log_of(store)
    after_all(store, crowd)
    store.close()
    with open_on_disk(segment_bytes=SMALL_SEGMENT) as reopened:
        assert log_of(reopened) == seen
    with capsys.disabled():
        print(f"\n{durability}: {kills} kills, {len(crowd.told)} appends, longest stall {crowd.stall:.3f} s")


def test_a_store_all_of_whose_members_are_killed_at_once_is_recovered_by_the_next(
    open_on_disk: Opener, tmp_path: Path
) -> None:
    """Who opens it first recovers it while the others come in, and may be killed at that."""
    chance, rounds = random.Random(SEED + 1), tries(8, 1000)
    with Crowd(tmp_path / "store", "fsync", SMALL_SEGMENT, SEED + 1) as crowd:
        for turn in range(rounds):
            for kind in KINDS:
                crowd.add(kind)
            if turn % 2:
                crowd.wait_for_everybody()
            crowd.wait_for(chance.randint(0, 60))
            crowd.kill_all()
            with open_on_disk(segment_bytes=SMALL_SEGMENT) as store:
                head = store.head()
                assert [event.position for event in store.read()] == list(range(1, head + 1))
    with open_on_disk(segment_bytes=SMALL_SEGMENT) as store:
        after_all(store, crowd)
