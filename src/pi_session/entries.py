"""The lines of a session: `Entry` keeps a line as it is, `Entry.view` reads it as a typed struct.

A view is decoded when first looked at. Unknown keys and types live on in the line.
Source: session spec, sections 4 and 5.
"""

from __future__ import annotations

import uuid
from collections.abc import Container, Iterable
from contextlib import suppress
from typing import ClassVar, Literal, TypeAlias, cast

from msgspec import UNSET, Struct, UnsetType, field

from pi_ai.json_text import parse_json
from pi_ai.types import JsonObject, JsonValue, SystemMessage, Usage, UserContent, Wire, now_ms
from pi_ai.wire import decoder_for, encode
from pi_session.messages import SessionMessage, no_content
from pi_session.salvage import convert, read_message, salvage

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
    _message: SessionMessage | None = None

    @classmethod
    def of(cls, view: KnownEntry) -> Entry:
        """A new line for `view`. Raises TypeError for values that are no JSON."""
        return cls(view.type, view.id, view.parent_id, view.timestamp, encode(view) + b"\n")

    def __repr__(self) -> str:
        return f"<Entry {self.type} {self.id}>"

    @staticmethod
    def read_messages(entries: Iterable[Entry]) -> None:
        """Decode the messages of `entries` ahead of their use; odd ones are left to `message`."""
        decode = decoder_for(_MessageLine).decode
        started = now_ms()
        for entry in entries:
            if entry.type == "message" and entry._message is None and entry._view is None:
                try:
                    message = decode(entry.line).message
                except (ValueError, RecursionError):
                    continue
                if message.timestamp < started:
                    entry._message = message

    @property
    def raw(self) -> JsonObject:
        """The line as a fresh dict, unknown keys included."""
        return cast("JsonObject", parse_json(self.line))

    @property
    def view(self) -> EntryView:
        """The line as a typed struct, read leniently; `UnknownEntry` if it cannot be read."""
        if self._view is None:
            message = self.message
            if message is not None:
                self._view = MessageEntry(
                    id=self.id, parent_id=self.parent_id, timestamp=self.timestamp, message=message
                )
            elif self._view is None:
                self._view = self._read()
        return self._view

    @property
    def message(self) -> SessionMessage | None:
        """The message of a `message` entry; None for other types and for what cannot be read.

        The same object that `view` holds, at less cost.
        """
        if self._message is None and self._view is None and self.type == "message":
            self._message = _decode_message(self.line)
            if self._message is None:
                view = self._view = self._read_leniently()
                self._message = view.message if isinstance(view, MessageEntry) else None
        return self._message

    @property
    def role(self) -> str | None:
        """The message's role; None for entries that are no message."""
        if self.type != "message":
            return None
        if (found := self.message) is not None:
            return found.role
        view = self.view
        message = view.raw.get("message") if isinstance(view, UnknownEntry) else None
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
        return read_message({**cast("JsonObject", source), "content": content}, self.timestamp)

    def _read(self) -> EntryView:
        with suppress(ValueError, RecursionError):
            return decoder_for(KnownEntry).decode(self.line)
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
            message = read_message(raw.get("message"), self.timestamp)
            if message is not None:
                return MessageEntry(
                    id=self.id, parent_id=self.parent_id, timestamp=self.timestamp, message=message
                )
        elif kind is not None:
            found = convert(salvage({**raw, **base}, kind), kind)
            if found is not None:
                return found
        return UnknownEntry(
            type=self.type,
            id=self.id,
            parent_id=self.parent_id,
            timestamp=self.timestamp,
            raw=raw,
        )


class _MessageLine(Struct, gc=False):
    """All that is wanted of a `message` line: its base keys are known."""

    message: SessionMessage


class _Time(Struct, gc=False):
    timestamp: int | UnsetType = UNSET


class _TimeLine(Struct, gc=False):
    message: _Time


def _decode_message(line: bytes) -> SessionMessage | None:
    """The message of a line that is as it should be."""
    started = now_ms()
    try:
        message = decoder_for(_MessageLine).decode(line).message
        # One without a time of its own has got the present one.
        if message.timestamp >= started:
            own = decoder_for(_TimeLine).decode(line).message.timestamp
            return None if own is UNSET else message
    except (ValueError, RecursionError):
        return None
    return message


_KINDS: dict[str, type[KnownEntry]] = {kind.type: kind for kind in KnownEntry.__args__}
