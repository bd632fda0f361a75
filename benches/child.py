"""What has to happen in a process of its own: being killed, and being weighed.

python -m benches.child die|weigh PEER PATH
"""

import json
import os
import signal
import sys
from pathlib import Path

from benches.peers import load
from benches.workload import fresh_event

LAST_APPENDS = 20


def die(peer: str, path: Path) -> None:
    """Open a store, append a little, and be killed."""
    store = load(peer).open(path)
    for _ in range(LAST_APPENDS):
        store.append_conditional(fresh_event(), store.head())
    os.kill(os.getpid(), signal.SIGKILL)


def weigh(peer: str, path: Path) -> None:
    """Say what a store adds to this process, idle and while everything is read, in MiB."""
    bare = _resident("VmRSS")
    with load(peer).open(path) as store:
        store.head()
        idle = _resident("VmRSS")
        # Makes the kernel forget the peak so far, which was that of opening: see proc(5).
        Path("/proc/self/clear_refs").write_text("5")
        store.replay()
        peak = _resident("VmHWM")
    print(json.dumps({"memory.idle": idle - bare, "memory.replay": max(0.0, peak - idle)}))


def _resident(what: str) -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{what}:"):
            return int(line.split()[1]) / 1024
    raise LookupError(f"/proc/self/status does not tell {what}")


if __name__ == "__main__":
    job, peer_name, store_path = sys.argv[1:]
    {"die": die, "weigh": weigh}[job](peer_name, Path(store_path))
