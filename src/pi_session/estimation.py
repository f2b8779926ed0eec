"""How many tokens a context takes, by a session's own measure of four characters each.

Where a response tells the length of its context, that is used instead. Requests are sized by
`pi_ai.estimate`, which is more careful. Source: session spec, section 14.2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from pi_ai.estimate import (
    ContextEstimate,
    calculate_context_tokens,
    content_length,
    has_usage,
    json_length,
    utf16_len,
)
from pi_ai.types import AssistantMessage, SystemMessage, Wire
from pi_session.compaction_settings import CompactionSettings
from pi_session.entries import Entry
from pi_session.messages import (
    BashExecutionMessage,
    BranchSummaryMessage,
    CompactionSummaryMessage,
    SessionMessage,
)
from pi_session.projection import Projection, replay_system_messages

__all__ = (
    "ContextUsage",
    "TokenEstimates",
    "estimate_context_tokens",
    "estimate_projected_context_tokens",
    "estimate_tokens",
    "get_context_usage",
    "should_compact",
    "sum_estimates",
)

_MOST_TOKENS = 2**53
"""Damaged files may tell of more, even of more than a float can hold."""

Estimate: TypeAlias = Callable[[SessionMessage], int]
"""`estimate_tokens`, or a `TokenEstimates` that remembers what it said."""


def estimate_tokens(message: SessionMessage) -> int:
    """About how many tokens `message` takes: 4 characters each, 4800 characters per image."""
    return -(-_length(message) // 4)


def _length(message: SessionMessage) -> int:
    match message:
        case SystemMessage():
            sections = (message.sections or {}).values()
            texts = sum(utf16_len(text) for text in sections if text is not None)
            tools = 0 if message.tools_added is None else json_length(message.tools_added)
            return content_length(message.content) + texts + tools
        case BashExecutionMessage():
            return utf16_len(message.command) + utf16_len(message.output)
        case BranchSummaryMessage() | CompactionSummaryMessage():
            return utf16_len(message.summary)
        case _:
            return content_length(message.content)


class TokenEstimates:
    """`estimate_tokens` for whoever asks again and again about a growing context.

    Each message is looked at once, as the messages of a session never change. Holds on to them.
    """

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[int, tuple[SessionMessage, int]] = {}

    def __call__(self, message: SessionMessage) -> int:
        """About how many tokens `message` takes."""
        known = self._known.get(id(message))
        if known is None:
            known = self._known[id(message)] = (message, estimate_tokens(message))
        return known[1]


def sum_estimates(messages: Iterable[SessionMessage], estimate: Estimate = estimate_tokens) -> int:
    """About how many tokens all of `messages` take, whatever responses told."""
    return sum(map(estimate, messages))


# --- contexts ---------------------------------------------------------------------------------


def estimate_context_tokens(
    messages: Sequence[SessionMessage], estimate: Estimate = estimate_tokens
) -> ContextEstimate:
    """The tokens that the last response tells of, and an estimate of what follows it."""
    for index in range(len(messages) - 1, -1, -1):
        message = messages[index]
        if isinstance(message, AssistantMessage) and has_usage(message):
            known = calculate_context_tokens(message.usage)
            trailing = sum_estimates(messages[index + 1 :], estimate)
            return ContextEstimate(known + trailing, known, trailing, index)
    trailing = sum_estimates(messages, estimate)
    return ContextEstimate(trailing, 0, trailing, None)


def estimate_projected_context_tokens(
    projection: Projection, branch: Sequence[Entry], estimate: Estimate = estimate_tokens
) -> ContextEstimate:
    """The tokens of what the model sees at the end of `branch`.

    A response's usage counts if nothing changed the context after it. Otherwise all is estimated,
    with the prompt and tools in force counted once.
    """
    teller = _find_usage_entry(projection)
    if teller is not None and _is_behind_changes(teller, branch):
        return estimate_context_tokens(projection.messages, estimate)
    system = replay_system_messages(projection.messages)
    others = [each for each in projection.messages if not isinstance(each, SystemMessage)]
    tokens = sum_estimates(others, estimate) + (estimate_tokens(system) if system else 0)
    return ContextEstimate(tokens, 0, tokens, None)


def _find_usage_entry(projection: Projection) -> Entry | None:
    for entry, messages in reversed(projection.entries):
        if any(isinstance(each, AssistantMessage) and has_usage(each) for each in messages):
            return entry
    return None


def _is_behind_changes(entry: Entry, branch: Sequence[Entry]) -> bool:
    for each in reversed(branch):
        if each.id == entry.id:
            return True
        if each.type in {"compaction", "context_edit"}:
            return False
    return False


def should_compact(context_tokens: int, context_window: int, settings: CompactionSettings) -> bool:
    """Whether a context is to be compacted by itself. Never where the window is unknown (0)."""
    if not settings.enabled or context_window <= 0:
        return False
    return context_tokens > context_window - settings.reserve_tokens


class ContextUsage(Wire):
    """How full a context window is. `percent` is 0 to 100; both are None while nobody knows."""

    tokens: int | None
    context_window: int
    percent: float | None


def get_context_usage(
    projection: Projection,
    branch: Sequence[Entry],
    context_window: int,
    *,
    estimate: Estimate = estimate_tokens,
) -> ContextUsage | None:
    """How much of the window `branch` takes; None if the window is unknown (0).

    From a compaction to the next response that tells its usage, the tokens are not known.
    """
    if context_window <= 0:
        return None
    if _is_fresh_compaction(branch):
        return ContextUsage(None, context_window, None)
    tokens = estimate_projected_context_tokens(projection, branch, estimate).tokens
    tokens = min(tokens, _MOST_TOKENS)
    return ContextUsage(tokens, context_window, tokens / context_window * 100)


def _is_fresh_compaction(branch: Sequence[Entry]) -> bool:
    for entry in reversed(branch):
        if entry.type == "compaction":
            return True
        message = entry.message
        if isinstance(message, AssistantMessage) and has_usage(message):
            return False
    return False
