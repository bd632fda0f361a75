"""What the typed layer costs: codecs, commands and projections, on a store in memory, so without waiting."""

from collections.abc import Iterator

import counterpoint as cp
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benches.conftest import BATCH
from benches.peers.counterpoint_peer import ItemReserved, ReserveItem
from benches.workload import PER_ORDER, fresh_event, order_event

TYPED = ItemReserved("00000000000001", "00000000001", "x" * 134)
ORDER = cp.Query().add_item(tags=[f"order:{TYPED.order}"])


class Nothing(cp.Command):
    """Runs, and does nothing."""

    def run(self, ra: cp.ReadAppender) -> int:
        return 0


class Count(cp.Projection[int]):
    """Counts the events with a tag."""

    tag: str

    def query(self) -> cp.Query:
        return cp.Query().add_item(tags=[self.tag])

    def init(self) -> int:
        return 0

    def apply(self, state: int, envelope: cp.Envelope) -> int:
        return state + 1


@pytest.fixture
def store() -> Iterator[cp.EmbeddedStore]:
    with cp.open("memory:") as store:
        encode = cp.EventRegistry.default().encode
        store.append([encode(TYPED) for _ in range(PER_ORDER)])
        yield store


def test_encode(benchmark: BenchmarkFixture) -> None:
    benchmark(cp.EventRegistry.default().encode, TYPED)


def test_decode(benchmark: BenchmarkFixture, store: cp.EmbeddedStore) -> None:
    (event,) = store.read(limit=1)
    envelope = benchmark(cp.EventRegistry.default().decode, event)
    assert envelope.event == TYPED


def test_run_a_command_that_does_nothing(benchmark: BenchmarkFixture, store: cp.EmbeddedStore) -> None:
    benchmark(cp.CommandRunner(store).run, Nothing())


def test_run_a_command_that_reads_10_and_appends(
    benchmark: BenchmarkFixture, store: cp.EmbeddedStore
) -> None:
    runner = cp.CommandRunner(store)
    encode = cp.EventRegistry.default().encode

    def setup() -> tuple[tuple[ReserveItem], dict[str, object]]:
        # An order of its own for each round, or it would grow.
        order = fresh_event().tags[0].removeprefix("order:")
        store.append([encode(ItemReserved(order, TYPED.customer, TYPED.note)) for _ in range(PER_ORDER)])
        return (ReserveItem(order),), {}

    benchmark.pedantic(runner.run, setup=setup, rounds=1000)  # type: ignore[no-untyped-call]


def test_read_10_events_typed(benchmark: BenchmarkFixture, store: cp.EmbeddedStore) -> None:
    events = benchmark(lambda: cp.ReadAppender(store).read_events(ORDER))
    assert len(events) == PER_ORDER


def test_fold_three_projections_over_1000_events(benchmark: BenchmarkFixture) -> None:
    with cp.open("memory:") as store:
        events = [order_event(number % 2, 7) for number in range(BATCH)]
        store.append([cp.RawEvent(event.type, event.data, event.tags) for event in events])
        projections = [Count(events[0].tags[0]), Count(events[1].tags[0]), Count(events[0].tags[1])]
        states = benchmark(lambda: cp.ReadAppender(store).fold_all(projections))
    assert states == [BATCH / 2, BATCH / 2, BATCH]
