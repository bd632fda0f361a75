"""A namespace of mounts for each test that mounts, and processes that check stores."""

from collections.abc import Iterator

import pytest

from tests.disks import mounts, writers


@pytest.fixture
def own_mounts() -> Iterator[None]:
    """Whatever is mounted in the test is gone after it."""
    with mounts.namespace():
        yield


@pytest.fixture
def checker(own_mounts: None) -> Iterator[writers.Checker]:
    """A process that checks stores, also on what is mounted after it has started."""
    with writers.checking() as checker:
        yield checker
