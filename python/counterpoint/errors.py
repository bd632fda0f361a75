"""Every error of the library, all under :class:`Error`.

Bad arguments are ``ValueError`` or ``TypeError``; paths raise the ``OSError`` family.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from counterpoint._engine import (
    CorruptionError,
    Error,
    PoisonedError,
    StorageError,
    StoreClosed,
    StoreLocked,
)

if TYPE_CHECKING:
    from counterpoint.query import AppendCondition

__all__ = [
    "AppendConditionFailed",
    "CorruptionError",
    "Error",
    "EventDecodeError",
    "PoisonedError",
    "StorageError",
    "StoreClosed",
    "StoreLocked",
    "UnknownEventType",
]


class AppendConditionFailed(Error):  # noqa: N818  the name that the field uses
    """An event that matches a condition of the append is in the log already; nothing was stored.

    A normal outcome of two commands that meet, and cheap: its text is made only when it is asked for.
    """

    position: int
    """The position of one conflicting event."""

    condition: AppendCondition
    """The condition that this event breaks."""

    attempts: int
    """How often the command was tried; more than 1 only if a runner retried it."""

    def __init__(self, position: int, condition: AppendCondition, attempts: int = 1) -> None:
        """Take what the attributes of these names say."""
        super().__init__(position, condition, attempts)
        self.position = position
        self.condition = condition
        self.attempts = attempts

    def __str__(self) -> str:
        """Name the event, the condition, and the attempts if there were several."""
        text = (
            f"the event at position {self.position} matches {self.condition.query!r} "
            f"and is past position {self.condition.after}"
        )
        if self.attempts == 1:
            return text
        return (
            f"{text}; gave up after {self.attempts} attempts: "
            "raise max_attempts, or narrow what the command reads"
        )


class UnknownEventType(Error):  # noqa: N818  named in the design
    """No class is registered for the type name of a stored event."""

    type: str
    """The type name."""

    position: int | None
    """Where the event is in the log; None for a look-up by name."""

    def __init__(self, type: str, position: int | None = None) -> None:
        """Take what the attributes of these names say."""
        super().__init__(type, position)
        self.type = type
        self.position = position

    def __str__(self) -> str:
        """Name the type and what to do."""
        where = "" if self.position is None else f" (position {self.position})"
        return (
            f"no event class is registered for the type {self.type!r}{where}: "
            "import the module that defines it, or name it in the former_types of its successor"
        )


class EventDecodeError(Error):
    """The data of a stored event does not fit its class; ``__cause__`` says why."""

    type: str
    """The type name of the event."""

    position: int
    """Where the event is in the log."""

    reason: str
    """The text of the cause."""

    def __init__(self, type: str, position: int, reason: str) -> None:
        """Take what the attributes of these names say."""
        super().__init__(type, position, reason)
        self.type = type
        self.position = position
        self.reason = reason

    def __str__(self) -> str:
        """Name the event and the cause."""
        return f"cannot decode the event of type {self.type!r} at position {self.position}: {self.reason}"
