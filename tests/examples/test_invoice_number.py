"""Invoice numbers are consecutive from 1, and the decision reads one event, however many there are."""

from collections.abc import Iterator
from typing import Any

import counterpoint as cp
import pytest

from examples.invoice_number import InvoiceIssued, IssueInvoice
from tests.budget import tries
from tests.examples.racing import Race
from tests.examples.scenario import PATIENT, Run, given, history
from tests.racing import race as race_threads


class CountingStore:
    """A store that counts the events that are read from it."""

    def __init__(self, store: cp.EmbeddedStore) -> None:
        self._store = store
        self.events_read = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def read(self, *args: Any, **options: Any) -> "CountingRead":
        return CountingRead(self, self._store.read(*args, **options))


class CountingRead:
    """A read that tells its store of each event."""

    def __init__(self, store: CountingStore, read: Any) -> None:
        self._store = store
        self._read = read
        self.head = read.head

    def __iter__(self) -> Iterator[cp.SequencedEvent]:
        for event in self._read:
            self._store.events_read += 1
            yield event


def test_the_first_invoice_has_number_one(store):
    assert cp.CommandRunner(store).run(IssueInvoice("ada", cents=100)) == 1
    assert history(store) == [InvoiceIssued(1, "ada", 100)]


def test_the_next_invoice_has_the_next_number(store):
    given(store, InvoiceIssued(1, "ada", 100), InvoiceIssued(2, "bela", 200))
    assert cp.CommandRunner(store).run(IssueInvoice("clara", cents=300)) == 3


@pytest.mark.parametrize("kind", ["disk", "memory"])
def test_the_decision_reads_one_event_however_many_there_are(tmp_path, kind):
    present = tries(20_000, soak=1_000_000)
    with cp.open(tmp_path / "store" if kind == "disk" else "memory:") as store:
        for first in range(1, present, 1_000):
            given(store, *(InvoiceIssued(number, "ada", 100) for number in range(first, first + 1_000)))
        counting = CountingStore(store)
        assert cp.CommandRunner(counting).run(IssueInvoice("bela", cents=100)) == present + 1
        assert counting.events_read == 1


def test_events_of_other_kinds_neither_count_nor_conflict(store):
    runner = cp.CommandRunner(store, max_attempts=1)
    for number in range(1, 4):
        assert runner.run(IssueInvoice("ada", cents=100)) == number
        store.append([cp.RawEvent("Noise", b"", ["invoice:9"])])


def test_32_threads_with_50_invoices_each_get_the_numbers_1_to_1600(store):
    runner = cp.CommandRunner(store, max_attempts=PATIENT)

    def issue_fifty() -> list[int]:
        return [runner.run(IssueInvoice("ada", cents=100)) for _ in range(50)]

    shares = race_threads([issue_fifty] * 32)
    assert sorted(number for share in shares for number in share) == list(range(1, 1601))
    assert all(share == sorted(share) for share in shares)
    assert [event.number for event in history(store)] == list(range(1, 1601))


def test_racers_leave_no_gap_and_share_no_number(race: Race):
    numbers = race.at_once([Run(IssueInvoice("ada", cents=100))] * 40)
    assert sorted(numbers) == list(range(1, 41))
    assert [event.number for event in race.alone(history)] == list(range(1, 41))
