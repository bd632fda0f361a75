"""One of several processes whose threads append under random conditions that overlap, and then prove by the
log that each was answered rightly. Run by `test_process_races.py`, as a program of its own.

The proof is a model of the log that shares nothing with the store: a byte for each event, and the one
predicate.
"""

import random
import sys
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import counterpoint as cp

from tests.model import Items, matches, query_of

TYPES = ["A", "B", "C"]
TAGS = ["a", "b", "c", "d", "e", "f"]

KINDS = [
    (kind, tags) for kind in TYPES for count in range(len(TAGS) + 1) for tags in combinations(TAGS, count)
]
"""All that an event can be, as far as conditions can tell."""

NUMBERS = {kind: number for number, kind in enumerate(KINDS)}


@dataclass
class Answer:
    """What an append was answered: its last position, or the event it lost to and which guard that broke."""

    name: str
    size: int
    guards: list[tuple[Items, int]]
    last: int = 0
    lost_to: int = 0
    guard: int = 0


class Racer:
    """One thread: it reads, and appends under conditions on what it has read, or on something older."""

    def __init__(self, store: cp.EmbeddedStore, name: str, turns: int, seed: str) -> None:
        self.store, self.name, self.turns = store, name, turns
        self.chance = random.Random(f"{seed} {name}")
        self.answers: list[Answer] = []
        self.heads_are_right = True

    def race(self) -> None:
        for turn in range(self.turns):
            answer = Answer(f"{self.name}.{turn}", turn % 3 + 1, self.some_guards())
            conditions = [cp.AppendCondition(query_of(items), after) for items, after in answer.guards]
            try:
                answer.last = self.store.append(
                    [self.event(answer, n) for n in range(answer.size)], conditions
                )
            except cp.AppendConditionFailed as failed:
                answer.lost_to, answer.guard = failed.position, conditions.index(failed.condition)
                # The retry of whoever is refused sees what it was refused for.
                self.heads_are_right &= self.store.head() >= failed.position
            self.answers.append(answer)

    def some_guards(self) -> list[tuple[Items, int]]:
        guards = []
        for _ in range(self.chance.choice([0, 1, 1, 1, 2, 3])):
            items = self.some_items()
            read = self.store.read(query_of(items), limit=1, reverse=True)
            # Mostly what was just read; now and then something stale, or the last event that matched.
            after = self.chance.choice([read.head] * 8 + [max(0, read.head - 5)])
            guards.append((items, self.chance.choice([after] * 4 + [sum(event.position for event in read)])))
        return guards

    def some_items(self) -> Items:
        chance = self.chance
        if chance.random() < 0.03:
            return None
        some = lambda what, least: tuple(chance.sample(what, chance.randint(least, 2)))  # noqa: E731
        return tuple((some(TYPES, 0), some(TAGS, 1)) for _ in range(chance.randint(1, 2)))

    def event(self, answer: Answer, n: int) -> cp.RawEvent:
        chance = self.chance
        tags = [*chance.sample(TAGS, chance.randint(0, 3)), f"of:{answer.name}"]
        filling = bytes(chance.randrange(200))
        return cp.RawEvent(chance.choice(TYPES), f"{answer.name}.{n}".encode(), tags, filling)


class Proof:
    """What the log says about answers."""

    def __init__(self, log: Iterable[cp.SequencedEvent]) -> None:
        self.names: list[bytes] = []
        kinds = bytearray()
        for position, event in enumerate(log, start=1):
            assert event.position == position
            self.names.append(event.data)
            kinds.append(NUMBERS[event.type, tuple(sorted(tag for tag in event.tags if tag in TAGS))])
        self.kinds = bytes(kinds)
        self.known: dict[Items, bytes] = {}

    def others(self, items: Items) -> bytes:
        """The kinds of events that do not match."""
        if items not in self.known:
            self.known[items] = bytes(NUMBERS[kind] for kind in KINDS if not matches(items, *kind))
        return self.known[items]

    def check(self, answer: Answer) -> None:
        """I4: no event between `after` and the batch matches, the batch itself aside (I11); and there is a
        conflict only for a real event, which is the one that was named.
        """
        if answer.last:
            first = answer.last - answer.size + 1
            expected = [f"{answer.name}.{n}".encode() for n in range(answer.size)]
            assert self.names[first - 1 : answer.last] == expected, answer
            for items, after in answer.guards:
                broken = self.kinds[after : first - 1].translate(None, self.others(items))
                assert not broken, f"{answer} was accepted although {KINDS[broken[0]]} is past {after}"
        else:
            items, after = answer.guards[answer.guard]
            assert after < answer.lost_to <= len(self.kinds), answer
            kind = KINDS[self.kinds[answer.lost_to - 1]]
            assert matches(items, *kind), f"{answer} was refused for {kind}"


class Process:
    """All threads of this process."""

    def __init__(self, store: cp.EmbeddedStore, number: int, threads: int, turns: int, seed: str) -> None:
        self.store = store
        self.racers = [Racer(store, f"{number}.{thread}", turns, seed) for thread in range(threads)]

    def race(self) -> None:
        threads = [threading.Thread(target=racer.race) for racer in self.racers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    @cached_property
    def answers(self) -> list[Answer]:
        return [answer for racer in self.racers for answer in racer.answers]

    def prove(self) -> None:
        assert all(racer.heads_are_right for racer in self.racers)
        proof = Proof(self.store.read())
        for answer in self.answers:
            proof.check(answer)

    @property
    def counts(self) -> tuple[int, int, int, int]:
        """Answers, accepted appends, their events, and their conditions."""
        accepted = [answer for answer in self.answers if answer.last]
        events = sum(answer.size for answer in accepted)
        return len(self.answers), len(accepted), events, sum(len(answer.guards) for answer in accepted)


def main() -> None:
    path, segment_bytes, number, threads, turns, seed = sys.argv[1:]
    with cp.open(path, segment_bytes=int(segment_bytes) or None) as store:
        process = Process(store, int(number), int(threads), int(turns), seed)
        print("open", flush=True)
        sys.stdin.readline()
        process.race()
        print("raced", flush=True)
        sys.stdin.readline()
        process.prove()
        print("proved", *process.counts, flush=True)
