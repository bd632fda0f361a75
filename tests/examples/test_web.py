"""The box office on the web: several worker processes of a real server on one store."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import counterpoint as cp
import pytest

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="a pre-forking server needs fork"),
]

PATIENCE = 60.0
"""Seconds until a server that does not answer counts as hung: it turns a hang into a failure."""


class Client:
    """Speaks to the server at a port. Each request has a connection of its own, so any worker may answer."""

    def __init__(self, port: int) -> None:
        self._port = port

    def request(self, method: str, path: str, body: object = None) -> tuple[int, Any, int]:
        """The status, the answer, and the process that gave it."""
        connection = HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE)
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None)
            response = connection.getresponse()
            return response.status, json.loads(response.read()), int(response.headers["X-Worker"])
        finally:
            connection.close()

    def wait(self) -> None:
        """Returns once the server answers."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                self.request("GET", "/")
                return
            except OSError:
                assert time.monotonic() < deadline, "the server does not answer"
                time.sleep(0.02)

    def wait_for_workers(self, count: int) -> None:
        """Returns once so many workers answer. On a busy machine the first one can be through with everything
        before the next has started."""
        deadline = time.monotonic() + PATIENCE
        seen = set[int]()
        with ThreadPoolExecutor(16) as askers:
            while len(seen) < count:
                assert time.monotonic() < deadline, f"only {len(seen)} of {count} workers answer"
                answers = askers.map(lambda _: self.request("GET", "/"), range(32))
                seen.update(worker for *_, worker in answers)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "box-office"


@pytest.fixture
def client(store: Path, tmp_path: Path) -> Iterator[Client]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        command = [sys.executable, "-m", "gunicorn", "-c", "python:examples.web.gunicorn_config"]
        server = subprocess.Popen(
            [*command, "--bind", f"fd://{listener.fileno()}", "--worker-tmp-dir", str(tmp_path)],
            cwd=Path(__file__).parents[2],
            env=os.environ | {"BOX_OFFICE": str(store)},
            pass_fds=[listener.fileno()],
            stderr=subprocess.DEVNULL,
        )
        try:
            client = Client(port)
            client.wait()
            yield client
        finally:
            server.send_signal(signal.SIGTERM)
            assert server.wait(PATIENCE) == 0


def test_each_seat_is_sold_once_whichever_worker_sells_it(client: Client, store: Path) -> None:
    seats = [f"A{n}" for n in range(12)]
    assert client.request("PUT", "/shows/hamlet", {"seats": seats})[0] == 201

    def buy(n: int) -> tuple[int, Any, int]:
        return client.request("POST", f"/shows/hamlet/seats/{seats[n % 12]}", {"customer": f"c{n}"})

    client.wait_for_workers(4)
    with ThreadPoolExecutor(16) as buyers:
        answers = list(buyers.map(buy, range(120)))
    assert sorted(status for status, _, _ in answers) == [201] * len(seats) + [409] * (120 - len(seats))
    assert len({worker for _, _, worker in answers}) > 1, "one worker served all"
    with cp.open(store) as same:
        sold = [event.tags for event in same.read(cp.Query().add_item(types=["SeatSold"]))]
        assert len(sold) == len(set(sold)) == len(seats)


def test_a_worker_that_is_killed_takes_no_sale_with_it(client: Client) -> None:
    seats = [f"B{n}" for n in range(20)]
    client.request("PUT", "/shows/faust", {"seats": seats})
    sold = []
    for n, seat in enumerate(seats):
        status, _, worker = client.request("POST", f"/shows/faust/seats/{seat}", {"customer": f"c{n}"})
        assert status == 201
        sold.append(seat)
        if n % 5 == 0:
            os.kill(worker, signal.SIGKILL)
            # A connection that the killed worker had already taken is lost; the others go to its successor.
            client.wait()
    _, answer, _ = client.request("GET", "/shows/faust")
    assert sorted(answer["sold"]) == sorted(sold)
    assert answer["free"] == []
