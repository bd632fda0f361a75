"""Anything at all for every argument of every public function: hypothesis looks for what crashes or harms the
store. F7.

What is public is asked of the package itself, and each parameter is given by its name: what is new is tried
too, or the test says that it does not know how.
"""

import asyncio
import inspect
import random
import resource
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import counterpoint as cp
import msgspec
import pytest
from hypothesis import given, note, seed
from hypothesis import strategies as st

from tests.anything import (
    BROKEN,
    NEVER,
    RAW,
    A,
    Account,
    Act,
    Count,
    Decide,
    LastOnly,
    MischiefError,
    OddFirst,
    OddOrder,
    anything,
)
from tests.budget import SEED, examples, tries
from tests.model import log_of, stored

pytestmark = pytest.mark.timeout(tries(120, 0))

AT_ONCE = 10
"""Calls of one example. Hypothesis draws their seeds: to draw the arguments would take most of the time."""

NOT_TRIED = {
    "EmbeddedStore": "made by open()",
    "Subscription": "made by EmbeddedStore.subscribe()",
    "Store": "a protocol, whose methods are tried as those of EmbeddedStore",
    "Command.run": "to be overridden",
    "CommandWithEffect.run": "to be overridden",
    "CommandWithEffect.effect": "to be overridden",
    "Read": "a protocol",
    "Projection.apply": "to be overridden",
    "OnDemandProjection.apply": "to be overridden",
}

OPENS = ("open", "EmbeddedStore.backup")
"""What takes a path, at which it may make a directory."""

NEXT = cp.RawEvent("Next", b"next")

LEGAL = (TypeError, ValueError, OverflowError, cp.Error, MischiefError)
"""What a call may raise."""

ROOM = 2 << 30
"""Bytes that a test may take. What takes memory without end fails before the machine does."""

PROTOCOLS = ["Store", "Read"]

GATHERED = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)

THE_STORE = object()
"""Stands for the store that the call is made on."""

# What fits each parameter, so that one bad argument does not hide what becomes of the others.
FITTING: dict[str, list[Any]] = {
    "after": [0, 1, 2, 10**30],
    "annotation": [str, int, Any, Annotated[str, cp.Tag("t")], list[Annotated[int, cp.Tag("t")]] | None],
    "attempts": [1],
    "backoff": [cp.Backoff(first=0.0, base=0.0)],
    "base": [0.0],
    "bytes": [1],
    "cap": [0.0, 1],
    "cls": [Account, OddOrder],
    "command": [Decide()],
    "condition": [None, NEVER, BROKEN, [NEVER, BROKEN], []],
    "conditions": [1, (NEVER,), (BROKEN,)],
    "data": [b"", b"{}"],
    "deps": [None],
    "durability": ["fsync", "os"],
    "event": [RAW, OddOrder("o1"), Account(), cp.SequencedEvent(1, "OddOrder", b'{"order_id":1}'), Decide()],
    "events": [[RAW], [RAW, RAW], [OddOrder("o1")], 1],
    "event_type": ["Declared"],
    "exclusive": [True, False],
    "expected": [None, 0],
    "factor": [1.0],
    "file": ["f"],
    "finding_count": [0],
    "findings": [()],
    "first": [0.0, 1],
    "former_types": [(), ("Old",)],
    "head": [1],
    "id": [None, RAW.id],
    "index_files": [1],
    "jitter": [True, False],
    "items": [None, [cp.QueryItem(["OddOrder"])]],
    "kind": ["log"],
    "last": [1],
    "limit": [None, 1, 3],
    "cloned_bytes": [0],
    "copied_bytes": [1],
    "copy": [True, False],
    "linked_bytes": [0],
    "read_cache_bytes": [None, 0, 4096],
    "read_only": [False, True],
    "verification": [None],
    "verify": [True, False],
    "batches": [1],
    "max_attempts": [1, 4],
    "metadata": [None, b"m"],
    "name": ["cursor", "order"],
    "offset": [0],
    "path": ["memory:", "store"],
    "position": [0, 1, 2],
    "progress": [None, lambda done, total: None],
    "projection": [Count()],
    "projections": [[Count()], [Count(), LastOnly()]],
    "query": [A, cp.Query.all(), A.limit(2).reverse()],
    "reason": ["why"],
    "record_conditions": [True, False],
    "recorded_at": [0, 1_700_000_000_000_000],
    "registry": [None, cp.EventRegistry.default()],
    "result": [None],
    "retry": [1, 5],
    "reverse": [True, False],
    "segment_bytes": [None, 4096],
    "segments": [1],
    "sleep": [lambda _: None],
    "store": [THE_STORE],
    "_store": [THE_STORE],
    "sync_interval": [0.05],
    "tags": [(), ["a"], ["order:o1"], None],
    "timeout": [None, 0, 0.0005],
    "type": ["OddOrder", "A", None],
    "types": [["OddOrder"], [OddOrder], ()],
    "until": [None, 1, 2],
    "value": ["v", 1, None, [1]],
    "what": ["w"],
}


@dataclass
class World:
    """What calls are made on."""

    home: Path
    store: cp.EmbeddedStore = field(default_factory=lambda: cp.open("memory:"))
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)

    def __post_init__(self) -> None:
        self.store.append([cp.encode(OddFirst()), RAW, RAW])
        self.first = log_of(self.store)
        # Each of a class with the methods in question.
        self.receivers: dict[str, Callable[[], Any]] = {
            "Backoff": cp.Backoff,
            "CommandRunner": lambda: cp.CommandRunner(self.store, sleep=lambda _: None),
            "CommandWithEffectRunner": lambda: cp.CommandWithEffectRunner(
                self.store, None, sleep=lambda _: None
            ),
            "EmbeddedStore": lambda: self.store,
            "EventRegistry": self.registry,
            "Explanation": lambda: self.store.why(1),
            "OnDemandProjection": LastOnly,
            "Projection": Count,
            "Query": lambda: A,
            "QueryItem": lambda: cp.QueryItem(["OddOrder"], ["order:o1"]),
            "ReadAppender": lambda: cp.ReadAppender(self.store),
        }

    def registry(self) -> cp.EventRegistry:
        registry = cp.EventRegistry()
        registry.register(OddOrder, "OddOrder")
        return registry

    def close(self) -> None:
        assert [event.position for event in self.store.read()] == list(range(1, self.store.head() + 1))
        assert self.store.verify(), "the store was harmed"
        self.store.close()
        self.loop.close()

    def check(self, head: int, refused: bool) -> None:
        """The store is unharmed: it has what it had, gives it back, and takes more."""
        assert not refused or self.store.head() == head
        assert [stored(event) for event in self.store.read(until=3)] == self.first
        assert self.store.append([NEXT]) == self.store.head() > head
        assert [event.data for event in self.store.read(reverse=True, limit=1)] == [NEXT.data]


def takes(thing: Any) -> list[inspect.Parameter]:
    """The parameters of something that can be called, without the object that a method belongs to."""
    try:
        parameters = list(inspect.signature(thing).parameters.values())
    except ValueError:  # what C code does not say
        return [inspect.Parameter("what", inspect.Parameter.VAR_POSITIONAL)]
    return parameters[1:] if parameters and parameters[0].name in ("self", "$self") else parameters


def public() -> dict[str, list[inspect.Parameter]]:
    """Every public function and method that takes arguments, with its parameters."""
    found: dict[str, list[inspect.Parameter]] = {}
    for name in cp.__all__:
        thing = getattr(cp, name)
        if callable(thing):
            found[name] = takes(thing)
        if not isinstance(thing, type):
            continue
        for kind in thing.__mro__:
            if kind.__module__.partition(".")[0] != "counterpoint":
                continue
            for method, value in vars(kind).items():
                is_public = not method.startswith("_") or method == "__contains__"
                if is_public and callable(getattr(thing, method)) and not isinstance(value, type):
                    found.setdefault(f"{name}.{method}", takes(getattr(thing, method)))
    return {name: parameters for name, parameters in found.items() if parameters}


def tried() -> dict[str, list[inspect.Parameter]]:
    more = {name: takes(function) for name, function in MORE.items()}
    asked = {name: parameters for name, parameters in public().items() if name not in NOT_TRIED}
    return {
        name: parameters for name, parameters in asked.items() if name.split(".")[0] not in PROTOCOLS
    } | more


def arguments(
    parameters: Iterable[inspect.Parameter], chance: random.Random
) -> tuple[list[Any], dict[str, Any]]:
    """Arguments for the parameters: some that fit, some that do not, some left out."""
    positional: list[Any] = []
    named: dict[str, Any] = {}
    for parameter in parameters:
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            positional += [anything(chance) for _ in range(chance.randrange(3))]
        elif parameter.default is not inspect.Parameter.empty and chance.random() < 0.3:
            continue
        elif parameter.kind is not inspect.Parameter.VAR_KEYWORD:
            fits = chance.random() < 0.5
            named[parameter.name] = chance.choice(FITTING[parameter.name]) if fits else anything(chance)
    return positional, named


def declare(annotation: Any, value: Any, event_type: Any = "Declared", former_types: Any = ()) -> cp.RawEvent:
    """Makes an event class, registers it, and encodes an event of it."""
    members = {"event_type": event_type, "former_types": former_types}
    declared = type("Declared", (msgspec.Struct,), {"__annotations__": {"field": annotation}, **members})
    registry = cp.EventRegistry()
    registry.register(declared)
    event = registry.encode(declared(value))
    registry.decode(cp.SequencedEvent(1, event.type, event.data))
    return event


def target(world: World, name: str) -> Callable[..., Any]:
    owner, _, method = name.partition(".")
    if name in MORE:
        return MORE[name]
    if name in ("register", "upcaster"):
        # Those of the default registry, which other tests use too.
        return getattr(world.registry(), name)  # type: ignore[no-any-return]
    thing = getattr(cp, owner)
    if not method:
        return thing  # type: ignore[no-any-return]
    return getattr(world.receivers[owner]() if owner in world.receivers else thing, method)  # type: ignore[no-any-return]


MORE: dict[str, Callable[..., Any]] = {"a declaration of an event class": declare}
"""What is public without being a function."""


def contained(world: World, name: str, given: dict[str, Any]) -> None:
    """Keeps a call from waiting for ever, and from opening what is not its own."""
    if name == "EmbeddedStore.wait":
        after, timeout = given.get("after"), given.get("timeout")
        is_short = type(timeout) in (int, float) and not timeout > 0.001
        if type(after) is int and not is_short:
            given["after"] = min(after, 0)
        elif not is_short:
            given["timeout"] = 0
    if name in OPENS and type(given.get("path")) is str and given["path"] != "memory:":
        given["path"] = f"{world.home}/{given['path'].replace('..', '')}"


def use(world: World, result: Any) -> None:
    """Goes on with what a call returned."""
    if isinstance(result, cp.RawEvent):
        world.store.append([result])
    elif isinstance(result, cp.Query):
        list(islice(world.store.read(result), 5))
    elif isinstance(result, cp.AppendCondition):
        world.store.append([NEXT], result)
    elif isinstance(result, cp.Subscription):
        with result:
            result.try_next()
    elif isinstance(result, cp.EmbeddedStore):
        with result:
            result.append([NEXT])
    elif isinstance(result, (cp.CommandRunner, cp.CommandWithEffectRunner)):
        result.run(Act() if isinstance(result, cp.CommandWithEffectRunner) else Decide())  # type: ignore[arg-type]
    elif isinstance(result, cp.ReadAppender):
        result.read_events(A.limit(1))
        result.append_event(OddOrder("o1"))
    elif isinstance(result, cp.Tag):
        world.store.append([declare(Annotated[str, result], "one")])
    elif isinstance(result, cp.Envelope):
        A.matches(result)
        _ = result.recorded_datetime
    elif isinstance(result, Iterator) or type(result).__name__ == "Read":
        list(islice(result, 5))
    elif isinstance(result, Exception):
        repr(result)


def throw(world: World, name: str, positional: list[Any], named: dict[str, Any]) -> None:
    """One call, and a look at the store."""
    named = {parameter: world.store if value is THE_STORE else value for parameter, value in named.items()}
    contained(world, name, named)
    head, refused = world.store.head(), False

    async def in_a_loop() -> Any:
        try:
            return await target(world, name)(*positional, **named)
        except LEGAL as error:
            return error

    try:
        if name == "EmbeddedStore.append_async":
            result = world.loop.run_until_complete(in_a_loop())
            if isinstance(result, LEGAL):
                raise result
        else:
            result = target(world, name)(*positional, **named)
    except cp.StorageError:
        # No argument is trouble with the storage.
        raise
    except LEGAL:
        refused = True
    except OSError:
        assert name in OPENS, "only a path can be wrong in this way"
    except SystemError as error:
        # CPython 3.11 itself, of an iterator over a memoryview that was released.
        if "released memoryview" not in str(error.__cause__):
            raise
        refused = True
    except (SyntaxError, IndexError):
        assert name in MORE, "only an annotation that Python cannot read"
    else:
        with suppress(*LEGAL):
            use(world, result)
    for made in world.home.iterdir():
        shutil.rmtree(made) if made.is_dir() else made.unlink()
    world.check(head, refused)


def test_every_public_function_and_each_of_its_parameters_is_tried() -> None:
    assert set(NOT_TRIED) - set(PROTOCOLS) <= set(public()), "what is not tried has gone"
    for name, parameters in tried().items():
        unknown = [p.name for p in parameters if p.kind not in GATHERED and p.name not in FITTING]
        assert not unknown, f"{name} has parameters that are not tried: add what fits them to FITTING"


def test_what_becomes_public_is_tried_or_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cp.EmbeddedStore, "compact", lambda self, level: None, raising=False)
    monkeypatch.setattr(cp, "repair", lambda directory: None, raising=False)
    monkeypatch.setattr(cp, "__all__", [*cp.__all__, "repair"])
    assert {"EmbeddedStore.compact", "repair"} <= set(tried())
    with pytest.raises(
        AssertionError, match=r"compact has parameters that are not tried|repair has parameters"
    ):
        test_every_public_function_and_each_of_its_parameters_is_tried()


@pytest.fixture
def little_memory() -> Iterator[None]:
    limits = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + ROOM, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, limits)


@pytest.mark.usefixtures("little_memory")
@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
@pytest.mark.parametrize("name", tried())
def test_no_argument_crashes_or_harms_the_store(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anything at all is accepted, or refused with one of the documented errors."""
    monkeypatch.chdir(tmp_path)
    world, parameters = World(tmp_path), tried()[name]
    try:

        @seed(SEED)
        @examples(default=2000 // AT_ONCE, soak=2000)
        @given(st.lists(st.integers(0, 2**64 - 1), min_size=AT_ONCE, max_size=AT_ONCE))
        def throw_some(seeds: list[int]) -> None:
            for number in seeds:
                try:
                    throw(world, name, *arguments(parameters, random.Random(number)))
                except BaseException:
                    again = arguments(parameters, random.Random(number))
                    note(f"{name}, arguments {again!r:.2000}")
                    raise

        throw_some()
    finally:
        world.close()
