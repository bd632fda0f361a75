"""The semantics that every store must show: S1 to S12. I numbers are the invariants of the design."""

from collections.abc import Iterator

import counterpoint as cp
import pytest

BEYOND = [2**63, 2**64 - 1, 2**64, 2**100]
"""Positions no log reaches. 2**64 - 1 wrapped to 0 in a peer."""


def event(type: str, *tags: str, data: bytes = b"") -> cp.RawEvent:
    return cp.RawEvent(type=type, data=data, tags=tags)


def of_type(*types: str) -> cp.Query:
    return cp.Query().add_item(types=types)


def tagged(*tags: str) -> cp.Query:
    return cp.Query().add_item(tags=tags)


def positions(events: cp.EmbeddedStore | object) -> list[int]:
    return [event.position for event in events]  # type: ignore[attr-defined]


@pytest.fixture
def five(store: cp.EmbeddedStore) -> cp.EmbeddedStore:
    """A store of five events: A x, A y, B x, B y, A x y."""
    store.append([event("A", "x"), event("A", "y")])
    store.append([event("B", "x"), event("B", "y"), event("A", "x", "y")])
    return store


# S1: `after` is exclusive, 0 is the whole log, above the head is accepted.


def test_after_is_exclusive_in_reads(five: cp.EmbeddedStore) -> None:
    assert positions(five.read(after=2)) == [3, 4, 5]
    assert positions(five.read(after=4)) == [5]
    assert positions(five.read(after=5)) == []


def test_after_is_exclusive_in_reverse_reads_too(five: cp.EmbeddedStore) -> None:
    assert positions(five.read(after=2, reverse=True)) == [5, 4, 3]


def test_after_is_exclusive_in_conditions(five: cp.EmbeddedStore) -> None:
    five.append([event("C")], cp.AppendCondition(of_type("B"), after=4))
    with pytest.raises(cp.AppendConditionFailed) as refused:
        five.append([event("C")], cp.AppendCondition(of_type("B"), after=3))
    assert refused.value.position == 4


def test_after_zero_is_the_whole_log(five: cp.EmbeddedStore) -> None:
    assert positions(five.read(after=0)) == [1, 2, 3, 4, 5]
    with pytest.raises(cp.AppendConditionFailed) as refused:
        five.append([event("C")], cp.AppendCondition(tagged("x"), after=0))
    assert refused.value.position in (1, 3, 5)
    with pytest.raises(cp.AppendConditionFailed):
        five.append([event("C")], cp.AppendCondition(tagged("x")))


@pytest.mark.parametrize("after", [6, 1000, *BEYOND])
def test_after_above_the_head_is_accepted(five: cp.EmbeddedStore, after: int) -> None:
    assert positions(five.read(after=after)) == []
    assert positions(five.read(after=after, reverse=True)) == []
    assert positions(five.read(tagged("x"), after=after)) == []
    assert five.append([event("A", "x")], cp.AppendCondition(cp.Query.all(), after=after)) == 6


@pytest.mark.parametrize("until", [5, 6, *BEYOND])
def test_until_at_or_above_the_head_is_the_whole_log(five: cp.EmbeddedStore, until: int) -> None:
    assert positions(five.read(until=until)) == [1, 2, 3, 4, 5]


def test_until_is_inclusive(five: cp.EmbeddedStore) -> None:
    assert positions(five.read(until=3)) == [1, 2, 3]
    assert positions(five.read(after=1, until=3, reverse=True)) == [3, 2]
    assert positions(five.read(after=3, until=3)) == []
    assert positions(five.read(until=0)) == []


def test_arguments_of_a_read_tighten_what_its_query_carries(five: cp.EmbeddedStore) -> None:
    query = cp.Query.all().after(1).limit(3)
    assert positions(five.read(query)) == [2, 3, 4]
    assert positions(five.read(query, after=2, limit=2)) == [3, 4]
    assert positions(five.read(query, after=0, limit=9)) == [2, 3, 4]
    assert positions(five.read(query.reverse())) == [5, 4, 3]
    assert positions(five.read(query, reverse=True)) == [5, 4, 3]
    assert positions(five.read(cp.Query.all().until(3), until=4)) == [1, 2, 3]
    assert positions(five.read(cp.Query.all().until(3), until=2)) == [1, 2]


def test_a_subscription_takes_the_greater_after_and_no_other_bound(five: cp.EmbeddedStore) -> None:
    assert next(five.subscribe(cp.Query.all().after(2))).position == 3
    assert next(five.subscribe(cp.Query.all().after(2), after=3)).position == 4
    assert next(five.subscribe(tagged("y").after(2), after=1)).position == 4
    for query in (cp.Query.all().limit(1), cp.Query.all().reverse(), cp.Query.all().until(3)):
        with pytest.raises(ValueError, match="subscription"):
            five.subscribe(query)


# S2: match-all is said explicitly; an empty query or item never becomes it by accident.


def test_a_query_without_items_is_refused_everywhere(five: cp.EmbeddedStore) -> None:
    with pytest.raises(ValueError, match="item"):
        five.read(cp.Query())
    with pytest.raises(ValueError, match="item"):
        five.subscribe(cp.Query())
    with pytest.raises(ValueError, match="item"):
        five.append([event("C")], cp.AppendCondition(cp.Query()))
    with pytest.raises(ValueError, match="item"):
        five.append([event("C")], [cp.AppendCondition(of_type("Z")), cp.AppendCondition(cp.Query().limit(1))])
    assert five.head() == 5


def test_an_item_with_neither_types_nor_tags_is_refused() -> None:
    with pytest.raises(ValueError, match="item"):
        cp.Query().add_item()
    with pytest.raises(ValueError, match="item"):
        of_type("A").add_item(types=[], tags=())
    with pytest.raises(ValueError, match="item"):
        cp.QueryItem()


def test_match_all_takes_no_items() -> None:
    with pytest.raises(ValueError, match="all"):
        cp.Query.all().add_item(types=["A"])


def test_match_all_returns_every_event(five: cp.EmbeddedStore) -> None:
    assert positions(five.read(cp.Query.all())) == positions(five.read()) == [1, 2, 3, 4, 5]


# S3: an empty side does not restrict.


def test_types_alone_and_tags_alone_restrict_only_their_side(five: cp.EmbeddedStore) -> None:
    assert positions(five.read(of_type("B"))) == [3, 4]
    assert positions(five.read(tagged("y"))) == [2, 4, 5]
    assert positions(five.read(cp.Query().add_item(types=["B"], tags=[]))) == [3, 4]
    assert positions(five.read(cp.Query().add_item(types=[], tags=["y"]))) == [2, 4, 5]


def test_types_are_ored_and_tags_are_anded(five: cp.EmbeddedStore) -> None:
    assert positions(five.read(of_type("A", "B"))) == [1, 2, 3, 4, 5]
    assert positions(five.read(tagged("x", "y"))) == [5]
    assert positions(five.read(cp.Query().add_item(types=["A", "C"], tags=["x"]))) == [1, 5]


# S4: an event is returned once; limit counts events, not hits.


def test_an_event_that_matches_several_items_is_returned_once(five: cp.EmbeddedStore) -> None:
    query = of_type("A").add_item(tags=["x"]).add_item(tags=["y", "x"]).add_item(types=["A"])
    assert positions(five.read(query)) == [1, 2, 3, 5]
    assert positions(five.read(query, reverse=True)) == [5, 3, 2, 1]


def test_limit_counts_events_after_items_are_merged(five: cp.EmbeddedStore) -> None:
    query = of_type("A").add_item(tags=["x"])
    assert positions(five.read(query, limit=3)) == [1, 2, 3]
    assert positions(five.read(query, limit=2, reverse=True)) == [5, 3]
    assert positions(five.read(query.limit(1))) == [1]


@pytest.mark.parametrize("limit", [0, -1, -(2**70)])
def test_a_limit_below_one_is_refused(five: cp.EmbeddedStore, limit: int) -> None:
    with pytest.raises(ValueError, match="limit"):
        five.read(limit=limit)
    with pytest.raises(ValueError, match="limit"):
        five.read(cp.Query.all().limit(limit))


@pytest.mark.parametrize("limit", [None, 5, 6, *BEYOND])
def test_no_limit_or_a_great_one_returns_everything(five: cp.EmbeddedStore, limit: int | None) -> None:
    assert positions(five.read(limit=limit)) == [1, 2, 3, 4, 5]


# S5: an empty append is refused first; events may be any iterable, consumed once.


def test_an_empty_append_is_refused_before_its_condition_is_looked_at(five: cp.EmbeddedStore) -> None:
    """A peer's server aborted on an empty append with a failing condition."""
    for nothing in ([], (), iter([])):
        with pytest.raises(ValueError, match="at least one event"):
            five.append(nothing, cp.AppendCondition(cp.Query.all()))
    assert five.head() == 5


def test_events_may_be_any_iterable_and_are_consumed_once(store: cp.EmbeddedStore) -> None:
    class Events:
        turns = 0

        def __iter__(self) -> Iterator[cp.RawEvent]:
            self.turns += 1
            yield from (event("A", data=bytes([n])) for n in range(3))

    events = Events()
    assert store.append(events) == 3
    assert events.turns == 1
    assert store.append(event("B") for _ in range(2)) == 5
    assert store.append((event("C"),)) == 6


# S6: a failed append stores nothing and uses up no position.


def test_a_failed_append_stores_nothing_and_uses_up_no_position(five: cp.EmbeddedStore) -> None:
    before = list(five.read())
    for _ in range(3):
        with pytest.raises(cp.AppendConditionFailed):
            five.append([event("C"), event("C")], cp.AppendCondition(of_type("A")))
    assert list(five.read()) == before
    assert five.head() == 5
    assert five.append([event("C")]) == 6


# S7: tags are a set that keeps its order; strings and data are bytes, never normalised.


def test_tags_lose_duplicates_and_keep_their_first_seen_order(store: cp.EmbeddedStore) -> None:
    store.append([event("A", "c", "a", "c", "b", "a")])
    (found,) = store.read(tagged("b"))
    assert found.tags == ("c", "a", "b")


def test_different_unicode_forms_stay_different(store: cp.EmbeddedStore) -> None:
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    store.append([event(composed, composed), event(decomposed, decomposed)])
    assert positions(store.read(of_type(composed))) == positions(store.read(tagged(composed))) == [1]
    assert positions(store.read(of_type(decomposed))) == positions(store.read(tagged(decomposed))) == [2]
    assert [found.type for found in store.read()] == [composed, decomposed]


def test_strings_are_neither_parsed_nor_folded_nor_stripped(store: cp.EmbeddedStore) -> None:
    tags = [
        "order:1",
        "order:*",
        "order",
        "Order:1",
        " order:1",
        "order:1 ",
        "order:1\x00",
        "\u212a",
        "K",
        "\U0001f600",
    ]
    store.append([event("A", tag) for tag in tags])
    for position, tag in enumerate(tags, start=1):
        assert positions(store.read(tagged(tag))) == [position]


def test_data_and_metadata_come_back_byte_for_byte(store: cp.EmbeddedStore) -> None:
    every_byte = bytes(range(256))
    given = [
        cp.RawEvent(type="A", data=every_byte * 9, metadata=every_byte),
        cp.RawEvent(type="A", data=b"", metadata=b""),
        cp.RawEvent(type="A", data=b"\x00" * 64, metadata=None),
    ]
    store.append(given)
    assert [(e.data, e.metadata) for e in store.read()] == [(e.data, e.metadata) for e in given]


# S8: a read is one snapshot; two reads are two, each with its own condition.


def test_the_head_of_a_read_is_taken_with_its_events(five: cp.EmbeddedStore) -> None:
    read = five.read(of_type("B"))
    five.append([event("B")])
    assert read.head == 5
    assert positions(read) == [3, 4]
    assert five.read(of_type("B")).head == 6


def test_a_read_that_finds_nothing_or_is_limited_has_the_head_of_the_log(five: cp.EmbeddedStore) -> None:
    assert five.read(of_type("Z")).head == 5
    assert five.read(limit=1).head == 5
    assert five.read(reverse=True, limit=1).head == 5


def test_a_read_can_be_iterated_again_over_the_same_snapshot(five: cp.EmbeddedStore) -> None:
    read = five.read(tagged("x"))
    first = next(iter(read))
    five.append([event("A", "x")])
    assert first.position == 1
    assert positions(read) == positions(read) == [1, 3, 5]


def test_two_reads_each_need_their_own_condition(five: cp.EmbeddedStore) -> None:
    """One `after` over two reads would be the later head, and blind to what came between them."""
    first = five.read(of_type("A"))
    between = five.append([event("A")])
    second = five.read(of_type("B"))
    guards = [
        cp.AppendCondition(of_type("A"), after=first.head),
        cp.AppendCondition(of_type("B"), after=second.head),
    ]
    with pytest.raises(cp.AppendConditionFailed) as refused:
        five.append([event("C")], guards)
    assert refused.value.position == between
    assert refused.value.condition == guards[0]


# S9 is tested under concurrent writers (test_concurrency.py) and across kill -9 (test_durability.py).


def test_nothing_appears_later_at_or_below_an_observed_head(store: cp.EmbeddedStore) -> None:
    seen: list[cp.SequencedEvent] = []
    for n in range(50):
        store.append([event("A", data=bytes([n]))] * (n % 3 + 1))
        assert list(store.read(until=len(seen))) == seen
        seen = list(store.read())
        assert len(seen) == store.head()


# S10: any number of conditions, all checked; the error names one that is broken, and where.


def test_every_one_of_several_conditions_is_checked(five: cp.EmbeddedStore) -> None:
    fine = [cp.AppendCondition(of_type(f"Z{n}")) for n in range(20)]
    broken = cp.AppendCondition(tagged("x", "y"))
    for place in range(len(fine) + 1):
        with pytest.raises(cp.AppendConditionFailed) as refused:
            five.append([event("C")], [*fine[:place], broken, *fine[place:]])
        assert (refused.value.position, refused.value.condition) == (5, broken)
    assert five.append([event("C")], fine) == 6


def test_one_event_can_break_several_conditions(five: cp.EmbeddedStore) -> None:
    guards = [cp.AppendCondition(of_type("A"), after=4), cp.AppendCondition(tagged("y"), after=4)]
    with pytest.raises(cp.AppendConditionFailed) as refused:
        five.append([event("C")], guards)
    assert refused.value.position == 5
    assert refused.value.condition in guards


def test_no_conditions_can_be_said_in_three_ways(store: cp.EmbeddedStore) -> None:
    assert store.append([event("A")]) == 1
    assert store.append([event("A")], None) == 2
    assert store.append([event("A")], condition=[]) == 3


# S11: match-all after the head means that nothing at all has happened since.


def test_match_all_after_the_head_means_that_nothing_has_happened_since(store: cp.EmbeddedStore) -> None:
    nothing_since = cp.AppendCondition(cp.Query.all(), after=store.head())
    assert store.append([event("A")], nothing_since) == 1
    with pytest.raises(cp.AppendConditionFailed) as refused:
        store.append([event("B")], nothing_since)
    assert refused.value.position == 1
    assert store.append([event("B")], cp.AppendCondition(cp.Query.all(), after=1)) == 2


# S12 is tested under load in test_concurrency.py.


def test_unrelated_appends_never_conflict(store: cp.EmbeddedStore) -> None:
    for n in range(48):
        account = f"account:{n % 8}"
        head = store.read(tagged(account)).head
        for other in range(8):
            if other != n % 8:
                store.append([event("Moved", f"account:{other}")])
        store.append([event("Moved", account)], cp.AppendCondition(tagged(account), after=head))
