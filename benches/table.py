"""Counterpoint beside other stores and the limits of the machine, in one run: `python -m benches.table`.

Writes `results.json`, `results.md` for docs/performance.md and `readme.md` for the README beside the stores,
which are removed at the end. A store that cannot run here is left out, with a line that says why.
"""

import argparse
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from benches import machine
from benches.peers import OURS, PEERS, Cannot, Peer, load
from benches.report import NOTES, Report
from benches.rows import measure
from benches.run import Run, Settings

DIRECTORY = Path(__file__).parents[1] / ".bench"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and show."""
    options = _parser().parse_args(arguments)
    settings = Settings.quick() if options.quick else Settings()
    given = {name: getattr(options, name) for name in ("events", "seconds", "rounds", "singles")}
    settings = replace(settings, **{name: value for name, value in given.items() if value is not None})
    directory: Path = options.directory.resolve()
    directory.mkdir(parents=True, exist_ok=True)
    console = Console(highlight=False)
    with stores_in(directory) as stores:
        peers, missing = available([OURS, *options.peers], stores)
        facts = described(directory, peers, settings, console)
        run = Run(settings, dict(peers), stores, left_out=missing)
        with console.status("") as status:
            results = measure(run, lambda step: status.update(f"{step} ..."))
    facts["load after"] = machine.load()
    titles = {name: peer.title for name, peer in peers.items()}
    report = Report(results, titles, facts, run.left_out)
    (directory / "results.json").write_text(report.json())
    (directory / "results.md").write_text(report.markdown())
    (directory / "readme.md").write_text(report.short())
    # A file or a pipe gets whole lines.
    wide = console if console.is_terminal else Console(highlight=False, width=240)
    wide.print(report.table())
    for note in NOTES:
        console.print(note, style="dim")
    say_left_out(console, run.left_out)
    console.print(report.short(), markup=False, soft_wrap=True)
    loads = f"{facts['load before']} before, {facts['load after']} after"
    console.print(f"load average {loads}; written: {directory}/results.md, readme.md and results.json")
    return 0


def say_left_out(console: Console, lines: Iterable[str]) -> None:
    """Print a line for each thing that was left out."""
    for line in lines:
        console.print(f"left out: {line}", markup=False, soft_wrap=True)


def available(names: Iterable[str], stores: Path) -> tuple[dict[str, Peer], list[str]]:
    """Return those peers that can run with their stores here, by name, and a line for each other one."""
    peers, missing = dict[str, Peer](), list[str]()
    for name in dict.fromkeys(names):
        try:
            peer = load(name)
            peer.check(stores)
        except Cannot as reason:
            missing.append(f"all of {name}: {reason}")
        else:
            peers[name] = peer
    return peers, missing


def described(
    directory: Path, peers: Mapping[str, Peer], settings: Settings, console: Console
) -> dict[str, str]:
    """Return the facts of a run, and warn of those that spoil it."""
    facts = machine.describe(directory, peers)
    facts["settings"] = f"{settings.rounds} rounds of {settings.seconds:g} s"
    warnings = []
    if machine.in_memory(directory):
        warnings.append(f"{directory} is in memory ({facts['file system']}): syncs cost nothing there")
    others = machine.watch_others(directory)
    facts["others before"] = str(others)
    if others.disturb():
        warnings.append("others were at work on this machine: the figures say little, the ratios a bit more")
    if warnings:
        facts["warning"] = "; ".join(warnings)
        console.print(f"[red]{facts['warning']}")
    return facts


@contextmanager
def stores_in(directory: Path) -> Iterator[Path]:
    """Make a directory for stores, and remove it after the block, which SIGTERM ends as Ctrl-C does.

    Otherwise servers would be left behind.
    """
    stores = Path(tempfile.mkdtemp(prefix="stores-", dir=directory))
    # A server that runs as a user of its own comes through here to its store.
    stores.chmod(0o711)
    before = signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        yield stores
    finally:
        signal.signal(signal.SIGTERM, before)
        shutil.rmtree(stores, ignore_errors=True)


def _parser() -> argparse.ArgumentParser:
    default = Settings()
    parser = argparse.ArgumentParser(prog="python -m benches.table", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that everything works")
    parser.add_argument("--events", type=int, help=f"stored before reads are measured ({default.events:,})")
    parser.add_argument("--seconds", type=float, help=f"one sample of a rate takes ({default.seconds:g})")
    parser.add_argument("--rounds", type=int, help=f"({default.rounds})")
    parser.add_argument("--singles", type=int, help=f"appends to take sizes over ({default.singles:,})")
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=list(PEERS))
    parser.add_argument("--directory", type=Path, default=DIRECTORY, help="on the disk that is measured")
    return parser


if __name__ == "__main__":
    sys.exit(main())
