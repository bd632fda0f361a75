"""How long to wait before a command is tried again."""

from __future__ import annotations

import random
from dataclasses import dataclass
from math import isfinite

__all__ = ["Backoff"]


@dataclass(frozen=True, slots=True)
class Backoff:
    """Delays in seconds: `first` before the first retry, then `base`, times `factor` each, at most `cap`.

    With `jitter` each delay but the first is drawn evenly between zero and that: the "full jitter" of Marc
    Brooker's "Exponential Backoff And Jitter". The defaults suit a store in this process: the first retry is
    at once, since whoever won has already committed.
    """

    first: float = 0.0
    base: float = 0.001
    factor: float = 2.0
    cap: float = 0.05
    jitter: bool = True

    def __post_init__(self) -> None:
        """Refuse delays that cannot be waited for."""
        for name, least in (("first", 0.0), ("base", 0.0), ("factor", 1.0), ("cap", 0.0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise TypeError(f"{name} must be a number, not {type(value).__name__}")
            if not isfinite(value) or value < least:
                raise ValueError(f"{name} must be finite and {least:g} or more, not {value}")

    @classmethod
    def remote(cls) -> Backoff:
        """Return what suits a store on another machine: from 50 ms, doubling, up to 5 seconds."""
        return cls(first=0.05, base=0.1, cap=5.0, jitter=False)

    def delay(self, retry: int) -> float:
        """Return the seconds to wait before the retry with this number, from 1."""
        if retry <= 1:
            return self.first
        try:
            longest = min(self.cap, self.base * self.factor ** (retry - 2))
        except OverflowError:
            longest = self.cap
        return random.uniform(0.0, longest) if self.jitter else longest
