"""Verification, and why an event is in the log: what users can check for themselves. F3, I4."""

import signal
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import counterpoint as cp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import child, members
from tests.budget import examples, tries
from tests.model import Draft
from tests.opener import SMALL_SEGMENT, Opener

pytestmark = pytest.mark.timeout(tries(120, 0))

FIRST = "00000000000000000001.log"


def tagged(*tags: str) -> cp.Query:
    return cp.Query().add_item(tags=tags)


def fill(store: cp.EmbeddedStore, batches: int) -> None:
    """Batches of one to three events. Every other one is guarded twice."""
    for _ in range(batches):
        head = store.head()
        own = f"own:{head}"
        guards = [cp.AppendCondition(tagged(own)), cp.AppendCondition(tagged("all"), after=head)]
        drafts = [Draft("AB"[n % 2], (own, "all"), b"data") for n in range(head % 3 + 1)]
        store.append([draft.raw() for draft in drafts], guards if head % 2 else None)


def overwrite(path: Path, find: bytes, replace: bytes) -> int:
    """Overwrites the first place where the bytes are found, and returns the offset."""
    assert len(find) == len(replace)
    offset = path.read_bytes().index(find)
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(replace)
    return offset


def test_a_whole_store_is_ok_and_counted(store: cp.EmbeddedStore) -> None:
    fill(store, 60)
    store.append([cp.RawEvent("Unguarded", b"")])
    result = store.verify()
    assert result.ok
    assert bool(result)
    assert result.findings == ()
    assert result.finding_count == 0
    stats = store.stats()
    assert (result.head, result.events) == (stats["head"], stats["head"])
    assert (result.segments, result.index_files) == (stats["segments"], stats["index_files"])
    assert result.batches == 61
    assert result.conditions > 0
    assert 0 < result.bytes <= stats["log_bytes"] + stats["index_bytes"]


def test_an_empty_store_is_ok(store: cp.EmbeddedStore) -> None:
    result = store.verify()
    assert result
    assert (result.head, result.events, result.batches, result.conditions) == (0, 0, 0, 0)


def test_results_are_values(store: cp.EmbeddedStore) -> None:
    fill(store, 3)
    result = store.verify()
    assert result == store.verify()
    with pytest.raises(AttributeError):
        result.head = 5  # type: ignore[misc]
    finding = cp.Finding("log", FIRST, 64, 1, "the frame's checksum is wrong")
    assert not cp.Verification(1, 1, 1, 1, 1, 1, 1, (finding,), 1)
    assert finding == cp.Finding("log", FIRST, 64, 1, "the frame's checksum is wrong")


def test_damage_is_returned_with_its_place_and_all_else_is_checked(
    open_on_disk: Opener, tmp_path: Path
) -> None:
    store = open_on_disk(segment_bytes=SMALL_SEGMENT)
    fill(store, 30)
    position = store.append([cp.RawEvent("A", b"find me"), cp.RawEvent("A", b"")])
    fill(store, 30)
    (log,) = (log for log in (tmp_path / "store").glob("*.log") if b"find me" in log.read_bytes())
    offset = overwrite(log, b"find me", b"lost me")
    result = store.verify()
    assert not result.ok
    assert not result
    (finding,) = result.findings
    assert (finding.kind, finding.file, finding.position) == ("log", log.name, position - 1)
    assert 64 <= finding.offset < offset
    assert f"events {position - 1} to {position} are damaged" in finding.what
    assert result.events == store.head() - 2
    assert result.finding_count == 1
    # What is undamaged can still be read, and the store goes on.
    assert store.append([cp.RawEvent("A", b"")]) == result.head + 1


def test_a_segment_that_is_gone_is_found(open_on_disk: Opener, tmp_path: Path) -> None:
    store = open_on_disk(segment_bytes=SMALL_SEGMENT)
    fill(store, 100)
    logs = sorted((tmp_path / "store").glob("*.log"))
    logs[1].unlink()
    (finding,) = store.verify().findings
    assert (finding.file, finding.offset, finding.position) == (logs[1].name, 0, int(logs[1].stem))
    assert "missing" in finding.what


def test_a_damaged_index_is_a_finding_and_no_loss_and_mended_by_its_next_use(
    open_on_disk: Opener, tmp_path: Path
) -> None:
    store = open_on_disk()
    events = [cp.RawEvent("A", b"", (f"n:{n}", "all")) for n in range(20_000)]
    store.append(events, cp.AppendCondition(tagged("all")))
    store.close()
    store = open_on_disk()
    assert store.stats()["index_files"] == 1
    (index,) = (tmp_path / "store").glob("*.idx")
    content = bytearray(index.read_bytes())
    for offset in range(4096, len(content), 4096):
        content[offset] ^= 1
    with index.open("r+b") as file:
        file.write(content)
    result = store.verify()
    assert {(finding.kind, finding.file) for finding in result.findings} == {("index", index.name)}
    assert (result.events, result.conditions) == (20_000, 1)
    assert [event.position for event in store.read(tagged("n:77"))] == [78]
    assert store.verify()


def test_findings_that_are_too_many_to_keep_are_counted(open_on_disk: Opener, tmp_path: Path) -> None:
    store = open_on_disk()
    for _ in range(1_500):
        store.append([cp.RawEvent("A", b"find me")])
    log = tmp_path / "store" / FIRST
    with log.open("r+b") as file:
        file.write(log.read_bytes().replace(b"find me", b"lost me"))
    fill(store, 1)
    result = store.verify()
    # Neighbours are one finding, and these all are.
    assert result.finding_count == 1
    content = log.read_bytes().replace(b"lost me", b"find me")
    at, lost = 0, 0
    while (at := content.find(b"find me", at + 1)) >= 0:
        lost += 1
        if lost % 2:
            content = content[:at] + b"l" + content[at + 1 :]
    with log.open("r+b") as file:
        file.write(content)
    assert store.verify().finding_count == 750
    assert store.verify().events == store.head() - 750


def test_progress_goes_from_nothing_to_everything(store: cp.EmbeddedStore) -> None:
    fill(store, 100)
    told: list[tuple[int, int]] = []
    result = store.verify(lambda done, total: told.append((done, total)))
    done = [done for done, _ in told]
    assert done == sorted(set(done))
    assert {total for _, total in told} == {result.bytes}
    assert done[-1] == result.bytes


def test_what_progress_raises_ends_the_verification(store: cp.EmbeddedStore) -> None:
    fill(store, 10)

    def stop(done: int, total: int) -> None:
        raise LookupError(f"{done} of {total}")

    with pytest.raises(LookupError, match=" of "):
        store.verify(progress=stop)
    assert store.verify()


@pytest.mark.parametrize("progress", [1, "progress", b"", (), True])
def test_progress_that_cannot_be_called_is_refused(store: cp.EmbeddedStore, progress: Any) -> None:
    with pytest.raises(TypeError, match="progress must be a callable or None"):
        store.verify(progress)


def test_closing_the_store_ends_a_verification(open_store: Opener) -> None:
    store = open_store()
    fill(store, 10)
    with pytest.raises(cp.StoreClosed):
        store.verify(lambda _done, _total: store.close())
    with pytest.raises(cp.StoreClosed):
        store.verify()


def test_closing_in_another_thread_ends_a_verification(open_on_disk: Opener) -> None:
    store = open_on_disk()
    fill(store, 10)
    begun, closed = threading.Event(), threading.Event()

    def close() -> None:
        begun.wait()
        store.close()
        closed.set()

    def progress(_done: int, _total: int) -> None:
        begun.set()
        closed.wait()

    thread = threading.Thread(target=close)
    thread.start()
    with pytest.raises(cp.StoreClosed):
        store.verify(progress)
    thread.join()


def test_appends_go_on_beside_a_verification_which_ends_at_the_head_it_began_at(
    store: cp.EmbeddedStore,
) -> None:
    fill(store, 20)
    head = store.head()
    result = store.verify(lambda _done, _total: fill(store, 5))
    assert result
    assert result.head == result.events == head
    assert store.head() > head
    assert store.verify().head == store.head()


def test_ctrl_c_ends_a_verification(tmp_path: Path) -> None:
    program = """
        with cp.open(sys.argv[1]) as store:
            for n in range(20):
                store.append([event("x" * 50, f"n:{n}.{i}") for i in range(20_000)])
            try:
                say("ready")
                while True:
                    assert store.verify()
            except KeyboardInterrupt:
                say("interrupted", store.head())
    """
    with child.running(program, tmp_path / "store") as process:
        assert child.line(process) == "ready"
        process.send_signal(signal.SIGINT)
        assert child.line(process) == "interrupted 400000"
        assert process.wait(child.PATIENCE) == 0


def test_two_processes_append_while_a_third_verifies(open_on_disk: Opener, tmp_path: Path) -> None:
    append = """
        path, name, batches = sys.argv[1], sys.argv[2], int(sys.argv[3])
        with cp.open(path, segment_bytes=4096) as store:
            say("open")
            sys.stdin.readline()
            last = 0
            for number in range(batches):
                own = cp.AppendCondition(cp.Query().add_item(types=["A"], tags=[f"of:{name}"]), after=last)
                batch = [event(f"{number}.{n}", f"of:{name}") for n in range(number % 3 + 1)]
                last = store.append(batch, own)
            say("done")
    """
    batches = tries(400, 20_000)
    store = open_on_disk(segment_bytes=4096)
    with ExitStack() as stack:
        processes = [
            stack.enter_context(child.running(append, tmp_path / "store", name, batches)) for name in "ab"
        ]
        members.start_together(processes)
        heads: list[int] = []
        while any(process.poll() is None for process in processes):
            result = store.verify()
            assert result.ok, result.findings
            assert result.events == result.head
            heads.append(result.head)
        assert [child.line(process) for process in processes] == ["done"] * 2
    assert heads == sorted(heads)
    result = store.verify()
    assert result.ok, result.findings
    assert (result.batches, result.conditions) == (2 * batches, 2 * batches)


def test_why_tells_the_append_and_its_conditions(store: cp.EmbeddedStore) -> None:
    first = store.append([cp.RawEvent("A", b"", ("a:1",)), cp.RawEvent("B", b"", ("a:2",))])
    conditions = [
        cp.AppendCondition(cp.Query().add_item(types=["A", "B"], tags=["a:1", "b:1"]).add_item(types=["C"])),
        cp.AppendCondition(tagged("a:1"), after=first),
        cp.AppendCondition(cp.Query.all(), after=first),
    ]
    last = store.append([cp.RawEvent("C", b"") for _ in range(3)], conditions)
    for position in range(first + 1, last + 1):
        why = store.why(position)
        assert (why.position, why.first, why.last) == (position, first + 1, last)
        assert why.conditions == tuple(conditions)
        (event,) = store.read(after=position - 1, until=position)
        assert why.recorded_at == event.recorded_at
        assert [[event.position for event in why.seen(condition)] for condition in conditions] == [
            [],
            [1],
            [1, 2],
        ]
    assert store.why(1).conditions == store.why(2).conditions == ()
    assert store.why(2) == store.why(2) != store.why(1)


def test_an_append_that_depended_on_the_future_had_seen_all_there_was(store: cp.EmbeddedStore) -> None:
    store.append([cp.RawEvent("A", b"")])
    far = cp.AppendCondition(cp.Query.all(), after=2**70)
    store.append([cp.RawEvent("B", b"")], far)
    store.append([cp.RawEvent("C", b"")])
    why = store.why(2)
    (condition,) = why.conditions
    assert condition.after >= 2**64 - 1
    assert [event.type for event in why.seen(condition)] == ["A"]


def test_conditions_that_are_not_recorded_cannot_be_told(open_store: Opener) -> None:
    store = open_store(record_conditions=False)
    store.append([cp.RawEvent("A", b"")], cp.AppendCondition(tagged("a")))
    assert store.why(1).conditions == ()
    assert store.verify().conditions == 0


@pytest.mark.parametrize("position", [0, -1, 3, 2**64, 2**80])
def test_a_position_that_no_event_has_is_refused(store: cp.EmbeddedStore, position: int) -> None:
    fill(store, 1)
    store.append([cp.RawEvent("A", b"")])
    with pytest.raises(ValueError, match="position must be"):
        store.why(position)


@pytest.mark.parametrize("position", [True, 1.0, "1", None])
def test_what_is_no_position_is_refused(store: cp.EmbeddedStore, position: Any) -> None:
    fill(store, 1)
    with pytest.raises(TypeError, match="position must be an int"):
        store.why(position)


def test_damage_on_the_way_to_a_batch_is_raised(open_on_disk: Opener, tmp_path: Path) -> None:
    store = open_on_disk()
    store.append([cp.RawEvent("A", b"find me")])
    overwrite(tmp_path / "store" / FIRST, b"find me", b"lost me")
    with pytest.raises(cp.CorruptionError) as caught:
        store.why(1)
    assert (caught.value.file, caught.value.offset) == (FIRST, 64)


class SeatHeld(cp.Event):
    seat: Annotated[str, cp.Tag("seat")]


def test_what_a_command_decided_on_can_be_told(store: cp.EmbeddedStore) -> None:
    first, second = cp.ReadAppender(store), cp.ReadAppender(store)
    first.append_event(SeatHeld("1"))
    assert not second.read_events(tagged("seat:2"))
    why = store.why(second.append_event(SeatHeld("2")))
    assert why.conditions == (cp.AppendCondition(tagged("seat:2"), after=1),)
    assert list(why.seen(why.conditions[0])) == []


TEXTS = st.sampled_from(["a", "b", "c:1", "é", "\0", "x" * 255])
ITEMS = st.tuples(st.lists(TEXTS, max_size=3), st.lists(TEXTS, max_size=3)).filter(any)
QUERIES: st.SearchStrategy[cp.Query] = st.one_of(
    st.just(cp.Query.all()),
    st.lists(ITEMS, min_size=1, max_size=3).map(
        lambda items: _query([cp.QueryItem(types, tags) for types, tags in items])
    ),
)
APPENDS = st.tuples(
    st.lists(st.tuples(TEXTS, st.lists(TEXTS, max_size=3)), min_size=1, max_size=3),
    st.lists(st.tuples(QUERIES, st.integers(0, 2**65)), max_size=3),
)


def _query(items: list[cp.QueryItem]) -> cp.Query:
    query = cp.Query()
    for item in items:
        query = query.add_item(types=item.types, tags=item.tags)
    return query


@examples(60, 5_000)
@given(st.lists(APPENDS, max_size=12))
def test_whatever_was_appended_verifies_and_is_explained(appends: list[Any]) -> None:
    with cp.open("memory:", segment_bytes=SMALL_SEGMENT) as store:
        accepted = {}
        for events, guards in appends:
            conditions = tuple(cp.AppendCondition(query, after) for query, after in guards)
            try:
                last = store.append([cp.RawEvent(type_, b"", tags) for type_, tags in events], conditions)
            except cp.AppendConditionFailed:
                continue
            accepted[last] = conditions
        result = store.verify()
        assert result.ok, result.findings
        assert (result.batches, result.head) == (len(accepted), store.head())
        assert result.conditions == sum(map(len, accepted.values()))
        first = 1
        for last, conditions in accepted.items():
            why = store.why(last)
            assert (why.first, why.last) == (first, last)
            assert [condition.query for condition in why.conditions] == [c.query for c in conditions]
            assert [condition.after for condition in why.conditions] == [
                min(condition.after, 2**64 - 1) for condition in conditions
            ]
            for condition in conditions:
                seen = [event.position for event in why.seen(condition)]
                before = [event for event in store.read() if event.position < first]
                assert seen == [
                    event.position
                    for event in before
                    if event.position <= condition.after and condition.query.matches(event)
                ]
            first = last + 1
