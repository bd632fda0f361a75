"""Anything at all, as an argument: values at and beyond every limit, of every wrong type, and objects that
are not what they look like or change while they are looked at. F7.
"""

import array
import asyncio
import collections
import datetime
import decimal
import enum
import fractions
import functools
import random
import types
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import counterpoint as cp


class MischiefError(Exception):
    """What objects raise that have nothing to do with the library: it has to come out as it is."""


def mischief(*_: object, **__: object) -> Any:
    raise MischiefError


class Restless(list[Any]):
    """A list that changes whenever it is iterated."""

    def __iter__(self) -> Iterator[Any]:
        for element in self.copy():
            self.clear()
            yield element
            self.extend([element] * 3)


class Shifty:
    """An object that empties the list it is in as soon as somebody asks what it is."""

    def __init__(self) -> None:
        self.home: list[Any] = [RAW, self, RAW, self, "text"]

    def __getattr__(self, name: str) -> Any:
        raise MischiefError

    @property
    def __class__(self) -> type:  # type: ignore[override]
        self.home.clear()
        return cp.AppendCondition


class LiesAboutItsLength(list[Any]):
    length: Any = 2**62

    def __len__(self) -> int:
        return self.length  # type: ignore[no-any-return]


class Negative(LiesAboutItsLength):
    length = -1


class NoNumber(LiesAboutItsLength):
    length = "three"


class SecondThoughts(list[Any]):
    """A list whose elements are others each time."""

    def __iter__(self) -> Iterator[Any]:
        yield from ("a", 1, None)

    def __getitem__(self, _: Any) -> Any:
        return b"a"


class OddInt(int):
    """An int that answers every question in its own way."""

    def __index__(self) -> int:
        return -(10**30)

    __int__ = __index__

    def __lt__(self, _: object) -> Any:
        return "maybe"

    __gt__ = __le__ = __ge__ = __lt__

    def __eq__(self, _: object) -> Any:
        raise MischiefError

    def __hash__(self) -> int:
        return -1


class RudeInt(int):
    __index__ = __int__ = __lt__ = __gt__ = __le__ = __ge__ = __eq__ = mischief
    __hash__ = int.__hash__


class OddStr(str):
    """A str that is none when it is compared, hashed, encoded or shown."""

    __eq__ = __str__ = encode = __format__ = __len__ = __iter__ = mischief

    def __hash__(self) -> int:
        raise MischiefError


class OddBytes(bytes):
    __len__ = __iter__ = __eq__ = __getitem__ = __bytes__ = mischief
    __hash__ = bytes.__hash__


class OddFloat(float):
    __float__ = __lt__ = __gt__ = __le__ = __ge__ = mischief


class BlankUUID(uuid.UUID):
    """A UUID without a number."""

    def __init__(self) -> None:
        pass

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return 0


class OddUUID(BlankUUID):
    int: Any = property(mischief)
    bytes: Any = property(lambda _: "text")


class WideUUID(BlankUUID):
    int: Any = property(lambda _: 2**200)


class Yes:
    """An object that has everything and can everything, and is always itself."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __call__(self, *_: object, **__: object) -> Any:
        return self


class No:
    """An object that cannot be asked for anything."""

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("__"):
            return object.__getattribute__(self, name)
        raise MischiefError

    __iter__ = __len__ = __bool__ = __eq__ = __index__ = __call__ = __fspath__ = __getitem__ = mischief

    def __hash__(self) -> int:
        raise MischiefError


class IteratesOverNothing:
    def __iter__(self) -> Any:
        return None


class EndError(MischiefError, StopIteration):
    pass


class EndsBeforeItBegins:
    def __iter__(self) -> Any:
        raise EndError


class Indexed:
    """A sequence of the old kind, which ends with an error of its own."""

    def __getitem__(self, index: int) -> Any:
        if index > 2:
            raise MischiefError
        return "a"


class PathOf:
    def __init__(self, path: object) -> None:
        self.path = path

    def __fspath__(self) -> Any:
        return self.path


class Colour(enum.Enum):
    RED = "red"
    NUMBER = 7


class Paint(str, enum.Enum):  # noqa: UP042  a member of a str enum is a str, and the odd one of the two
    BLUE = "blue"


@dataclass
class Account:
    """An event class of another kind."""

    number: int = 0


class OddOrder(cp.Event):
    order_id: Any
    total: Any = 0

    def tags(self) -> Any:
        return [f"order:{self.order_id}"] if isinstance(self.order_id, str) else self.order_id


class OddFirst(cp.Event):
    """There is one, at position 1."""


class Count(cp.Projection[int]):
    what: Any = None

    def query(self) -> Any:
        return EARLY if self.what is None else self.what

    def init(self) -> int:
        return 0

    def apply(self, state: int, envelope: cp.Envelope[Any]) -> int:
        return state + 1


class LastOnly(cp.OnDemandProjection[int]):
    what: Any = None

    query = Count.query
    init = Count.init
    apply = Count.apply


class Decide(cp.Command):
    what: Any = None

    def run(self, ra: cp.ReadAppender) -> Any:
        ra.read_events(A.limit(1))
        return ra.append_event(OddOrder("o1")) if self.what is None else self.what


class DecideLater(cp.Command):
    async def run(self, ra: cp.ReadAppender) -> Any:
        return ra.append_event(OddOrder("o1"))


class Act(cp.CommandWithEffect[Any, Any]):
    def run(self, ra: cp.ReadAppender, deps: Any) -> Any:
        return ra.append_event(OddOrder("o1"))


RAW = cp.RawEvent("OddOrder", b'{"order_id":"o1","total":1}', ["order:o1"], b"m", uuid.UUID(int=1))
A = cp.Query().add_item(types=["OddOrder"])
EARLY = cp.Query().add_item(types=["OddFirst"])
NEVER = cp.AppendCondition(cp.Query().add_item(tags=["never"]))
BROKEN = cp.AppendCondition(A)


def raises_after(*first: Any) -> Iterator[Any]:
    yield from first
    raise MischiefError


def knotted() -> list[Any]:
    knot: list[Any] = []
    knot.append(knot)
    return knot


def released() -> memoryview:
    view = memoryview(bytearray(b"gone"))
    view.release()
    return view


def closed_store() -> cp.EmbeddedStore:
    store = cp.open("memory:")
    store.close()
    return store


async def coroutine_function(*_: object) -> None:
    await asyncio.sleep(0)


# fmt: off
SCALARS: list[Any] = [
    None, True, False, 0, 1, 2, -1, 64, 2**31, 2**32, 2**63 - 1, 2**63, 2**64 - 1, 2**64, -(2**63),
    10**400, -(10**400), 10**4000, OddInt(3), RudeInt(3), 1j,
    0.0, -0.0, 0.5, 1.5, float("nan"), float("inf"), -float("inf"), 1e308, 5e-324, OddFloat(0.1),
    decimal.Decimal(1), decimal.Decimal("NaN"), fractions.Fraction(1, 3),
    "", "A", "OddOrder", "order:o1", "a" * 255, "a" * 256, "\u00e9" * 127, "\u00e9" * 128, "\0", "a\0b",
    "\ud800", "a\udfff", "\U0001f980" * 64, "e\u0301", "\u202e", "\ufeff", "a,b", ":", " ", "\n", "1", "nan",
    "None", "x" * 1_000_000, OddStr("A"), Paint.BLUE, Colour.RED, Colour.NUMBER,
    b"", b"\0", b"A", b"\xff" * 20, bytes(16 * 2**20 + 1), OddBytes(b"A"),
    uuid.UUID(int=0), uuid.UUID(int=2**128 - 1), BlankUUID(), OddUUID(), WideUUID(), str(uuid.UUID(int=1)),
    uuid.UUID(int=1).bytes, datetime.datetime(2026, 1, 1), datetime.datetime.max, datetime.date.min,
    datetime.timedelta.max, datetime.UTC, ..., NotImplemented, slice(1), range(10**9),
    object(), object, type, int, str, dict, list, cp, cp.Event, cp.RawEvent, cp.Query, OddOrder, Account,
    Count, len, print, mischief, lambda *_: None, functools.partial(mischief, 1), coroutine_function,
    types.SimpleNamespace(), Yes(), No(), IteratesOverNothing(), EndsBeforeItBegins(), Indexed(),
    PathOf("x"), PathOf(3), PathOf(b"x"), RAW, cp.SequencedEvent(1, "OddOrder", b"{}"),
    cp.SequencedEvent(2**64, "Nobody", b"\xff"), A, cp.Query(), cp.Query.all(),
    A.reverse().limit(1).after(5).until(3), cp.QueryItem(["A"]), NEVER, BROKEN, cp.Tag("t"), cp.Backoff(),
    OddOrder("o1"), OddOrder(float("nan")), OddOrder(object()), OddOrder([1]), OddOrder("\ud800"), Account(3),
    Account(1j), Account(2**70), Count(), Count(3), Count(cp.Query()), LastOnly(), Decide(), Decide(mischief),
    DecideLater(), Act(), cp.EventRegistry.default(), cp.EventRegistry(), cp.Error("x"),
    cp.UnknownEventType("x"), MischiefError(),
]
"""Values that stay what they are."""
# fmt: on


def each(what: Callable[[], list[Any]], *kinds: Callable[[list[Any]], Any]) -> list[Callable[[], Any]]:
    return [lambda kind=kind: kind(what()) for kind in kinds]  # type: ignore[misc]


# fmt: off
MAKERS: list[Callable[[], Any]] = [
    list, tuple, set, dict, frozenset, bytearray, object, knotted, released, closed_store, Shifty,
    raises_after, lambda: iter(()), lambda: bytearray(b"abc"), lambda: memoryview(b"abc"),
    lambda: array.array("q", [1, 2]),
    lambda: Shifty().home, lambda: [Shifty(), Shifty()],
    *each(lambda: ["a", "b"], list, tuple, set, iter, collections.deque, Restless),
    *each(lambda: [RAW, RAW], list, tuple, set, iter, Restless, LiesAboutItsLength, Negative),
    *each(lambda: [NEVER, NEVER], list, tuple, iter, Restless, SecondThoughts, NoNumber),
    *each(lambda: [cp.QueryItem(["OddOrder"])], list, tuple, iter, Restless, NoNumber),
    lambda: [RAW, None], lambda: [RAW, OddOrder("o1")], lambda: [OddOrder("o1"), OddOrder("o2")],
    lambda: [Count(), LastOnly()], lambda: [NEVER, BROKEN], lambda: [NEVER] * 1025, lambda: ["t"] * 1000,
    lambda: [f"t{n}" for n in range(64)], lambda: [f"t{n}" for n in range(65)], lambda: [OddStr("a"), "b"],
    lambda: [RudeInt(1), No(), Yes()], lambda: {"a": 1, "b": 2}, {"a": 1}.keys,
    lambda: types.MappingProxyType({"a": 1}), lambda: raises_after("a", "b"), lambda: raises_after(RAW),
    lambda: raises_after(NEVER), lambda: (RAW for _ in range(3)), lambda: map(mischief, [1]),
]
"""Values that are made anew for each call, since they may not be the same after it."""
# fmt: on

ALPHABETS = ["ab:,", "a\0\n ", "\u00e9\u0301\u202e\U0001f980", "\ud800\udc80\udfff", "0123456789.-e"]


def anything(chance: random.Random) -> Any:
    """Any value at all."""
    kind = chance.randrange(8)
    if kind < 4:
        return chance.choice(SCALARS)
    if kind < 6:
        return chance.choice(MAKERS)()
    if kind == 6:
        return "".join(chance.choices(chance.choice(ALPHABETS), k=chance.choice([0, 1, 3, 84, 255, 300])))
    return chance.choice(NUMBERS)(chance)


NUMBERS: list[Callable[[random.Random], Any]] = [
    lambda chance: chance.randrange(10),
    lambda chance: chance.randrange(-(2**70), 2**70),
    lambda chance: 2 ** chance.randrange(70) + chance.randrange(-1, 2),
    lambda chance: chance.uniform(-10, 10),
    lambda chance: chance.randbytes(chance.randrange(20)),
]
