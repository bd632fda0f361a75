"""The engines without Python, ours and tephra's: `python -m benches.engines`.

Runs the program in `benches/rust`, writes `engines.json` and `engines.md`. Without Cargo or the crates it
says what it left out, and ends well.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from rich.console import Console

from benches.appending import record_bytes
from benches.family import ROOT
from benches.install import failure
from benches.limits import SyncLoop, copied_bytes_per_second
from benches.peers import OURS, load
from benches.report import Report
from benches.results import LIMIT, Measured, Row, judge
from benches.run import Run, Settings
from benches.table import DIRECTORY, described, say_left_out, stores_in
from benches.workload import PAYLOAD_BYTES, History

PROJECT = ROOT / "benches" / "rust"
TARGET = ROOT / "target" / "engines"
TITLES = {OURS: "Counterpoint", "tephra": "tephra"}
SECONDS = 900
"""A round of an engine that takes longer is stuck."""


def rows(history: History, threads: Sequence[int]) -> list[Row]:
    """Return all rows, in their order."""
    events = f"{history.events:,}"
    return [
        *(
            Row(f"append.{count}", f"conditional append, {count} thread{'s'[: count > 1]}", "per s", "more")
            for count in threads
        ),
        Row("bulk", "unconditional, 1,000 events per append", "events/s", "more"),
        Row("replay", f"full read of {events} events", "events/s", "more"),
        Row("one_tag", "one tag, 10 events", "µs", "less"),
        Row("two_tags", "two tags ANDed, 10 events", "µs", "less"),
        Row("type", "type only, 10 events", "µs", "less"),
        Row("last", "last event of a tag", "µs", "less"),
        Row("disk.bulk", f"bytes on disk per event of {PAYLOAD_BYTES} bytes, bulk", "bytes", "less"),
        Row("open.clean", f"open {events} events after a clean close", "ms", "less"),
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Build, measure, and show."""
    options = _parser().parse_args(arguments)
    settings = Settings.quick() if options.quick else Settings()
    console = Console(highlight=False, width=160)
    directory: Path = options.directory.resolve()
    directory.mkdir(parents=True, exist_ok=True)
    program: Path | None = options.program
    if program is None:
        said = build()
        if said:
            say_left_out(console, [f"the engines: {said}"])
            return 0
        program = TARGET / "release" / "engines"
    peers = {OURS: load(OURS)}
    with stores_in(directory) as stores:
        facts = described(directory, peers, settings, console)
        facts["tephra"] = locked("tephra")
        run = Run(settings, peers, stores)
        threads = (1, *settings.threads)
        _measure(run, program, threads)
    titles = {name: title for name, title in TITLES.items() if name in run.samples["bulk"]}
    results = judge(rows(run.history, threads), run.samples, OURS, run.history.events)
    report = Report(results, titles, facts, run.left_out)
    (directory / "engines.json").write_text(report.json())
    (directory / "engines.md").write_text(report.markdown())
    console.print(report.table())
    say_left_out(console, run.left_out)
    console.print(f"written: {directory}/engines.md and engines.json")
    return 0


def build() -> str | None:
    """Build the program; return None, or a line that says why that failed."""
    cargo = shutil.which("cargo")
    if cargo is None:
        return "there is no cargo"
    manifest = str(PROJECT / "Cargo.toml")
    return failure(
        [cargo, "build", "--release", "--locked", "--manifest-path", manifest, "--target-dir", str(TARGET)]
    )


def locked(crate: str) -> str:
    """Return the version of a crate in the program's lock file."""
    packages = tomllib.loads((PROJECT / "Cargo.lock").read_text())["package"]
    return next(str(package["version"]) for package in packages if package["name"] == crate)


def _measure(run: Run, program: Path, threads: Sequence[int]) -> None:
    seconds = run.settings.seconds
    record = record_bytes(run, 1)
    with SyncLoop(run.directory / "limit", record, seconds) as limit:
        subjects: dict[str, Callable[[], Measured]] = {
            name: partial(one_round, program, name, run, threads) for name in TITLES
        }
        subjects[LIMIT] = lambda: {
            "append.1": limit.run(seconds).per_second,
            "replay": copied_bytes_per_second() / PAYLOAD_BYTES,
            "disk.bulk": PAYLOAD_BYTES,
        }
        run.interleave("the engine", subjects, patience=SECONDS)


def one_round(program: Path, name: str, run: Run, threads: Sequence[int]) -> Measured:
    """Run the program once for one engine, on a new directory."""
    path = run.path(name, "engine")
    path.mkdir()
    try:
        sizes = (str(run.settings.events), str(run.settings.seconds), ",".join(map(str, threads)))
        command = [str(program), name, str(path), *sizes]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS)
    finally:
        run.remove(name, "engine")
    if done.returncode != 0:
        raise RuntimeError(f"it ended with {done.returncode}: {done.stderr.strip()}")
    measured: dict[str, float] = json.loads(done.stdout)
    return measured


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benches.engines", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that everything works")
    parser.add_argument("--program", type=Path, help="built already")
    parser.add_argument("--directory", type=Path, default=DIRECTORY, help="on the disk that is measured")
    return parser


if __name__ == "__main__":
    sys.exit(main())
