"""Races of threads in processes. Afterwards the log is replayed, and every answer is proved by it. F8."""

import shutil
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import counterpoint as cp
import pytest

from tests import child, members
from tests.budget import SEED, Goal, tries
from tests.opener import SMALL_SEGMENT, Opener
from tests.racing import start

pytestmark = pytest.mark.timeout(tries(240, 0))

PROCESSES = 8


def race_once(path: Path, segment_bytes: int, threads: int, turns: int, seed: int) -> list[int]:
    """Lets all race, and returns the counts of all together: answers, accepted, events, conditions."""
    arguments = (threads, turns, seed)
    with ExitStack() as stack:
        racers = [
            stack.enter_context(
                child.running("from tests.racers import main; main()", path, segment_bytes, n, *arguments)
            )
            for n in range(PROCESSES)
        ]
        members.start_together(racers)
        # A process proves its answers once all have theirs.
        assert [child.line(racer) for racer in racers] == ["raced"] * PROCESSES
        for racer in racers:
            members.tell(racer, "prove")
        said = [start(partial(child.rest, racer)) for racer in racers]
        lines = [line() for line in said]
        assert [racer.wait(child.PATIENCE) for racer in racers] == [0] * PROCESSES
    counts = [[int(count) for count in line.removeprefix("proved ").split()] for (line,) in lines]
    return [sum(count) for count in zip(*counts, strict=True)]


@pytest.mark.parametrize(
    ("segment_bytes", "threads", "turns", "soak"),
    [
        pytest.param(0, 16, 782, 20_000_000, id="many"),
        pytest.param(SMALL_SEGMENT, 4, 160, 500_000, id="small segments"),
    ],
)
def test_every_answer_to_threads_of_processes_that_race_is_proved_by_the_log(
    tmp_path: Path,
    segment_bytes: int,
    threads: int,
    turns: int,
    soak: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """By a model that replays the log, and by the conditions that the log keeps.

    16 threads of 8 processes are given 100,000 answers, and 4 of each some more where segments are small.
    """
    each = PROCESSES * threads * turns
    goal = Goal(each, soak, share=0.15 if segment_bytes == 0 else 0.02)
    answered = accepted = 0
    while goal.is_ahead(answered):
        some = race_once(tmp_path / "store", segment_bytes, threads, turns, SEED + answered)
        answers, appends, events, conditions = some
        assert answers == each
        assert 0 < appends < answers
        with cp.open(tmp_path / "store") as store:
            verification = store.verify()
        assert verification, verification.findings
        found = (verification.head, verification.events, verification.batches, verification.conditions)
        assert found == (events, events, appends, conditions), (
            "an event that nobody was told of, or one is missing"
        )
        shutil.rmtree(tmp_path / "store")
        answered, accepted = answered + answers, accepted + appends
    with capsys.disabled():
        print(f"\n{goal}: {answered} answers proved, {accepted} accepted and {answered - accepted} refused")


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
