"""How the figures change while one store grows: `python -m benches.growth`.

From 10 thousand to 10 million events, 100 million with COUNTERPOINT_SOAK=1, SQLite beside it as far as that
is cheap. Writes `growth.json` and `growth.md`; `python -m benches.plots` draws them.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

from rich.console import Console

from benches import machine
from benches.appending import FINER, conditional, filling, record_bytes
from benches.growth_table import markdown
from benches.life import killed_and_opened, opening, weighed_in_child
from benches.limits import RecordReads, SyncLoop
from benches.peers import OURS, OpenStore, Peer, load, stored_bytes
from benches.reading import count_others_twice, measure_reads
from benches.results import LIMIT, Latencies, Measured, medians, paired
from benches.run import Run, Settings
from benches.table import DIRECTORY, described, say_left_out, stores_in
from benches.workload import PER_ORDER, History, order_tag

SIZES = (10_000, 30_000, 100_000, 300_000, 1_000_000, 3_000_000, 10_000_000, 30_000_000, 100_000_000)
MOST = 10_000_000
MOST_IN_SOAK = 100_000_000
MOST_OF_OTHERS = 1_000_000
QUICK_SIZES = (400, 1200)
READ_ORDERS = 2000
FASTEST = 20_000
STORE = "growing"


@dataclass
class Growth:
    """One store that grows."""

    peer: Peer
    most: int
    """It grows no further than this."""
    first_order: int = 0
    history: History = field(default_factory=lambda: History(0))
    """Its newest stretch."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Grow, measure, and show."""
    options = _parser().parse_args(arguments)
    console = Console(highlight=False, width=200)
    directory: Path = options.directory.resolve()
    directory.mkdir(parents=True, exist_ok=True)
    planned = QUICK_SIZES if options.quick else sizes(options.most)
    settings = Settings.quick() if options.quick else Settings()
    peers = {name: load(name) for name in (OURS, "sqlite")}
    points, left_out = [], list[str]()
    with stores_in(directory) as stores, console.status("") as status:
        facts = described(directory, peers, settings, console)
        growing = {
            name: Growth(peer, planned[-1] if name == OURS else MOST_OF_OTHERS)
            for name, peer in peers.items()
        }
        for size in planned:
            status.update(f"growing to {size:,} events ...")
            points.append(_point(growing, size, settings, stores, left_out))
    facts["load after"] = machine.load()
    titles = {name: peer.title for name, peer in peers.items()}
    everything = {"facts": facts, "titles": titles, "left out": left_out, "points": points}
    (directory / "growth.json").write_text(json.dumps(everything, indent=1) + "\n")
    text = markdown(everything)
    (directory / "growth.md").write_text(text)
    console.print(text, markup=False, soft_wrap=True)
    say_left_out(console, left_out)
    console.print(f"written: {directory}/growth.md and growth.json")
    return 0


def sizes(most: int | None) -> tuple[int, ...]:
    """Return the sizes up to `most` events, or up to as many as this run is for."""
    soak = os.environ.get("COUNTERPOINT_SOAK") == "1"
    most = most or (MOST_IN_SOAK if soak else MOST)
    return tuple(size for size in SIZES if size <= most)


def _point(
    growing: dict[str, Growth], size: int, settings: Settings, stores: Path, left_out: list[str]
) -> dict[str, Any]:
    """Let every store that still grows reach a size, and measure it there."""
    peers = {name: growth.peer for name, growth in growing.items() if size <= growth.most}
    run = Run(settings, peers, stores, left_out=left_out)
    record = record_bytes(run, 1)
    events = {name: _grow(run, name, growing[name], size) for name in peers}
    # What growing left to be written would be written while others are measured.
    os.sync()
    with (
        SyncLoop(stores / "limit", record, settings.seconds) as limit,
        run.opened("growth", STORE) as opened,
    ):
        _append(run, opened, limit)
        with (
            peers[OURS].open_uncached(run.path(OURS, STORE)) as uncached,
            RecordReads(_log(run), record, PER_ORDER, PER_ORDER * READ_ORDERS) as bare,
        ):
            reads = {
                name: _read("one_tag.again", store, growing[name].history, settings)
                for name, store in opened.items()
            }
            reads[f"{OURS}:first"] = _read("one_tag", uncached, growing[OURS].history, settings)
            reads[LIMIT] = measure_reads("one_tag", bare.read, settings.seconds / 2)
            run.interleave("one tag", reads)
            count_others_twice(run, "one_tag")
    lives: dict[str, Callable[[], Measured]] = {}
    for name, peer in peers.items():
        lives[name] = opening("open.clean", peer, run.path(name, STORE))
        lives[f"{name}:killed"] = killed_and_opened(name, peer, run.path(name, STORE))
    run.interleave("opening", lives)
    for name in peers:
        for key, value in weighed_in_child(name, run.path(name, STORE)).items():
            run.samples.setdefault(key, {})[name] = [value]
    return {
        "events": events[OURS],
        "median": medians(run.samples),
        "of limit": {
            name: paired(run.samples["append"].get(name), run.samples["append"][LIMIT]) for name in peers
        },
    }


def _grow(run: Run, name: str, growth: Growth, size: int) -> int:
    """Append a stretch of history; return the number of events then."""
    path = run.path(name, STORE)
    with growth.peer.open(path) as store:
        # Orders of its own, spread over the whole stretch, which is most of the log.
        growth.history = History(size - store.head(), growth.first_order)
        growth.first_order += growth.history.orders
        for key, rate in filling(store, growth.history, 1)().items():
            run.samples.setdefault(key, {})[name] = [rate]
        store.settle()
        events = store.head()
    sizes = {"disk": growth.peer.used_bytes(path), "disk.stored": stored_bytes(path)}
    for key, total in sizes.items():
        run.samples.setdefault(key, {})[name] = [total / events]
    return events


def _append(run: Run, stores: dict[str, OpenStore], limit: SyncLoop) -> None:
    seconds = run.settings.seconds / FINER

    def rate(call: Callable[[], object]) -> Measured:
        run.stock.fill(seconds * FASTEST)
        return {"append": Latencies.of(call, seconds).per_second}

    calls: dict[str, Callable[[], object]] = {
        name: conditional(run.stock, store) for name, store in stores.items()
    }
    calls[LIMIT] = limit.write
    for _ in range(FINER):
        run.interleave("appending", {name: partial(rate, call) for name, call in calls.items()})


def _log(run: Run) -> list[Path]:
    return sorted(run.path(OURS, STORE).glob("*.log"))


def _read(key: str, store: OpenStore, history: History, settings: Settings) -> Callable[[], Measured]:
    # In no order: a step that shares no divisor with the number of orders.
    step = next(step for step in (7919, 7907, 7901) if history.orders % step)
    tags = cycle(
        [order_tag(history.first_order + turn * step % history.orders) for turn in range(READ_ORDERS)]
    )

    def read() -> None:
        found = len(store.read(tags=[next(tags)]))
        if found != PER_ORDER:
            raise AssertionError(f"{found} events were found and not {PER_ORDER}")

    return measure_reads(key, read, settings.seconds / 2)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benches.growth", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that everything works")
    parser.add_argument("--most", type=int, help=f"events to grow to ({MOST:,})")
    parser.add_argument("--directory", type=Path, default=DIRECTORY, help="on the disk that is measured")
    return parser


if __name__ == "__main__":
    sys.exit(main())
