"""The places where the examples' races are held."""

import sys
from collections.abc import Iterator
from pathlib import Path

import counterpoint as cp
import pytest

from tests.examples.racing import OFTEN, ProcessRace, Race, ThreadRace


@pytest.fixture(autouse=True)
def threads_take_turns_often() -> Iterator[None]:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(OFTEN)
    yield
    sys.setswitchinterval(interval)


@pytest.fixture(params=["threads, disk", "threads, memory", "processes"])
def race(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Race]:
    """A race on an empty store."""
    if request.param == "processes":
        yield ProcessRace(tmp_path / "store")
    else:
        with cp.open("memory:" if "memory" in request.param else tmp_path / "store") as store:
            yield ThreadRace(store)
