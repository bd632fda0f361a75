"""Commands and their runners: read, decide, append, and start over if the decision has become stale."""

from __future__ import annotations

import time
from collections.abc import Callable
from inspect import (
    isasyncgen,
    isasyncgenfunction,
    iscoroutine,
    iscoroutinefunction,
    isgenerator,
    isgeneratorfunction,
)
from typing import Any, Generic, Protocol

import msgspec
from typing_extensions import TypeVar, dataclass_transform

from counterpoint.backoff import Backoff
from counterpoint.errors import AppendConditionFailed
from counterpoint.read_appender import ReadAppender
from counterpoint.registry import EventRegistry, registry_or_default
from counterpoint.store import Store, check_store

__all__ = [
    "Command",
    "CommandLike",
    "CommandRunner",
    "CommandWithEffect",
    "CommandWithEffectLike",
    "CommandWithEffectRunner",
]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
Deps = TypeVar("Deps")
Result = TypeVar("Result", default=Any)
Deps_contra = TypeVar("Deps_contra", contravariant=True)


class CommandLike(Protocol[T_co]):
    """Anything that decides through a ReadAppender."""

    def run(self, ra: ReadAppender, /) -> T_co:
        """Decide. See :meth:`Command.run`."""
        ...


class CommandWithEffectLike(Protocol[Deps_contra, T]):
    """Anything that decides with dependencies, and has an effect afterwards."""

    def run(self, ra: ReadAppender, deps: Deps_contra, /) -> T:
        """Decide. See :meth:`CommandWithEffect.run`."""
        ...

    def effect(self, result: T, deps: Deps_contra, /) -> None:
        """Act on what was decided. See :meth:`CommandWithEffect.effect`."""
        ...


@dataclass_transform(frozen_default=True, field_specifiers=(msgspec.field,))
class Command(msgspec.Struct, frozen=True):
    """A decision: its fields are the input, :meth:`run` reads, decides and appends.

    A convenience: any object with a method ``run(ra)`` can be run.
    """

    def run(self, ra: ReadAppender) -> Any:
        """Decide: return a result, or raise a domain error to refuse.

        Called once for each attempt, so it keeps no state and has no effect but what it appends through `ra`.
        Each append is stored at once, and neither a retry nor an error takes it back: append everything that
        the decision leads to together, as the last step, with ``ra.append_events``.
        """
        raise NotImplementedError(f"{type(self).__qualname__} needs a method run(ra)")


@dataclass_transform(frozen_default=True, field_specifiers=(msgspec.field,))
class CommandWithEffect(msgspec.Struct, Generic[Deps, Result], frozen=True):
    """A command that is given dependencies, such as a clock or a mailer, and acts on them afterwards.

    ``CommandWithEffect[Clock, int]`` needs a Clock and decides on an int.
    """

    def run(self, ra: ReadAppender, deps: Deps) -> Result:
        """Decide, as in :meth:`Command.run`. Ask `deps`, but do not act on them: this may run again."""
        raise NotImplementedError(f"{type(self).__qualname__} needs a method run(ra, deps)")

    def effect(self, result: Result, deps: Deps) -> None:
        """Act on what was decided: called once, with what :meth:`run` returned, when its events are stored.

        If it raises, or the process dies before it, the events stay: an effect that must not be lost
        belongs into a reaction to the event. Does nothing by default.
        """


class CommandRunner:
    """Runs commands on a store, again from scratch when an append condition failed. For many threads."""

    def __init__(
        self,
        store: Store,
        *,
        max_attempts: int = 4,
        backoff: Backoff = Backoff(),  # noqa: B008  a constant
        registry: EventRegistry | None = None,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        """Try a command `max_attempts` times in all, and between two of them `sleep` as `backoff` says."""
        if isinstance(max_attempts, bool) or not isinstance(max_attempts, int):
            raise TypeError(f"max_attempts must be an int, not {type(max_attempts).__name__}")
        if max_attempts < 1:
            raise ValueError(f"max_attempts must be 1 or more, not {max_attempts}")
        if not isinstance(backoff, Backoff):
            raise TypeError(f"backoff must be a Backoff, such as cp.Backoff(), not {type(backoff).__name__}")
        check_store(store)
        self._store = store
        self._max_attempts = max_attempts
        self._backoff = backoff
        self._registry = registry_or_default(registry)
        self._sleep = sleep

    def run(self, command: CommandLike[T]) -> T:
        """Return what `command` decides.

        Each attempt has a ReadAppender of its own. Only AppendConditionFailed leads to another one; after the
        last it is raised, and tells the number of attempts. Any other error is raised at once.
        """
        _check_command(command)
        return self._decide(command.run)

    def _decide(self, decision: Callable[[ReadAppender], T]) -> T:
        attempt = 0
        while True:
            attempt += 1
            try:
                return _refuse_suspended(decision(ReadAppender(self._store, self._registry)))
            except AppendConditionFailed as error:
                error.attempts = attempt
                if attempt >= self._max_attempts:
                    raise
            delay = self._backoff.delay(attempt)
            if delay > 0:
                self._sleep(delay)


class CommandWithEffectRunner(Generic[Deps]):
    """Runs commands that need dependencies, and then their effects. For many threads."""

    def __init__(
        self,
        store: Store,
        deps: Deps,
        *,
        max_attempts: int = 4,
        backoff: Backoff = Backoff(),  # noqa: B008  a constant
        registry: EventRegistry | None = None,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        """Hand `deps` to every command; the rest is as for :class:`CommandRunner`."""
        self._runner = CommandRunner(
            store, max_attempts=max_attempts, backoff=backoff, registry=registry, sleep=sleep
        )
        self._deps = deps

    def run(self, command: CommandWithEffectLike[Deps, T]) -> T:
        """Return what `command` decides, after its effect: once, and never for an attempt that failed.

        Raises what :meth:`CommandRunner.run` raises, and what the effect raises: then the events are stored.
        """
        _check_command(command)
        if not callable(getattr(command, "effect", None)) or _is_suspended(command.effect):
            # Before anything is appended, since afterwards it would be too late to have no effect.
            raise TypeError(
                f"{type(command).__qualname__} needs a method effect(result, deps), "
                "neither async nor a generator"
            )
        deps = self._deps
        result = self._runner._decide(lambda ra: command.run(ra, deps))
        command.effect(result, deps)
        return result


def _check_command(command: object) -> None:
    if isinstance(command, type):
        raise TypeError(f"a command is needed, not its class: {command.__qualname__}(...)")
    if not callable(getattr(command, "run", None)):
        raise TypeError(f"{type(command).__qualname__} is not a command: it has no method run")


def _is_suspended(method: Callable[..., object]) -> bool:
    return iscoroutinefunction(method) or isgeneratorfunction(method) or isasyncgenfunction(method)


def _refuse_suspended(result: T) -> T:
    # Told by what came back: a decorated async method does not look like one. Nothing in it has run yet.
    if iscoroutine(result) or isasyncgen(result):
        if iscoroutine(result):
            result.close()
        raise TypeError(f"a command decides synchronously, but its run is async: {result.__qualname__}")
    if isgenerator(result):
        raise TypeError(
            f"a command has decided when its run returns, but this is a generator: {result.__qualname__}"
        )
    return result
