"""The append methods of a session: each makes one entry below the leaf.

How an entry reaches the file is the manager's part. Source: session spec, section 8.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from types import NoneType
from typing import cast

from msgspec import UNSET

from pi_ai.types import (
    AssistantMessage,
    JsonObject,
    JsonValue,
    Message,
    ToolResultMessage,
    Usage,
    UserContent,
)
from pi_session.entries import (
    BranchSummaryEntry,
    CompactionEntry,
    ContextEditEntry,
    CustomEntry,
    CustomMessageEntry,
    Entry,
    KnownEntry,
    LabelEntry,
    MessageEntry,
    ModelChangeEntry,
    SessionInfoEntry,
    ThinkingLevelChangeEntry,
    UsageEntry,
)
from pi_session.errors import ContextEditError
from pi_session.locations import parse_timestamp
from pi_session.messages import (
    BashExecutionMessage,
    BranchSummaryMessage,
    CompactionSummaryMessage,
    CustomMessage,
)
from pi_session.projection import replay_system_messages
from pi_session.views import SessionViews

__all__ = ("SessionAppends",)

_EDITABLE_ROLES = frozenset({"user", "assistant", "toolResult"})
_STORED_MESSAGES = (*Message.__args__, BashExecutionMessage, CustomMessage)


def _expect(field: str, value: object, *kinds: type) -> None:
    """Raise TypeError for a value that no reader of the file could make sense of."""
    if not isinstance(value, kinds):
        names = " or ".join("None" if kind is NoneType else kind.__name__ for kind in kinds)
        raise TypeError(f"{field} must be {names}, got {type(value).__name__}")


class SessionAppends(SessionViews, ABC):
    """Appends entries. Every method returns the id of the new entry, which is the leaf then.

    All raise OSError or a `SessionError` when the entry cannot be stored, and TypeError for an
    argument of another type; nothing is changed then.
    """

    @abstractmethod
    def _commit(self, view: KnownEntry) -> Entry:
        """Store `view` below the leaf, give it id and time, and make it the leaf."""

    def append_message(self, message: Message | BashExecutionMessage | CustomMessage) -> str:
        """Append a finished message.

        Raises TypeError for what is no message, such as a dict (`pi_ai.decode` makes one of it),
        and for the summary roles, which stand for entries of their own; ValueError for a message
        that is still streaming.
        """
        if isinstance(message, BranchSummaryMessage | CompactionSummaryMessage):
            raise TypeError(f"A {message.role} message is made from its entry, never stored")
        _expect("message", message, *_STORED_MESSAGES)
        if isinstance(message, AssistantMessage | ToolResultMessage):
            _expect("message.content", message.content, list, tuple)
        elif not isinstance(message, BashExecutionMessage):
            _expect("message.content", message.content, str, list, tuple)
        if isinstance(message, AssistantMessage) and message.stop_reason == "pending":
            raise ValueError("A message that is still streaming is never stored")
        return self._commit(MessageEntry(message=message)).id

    def append_thinking_level_change(self, thinking_level: str) -> str:
        """From here on the model thinks at this level."""
        _expect("thinking_level", thinking_level, str)
        return self._commit(ThinkingLevelChangeEntry(thinking_level=thinking_level)).id

    def append_model_change(self, provider: str, model_id: str) -> str:
        """From here on this model answers."""
        _expect("provider", provider, str)
        _expect("model_id", model_id, str)
        return self._commit(ModelChangeEntry(provider=provider, model_id=model_id)).id

    def append_usage(
        self, kind: str, provider: str, model: str, usage: Usage, note: str | None = None
    ) -> Entry:
        """Record a billed call that is no message; gives the entry itself."""
        for field, value in (("kind", kind), ("provider", provider), ("model", model)):
            _expect(field, value, str)
        _expect("usage", usage, Usage)
        _expect("note", note, str, NoneType)
        return self._commit(
            UsageEntry(kind=kind, provider=provider, model=model, usage=usage, note=note or None)
        )

    def append_compaction(
        self,
        summary: str,
        first_kept_entry_id: str | None,
        tokens_before: int,
        *,
        details: JsonValue = None,
        from_hook: bool | None = None,
        usage: Usage | None = None,
    ) -> str:
        """Replace the context before the leaf by `summary`.

        `first_kept_entry_id` is the first entry that stays, None if none does. The prompt and
        tools in force are stored with it.
        """
        _expect("summary", summary, str)
        _expect("first_kept_entry_id", first_kept_entry_id, str, NoneType)
        _expect("tokens_before", tokens_before, int, float)
        _expect("usage", usage, Usage, NoneType)
        view = CompactionEntry(
            summary=summary,
            first_kept_entry_id=first_kept_entry_id,
            tokens_before=tokens_before,
            details=UNSET if details is None else details,
            usage=usage,
            from_hook=from_hook,
            system_message=replay_system_messages(self.build_session_context().messages),
        )
        return self._commit(view).id

    def append_custom_entry(self, custom_type: str, data: JsonValue = None) -> str:
        """Append private state, which is no part of the context."""
        _expect("custom_type", custom_type, str)
        return self._commit(
            CustomEntry(custom_type=custom_type, data=UNSET if data is None else data)
        ).id

    def append_custom_message_entry(
        self,
        custom_type: str,
        content: str | Sequence[UserContent],
        display: bool,
        *,
        details: JsonValue = None,
    ) -> str:
        """Inject a message, which the model sees as the user's."""
        _expect("custom_type", custom_type, str)
        _expect("content", content, str, Sequence)
        _expect("display", display, bool)
        return self._commit(
            CustomMessageEntry(
                custom_type=custom_type,
                content=content if isinstance(content, str) else list(content),
                display=display,
                details=UNSET if details is None else details,
            )
        ).id

    def append_context_edit(self, target_id: str, replacement: JsonObject | None) -> str:
        """Omit an entry from the context (None), or replace its content by `content`.

        Raises `EntryNotFoundError`, or `ContextEditError` if the entry is not on the branch or
        has no content to edit, or the replacement is not a str or a list.
        """
        target = self._require(target_id)
        if target.type != "custom_message" and target.role not in _EDITABLE_ROLES:
            raise ContextEditError(f"Entry {target_id} does not contribute editable model content")
        if all(entry.id != target_id for entry in reversed(self._active_path())):
            raise ContextEditError(f"Entry {target_id} is not on the active branch")
        if replacement is not None:
            content: JsonValue = cast("object", replacement.get("content"))
            if not isinstance(content, str | list):
                raise ContextEditError(
                    "Context edit replacement must be null or contain string/array content"
                )
            if isinstance(content, str) and target.role in {"assistant", "toolResult"}:
                content = [{"type": "text", "text": content}]
            replacement = {"content": content}
        return self._commit(ContextEditEntry(target_id=target_id, replacement=replacement)).id

    def append_label_change(self, target_id: str, label: str | None) -> str:
        """Set the bookmark of an entry, or clear it. Raises `EntryNotFoundError`."""
        _expect("label", label, str, NoneType)
        self._require(target_id)
        return self._commit(LabelEntry(target_id=target_id, label=label)).id

    def append_session_info(self, name: str) -> str:
        """Set the display name; line breaks become spaces, and "" clears it."""
        _expect("name", name, str)
        clean = re.sub(r"[\r\n]+", " ", name).strip()
        return self._commit(SessionInfoEntry(name=clean)).id

    def branch_with_summary(
        self,
        entry_id: str | None,
        summary: str,
        *,
        details: JsonValue = None,
        from_hook: bool | None = None,
        usage: Usage | None = None,
    ) -> str:
        """Move to an entry, or before the first, and append what happened on the branch left.

        Raises `EntryNotFoundError`; on any failure the leaf stays where it was.
        """
        _expect("summary", summary, str)
        _expect("usage", usage, Usage, NoneType)
        left = self.leaf_id
        self._move_leaf(None if entry_id is None else self._require(entry_id).id)
        view = BranchSummaryEntry(
            from_id="root" if left is None else left,
            summary=summary,
            details=UNSET if details is None else details,
            usage=usage,
            from_hook=from_hook,
        )
        try:
            return self._commit(view).id
        except BaseException:
            self._move_leaf(left)
            raise

    def _complete(self, view: KnownEntry, entry_id: str, timestamp: str) -> None:
        """Fill in what only the moment of the append decides."""
        view.id = entry_id
        view.parent_id = self.leaf_id
        view.timestamp = timestamp
        if isinstance(view, CompactionEntry):
            view.first_kept_entry_id = view.first_kept_entry_id or entry_id
            if view.system_message is not None:
                view.system_message.timestamp = parse_timestamp(timestamp) or 0
