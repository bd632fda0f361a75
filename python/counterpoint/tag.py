"""Tags that are read off the fields of an event."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints
from uuid import UUID
from weakref import WeakKeyDictionary

__all__ = ["Tag", "field_tags", "tag_reader", "unresolved"]

TagReader = Callable[[Any], list[str]]

_SEVERAL = (list, tuple, set, frozenset)


@dataclass(frozen=True, slots=True)
class Tag:
    """Marks a field as a tag: ``Annotated[str, Tag("order")]`` with the value ``"o1"`` gives ``"order:o1"``.

    A value is a str, an int, a UUID or an enum member of one of these (its value is taken); None gives no
    tag; a list, tuple or set gives one tag for each of its values.
    """

    name: str

    def __post_init__(self) -> None:
        """Refuse a name that would make two different tags look the same."""
        if not isinstance(self.name, str):
            raise TypeError(f"a tag name must be a str, not {type(self.name).__name__}")
        if not self.name or ":" in self.name:
            raise ValueError(f"a tag name must not be empty nor contain ':', unlike {self.name!r}")


_readers: WeakKeyDictionary[type[Any], TagReader] = WeakKeyDictionary()


def tag_reader(cls: type[Any]) -> TagReader:
    """Return the function that gives the tags of an instance of `cls`; made once for each class."""
    reader = _readers.get(cls)
    if reader is None:
        # Two threads may both come here; what they make is the same.
        reader = _readers[cls] = _make_reader(cls)
    return reader


def field_tags(cls: type[Any]) -> Mapping[str, tuple[str, ...]]:
    """Return the tag names of each field of `cls` that has any."""
    try:
        hints = get_type_hints(cls, include_extras=True)
    except NameError as error:
        raise unresolved(cls, error) from error
    found = {}
    for field, hint in hints.items():
        try:
            names = tuple(dict.fromkeys(_tag_names(hint)))
        except TypeError as error:
            raise TypeError(f"field {field!r} of {cls.__qualname__}: {error}") from None
        if names:
            found[field] = names
    return found


def unresolved(cls: type[Any], error: NameError) -> TypeError:
    """Return the error for an annotation of `cls` that refers to nothing."""
    return TypeError(
        f"an annotation of {cls.__qualname__} cannot be resolved: {error}; "
        "define that name at module level, where annotations are looked up"
    )


def _tag_names(hint: Any) -> Iterator[str]:
    """Yield the names of the tags in `hint`, also inside of an optional or a collection."""
    if hasattr(hint, "__value__"):  # type OrderId = Annotated[...]
        hint = hint.__value__
    origin = get_origin(hint)
    if origin is Annotated:
        inner, *notes = get_args(hint)
        if any(note is Tag for note in notes):
            raise TypeError('Tag is the class: write Tag("name")')
        yield from (note.name for note in notes if isinstance(note, Tag))
        yield from _tag_names(inner)
    elif origin in (Union, UnionType, *_SEVERAL):
        for inner in get_args(hint):
            yield from _tag_names(inner)
    elif any(list(_tag_names(inner)) for inner in get_args(hint)):
        # Not overlooked: an event without a tag that its author relies on is a hole in a boundary.
        raise TypeError(
            f"a Tag cannot be inside of {hint}: it marks a value, or the values of a list, tuple or set"
        )


def _make_reader(cls: type[Any]) -> TagReader:
    name_of_class = cls.__qualname__  # not the class itself, which would keep its own entry alive
    fields = [(field, f"{name}:") for field, names in field_tags(cls).items() for name in names]

    def read(event: Any) -> list[str]:
        tags: list[str] = []
        for field, prefix in fields:
            value = getattr(event, field)
            if type(value) is str:
                tags.append(prefix + value)
            elif value is not None:
                try:
                    tags.extend(prefix + text for text in _texts(value))
                except TypeError as error:
                    raise TypeError(f"field {field!r} of {name_of_class}: {error}") from None
        return tags

    return read


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, _SEVERAL):
        for one in value:
            if one is not None:
                yield _text(one)
    else:
        yield _text(value)


def _text(value: object) -> str:
    # An enum first: a member of a str enum is a str, but not the str that it stands for.
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, (str, int, UUID)) and not isinstance(value, bool):
        return str(value)
    raise TypeError(f"a tag is made of a str, int, UUID or enum member, not of {type(value).__name__}")
