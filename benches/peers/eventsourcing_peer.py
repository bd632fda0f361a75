"""The `eventsourcing` library: its DCB recorder on PostgreSQL, which it makes its tables and functions in."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psycopg
from eventsourcing.dcb.api import DCBAppendCondition, DCBEvent, DCBQuery, DCBQueryItem
from eventsourcing.dcb.postgres_tt import PostgresDCBRecorderTT
from eventsourcing.persistence import IntegrityError
from eventsourcing.postgres import PostgresDatastore

from benches.peers import Cannot, OpenStore, Peer, postgres
from benches.peers.plain import ItemReserved, decode, encode
from benches.peers.server import HOST, Server
from benches.workload import TYPE, Event, order_tag

MOST_POOLED = 32
"""More threads than this wait for a connection: PostgreSQL takes 100 by default."""


class OpenEventsourcing(OpenStore):
    """A pool of connections to the cluster, and the cluster if this store was opened and not joined."""

    def __init__(self, path: Path, server: Server | None = None) -> None:
        """Connect."""
        self._server = server
        self._subscriptions: list[Any] = []
        self._access = postgres.read_access(path)
        self._datastore = PostgresDatastore(
            dbname="postgres",
            host=HOST,
            port=self._access.port,
            user=postgres.USER,
            password=self._access.password,
            # More are made as threads need them, and kept: not in advance, which others would feel.
            pool_size=1,
            max_overflow=MOST_POOLED - 1,
            connect_timeout=60,
        )
        self._recorder = PostgresDCBRecorderTT(self._datastore)
        if server:
            self._recorder.create_table()

    def head(self) -> int:
        """Return the last position."""
        with self._datastore.cursor() as cursor:
            cursor.execute(self._recorder.sql_select_max_id)
            return cursor.fetchone()["max"] or 0

    def append_conditional(self, event: Event, after: int) -> int:
        """Append one event unless its first tag has come up."""
        condition = DCBAppendCondition(_query(tags=[event.tags[0]]), after)
        position: int = self._recorder.append([_made(event)], condition)
        return position

    def prepare(self, events: Iterable[Event]) -> Sequence[Any]:
        """Make the library's events."""
        return list(map(_made, events))

    def append_batch(self, prepared: Sequence[Any]) -> int:
        """Append a batch."""
        position: int = self._recorder.append(prepared)
        return position

    def read(
        self, types: Sequence[str] = (), tags: Sequence[str] = (), *, last: bool = False
    ) -> Sequence[object]:
        """Read by index; the query is made each time."""
        if last:
            raise Cannot("it does not read backwards")
        return list(self._recorder.read(_query(types, tags)))

    def first(self) -> object:
        """Return the first event of a full read."""
        return next(self._recorder.read())

    def replay(self) -> None:
        """Read everything."""
        for _ in self._recorder.read():
            pass

    def replay_fields(self) -> None:
        """Read everything, and look."""
        for sequenced in self._recorder.read():
            e = sequenced.event
            _ = (sequenced.position, e.type, e.tags, e.data)

    def run_command(self, order: int) -> int:
        """Read, decode, decide, append, and try again after a conflict."""
        tag = order_tag(order)
        query = _query(tags=[tag])
        while True:
            response = self._recorder.read(query)
            events = [decode(sequenced.event.data) for sequenced in response]
            if not events:
                raise LookupError(order)
            event = ItemReserved(tag[len("order:") :], events[-1].customer, events[-1].note)
            tags = [f"order:{event.order}", f"customer:{event.customer}"]
            try:
                position: int = self._recorder.append(
                    [DCBEvent(TYPE, encode(event), tags)], DCBAppendCondition(query, response.head)
                )
            except IntegrityError:
                continue
            return position

    def subscribe(self, after: int) -> Iterator[object]:
        """Subscribe to everything."""
        subscription = self._recorder.subscribe(after=after)
        self._subscriptions.append(subscription.__enter__())
        return iter(subscription)

    def settle(self) -> None:
        """Do what the autovacuum daemon would do soon, and what the checkpointer would."""
        with psycopg.connect(
            host=HOST,
            port=self._access.port,
            user=postgres.USER,
            password=self._access.password,
            autocommit=True,
        ) as connection:
            connection.execute("VACUUM ANALYZE")
            connection.execute("CHECKPOINT")

    def server(self) -> Sequence[int]:
        """Return the processes of the cluster, if it was started here."""
        return self._server.processes if self._server else ()

    def kill(self) -> None:
        """Kill the server, if it was started here."""
        if self._server:
            self._server.kill()

    def leave(self) -> None:
        """Connections go back to the pool after each call."""

    def close(self) -> None:
        """End subscriptions, give up the connections, and stop the cluster."""
        for subscription in self._subscriptions:
            subscription.__exit__(None, None, None)
        self._datastore.close()
        if self._server:
            self._server.stop()


def _made(event: Event) -> Any:
    return DCBEvent(event.type, event.data, list(event.tags))


def _query(types: Sequence[str] = (), tags: Sequence[str] = ()) -> Any:
    return DCBQuery([DCBQueryItem(types=list(types), tags=list(tags))])


class Eventsourcing(Peer):
    """A PostgreSQL cluster with its defaults for each store."""

    title = "eventsourcing"

    @property
    def version(self) -> str:
        """Versions of the library, its driver and the server."""
        server = postgres.version()
        return f"{version('eventsourcing')}, psycopg {version('psycopg')}, {server} on loopback, fsync=on"

    def check(self, directory: Path) -> None:
        """Look for the server."""
        postgres.check(directory)

    def open(self, path: Path) -> OpenEventsourcing:
        """Start the cluster of a store, and connect."""
        server = postgres.start(path)
        try:
            return OpenEventsourcing(path, server)
        except BaseException:
            server.stop()
            raise

    def serve(self, path: Path) -> AbstractContextManager[object]:
        """Start the cluster alone."""
        return postgres.start(path)

    def join(self, path: Path) -> OpenEventsourcing:
        """Connect alone."""
        return OpenEventsourcing(path)

    def used_bytes(self, path: Path) -> int:
        """Tables and indexes, without the WAL, which is recycled."""
        return postgres.used_bytes(path)


PEER = Eventsourcing()
