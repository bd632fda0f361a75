"""The engine behind :mod:`counterpoint`: values, the store handle, and the errors it raises.

Private: import the public names from :mod:`counterpoint`. `stubtest` compares this file with the module.
"""

from asyncio import Future
from collections.abc import Callable, Iterable, Iterator, Sequence
from os import PathLike
from typing import Any, Final, Literal, TypeAlias, TypedDict, final, type_check_only
from uuid import UUID

from counterpoint.query import AppendCondition

__all__ = [
    "MAX_BATCH_BYTES",
    "MAX_BATCH_EVENTS",
    "MAX_CONDITIONS",
    "MAX_DATA_BYTES",
    "MAX_QUERY_ITEMS",
    "MAX_TAGS",
    "MAX_TEXT_BYTES",
    "Answers",
    "CorruptionError",
    "Engine",
    "Error",
    "PoisonedError",
    "QueryItem",
    "RawEvent",
    "Read",
    "ReadIterator",
    "SequencedEvent",
    "StorageError",
    "StoreClosed",
    "StoreLocked",
    "Subscription",
    "__version__",
    "inspect",
    "salvage",
]

__version__: Final[str]

MAX_TEXT_BYTES: Final[int]
MAX_TAGS: Final[int]
MAX_DATA_BYTES: Final[int]
MAX_BATCH_EVENTS: Final[int]
MAX_BATCH_BYTES: Final[int]
MAX_QUERY_ITEMS: Final[int]
MAX_CONDITIONS: Final[int]

_Verified: TypeAlias = tuple[
    dict[str, int], list[tuple[Literal["log", "condition", "index"], str, int, int | None, str]]
]
_Inspected: TypeAlias = tuple[_Held, list[tuple[str, int, int | None, str]]]

@type_check_only
class _Held(TypedDict):
    segments: tuple[str, ...]
    log_bytes: int
    head: int
    batches: int
    readable_after: int
    last_readable: int
    durable: int | None
    cursors: dict[str, int] | None
    loses_events: bool
    unfinished: bool
    damage_count: int

class Error(Exception): ...

class StorageError(Error):
    errno: int | None

class CorruptionError(StorageError):
    file: str
    offset: int

class PoisonedError(StorageError): ...
class StoreClosed(Error): ...

class StoreLocked(Error):
    pid: int | None

@final
class RawEvent:
    """An event to append, as bytes: type, data, tags, and optionally metadata and an id.

    Type and tags have 1 to 255 bytes of UTF-8, data and metadata at most 16 MiB, and there are at most 64
    tags, of which repeated ones are dropped. Raises ValueError for what is beyond, TypeError for what is no
    str or bytes.
    """

    def __new__(
        cls,
        type: str,
        data: bytes,
        tags: Iterable[str] = (),
        metadata: bytes | None = None,
        id: UUID | None = None,
    ) -> RawEvent: ...
    @property
    def type(self) -> str:
        """The event type."""

    @property
    def data(self) -> bytes:
        """The payload."""

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags in the order first given, without repetitions."""

    @property
    def metadata(self) -> bytes | None:
        """What is stored beside the payload, None if nothing was given."""

    @property
    def id(self) -> UUID | None:
        """The identifier of the event, None if none was given."""

    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

@final
class SequencedEvent:
    """An event of the log: a RawEvent's parts, its position, and when it was recorded.

    Stores make these; made by hand, as for a test, it raises what RawEvent raises, and ValueError for a
    negative position.
    """

    def __new__(
        cls,
        position: int,
        type: str,
        data: bytes,
        tags: Iterable[str] = (),
        metadata: bytes | None = None,
        id: UUID | None = None,
        recorded_at: int = 0,
    ) -> SequencedEvent: ...
    @property
    def position(self) -> int:
        """The place in the log: above that of every event before it."""

    @property
    def type(self) -> str:
        """The event type."""

    @property
    def data(self) -> bytes:
        """The payload."""

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags in the order first given, without repetitions."""

    @property
    def metadata(self) -> bytes | None:
        """What is stored beside the payload, None if nothing was given."""

    @property
    def id(self) -> UUID | None:
        """The identifier of the event, None if none was given."""

    @property
    def recorded_at(self) -> int:
        """Microseconds since the Unix epoch, UTC; the same for all events of one append."""

    def _parts(
        self,
    ) -> tuple[int, str, bytes, tuple[str, ...], int, bytes | None, UUID | None]:
        """Return position, type, data, tags, recorded_at, metadata and id, looking into the event once."""

    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

@final
class QueryItem:
    """One alternative of a query: any of the types, and all of the tags; an empty side does not restrict.

    Raises ValueError if both are empty, and for text that no event can have.
    """

    def __new__(cls, types: Iterable[str] = (), tags: Iterable[str] = ()) -> QueryItem: ...
    @property
    def types(self) -> tuple[str, ...]:
        """The types, any of which will do; empty for every type."""

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags, all of which an event must have; empty for any tags."""

    def matches(self, type: str, tags: Sequence[str]) -> bool:
        """Say whether an event of this type with these tags matches."""

    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

@final
class Read:
    """One read: iterable any number of times, always over the same snapshot.

    It streams, in memory that does not grow with the number of events, and keeps its store open. Iterating
    raises StoreClosed once the store is closed, and StorageError for trouble below.
    """

    @property
    def head(self) -> int:
        """The last position of the snapshot: nothing this read does not see can appear at or below it."""

    def __iter__(self) -> ReadIterator:
        """Return a new pass over the events, in the order of the read."""

@final
class ReadIterator(Iterator[SequencedEvent]):
    def __iter__(self) -> ReadIterator: ...
    def __next__(self) -> SequencedEvent: ...

@final
class Subscription:
    """The engine's half of a subscription: never waits.

    `position` is the last position looked at: the caller waits for the head to move past it.
    """

    @property
    def position(self) -> int: ...
    def try_next(self) -> SequencedEvent | None: ...

@final
class Answers:
    """The answers for one event loop, which watches `fileno` and calls `resolve` when it is readable."""

    def __new__(cls) -> Answers: ...
    def fileno(self) -> int: ...
    def resolve(self) -> None: ...

@final
class Engine:
    """One open store. `items=None` stands for the query that matches every event."""

    @staticmethod
    def open(
        path: str | PathLike[str],
        *,
        durability: Literal["fsync", "os"] = "fsync",
        sync_interval: float = 0.05,
        record_conditions: bool = True,
        segment_bytes: int | None = None,
        read_cache_bytes: int | None = None,
        exclusive: bool = False,
    ) -> Engine: ...
    @staticmethod
    def open_read_only(path: str | PathLike[str], *, read_cache_bytes: int | None = None) -> Engine: ...
    @staticmethod
    def open_memory(
        *,
        durability: Literal["fsync", "os"] = "fsync",
        sync_interval: float = 0.05,
        record_conditions: bool = True,
        segment_bytes: int | None = None,
        read_cache_bytes: int | None = None,
    ) -> Engine: ...
    def append(
        self,
        events: Iterable[RawEvent],
        condition: AppendCondition | Iterable[AppendCondition] | None = None,
    ) -> int: ...
    def submit(
        self,
        events: Iterable[RawEvent],
        condition: AppendCondition | Iterable[AppendCondition] | None,
        answers: Answers,
        future: Future[int],
    ) -> None:
        """Queue an append, whose answer resolves the future."""

    def read(
        self,
        items: Sequence[QueryItem] | None = None,
        *,
        after: int = 0,
        until: int | None = None,
        reverse: bool = False,
        limit: int | None = None,
    ) -> Read: ...
    def subscribe(self, items: Sequence[QueryItem] | None = None, *, after: int = 0) -> Subscription: ...
    def head(self) -> int: ...
    def wait(self, after: int, timeout: float | None = None) -> int: ...
    def get_cursor(self, name: str) -> int: ...
    def set_cursor(self, name: str, position: int, expected: int | None = None) -> bool: ...
    def stats(self) -> dict[str, int]: ...
    def verify(self, progress: Callable[[int, int], object] | None = None) -> _Verified:
        """Return counts by name, and findings as (kind, file, offset, position, what)."""

    def backup(
        self, path: str | PathLike[str], *, copy: bool = False, verify: bool = False
    ) -> tuple[dict[str, int], _Verified | None]:
        """Return counts by name, and the verification of the backup."""

    def why(self, position: int) -> tuple[int, int, int, list[tuple[tuple[QueryItem, ...] | None, int]]]:
        """Return first, last, recorded_at, and conditions as (items, after)."""

    def close(self) -> None: ...
    @property
    def closed(self) -> bool: ...

def inspect(path: str | PathLike[str], progress: Callable[[int, int], object] | None = None) -> _Inspected:
    """Return what the store in a directory holds, and damages as (file, offset, position, what)."""

def salvage(
    path: str | PathLike[str],
    new: str | PathLike[str],
    progress: Callable[[int, int], object] | None = None,
) -> tuple[_Inspected, list[str], _Verified]:
    """Return the inspection, the cursors that were set back, and the verification of the new store."""
