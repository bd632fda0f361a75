"""What a backup came to."""

from __future__ import annotations

import msgspec

from counterpoint.verification import Verification

__all__ = ["Backup"]


class Backup(msgspec.Struct, frozen=True):
    """A backup that was made: a store of its own, to be opened with ``cp.open(backup.path)``."""

    path: str
    """The directory, as given."""

    head: int
    """The position of its last event: all that was acknowledged when it began is in it."""

    segments: int
    """Its log files."""

    index_files: int
    """Its index files."""

    copied_bytes: int
    """Bytes that were copied."""

    cloned_bytes: int
    """Bytes of files that were cloned: they share blocks on the disk until one of the two is changed."""

    linked_bytes: int
    """Bytes of files that are hard links: the same files, which both stores only read."""

    verification: Verification | None = None
    """The verification of the backup, None if it was not asked for."""
