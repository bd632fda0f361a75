"""What a store takes of memory, for a process that does nothing else."""

from pathlib import Path

from benches.peers import load
from benches.peers.server import resident_mib


def weigh(peer: str, path: Path) -> dict[str, float]:
    """Open a store, read everything, and return what it takes here and in its server, in MiB.

    `memory.idle` is what opening adds, `memory.replay` what a full read adds to that at its peak. `opened`
    and `replayed` are all that is resident in this process then, and the part of it that no file backs.
    """
    bare = _resident("VmRSS")
    with load(peer).open(path) as store:
        store.head()
        opened = _resident("VmRSS"), _resident("RssAnon")
        served = resident_mib(store.server())
        # Makes the kernel forget the peak so far, which was that of opening: see proc(5).
        Path("/proc/self/clear_refs").write_text("5")
        store.replay()
        peak, served_after = _resident("VmHWM"), resident_mib(store.server())
        replayed = _resident("VmRSS"), _resident("RssAnon")
    return {
        "memory.idle": opened[0] - bare + served,
        "memory.replay": max(0.0, peak - opened[0]) + max(0.0, served_after - served),
        "memory.opened": opened[0],
        "memory.opened.anonymous": opened[1],
        "memory.replayed": replayed[0],
        "memory.replayed.anonymous": replayed[1],
    }


def _resident(what: str) -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{what}:"):
            return int(line.split()[1]) / 1024
    raise LookupError(f"/proc/self/status does not tell {what}")
