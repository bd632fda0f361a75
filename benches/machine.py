"""What a measurement was made on."""

import os
import platform
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from benches.peers import Peer

IN_MEMORY = ("tmpfs", "ramfs")
BUSY_SHARE = 0.2
BUSY_BYTES = 1e6


def describe(directory: Path, peers: Mapping[str, Peer]) -> dict[str, str]:
    """Return the facts that belong beside any figure."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    facts = {
        "machine": platform.node(),
        "processor": f"{_processor()}, {os.cpu_count()} cores, {memory / 2**30:.0f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "file system": file_system(directory),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "msgspec": version("msgspec"),
    }
    facts |= {name: peer.version for name, peer in peers.items()}
    return facts | {"date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"), "load before": load()}


def load() -> str:
    """Return the load average of the last minute: a machine at work measures something else."""
    return f"{os.getloadavg()[0]:.1f}"


class Others(NamedTuple):
    """What others do on the machine."""

    processors: float
    """The share of the processors that is at work."""
    disk: float
    """Bytes that are written each second."""

    def disturb(self) -> bool:
        """Say whether figures say little beside that."""
        return self.processors > BUSY_SHARE or self.disk > BUSY_BYTES

    def __str__(self) -> str:
        """Return it as a fact of a measurement."""
        return f"{self.processors:.0%} of the processors, {self.disk / 1e6:.1f} MB/s written"


def watch_others(directory: Path, seconds: float = 0.5) -> Others:
    """Watch for so long, doing nothing, what the processors and the disk of `directory` do for others.

    The load average would not do: it remembers what was measured before.
    """
    os.sync()  # or what was measured before would be written now
    ticks, written = _ticks(), written_bytes(directory) or 0
    time.sleep(seconds)
    total, idle = (after - before for after, before in zip(_ticks(), ticks, strict=True))
    wrote = (written_bytes(directory) or 0) - written
    return Others(1 - idle / total if total else 0.0, wrote / seconds)


def _ticks() -> tuple[int, int]:
    # See proc(5): user, nice, system, idle, iowait, irq, softirq, steal; guests are in user already.
    ticks = [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return sum(ticks), ticks[3] + ticks[4]


def file_system(directory: Path) -> str:
    """Return the type of the file system that holds `directory`, and where it is mounted."""
    path = directory.resolve()
    kind, found = "unknown", Path("/")
    for line in Path("/proc/self/mounts").read_text().splitlines():
        mount, type_ = line.split()[1:3]
        point = Path(mount.encode().decode("unicode_escape"))
        # The deepest counts, and of several on one point the last.
        if path.is_relative_to(point) and len(point.parts) >= len(found.parts):
            kind, found = type_, point
    return f"{kind} on {found}"


def in_memory(directory: Path) -> bool:
    """Say whether `directory` is in memory, where a sync costs nothing."""
    return file_system(directory).split()[0] in IN_MEMORY


def written_bytes(directory: Path) -> int | None:
    """Return what the device below `directory` has been made to write so far, by everybody; None if unknown.

    What /proc/self/io tells of this process alone is no use: it counts whole folios of the page cache, of 256
    KiB and more, where the device is given one block.
    """
    device = directory.stat().st_dev
    statistics = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}/stat")
    # The seventh field is in sectors, which are of 512 bytes whatever the device.
    return int(statistics.read_text().split()[6]) * 512 if statistics.exists() else None


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
