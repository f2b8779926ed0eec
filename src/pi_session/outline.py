"""A session in the order in which its tree is drawn, and each entry in a few words.

What is shown to a person, in a terminal or on a page, is decided here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from msgspec import Struct

from pi_ai.transcript import content_text, get_system_message_text
from pi_ai.types import (
    AssistantMessage,
    ImageContent,
    SystemMessage,
    TextContent,
    ThinkingContent,
    ToolCall,
    ToolResultMessage,
    UserMessage,
)
from pi_session.entries import (
    BranchSummaryEntry,
    CompactionEntry,
    ContextEditEntry,
    CustomEntry,
    CustomMessageEntry,
    Entry,
    LabelEntry,
    MessageEntry,
    ModelChangeEntry,
    SessionInfoEntry,
    ThinkingLevelChangeEntry,
    UsageEntry,
)
from pi_session.messages import BashExecutionMessage, CustomMessage, SessionMessage
from pi_session.plain_text import one_line
from pi_session.stats import read_billed
from pi_session.tree import SessionTree, TreeNode

__all__ = ("Digest", "Gap", "OutlineRow", "build_digest", "build_outline")

_TEXT_LIMIT = 300
_NAME_LIMIT = 40
_SHOWN_CALLS = 8


class OutlineRow(NamedTuple):
    """An entry and where it is drawn.

    `depth` counts the branches that are drawn around it, 0 for the active one; `opens` says that
    it is the first entry of a branch that was left. `active`: it is on the active branch.
    """

    entry: Entry
    depth: int
    opens: bool
    active: bool
    label: str | None


class Gap(NamedTuple):
    """Entries that are not shown: how many, and how deep the first of them is."""

    entries: int
    depth: int


def build_outline(session: SessionTree, newest: int | None = None) -> list[OutlineRow | Gap]:
    """The tree from top to bottom: branches that were left first, the active one going on below.

    With `newest`, only that many entries, the last of the file; the others are counted in gaps.
    """
    entries = session.get_entries()
    if newest is not None and newest < 0:
        raise ValueError(f"newest: expected 0 or more entries, got {newest}")
    shown = None
    if newest is not None and newest < len(entries):
        shown = {entry.id for entry in entries[len(entries) - newest :]}
    rows: list[OutlineRow | Gap] = []
    for row in _walk(session):
        last = rows[-1] if rows else None
        if shown is None or row.entry.id in shown:
            rows.append(row)
        elif isinstance(last, Gap):
            rows[-1] = Gap(last.entries + 1, last.depth)
        else:
            rows.append(Gap(1, row.depth))
    return rows


def _walk(session: SessionTree) -> Iterator[OutlineRow]:
    active = {entry.id for entry in session.get_branch()}
    pending: list[tuple[TreeNode, int, bool]] = []

    def put(nodes: Sequence[TreeNode], depth: int) -> None:
        """The node that goes on in the same column is drawn after the others."""
        if not nodes:
            return
        onward = next((node for node in nodes if node.entry.id in active), nodes[-1])
        pending.append((onward, depth, False))
        aside = [node for node in reversed(nodes) if node is not onward]
        pending.extend((node, depth + 1, True) for node in aside)

    put(session.get_tree(), 0)
    while pending:
        node, depth, opens = pending.pop()
        yield OutlineRow(node.entry, depth, opens, node.entry.id in active, node.label)
        put(node.children, depth)


# --- an entry in a few words --------------------------------------------------------------------


class Digest(Struct):
    """An entry for a person to read: every text is one short line without control characters.

    `kind` is the role of a message, else the entry's type. `calls` are tool calls with the start
    of their first argument. `failed`: an answer ended in an error, or a tool call or a shell
    command failed. `cost` is in USD, None where nothing was billed.
    """

    kind: str
    text: str
    calls: list[str]
    failed: bool = False
    cost: float | None = None


def build_digest(entry: Entry) -> Digest:
    """An entry in a few words."""
    kind, text, calls, failed = entry.type, "", (), False
    match entry.view:
        case MessageEntry(message=message):
            kind, text, failed = message.role, _message_text(message), _has_failed(message)
            calls = message.tool_calls if isinstance(message, AssistantMessage) else ()
        case ModelChangeEntry() as view:
            text = f"{view.provider}/{view.model_id}"
        case ThinkingLevelChangeEntry() as view:
            text = view.thinking_level
        case UsageEntry() as view:
            text = f"{view.kind} {view.provider}/{view.model} {view.note or ''}"
        case CompactionEntry() as view:
            text = f"({view.tokens_before} tokens before) {view.summary}"
        case BranchSummaryEntry() as view:
            text = view.summary
        case ContextEditEntry() as view:
            text = f"{'omits' if view.replacement is None else 'replaces'} {view.target_id}"
        case CustomEntry() as view:
            text = view.custom_type
        case CustomMessageEntry() as view:
            text = f"{view.custom_type}: {_content_text(view.content)}"
        case LabelEntry() as view:
            text = (
                f"{view.label} on {view.target_id}" if view.label else f"none on {view.target_id}"
            )
        case SessionInfoEntry() as view:
            text = view.name or ""
        case _:
            pass
    billed = read_billed(entry)
    return Digest(
        one_line(kind, _NAME_LIMIT),
        one_line(text, _TEXT_LIMIT),
        _calls(calls),
        failed,
        None if billed is None else billed.usage.cost.total,
    )


def _calls(calls: Sequence[ToolCall]) -> list[str]:
    shown = [_call(call) for call in calls[:_SHOWN_CALLS]]
    if len(calls) > _SHOWN_CALLS:
        shown.append(f"{len(calls) - _SHOWN_CALLS} more")
    return shown


def _call(call: ToolCall) -> str:
    first = next((value for value in call.arguments.values() if isinstance(value, str)), "")
    return f"{one_line(call.name, _NAME_LIMIT)}({one_line(first, _NAME_LIMIT)})"


def _message_text(message: SessionMessage) -> str:
    match message:
        case SystemMessage():
            return get_system_message_text(message)
        case UserMessage():
            return _content_text(message.content)
        case AssistantMessage():
            return _answer_text(message)
        case ToolResultMessage():
            return f"{message.tool_name}: {_content_text(message.content)}"
        case BashExecutionMessage():
            return f"$ {message.command}"
        case CustomMessage():
            return f"{message.custom_type}: {_content_text(message.content)}"
        case _:
            return message.summary


def _answer_text(message: AssistantMessage) -> str:
    text = message.text
    if message.stop_reason in {"error", "aborted"}:
        return f"{message.stop_reason}: {message.error_message or 'no reason given'} {text}"
    if not text.strip() and not message.tool_calls:
        thought = any(isinstance(block, ThinkingContent) for block in message.content)
        return "(thinking only)" if thought else "(empty)"
    return text


def _content_text(content: str | Sequence[TextContent | ImageContent]) -> str:
    if isinstance(content, str):
        return content
    text = content_text(content)
    images = sum(isinstance(block, ImageContent) for block in content)
    return f"{text} [{images} image{'s' if images > 1 else ''}]" if images else text


def _has_failed(message: SessionMessage) -> bool:
    match message:
        case AssistantMessage():
            return message.stop_reason in {"error", "aborted"}
        case ToolResultMessage():
            return message.is_error
        case BashExecutionMessage():
            return message.cancelled or bool(message.exit_code)
        case _:
            return False
