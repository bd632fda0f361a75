"""The embedded store: the ``Store`` protocol over the engine of this package."""

from __future__ import annotations

from asyncio import Future, get_running_loop
from collections.abc import Callable, Iterable
from functools import partial
from os import PathLike, fspath
from types import TracebackType
from typing import Literal, Self

from counterpoint._engine import Engine, QueryItem, RawEvent, Read
from counterpoint.answers import answers_in
from counterpoint.backup import Backup
from counterpoint.errors import StoreClosed
from counterpoint.query import WHOLE, AppendCondition, Query
from counterpoint.subscription import Subscription
from counterpoint.verification import Explanation, Verification, verification_of
from counterpoint.wakeups import Wakeups

__all__ = ["EmbeddedStore", "open"]

MEMORY = "memory:"
SYNC_INTERVAL = 0.05

_EVERYTHING = Query.all()


def open(  # noqa: A001  reads as cp.open(...)
    path: str | PathLike[str],
    *,
    durability: Literal["fsync", "os"] = "fsync",
    sync_interval: float = SYNC_INTERVAL,
    record_conditions: bool = True,
    segment_bytes: int | None = None,
    read_cache_bytes: int | None = None,
    exclusive: bool = False,
    read_only: bool = False,
) -> EmbeddedStore:
    """Open the store in the directory `path`, made if need be; ``"memory:"`` is a new store in memory.

    Any number of processes on one machine, and any number of handles in each, may have it open and append
    at the same time; with `exclusive` this handle is the only one. Open it after a fork, not before.

    With durability ``"fsync"`` an append that returned survives process death and power loss (I3). With
    ``"os"`` it survives process death, and a loss of power costs at most the last `sync_interval` seconds,
    never a hole. `record_conditions` keeps in the log what each append was guarded by. `segment_bytes` is the
    size of a log file. Small answers are kept in memory for when the same is read again, up to
    `read_cache_bytes` (32 MiB; 0 for none): events never change, so only what came since is searched.

    With `read_only` there has to be a store, and nothing in its directory is changed, which may be one that
    cannot be written to. The handle shows what is known to be durable and follows what others append. It
    keeps nobody out, not even an exclusive handle, and takes no other option but `read_cache_bytes`:
    ValueError. What would change the store raises ``io.UnsupportedOperation``, which is an OSError and a
    ValueError.

    Raises StoreLocked if it is open and this or the other handle wants it for itself, CorruptionError for a
    damaged log, the OSError family for a path that cannot be used, and ValueError for an option out of range.
    """
    if path == f":{MEMORY}":
        raise ValueError(f"the path is {path!r}: did you mean {MEMORY!r}?")
    if not isinstance(read_only, bool):
        raise TypeError(f"read_only must be a bool, not {type(read_only).__name__}")
    if read_only:
        given = {
            "durability": durability != "fsync",
            "sync_interval": sync_interval != SYNC_INTERVAL,
            "record_conditions": record_conditions is not True,
            "segment_bytes": segment_bytes is not None,
            "exclusive": exclusive is not False,
        }
        if meaningless := ", ".join(name for name, is_given in given.items() if is_given):
            raise ValueError(f"a store that is opened with read_only=True takes no {meaningless}")
        if fspath(path) == MEMORY:
            raise ValueError(f"{MEMORY!r} is a new store, which read_only=True would leave empty")
        reading = Engine.open_read_only(path, read_cache_bytes=read_cache_bytes)
        return EmbeddedStore(reading, str(fspath(path)), read_only)
    make = Engine.open_memory if fspath(path) == MEMORY else partial(Engine.open, path, exclusive=exclusive)
    engine = make(
        durability=durability,
        sync_interval=sync_interval,
        record_conditions=record_conditions,
        segment_bytes=segment_bytes,
        read_cache_bytes=read_cache_bytes,
    )
    return EmbeddedStore(engine, str(fspath(path)))


class EmbeddedStore:
    """A store in this process, on disk or in memory. See ``Store`` for what its methods mean."""

    def __init__(self, engine: Engine, path: str, read_only: bool = False) -> None:
        """Use :func:`open`."""
        self._engine = engine
        self._path = path
        self._mode = ", read_only=True" if read_only else ""
        self._wakeups = Wakeups(engine.wait)

    @property
    def path(self) -> str:
        """The directory, or ``"memory:"``, as given to :func:`open`."""
        return self._path

    def append(
        self, events: Iterable[RawEvent], condition: AppendCondition | Iterable[AppendCondition] | None = None
    ) -> int:
        """Append all `events` or none, and return the position of the last. See ``Store.append``."""
        return self._engine.append(events, condition)

    def append_async(
        self, events: Iterable[RawEvent], condition: AppendCondition | Iterable[AppendCondition] | None = None
    ) -> Future[int]:
        """Append as :meth:`append` does, without blocking; await the position. See ``Store.append_async``.

        It is queued when this returns, so the appends of one thread are stored in the order of the calls. Bad
        arguments, ``StoreClosed`` and a missing event loop (RuntimeError) are raised here, before that; a
        refusal and trouble with the storage by awaiting. Closing the store finishes what is queued first.
        """
        # Not a coroutine, which would be one more object and a start for each append.
        loop = get_running_loop()
        future: Future[int] = loop.create_future()
        self._engine.submit(events, condition, answers_in(loop), future)
        return future

    def read(
        self,
        query: Query = _EVERYTHING,
        *,
        after: int = 0,
        until: int | None = None,
        reverse: bool = False,
        limit: int | None = None,
    ) -> Read:
        """Take a snapshot and return what `query` matches in it. See ``Store.read``."""
        items = _items(query)
        if query.window is WHOLE and isinstance(reverse, bool):
            # Nothing to tighten; the engine refuses what is out of bounds in the same words.
            return self._engine.read(items, after=after, until=until, reverse=reverse, limit=limit)
        window = query.window.tighten(after, until, reverse, limit)
        return self._engine.read(
            items, after=window.after, until=window.until, reverse=window.reverse, limit=window.limit
        )

    def head(self) -> int:
        """Return the position of the last event, 0 for an empty log."""
        return self._engine.head()

    def wait(self, after: int, timeout: float | None = None) -> int:
        """Wait until there is an event past `after`, and return the head. See ``Store.wait``."""
        return self._engine.wait(after, timeout)

    def subscribe(self, query: Query = _EVERYTHING, *, after: int = 0) -> Subscription:
        """Return the matching events past `after`, those to come included. See ``Store.subscribe``."""
        items = _items(query)
        window = query.window.tighten(after, None, False, None)
        if window != WHOLE._replace(after=window.after):
            raise ValueError(f"a subscription takes no until, reverse or limit, unlike {query!r}")
        feed = self._engine.subscribe(items, after=window.after)
        return Subscription(feed, self._engine.wait, self._wakeups)

    def get_cursor(self, name: str) -> int:
        """Return the position that was last set under `name`, 0 if there is none."""
        return self._engine.get_cursor(name)

    def set_cursor(self, name: str, position: int, expected: int | None = None) -> bool:
        """Set the position under `name`, and say whether it was set. See ``Store.set_cursor``."""
        return self._engine.set_cursor(name, position, expected)

    def stats(self) -> dict[str, int]:
        """Return figures about the store, by name; sizes in bytes."""
        return self._engine.stats()

    def verify(self, progress: Callable[[int, int], object] | None = None) -> Verification:
        """Check all that is stored, and return what was found; it is true if nothing was.

        Every byte of the log is checked against its checksums, every link, position and time against what is
        before it, every answer of the index against the log, and every condition that an append was accepted
        under is asked again (I4). It goes up to the head at which it begins, beside appends of this and other
        processes, in memory that does not grow with the log, and changes nothing.

        `progress` is called with the bytes that are behind and the bytes there are; what it raises ends the
        verification. Damage is not raised but returned. Raises StorageError where reading itself fails.
        """
        return verification_of(self._engine.verify(progress))

    def why(self, position: int) -> Explanation:
        """Return how the event at `position` came to be in the log: the conditions it was accepted under.

        It reads a part of one log file, up to the event. Raises ValueError if there is no such event,
        CorruptionError if that part of the log is damaged.
        """
        first, last, recorded_at, given = self._engine.why(position)
        conditions = tuple(AppendCondition(Query.of(items), after) for items, after in given)
        return Explanation(position, first, last, recorded_at, conditions, self)

    def backup(self, path: str | PathLike[str], *, copy: bool = False, verify: bool = False) -> Backup:
        """Copy the store to the directory `path`, up to its head, while this and other processes go on.

        The backup is a store: :func:`open` opens it. All that was acknowledged when this was called is in it,
        and so are the named cursors. Log and index files that never change again are cloned where the file
        system can do that, else hard-linked, else copied. Clones and links cost neither room nor time, but a
        sector that goes bad damages both stores: with `copy` every byte is copied. With `verify` the backup
        is verified before it counts.

        The directory is made, with its parents, or is empty. While the backup is made, and if that is broken
        off, the directory is known to be unfinished: :func:`open` refuses it, and a new backup to the same
        path replaces it. It is finished once all of it is durable.

        Raises FileExistsError if the directory has other files, ValueError if it is in the store, StoreLocked
        if it is in use, and the rest of the OSError family for a path that cannot be used; CorruptionError if
        the log is damaged where it is copied, or the backup does not verify; StorageError for trouble with
        the storage of either. None of them does the store any harm.
        """
        if fspath(path) == MEMORY:
            raise ValueError(f"a backup is a directory, not {MEMORY!r}")
        counts, verified = self._engine.backup(path, copy=copy, verify=verify)
        return Backup(str(fspath(path)), **counts, verification=verified and verification_of(verified))

    def close(self) -> None:
        """Close the store. Whoever waits on it gets ``StoreClosed``. Closing twice is fine."""
        self._engine.close()

    @property
    def closed(self) -> bool:
        """Whether the store is closed."""
        return self._engine.closed

    def __enter__(self) -> Self:
        """Return the store, to be closed at the end of the block."""
        if self.closed:
            raise StoreClosed(f"the store {self._path!r} is closed")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the store."""
        self.close()

    def __repr__(self) -> str:
        """Name the store."""
        return f"<EmbeddedStore {self._path!r}{self._mode}{' (closed)' if self.closed else ''}>"


def _items(query: Query) -> tuple[QueryItem, ...] | None:
    if not isinstance(query, Query):
        raise TypeError(f"query must be a Query, not {type(query).__name__}")
    return query.items
