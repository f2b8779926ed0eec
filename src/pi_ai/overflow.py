"""Whether a response shows that the context window was full.

Providers say so in many ways, most of them only in the text of an error. Source: ai-core spec,
section 11.1.
"""

from __future__ import annotations

import re
from functools import cache

from pi_ai.types import AssistantMessage

__all__ = ("is_context_overflow", "is_recoverable_length")

_NO_OVERFLOW = (
    r"^(Throttling error|Service unavailable):",
    r"rate limit",
    r"too many requests",
)
_OVERFLOW = (
    r"prompt (?:is )?too long",
    r"prompt exceeds max length",
    r"request_too_large",
    r"input is too long for requested model",
    r"exceeds the context window",
    r"exceeds (?:the )?(?:model'?s )?maximum context length"
    r"(?: of [\d,]+ tokens?|\s*\([\d,]+\))",
    r"context window exceeded",
    r"input token count.*exceeds the maximum",
    r"maximum prompt length is \d+",
    r"reduce the length of the messages",
    r"maximum context length is \d+ tokens",
    r"exceeds (?:the )?maximum allowed input length of [\d,]+ tokens?",
    r"input \(\d+ tokens\) is longer than the model'?s context length \(\d+ tokens\)",
    r"exceeds the limit of \d+",
    r"exceeds the available context size",
    r"greater than the context length",
    r"context window exceeds limit",
    r"exceeded model token limit",
    r"too large for model with \d+ maximum context length",
    r"prompt has [\d,]+ tokens?, but the configured context size is [\d,]+ tokens?",
    r"model_context_window_exceeded",
    r"prompt too long; exceeded (?:max )?context length",
    r"range of input length should be",
    r"context[_ ]length[_ ]exceeded",
    r"too many tokens",
    r"token limit exceeded",
    r"^(?:[\w -]+ API error \(413\):|413(?:\s|:|$))",
)
# Cerebras answers an over-long prompt with an empty body; elsewhere that can mean anything.
_CEREBRAS_OVERFLOW = r"^4(?:00|13)\s*(?:status code)?\s*\(no body\)"

# Xiaomi cuts an over-long prompt to just under the window and then has no room to answer.
_FULL_SHARE = 0.99


@cache
def _any_of(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(patterns), re.IGNORECASE | re.ASCII)


def is_context_overflow(message: AssistantMessage, context_window: int | None = None) -> bool:
    """Whether `message` failed, or was cut short, since its context was too long.

    `context_window`, in tokens, also finds the servers that do not report an error: they ignore
    the overflow, or truncate the prompt and answer nothing.
    """
    if message.stop_reason == "error" and message.error_message:
        return _is_overflow_text(message.error_message, message.provider)
    if not context_window:
        return False
    prompt = message.usage.input + message.usage.cache_read
    match message.stop_reason:
        case "stop":
            return prompt > context_window
        case "length":
            return message.usage.output == 0 and prompt >= _FULL_SHARE * context_window
        case _:
            return False


def _is_overflow_text(text: str, provider: str) -> bool:
    if _any_of(*_NO_OVERFLOW).search(text):
        return False
    if _any_of(*_OVERFLOW).search(text):
        return True
    return provider == "cerebras" and bool(_any_of(_CEREBRAS_OVERFLOW).search(text))


def is_recoverable_length(message: AssistantMessage, desired_max_output: int) -> bool:
    """Whether the answer was cut before `desired_max_output` tokens, for want of context.

    `desired_max_output` is the limit before it was clamped to the context window.
    """
    return message.stop_reason == "length" and message.usage.output < desired_max_output
