"""The base class of events."""

from __future__ import annotations

from collections.abc import Sequence
from types import MemberDescriptorType
from typing import Any, ClassVar

import msgspec
from typing_extensions import dataclass_transform

from counterpoint.registry import EventRegistry
from counterpoint.tag import Tag, tag_reader

__all__ = ["Event", "Tag"]


@dataclass_transform(frozen_default=True, field_specifiers=(msgspec.field,))
class Event(msgspec.Struct, frozen=True):
    """Something that has happened: an immutable struct, stored as JSON.

    A subclass is registered at its definition, in the default registry, under its type name: the name of the
    class, or ``event_type`` if the class sets it. So a class can be renamed without touching what is stored.

    >>> class OrderPlaced(Event):
    ...     event_type: ClassVar[str] = "order-placed"
    ...     order_id: Annotated[str, Tag("order")]
    ...     total: int
    """

    event_type: ClassVar[str]
    """The type name. Not inherited."""

    former_types: ClassVar[tuple[str, ...]] = ()
    """Type names under which events of this class were stored before. Not inherited."""

    def __init_subclass__(cls, **config: Any) -> None:
        """Register the class; `config` is msgspec's."""
        super().__init_subclass__(**config)
        for name in ("event_type", "former_types", "tags"):
            if isinstance(vars(cls).get(name), MemberDescriptorType):
                raise TypeError(
                    f"{cls.__qualname__} has a field {name!r}, a name that Event uses: annotate it as "
                    f"ClassVar, or rename the field (msgspec.field(name={name!r}) keeps its JSON name)"
                )
        EventRegistry.default().register(cls)

    def tags(self) -> Sequence[str]:
        """Return the tags of this event: one for each value of its ``Tag`` fields. May be overridden."""
        return tag_reader(type(self))(self)
