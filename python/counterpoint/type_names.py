"""Which type names an event class stands for: what a query needs to know of a class, and no more."""

from __future__ import annotations

from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary

__all__ = ["add_type_names", "type_names"]

_names: WeakKeyDictionary[type[Any], tuple[str, ...]] = WeakKeyDictionary()
_lock = Lock()


def add_type_names(cls: type[Any], names: tuple[str, ...]) -> None:
    """Record that `cls` is stored under `names`.

    A class that several registries know by different names stands for all of them: a query that is too
    wide costs time, one that is too narrow would leave a decision unguarded (I4).
    """
    with _lock:
        _names[cls] = tuple(dict.fromkeys((*_names.get(cls, ()), *names)))


def type_names(cls: type[Any]) -> tuple[str, ...]:
    """Return the type name of `cls`, then its former ones. Raises TypeError for any other class."""
    names = _names.get(cls)
    if names is None:
        raise TypeError(
            f"{cls.__qualname__} is not an event class: derive it from Event, or register it in a registry"
        )
    return names
