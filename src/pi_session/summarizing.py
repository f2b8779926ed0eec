"""One summary from a model: the request that fits its window, the retries, what counts as failure.

The model call is the caller's. Source: session spec, section 14.5.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

from msgspec import Struct

from pi_ai.abort import AbortSignal
from pi_ai.errors import AbortError
from pi_ai.estimate import max_length, utf16_len
from pi_ai.ids import uuid7
from pi_ai.overflow import is_context_overflow
from pi_ai.retry import RetryCallbacks, RetryPolicy, retry_assistant_call
from pi_ai.types import (
    AssistantMessage,
    Model,
    StreamOptions,
    TextContent,
    ThinkingLevel,
    Usage,
)
from pi_session.compaction_prompts import SYSTEM_PROMPT
from pi_session.errors import SessionMovedError, SummaryError
from pi_session.shortening import fit_texts, shorten_middle
from pi_session.tree import SessionTree

__all__ = (
    "AskModel",
    "Summarizer",
    "Summary",
    "SummaryRequest",
    "check_unmoved",
    "request_summary",
)

AskModel: TypeAlias = Callable[[str, str, StreamOptions], Awaitable[AssistantMessage]]
"""Asks a model: system prompt, text of the one user message, options.

Gives failures of the provider as a message with that stop reason, as `complete` does; what it
raises ends the operation.
"""

_RETRY = RetryPolicy(max_retries=3, base_delay_ms=2000)
_LEAST_ROOM_TOKENS = 6144
"""Wire formats keep 4096 tokens of a window free, so that less would leave no answer."""
_MAX_SHRINKS = 3


class Summarizer(Struct, frozen=True, kw_only=True):
    """Who writes summaries, and how.

    `ask` calls `model`, which is looked at for its window and whether it reasons. Transient
    failures are asked for again as `retry` says; `callbacks` are told, and `sleep` waits for
    seconds. Each summary has a routing session id of its own unless `session_id` is given.
    """

    ask: AskModel
    model: Model
    thinking_level: ThinkingLevel = "off"
    retry: RetryPolicy | None = _RETRY
    callbacks: RetryCallbacks | None = None
    session_id: str | None = None
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


class SummaryRequest(Struct, frozen=True, kw_only=True):
    """What to summarise: paragraphs of a conversation, and the summary of what came before.

    `write` puts both into the text of a request. `label` begins the text of errors.
    `reserve_tokens` of the window are left for the answer.
    """

    label: str
    conversation: Sequence[str]
    previous_summary: str | None = None
    write: Callable[[str, str | None], str]
    reserve_tokens: int

    def text(self, limit: int | None) -> str:
        """The request, at most `limit` UTF-16 code units long by shortening its longest texts."""
        previous = self.previous_summary
        if limit is None:
            return self.write("\n\n".join(self.conversation), previous)
        room = limit - utf16_len(self.write("", None if previous is None else ""))
        if previous is not None:
            previous = shorten_middle(previous, max(0, room // 2))
            room -= utf16_len(previous)
        return self.write(fit_texts(self.conversation, max(0, room)), previous)


class Summary(Struct, frozen=True):
    """The text of a summary, and what it cost."""

    text: str
    usage: Usage


async def request_summary(
    request: SummaryRequest, summarizer: Summarizer, signal: AbortSignal | None = None
) -> Summary:
    """Ask for one summary.

    A model that finds the request too long is asked again with half of it. Raises `SummaryError`
    for an answer that is no whole summary, `AbortError` when `signal` is set or the answer was
    aborted, and what the model call and the callbacks raise.
    """
    options = _options(summarizer, signal)
    limit = _text_limit(summarizer.model, request.reserve_tokens)
    answer = await _ask(summarizer, text := request.text(limit), options, signal)
    for _ in range(_MAX_SHRINKS):
        if answer.stop_reason != "error" or not is_context_overflow(answer):
            break
        text = request.text(utf16_len(text) // 2)
        answer = await _ask(summarizer, text, options, signal)
    return Summary(_checked_text(answer, request.label), answer.usage)


async def _ask(
    summarizer: Summarizer, text: str, options: StreamOptions, signal: AbortSignal | None
) -> AssistantMessage:
    if signal is not None:
        signal.throw_if_aborted()

    async def produce() -> AssistantMessage:
        return await summarizer.ask(SYSTEM_PROMPT, text, options.copy())

    return await retry_assistant_call(
        produce,
        summarizer.retry,
        signal=signal,
        callbacks=summarizer.callbacks,
        sleep=summarizer.sleep,
    )


def _options(summarizer: Summarizer, signal: AbortSignal | None) -> StreamOptions:
    options: StreamOptions = {
        "cache_retention": "none",
        "session_id": summarizer.session_id or uuid7(),
    }
    if signal is not None:
        options["signal"] = signal
    if summarizer.model.reasoning and summarizer.thinking_level != "off":
        options["reasoning"] = summarizer.thinking_level
    return options


def _text_limit(model: Model, reserve_tokens: int) -> int | None:
    """How long a request may be, in UTF-16 code units; None for an unknown window."""
    window = model.context_window
    if window <= 0:
        return None
    room = max(min(reserve_tokens, window // 2), min(_LEAST_ROOM_TOKENS, window * 3 // 4))
    tokens = window - room - 2  # each of the two messages is rounded up
    return max_length(tokens) - utf16_len(SYSTEM_PROMPT)


def _checked_text(answer: AssistantMessage, label: str) -> str:
    match answer.stop_reason:
        case "error":
            raise SummaryError(f"{label} failed: {answer.error_message or 'Unknown error'}")
        case "aborted":
            raise AbortError
        case "length":
            raise SummaryError(
                f"{label} failed: generation hit the token cap and the summary is incomplete"
            )
        case _:
            pass
    if answer.stop_reason == "toolUse" or answer.tool_calls:
        raise SummaryError(f"{label} attempted to call a tool")
    text = "\n".join(block.text for block in answer.content if isinstance(block, TextContent))
    if not text.strip():
        raise SummaryError(f"{label} failed: the model gave no text")
    return text


def check_unmoved(session: SessionTree, leaf_id: str | None) -> None:
    """Raise `SessionMovedError` unless the branch only grew since its leaf was `leaf_id`.

    A compaction among what grew counts as a change too.
    """
    if session.leaf_id == leaf_id:
        return
    for entry in reversed(session.get_branch()):
        if entry.id == leaf_id:
            return
        if entry.type == "compaction":
            break
    raise SessionMovedError(
        "The branch was left or compacted while a summary of it was written; try again"
    )
