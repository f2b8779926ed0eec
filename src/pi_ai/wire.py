"""`encode` and `decode`: every public type from and to upstream's JSON."""

from __future__ import annotations

from typing import Any, TypeVar, cast, overload

import msgspec

from pi_ai.events import Snapshot
from pi_ai.json_text import js_json_bytes, parse_json
from pi_ai.types import AssistantMessage, JsonObject, JsonValue

__all__ = ("decode", "encode", "from_json_value", "to_json_value")

T = TypeVar("T")

_decoders: dict[Any, msgspec.json.Decoder[Any]] = {}


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
    decoder = _decoders.get(kind)
    if decoder is None:
        decoder = _decoders[kind] = msgspec.json.Decoder(kind, dec_hook=_read)
    try:
        return decoder.decode(data)
    except msgspec.DecodeError:
        return from_json_value(parse_json(data), kind)


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
        return msgspec.convert(value, kind, dec_hook=_read)
    except msgspec.ValidationError:
        mended = _mend(value)
        if mended is value:
            raise
        return msgspec.convert(mended, kind, dec_hook=_read)


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
    if role in _EMPTY_CONTENT and record.get("content") is None:
        return {**record, "content": _EMPTY_CONTENT[role]}
    return record
