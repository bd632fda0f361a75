"""Rows about subscriptions: how soon an event that was appended is there, in the process and in another."""

import statistics
import threading
import time
from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path

from benches.family import Child
from benches.peers import OpenStore, Peer
from benches.results import Measured
from benches.run import Run
from benches.workload import fresh_event

PAUSE_SECONDS = 0.002
"""Between two appends, so that the subscriber waits again before each."""


def subscribe(run: Run) -> None:
    """Measure how long after an acknowledgement one that waits in a subscription has the event."""
    appends = max(3, int(run.settings.seconds * 400))
    stores = {name: (peer, run.path(name, "empty")) for name, peer in run.peers.items()}
    delays: tuple[tuple[str, Callable[[str, Peer, Path, int], Measured]], ...] = (
        ("subscription", _in_a_process),
        ("subscription between processes", _between_processes),
    )
    for what, delay in delays:
        run.interleave(
            what, {name: partial(delay, name, peer, path, appends) for name, (peer, path) in stores.items()}
        )


def _in_a_process(name: str, peer: Peer, path: Path, appends: int) -> Measured:
    received: list[int] = []
    with peer.open(path) as store:
        events = store.subscribe(store.head())

        def receive() -> None:
            received.extend(time.perf_counter_ns() for _ in islice(events, appends))

        receiver = threading.Thread(target=receive, name=f"subscriber of {name}", daemon=True)
        receiver.start()
        acknowledged = _append(store, appends)
        receiver.join()
    return {"subscription": middle_delay(acknowledged, received)}


def _between_processes(name: str, peer: Peer, path: Path, appends: int) -> Measured:
    with peer.open(path) as store, Child("receive", name, path, str(appends)) as child:
        child.ready()
        child.go()
        acknowledged = _append(store, appends)
        received: list[int] = child.result()
    return {"subscription.processes": middle_delay(acknowledged, received)}


def _append(store: OpenStore, appends: int) -> list[int]:
    acknowledged = []
    for _ in range(appends):
        time.sleep(PAUSE_SECONDS)
        store.append_conditional(fresh_event(), store.head())
        acknowledged.append(time.perf_counter_ns())
    return acknowledged


def middle_delay(acknowledged: list[int], received: list[int]) -> float:
    """Return the microseconds of the delay in the middle; negative if the event comes before the answer."""
    delays = [after - before for before, after in zip(acknowledged, received, strict=True)]
    return statistics.median(delays) / 1000
