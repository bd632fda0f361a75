"""A file system stops working under load, as it does when its device is gone. I3, I8, I9, F2.

From then on every call fails, and the page that the processes share can be read but not written. Nobody hangs
or is ended by a signal, and once the file system is mounted again all that was acknowledged is there.
"""

import random
import time
from pathlib import Path

import pytest

from tests.budget import SEED, SOAK, tries
from tests.disks import budget, mounts, writers
from tests.disks.needs import need

pytestmark = [pytest.mark.timeout(tries(120, 0)), need("mounting", "loop")]

KINDS = [pytest.param("ext4", marks=need("ext4")), pytest.param("xfs", marks=need("xfs"))]
HOWS = [mounts.SYNCED_FIRST, mounts.LOG_SYNCED_FIRST, mounts.AT_ONCE]


def check_what_they_said(processes: list[writers.Writer]) -> None:
    for process in processes:
        assert "open" not in process.failed
        kind, number, text = process.failed["append"]
        assert (kind, number) in (("StorageError", "5"), ("PoisonedError", "None")), text
        assert "Input/output error" in text
        assert process.failed["again"][0] == "PoisonedError"


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_system_that_is_shut_down_loses_nothing_acknowledged_and_ends_nobody(
    tmp_path: Path, checker: writers.Checker, kind: str
) -> None:
    image, at = mounts.make(kind, tmp_path / "image"), tmp_path / "mount"
    told: list[str] = []
    for turn in budget.turns(3, 250):
        chance = random.Random(f"{SEED} {turn} {kind}")
        durability = chance.choice(["fsync", "fsync", "os"])
        with (
            mounts.mounted(image, kind, at),
            writers.writing(at / "store", 3, None, f"{turn}w", durability=durability) as processes,
        ):
            for process in processes:
                process.wait_for(chance.randint(1, 20))
            mounts.shut_down(at, HOWS[turn % len(HOWS)])
            for process in processes:
                process.finish()
        check_what_they_said(processes)
        if durability == "fsync":
            told += writers.acknowledged(processes)
        with mounts.mounted(image, kind, at):
            checker.check(at / "store", told, tmp_path / "told", appends=False)
            if turn % 20 == 19:
                image, told = mounts.make(kind, tmp_path / f"image{turn}"), []


@pytest.mark.parametrize("how", HOWS if SOAK else [mounts.AT_ONCE])
@pytest.mark.parametrize("kind", KINDS)
def test_an_idle_store_whose_file_system_is_shut_down_says_so(
    tmp_path: Path, checker: writers.Checker, kind: str, how: int
) -> None:
    """The shared page has been written to the disk, so that the next change to it asks the file system."""
    image, at = mounts.make(kind, tmp_path / "image"), tmp_path / "mount"
    with (
        mounts.mounted(image, kind, at),
        writers.talking(writers.IDLE, at / "store", "Input/output error") as process,
    ):
        assert process.line() == "open"
        time.sleep(1.2)  # Until it is sealed.
        mounts.command("sync", "-f", at)
        mounts.shut_down(at, how)
        process.say("go")
        assert process.line() in ("StorageError True", "PoisonedError True")
        assert process.line() == "opening 5"
        assert process.line() in ("closed", "StorageError True")
        assert process.line() == "waited 1"
        assert process.ends() == 0
    with mounts.mounted(image, kind, at):
        assert checker.check(at / "store", [], tmp_path / "told", appends=False) == 1
