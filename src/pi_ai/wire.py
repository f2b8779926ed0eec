"""`encode` and `decode`: every public type from and to upstream's JSON."""

from __future__ import annotations

import threading
from typing import Any, TypeVar, cast, overload

import msgspec

from pi_ai.events import Snapshot
from pi_ai.json_text import js_json_bytes, parse_json
from pi_ai.types import AssistantMessage, JsonObject, JsonValue

__all__ = ("decode", "decoder_for", "encode", "from_json_value", "to_json_value")

T = TypeVar("T")

_decoders: dict[Any, msgspec.json.Decoder[Any]] = {}
_converted: set[Any] = set()
# msgspec 0.22 shows other threads a struct type that it is still looking into, and they crash.
_looking_into_types = threading.RLock()


def _write(value: Any) -> Any:
    """What msgspec does not know how to write: a snapshot stands for its message."""
    if isinstance(value, Snapshot):
        return value.message()
    raise TypeError(f"Cannot encode {type(value).__name__} as JSON")


def _read(kind: type, value: Any) -> Any:
    if kind is Snapshot:
        return Snapshot.of(from_json_value(value, AssistantMessage))
    raise TypeError(f"Cannot decode JSON as {kind.__name__}")


_encoder = msgspec.json.Encoder(enc_hook=_write)


def encode(value: object) -> bytes:
    """`value` as compact UTF-8 JSON with upstream's keys; lone surrogates are escaped."""
    try:
        return _encoder.encode(value)
    except UnicodeEncodeError:
        return js_json_bytes(to_json_value(value))


def to_json_value(value: object) -> JsonValue:
    """`value` as plain dicts, lists and scalars with upstream's keys."""
    return msgspec.to_builtins(value, enc_hook=_write)


@overload
def decode(data: bytes | str, kind: type[T]) -> T: ...
@overload
def decode(data: bytes | str, kind: Any) -> Any: ...
def decode(data: bytes | str, kind: Any) -> Any:
    """Read `data` as `kind`, a public type or a union of them such as `Message`.

    Unknown keys are ignored, so that newer files can be read. Raises `msgspec.ValidationError`,
    a ValueError that names the path, for JSON of another shape, and ValueError for text that is
    no JSON.
    """
    try:
        return decoder_for(kind).decode(data)
    except msgspec.DecodeError:
        return from_json_value(parse_json(data), kind)


@overload
def decoder_for(kind: type[T]) -> msgspec.json.Decoder[T]: ...
@overload
def decoder_for(kind: Any) -> msgspec.json.Decoder[Any]: ...
def decoder_for(kind: Any) -> msgspec.json.Decoder[Any]:
    """The one decoder for `kind`, made when first asked for, by one thread at a time.

    To make one takes up to some milliseconds.
    """
    decoder = _decoders.get(kind)
    if decoder is None:
        with _looking_into_types:
            decoder = _decoders.get(kind)
            if decoder is None:
                decoder = _decoders[kind] = msgspec.json.Decoder(kind, dec_hook=_read)
    return decoder


@overload
def from_json_value(value: JsonValue, kind: type[T]) -> T: ...
@overload
def from_json_value(value: JsonValue, kind: Any) -> Any: ...
def from_json_value(value: JsonValue, kind: Any) -> Any:
    """Read plain dicts, lists and scalars as `kind`; see `decode`.

    A message whose `content` is null or missing, as old and hand-made files have it, is read as
    one without content.
    """
    try:
        return _convert(value, kind)
    except msgspec.ValidationError:
        mended = _mend(value)
        if mended is value:
            raise
        return _convert(mended, kind)


def _convert(value: JsonValue, kind: Any) -> Any:
    if kind in _converted:
        return msgspec.convert(value, kind, dec_hook=_read)
    with _looking_into_types:
        try:
            return msgspec.convert(value, kind, dec_hook=_read)
        finally:
            _converted.add(kind)


_EMPTY_CONTENT: JsonObject = {
    "system": "",
    "user": [],
    "assistant": [],
    "toolResult": [],
}


def _mend(value: JsonValue) -> JsonValue:
    """`value` with empty content where a message has none; the same object if nothing changes."""
    if isinstance(value, list):
        items = cast("list[JsonValue]", value)
        mended = [_mend(item) for item in items]
        changed = any(a is not b for a, b in zip(mended, items, strict=True))
        return mended if changed else items
    if not isinstance(value, dict):
        return value
    record = cast("JsonObject", value)
    if isinstance(record.get("messages"), list):
        return {**record, "messages": _mend(record["messages"])}
    role = record.get("role")
    if isinstance(role, str) and role in _EMPTY_CONTENT and record.get("content") is None:
        return {**record, "content": _EMPTY_CONTENT[role]}
    return record
