"""A decoded event together with what the store knows about it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Generic
from uuid import UUID

import msgspec
from typing_extensions import TypeVar

__all__ = ["Envelope"]

EventT = TypeVar("EventT", default=Any)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Envelope(msgspec.Struct, Generic[EventT], frozen=True):
    """One event of the log, decoded."""

    event: EventT
    """The event, an instance of the class that is registered for `type`."""

    position: int
    """Where it is in the log: larger than every position before it."""

    type: str
    """The type name that it was stored under."""

    tags: tuple[str, ...]
    """Its tags, as stored."""

    recorded_at: int
    """When it was appended, in microseconds since the Unix epoch, UTC."""

    metadata: bytes | None = None
    """Whatever was appended beside the data, as it was."""

    id: UUID | None = None
    """The id that it was appended with, if any."""

    @property
    def recorded_datetime(self) -> datetime:
        """`recorded_at` as an aware datetime, to the microsecond."""
        return _EPOCH + timedelta(microseconds=self.recorded_at)
