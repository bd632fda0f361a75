"""A file system of one file, in the kernel's FUSE protocol: the root is the file itself.

Only as much of the protocol as a loop device asks for, so that nothing has to be installed.
"""

import ctypes
import errno
import os
import struct
from pathlib import Path
from typing import Protocol

MAX_WRITE = 1 << 20
"""Bytes of the largest write that the kernel hands over in one piece."""

_INIT, _DESTROY, _GETATTR, _SETATTR, _OPEN, _STATFS = 26, 38, 3, 4, 14, 17
_READ, _WRITE, _FSYNC, _FLUSH, _RELEASE = 15, 16, 20, 25, 18
_FORGET, _BATCH_FORGET, _INTERRUPT = 2, 42, 36
_UNANSWERED = {_FORGET, _BATCH_FORGET, _INTERRUPT}

_ASYNC_READ, _BIG_WRITES, _MAX_PAGES = 1 << 0, 1 << 5, 1 << 22
_DIRECT_IO = 1
_REGULAR_FILE = 0o100600

_HEADER = struct.Struct("<IIQQIIIHH")
_REPLY = struct.Struct("<IiQ")
_RANGE = struct.Struct("<QQI")
"""How the requests to read and to write begin: handle, offset, size."""
_RANGE_BYTES = 40


class Contents(Protocol):
    """What the file does. An OSError is what the kernel is told."""

    size: int

    def read(self, offset: int, count: int) -> bytes: ...
    def write(self, offset: int, data: bytes) -> None: ...
    def flush(self) -> None: ...


def mount(over: Path) -> int:
    """Mounts a file system over the file, and returns the descriptor that requests come from."""
    libc = ctypes.CDLL(None, use_errno=True)
    requests = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    options = f"fd={requests},rootmode={_REGULAR_FILE:o},user_id=0,group_id=0".encode()
    if libc.mount(b"device", bytes(over), b"fuse", 0, options) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(over))
    return requests


def serve(requests: int, contents: Contents) -> None:
    """Answers requests until the file system is unmounted."""
    while True:
        try:
            request = os.read(requests, MAX_WRITE + 4096)
        except OSError as error:
            if error.errno == errno.ENODEV:
                return
            if error.errno in (errno.ENOENT, errno.EINTR):  # The request was taken back.
                continue
            raise
        _, operation, unique, *_ = _HEADER.unpack_from(request)
        if operation in _UNANSWERED:
            continue
        try:
            code, answer = 0, _answer(contents, operation, memoryview(request)[_HEADER.size :])
        except OSError as error:
            code, answer = -(error.errno or errno.EIO), b""
        try:
            os.write(requests, _REPLY.pack(_REPLY.size + len(answer), code, unique) + answer)
        except FileNotFoundError:  # Whoever asked was killed.
            continue


def _answer(contents: Contents, operation: int, body: memoryview) -> bytes:
    if operation == _WRITE:
        _, offset, size = _RANGE.unpack_from(body)
        contents.write(offset, bytes(body[_RANGE_BYTES : _RANGE_BYTES + size]))
        return struct.pack("<II", size, 0)
    if operation == _READ:
        _, offset, size = _RANGE.unpack_from(body)
        return contents.read(offset, size)
    if operation == _FSYNC:
        contents.flush()
        return b""
    if operation == _INIT:
        pages = MAX_WRITE // 4096
        flags = _ASYNC_READ | _BIG_WRITES | _MAX_PAGES
        return struct.pack("<IIIIHHIIHHI28x", 7, 31, MAX_WRITE, flags, 64, 48, MAX_WRITE, 1, pages, 0, 0)
    if operation in (_GETATTR, _SETATTR):
        # Valid for an hour: number, size, blocks, three times, their fractions, mode, links, owners, ...
        size, blocks = contents.size, contents.size // 512
        what = struct.pack("<6Q10I", 1, size, blocks, 0, 0, 0, 0, 0, 0, _REGULAR_FILE, 1, 0, 0, 0, 4096, 0)
        return struct.pack("<QII", 3600, 0, 0) + what
    if operation == _OPEN:
        return struct.pack("<QII", 0, _DIRECT_IO, 0)
    if operation == _STATFS:
        return struct.pack("<5Q4I24x", 0, 0, 0, 0, 0, 4096, 255, 4096, 0)
    if operation in (_FLUSH, _RELEASE, _DESTROY):
        return b""
    raise OSError(errno.ENOSYS, "not needed")
