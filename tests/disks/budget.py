"""How long a soak of real disks may take."""

import os
import time
from collections.abc import Iterator

from tests.budget import SOAK

SECONDS = float(os.environ.get("COUNTERPOINT_SOAK_SECONDS") or 3600) / 30
"""The share that each test has of the time of a soak: there are about so many."""


def turns(default: int, soak: int) -> Iterator[int]:
    """Numbers from 0: so many by default, and in a soak as many as its time allows, up to `soak`."""
    until = time.monotonic() + SECONDS
    turn = 0
    while turn < (soak if SOAK else default) and not (SOAK and time.monotonic() > until):
        yield turn
        turn += 1
    print(f"{turn} turns")
