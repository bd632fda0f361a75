"""Appends through the public names, durable on disk and without any disk."""

import counterpoint as cp
from pytest_benchmark.fixture import BenchmarkFixture

from benches.conftest import BATCH
from benches.workload import Event, fresh_event


def raw(event: Event) -> cp.RawEvent:
    return cp.RawEvent(event.type, event.data, event.tags)


def test_append(benchmark: BenchmarkFixture, empty: cp.EmbeddedStore) -> None:
    event = raw(fresh_event())
    benchmark(lambda: empty.append([event]))


def test_conditional_append(benchmark: BenchmarkFixture, empty: cp.EmbeddedStore) -> None:
    head = 0

    def append() -> None:
        nonlocal head
        event = fresh_event()
        condition = cp.AppendCondition(cp.Query().add_item(tags=[event.tags[0]]), head)
        head = empty.append([raw(event)], condition)

    benchmark(append)


def test_append_1000_events(benchmark: BenchmarkFixture, empty: cp.EmbeddedStore) -> None:
    def setup() -> tuple[tuple[list[cp.RawEvent]], dict[str, object]]:
        return ([raw(fresh_event()) for _ in range(BATCH)],), {}

    benchmark.pedantic(empty.append, setup=setup, rounds=20)  # type: ignore[no-untyped-call]


def test_refused_append(benchmark: BenchmarkFixture, empty: cp.EmbeddedStore) -> None:
    event = raw(fresh_event())
    empty.append([event])
    condition = cp.AppendCondition(cp.Query().add_item(tags=event.tags))

    def append() -> None:
        try:
            empty.append([event], condition)
        except cp.AppendConditionFailed:
            return
        raise AssertionError("the append should have been refused")

    benchmark(append)
