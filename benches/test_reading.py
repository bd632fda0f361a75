"""Reads of 20,000 events on disk, in the page cache."""

from collections import deque
from itertools import count

import counterpoint as cp
from pytest_benchmark.fixture import BenchmarkFixture

from benches.conftest import HISTORY
from benches.workload import PER_ORDER, RARE_TYPE, order_tag


def test_read_one_tag(benchmark: BenchmarkFixture, filled: cp.EmbeddedStore) -> None:
    numbers = count()

    def read() -> list[cp.SequencedEvent]:
        tag = order_tag(next(numbers) % HISTORY.orders)
        return list(filled.read(cp.Query().add_item(tags=[tag])))

    assert len(benchmark(read)) == PER_ORDER


def test_read_two_tags(benchmark: BenchmarkFixture, filled: cp.EmbeddedStore) -> None:
    events = benchmark(lambda: list(filled.read(cp.Query().add_item(tags=HISTORY.both))))
    assert len(events) == 10


def test_read_one_type(benchmark: BenchmarkFixture, filled: cp.EmbeddedStore) -> None:
    events = benchmark(lambda: list(filled.read(cp.Query().add_item(types=[RARE_TYPE]))))
    assert len(events) == 10


def test_read_last_of_a_tag(benchmark: BenchmarkFixture, filled: cp.EmbeddedStore) -> None:
    query = cp.Query().add_item(tags=[order_tag(5)])
    events = benchmark(lambda: list(filled.read(query, reverse=True, limit=1)))
    assert len(events) == 1


def test_make_a_query(benchmark: BenchmarkFixture) -> None:
    benchmark(lambda: cp.Query().add_item(tags=["order:00000000000001"]))


def test_read_nothing(benchmark: BenchmarkFixture, filled: cp.EmbeddedStore) -> None:
    query = cp.Query().add_item(tags=["nobody:0"])
    assert benchmark(lambda: list(filled.read(query))) == []


def test_replay(benchmark: BenchmarkFixture, filled: cp.EmbeddedStore) -> None:
    benchmark(lambda: deque(filled.read(), maxlen=0))


def test_replay_touching_every_field(benchmark: BenchmarkFixture, filled: cp.EmbeddedStore) -> None:
    def replay() -> None:
        for e in filled.read():
            _ = (e.position, e.type, e.tags, e.data, e.metadata, e.id, e.recorded_at)

    benchmark(replay)


def test_replay_decoded(benchmark: BenchmarkFixture, filled: cp.EmbeddedStore) -> None:
    decode = cp.EventRegistry.default().decode
    benchmark(lambda: deque(map(decode, filled.read()), maxlen=0))
