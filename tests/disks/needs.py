"""What tests of real disks need of the machine. Where it is missing they are skipped, and say why."""

import os
import shutil
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest


def _runs(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 0


def _mounting() -> str:
    if os.geteuid() != 0:
        return "mounting needs root"
    return "" if _runs("unshare", "--mount", "true") else "this root may not mount"


def _loop() -> str:
    return "" if _runs("losetup", "--find") else "there is no loop device"


def _fuse() -> str:
    return "" if os.access("/dev/fuse", os.R_OK | os.W_OK) else "there is no /dev/fuse that may be opened"


def _program(name: str) -> str:
    return "" if shutil.which(name) else f"{name} is not installed"


def _file_system(name: str) -> str:
    known = name in Path("/proc/filesystems").read_text().split() or _runs("modprobe", "--quiet", name)
    return _program(f"mkfs.{name}") if known else f"the kernel has no {name}"


_NEEDS: dict[str, Callable[[], str]] = {
    "mounting": _mounting,
    "loop": _loop,
    "fuse": _fuse,
    "ext4": lambda: _file_system("ext4"),
    "xfs": lambda: _file_system("xfs"),
    "btrfs": lambda: _file_system("btrfs"),
    "strace": lambda: _program("strace") or ("" if _runs("strace", "true") else "nothing may be traced"),
}


@cache
def _lacks(need: str) -> str:
    return _NEEDS[need]()


def lacking(*needs: str) -> str:
    """What of this the machine lacks; empty if it has all."""
    return next(filter(None, map(_lacks, needs)), "")


def need(*needs: str) -> pytest.MarkDecorator:
    """Skips a test unless the machine has all of this."""
    reason = lacking(*needs)
    return pytest.mark.skipif(bool(reason), reason=reason or "nothing is lacking")
