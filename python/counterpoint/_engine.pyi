"""The engine behind :mod:`counterpoint`: values, the store handle, and the errors it raises.

Private: import the public names from :mod:`counterpoint`. `stubtest` compares this file with the module.
"""

from collections.abc import Iterable, Iterator, Sequence
from os import PathLike
from typing import Final, Literal, final
from uuid import UUID

__all__ = [
    "MAX_BATCH_BYTES",
    "MAX_BATCH_EVENTS",
    "MAX_CONDITIONS",
    "MAX_DATA_BYTES",
    "MAX_QUERY_ITEMS",
    "MAX_TAGS",
    "MAX_TEXT_BYTES",
    "Conflict",
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
]

MAX_TEXT_BYTES: Final[int]
MAX_TAGS: Final[int]
MAX_DATA_BYTES: Final[int]
MAX_BATCH_EVENTS: Final[int]
MAX_BATCH_BYTES: Final[int]
MAX_QUERY_ITEMS: Final[int]
MAX_CONDITIONS: Final[int]

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
    def __new__(
        cls,
        type: str,
        data: bytes,
        tags: Iterable[str] = (),
        metadata: bytes | None = None,
        id: UUID | None = None,
    ) -> RawEvent: ...
    @property
    def type(self) -> str: ...
    @property
    def data(self) -> bytes: ...
    @property
    def tags(self) -> tuple[str, ...]: ...
    @property
    def metadata(self) -> bytes | None: ...
    @property
    def id(self) -> UUID | None: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class SequencedEvent:
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
    def position(self) -> int: ...
    @property
    def type(self) -> str: ...
    @property
    def data(self) -> bytes: ...
    @property
    def tags(self) -> tuple[str, ...]: ...
    @property
    def metadata(self) -> bytes | None: ...
    @property
    def id(self) -> UUID | None: ...
    @property
    def recorded_at(self) -> int: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class QueryItem:
    def __new__(cls, types: Iterable[str] = (), tags: Iterable[str] = ()) -> QueryItem: ...
    @property
    def types(self) -> tuple[str, ...]: ...
    @property
    def tags(self) -> tuple[str, ...]: ...
    def matches(self, type: str, tags: Sequence[str]) -> bool: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class Conflict:
    """A refused append: the position of one conflicting event, and the index of the condition it breaks."""

    @property
    def position(self) -> int: ...
    @property
    def condition(self) -> int: ...

@final
class Read:
    """One read: iterable any number of times, always over the same snapshot."""

    @property
    def head(self) -> int: ...
    def __iter__(self) -> ReadIterator: ...

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
    ) -> Engine: ...
    @staticmethod
    def open_memory(
        *,
        durability: Literal["fsync", "os"] = "fsync",
        sync_interval: float = 0.05,
        record_conditions: bool = True,
        segment_bytes: int | None = None,
    ) -> Engine: ...
    def append(
        self,
        events: Iterable[RawEvent],
        conditions: Sequence[tuple[Sequence[QueryItem] | None, int]] = (),
    ) -> int | Conflict: ...
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
    def close(self) -> None: ...
    @property
    def closed(self) -> bool: ...
