"""What the model sees of a branch: compactions, context edits and summaries resolved.

Pure functions over lists of entries; `ProjectionCache` extends a result instead of rebuilding it.
Source: session spec, section 10.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

from msgspec import UNSET, Struct, UnsetType

from pi_ai.transcript import get_current_system_message
from pi_ai.types import AssistantMessage, SystemMessage
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


_MODEL_TYPES = frozenset({"message", "model_change"})
_REBUILDING_TYPES = frozenset({"compaction", "context_edit"})


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
    current = leaf_id
    while current is not None and (entry := by_id.get(current)) is not None:
        path.append(entry)
        current = entry.parent_id
        if len(path) > len(by_id):  # only a cycle has more steps than there are entries
            del path[_cycle_length(path) :]
            break
    path.reverse()
    return path


def _cycle_length(path: Sequence[Entry]) -> int:
    """How many steps there are before one that was taken already."""
    visited: set[str] = set()
    for entry in path:
        if entry.id in visited:
            break
        visited.add(entry.id)
    return len(visited)


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
    return ProjectionCache().projection(path)


def build_session_context(
    entries: Sequence[Entry], leaf_id: str | UnsetType | None = UNSET
) -> SessionContext:
    """Messages, thinking level and model at `leaf_id`, which `find_branch` explains."""
    return ProjectionCache().context(find_branch(entries, leaf_id))


def build_transcript(path: Iterable[Entry]) -> list[SessionMessage]:
    """Every message of `path` as it was stored, whatever was compacted or edited later.

    Compaction summaries are left out: what they stand for is there itself.
    """
    Entry.read_messages(path)
    return [message for entry in path for message in _entry_messages(entry, first=False)]


def replay_system_messages(messages: Iterable[SessionMessage]) -> SystemMessage | None:
    """One system message for all in a projection; None if there is none."""
    return get_current_system_message(
        [message for message in messages if isinstance(message, SystemMessage)]
    )


def _find_edits(selected: Iterable[Entry]) -> dict[str, ContextEditEntry]:
    """The last edit of each target."""
    return {
        edit.target_id: edit
        for entry in selected
        if entry.type == "context_edit" and isinstance(edit := entry.view, ContextEditEntry)
    }


def _entry_messages(entry: Entry, *, first: bool) -> tuple[SessionMessage, ...]:
    match entry.view:
        case MessageEntry(message=message):
            return (message,)
        case CustomMessageEntry() as view:
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
        case CompactionEntry() as view if first:
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
    return messages if message is None else (message,)


def _time_ms(entry: Entry) -> int:
    return parse_timestamp(entry.timestamp) or 0


# --- settings ---------------------------------------------------------------------------------


def _find_settings(path: Sequence[Entry]) -> tuple[str | None, SessionModel | None]:
    """Level and model of the whole path; reads it backwards, as the last one counts."""
    level: str | None = None
    model: SessionModel | None = None
    for entry in reversed(path):
        if level is None and entry.type == "thinking_level_change":
            level = _level_of(entry)
        elif model is None and entry.type in _MODEL_TYPES:
            model = _model_of(entry)
        if level is not None and model is not None:
            break
    return level, model


def _level_of(entry: Entry) -> str | None:
    view = entry.view
    return view.thinking_level if isinstance(view, ThinkingLevelChangeEntry) else None


def _model_of(entry: Entry) -> SessionModel | None:
    if entry.type == "message":
        message = entry.message
        if isinstance(message, AssistantMessage):
            return SessionModel(message.provider, message.model)
        return None
    view = entry.view
    return (
        SessionModel(view.provider, view.model_id) if isinstance(view, ModelChangeEntry) else None
    )


# --- keeping it -------------------------------------------------------------------------------


class ProjectionCache:
    """The projection of a growing path. `clear()` when the path changes in any other way.

    It holds the messages and how many of them each entry has; the pairs of entry and messages
    are made when asked for, as requests need the messages alone.
    """

    __slots__ = ("_context", "_counts", "_covered", "_selected")

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._context = SessionContext([], "off", None)
        self._selected: list[Entry] = []
        self._counts = bytearray()
        self._covered = 0

    def context(self, path: Sequence[Entry]) -> SessionContext:
        """What the model sees at the end of `path`; the caller must not change it.

        Entries behind the last call's are added one by one, unless a compaction or context edit
        among them changes what came before.
        """
        new = path[self._covered :]
        if not new:
            return self._context
        if self._covered and any(entry.type in _REBUILDING_TYPES for entry in new):
            self.clear()
            new = path
        if self._covered:
            self._take(new, {})
        else:
            selected = build_context_entries(path)
            self._take(selected, _find_edits(selected))
        level, model = _find_settings(new)
        self._context.thinking_level = level or self._context.thinking_level
        self._context.model = model or self._context.model
        self._covered = len(path)
        return self._context

    def projection(self, path: Sequence[Entry]) -> Projection:
        """The same, entry by entry; the lists are the caller's."""
        context = self.context(path)
        messages = iter(context.messages)
        pairs = [
            ProjectedEntry(entry, tuple(islice(messages, count)))
            for entry, count in zip(self._selected, self._counts, strict=True)
        ]
        return Projection(pairs, list(context.messages), context.thinking_level, context.model)

    def _take(self, selected: Sequence[Entry], edits: Mapping[str, ContextEditEntry]) -> None:
        Entry.read_messages(selected)
        messages = self._context.messages
        for entry in selected:
            first = not self._counts
            if entry.id in edits:
                found = _edited(entry, _entry_messages(entry, first=first), edits[entry.id])
            elif (message := entry.message) is not None:  # nearly all are
                messages.append(message)
                self._counts.append(1)
                continue
            else:
                found = _entry_messages(entry, first=first)
            messages.extend(found)
            self._counts.append(len(found))
        self._selected += selected
