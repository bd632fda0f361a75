"""Races of threads. After every race the log is checked again, by the conditions that were given."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import counterpoint as cp
import pytest

from tests.budget import SEED, tries
from tests.model import Draft, Guard, Items, Stored, condition_of, log_of, matches, query_of
from tests.racing import race

pytestmark = pytest.mark.timeout(tries(120, 0))


@dataclass
class Record:
    """What one thread was told: every accepted append with its guards, and every refusal."""

    accepted: list[tuple[int, Sequence[Draft], Sequence[Guard]]] = field(default_factory=list)
    refused: list[tuple[int, Guard, Sequence[Guard]]] = field(default_factory=list)

    def append(self, store: cp.EmbeddedStore, drafts: Sequence[Draft], guards: Sequence[Guard]) -> bool:
        given = [condition_of(guard) for guard in guards]
        try:
            last = store.append([draft.raw() for draft in drafts], given)
        except cp.AppendConditionFailed as failed:
            self.refused.append((failed.position, guards[given.index(failed.condition)], guards))
            return False
        self.accepted.append((last, drafts, guards))
        return True


def prove(store: cp.EmbeddedStore, records: Sequence[Record]) -> list[Stored]:
    """Checks the log against all that was told while it was written. I1, I2, I4."""
    log = log_of(store)
    assert [event.position for event in log] == list(range(1, len(log) + 1))
    owners: dict[int, Draft] = {}
    for record in records:
        for last, drafts, guards in record.accepted:
            first = last - len(drafts) + 1
            for position, draft in enumerate(drafts, start=first):
                assert position not in owners, f"position {position} was given twice"
                owners[position] = draft
            for guard in guards:
                broken = [e for e in log[guard.after : first - 1] if matches(guard.items, e.type, e.tags)]
                assert not broken, f"the append at {first} was accepted although {broken[0]} breaks {guard}"
        for position, guard, _ in record.refused:
            event = log[position - 1]
            assert position > guard.after, f"{position} is not after {guard}"
            assert matches(guard.items, event.type, event.tags), f"{event} does not break {guard}"
    assert len(owners) == len(log), "an event that nobody was told of, or one that is missing"
    for event in log:
        draft = owners[event.position]
        assert (event.type, event.tags, event.data) == (draft.type, draft.tags, draft.data)
    return log


@pytest.mark.parametrize("racers", [2, 8, 50])
def test_of_many_racers_for_one_name_exactly_one_wins(store: cp.EmbeddedStore, racers: int) -> None:
    """In peers, 5 to 7 of 8 racers won."""
    for n in range(tries(5, 200)):
        free = Guard(((("Claimed",), (f"name:{n}",)),), 0)
        records = [Record() for _ in range(racers)]
        claims = [
            lambda record=record: record.append(store, [Draft("Claimed", (f"name:{n}",))], [free])  # noqa: B023
            for record in records
        ]
        assert sum(race(claims)) == 1
        assert {position for record in records for position, _, _ in record.refused} == {n + 1}
    assert store.head() == tries(5, 200)


def test_fifty_runners_for_one_name_exactly_one_wins(store: cp.EmbeddedStore) -> None:
    class TakenError(Exception):
        pass

    class Claimed(cp.Event):
        name: str

    class Claim(cp.Command):
        def run(self, ra: cp.ReadAppender) -> int:
            if ra.read_events(cp.Query().add_item(types=[Claimed])):
                raise TakenError
            return ra.append_event(Claimed(name="ada"))

    def claim() -> bool:
        try:
            return cp.CommandRunner(store, max_attempts=50).run(Claim()) == 1
        except TakenError:
            return False

    assert sum(race([claim] * 50)) == 1
    assert store.head() == 1


def test_sixteen_disjoint_commands_never_conflict(store: cp.EmbeddedStore) -> None:
    """S12: one attempt is enough for each of them, however many run at once."""

    class Moved(cp.Event):
        account: str
        number: int

        def tags(self) -> list[str]:
            return [f"account:{self.account}"]

    class Move(cp.Command):
        account: str

        def run(self, ra: cp.ReadAppender) -> int:
            seen = ra.read_events(cp.Query().add_item(types=[Moved], tags=[f"account:{self.account}"]))
            return ra.append_event(Moved(account=self.account, number=len(seen)))

    rounds = tries(25, 2000)

    def work(account: str) -> None:
        for _ in range(rounds):
            cp.CommandRunner(store, max_attempts=1).run(Move(account=account))

    race([lambda n=n: work(str(n)) for n in range(16)])  # type: ignore[misc]
    for n in range(16):
        query = cp.Query().add_item(tags=[f"account:{n}"])
        events = cp.ReadAppender(store).read_events(query)
        assert [envelope.event.number for envelope in events] == list(range(rounds))


def test_unrelated_appends_never_conflict_under_load(store: cp.EmbeddedStore) -> None:
    """S12: guards by type, by tag and by both, beside noise that shares one side of each."""

    def work(n: int) -> Record:
        record, own = Record(), f"own:{n}"
        for turn in range(tries(25, 2000)):
            guards = [
                Guard(
                    (((f"T{n}",), ()), ((), (own,)), (("Shared",), (own,))), store.head() if turn % 2 else 0
                )
            ]
            guards = guards if turn == 0 else [Guard(guards[0].items, record.accepted[-1][0])]
            drafts = [
                Draft("Shared", ("shared",)),
                Draft("Other", ("shared", f"other:{n}")),
                Draft(f"T{n}", (own,)),
            ]
            assert record.append(store, drafts, guards), record.refused[-1]
        return record

    records = race([lambda n=n: work(n) for n in range(8)])  # type: ignore[misc]
    prove(store, records)


def test_every_accepted_append_is_proved_by_its_conditions(store: cp.EmbeddedStore) -> None:
    """Overlapping boundaries, several conditions, some stale: accepted or refused for a good reason."""
    types, tags = ["A", "B", "C"], ["a", "b", "c", "d"]

    def some_items(chance: random.Random) -> Items:
        if chance.random() < 0.05:
            return None
        return tuple(
            (
                tuple(chance.sample(types, chance.randint(0, 2))),
                tuple(chance.sample(tags, chance.randint(1, 2))),
            )
            for _ in range(chance.randint(1, 2))
        )

    def work(n: int) -> Record:
        chance, record = random.Random(SEED * 1000 + n), Record()
        for turn in range(tries(30, 5000)):
            guards = []
            for _ in range(chance.randint(0, 3)):
                items = some_items(chance)
                head = store.read(query_of(items), limit=1).head
                guards.append(Guard(items, max(0, head - (chance.random() < 0.2) * chance.randint(0, 5))))
            drafts = [
                Draft(
                    chance.choice(types),
                    tuple(chance.sample(tags, chance.randint(0, 3))),
                    f"{n}.{turn}.{i}".encode(),
                )
                for i in range(chance.randint(1, 3))
            ]
            record.append(store, drafts, guards)
        return record

    records = race([lambda n=n: work(n) for n in range(8)])  # type: ignore[misc]
    prove(store, records)
    assert any(record.refused for record in records)
    assert any(guards for record in records for _, _, guards in record.accepted)


def test_a_bad_append_fails_nobody_who_shares_its_moment(store: cp.EmbeddedStore) -> None:
    """In a peer, one client's failure failed the others' appends of the same group."""

    def good(n: int) -> Record:
        record = Record()
        for turn in range(tries(30, 2000)):
            assert record.append(store, [Draft("Good", (f"n:{n}",), f"{n}.{turn}".encode())], [])
        return record

    def bad() -> Record:
        def broken() -> object:
            yield Draft("Bad").raw()
            raise KeyError

        for _ in range(tries(30, 2000)):
            with pytest.raises(KeyError):
                store.append(broken())  # type: ignore[arg-type]
            with pytest.raises(ValueError, match="event"):
                store.append([])
            with pytest.raises(TypeError):
                store.append([None])  # type: ignore[list-item]
        return Record()

    log = prove(store, race([*[lambda n=n: good(n) for n in range(4)], bad, bad]))  # type: ignore[misc]
    assert {event.type for event in log} == {"Good"}


def test_of_two_events_in_one_batch_the_loser_sees_the_winner_at_once(store: cp.EmbeddedStore) -> None:
    """The position of a conflict can be read as soon as it is reported, so that a retry sees it."""

    def work(n: int) -> int:
        conflicts = 0
        for turn in range(tries(30, 2000)):
            record, free = Record(), Guard((((), (f"turn:{turn}",)),))
            if not record.append(store, [Draft("Claimed", (f"turn:{turn}",))], [free]):
                conflicts += 1
                ((position, _, _),) = record.refused
                assert store.head() >= position
                assert [winner.position for winner in store.read(query_of(free.items))] == [position]
        return conflicts

    rounds = tries(30, 2000)
    assert sum(race([lambda n=n: work(n) for n in range(6)])) == rounds * 5  # type: ignore[misc]
    assert store.head() == rounds
