"""How the tests of the examples speak: given these events, if this command is run, that is the history."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

import counterpoint as cp

PATIENT = 10_000
"""Attempts for a command in a race where everybody conflicts with everybody."""


def given(store: cp.Store, *events: cp.Event) -> None:
    """What happened before: appended as it is, no rule asked."""
    cp.ReadAppender(store).append_events(events)


def history(store: cp.Store) -> list[Any]:
    """Every event in the store, oldest first."""
    return [envelope.event for envelope in cp.ReadAppender(store).read_events(cp.Query.all())]


def kinds(outcomes: Iterable[Any]) -> Counter[type]:
    """How many racers got a result, or an error, of each type."""
    return Counter(map(type, outcomes))


@dataclass(frozen=True)
class Run:
    """A command to run on whatever store it is given: a job for a race, in a thread or in a process."""

    command: Any
    deps: Any = None

    def __call__(self, store: cp.Store) -> Any:
        if isinstance(self.command, cp.CommandWithEffect):
            return cp.CommandWithEffectRunner(store, self.deps, max_attempts=PATIENT).run(self.command)
        return cp.CommandRunner(store, max_attempts=PATIENT).run(self.command)


@dataclass(frozen=True)
class StoppedClock:
    """A clock that always tells the same time."""

    now: datetime

    def __call__(self) -> datetime:
        return self.now


class Counted:
    """A command that counts its attempts: any object with `run(ra)` is a command."""

    def __init__(self, command: cp.Command) -> None:
        self.command = command
        self.attempts = 0

    def run(self, ra: cp.ReadAppender) -> Any:
        self.attempts += 1
        return self.command.run(ra)


class Meddled(cp.ReadAppender):
    """Reads and appends as usual, but just before the append something happens."""

    def __init__(self, store: cp.Store, meanwhile: cp.Event) -> None:
        super().__init__(store)
        self._meddle = partial(given, store, meanwhile)

    def append_event(self, event: object, **options: Any) -> int:
        self._meddle()
        return super().append_event(event, **options)
