"""The power fails: what a device may hold then, made from a journal of its writes and flushes. F1.

Up to the last flush before the moment all writes are there; of those after it, each may be there, in whole or
in part. Such an image is mounted, so that the file system recovers as well, and the store on it opened and
checked.
"""

import random
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.budget import SEED, SOAK, tries
from tests.disks import budget, device, mounts, writers
from tests.disks.needs import need

pytestmark = [pytest.mark.timeout(tries(120, 0)), need("mounting", "loop", "fuse", "ext4")]

SECTOR = 512
SUPERBLOCK_ENDS = 2048
"""Where on a device that of ext4 does. It has two sectors and a checksum over both, which is looked at before
anything is recovered: ext4 takes it to be written whole, and is not to be mounted where it was torn."""

APPENDS = tries(40, 300)
IMAGES = {"fsync": tries(50, 250), "os": tries(20, 250)}
"""Of one run."""


class History:
    """What was written to a device, from which images of it are made, each later than the one before."""

    def __init__(self, name: str, home: Path, journal: Path) -> None:
        self.entries: Sequence[device.Write | None] = list(device.entries(journal))
        self._name, self._home, self._journal = name, home, journal
        self._image = home / "base"
        self._done = 0
        """Entries up to the last flush that the image has."""
        shutil.copyfile(home / "empty", self._image)

    def copy(self, number: int, cut: int, to: Path) -> None:
        """What may be there if the power fails after `cut` entries. The same number gives the same image."""
        flushed = self._done
        for entry in range(self._done, cut):
            if self.entries[entry] is None:
                flushed = entry + 1
        with self._image.open("r+b") as image:
            for write in filter(None, self.entries[self._done : flushed]):
                image.seek(write.offset)
                image.write(write.data)
        self._done = flushed
        mounts.command("cp", "--sparse=always", self._image, to)
        chance = random.Random(f"{self._name} {number}")
        likely = chance.choice([0.0, 0.3, 0.7, 1.0])
        with to.open("r+b") as image:
            for write in filter(None, self.entries[flushed:cut]):
                for start, end in surviving(write, likely, chance):
                    image.seek(write.offset + start)
                    image.write(write.data[start:end])

    @contextmanager
    def kept_if_it_fails(self, number: int, cut: int, told: Sequence[str], at: Path) -> Iterator[None]:
        """Says which image it was and keeps it: the seed does not make writers take the same turns again."""
        try:
            yield
        except Exception as error:
            self.copy(number, cut, at / "image")
            for file in (self._home / "empty", self._journal):
                shutil.copyfile(file, at / file.name)
            (at / "told").write_text("".join(f"{line}\n" for line in told))
            error.add_note(
                f"Image {number} of '{self._name}': the power lost after {cut} of {len(self.entries)} writes"
                f" and flushes, {len(told)} appends acknowledged. Kept in {at}: image, as it was before"
                " it was mounted; empty, what it began as; journal, what was written; told, the appends."
            )
            raise


def surviving(write: device.Write, likely: float, chance: random.Random) -> list[tuple[int, int]]:
    """The ranges of a write that reached the medium."""
    if write.offset < SUPERBLOCK_ENDS or chance.random() < 0.8:
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
    for process in (*stays, *killed, *late):
        assert not process.failed, process.failed
    return [*stays, *killed, *late], disk.journal


def test_what_ext4_takes_to_be_written_whole_is_not_torn() -> None:
    """Of an image with half a superblock ext4 says that it is none of its own, whatever the store did."""
    chance = random.Random(SEED)
    for offset in (0, 1024):
        write = device.Write(offset, bytes(4096))
        assert all(surviving(write, 0.5, chance) in ([], [(0, 4096)]) for _ in range(1000))
    write = device.Write(SUPERBLOCK_ENDS, bytes(4096))
    assert any(surviving(write, 0.5, chance) not in ([], [(0, 4096)]) for _ in range(1000))


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
            name = f"{SEED} {turn} {kind} {durability}"
            chance = random.Random(name)
            processes, journal = record(home, kind, durability, chance)
            told = [(sequence, append) for process in processes for sequence, _, append in process.told]
            assert len(told) > APPENDS
            history = History(name, home, journal)
            assert None in history.entries
            cuts = chance.choices(range(len(history.entries) + 1), k=IMAGES[durability])
            for number, cut in enumerate(sorted(cuts)):
                expected = [append for sequence, append in told if sequence <= cut]
                with history.kept_if_it_fails(number, cut, expected, tmp_path):
                    history.copy(number, cut, home / "cut")
                    with mounts.mounted(home / "cut", kind, home / "mount") as at:
                        events = checker.check(
                            at / "store", expected if durability == "fsync" else [], home / "told"
                        )
                    assert events <= 3 * sum(len(process.told) + 1 for process in processes)
                images += 1
    print(f"{kind}, {durability}: {images} images, seed {SEED}")
