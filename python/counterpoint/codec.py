"""JSON codecs for the kinds of classes that can be events.

msgspec reads and writes its own structs, dataclasses and attrs classes; pydantic its own, imported only when
such a class is met.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import is_dataclass
from typing import Any, NamedTuple

import msgspec

from counterpoint.tag import unresolved

__all__ = ["Codec", "check_event_class", "make_codec", "upcast"]

encode_json = msgspec.json.Encoder().encode
decode_json = msgspec.json.Decoder().decode


class Codec(NamedTuple):
    """How events of one class become bytes, and bytes events."""

    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]


def check_event_class(cls: object) -> None:
    """Refuse what no codec can handle."""
    if not isinstance(cls, type):
        raise TypeError(f"an event class is needed, not {cls!r}")
    if not (issubclass(cls, msgspec.Struct) or is_dataclass(cls) or _is_attrs(cls) or _is_pydantic(cls)):
        raise TypeError(
            f"{cls.__qualname__} cannot be an event class: it is no msgspec struct, dataclass, attrs or "
            "pydantic class (a decorator that makes it one goes below the one that registers it)"
        )


def make_codec(cls: type[Any]) -> Codec:
    """Return the codec of an event class. Its annotations are resolved here, not at its definition."""
    try:
        if _is_pydantic(cls):
            return _pydantic_codec(cls)
        return Codec(encode_json, msgspec.json.Decoder(cls).decode)
    except NameError as error:
        raise unresolved(cls, error) from error


def upcast(upcaster: Callable[[dict[str, Any]], dict[str, Any]], codec: Codec) -> Callable[[bytes], Any]:
    """Return a decoder that lets `upcaster` change the JSON first.

    What it returns goes through JSON again, so that dates, UUIDs and the like are read as ever.
    """
    decode = codec.decode
    return lambda data: decode(encode_json(upcaster(decode_json(data))))


def _is_attrs(cls: type[Any]) -> bool:
    return hasattr(cls, "__attrs_attrs__")


def _is_pydantic(cls: type[Any]) -> bool:
    return hasattr(cls, "__pydantic_validator__")


def _pydantic_codec(cls: type[Any]) -> Codec:
    from pydantic import TypeAdapter  # noqa: PLC0415  an optional dependency

    adapter = TypeAdapter(cls)
    dump = adapter.dump_json
    # Aliases are what validation expects, and computed fields are what it would refuse.
    return Codec(lambda event: dump(event, by_alias=True, round_trip=True), adapter.validate_json)
