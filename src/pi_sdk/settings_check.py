"""From what a settings file says to what can be used of it.

A key with a bad value is left out, so that the layer below or the default counts, and is named.
Keys that are not known are passed over. Source: sdk spec, sections 4.1 and 4.2.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, cast, get_args, get_origin

import msgspec
from msgspec import Struct

from pi_ai import JsonObject, JsonValue
from pi_ai.json_text import js_json
from pi_sdk.settings_types import Settings

__all__ = ("GLOBAL_ONLY", "CheckedSettings", "check_settings", "find_unknown_key", "merge_settings")

GLOBAL_ONLY = frozenset({"cacheWarming", "defaultProjectTrust", "httpProxy"})
"""What a project may not decide."""

_TIMEOUTS = frozenset({"httpIdleTimeoutMs", "websocketConnectTimeoutMs"})
_NO_LIMIT = "disabled"
_SHOWN_CHARACTERS = 60
_WORDS: dict[Any, str] = {
    str: "a string",
    bool: "true or false",
    int: "a whole number of at least 0",
    float: "a number of at least 0",
    list[str]: "a list of strings",
}


class CheckedSettings(NamedTuple):
    """The keys that can be used, as in the file, and what is wrong with others: a text each."""

    values: JsonObject
    problems: list[str]


def check_settings(raw: Mapping[str, JsonValue], *, project: bool = False) -> CheckedSettings:
    """What can be used of one layer, older spellings of keys included."""
    problems: list[str] = []
    told = _migrated(raw)
    if project:
        for name in sorted(GLOBAL_ONLY & told.keys()):
            problems.append(f"{name}: only the user's own settings may say this")
            del told[name]
    return CheckedSettings(_check_object(Settings, told, "", problems), problems)


def merge_settings(base: JsonObject, over: JsonObject) -> JsonObject:
    """`base` with `over` on top: objects are merged, everything else is replaced.

    A `defaultTools` of nothing but `+name` and `-name` goes behind the list below it.
    """
    merged = _merged(base, over)
    below, above = base.get("defaultTools"), over.get("defaultTools")
    if isinstance(below, list) and isinstance(above, list) and above:
        # Both are lists of strings, or the check would have left them out.
        entries = cast("list[str]", above)
        if all(entry[:1] in {"+", "-"} for entry in entries):
            merged["defaultTools"] = [*cast("list[str]", below), *entries]
    return merged


def find_unknown_key(keys: tuple[str, ...]) -> str | None:
    """What is wrong with the path of a setting, None if there is such a one."""
    kind: Any = Settings
    for depth, key in enumerate(keys):
        path = ".".join(keys[: depth + 1])
        if get_origin(kind) is dict:
            kind = get_args(kind)[1]
        elif _is_group(kind):
            fields = {field.encode_name: field.type for field in msgspec.structs.fields(kind)}
            if key not in fields:
                from difflib import get_close_matches  # for error texts only

                close = get_close_matches(key, fields, n=1)
                hint = f". Did you mean {close[0]}?" if close else ""
                return f"{path}: no such setting{hint}"
            kind = fields[key]
        else:
            return f"{path}: no such setting, as {'.'.join(keys[:depth])} has no parts"
    return None if keys else "a setting needs a name"


# --- one object -------------------------------------------------------------------------------


def _check_object(
    kind: type[Struct], told: Mapping[str, JsonValue], where: str, problems: list[str]
) -> JsonObject:
    values: JsonObject = {}
    for field in msgspec.structs.fields(kind):
        path = f"{where}{field.encode_name}"
        checked = _check_value(field.type, told.get(field.encode_name), path, problems)
        if checked is not None:
            values[field.encode_name] = checked
    return values


def _check_value(kind: Any, value: JsonValue, path: str, problems: list[str]) -> JsonValue:
    """The value if it can be used, else None and a problem. Null is as if nothing was said."""
    if value is None:
        return None
    if _is_group(kind) or get_origin(kind) is dict:
        if not isinstance(value, dict):
            problems.append(_problem(path, "an object", value))
            return None
        entries = cast("JsonObject", value)
        if _is_group(kind):
            return _check_object(kind, entries, f"{path}.", problems)
        entry_kind = get_args(kind)[1]
        checked = {
            name: _check_value(entry_kind, entry, f"{path}.{name}", problems)
            for name, entry in entries.items()
        }
        return {name: entry for name, entry in checked.items() if entry is not None}
    if path in _TIMEOUTS:
        value, told = _milliseconds(value), value
        if value is None:
            problems.append(_problem(path, f'milliseconds or "{_NO_LIMIT}"', told))
        return value
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        problems.append(_problem(path, _expected(kind), value))
        return None
    return value


def _milliseconds(value: JsonValue) -> float | None:
    if value == _NO_LIMIT:
        return 0
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _is_group(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Struct)


def _problem(path: str, expected: str, found: JsonValue) -> str:
    shown = js_json(found)
    if len(shown) > _SHOWN_CHARACTERS:
        shown = f"{shown[:_SHOWN_CHARACTERS]}..."
    return f"{path}: expected {expected}, found {shown}"


def _expected(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return f"one of {', '.join(get_args(kind))}"
    if kind in _WORDS:
        return _WORDS[kind]
    # The type before None, and before what limits it.
    return _expected(get_args(kind)[0])


# --- layers -----------------------------------------------------------------------------------


def _merged(base: JsonObject, over: JsonObject) -> JsonObject:
    merged = {**base}
    for name, value in over.items():
        below = merged.get(name)
        if isinstance(below, dict) and isinstance(value, dict):
            value = _merged(cast("JsonObject", below), cast("JsonObject", value))
        merged[name] = value
    return merged


def _migrated(raw: Mapping[str, JsonValue]) -> JsonObject:
    """A copy in which keys of older versions have their names of today."""
    told = {**raw}
    if "queueMode" in told:
        told.setdefault("steeringMode", told.pop("queueMode"))
    sockets = told.get("websockets")
    if isinstance(sockets, bool):
        told.setdefault("transport", "websocket" if sockets else "sse")
    retry = told.get("retry")
    if isinstance(retry, dict) and "maxDelayMs" in retry:
        retry = {**cast("JsonObject", retry)}
        delay = retry.pop("maxDelayMs")
        provider = retry.get("provider", {})
        if isinstance(provider, dict):
            retry["provider"] = {"maxRetryDelayMs": delay, **cast("JsonObject", provider)}
        told["retry"] = retry
    return told
