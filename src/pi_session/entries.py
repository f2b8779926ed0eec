"""The lines of a session: `Entry` keeps a line as it is, `Entry.view` reads it as a typed struct.

A view is decoded when first looked at. Unknown keys and types live on in the line.
Source: session spec, sections 4 and 5.
"""

from __future__ import annotations

import uuid
from collections.abc import Container, Iterator
from contextlib import suppress
from functools import cache
from typing import Any, ClassVar, Literal, TypeAlias, cast, get_args

import msgspec
from msgspec import UNSET, Struct, UnsetType, field

from pi_ai.json_text import parse_json
from pi_ai.types import JsonObject, JsonValue, SystemMessage, Usage, UserContent, Wire
from pi_ai.wire import encode, from_json_value
from pi_session.locations import parse_timestamp
from pi_session.messages import SessionMessage, no_content

__all__ = (
    "BranchSummaryEntry",
    "CompactionEntry",
    "ContextEditEntry",
    "CustomEntry",
    "CustomMessageEntry",
    "Entry",
    "EntryBase",
    "EntryView",
    "KnownEntry",
    "LabelEntry",
    "MessageEntry",
    "ModelChangeEntry",
    "SessionHeader",
    "SessionInfoEntry",
    "ThinkingLevelChangeEntry",
    "UnknownEntry",
    "UsageEntry",
    "new_entry_id",
)


def new_entry_id(taken: Container[str]) -> str:
    """Eight random hex digits that are not in `taken`; a whole UUID if chance is against it."""
    for _ in range(100):
        candidate = uuid.uuid4().hex[:8]
        if candidate not in taken:
            return candidate
    return str(uuid.uuid4())


class SessionHeader(Wire, tag_field="type", tag="session", kw_only=True):
    """The first line. `timestamp` is ISO 8601, `cwd` "" in some old files.

    `parent_session` is the path of the session this one came from; it need not exist.
    """

    type: ClassVar[Literal["session"]] = "session"
    version: JsonValue = None
    id: str
    timestamp: str = field(default_factory=str)
    cwd: str = field(default_factory=str)
    parent_session: str | None = None


# --- typed views ------------------------------------------------------------------------------


def _no_parent() -> str | None:
    """A factory, since a plain default None would leave `parentId` out of the line."""
    return None


class EntryBase(Wire, tag_field="type"):
    """What every entry has; `timestamp` is the ISO 8601 time of the append."""

    id: str = field(default_factory=str)
    parent_id: str | None = field(default_factory=_no_parent)
    timestamp: str = field(default_factory=str)


class MessageEntry(EntryBase, tag="message", kw_only=True):
    """A message of the transcript, or a shell command that the user ran."""

    type: ClassVar[Literal["message"]] = "message"
    message: SessionMessage


class ModelChangeEntry(EntryBase, tag="model_change", kw_only=True):
    """From here on this model answers."""

    type: ClassVar[Literal["model_change"]] = "model_change"
    provider: str
    model_id: str


class ThinkingLevelChangeEntry(EntryBase, tag="thinking_level_change", kw_only=True):
    """From here on the model thinks at this level."""

    type: ClassVar[Literal["thinking_level_change"]] = "thinking_level_change"
    thinking_level: str


class UsageEntry(EntryBase, tag="usage", kw_only=True):
    """A billed call that is no message, such as `cache_warm`."""

    type: ClassVar[Literal["usage"]] = "usage"
    kind: str
    provider: str
    model: str
    usage: Usage
    note: str | None = None


class CompactionEntry(EntryBase, tag="compaction", kw_only=True):
    """The history before is replaced by `summary`.

    `first_kept_entry_id` is the first entry that stays verbatim; the entry's own id, None or an
    unknown id keep nothing. `system_message` replays prompt and tools at the boundary. `usage` is
    what the summary cost.
    """

    type: ClassVar[Literal["compaction"]] = "compaction"
    summary: str
    first_kept_entry_id: str | None = None
    tokens_before: int | float = field(default_factory=int)
    details: JsonValue | UnsetType = UNSET
    usage: Usage | None = None
    from_hook: bool | None = None
    system_message: SystemMessage | None = None


class BranchSummaryEntry(EntryBase, tag="branch_summary", kw_only=True):
    """What happened on a branch that was left at `from_id` (informational; `root` for none)."""

    type: ClassVar[Literal["branch_summary"]] = "branch_summary"
    from_id: str = field(default_factory=str)
    summary: str = field(default_factory=str)
    details: JsonValue | UnsetType = UNSET
    usage: Usage | None = None
    from_hook: bool | None = None


class ContextEditEntry(EntryBase, tag="context_edit", kw_only=True):
    """Changes what the model sees of `target_id`: None omits it, else its content is replaced."""

    type: ClassVar[Literal["context_edit"]] = "context_edit"
    target_id: str
    replacement: JsonObject | None


class CustomEntry(EntryBase, tag="custom", kw_only=True):
    """Private state of a host; no part of the context."""

    type: ClassVar[Literal["custom"]] = "custom"
    custom_type: str
    data: JsonValue | UnsetType = UNSET


class CustomMessageEntry(EntryBase, tag="custom_message", kw_only=True):
    """A message that a host injected; the model sees it as the user's."""

    type: ClassVar[Literal["custom_message"]] = "custom_message"
    custom_type: str
    content: str | list[UserContent] = field(default_factory=no_content)
    display: bool = field(default_factory=bool)
    details: JsonValue | UnsetType = UNSET


class LabelEntry(EntryBase, tag="label", kw_only=True):
    """A bookmark on `target_id`; None or "" removes it."""

    type: ClassVar[Literal["label"]] = "label"
    target_id: str
    label: str | None = None


class SessionInfoEntry(EntryBase, tag="session_info", kw_only=True):
    """The session's display name; None or blank clears it."""

    type: ClassVar[Literal["session_info"]] = "session_info"
    name: str | None = None


class UnknownEntry(Struct, kw_only=True):
    """A type that this version does not know, or one whose own keys cannot be read."""

    type: str
    id: str
    parent_id: str | None
    timestamp: str
    raw: JsonObject


KnownEntry: TypeAlias = (
    MessageEntry
    | ModelChangeEntry
    | ThinkingLevelChangeEntry
    | UsageEntry
    | CompactionEntry
    | BranchSummaryEntry
    | ContextEditEntry
    | CustomEntry
    | CustomMessageEntry
    | LabelEntry
    | SessionInfoEntry
)
EntryView: TypeAlias = KnownEntry | UnknownEntry


# --- the line and its view --------------------------------------------------------------------


class Entry(Struct, gc=False, eq=False):
    """One line: what the tree needs, and the line's bytes with its own keys.

    `id` is "" for a line without one, which has no place in the tree. Views and messages are
    shared by all who look at them, so they must not be changed.
    """

    type: str
    id: str
    parent_id: str | None
    timestamp: str
    line: bytes
    _view: EntryView | None = None

    @classmethod
    def of(cls, view: KnownEntry) -> Entry:
        """A new line for `view`. Raises TypeError for values that are no JSON."""
        return cls(view.type, view.id, view.parent_id, view.timestamp, encode(view) + b"\n")

    def __repr__(self) -> str:
        return f"<Entry {self.type} {self.id}>"

    @property
    def raw(self) -> JsonObject:
        """The line as a fresh dict, unknown keys included."""
        return cast("JsonObject", parse_json(self.line))

    @property
    def view(self) -> EntryView:
        """The line as a typed struct, read leniently; `UnknownEntry` if it cannot be read."""
        if self._view is None:
            self._view = self._read()
        return self._view

    @property
    def message(self) -> SessionMessage | None:
        """The message of a `message` entry; None for other entries, and if it cannot be read."""
        view = self.view if self.type == "message" else None
        return view.message if isinstance(view, MessageEntry) else None

    @property
    def role(self) -> str | None:
        """The message's role; None for entries that are no message."""
        if self.type != "message":
            return None
        view = self.view
        if isinstance(view, MessageEntry):
            return view.message.role
        message = self.raw.get("message")
        role = cast("JsonObject", message).get("role") if isinstance(message, dict) else None
        return role if isinstance(role, str) else None

    def message_with_content(self, content: JsonValue) -> SessionMessage | None:
        """The entry's message with other content and all else unchanged; None if it has none."""
        raw = self.raw
        if self.type == "custom_message":
            source: JsonValue = {**raw, "role": "custom"}
            source.pop("timestamp", None)
        else:
            source = raw.get("message")
        if not isinstance(source, dict):
            return None
        return _read_message({**cast("JsonObject", source), "content": content}, self.timestamp)

    def _read(self) -> EntryView:
        # A message without a time of its own would get the present one.
        if self.type != "message" or self.line.count(b'"timestamp":') > 1:
            with suppress(ValueError, RecursionError):
                return _known_entries().decode(self.line)
        return self._read_leniently()

    def _read_leniently(self) -> EntryView:
        try:
            raw = self.raw
        except (ValueError, RecursionError):
            raw = {"type": self.type, "id": self.id}
        base: JsonObject = {
            "id": self.id,
            "parentId": self.parent_id,
            "timestamp": self.timestamp,
        }
        kind = _KINDS.get(self.type)
        if kind is MessageEntry:
            message = _read_message(raw.get("message"), self.timestamp)
            if message is not None:
                return MessageEntry(
                    id=self.id, parent_id=self.parent_id, timestamp=self.timestamp, message=message
                )
        elif kind is not None:
            found = _convert(_salvage({**raw, **base}, kind), kind)
            if found is not None:
                return found
        return UnknownEntry(
            type=self.type,
            id=self.id,
            parent_id=self.parent_id,
            timestamp=self.timestamp,
            raw=raw,
        )


@cache
def _known_entries() -> msgspec.json.Decoder[KnownEntry]:
    """Made when a body is first read: it costs a few milliseconds."""
    return msgspec.json.Decoder(KnownEntry)


_KINDS: dict[str, type[KnownEntry]] = {kind.type: kind for kind in KnownEntry.__args__}
_ROLES: dict[str, type[Struct]] = {kind.role: kind for kind in SessionMessage.__args__}


def _convert(value: JsonValue, kind: Any) -> Any:
    try:
        return from_json_value(value, kind)
    except (ValueError, RecursionError):
        return None


def _read_message(value: JsonValue, entry_timestamp: str) -> SessionMessage | None:
    """A stored message, without the parts that cannot be read; None if it is no message.

    A message without a readable time of its own has that of its entry.
    """
    if not isinstance(value, dict):
        return None
    record = cast("JsonObject", value)
    found = _convert(record, SessionMessage) if "timestamp" in record else None
    if found is None:
        kind = _ROLES.get(str(record.get("role")))
        if kind is not None:
            kept = _salvage(record, kind)
            kept.setdefault("timestamp", parse_timestamp(entry_timestamp) or 0)
            found = _convert(kept, kind)
    return found


def _salvage(record: JsonObject, kind: type[Struct]) -> JsonObject:
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
            kept = _salvage(record, struct)
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
