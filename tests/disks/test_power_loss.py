"""The power fails: what a device may hold then, made from a journal of its writes and flushes. F1.

Up to the last flush before the moment all writes are there; of those after it, each may be there, in whole or
in part. Such an image is mounted, so that the file system recovers as well, and the store on it opened and
checked.
"""

import random
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.budget import SEED, SOAK, tries
from tests.disks import budget, device, mounts, writers
from tests.disks.needs import need

pytestmark = [pytest.mark.timeout(tries(120, 0)), need("mounting", "loop", "fuse", "ext4")]

SECTOR = 512
APPENDS = tries(40, 300)
IMAGES = {"fsync": tries(50, 250), "os": tries(20, 250)}
"""Of one run."""


class History:
    """What was written to a device, from which images of it are made, each later than the one before."""

    def __init__(self, empty: Path, image: Path, journal: Sequence[device.Write | None]) -> None:
        self._image, self._journal = image, journal
        self._done = 0
        """Entries up to the last flush that the image has."""
        shutil.copyfile(empty, image)

    def copy(self, cut: int, chance: random.Random, to: Path) -> None:
        """What may be there if the power fails after `cut` entries."""
        flushed = self._done
        for number in range(self._done, cut):
            if self._journal[number] is None:
                flushed = number + 1
        with self._image.open("r+b") as image:
            for write in filter(None, self._journal[self._done : flushed]):
                image.seek(write.offset)
                image.write(write.data)
        self._done = flushed
        mounts.command("cp", "--sparse=always", self._image, to)
        likely = chance.choice([0.0, 0.3, 0.7, 1.0])
        with to.open("r+b") as image:
            for write in filter(None, self._journal[flushed:cut]):
                for start, end in surviving(write, likely, chance):
                    image.seek(write.offset + start)
                    image.write(write.data[start:end])


def surviving(write: device.Write, likely: float, chance: random.Random) -> list[tuple[int, int]]:
    """The ranges of a write that reached the medium."""
    if chance.random() < 0.8:
        return [(0, len(write.data))] if chance.random() < likely else []
    sectors = range(0, len(write.data), SECTOR)
    return [(start, start + SECTOR) for start in sectors if chance.random() < likely]


def record(
    home: Path, kind: str, durability: str, chance: random.Random
) -> tuple[list[writers.Writer], Path]:
    """Two processes append on a device, and one of them is killed and replaced.

    Returns what they said, and the journal.
    """
    at = home / "mount"
    shutil.copyfile(home / "empty", home / "image")
    with (
        mounts.disk(home, home / "image") as disk,
        mounts.mounted(disk.file, kind, at),
        writers.writing(at / "store", 1, disk.page_file, durability=durability) as stays,
    ):
        with writers.writing(at / "store", 1, disk.page_file, "killed", durability=durability) as killed:
            for process in (*stays, *killed):
                process.wait_for(chance.randint(1, APPENDS))
        with writers.writing(at / "store", 1, disk.page_file, "next", durability=durability) as late:
            for process in (*stays, *late):
                process.wait_for(APPENDS)
    return [*stays, *killed, *late], disk.journal


@pytest.mark.parametrize("durability", IMAGES)
@pytest.mark.parametrize("kind", ["ext4", pytest.param("xfs", marks=need("xfs"))] if SOAK else ["ext4"])
def test_whatever_a_device_may_hold_when_the_power_fails_has_all_that_was_acknowledged(
    tmp_path: Path, checker: writers.Checker, kind: str, durability: str
) -> None:
    """With durability "os" the end of the log may be lost, but what there is has no hole."""
    images = 0
    with mounts.mounted("none", "tmpfs", tmp_path / "ram") as home:
        mounts.make(kind, home / "empty")
        for turn in budget.turns(1, 40):
            chance = random.Random(f"{SEED} {turn} {kind} {durability}")
            processes, journal = record(home, kind, durability, chance)
            told = [(sequence, append) for process in processes for sequence, _, append in process.told]
            entries = list(device.entries(journal))
            assert len(told) > APPENDS
            assert None in entries
            history = History(home / "empty", home / "base", entries)
            for cut in sorted(chance.choices(range(len(entries) + 1), k=IMAGES[durability])):
                history.copy(cut, chance, home / "cut")
                expected = [append for sequence, append in told if sequence <= cut]
                with mounts.mounted(home / "cut", kind, home / "mount") as at:
                    events = checker.check(
                        at / "store", expected if durability == "fsync" else [], home / "told"
                    )
                assert events <= 3 * sum(len(process.told) + 1 for process in processes)
                images += 1
    print(f"{kind}, {durability}: {images} images")
