"""The table of measurements, at tiny sizes: that every row has its figures, never what they are."""

import json
import math
from pathlib import Path
from typing import Any

import counterpoint as cp
import pytest

from benches.machine import written_bytes
from benches.peers import OURS
from benches.results import LIMIT, Result, Row, Target, judge
from benches.run import Settings
from benches.table import main
from benches.targets import rows
from benches.workload import DATA_BYTES, PAYLOAD_BYTES, History, fresh_event

EVENTS = Settings.quick().events
ALWAYS = (OURS, "sqlite")
"""These need nothing that is not installed anyway."""
ONE_PROCESS = "append.processes.1"
CAN = {
    "subscription": {OURS},
    "append.tasks": {OURS} if hasattr(cp.EmbeddedStore, "append_async") else set[str](),
}
"""Who can, where not all can."""


def test_every_row_of_the_table_has_its_figures_or_says_why_not_and_no_store_is_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--quick", "--peers", *ALWAYS, "--directory", str(tmp_path)]) == 0

    printed = capsys.readouterr().out
    results = json.loads((tmp_path / "results.json").read_text())
    markdown = (tmp_path / "results.md").read_text()
    short = (tmp_path / "readme.md").read_text()
    planned = rows(History(EVENTS), Settings.quick())
    assert [row["key"] for row in results["rows"]] == [row.key for row in planned]
    for row in results["rows"]:
        if row["key"] == "disk.written" and written_bytes(tmp_path) is None:
            continue  # a file system without a block device of its own
        assert_complete(row, results["left out"])
    for row in planned:
        assert row.title.strip() in printed
        assert row.title.strip() in markdown
        assert row.title.strip() in short
    for line in results["left out"]:
        assert line in markdown
    assert {file.name for file in tmp_path.iterdir()} == {"results.json", "results.md", "readme.md"}
    for fact in ("machine", "processor", "kernel", "file system", "date", "python", *ALWAYS):
        assert results["facts"][fact] in markdown


def assert_complete(row: dict[str, Any], left_out: list[str]) -> None:
    subjects = CAN.get(row["key"], set(ALWAYS))
    if "processes" in row["key"] and row["key"] != ONE_PROCESS:
        # As long as a second process cannot open a store, there is a line that says so.
        subjects = set(row["median"])
        assert OURS in subjects or any(
            "Counterpoint: another process: StoreLocked" in line for line in left_out
        )
    assert set(row["median"]) - {LIMIT} == subjects, row["key"]
    assert set(row["ratio"]) == set(row["median"]) - {OURS}
    for subject, samples in row["samples"].items():
        assert samples, row["key"]
        assert all(math.isfinite(sample) for sample in samples)
        assert min(samples) <= row["median"][subject] <= max(samples)
    if row["target"] is not None and OURS in subjects:
        assert math.isfinite(row["reached"]), row["key"]
        assert row["verdict"] in ("met", "met so far", "missed")


def test_the_workload_is_the_one_of_the_targets() -> None:
    history = History(EVENTS)
    for event in (fresh_event(), history.event(1), history.event(7)):
        assert (len(event.type), len(event.data)) == (12, DATA_BYTES)
        assert [len(tag) for tag in event.tags] == [20, 20]
        assert PAYLOAD_BYTES == 252


@pytest.mark.parametrize(
    ("better", "against", "bound", "verdict"),
    [
        ("more", None, 30, "met"),
        ("more", None, 31, "missed"),
        ("less", None, 30, "met"),
        ("less", None, 29, "missed"),
        # The ratios within the rounds are 1, 3 and 5, whatever those of the medians would be.
        ("more", LIMIT, 3.0, "met"),
        ("more", LIMIT, 3.1, "missed"),
        ("more", "other", 10.0, "met"),
        ("more", "other", 10.1, "missed"),
    ],
)
def test_a_target_is_judged_by_the_median_of_the_rounds(
    better: Any, against: str | None, bound: float, verdict: str
) -> None:
    assert judged(Row("row", "", "", better, Target("", bound, against)), 0).verdict == verdict


def test_a_target_for_a_larger_store_is_not_met_yet() -> None:
    row = Row("row", "", "", "more", Target("", 30, events=1000))
    assert judged(row, 999).verdict == "met so far"
    assert judged(row, 1000).verdict == "met"


def judged(row: Row, events: int) -> Result:
    samples = {
        "row": {OURS: [10.0, 30.0, 100.0], LIMIT: [10.0, 10.0, 20.0]},
        "other": {OURS: [1.0, 3.0, 10.0]},
    }
    return judge([row], samples, OURS, events)[0]
