"""How much a random test may try: little by default, much under `COUNTERPOINT_SOAK=1`.

The default seed is fixed, so that a green suite stays green. A soak draws one, or takes
`COUNTERPOINT_SEED`, and pytest prints it in its header.
"""

import os
import secrets
import time

from hypothesis import HealthCheck, Phase, settings

SOAK = os.environ.get("COUNTERPOINT_SOAK", "") not in ("", "0")
SEED = int(os.environ.get("COUNTERPOINT_SEED") or (secrets.randbits(32) if SOAK else 1))


SECONDS = float(os.environ.get("COUNTERPOINT_SOAK_SECONDS") or 3600)
"""How long a soak may take in all."""


class Goal:
    """How far a test of many rounds goes: in a soak as the share of `COUNTERPOINT_SOAK_SECONDS` allows."""

    def __init__(self, default: int, soak: int, share: float) -> None:
        self.goal = tries(default, soak)
        self.seconds = SECONDS * share if SOAK else float("inf")
        self.begun = time.monotonic()

    def is_ahead(self, done: int) -> bool:
        """Whether there is something left to do, and time for it. There is time for something in any case."""
        self.done = done
        return done < self.goal and (done == 0 or time.monotonic() - self.begun < self.seconds)

    def __str__(self) -> str:
        took = time.monotonic() - self.begun
        return f"seed {SEED}, {self.done:,} of {self.goal:,} in {took:.0f} s"


def tries(default: int, soak: int) -> int:
    """How often to try something."""
    return soak if SOAK else default


def examples(default: int, soak: int, **more: object) -> settings:
    """Settings of a hypothesis test, which opens and closes its stores itself."""
    return settings(
        max_examples=tries(default, soak),
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.generate, Phase.shrink],
        print_blob=True,
        report_multiple_bugs=False,
        **more,  # type: ignore[arg-type]
    )
