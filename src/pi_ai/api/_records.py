"""Reads vendors' JSON into structs, leniently: a field of the wrong type counts as absent."""

from __future__ import annotations

from contextlib import suppress
from types import UnionType
from typing import Any, TypeVar, Union, cast, get_args, get_origin

import msgspec
from msgspec import Struct

from pi_ai.json_text import parse_json_with_repair
from pi_ai.types import JsonObject, JsonValue

__all__ = ("convert_record", "read_record")

T = TypeVar("T", bound=Struct)

_SAFE_INTEGERS = 2**53
"""Below this every integer is a float of its own."""


def read_record(decoder: msgspec.json.Decoder[T], kind: type[T], data: bytes) -> T:
    """The record that `data` holds. Raises ValueError only for text that is no JSON.

    Almost every record takes the first line; servers with quirks, bad escapes or invalid UTF-8
    take the slow way.
    """
    try:
        return decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        value = parse_json_with_repair(data.decode("utf-8", "replace"))
        return convert_record(value, kind)


def convert_record(value: JsonValue, kind: type[T]) -> T:
    """The record that a JSON value holds; an empty one for a value that is no object."""
    told = cast("JsonObject", value) if isinstance(value, dict) else {}
    found: JsonObject = {}
    for field in msgspec.structs.fields(kind):
        if field.encode_name not in told:
            continue
        item: JsonValue = told[field.encode_name]
        nested = _struct_in(field.type)
        if nested is not None and isinstance(item, dict):
            found[field.name] = convert_record(cast("JsonObject", item), nested)
        elif nested is not None and isinstance(item, list):
            items = cast("list[JsonValue]", item)
            found[field.name] = [convert_record(each, nested) for each in items]
        else:
            with suppress(msgspec.ValidationError):
                found[field.name] = _converted(item, field.type)
    return kind(**found)


def _converted(value: JsonValue, kind: Any) -> JsonValue:
    """`value` as a `kind`. Some servers write counts as 100.0, to JavaScript an integer."""
    try:
        return msgspec.convert(value, kind, strict=True)
    except msgspec.ValidationError:
        whole = isinstance(value, float) and value.is_integer() and abs(value) < _SAFE_INTEGERS
        if not whole:
            raise
        return msgspec.convert(int(value), kind, strict=True)


def _struct_in(annotation: Any) -> type[Struct] | None:
    """The struct in `X`, `X | None`, `list[X]` or `list[X] | None`."""
    if isinstance(annotation, type) and issubclass(annotation, Struct):
        return annotation
    if get_origin(annotation) in {Union, UnionType, list}:
        return next((found for a in get_args(annotation) if (found := _struct_in(a))), None)
    return None
