"""Raw limits: what the disk and the memory of the machine give to anybody, measured beside the stores."""

import os
import random
import time
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate, cycle, islice
from pathlib import Path
from types import TracebackType
from typing import Self

from benches.results import Latencies

PAGE_BYTES = 4096
MAX_BYTES = 64 << 20
WRITES_PER_SECOND = 20_000


class SyncLoop:
    """A bare loop of pwrite and fdatasync, on a file that is preallocated and zero-filled."""

    def __init__(self, path: Path, record_bytes: int, seconds: float) -> None:
        """Make the file; each write is of `record_bytes`, behind the one before, some `seconds` long."""
        self._record = b"x" * record_bytes
        self._capacity = max(record_bytes, min(MAX_BYTES, int(record_bytes * seconds * WRITES_PER_SECOND)))
        self._offset = 0
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        # The page cache keeps what one call wrote as one folio, and to sync a small record out of a large one
        # takes some 4 % longer: so the file is filled in steps of the size that will be written.
        zeros = bytes(max(PAGE_BYTES, record_bytes // PAGE_BYTES * PAGE_BYTES))
        for offset in range(0, self._capacity, len(zeros)):
            os.pwrite(self._file, zeros, offset)
        os.fsync(self._file)

    def write(self) -> None:
        """Write one record and sync."""
        if self._offset + len(self._record) > self._capacity:
            self._offset = 0
        os.pwrite(self._file, self._record, self._offset)
        os.fdatasync(self._file)
        self._offset += len(self._record)

    def run(self, seconds: float) -> Latencies:
        """Write for so long."""
        return Latencies.of(self.write, seconds)

    def __enter__(self) -> Self:
        """Return itself, to be closed at the end of the block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file."""
        os.close(self._file)


class RecordReads:
    """A bare loop of positioned reads of records at known places, all over some files."""

    def __init__(self, files: Sequence[Path], record_bytes: int, reads: int, places: int) -> None:
        """Choose so many places; each call makes `reads` reads, and they are all visited in turn."""
        self._files = [os.open(file, os.O_RDONLY) for file in files]
        ends = list(accumulate(max(os.fstat(file).st_size - record_bytes, 1) for file in self._files))
        chosen = []
        for _ in range(places):
            at = random.randrange(ends[-1])
            number = bisect_right(ends, at)
            chosen.append((self._files[number], at - (ends[number - 1] if number else 0)))
        self._places = cycle(chosen)
        self._reads = reads
        self._buffers = (bytearray(record_bytes),)

    def read(self) -> None:
        """Read some records."""
        for file, offset in islice(self._places, self._reads):
            os.preadv(file, self._buffers, offset)

    def __enter__(self) -> Self:
        """Return itself, to be closed at the end of the block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the files."""
        for file in self._files:
            os.close(file)


def copied_bytes_per_second(size: int = 64 << 20) -> float:
    """Return how fast one thread copies memory."""
    source, target = bytearray(os.urandom(1 << 16)) * (size >> 16), bytearray(size)
    start = time.perf_counter()
    target[:] = source
    return size / (time.perf_counter() - start)
