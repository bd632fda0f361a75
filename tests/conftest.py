"""The stores that every test of behaviour runs against."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import counterpoint as cp
import pytest

from tests.budget import SEED, SOAK
from tests.opener import SMALL_SEGMENT, Opener


def pytest_report_header() -> str:
    return f"counterpoint: seed {SEED}{', soak' if SOAK else ''} (COUNTERPOINT_SEED, COUNTERPOINT_SOAK)"


@pytest.fixture
def open_on_disk(tmp_path: Path) -> Iterator[Opener]:
    """Opens stores on disk; the test's end closes those it left open."""
    opened: list[cp.EmbeddedStore] = []

    def open_store(name: str = "store", **options: Any) -> cp.EmbeddedStore:
        store = cp.open(tmp_path / name, **options)
        opened.append(store)
        return store

    yield open_store
    for store in opened:
        store.close()


@pytest.fixture(params=["disk", "disk, small segments", "memory", "memory, small segments"])
def open_store(request: pytest.FixtureRequest, open_on_disk: Opener) -> Iterator[Opener]:
    """Opens stores of each kind. In memory it is a new one every time: to reopen, use `open_on_disk`."""
    opened: list[cp.EmbeddedStore] = []
    defaults = {"segment_bytes": SMALL_SEGMENT} if "small" in request.param else {}

    def on_disk(name: str = "store", **options: Any) -> cp.EmbeddedStore:
        return open_on_disk(name, **(defaults | options))

    def in_memory(name: str = "store", **options: Any) -> cp.EmbeddedStore:
        store = cp.open("memory:", **(defaults | options))
        opened.append(store)
        return store

    yield on_disk if request.param.startswith("disk") else in_memory
    for store in opened:
        store.close()


@pytest.fixture
def store(open_store: Opener) -> cp.EmbeddedStore:
    """An empty store of each kind."""
    return open_store()
