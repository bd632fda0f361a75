"""Puts each bug into a copy of the engine and runs the tests that should notice it: `make seeded`.

The copy and what is built of it are in `target/seeded`; the working tree is not touched. Prints a table of
the bugs and the test that went red, and fails if a bug was not noticed that should have been, or one was that
is said to escape.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

from tests.seeded.bug import ROOT, Bug
from tests.seeded.bugs import BUGS

TREE = ROOT / "target/seeded/tree"
BUILD = ROOT / "target/seeded/build"
PATIENCE = 240.0
"""Seconds until a run counts as hung: a test that hangs is as red as one that fails."""

COPIED = ["Cargo.toml", "Cargo.lock", "clippy.toml", "rust", "benches/engine.rs"]


def copy_tree() -> None:
    """A fresh copy; unchanged files keep their time, so that nothing is built twice for nothing."""
    shutil.rmtree(TREE, ignore_errors=True)
    for name in COPIED:
        source, copy = ROOT / name, TREE / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, copy)
        else:
            shutil.copy2(source, copy)


def command(selection: str) -> list[str]:
    target, _, part = selection.partition(" ")
    chosen = ["--lib"] if target == "lib" else ["--test", target]
    return ["cargo", "test", "--quiet", "-p", "counterpoint", *chosen, "--", *([part] if part else [])]


def red_test(selection: str) -> str | None:
    """The first test of a selection that fails; None if all pass. At least one has to run."""
    environment = os.environ | {"CARGO_TARGET_DIR": str(BUILD), "RUSTFLAGS": "-Awarnings"}
    with subprocess.Popen(
        command(selection),
        cwd=TREE,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as running:
        try:
            said, complained = running.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            # The tests are children of cargo, and in a group with it.
            os.killpg(running.pid, signal.SIGKILL)
            return f"{selection} (hangs)"
    if "could not compile" in complained:
        raise SystemExit(f"the bug does not compile:\n{complained}")
    if running.returncode == 0:
        counts = [int(count) for count in re.findall(r"test result: ok\. (\d+) passed", said)]
        if not sum(counts):
            raise SystemExit(f"no test is selected by {selection!r}")
        return None
    failed = re.findall(r"^    ([\w:]+)$", said, re.MULTILINE)
    return failed[0] if failed else f"{selection} (ends with {running.returncode})"


def seed(bug: Bug) -> str | None:
    """The test that notices the bug. The copy is as before afterwards."""
    kept = {edit.path(TREE): edit.path(TREE).read_text() for edit in bug.edits}
    try:
        for edit in bug.edits:
            if edit.occurrences(TREE) != 1:
                raise SystemExit(f"{bug.name}: the text to change is not there once in {edit.file}")
            edit.apply(TREE)
        return next(filter(None, map(red_test, bug.tests)), None)
    finally:
        for path, text in kept.items():
            path.write_text(text)


def main(wanted: Sequence[str]) -> int:
    bugs = [bug for bug in BUGS if not wanted or any(word in bug.name for word in wanted)]
    copy_tree()
    selections = dict.fromkeys(selection for bug in bugs for selection in bug.tests)
    for selection in selections:
        if red := red_test(selection):
            raise SystemExit(f"without any bug {selection!r} is red: {red}")
    print(f"{len(bugs)} bugs; {len(selections)} selections of tests are green without them", flush=True)
    wrong = 0
    for bug in bugs:
        started = time.monotonic()
        red = seed(bug)
        wrong += (red is None) is not bool(bug.escapes)
        said = f"`{red}`" if red else f"NOT NOTICED. {bug.escapes}"
        print(f"| {bug.name} | {said} | {time.monotonic() - started:.0f} s", flush=True)
    print(f"{wrong} of {len(bugs)} are not as expected")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
