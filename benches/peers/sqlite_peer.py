"""SQLite, with the DCB store that one would write on it by hand: events, an index of tags, an index of types.

WAL with synchronous=FULL, so that a commit is durable; a connection for each thread; statements prepared once
(the `sqlite3` module keeps them by their text). Writers of the process take turns at a lock: without it
SQLite's busy handler makes them sleep, and 32 threads get less done than one.
"""

import json
import sqlite3
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benches.peers import OpenStore, Peer
from benches.peers.plain import ItemReserved, decode, encode
from benches.workload import TYPE, Event, order_tag

SETTINGS = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
PRAGMA cache_size = -65536;
PRAGMA mmap_size = 1073741824;
"""
SCHEMA = """
CREATE TABLE IF NOT EXISTS events (
    position INTEGER PRIMARY KEY, type TEXT NOT NULL, tags TEXT NOT NULL, data BLOB NOT NULL,
    metadata BLOB, id BLOB, recorded_at INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS tags (tag TEXT, position INTEGER, PRIMARY KEY (tag, position)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS events_by_type ON events (type);
"""
HEAD = "SELECT coalesce(max(position), 0) FROM events"
CONFLICT = "SELECT 1 FROM tags WHERE tag = ? AND position > ? LIMIT 1"
APPEND = "INSERT INTO events (type, tags, data, recorded_at) VALUES (?, ?, ?, ?)"
APPEND_AT = "INSERT INTO events (position, type, tags, data, recorded_at) VALUES (?, ?, ?, ?, ?)"
APPEND_TAG = "INSERT INTO tags VALUES (?, ?)"
EVERYTHING = "SELECT * FROM events ORDER BY position"
BY_TAG = "SELECT e.* FROM tags t JOIN events e USING (position) WHERE t.tag = ? ORDER BY t.position"
BY_TYPE = "SELECT * FROM events WHERE type = ? ORDER BY position"
BY_TWO_TAGS = """SELECT e.* FROM tags a JOIN tags b ON b.position = a.position AND b.tag = ?2
JOIN events e ON e.position = a.position WHERE a.tag = ?1 ORDER BY a.position"""
LAST = " DESC LIMIT 1"


class Conflict(Exception):  # noqa: N818  an outcome
    """The condition of an append failed."""


class OpenSqlite(OpenStore):
    """One open database, with a connection for each thread that uses it."""

    def __init__(self, path: Path) -> None:
        """Open it."""
        path.mkdir(parents=True, exist_ok=True)
        self._file = path / "events.db"
        self._writing = threading.Lock()
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._connection().executescript(SCHEMA)

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            # Closed by another thread in the end, hence the last argument; used by one only.
            connection = sqlite3.connect(
                self._file, timeout=60, isolation_level=None, check_same_thread=False
            )
            connection.executescript(SETTINGS)
            self._local.connection = connection
            self._connections.append(connection)
        return connection

    def head(self) -> int:
        """Return the last position."""
        return _integer(self._connection(), HEAD)

    def append_conditional(self, event: Event, after: int) -> int:
        """Append one event unless its first tag has come up."""
        connection = self._connection()
        execute = connection.execute
        with self._writing:
            execute("BEGIN IMMEDIATE")
            try:
                if execute(CONFLICT, (event.tags[0], after)).fetchone():
                    raise Conflict(event.tags[0])
                row = (event.type, json.dumps(event.tags), event.data, time.time_ns() // 1000)
                position = execute(APPEND, row).lastrowid or 0
                connection.executemany(APPEND_TAG, [(tag, position) for tag in event.tags])
            except BaseException:
                execute("ROLLBACK")
                raise
            execute("COMMIT")
        return position

    def prepare(self, events: Iterable[Event]) -> Sequence[tuple[Event, str]]:
        """Make the text of the tags."""
        return [(event, json.dumps(event.tags)) for event in events]

    def append_batch(self, prepared: Sequence[tuple[Event, str]]) -> int:
        """Append a batch in one transaction."""
        connection = self._connection()
        with self._writing:
            connection.execute("BEGIN IMMEDIATE")
            first = _integer(connection, HEAD) + 1
            now = time.time_ns() // 1000
            connection.executemany(
                APPEND_AT,
                [(p, event.type, tags, event.data, now) for p, (event, tags) in enumerate(prepared, first)],
            )
            connection.executemany(
                APPEND_TAG, [(tag, p) for p, (event, _) in enumerate(prepared, first) for tag in event.tags]
            )
            connection.execute("COMMIT")
        return first + len(prepared) - 1

    def read(
        self, types: Sequence[str] = (), tags: Sequence[str] = (), *, last: bool = False
    ) -> Sequence[object]:
        """Read by index."""
        match len(types), len(tags):
            case 1, 0:
                statement = BY_TYPE
            case 0, 1:
                statement = BY_TAG
            case 0, 2:
                statement = BY_TWO_TAGS
            case _:
                raise NotImplementedError("no row of the table asks for this")
        return self._connection().execute(statement + LAST * last, (*types, *tags)).fetchall()

    def first(self) -> object:
        """Return the first event of a full read."""
        return self._connection().execute(EVERYTHING).fetchone()

    def replay(self) -> None:
        """Read everything."""
        for _ in self._connection().execute(EVERYTHING):
            pass

    def replay_fields(self) -> None:
        """Read everything, and look: the tags are JSON."""
        loads = json.loads
        for position, type_, tags, data, metadata, id_, recorded_at in self._connection().execute(EVERYTHING):
            _ = (position, type_, loads(tags), data, metadata, id_, recorded_at)

    def run_command(self, order: int) -> int:
        """Read, decode, decide, append, and try again after a conflict."""
        execute = self._connection().execute
        tag = order_tag(order)
        while True:
            after = _integer(self._connection(), HEAD)
            rows: list[tuple[Any, ...]] = execute(BY_TAG, (tag,)).fetchall()
            events = [decode(row[3]) for row in rows]
            if not events:
                raise LookupError(order)
            event = ItemReserved(tag[len("order:") :], events[-1].customer, events[-1].note)
            tags = (f"order:{event.order}", f"customer:{event.customer}")
            try:
                return self.append_conditional(Event(TYPE, tags, encode(event)), after)
            except Conflict:
                continue

    def leave(self) -> None:
        """Close this thread's connection."""
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is not None:
            del self._local.connection
            self._connections.remove(connection)
            connection.close()

    def close(self) -> None:
        """Close every connection; the last one writes the WAL back and removes it."""
        for connection in self._connections:
            connection.close()
        self._connections.clear()
        self._local = threading.local()


def _integer(connection: sqlite3.Connection, statement: str) -> int:
    value: int = connection.execute(statement).fetchone()[0]
    return value


class Sqlite(Peer):
    """The SQLite that comes with Python."""

    title = "SQLite"
    version = f"{sqlite3.sqlite_version}, WAL, synchronous=FULL"

    def open(self, path: Path) -> OpenSqlite:
        """Open a database in a directory of its own."""
        return OpenSqlite(path)

    def used_bytes(self, path: Path) -> int:
        """SQLite does not preallocate."""
        return sum(file.stat().st_size for file in path.iterdir())


PEER = Sqlite()
