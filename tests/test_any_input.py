"""Anything at all for every argument: hypothesis looks for what crashes or harms the store. F7."""

from collections.abc import Callable
from typing import Any

import counterpoint as cp
import pytest
from hypothesis import given, seed
from hypothesis import strategies as st

from tests.budget import SEED, examples
from tests.model import Draft

A = cp.Query().add_item(types=["A"])

JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=300),
    st.characters(categories=["Cs"]),
    st.binary(max_size=20),
    st.uuids(),
    st.lists(st.text(max_size=3) | st.integers() | st.none(), max_size=70),
    st.builds(object),
    st.just(A),
    st.just([cp.AppendCondition(cp.Query().add_item(types=["Nope"]))]),
)
CALLS: dict[str, Callable[..., Any]] = {
    "RawEvent": lambda store, a, b, c: store.append([cp.RawEvent(a, b, c)]),
    "RawEvent, the rest": lambda store, a, b, c: store.append([cp.RawEvent("A", b"", a, b, c)]),
    "append": lambda store, a, b, c: store.append(a, b),
    "append one": lambda store, a, b, c: store.append([Draft("A").raw()], a),
    "AppendCondition": lambda store, a, b, c: store.append(
        [Draft("A").raw()], cp.AppendCondition(a, after=b)
    ),
    "read": lambda store, a, b, c: list(store.read(a, after=b, limit=c)),
    "read all": lambda store, a, b, c: list(store.read(after=a, until=b, limit=c)),
    "add_item": lambda store, a, b, c: list(store.read(cp.Query().add_item(types=a, tags=b).after(c))),
    "limit": lambda store, a, b, c: list(store.read(cp.Query.all().limit(a).after(b))),
    "subscribe": lambda store, a, b, c: store.subscribe(a, after=b).close(),
    "set_cursor": lambda store, a, b, c: store.set_cursor(a, b, expected=c),
    "get_cursor": lambda store, a, b, c: store.get_cursor(a),
}


@pytest.mark.parametrize("name", CALLS)
def test_no_argument_crashes_or_harms_the_store(name: str) -> None:
    """Anything at all is accepted, or refused with one of the documented errors."""
    with cp.open("memory:") as store:
        call = CALLS[name]

        @seed(SEED)
        @examples(default=150, soak=20_000)
        @given(a=JUNK, b=JUNK, c=JUNK)
        def throw(a: Any, b: Any, c: Any) -> None:
            head = store.head()
            try:
                call(store, a, b, c)
            except (TypeError, ValueError, cp.AppendConditionFailed):
                assert store.head() == head
            assert store.append([Draft("Next").raw()]) == store.head()

        throw()
        assert [e.position for e in store.read()] == list(range(1, store.head() + 1))
