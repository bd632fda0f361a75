"""A disk that is full, really. F5.

The error names the cause, reads go on, nothing acknowledged is lost, nobody hangs; and once there is room again and
the store is opened again, appends go on.
"""

import random
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import counterpoint as cp
import pytest

from tests import child
from tests.budget import SEED, tries
from tests.disks import budget, mounts, writers
from tests.disks.needs import need

pytestmark = pytest.mark.timeout(tries(120, 0))

KIB, MIB = 1 << 10, 1 << 20
FULL = "No space left on device"
BALLAST = "ballast"
"""A file that keeps room, to be freed."""

KINDS = [pytest.param(kind, marks=need("mounting", "loop", kind)) for kind in ("ext4", "xfs", "btrfs")]


@contextmanager
def small_disk(home: Path, kind: str, room: int, ballast: int) -> Iterator[Path]:
    """A file system with about so many bytes left, beside the ballast."""
    if kind == "tmpfs":
        mounting = mounts.mounted("none", kind, home / "mount", f"size={room + ballast}")
    else:
        mounting = mounts.mounted(mounts.make(kind, home / "image"), kind, home / "mount")
    with mounting as at:
        (at / BALLAST).write_bytes(b"b" * ballast)
        if kind != "tmpfs":
            mounts.fill(at / "filling", room)
        yield at


def free(at: Path) -> None:
    (at / BALLAST).unlink()


def check_what_they_said(processes: list[writers.Writer], full: str = FULL, number: str = "28") -> None:
    """One met the full disk, the others were told of it."""
    opened = [process for process in processes if "open" not in process.failed]
    for process in processes:
        for tried in ("open", "append", "again"):
            if tried in process.failed:
                kind, errno, text = process.failed[tried]
                assert full in text, text
                assert (kind, errno) in (("StorageError", number), ("PoisonedError", "None")), text
    for process in opened:
        assert "append" in process.failed
        assert process.failed["again"][0] == "PoisonedError"
        told = (int(append.split()[2]) for _, _, append in process.told)
        assert process.read >= max(told, default=0)
        assert "read" not in process.failed
    assert any(
        process.failed.get(tried, ("", ""))[0] == "StorageError" for process in processes for tried in ("open", "append")
    )


def fill_and_free(
    at: Path, home: Path, checker: writers.Checker, count: int, **options: object
) -> list[writers.Writer]:
    """Processes append until the disk is full; then there is room again, and all is as it was."""
    with writers.writing(at / "store", count, None, **options) as processes:
        for process in processes:
            process.finish()
    check_what_they_said(processes)
    free(at)
    checker.check(at / "store", writers.acknowledged(processes), home / "told", appends=True)
    return processes


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("segment_bytes", [4 * KIB, 64 * KIB, 64 * MIB])
@need("mounting")
def test_a_full_disk_in_memory_is_told_of_and_appends_go_on_once_there_is_room(
    tmp_path: Path, checker: writers.Checker, segment_bytes: int, count: int
) -> None:
    chance = random.Random(f"{SEED} {segment_bytes} {count}")
    for turn in budget.turns(2, 160):
        room = int(64 * KIB * 128 ** chance.random())
        home = tmp_path / f"{turn}"
        home.mkdir()
        with small_disk(home, "tmpfs", room, 2 * MIB + 2 * segment_bytes if segment_bytes < MIB else 8 * MIB) as at:
            durability = chance.choice(["fsync", "os"])
            fill_and_free(at, home, checker, count, segment_bytes=segment_bytes, durability=durability)


@pytest.mark.parametrize("durability", ["fsync", "os"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_full_device_is_told_of_and_appends_go_on_once_there_is_room(
    tmp_path: Path, checker: writers.Checker, kind: str, durability: str
) -> None:
    for turn in budget.turns(1, 20):
        home = tmp_path / f"{turn}"
        home.mkdir()
        with small_disk(home, kind, 300 * KIB, 4 * MIB) as at:
            processes = fill_and_free(at, home, checker, 3, segment_bytes=4 * KIB, durability=durability)
            assert writers.acknowledged(processes)
