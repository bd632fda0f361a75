"""Races of threads in processes. Afterwards the log is replayed, and every answer is proved by it. F8."""

import shutil
from ast import literal_eval
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from tests import child, members
from tests.budget import SEED, tries
from tests.model import Items, Stored, log_of, matches
from tests.opener import SMALL_SEGMENT, Opener
from tests.racing import start

pytestmark = pytest.mark.timeout(tries(120, 0))

PROCESSES, THREADS = 8, tries(4, 16)
TURNS = 160

RACER = """
    import random
    path, process, threads, turns, seed = sys.argv[1], *map(int, sys.argv[2:])
    TYPES, TAGS = ["A", "B", "C"], ["a", "b", "c", "d", "e", "f"]

    def some_items(chance):
        if chance.random() < 0.03:
            return None
        return [
            (chance.sample(TYPES, chance.randint(0, 2)), chance.sample(TAGS, chance.randint(1, 2)))
            for _ in range(chance.randint(1, 2))
        ]

    def query_of(items):
        query = cp.Query() if items else cp.Query.all()
        for types, tags in items or []:
            query = query.add_item(types=types, tags=tags)
        return query

    def race(store, thread):
        chance = random.Random(f"{seed} {process} {thread}")
        for turn in range(turns):
            guards = []
            for _ in range(chance.choice([0, 1, 1, 1, 2, 3])):
                items = some_items(chance)
                read = store.read(query_of(items), limit=1, reverse=True)
                # Mostly what was just read; now and then something stale, or the last event that matched.
                after = chance.choice([read.head] * 8 + [max(0, read.head - 5)])
                after = chance.choice([after] * 4 + [sum(event.position for event in read)])
                guards.append((items, after))
            name, size = f"{process}.{thread}.{turn}", turn % 3 + 1
            types = [chance.choice(TYPES) for _ in range(size)]
            tags = [chance.sample(TAGS, chance.randint(0, 3)) for _ in range(size)]
            batch = [
                cp.RawEvent(kind, f"{name}.{n}".encode(), [*some, f"of:{name}"], bytes(chance.randrange(200)))
                for n, (kind, some) in enumerate(zip(types, tags))
            ]
            conditions = [cp.AppendCondition(query_of(items), after) for items, after in guards]
            try:
                last = store.append(batch, conditions)
            except cp.AppendConditionFailed as failed:
                # The retry of whoever is refused sees what it was refused for.
                assert store.head() >= failed.position
                say("refused", name, repr((failed.position, conditions.index(failed.condition), guards)))
            else:
                say("told", name, repr((size, last, guards)))

    with cp.open(path, segment_bytes=4096) as store:
        say("open")
        sys.stdin.readline()
        racing = [threading.Thread(target=race, args=(store, thread)) for thread in range(threads)]
        for thread in racing:
            thread.start()
        for thread in racing:
            thread.join()
"""

Guards = list[tuple[Items, int]]


def prove_accepted(log: list[Stored], name: str, size: int, last: int, guards: Guards) -> None:
    """I4: no event between `after` and the batch matches. The batch itself does not count (I11)."""
    first = last - size + 1
    assert [event.data.decode() for event in log[first - 1 : last]] == [f"{name}.{n}" for n in range(size)]
    for items, after in guards:
        broken = [event for event in log[after : first - 1] if matches(items, event.type, event.tags)]
        assert not broken, (
            f"{name} was accepted at {first}, although {broken[0]} is past {after} and in {items}"
        )


def prove_refused(log: list[Stored], name: str, position: int, guard: int, guards: Guards) -> None:
    """I4: there is a conflict only for a real event, which is the one that was named."""
    items, after = guards[guard]
    event = log[position - 1]
    assert position > after, f"{name} was refused for {position}, which is not past {after}"
    assert matches(items, event.type, event.tags), f"{name} was refused for {event}, which is not in {items}"


def race_once(path: Path, seed: int) -> list[str]:
    """Lets all race, and returns what each was answered."""
    with ExitStack() as stack:
        arguments = (THREADS, TURNS, seed)
        racers = [
            stack.enter_context(child.running(RACER, path, number, *arguments)) for number in range(PROCESSES)
        ]
        members.start_together(racers)
        # All at once: who is not listened to waits.
        said = [start(partial(child.rest, racer)) for racer in racers]
        answers = [line for lines in said for line in lines()]
        assert [racer.wait(child.PATIENCE) for racer in racers] == [0] * PROCESSES
        return answers


def test_every_answer_to_threads_of_processes_that_race_is_proved_by_the_log(
    open_on_disk: Opener, tmp_path: Path
) -> None:
    for turn in range(tries(1, 200)):
        answers = race_once(tmp_path / "store", SEED + turn)
        assert len(answers) == PROCESSES * THREADS * TURNS
        with open_on_disk(segment_bytes=SMALL_SEGMENT) as store:
            log = log_of(store)
        assert [event.position for event in log] == list(range(1, len(log) + 1))
        accepted = refused = 0
        for line in answers:
            answer, name, facts = line.split(maxsplit=2)
            if answer == "told":
                size, last, guards = literal_eval(facts)
                prove_accepted(log, name, size, last, guards)
                accepted += size
            else:
                assert answer == "refused"
                prove_refused(log, name, *literal_eval(facts))
                refused += 1
        assert accepted == len(log), "an event that nobody was told of, or one that is missing"
        assert 0 < refused < len(answers)
        shutil.rmtree(tmp_path / "store")


def test_of_many_racers_in_processes_for_one_name_exactly_one_wins(
    open_on_disk: Opener, tmp_path: Path
) -> None:
    """In peers, 5 to 7 of 8 racers won. Everybody has read before anybody appends."""
    program = """
        names, racers = int(sys.argv[2]), int(sys.argv[3])
        store = cp.open(sys.argv[1])
        say("open")

        def claim(name):
            try:
                store.append([event("x", f"name:{name}")], free)
                won.append(True)
            except cp.AppendConditionFailed:
                pass

        for name in range(names):
            sys.stdin.readline()
            won, query = [], cp.Query().add_item(types=["A"], tags=[f"name:{name}"])
            read = store.read(query)
            free = cp.AppendCondition(query, after=read.head)
            say("read", len(list(read)))
            sys.stdin.readline()
            claims = [threading.Thread(target=claim, args=(name,)) for _ in range(racers)]
            for thread in claims:
                thread.start()
            for thread in claims:
                thread.join()
            say(sum(won))
    """
    names = tries(20, 1000)
    with ExitStack() as stack:
        racers = [
            stack.enter_context(child.running(program, tmp_path / "store", names, 10)) for _ in range(5)
        ]
        assert [child.line(racer) for racer in racers] == ["open"] * 5
        for _ in range(names):
            for racer in racers:
                members.tell(racer, "read")
            assert [child.line(racer) for racer in racers] == ["read 0"] * 5
            for racer in racers:
                members.tell(racer, "append")
            assert sorted(child.line(racer) for racer in racers) == ["0"] * 4 + ["1"]
    assert open_on_disk().head() == names
