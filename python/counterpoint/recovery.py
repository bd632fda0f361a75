"""What is left of a store that cannot be opened, and a new store made of it.

``cp.open`` raises ``CorruptionError`` for a damaged log, and repairs nothing. Restore a backup if there is
one. If there is none, or it is too old, this module tells what can be read, and writes that to a new store:

    python -m counterpoint.recovery inspect PATH
    python -m counterpoint.recovery salvage PATH NEW

Neither changes a byte of the damaged store, which may lie on a file system that is mounted read-only. Both
refuse a store that somebody has open, and nobody can open it while they run.

What can be had is a *prefix*: all events from position 1 up to the first one that is lost. Later ones are
counted, not kept: they may depend on what is lost, and could not keep their positions in a log without gaps.

It is not imported by ``import counterpoint``: it is for bad days, and runs as a program.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from os import PathLike, fspath
from typing import TYPE_CHECKING

import msgspec

from counterpoint import _engine
from counterpoint.errors import CorruptionError, Error
from counterpoint.verification import Verification, verification_of

if TYPE_CHECKING:
    from counterpoint._engine import _Inspected

__all__ = ["Damage", "Inspection", "Salvage", "inspect", "main", "salvage"]

WHOLE, DAMAGED, FAILED = 0, 1, 2
"""Exit codes of the commands: nothing is wrong; something is lost or damaged; it could not be done."""


class Damage(msgspec.Struct, frozen=True):
    """A place where a store is not as it was written."""

    file: str
    """The file, within the store."""

    offset: int
    """Where in the file, in bytes."""

    position: int | None
    """The first position that is concerned, None if no event is."""

    what: str
    """What is wrong."""


class Inspection(msgspec.Struct, frozen=True):
    """What a store holds, as it lies there. It is true if nothing is damaged."""

    path: str
    """The directory, as given."""

    segments: tuple[str, ...]
    """Its log files, in order."""

    log_bytes: int
    """Bytes of these files, preallocated room included."""

    head: int
    """The last good position: all events from 1 up to it can be read. 0 if none can."""

    batches: int
    """The appends up to there."""

    readable_after: int
    """Events that can be read past `head`, though some before them are lost."""

    last_readable: int
    """The last position that can be read."""

    durable: int | None
    """The position up to which the shared marks know the log to be durable.

    None if the marks are not there or not whole; then a lost end of the log may not be noticed.
    """

    cursors: dict[str, int] | None
    """The named cursors, None if their file is damaged."""

    loses_events: bool
    """Whether events are known to be lost: then those up to `head` are not all there were."""

    unfinished: bool
    """Whether this is a backup, or a salvage, that was not finished."""

    damages: tuple[Damage, ...] = ()
    """What is damaged, in order: the first 1,000."""

    damage_count: int = 0
    """How much is damaged in all."""

    @property
    def ok(self) -> bool:
        """Whether nothing is damaged."""
        return self.damage_count == 0

    def __bool__(self) -> bool:
        """Agree with `ok`: a result that is always true would be taken for a good one."""
        return self.ok


class Salvage(msgspec.Struct, frozen=True):
    """What a salvage came to: a new store, to be opened with ``cp.open(salvage.path)``."""

    path: str
    """The directory of the new store, as given."""

    head: int
    """The position of its last event."""

    inspection: Inspection
    """What the old store holds."""

    cursors_set_back: tuple[str, ...]
    """Cursors that had come further than the new store does, and stand at its head now."""

    verification: Verification
    """The verification of the new store."""


def inspect(path: str | PathLike[str], *, progress: Callable[[int, int], object] | None = None) -> Inspection:
    """Look at the store in the directory `path` without opening it, and return what it still holds.

    Nothing is written, and a process that wants to open the store meanwhile gets ``StoreLocked``. It reads
    all of the log, in memory that does not grow with it. The index is not looked at, since it is made of the
    log; nor are conditions, which ``store.verify()`` asks again.

    `progress` is called with the bytes that are behind and the bytes there are. Damage is not raised but
    returned. Raises StoreLocked if somebody has the store open, FileNotFoundError if there is none, the rest
    of the OSError family for a path that cannot be used, and StorageError where reading itself fails.
    """
    return _inspection(path, _engine.inspect(path, progress))


def salvage(
    path: str | PathLike[str],
    new: str | PathLike[str],
    *,
    progress: Callable[[int, int], object] | None = None,
) -> Salvage:
    """Write what can be had of the store in `path` to a new store in the directory `new`.

    That is all events up to the first one that is lost, with their positions, times, ids, tags, metadata, and
    the conditions of their appends; and the cursors, as far as they are whole. The old store stays as it is.
    The new one is verified. It is known to be unfinished until all of it is durable, as a backup is.

    Raises what :func:`inspect` raises, FileExistsError if `new` has files, ValueError if it is in the store.
    """
    inspected, set_back, verified = _engine.salvage(path, new, progress)
    inspection, verification = _inspection(path, inspected), verification_of(verified)
    return Salvage(str(fspath(new)), inspection.head, inspection, tuple(set_back), verification)


def _inspection(path: str | PathLike[str], inspected: _Inspected) -> Inspection:
    held, damages = inspected
    return Inspection(str(fspath(path)), damages=tuple(Damage(*damage) for damage in damages), **held)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command, and return its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m counterpoint.recovery",
        description="What is left of a store that cannot be opened. Nothing in it is changed.",
        epilog="Exit code 0: nothing is damaged. 1: something is. 2: it could not be done.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("inspect", help="say what a store holds, and where it is damaged")
    command.add_argument("path", help="the directory of the store")
    command = commands.add_parser("salvage", help="write all events before the first lost one to a new store")
    command.add_argument("path", help="the directory of the damaged store")
    command.add_argument("new", help="the directory of the new one; not there yet, or empty")
    given = parser.parse_args(arguments)
    try:
        if given.command == "inspect":
            inspection = inspect(given.path)
            _show(inspection)
        else:
            salvaged = salvage(given.path, given.new)
            inspection = salvaged.inspection
            _show(inspection)
            print(f"{salvaged.path}: a new store with {_events(salvaged.head)}, verified")
            if salvaged.cursors_set_back:
                print(f"cursors set back to {salvaged.head}: {', '.join(salvaged.cursors_set_back)}")
    except (Error, OSError, ValueError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return DAMAGED if isinstance(error, CorruptionError) else FAILED
    return WHOLE if inspection else DAMAGED


def _show(found: Inspection) -> None:
    print(f"{found.path}: {len(found.segments)} log files, {found.log_bytes} bytes")
    if found.unfinished:
        print("this is a backup, or a salvage, that was not finished")
    print(f"readable from the beginning: {_events(found.head)} in {found.batches} appends")
    for damage in found.damages:
        position = "" if damage.position is None else f", position {damage.position}"
        print(f"damaged: {damage.file}, offset {damage.offset}{position}: {damage.what}")
    if found.damage_count > len(found.damages):
        print(f"and {found.damage_count - len(found.damages)} more")
    if found.loses_events:
        print(f"lost: events from position {found.head + 1} on")
    elif not found:
        print("no event is known to be lost")
    if found.readable_after:
        print(f"readable after that: {_events(found.readable_after)}, the last at {found.last_readable}")
    if found.durable is None:
        print("the marks are not there or not whole: a lost end of the log would not be noticed")
    if found.cursors is not None:
        print(f"cursors: {', '.join(f'{name} {at}' for name, at in found.cursors.items()) or 'none'}")
    print("nothing is damaged" if found else f"damaged in {found.damage_count} places")


def _events(count: int) -> str:
    return "1 event" if count == 1 else f"{count} events"


if __name__ == "__main__":
    sys.exit(main())
