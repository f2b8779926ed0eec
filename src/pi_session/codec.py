"""Lines of a session file: reading, patching, migration from formats 1 and 2.

Pure functions over bytes. A line that is changed keeps all its other values byte for byte.
Source: session spec, sections 3, 6 and 7.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Container, Iterable
from typing import Any, NamedTuple, cast

import msgspec
from msgspec import Raw, Struct

from pi_ai.json_text import js_json_bytes, parse_json
from pi_ai.types import JsonObject, JsonValue
from pi_session.entries import Entry, SessionHeader

__all__ = (
    "CURRENT_VERSION",
    "ParsedLines",
    "dump_entries",
    "dump_header",
    "entries_from_objects",
    "format_version",
    "migrate_entries",
    "parse_lines",
    "parse_session_entries",
    "patch_line",
    "read_header",
    "split_lines",
)

CURRENT_VERSION = 3
"""The format that is written."""


class ParsedLines(NamedTuple):
    """The lines that are JSON objects, in order, and how many others were not blank."""

    entries: list[Entry]
    malformed: int


class _Head(Struct, rename="camel", gc=False):
    type: str = ""
    id: str = ""
    parent_id: str | None = None
    timestamp: str = ""


_read_head = msgspec.json.Decoder(_Head).decode
_read_fields = msgspec.json.Decoder(dict[str, Raw]).decode


# --- reading ----------------------------------------------------------------------------------


def split_lines(data: bytes) -> list[bytes]:
    """The lines of `data` with their ends; only a line feed ends a line."""
    lines = [line + b"\n" for line in data.split(b"\n")]
    last = lines.pop()[:-1]
    return [*lines, last] if last else lines


def parse_lines(lines: Iterable[bytes]) -> ParsedLines:
    """Index every line that is a JSON object; bodies are checked, but not decoded."""
    entries: list[Entry] = []
    malformed = 0
    for line in lines:
        try:
            head = _read_head(line)
        except (ValueError, RecursionError):
            entry = _parse_odd_line(line)
            if entry is not None:
                entries.append(entry)
            elif line.strip():
                malformed += 1
        else:
            # The handful of types would otherwise be a new string for every line.
            kind = sys.intern(head.type)
            entries.append(Entry(kind, head.id, head.parent_id, head.timestamp, line))
    return ParsedLines(entries, malformed)


def _parse_odd_line(line: bytes) -> Entry | None:
    """Lines with lone surrogates, broken UTF-8, or base keys of another type; else None."""
    try:
        value: JsonValue = parse_json(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    record = cast("JsonObject", value)
    parent = record.get("parentId")
    return Entry(
        _text(record.get("type")),
        _text(record.get("id")),
        parent if isinstance(parent, str) else None,
        _text(record.get("timestamp")),
        line,
    )


def _text(value: JsonValue) -> str:
    return value if isinstance(value, str) else ""


def read_header(entry: Entry) -> SessionHeader | None:
    """The header that `entry` is; None if it is none."""
    if entry.type != "session":
        return None
    record = entry.raw
    if not isinstance(record.get("id"), str):
        return None
    parent = record.get("parentSession")
    return SessionHeader(
        version=record.get("version"),
        id=record["id"],
        timestamp=entry.timestamp,
        cwd=_text(record.get("cwd")),
        parent_session=parent if isinstance(parent, str) else None,
    )


def format_version(header: SessionHeader) -> float:
    """The format as a number: 1 where there is none, the current one where it is no number."""
    version = header.version
    if version is None:
        return 1
    try:
        number = float(version)
    except (TypeError, ValueError, OverflowError):
        return CURRENT_VERSION
    return CURRENT_VERSION if math.isnan(number) else number


def parse_session_entries(text: str) -> list[JsonObject]:
    """The JSON objects of a JSONL text; other lines are skipped and no header is asked for."""
    data = text.strip().encode("utf-8", "surrogatepass")
    return [entry.raw for entry in parse_lines(split_lines(data)).entries]


def entries_from_objects(objects: Iterable[JsonObject | Entry]) -> list[Entry]:
    """Lines for plain dicts, as if they had been read from a file; entries keep their lines.

    Raises TypeError for anything else.
    """
    return parse_lines(map(_line_of, objects)).entries


def _line_of(item: object) -> bytes:
    if isinstance(item, Entry):
        return item.line
    if not isinstance(item, dict):
        raise TypeError(f"entries must be dicts or Entry objects, got {type(item).__name__}")
    return js_json_bytes(cast("JsonObject", item)) + b"\n"


# --- writing ----------------------------------------------------------------------------------


def dump_header(header: SessionHeader) -> bytes:
    """The header's line."""
    return js_json_bytes(msgspec.to_builtins(header)) + b"\n"


def dump_entries(entries: Iterable[Entry]) -> bytes:
    """The lines as they are, each ended."""
    return b"".join(
        entry.line if entry.line.endswith(b"\n") else entry.line + b"\n" for entry in entries
    )


def patch_line(entry: Entry, changes: JsonObject, *, remove: Container[str] = ()) -> Entry:
    """`entry` with other values for some keys of its own; new keys go last.

    All other values keep their text.
    """
    record: dict[str, Any]
    try:
        record = dict(_read_fields(entry.line))
    except (ValueError, RecursionError):  # lone surrogates, broken UTF-8
        record = entry.raw
        record.update(changes)
        line = js_json_bytes({key: record[key] for key in record if key not in remove})
    else:
        record.update({key: _as_raw(value) for key, value in changes.items()})
        line = msgspec.json.encode({key: record[key] for key in record if key not in remove})
    (patched,) = parse_lines([line + b"\n"]).entries
    return patched


def _as_raw(value: JsonValue) -> Raw:
    return value if isinstance(value, Raw) else Raw(js_json_bytes(value))


# --- migration --------------------------------------------------------------------------------


def migrate_entries(
    entries: list[Entry], version: float, new_id: Callable[[Container[str]], str]
) -> list[Entry]:
    """All lines, header included, in the current format; the list itself if nothing changes.

    `new_id` gives an id that is not in the container it is handed. Source: session spec,
    section 7; index 0 means the first entry here.
    """
    if version < 2:
        entries = _add_ids(entries, new_id)
    if version < 3:
        entries = [_rename_hook_role(entry) for entry in entries]
        first = next(index for index, entry in enumerate(entries) if entry.type == "session")
        entries[first] = patch_line(entries[first], {"version": CURRENT_VERSION})
    return entries


def _add_ids(entries: list[Entry], new_id: Callable[[Container[str]], str]) -> list[Entry]:
    """Chain the lines of format 1.

    An id or a parent that is there stays: format 1 has none, so only the version was lost.
    """
    taken = {entry.id for entry in entries}
    id_at: list[str | None] = []
    for entry in entries:
        if entry.type == "session":
            id_at.append(None)
            continue
        entry_id = entry.id or new_id(taken)
        taken.add(entry_id)
        id_at.append(entry_id)
    first = next((entry_id for entry_id in id_at if entry_id is not None), None)
    migrated: list[Entry] = []
    parent: str | None = None
    for index, (entry, entry_id) in enumerate(zip(entries, id_at, strict=True)):
        if entry_id is None:
            migrated.append(entry)
            continue
        record = entry.raw
        changes: JsonObject = {} if entry.id else {"id": entry_id}
        if "parentId" not in record:
            changes["parentId"] = parent
        remove: tuple[str, ...] = ()
        if entry.type == "compaction" and "firstKeptEntryIndex" in record:
            remove = ("firstKeptEntryIndex",)
            kept = _kept_id(record["firstKeptEntryIndex"], index, id_at, first)
            if kept is not None:
                changes["firstKeptEntryId"] = kept
        migrated.append(patch_line(entry, changes, remove=remove) if changes or remove else entry)
        parent = entry_id
    return migrated


def _kept_id(
    kept_index: JsonValue, own_index: int, id_at: list[str | None], first: str | None
) -> str | None:
    """The id that a format 1 compaction means; None where it keeps nothing."""
    if not isinstance(kept_index, int | float) or isinstance(kept_index, bool):
        return None
    if kept_index == 0:
        return first
    if not 0 < kept_index <= own_index or kept_index != int(kept_index):
        return None
    return id_at[int(kept_index)]


def _rename_hook_role(entry: Entry) -> Entry:
    if entry.type != "message" or b"hookMessage" not in entry.line:
        return entry
    message: JsonValue = entry.raw.get("message")
    if not isinstance(message, dict):
        return entry
    record = cast("JsonObject", message)
    if record.get("role") != "hookMessage":
        return entry
    try:
        fields: dict[str, Any] = _read_fields(_read_fields(entry.line)["message"])
    except (ValueError, RecursionError):
        return patch_line(entry, {"message": {**record, "role": "custom"}})
    fields["role"] = "custom"
    return patch_line(entry, {"message": Raw(msgspec.json.encode(fields))})
