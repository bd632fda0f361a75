"""Counterpoint beside other stores and the limits of the machine, in one run: `python -m benches.table`.

Takes two or three minutes. Writes `results.json` and `results.md`, for the README, beside the stores, which
are removed at the end.
"""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from benches import machine
from benches.peers import OURS, PEERS, load
from benches.report import NOTES, Report
from benches.rows import measure
from benches.run import Run, Settings

DIRECTORY = Path(__file__).parents[1] / ".bench"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and show."""
    options = _parser().parse_args(arguments)
    settings = Settings(
        options.events, options.seconds, options.rounds, tuple(options.threads), options.singles
    )
    directory: Path = options.directory
    directory.mkdir(parents=True, exist_ok=True)
    peers = {name: load(name) for name in (OURS, *(name for name in options.peers if name != OURS))}
    facts = machine.describe(directory, peers)
    facts["settings"] = f"{settings.rounds} rounds of {settings.seconds:g} s"
    console = Console(highlight=False)
    warnings = []
    if machine.in_memory(directory):
        warnings.append(f"{directory} is in memory ({facts['file system']}): syncs cost nothing there")
    if machine.is_busy():
        warnings.append("others were at work on this machine: the figures say little, the ratios a bit more")
    if warnings:
        facts["warning"] = "; ".join(warnings)
        console.print(f"[red]{facts['warning']}")
    stores = Path(tempfile.mkdtemp(prefix="stores-", dir=directory))
    try:
        with console.status("") as status:
            results = measure(Run(settings, peers, stores), lambda step: status.update(f"{step} ..."))
    finally:
        shutil.rmtree(stores, ignore_errors=True)
    facts["load after"] = machine.load()
    report = Report(results, peers, facts)
    (directory / "results.json").write_text(report.json())
    (directory / "results.md").write_text(report.markdown())
    # A file or a pipe gets whole lines.
    wide = console if console.is_terminal else Console(highlight=False, width=200)
    wide.print(report.table())
    for note in NOTES:
        console.print(note, style="dim")
    loads = f"{facts['load before']} before, {facts['load after']} after"
    console.print(f"load average {loads}; written: {directory}/results.md and results.json")
    return 0


def _parser() -> argparse.ArgumentParser:
    default = Settings()
    parser = argparse.ArgumentParser(prog="python -m benches.table", description=__doc__)
    parser.add_argument("--events", type=int, default=default.events, help="stored before reads are measured")
    parser.add_argument("--seconds", type=float, default=default.seconds, help="one sample of a rate takes")
    parser.add_argument("--rounds", type=int, default=default.rounds)
    parser.add_argument("--threads", type=int, nargs="*", default=default.threads)
    parser.add_argument("--singles", type=int, default=default.singles, help="appends to take sizes over")
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=list(PEERS))
    parser.add_argument("--directory", type=Path, default=DIRECTORY, help="on the disk that is measured")
    return parser


if __name__ == "__main__":
    sys.exit(main())
