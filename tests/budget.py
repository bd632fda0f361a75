"""How much a random test may try: little by default, much under `COUNTERPOINT_SOAK=1`.

The default seed is fixed, so that a green suite stays green. A soak draws one, or takes
`COUNTERPOINT_SEED`, and pytest prints it in its header.
"""

import os
import secrets

from hypothesis import HealthCheck, Phase, settings

SOAK = os.environ.get("COUNTERPOINT_SOAK", "") not in ("", "0")
SEED = int(os.environ.get("COUNTERPOINT_SEED") or (secrets.randbits(32) if SOAK else 1))


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
