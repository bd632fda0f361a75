"""What has to happen in a process of its own: being one of many, being killed, and being weighed.

python -m benches.child die|weigh|append|receive PEER PATH [SECONDS|EVENTS]
"""

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

from benches.peers import Cannot, Peer, load
from benches.weigh import weigh
from benches.workload import Stock, fresh_event

LAST_APPENDS = 20
FASTEST = 20_000
"""More appends per second than these are not prepared for."""


def die(peer: Peer, path: Path) -> None:
    """Open a store, append a little, and be killed, the server first."""
    store = peer.open(path)
    for _ in range(LAST_APPENDS):
        store.append_conditional(fresh_event(), store.head())
    store.kill()
    os.kill(os.getpid(), signal.SIGKILL)


def append(peer: Peer, path: Path, seconds: str) -> None:
    """Append for so long, together with others; say how often, and when it was over."""
    stock = Stock()
    with peer.join(path) as store:
        stock.fill(float(seconds) * FASTEST)
        # What a store makes for its first append is not measured.
        head = store.append_conditional(stock.take(), store.head())
        _begin()
        now = time.perf_counter()
        end, appends = now + float(seconds), 0
        while now < end:
            head = store.append_conditional(stock.take(), head)
            appends += 1
            now = time.perf_counter()
        _say({"result": {"appends": appends, "end": now}})


def receive(peer: Peer, path: Path, events: str) -> None:
    """Subscribe, and say when each of so many events came."""
    with peer.join(path) as store:
        subscription = store.subscribe(store.head())
        _begin()
        _say({"result": [time.perf_counter_ns() for _ in islice(subscription, int(events))]})


def _begin() -> None:
    _say({"ready": True})
    sys.stdin.readline()


def _say(message: object) -> None:
    print(json.dumps(message), flush=True)


def main(job: str, name: str, path: str, *arguments: str) -> None:
    """Do one job. One that others wait for says so if its store refuses."""
    told: dict[str, Callable[[Peer, Path, str], None]] = {"append": append, "receive": receive}
    if job in told:
        try:
            told[job](load(name), Path(path), *arguments)
        except Cannot as reason:
            _say({"error": str(reason)})
        except Exception as error:
            _say({"error": f"{type(error).__name__}: {error}"})
    elif job == "weigh":
        print(json.dumps(weigh(name, Path(path))))
    else:
        die(load(name), Path(path))


if __name__ == "__main__":
    main(*sys.argv[1:])
