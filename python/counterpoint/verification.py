"""What a store says of itself when it is checked: verifications, and why an event is in the log."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import msgspec

from counterpoint.query import AppendCondition

if TYPE_CHECKING:
    from counterpoint._engine import _Verified
    from counterpoint.store import Read, Store

__all__ = ["Explanation", "Finding", "Verification"]


class Finding(msgspec.Struct, frozen=True):
    """One thing that is not as it must be."""

    kind: Literal["log", "condition", "index"]
    """What it means.

    ``"log"``: events are damaged or lost. ``"condition"``: an append is stored that should have been refused.
    ``"index"``: nothing is lost, since the index is made of the log and mended when it is next used.
    """

    file: str
    """The file, within the store; ``"memory"`` for the index of the newest events."""

    offset: int
    """Where in the file, in bytes."""

    position: int | None
    """The first position that is concerned, None if no event is."""

    what: str
    """What was found there."""


class Verification(msgspec.Struct, frozen=True):
    """What a verification came to: how much was checked, and what was found.

    It is true if nothing was found, so that ``if not store.verify():`` means what it says.
    """

    head: int
    """The position up to which everything was checked."""

    segments: int
    """Log files that were read."""

    batches: int
    """Appends that are as they were written."""

    events: int
    """Events that are as they were written."""

    conditions: int
    """Conditions of these appends that were asked again."""

    index_files: int
    """Index files that were compared with the log."""

    bytes: int
    """Bytes of log and index that were read."""

    findings: tuple[Finding, ...] = ()
    """What was found, in the order in which it was met: the first 1,000."""

    finding_count: int = 0
    """How much was found in all."""

    @property
    def ok(self) -> bool:
        """Whether nothing was found."""
        return self.finding_count == 0

    def __bool__(self) -> bool:
        """Agree with `ok`: a result that is always true would be taken for a good one."""
        return self.ok


def verification_of(verified: _Verified) -> Verification:
    """Make the result of what the engine returns."""
    counts, findings = verified
    return Verification(**counts, findings=tuple(Finding(*finding) for finding in findings))


@dataclass(frozen=True, slots=True)
class Explanation:
    """How an event came to be in the log: the append it was part of, and what that depended on."""

    position: int
    """The event that was asked about."""

    first: int
    """The first position of the append."""

    last: int
    """The last position of the append."""

    recorded_at: int
    """When it was appended, in microseconds since the Unix epoch, UTC."""

    conditions: tuple[AppendCondition, ...]
    """The conditions under which it was accepted.

    None at all: the append had none, or the store was open with ``record_conditions=False``; the log does not
    tell which of the two.
    """

    _store: Store = field(repr=False, compare=False)

    def seen(self, condition: AppendCondition) -> Read:
        """Return a read of the events that a decision under `condition` had seen: its matches up to `after`.

        Whatever else was in the log by then, the condition did not cover. It streams as every read does.
        """
        if not isinstance(condition, AppendCondition):
            raise TypeError(f"condition must be an AppendCondition, not {type(condition).__name__}")
        return self._store.read(condition.query, until=min(condition.after, self.first - 1))
