"""Reading records that are damaged, or that other programs wrote differently, as far as they go."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast, get_args

import msgspec
from msgspec import UNSET, Struct

from pi_ai.types import JsonObject, JsonValue
from pi_ai.wire import from_json_value
from pi_session.locations import parse_timestamp
from pi_session.messages import SessionMessage

__all__ = ("convert", "read_message", "salvage")

_ROLES: dict[str, type[Struct]] = {kind.role: kind for kind in SessionMessage.__args__}


def convert(value: JsonValue, kind: Any) -> Any:
    """`value` as `kind`, None if it does not fit."""
    try:
        return from_json_value(value, kind)
    except (ValueError, RecursionError):
        return None


def read_message(value: JsonValue, entry_timestamp: str) -> SessionMessage | None:
    """A stored message, without the parts that cannot be read; None if it is no message.

    A message without a readable time of its own has that of its entry.
    """
    if not isinstance(value, dict):
        return None
    record = cast("JsonObject", value)
    found = convert(record, SessionMessage) if "timestamp" in record else None
    if found is None:
        kind = _ROLES.get(str(record.get("role")))
        if kind is not None:
            kept = salvage(record, kind)
            kept.setdefault("timestamp", parse_timestamp(entry_timestamp) or 0)
            found = convert(kept, kind)
    return found


def salvage(record: JsonObject, kind: type[Struct]) -> JsonObject:
    """What of `record` can be read as `kind`, key by key."""
    config = kind.__struct_config__
    kept: JsonObject = {} if config.tag is None else {str(config.tag_field): config.tag}
    for info in msgspec.structs.fields(kind):
        if info.encode_name in record:
            value = _mended(record[info.encode_name], info.type)
            if value is not UNSET:
                kept[info.encode_name] = value
    return kept


def _mended(value: Any, kind: Any) -> Any:
    """`value`, or what of it fits `kind`; UNSET if nothing does.

    Other programs write whole numbers as 10.0, and null where there is nothing to say.
    """
    if _fits(value, kind):
        return value
    if isinstance(value, float) and abs(value) < 2**53 and _fits(_whole(value), kind):
        return _whole(value)
    if isinstance(value, list):
        items = [_mended_item(item, kind) for item in cast("list[Any]", value)]
        return [item for item in items if item is not UNSET]
    if isinstance(value, dict):
        return _salvaged_struct(cast("JsonObject", value), kind)
    return UNSET


def _whole(value: float) -> float:
    return int(value) if value.is_integer() else value


def _mended_item(item: Any, kind: Any) -> Any:
    """As `_mended`, for an item of a list of `kind`."""
    if _fits([item], kind):
        return item
    return _salvaged_struct(cast("JsonObject", item), kind) if isinstance(item, dict) else UNSET


def _salvaged_struct(record: JsonObject, kind: Any) -> Any:
    """What of an object can be read as the struct in `kind` that it is meant to be."""
    for struct in _structs_in(kind):
        tag = struct.__struct_config__.tag
        if tag is None or record.get(str(struct.__struct_config__.tag_field)) == tag:
            kept = salvage(record, struct)
            if _fits(kept, struct):
                return kept
    return UNSET


def _structs_in(kind: Any) -> Iterator[type[Struct]]:
    if isinstance(kind, type) and issubclass(kind, Struct):
        yield kind
    for part in get_args(kind):
        yield from _structs_in(part)


def _fits(value: JsonValue, kind: Any) -> bool:
    try:
        from_json_value(value, kind)
    except (ValueError, RecursionError):
        return False
    return True
