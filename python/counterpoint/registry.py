"""The registry: which class belongs to which type name, and how events get in and out of the store."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterable
from itertools import islice
from threading import Lock
from types import MemberDescriptorType
from typing import Any, NamedTuple, TypeVar, overload
from uuid import UUID

from counterpoint._engine import MAX_QUERY_ITEMS, MAX_TEXT_BYTES, RawEvent, SequencedEvent
from counterpoint.codec import check_event_class, field_defaults, make_codec, proven, upcast
from counterpoint.envelope import Envelope
from counterpoint.errors import EventDecodeError, UnknownEventType
from counterpoint.tag import tag_reader
from counterpoint.type_names import add_type_names

__all__ = ["EventRegistry", "Upcaster", "registry_or_default"]

C = TypeVar("C", bound=type[Any])
Upcaster = Callable[[dict[str, Any]], dict[str, Any]]
UpcasterT = TypeVar("UpcasterT", bound=Upcaster)
TagsOf = Callable[[Any], Iterable[str]]


class _Registration(NamedTuple):
    cls: type[Any]
    names: tuple[str, ...]
    """The type name, then the former ones."""
    tags: TagsOf | None


class _Encoder(NamedTuple):
    type: str
    encode: Callable[[Any], bytes]
    tags: TagsOf


class EventRegistry:
    """Maps type names to event classes, and encodes and decodes their events.

    Every subclass of ``Event`` is in the default registry from its definition on. Classes are looked into
    when the first of their events passes, so annotations may refer to what is defined later. Safe to use from
    many threads.
    """

    def __init__(self) -> None:
        """Start empty."""
        self._lock = Lock()
        self._by_type: dict[str, _Registration] = {}
        self._by_class: dict[type[Any], _Registration] = {}
        self._upcasters: dict[str, Upcaster] = {}
        # Derived from the three above. Whoever changes those replaces these two afterwards, and whoever fills
        # one takes hold of it before looking there: what comes too late goes into a dict that nobody uses.
        self._encoders: dict[type[Any], _Encoder] = {}
        self._decoders: dict[str, Callable[[bytes], Any]] = {}

    @staticmethod
    def default() -> EventRegistry:
        """Return the registry of the process, which ``Event`` subclasses enter by themselves."""
        return _DEFAULT

    @overload
    def register(
        self,
        cls: C,
        type: str | None = None,
        former_types: Iterable[str] = (),
        tags: TagsOf | None = None,
    ) -> C: ...
    @overload
    def register(
        self,
        cls: None = None,
        type: str | None = None,
        former_types: Iterable[str] = (),
        tags: TagsOf | None = None,
    ) -> Callable[[C], C]: ...
    def register(
        self,
        cls: C | None = None,
        type: str | None = None,
        former_types: Iterable[str] = (),
        tags: TagsOf | None = None,
    ) -> C | Callable[[C], C]:
        """Register a msgspec, dataclass, attrs or pydantic class. Also a decorator, bare or with arguments.

        `type` is the type name, by default the class attribute ``event_type`` or the name of the class;
        `former_types` are older names of the same event, by default the class attribute of that name.
        `tags` gives the tags of an event, by default its method ``tags()`` or else its ``Tag`` fields.

        Raises ValueError if another class has one of the names; a class that is defined again, or local to
        a function, gives way.
        """
        if cls is None:
            return lambda cls: self.register(cls, type, former_types, tags)
        check_event_class(cls)
        if tags is not None and not callable(tags):
            raise TypeError(f"tags must be a function from an event to its tags, not {tags!r}")
        names = _names(cls, type, former_types)
        self._add(_Registration(cls, names, tags))
        add_type_names(cls, names)
        return cls

    def upcaster(self, type: str) -> Callable[[UpcasterT], UpcasterT]:
        """Decorate a function that turns the JSON of events stored as `type` into the shape of today.

        It runs before the data becomes an event of the class that has this name or former name. If the class
        still stores under that name, new data passes too and must come out as it went in.
        """
        if not isinstance(type, str):
            raise TypeError(
                f"upcaster needs the type name as a str: @registry.upcaster('OrderPlaced'), not {type!r}"
            )

        def add(upcaster: UpcasterT) -> UpcasterT:
            with self._lock:
                other = self._upcasters.get(type)
                if other is not None and not _gives_way(other, upcaster):
                    raise ValueError(f"type {type!r} has an upcaster already: {_where(other)}")
                self._upcasters[type] = upcaster
                self._decoders = {}
            return upcaster

        return add

    def __contains__(self, cls: object) -> bool:
        """Say whether events of this class can be encoded."""
        return cls in self._by_class

    def lookup(self, type: str) -> type[Any]:
        """Return the class for a type name, current or former. Raises UnknownEventType."""
        registration = self._by_type.get(type)
        if registration is None:
            raise UnknownEventType(type)
        return registration.cls

    def encode(self, event: object, metadata: bytes | None = None, id: UUID | None = None) -> RawEvent:
        """Return `event` as the store takes it, which its class can read again.

        Raises TypeError if its class is not registered here or a value has no JSON, and ValueError if the
        fields do not fit their annotations, so that decoding would fail or return something else.
        """
        cls = type(event)
        encoder = self._encoders.get(cls) or self._make_encoder(cls, event)
        tags = encoder.tags(event)
        if isinstance(tags, str):
            raise TypeError(f"the tags of {_where(cls)} must be a list, not the str {tags!r}")
        return RawEvent(encoder.type, encoder.encode(event), tags, metadata, id)

    def decode(self, event: SequencedEvent) -> Envelope[Any]:
        """Return a stored event as an instance of its class. Raises UnknownEventType or EventDecodeError."""
        if type(event) is not SequencedEvent:
            raise TypeError(f"decode takes a SequencedEvent, as a read gives it, not {type(event).__name__}")
        position, name, data, tags, recorded_at, metadata, event_id = event._parts()
        decode = self._decoders.get(name) or self._make_decoder(name, position)
        try:
            decoded = decode(data)
        except Exception as error:
            raise EventDecodeError(name, position, f"{type(error).__name__}: {error}") from error
        return Envelope(decoded, position, name, tags, recorded_at, metadata, event_id)

    def _add(self, new: _Registration) -> None:
        with self._lock:
            known = self._by_class.get(new.cls)
            if known is not None and known.names != new.names:
                raise ValueError(f"{_where(new.cls)} is registered already, as {known.names[0]!r}")
            replaced = {}
            for name in new.names:
                old = self._by_type.get(name)
                if old is not None:
                    if not _gives_way(old.cls, new.cls):
                        raise ValueError(
                            f"type name {name!r} of {_where(new.cls)} belongs to {_where(old.cls)} already: "
                            "give one of them another event_type"
                        )
                    replaced[old.cls] = old
            for cls, old in replaced.items():
                del self._by_class[cls]
                for name in old.names:
                    del self._by_type[name]
            self._by_class[new.cls] = new
            self._by_type.update(dict.fromkeys(new.names, new))
            self._encoders = {}
            self._decoders = {}

    def _make_encoder(self, cls: builtins.type[Any], event: object) -> _Encoder:
        if isinstance(event, builtins.type):
            raise TypeError(f"an instance is needed, not the class: {event.__qualname__}(...)")
        encoders = self._encoders
        registration = self._by_class.get(cls)
        if registration is None:
            raise TypeError(
                f"{_where(cls)} is not registered in this EventRegistry, or a later class took its type "
                "name: derive it from cp.Event or register it"
            )
        encode = proven(cls, make_codec(cls))
        encoder = _Encoder(registration.names[0], encode, registration.tags or _tags_of(cls))
        encoders[cls] = encoder
        return encoder

    def _make_decoder(self, type: str, position: int) -> Callable[[bytes], Any]:
        decoders = self._decoders
        registration, upcaster = self._by_type.get(type), self._upcasters.get(type)
        if registration is None:
            raise UnknownEventType(type, position)
        codec = make_codec(registration.cls)
        decoders[type] = decode = codec.decode if upcaster is None else upcast(upcaster, codec)
        return decode


def _names(cls: type[Any], type_: str | None, former_types: Iterable[str]) -> tuple[str, ...]:
    # What the class says of itself, and not its base class; nor a field that happens to be called so.
    own = {name: value for name, value in vars(cls).items() if not isinstance(value, MemberDescriptorType)}
    if type_ is None:
        type_ = own.get("event_type", cls.__name__)
    former_types = former_types or own.get("former_types", ())
    if isinstance(former_types, str):
        raise TypeError(
            f"former_types of {_where(cls)} must be a tuple of names, not the str {former_types!r}"
        )
    # All of them have to fit one item of a query; and what is given may be endless.
    given = (type_, *islice(former_types, MAX_QUERY_ITEMS))
    if len(given) > MAX_QUERY_ITEMS:
        raise ValueError(f"{_where(cls)} has more than {MAX_QUERY_ITEMS} type names")
    names = tuple(dict.fromkeys(given))
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"a type name of {_where(cls)} must be a str, not {name!r}")
        size = len(name.encode())
        if not 1 <= size <= MAX_TEXT_BYTES:
            raise ValueError(
                f"a type name of {_where(cls)} must be 1 to {MAX_TEXT_BYTES} bytes, not {size}: {name!r}"
            )
    return names


def _tags_of(cls: type[Any]) -> TagsOf:
    method: TagsOf | None = getattr(cls, "tags", None)
    if callable(method):
        return method
    if method is not None and "tags" not in field_defaults(cls):
        raise TypeError(f"the tags of {_where(cls)} must be a method tags(), not a {type(method).__name__}")
    return tag_reader(cls)


def _gives_way(old: Any, new: Any) -> bool:
    """Say whether `new` may replace `old`: it is the same once more, or `old` is local to a function."""
    again = old.__module__ == new.__module__ and old.__qualname__ == new.__qualname__
    return again or "<locals>" in old.__qualname__


def _where(thing: Any) -> str:
    return f"{thing.__module__}.{thing.__qualname__}"


_DEFAULT = EventRegistry()


def registry_or_default(registry: EventRegistry | None) -> EventRegistry:
    """Return what was given, None for the default one. Raises TypeError for what is no registry."""
    if registry is None:
        return _DEFAULT
    if not isinstance(registry, EventRegistry):
        raise TypeError(f"registry must be an EventRegistry or None, not {type(registry).__name__}")
    return registry
