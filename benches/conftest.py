"""Stores for the micro-benchmarks of the Python layer, which are short: `make bench` runs all of them."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import counterpoint as cp
import pytest

from benches.peers.counterpoint_peer import OpenCounterpoint
from benches.workload import History

HISTORY = History(20_000)
BATCH = 1000


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give every benchmark a quarter of a second: medians hardly change after that."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.benchmark(max_time=0.25, min_rounds=5))


@pytest.fixture(scope="session")
def stores() -> Iterator[Path]:
    """Return a directory on the disk of the checkout: that of the system may be memory."""
    parent = Path(__file__).parents[1] / ".bench"
    parent.mkdir(exist_ok=True)
    with TemporaryDirectory(prefix="micro-", dir=parent) as directory:
        yield Path(directory)


@pytest.fixture(scope="session")
def filled(stores: Path) -> Iterator[cp.EmbeddedStore]:
    """Return a store on disk, to read from."""
    path = stores / "filled"
    with OpenCounterpoint(path) as store:
        for part in range(HISTORY.events // BATCH):
            store.append_batch(store.prepare(HISTORY.slice(part, HISTORY.events // BATCH)))
    with cp.open(path) as opened:
        yield opened


@pytest.fixture(params=["disk", "memory"])
def empty(request: pytest.FixtureRequest, stores: Path) -> Iterator[cp.EmbeddedStore]:
    """Return an empty store: with the disk, and without it to see what is left."""
    directory = TemporaryDirectory(dir=stores)
    with directory, cp.open("memory:" if request.param == "memory" else directory.name) as store:
        yield store
