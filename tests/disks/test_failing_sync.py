"""A disk that fails to write a block: fdatasync says so once, and then succeeds while the block is gone.

The page cache shows the block all the same, so only a disk that really fails shows whether a store relies on
a sync that is tried again. I3, I8, I9, F2.
"""

import random
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.budget import SEED, tries
from tests.disks import mounts, writers
from tests.disks.needs import need

pytestmark = [pytest.mark.timeout(tries(120, 0)), need("mounting", "loop", "fuse", "ext4")]

FRAME = b"cpf\x01"
SEGMENT = b"cplog\r\n\x1a"
KS = range(1, tries(10, 50) + 1)
WRITERS = tries(2, 4)


def the_device_fails(
    home: Path, checker: writers.Checker, k: int, marker: bytes | None, *, remount: bool
) -> list[writers.Writer]:
    """Processes append to a store on a device that fails at the k-th block with `marker`, or at all flushes
    from then on. Checks what is there then, and returns what they said."""
    image, at = mounts.make("ext4", home / "image"), home / "mount"
    chance = random.Random(f"{SEED} {k} {marker!r}")
    with mounts.disk(home, image) as disk, ExitStack() as mounted:
        mounted.enter_context(mounts.mounted(disk.file, "ext4", at))
        with writers.writing(at / "store", WRITERS, disk.page_file) as processes:
            for process in processes:
                process.wait_for(chance.randint(1, 5))
            if marker is None:
                disk.page.fail_flushes(1 << 30)
            else:
                disk.page.fail_writes(marker, after=k - 1)
            for process in processes:
                process.finish()
        assert disk.page.failures == 1 or (marker is None and disk.page.failures)
        disk.page.heal()
        told = writers.acknowledged(processes)
        if not remount:
            # The page cache still shows what the disk never got.
            checker.check(at / "store", told, home / "told")
        mounted.close()
        mounted.enter_context(mounts.mounted(disk.file, "ext4", at))
        checker.check(at / "store", told, home / "told")
    return processes


def check_what_they_said(processes: list[writers.Writer]) -> None:
    """One met the failure, the others were told of it, and none had an append acknowledged that it began
    later."""
    for process in processes:
        assert all(failures == 0 for _, failures, _ in process.told)
        kind, number, text = process.failed["append"]
        assert (kind, number) in (("StorageError", "5"), ("PoisonedError", "None")), text
        assert "Input/output error" in text
        assert process.failed["again"][0] == "PoisonedError"
        assert process.read >= max(int(append.split()[2]) for _, _, append in process.told)
        assert "open" not in process.failed


@pytest.mark.parametrize("k", KS)
def test_nothing_is_acknowledged_after_a_block_that_the_disk_did_not_take(
    tmp_path: Path, checker: writers.Checker, k: int
) -> None:
    check_what_they_said(the_device_fails(tmp_path, checker, k, FRAME, remount=k % 2 == 0))


@pytest.mark.parametrize("k", KS[: tries(3, 50)])
def test_nothing_is_acknowledged_after_the_header_of_a_new_segment_did_not_reach_the_disk(
    tmp_path: Path, checker: writers.Checker, k: int
) -> None:
    check_what_they_said(the_device_fails(tmp_path, checker, k, SEGMENT, remount=k % 2 == 0))


@pytest.mark.parametrize("k", KS[: tries(2, 50)])
def test_nothing_is_acknowledged_after_a_flush_that_failed(
    tmp_path: Path, checker: writers.Checker, k: int
) -> None:
    """All flushes do, since the file system itself makes some whose failure it tells nobody.

    It may give up altogether then, and refuse to be read.
    """
    for process in the_device_fails(tmp_path, checker, k, None, remount=True):
        assert all(failures == 0 for _, failures, _ in process.told)
        kind, number, text = process.failed["append"]
        assert (kind, number) in (("StorageError", "5"), ("StorageError", "30"), ("PoisonedError", "None"))
        assert "Input/output error" in text or "Read-only file system" in text
        assert process.failed["again"][0] == "PoisonedError"
