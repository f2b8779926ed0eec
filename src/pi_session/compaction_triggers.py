"""When a context is compacted by itself: pure decisions, for whoever runs an agent.

Source: session spec, section 14.6.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

from msgspec import Struct

from pi_ai.estimate import calculate_context_tokens
from pi_ai.overflow import is_context_overflow, is_recoverable_length
from pi_ai.types import AssistantMessage, Model, ToolResultMessage
from pi_session.compaction_settings import CompactionSettings
from pi_session.entries import Entry
from pi_session.estimation import (
    estimate_context_tokens,
    estimate_projected_context_tokens,
    should_compact,
)
from pi_session.messages import SessionMessage
from pi_session.projection import Projection

__all__ = (
    "CompactionTrigger",
    "OverflowKind",
    "explain_failed_recovery",
    "find_compaction_trigger",
    "find_overflow",
    "rearms_recovery",
)

OverflowKind: TypeAlias = Literal["context", "length"]
"""The context was too long for the window, or the answer was cut short for want of room."""

_RECOVERY_FAILED: dict[OverflowKind, str] = {
    "context": (
        "Context overflow recovery failed after one compact-and-retry attempt. "
        "Try reducing context or switching to a larger-context model."
    ),
    "length": "Truncated response recovery failed after one compact-and-retry attempt.",
}


class CompactionTrigger(Struct, frozen=True, kw_only=True):
    """Why to compact, and what to do about the answer that shows it.

    With `retry`, the entries `omit` are to be edited out of the context before, once it is known
    that there is something to compact, and the model is to be asked again after.
    """

    reason: Literal["threshold", "overflow"]
    overflow: OverflowKind | None = None
    retry: bool = False
    omit: tuple[str, ...] = ()


def find_compaction_trigger(
    entry: Entry,
    branch: Sequence[Entry],
    projection: Projection,
    *,
    model: Model,
    settings: CompactionSettings,
) -> CompactionTrigger | None:
    """Whether the answer in `entry`, on `branch`, calls for a compaction; None if it does not.

    `model` is the current one. To be asked after a run and before a prompt. Within a run, before
    the next response, `should_compact` of the projected estimate is all there is to ask.
    """
    message = entry.message
    if not settings.enabled or not isinstance(message, AssistantMessage):
        return None
    if _precedes_compaction(entry, branch):
        return None
    overflow = find_overflow(entry, branch, projection, model=model)
    if overflow is not None:
        retry = message.stop_reason != "stop"
        return CompactionTrigger(
            reason="overflow",
            overflow=overflow,
            retry=retry,
            omit=_answer_and_results(entry, branch) if retry else (),
        )
    tokens = _threshold_tokens(message, branch, projection)
    if tokens is not None and should_compact(tokens, model.context_window, settings):
        return CompactionTrigger(reason="threshold")
    return None


def find_overflow(
    entry: Entry, branch: Sequence[Entry], projection: Projection, *, model: Model
) -> OverflowKind | None:
    """Whether the answer in `entry` shows that `model`'s window is full, and how.

    Usage tells it only while the answer is in the context and nothing was edited after it.
    """
    message = entry.message
    if not isinstance(message, AssistantMessage):
        return None
    if (message.provider, message.model) != (model.provider, model.id):
        return None
    by_usage = message.stop_reason != "error"
    if is_context_overflow(message, model.context_window) and (
        not by_usage or _is_unchanged(entry, branch, projection)
    ):
        return "context"
    return "length" if is_recoverable_length(message, model.max_tokens) else None


def explain_failed_recovery(overflow: OverflowKind) -> str:
    """What to say when the answer after a recovery overflows again."""
    return _RECOVERY_FAILED[overflow]


def rearms_recovery(message: SessionMessage) -> bool:
    """Whether after `message` an overflow may be recovered from once more."""
    if isinstance(message, AssistantMessage):
        return message.stop_reason not in {"error", "length"}
    return message.role == "user"


def _precedes_compaction(entry: Entry, branch: Sequence[Entry]) -> bool:
    """Whether there is a compaction behind `entry`.

    By position: an answer may have the very millisecond of the compaction before it.
    """
    for each in reversed(branch):
        if each.id == entry.id:
            return False
        if each.type == "compaction":
            return True
    return False


def _is_unchanged(entry: Entry, branch: Sequence[Entry], projection: Projection) -> bool:
    for each in reversed(branch):
        if each.type == "context_edit":
            return False
        if each.id == entry.id:
            break
    return any(item.messages for item in projection.entries if item.entry.id == entry.id)


def _answer_and_results(entry: Entry, branch: Sequence[Entry]) -> tuple[str, ...]:
    message = entry.message
    assert isinstance(message, AssistantMessage)  # its caller looked
    calls = {call.id for call in message.tool_calls}
    found = [entry.id]
    for each in reversed(branch):
        if each.id == entry.id:
            break
        result = each.message
        if isinstance(result, ToolResultMessage) and result.tool_call_id in calls:
            found.insert(1, each.id)
    return tuple(found)


def _threshold_tokens(
    message: AssistantMessage,
    branch: Sequence[Entry],
    projection: Projection,
) -> int | None:
    """How full the context is; None if only a usage from before the last compaction tells."""
    if any(item.entry.type == "context_edit" for item in projection.entries):
        return estimate_projected_context_tokens(projection, branch).tokens
    known = calculate_context_tokens(message.usage)
    if message.stop_reason != "error" and known:
        return known
    found = estimate_context_tokens(projection.messages)
    if found.last_usage_index is None:
        return found.tokens
    teller = projection.messages[found.last_usage_index]
    told = next(
        item.entry
        for item in reversed(projection.entries)
        if any(message is teller for message in item.messages)
    )
    return None if _precedes_compaction(told, branch) else found.tokens
