"""How a test asks for stores: the type of the fixtures `open_store` and `open_on_disk`."""

from typing import Any, Protocol

import counterpoint as cp

SMALL_SEGMENT = 4096
"""So few bytes that a test of some dozen events rolls over to new segments."""


class Opener(Protocol):
    """Opens a store of the kind under test; on disk, the same name is the same store."""

    def __call__(self, name: str = "store", **options: Any) -> cp.EmbeddedStore: ...
