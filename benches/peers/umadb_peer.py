"""UmaDB: its server, which comes in the same wheel, on loopback, and its Python client with default settings.

One client for all threads of a process: that is faster than one for each.
"""

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import umadb

from benches.peers import OpenStore, Peer
from benches.peers.plain import ItemReserved, decode, encode
from benches.peers.server import HOST, Server, free_port
from benches.workload import TYPE, Event, order_tag

PORT_FILE = "port"
DATABASE = "uma.db"


class OpenUmadb(OpenStore):
    """A connection to the server, and the server if this store was opened and not joined."""

    def __init__(self, path: Path, server: Server | None = None) -> None:
        """Connect."""
        self._server = server
        self._subscriptions: list[Any] = []
        self._client = umadb.Client(f"http://{HOST}:{(path / PORT_FILE).read_text()}")

    def head(self) -> int:
        """Return the last position."""
        return self._client.head() or 0

    def append_conditional(self, event: Event, after: int) -> int:
        """Append one event unless its first tag has come up."""
        condition = umadb.AppendCondition(_query(tags=[event.tags[0]]), after)
        position: int = self._client.append([_made(event)], condition)
        return position

    def prepare(self, events: Iterable[Event]) -> Sequence[Any]:
        """Make the client's events."""
        return list(map(_made, events))

    def append_batch(self, prepared: Sequence[Any]) -> int:
        """Append a batch."""
        position: int = self._client.append(prepared)
        return position

    def read(
        self, types: Sequence[str] = (), tags: Sequence[str] = (), *, last: bool = False
    ) -> Sequence[object]:
        """Read by index; the query is made each time."""
        if last:
            return list(self._client.read(_query(types, tags), backwards=True, limit=1))
        return list(self._client.read(_query(types, tags)))

    def first(self) -> object:
        """Return the first event of a full read."""
        response = self._client.read()
        event = next(response)
        response.cancel()
        return event

    def replay(self) -> None:
        """Read everything."""
        for _ in self._client.read():
            pass

    def replay_fields(self) -> None:
        """Read everything, and look."""
        for sequenced in self._client.read():
            e = sequenced.event
            _ = (sequenced.position, e.event_type, e.tags, e.data, e.metadata, e.uuid)

    def run_command(self, order: int) -> int:
        """Read, decode, decide, append, and try again after a conflict."""
        tag = order_tag(order)
        query = _query(tags=[tag])
        while True:
            response = self._client.read(query)
            events = [decode(sequenced.event.data) for sequenced in response]
            if not events:
                raise LookupError(order)
            event = ItemReserved(tag[len("order:") :], events[-1].customer, events[-1].note)
            tags = [f"order:{event.order}", f"customer:{event.customer}"]
            condition = umadb.AppendCondition(query, response.head())
            try:
                position: int = self._client.append([umadb.Event(TYPE, encode(event), tags)], condition)
            except umadb.IntegrityError:
                continue
            return position

    def subscribe(self, after: int) -> Iterator[object]:
        """Subscribe to everything."""
        subscription: Iterator[object] = self._client.subscribe(after=after)
        self._subscriptions.append(subscription)
        return subscription

    def server(self) -> Sequence[int]:
        """Return the server's process, if it was started here."""
        return self._server.processes if self._server else ()

    def kill(self) -> None:
        """Kill the server, if it was started here."""
        if self._server:
            self._server.kill()

    def leave(self) -> None:
        """Threads hold nothing."""

    def close(self) -> None:
        """Cancel what is left of the streams, and stop the server."""
        for subscription in self._subscriptions:
            subscription.cancel()
        self._client.close()
        if self._server:
            self._server.stop()


def _made(event: Event) -> Any:
    return umadb.Event(event.type, event.data, event.tags)


def _query(types: Sequence[str] = (), tags: Sequence[str] = ()) -> Any:
    return umadb.Query([umadb.QueryItem(types=types, tags=tags)])


class Umadb(Peer):
    """The server with its defaults, one for each store."""

    title = "UmaDB"
    version = f"{version('umadb')}, server on loopback, Python client"

    def open(self, path: Path) -> OpenUmadb:
        """Start the server of a store, and connect."""
        server = _start(path)
        try:
            return OpenUmadb(path, server)
        except BaseException:
            server.stop()
            raise

    def serve(self, path: Path) -> AbstractContextManager[object]:
        """Start the server alone."""
        return _start(path)

    def join(self, path: Path) -> OpenUmadb:
        """Connect alone."""
        return OpenUmadb(path)

    def used_bytes(self, path: Path) -> int:
        """The file grows in steps and is filled with zeros: leave out those at its end."""
        return len((path / DATABASE).read_bytes().rstrip(b"\0"))


def _start(path: Path) -> Server:
    path.mkdir(parents=True, exist_ok=True)
    port = free_port()
    (path / PORT_FILE).write_text(str(port))
    # The script beside this interpreter, as pip installs it.
    script = Path(sys.executable).with_name("umadb")
    command = [str(script), "--listen", f"{HOST}:{port}", "--db-path", str(path / DATABASE)]
    return Server(command, port, path / "server.log")


PEER = Umadb()
