"""File systems for a test: mounted in a namespace of mounts of its own.

The namespace goes with the processes that are in it, and its mounts and loop devices with it: a test run that
is killed leaves none behind.
"""

import ctypes
import errno
import fcntl
import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests import child
from tests.disks.device import Page

_NEW_MOUNTS = 0x00020000
_SHUTDOWN = 0x8004587D
"""The request of both ext4 and XFS to stop at once, as after an error that they cannot live with."""

_PROCESS_MADVISE, _PAGE_OUT = 440, 21

SYNCED_FIRST, LOG_SYNCED_FIRST, AT_ONCE = 0, 1, 2
"""What a file system may still write when it is shut down."""

SMALLEST = {"ext4": 64 << 20, "xfs": 300 << 20, "btrfs": 128 << 20}
"""Bytes of the device that each is made on here. Files with holes: they take what is written."""

_MAKE = {
    # The sizes of blocks and inodes are those of a disk of usual size, not of a small one.
    "ext4": [
        "mkfs.ext4",
        "-q",
        "-F",
        "-b",
        "4096",
        "-I",
        "256",
        "-N",
        "4096",
        "-E",
        "lazy_itable_init=0,nodiscard",
    ],
    "xfs": ["mkfs.xfs", "-q", "-f", "-K"],
    "btrfs": ["mkfs.btrfs", "-q", "-f", "-K", "--mixed"],
}


def command(*words: object) -> None:
    """Runs a program, which must succeed."""
    done = subprocess.run(
        [*map(str, words)], capture_output=True, text=True, timeout=child.PATIENCE, check=False
    )
    assert done.returncode == 0, (words, done.returncode, done.stderr)


@contextmanager
def namespace() -> Iterator[None]:
    """Mounts that only this thread, and what it starts, can see."""
    libc = ctypes.CDLL(None, use_errno=True)

    def check(result: int) -> None:
        if result != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    before, directory = os.open("/proc/thread-self/ns/mnt", os.O_RDONLY), Path.cwd()
    try:
        check(libc.unshare(_NEW_MOUNTS))
        try:
            command("mount", "--make-rprivate", "/")
            yield
        finally:
            check(libc.setns(before, _NEW_MOUNTS))
            os.chdir(directory)
    finally:
        os.close(before)


@contextmanager
def mounted(what: Path | str, kind: str, at: Path, *options: str) -> Iterator[Path]:
    """A file system on a file or, for tmpfs, on nothing, mounted at a directory."""
    at.mkdir(exist_ok=True)
    loop = [] if kind == "tmpfs" else ["loop"]
    command("mount", "-t", kind, "-o", ",".join([*loop, *options]) or "defaults", what, at)
    try:
        yield at
    finally:
        unmount(at)


def unmount(at: Path) -> None:
    """Unmounts, when the processes that were killed there have gone."""
    until = time.monotonic() + 10
    while subprocess.run(["umount", at], capture_output=True, timeout=child.PATIENCE, check=False).returncode:
        if time.monotonic() > until:
            command("umount", "--lazy", at)
            raise AssertionError(f"{at} is in use by somebody who should have ended")
        time.sleep(0.01)


def make(kind: str, image: Path, size: int | None = None) -> Path:
    """Makes an image with an empty file system."""
    with image.open("wb") as file:
        file.truncate(size or SMALLEST[kind])
    command(*_MAKE[kind], image)
    return image


class Disk:
    """A device that can fail and has a journal, as a file that can be mounted."""

    def __init__(self, home: Path, image: Path) -> None:
        self.file, self.image, self.journal = home / "device", image, home / "journal"
        self.page_file = home / "page"
        self.page = Page.make(self.page_file)
        self.file.touch()
        self.journal.write_bytes(b"")


@contextmanager
def disk(home: Path, image: Path) -> Iterator[Disk]:
    """Serves an image as such a device."""
    made = Disk(home, image)
    program = [sys.executable, "-m", "tests.disks.device", made.file, image, made.journal, made.page_file]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", *map(str, program)], env=environment, stdout=subprocess.PIPE
    ) as server:
        assert server.stdout is not None
        try:
            assert server.stdout.readline() == b"mounted\n"
            try:
                yield made
            finally:
                unmount(made.file)
            assert server.wait(child.PATIENCE) == 0
        finally:
            server.send_signal(signal.SIGKILL)


def fill(file: Path, leave: int = 0) -> None:
    """Makes a file that takes all the room that its file system has left, but for so many bytes."""
    end, step = 0, 64 << 20
    try:
        with file.open("wb") as filling:
            while step >= 512:
                try:
                    os.posix_fallocate(filling.fileno(), end, step)
                    end += step
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    step //= 2
            filling.truncate(max(0, end - leave))
    except OSError as error:
        if error.errno != errno.ENOSPC:  # There is none for an empty file.
            raise


def forget_pages(store: Path, process: int) -> None:
    """Has the kernel let go of what it has in memory of a store's files and can read again.

    That includes what the process has mapped of its index.
    """
    libc, pidfd = ctypes.CDLL(None, use_errno=True), os.pidfd_open(process)
    try:
        for line in Path(f"/proc/{process}/maps").read_text().splitlines():
            if line.endswith(".idx"):
                start, end = (int(number, 16) for number in line.split()[0].split("-"))
                told = (ctypes.c_size_t * 2)(start, end - start)
                done = libc.syscall(_PROCESS_MADVISE, pidfd, told, ctypes.c_size_t(1), _PAGE_OUT, 0)
                assert done == end - start, os.strerror(ctypes.get_errno())
    finally:
        os.close(pidfd)
    for file in store.iterdir():
        with file.open("rb") as opened:
            os.fsync(opened)
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def shut_down(at: Path, how: int) -> None:
    """Has the file system stop working, as ext4 and XFS do when their device fails."""
    directory = os.open(at, os.O_RDONLY)
    try:
        fcntl.ioctl(directory, _SHUTDOWN, struct.pack("I", how))
    finally:
        os.close(directory)
