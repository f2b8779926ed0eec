"""What the model sees of a branch: compactions, context edits and summaries resolved.

Pure functions over lists of entries; `ProjectionCache` extends a result instead of rebuilding it.
Source: session spec, section 10.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from msgspec import UNSET, Struct, UnsetType

from pi_ai.transcript import get_current_system_message
from pi_ai.types import AssistantMessage, SystemMessage
from pi_session.collector import paused_collector
from pi_session.entries import (
    BranchSummaryEntry,
    CompactionEntry,
    ContextEditEntry,
    CustomMessageEntry,
    Entry,
    MessageEntry,
    ModelChangeEntry,
    ThinkingLevelChangeEntry,
)
from pi_session.locations import parse_timestamp
from pi_session.messages import (
    BranchSummaryMessage,
    CompactionSummaryMessage,
    CustomMessage,
    SessionMessage,
)

__all__ = (
    "ProjectedEntry",
    "Projection",
    "ProjectionCache",
    "SessionContext",
    "SessionModel",
    "build_context_entries",
    "build_projection",
    "build_session_context",
    "build_transcript",
    "find_branch",
    "replay_system_messages",
    "walk_path",
)


class SessionModel(NamedTuple):
    """The model that a branch last used or chose."""

    provider: str
    model_id: str


class ProjectedEntry(NamedTuple):
    """An entry of the context and the messages it contributes, often none."""

    entry: Entry
    messages: tuple[SessionMessage, ...]


class SessionContext(Struct):
    """What a request is made from. The messages are shared: do not change them."""

    messages: list[SessionMessage]
    thinking_level: str
    model: SessionModel | None


class Projection(Struct):
    """A context together with the entries that its messages come from."""

    entries: list[ProjectedEntry]
    messages: list[SessionMessage]
    thinking_level: str = "off"
    model: SessionModel | None = None


# --- the path ---------------------------------------------------------------------------------


def walk_path(by_id: Mapping[str, Entry], leaf_id: str | None) -> list[Entry]:
    """Root to leaf. Ends silently at a missing parent, and where a cycle closes."""
    path: list[Entry] = []
    visited: set[str] = set()
    current = by_id.get(leaf_id) if leaf_id is not None else None
    while current is not None and current.id not in visited:
        visited.add(current.id)
        path.append(current)
        current = by_id.get(current.parent_id) if current.parent_id is not None else None
    path.reverse()
    return path


def find_branch(entries: Iterable[Entry], leaf_id: str | UnsetType | None = UNSET) -> list[Entry]:
    """The path to `leaf_id`: none for None, to the last entry if not given or unknown."""
    by_id = {entry.id: entry for entry in entries if entry.id}
    if leaf_id is UNSET or (leaf_id is not None and leaf_id not in by_id):
        leaf_id = [entry.id for entry in entries if entry.id][-1] if by_id else None
    return walk_path(by_id, leaf_id)


# --- the projection ---------------------------------------------------------------------------


def build_context_entries(path: Sequence[Entry]) -> list[Entry]:
    """The entries that make up the context: the last compaction first, what it kept, the rest."""
    at = len(path) - 1
    while at >= 0 and path[at].type != "compaction":
        at -= 1
    if at < 0:
        return list(path)
    compaction = path[at]
    view = compaction.view
    kept_id = view.first_kept_entry_id if isinstance(view, CompactionEntry) else None
    start = at
    if kept_id is not None:
        start = next((index for index in range(at) if path[index].id == kept_id), at)
    kept = [entry for entry in path[start:at] if entry.role != "system"]
    return [compaction, *kept, *path[at + 1 :]]


def build_projection(path: Sequence[Entry]) -> Projection:
    """What the model sees at the end of `path`, entry by entry."""
    selected = build_context_entries(path)
    edits: dict[str, ContextEditEntry] = {}
    for entry in selected:
        if entry.type == "context_edit" and isinstance(edit := entry.view, ContextEditEntry):
            edits[edit.target_id] = edit
    projection = Projection([], [])
    with paused_collector():
        for index, entry in enumerate(selected):
            messages = _entry_messages(entry, first=index == 0)
            if entry.id in edits:
                messages = _edited(entry, messages, edits[entry.id])
            projection.entries.append(ProjectedEntry(entry, messages))
            projection.messages.extend(messages)
    _find_settings(projection, path)
    return projection


def build_session_context(
    entries: Sequence[Entry], leaf_id: str | UnsetType | None = UNSET
) -> SessionContext:
    """Messages, thinking level and model at `leaf_id`, which `find_branch` explains."""
    projection = build_projection(find_branch(entries, leaf_id))
    return SessionContext(projection.messages, projection.thinking_level, projection.model)


def build_transcript(path: Iterable[Entry]) -> list[SessionMessage]:
    """Every message of `path` as it was stored, whatever was compacted or edited later.

    Compaction summaries are left out: what they stand for is there itself.
    """
    with paused_collector():
        return [message for entry in path for message in _entry_messages(entry, first=False)]


def replay_system_messages(messages: Iterable[SessionMessage]) -> SystemMessage | None:
    """One system message for all in a projection; None if there is none."""
    return get_current_system_message(
        [message for message in messages if isinstance(message, SystemMessage)]
    )


def _entry_messages(entry: Entry, *, first: bool) -> tuple[SessionMessage, ...]:
    view = entry.view
    if isinstance(view, MessageEntry):  # nearly all are, and matching classes takes longer
        return (view.message,)
    match view:
        case CustomMessageEntry():
            return (
                CustomMessage(
                    custom_type=view.custom_type,
                    content=view.content,
                    display=view.display,
                    details=view.details,
                    timestamp=_time_ms(entry),
                ),
            )
        case BranchSummaryEntry(summary=summary, from_id=from_id) if summary:
            return (
                BranchSummaryMessage(summary=summary, from_id=from_id, timestamp=_time_ms(entry)),
            )
        case CompactionEntry() if first:
            summary = CompactionSummaryMessage(
                summary=view.summary, tokens_before=view.tokens_before, timestamp=_time_ms(entry)
            )
            return (view.system_message, summary) if view.system_message else (summary,)
        case _:
            return ()


def _edited(
    entry: Entry, messages: tuple[SessionMessage, ...], edit: ContextEditEntry
) -> tuple[SessionMessage, ...]:
    if edit.replacement is None:
        return ()
    if not messages or messages[0].role not in {"user", "assistant", "toolResult", "custom"}:
        return messages
    content = edit.replacement.get("content")
    if isinstance(content, str) and messages[0].role in {"assistant", "toolResult"}:
        content = [{"type": "text", "text": content}]
    message = entry.message_with_content(content)
    if message is None:
        return messages
    if isinstance(message, CustomMessage) and entry.type == "custom_message":
        message.timestamp = _time_ms(entry)
    return (message,)


def _time_ms(entry: Entry) -> int:
    return parse_timestamp(entry.timestamp) or 0


# --- settings ---------------------------------------------------------------------------------


def _find_settings(projection: Projection, path: Sequence[Entry]) -> None:
    """Set level and model from the whole path; reads it backwards, as the last one counts."""
    level: str | None = None
    model: SessionModel | None = None
    for entry in reversed(path):
        if level is None:
            level = _level_of(entry)
        if model is None:
            model = _model_of(entry)
        if level is not None and model is not None:
            break
    projection.thinking_level = level or "off"
    projection.model = model


def _level_of(entry: Entry) -> str | None:
    if entry.type != "thinking_level_change":
        return None
    view = entry.view
    return view.thinking_level if isinstance(view, ThinkingLevelChangeEntry) else None


def _model_of(entry: Entry) -> SessionModel | None:
    if entry.type not in {"message", "model_change"}:
        return None
    match entry.view:
        case ModelChangeEntry(provider=provider, model_id=model_id):
            return SessionModel(provider, model_id)
        case MessageEntry(message=AssistantMessage(provider=provider, model=model_id)):
            return SessionModel(provider, model_id)
        case _:
            return None


class ProjectionCache:
    """The projection of a growing path. `clear()` when the path changes in any other way."""

    __slots__ = ("_covered", "_projection")

    def __init__(self) -> None:
        self._projection: Projection | None = None
        self._covered = 0

    def clear(self) -> None:
        """Forget everything."""
        self._projection = None
        self._covered = 0

    def update(self, path: Sequence[Entry]) -> Projection:
        """The projection of `path`; the caller must not change it.

        Entries behind the last call's are added one by one, unless a compaction or context edit
        among them changes what came before.
        """
        projection = self._projection
        new = path[self._covered :]
        self._covered = len(path)
        if projection is None or any(e.type in {"compaction", "context_edit"} for e in new):
            projection = self._projection = build_projection(path)
            return projection
        for entry in new:
            messages = _entry_messages(entry, first=False)
            projection.entries.append(ProjectedEntry(entry, messages))
            projection.messages.extend(messages)
            projection.thinking_level = _level_of(entry) or projection.thinking_level
            projection.model = _model_of(entry) or projection.model
        return projection
