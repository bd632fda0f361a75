"""JSON codecs for the kinds of classes that can be events.

msgspec reads and writes its own structs, dataclasses and attrs classes; pydantic its own, imported only when
such a class is met. Nobody checks the fields of an event when it is made, so what is encoded is read back at
once: what could not be read again must not get into the log, where it would stay.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from math import isfinite
from threading import RLock
from typing import Any, NamedTuple

import msgspec

from counterpoint.tag import Tag, unresolved

__all__ = ["Codec", "check_event_class", "field_defaults", "make_codec", "proven", "upcast"]

encode_json = msgspec.json.Encoder().encode
decode_json = msgspec.json.Decoder().decode

# msgspec looks at a struct when the first decoder for it is made, and a second thread that makes one
# meanwhile gets what is not complete yet: the process dies of it. One at a time, because structs may share
# what they are made of.
_making = RLock()


class Codec(NamedTuple):
    """How events of one class become bytes, and bytes events."""

    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]
    compare: Callable[[Any, Any], None]
    """Raises ValueError if an event has lost something in what was read back."""


def check_event_class(cls: object) -> None:
    """Refuse what no codec can handle."""
    if not isinstance(cls, type):
        raise TypeError(f"an event class is needed, not {cls!r}")
    if not (issubclass(cls, msgspec.Struct) or is_dataclass(cls) or _is_attrs(cls) or _is_pydantic(cls)):
        raise TypeError(
            f"{cls.__qualname__} cannot be an event class: it is no msgspec struct, dataclass, attrs or "
            "pydantic class (a decorator that makes it one goes below the one that registers it)"
        )
    private = [field.name for field in getattr(cls, "__attrs_attrs__", ()) if field.name.startswith("_")]
    if private:
        raise TypeError(
            f"field {private[0]!r} of {cls.__qualname__} is private, and private fields of attrs classes are "
            "not stored: rename it"
        )


def field_defaults(cls: type[Any]) -> dict[str, Any]:
    """Return the fields of an event class with their defaults, or whatever marks that there is none."""
    if issubclass(cls, msgspec.Struct):
        return {field.name: field.default for field in msgspec.structs.fields(cls)}
    if is_dataclass(cls):
        return {field.name: field.default for field in fields(cls)}
    if _is_attrs(cls):
        return {field.name: field.default for field in cls.__attrs_attrs__}
    return {name: field.default for name, field in cls.model_fields.items()}


def make_codec(cls: type[Any]) -> Codec:
    """Return the codec of an event class. Its annotations are resolved here, not at its definition."""
    try:
        for name, default in field_defaults(cls).items():
            if default is Tag or isinstance(default, Tag):
                raise TypeError(
                    f"field {name!r} of {cls.__qualname__} has a Tag as its default: "
                    f'write {name}: Annotated[..., Tag("name")]'
                )
        if _is_pydantic(cls):
            return _pydantic_codec(cls)
        with _making:
            return Codec(encode_json, msgspec.json.Decoder(cls).decode, _refuse_nan)
    except NameError as error:
        raise unresolved(cls, error) from error


def proven(cls: type[Any], codec: Codec) -> Callable[[Any], bytes]:
    """Return an encoder that reads back what it writes.

    It raises ValueError for what cannot be read again or would be changed by it, TypeError for a value that
    has no JSON.
    """
    name = cls.__qualname__
    encode, decode, compare = codec

    def encode_proven(event: Any) -> bytes:
        try:
            data = encode(event)
        except TypeError as error:
            raise TypeError(f"{name} could not be encoded: {error}") from error
        except ValueError as error:
            raise ValueError(f"{name} could not be encoded: {error}") from error
        try:
            compare(event, decode(data))
        except Exception as error:
            raise ValueError(f"{name} could not be read back: {error}") from error
        return data

    return encode_proven


def upcast(upcaster: Callable[[dict[str, Any]], dict[str, Any]], codec: Codec) -> Callable[[bytes], Any]:
    """Return a decoder that lets `upcaster` change the JSON first.

    What it returns goes through JSON again, so that dates, UUIDs and the like are read as ever.
    """
    decode = codec.decode

    def upcast_and_decode(data: bytes) -> Any:
        changed: object = upcaster(decode_json(data))
        if not isinstance(changed, dict):
            raise TypeError(
                f"the upcaster {upcaster.__module__}.{upcaster.__qualname__} must return a dict, "
                f"not {type(changed).__name__}"
            )
        return decode(encode_json(changed))

    return upcast_and_decode


def _is_attrs(cls: type[Any]) -> bool:
    return hasattr(cls, "__attrs_attrs__")


def _is_pydantic(cls: type[Any]) -> bool:
    return hasattr(cls, "__pydantic_validator__")


def _pydantic_codec(cls: type[Any]) -> Codec:
    from pydantic import TypeAdapter  # noqa: PLC0415  an optional dependency

    adapter = TypeAdapter(cls)
    dump = adapter.dump_json
    names = tuple(field_defaults(cls))

    def encode(event: Any) -> bytes:
        # Aliases are what validation expects, and computed fields are what it would refuse. No warning of
        # wrong types: these are errors when the bytes are read back.
        return dump(event, by_alias=True, round_trip=True, warnings=False)

    def compare(event: Any, decoded: Any) -> None:
        # Models leave out what is excluded, and mask what is secret.
        for name in names:
            value = getattr(decoded, name)
            if value != getattr(event, name):
                raise ValueError(f"field {name!r} would come back as {value!r}")

    return Codec(encode, adapter.validate_json, compare)


def _refuse_nan(event: Any, decoded: Any) -> None:
    # JSON has no NaN and no infinity. They become null, which an optional field would take for None. Other
    # differences are harmless, such as a tuple for a list.
    if decoded != event and not _is_finite(msgspec.to_builtins(event)):
        raise ValueError("NaN and infinity are no JSON")


def _is_finite(value: object) -> bool:
    if isinstance(value, float):
        return isfinite(value)
    if isinstance(value, dict):
        return all(map(_is_finite, value.values()))
    return all(map(_is_finite, value)) if isinstance(value, (list, tuple)) else True
