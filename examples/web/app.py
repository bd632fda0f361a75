"""The box office as a WSGI application: a request is a command, a refusal is a 409.

PUT  /shows/hamlet            {"seats": ["A1", "A2"]}
GET  /shows/hamlet
POST /shows/hamlet/seats/A1   {"customer": "ada"}
"""

import os
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any, TypeVar
from wsgiref.types import StartResponse, WSGIEnvironment

import counterpoint as cp
import msgspec

from examples.web.booking import AnnounceShow, BookingRefused, BuySeat, NoSuchSeat, SeatsOfShow, SoldSeats

MAX_BODY_BYTES = 64 << 10

T = TypeVar("T")

Answer = tuple[HTTPStatus, dict[str, Any]]


class Announcement(msgspec.Struct):
    """What a show is announced with."""

    seats: tuple[str, ...]


class Purchase(msgspec.Struct):
    """Who buys a seat."""

    customer: str


class BoxOffice:
    """The application. The server opens its store in each worker process, after the fork."""

    def __init__(self) -> None:
        self._store: cp.EmbeddedStore | None = None

    def open(self, path: str) -> None:
        """Opens the store: to be called in each worker."""
        self._store = cp.open(path)

    def close(self) -> None:
        """Closes the store, if it is open."""
        if self._store is not None:
            self._store.close()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answers a request."""
        try:
            status, answer = self._answer(environ)
        except NoSuchSeat as refusal:
            status, answer = HTTPStatus.NOT_FOUND, {"error": str(refusal)}
        except BookingRefused as refusal:
            status, answer = HTTPStatus.CONFLICT, {"error": str(refusal)}
        except cp.AppendConditionFailed as contention:
            # Others were faster, every time. Nothing is wrong, and nothing is stored.
            status, answer = HTTPStatus.SERVICE_UNAVAILABLE, {"error": str(contention)}
        except (ValueError, msgspec.ValidationError) as mistake:
            status, answer = HTTPStatus.BAD_REQUEST, {"error": str(mistake)}
        headers = [("Content-Type", "application/json"), ("X-Worker", str(os.getpid()))]
        start_response(f"{status.value} {status.phrase}", headers)
        return [msgspec.json.encode(answer)]

    def _answer(self, environ: WSGIEnvironment) -> Answer:
        if self._store is None:
            raise RuntimeError("the worker has not opened the store")
        runner = cp.CommandRunner(self._store, max_attempts=20)
        match environ["REQUEST_METHOD"], *environ.get("PATH_INFO", "").strip("/").split("/"):
            case "PUT", "shows", show:
                seats = _body(environ, Announcement).seats
                return HTTPStatus.CREATED, {"position": runner.run(AnnounceShow(show, seats))}
            case "POST", "shows", show, "seats", seat:
                customer = _body(environ, Purchase).customer
                return HTTPStatus.CREATED, {"position": runner.run(BuySeat(show, seat, customer))}
            case "GET", "shows", show:
                seats_of_show, sold = cp.ReadAppender(self._store).fold(SeatsOfShow(show), SoldSeats(show))
                if seats_of_show is not None:
                    free = [seat for seat in seats_of_show if seat not in sold]
                    return HTTPStatus.OK, {"free": free, "sold": sold}
        return HTTPStatus.NOT_FOUND, {"error": "there is nothing here"}


def _body(environ: WSGIEnvironment, shape: type[T]) -> T:
    length = int(environ.get("CONTENT_LENGTH") or 0)
    if length > MAX_BODY_BYTES:
        raise ValueError(f"the request is longer than {MAX_BODY_BYTES} bytes")
    return msgspec.json.decode(environ["wsgi.input"].read(length), type=shape)


app = BoxOffice()
