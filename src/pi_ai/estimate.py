"""Estimates of how many tokens messages take, and what they leave of a context window.

Source: ai-core spec, sections 7.3 and 10.3.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from pi_ai.json_text import js_json_bytes
from pi_ai.transcript import get_system_message_text
from pi_ai.types import (
    AssistantContent,
    AssistantMessage,
    ImageContent,
    JsonValue,
    Message,
    Model,
    SystemMessage,
    TextContent,
    ThinkingContent,
    ToolCall,
    Usage,
    UserContent,
)

__all__ = (
    "ContextEstimate",
    "calculate_context_tokens",
    "clamp_max_tokens",
    "content_length",
    "estimate_context_tokens",
    "estimate_tokens",
    "has_usage",
    "json_length",
    "max_length",
    "utf16_len",
)

_IMAGE_CHARACTERS = 4800
_LEAST_MARGIN_TOKENS = 4096
_MARGIN_SHARE = 0.15
_FULL_ANSWER_TOKENS = 32768


def utf16_len(text: str) -> int:
    """The length of `text` in UTF-16 code units, as JavaScript counts it."""
    if text.isascii():
        return len(text)
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def estimate_tokens(message: Message) -> int:
    """About how many tokens `message` takes: 3.5 characters each, 4800 characters per image."""
    if isinstance(message, SystemMessage):
        return (
            _tokens(utf16_len(get_system_message_text(message)))
            + _tokens(json_length(message.tools_added) if message.tools_added else 0)
            + _tokens(json_length(message.tools_removed) if message.tools_removed else 0)
        )
    return _tokens(content_length(message.content))


def content_length(content: str | Sequence[UserContent | AssistantContent]) -> int:
    """How long a message's content counts as, in UTF-16 code units; 4800 for an image."""
    if isinstance(content, str):
        return utf16_len(content)
    return sum(map(_block_length, content))


def _block_length(block: UserContent | AssistantContent) -> int:
    match block:
        case TextContent():
            return utf16_len(block.text)
        case ImageContent():
            return _IMAGE_CHARACTERS
        case ThinkingContent():
            return utf16_len(block.thinking)
        case ToolCall():
            return utf16_len(block.name) + json_length(block.arguments)


def json_length(value: JsonValue) -> int:
    """The length of `value` as compact JSON, in UTF-16 code units."""
    return utf16_len(js_json_bytes(value).decode())


def _tokens(characters: int) -> int:
    return -(-2 * characters // 7)


def max_length(tokens: int) -> int:
    """The longest text that `estimate_tokens` takes for `tokens`, in UTF-16 code units."""
    return tokens * 7 // 2


def calculate_context_tokens(usage: Usage) -> int:
    """Tokens in the context after a response: the provider's total, else the sum of the counts."""
    return usage.total_tokens or (usage.input + usage.output + usage.cache_read + usage.cache_write)


class ContextEstimate(NamedTuple):
    """Tokens of a context: known from a response's usage, plus an estimate of what follows it.

    `last_usage_index` is the position of that response, None if everything is estimated.
    """

    tokens: int
    usage_tokens: int
    trailing_tokens: int
    last_usage_index: int | None


def estimate_context_tokens(messages: Sequence[Message]) -> ContextEstimate:
    """About how many tokens `messages` take as a context.

    A response's usage counts only if no earlier message is newer: one that is was put there
    later, by a compaction, and the usage tells of another context.
    """
    found: AssistantMessage | None = None
    index = -1
    newest = -math.inf
    for position, message in enumerate(messages):
        if (
            isinstance(message, AssistantMessage)
            and message.timestamp >= newest
            and has_usage(message)
        ):
            found, index = message, position
        newest = max(newest, message.timestamp)
    trailing = sum(map(estimate_tokens, messages[index + 1 :]))
    if found is None:
        return ContextEstimate(trailing, 0, trailing, None)
    known = calculate_context_tokens(found.usage)
    return ContextEstimate(known + trailing, known, trailing, index)


def has_usage(message: AssistantMessage) -> bool:
    """Whether the usage of `message` tells how long the context was: failed ones do not."""
    failed = message.stop_reason in ("error", "aborted")
    return not failed and calculate_context_tokens(message.usage) > 0


def clamp_max_tokens(model: Model, wanted_tokens: int, input_tokens: int) -> int:
    """Largest output budget that fits the context window, in tokens, at least 1.

    `input_tokens` is an estimate for the whole request. The margin for its error is 15 %, but at
    least 4096 tokens; it shrinks to that where the answer would get less than 32768.
    """
    window = model.context_window
    if window <= 0:
        return max(1, wanted_tokens)
    margin = max(_LEAST_MARGIN_TOKENS, math.ceil(input_tokens * _MARGIN_SHARE))
    room = window - input_tokens - margin
    if room < _FULL_ANSWER_TOKENS:
        room = min(_FULL_ANSWER_TOKENS, window - input_tokens - _LEAST_MARGIN_TOKENS)
    return min(wanted_tokens, max(1, room))
