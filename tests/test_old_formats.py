"""Stores of earlier format versions read the same for ever. F10.

`tests/fixtures` has a store of each version and what it answers; `rust/core/tests/old_formats.rs` made them.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import counterpoint as cp
import pytest

FIXTURES = Path(__file__).parent / "fixtures"
EXPECTED: dict[str, Any] = json.loads((FIXTURES / "v2" / "expected.json").read_text())


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the store of version 2, since opening a store writes to it."""
    shutil.copytree(FIXTURES / "v2" / "store", tmp_path / "store")
    return tmp_path / "store"


def query_of(parts: dict[str, Any]) -> cp.Query:
    return cp.Query().add_item(types=parts["types"], tags=parts["tags"])


def as_json(event: cp.SequencedEvent) -> dict[str, Any]:
    return {
        "position": event.position,
        "type": event.type,
        "tags": list(event.tags),
        "data": event.data.hex(),
        "metadata": None if event.metadata is None else event.metadata.hex(),
        "id": None if event.id is None else str(event.id),
        "recorded_at": event.recorded_at,
    }


def test_every_event_of_version_2_is_as_it_was(copy: Path) -> None:
    with cp.open(copy) as store:
        assert [as_json(event) for event in store.read()] == EXPECTED["events"]
        assert store.head() == len(EXPECTED["events"]) > 60


def test_every_question_to_version_2_is_answered_as_it_was(copy: Path) -> None:
    with cp.open(copy) as store:
        for asked in EXPECTED["reads"]:
            options = {key: asked[key] for key in ("after", "until", "reverse", "limit")}
            found = [event.position for event in store.read(query_of(asked), **options)]
            assert found == asked["positions"], asked
        assert sum(bool(asked["positions"]) for asked in EXPECTED["reads"]) >= 8


def test_cursors_and_conditions_of_version_2_are_as_they_were(copy: Path) -> None:
    with cp.open(copy) as store:
        assert {name: store.get_cursor(name) for name in EXPECTED["cursors"]} == EXPECTED["cursors"]
        for expected in EXPECTED["why"]:
            why = store.why(expected["position"])
            conditions = [
                cp.AppendCondition(
                    cp.Query.all()
                    if condition["items"] is None
                    else cp.Query.of(cp.QueryItem(**item) for item in condition["items"]),
                    after=condition["after"],
                )
                for condition in expected["conditions"]
            ]
            assert list(why.conditions) == conditions


def test_version_2_is_verified_open_and_closed_and_goes_on(copy: Path) -> None:
    with cp.open(copy) as store:
        assert store.verify().ok
        head = store.append(
            [cp.RawEvent("After", b"")], cp.AppendCondition(cp.Query.all(), after=store.head())
        )
    with cp.open(copy) as store:
        assert store.head() == head == len(EXPECTED["events"]) + 1
        assert store.verify().ok


def test_version_1_is_refused_by_its_version(tmp_path: Path) -> None:
    shutil.copytree(FIXTURES / "v1" / "store", tmp_path / "store")
    with pytest.raises(cp.CorruptionError, match="log format version 1, but this release reads version 2"):
        cp.open(tmp_path / "store")
