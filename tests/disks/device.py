"""A block device that keeps a journal of its writes and flushes, and fails when it is told to.

It is a file in a file system of its own, for a loop device to stand on, served by this program: a test talks
to it through a page of memory that both map.

Usage: python -m tests.disks.device FILE IMAGE JOURNAL PAGE
"""

import errno
import mmap
import os
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.disks import fuse

PAGE_BYTES = 4096
_MARKER = slice(2048, 2112)
"""Where in the page the bytes are that a failing write has to contain."""

_RECORD = struct.Struct("<QI")
_FLUSH = (1 << 64) - 1


class Page:
    """What a device and a test tell each other."""

    def __init__(self, path: Path) -> None:
        with path.open("r+b") as file:
            self._page = mmap.mmap(file.fileno(), PAGE_BYTES)
        self._words = memoryview(self._page).cast("Q")

    @staticmethod
    def make(path: Path) -> "Page":
        path.write_bytes(bytes(PAGE_BYTES))
        return Page(path)

    @property
    def sequence(self) -> int:
        """How many writes and flushes there have been."""
        return self._words[0]

    @property
    def failures(self) -> int:
        """How many requests have failed as told."""
        return self._words[1]

    def fail_writes(self, marker: bytes, *, after: int = 0, times: int = 1) -> None:
        """From now on the writes that contain `marker` fail, `times` of them, once `after` have passed."""
        assert 0 < len(marker) <= 64
        self._page[_MARKER] = marker.ljust(64, b"\0")
        self._words[4] = len(marker)
        self._words[3] = after
        self._words[2] = times

    def fail_flushes(self, times: int) -> None:
        """From now on so many flushes fail."""
        self._words[5] = times

    def fail_reads(self, times: int) -> None:
        """From now on so many reads fail."""
        self._words[6] = times

    def heal(self) -> None:
        """From now on nothing fails."""
        self._words[2] = self._words[5] = self._words[6] = 0

    # What follows is for the device.

    def count(self) -> None:
        self._words[0] += 1

    def fails_write(self, data: bytes) -> bool:
        if not self._words[2] or bytes(self._page[_MARKER])[: self._words[4]] not in data:
            return False
        if self._words[3]:
            self._words[3] -= 1
            return False
        return self._fails(2)

    def fails_flush(self) -> bool:
        return self._fails(5)

    def fails_read(self) -> bool:
        return self._fails(6)

    def _fails(self, word: int) -> bool:
        if not self._words[word]:
            return False
        self._words[word] -= 1
        self._words[1] += 1
        return True


class Device:
    """What the file does."""

    def __init__(self, image: Path, journal: Path, page: Page) -> None:
        self._image = os.open(image, os.O_RDWR)
        self.size = os.fstat(self._image).st_size
        self._journal = journal.open("ab", buffering=0)
        self._page = page

    def read(self, offset: int, count: int) -> bytes:
        if self._page.fails_read():
            raise OSError(errno.EIO, "told to fail")
        return os.pread(self._image, count, offset)

    def write(self, offset: int, data: bytes) -> None:
        # One that changes nothing loses nothing: the last block of a file that was cut is written again.
        if os.pread(self._image, len(data), offset) != data and self._page.fails_write(data):
            raise OSError(errno.EIO, "told to fail")
        os.pwrite(self._image, data, offset)
        self._journal.write(_RECORD.pack(offset, len(data)) + data)
        self._page.count()

    def flush(self) -> None:
        if self._page.fails_flush():
            raise OSError(errno.EIO, "told to fail")
        self._journal.write(_RECORD.pack(_FLUSH, 0))
        self._page.count()


@dataclass(frozen=True)
class Write:
    """An entry of the journal."""

    offset: int
    data: bytes


def entries(journal: Path) -> Iterator[Write | None]:
    """The writes of a journal in order, with None for each flush."""
    with journal.open("rb") as file:
        while record := file.read(_RECORD.size):
            offset, length = _RECORD.unpack(record)
            yield None if offset == _FLUSH else Write(offset, file.read(length))


def main(file: Path, image: Path, journal: Path, page: Path) -> None:
    requests = fuse.mount(file)
    print("mounted", flush=True)
    fuse.serve(requests, Device(image, journal, Page(page)))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
