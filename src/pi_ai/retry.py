"""When to ask again after a failed response, and doing so.

This is the outer retry, of whole responses; HTTP requests have their own (`pi_ai.http.retry`).
Source: ai-core spec, section 11.3.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from functools import cache
from inspect import isawaitable

from msgspec import Struct
from msgspec.structs import replace

from pi_ai.abort import AbortSignal, abort_scope
from pi_ai.errors import AbortError
from pi_ai.types import AssistantMessage

__all__ = (
    "RetryCallbacks",
    "RetryPolicy",
    "is_retryable_assistant_error",
    "retry_assistant_call",
    "retry_delay_ms",
)

_FINAL = (
    r"GoUsageLimitError",
    r"FreeUsageLimitError",
    r"Monthly usage limit reached",
    r"available balance",
    r"insufficient_quota",
    r"out of budget",
    r"quota exceeded",
    r"billing",
    r"subscription_sharing_usage_limit_exceeded",
    r"subscription_sharing_workplace_individual_usage_limit_exceeded",
    r'"code"\s*:\s*"?1308(?![0-9])',
)
_RETRYABLE = (
    # the server is busy
    r"overloaded",
    r"server_busy",
    r"servers are currently busy",
    r"currently experiencing high demand",
    r"model is at capacity",
    r"rate.?limit",
    r"too many requests",
    r"ResourceExhausted",
    r"subscription_sharing_usage_unavailable",
    r"subscription_sharing_user_unavailable",
    # the server, or one behind it, failed
    r"(?<![a-z0-9])(?:429|500|502|503|504|520|524)(?![a-z0-9])",
    r"service.?(?:is.?)?(?:temporarily.?)?unavailable",
    r"server.?error",
    r"internal.?error",
    r"provider.?returned.?(?:an.?)?error",
    r"exceeded request buffer limit while retrying upstream",
    r"unable to forward upstream",
    r"upstream.?request.?failed",
    r"upstream_stream_read_error",
    r"upstream.?connect",
    # the connection failed
    r"stream was interrupted",
    r"http/?2 stream failed",
    r"http2 request did not get a response",
    r"network.?error",
    r"connection.?error",
    r"connection.?refused",
    r"connection.?lost",
    r"other side closed",
    r"fetch failed",
    r"request to \S+ failed, reason:",
    r"getaddrinfo",
    r"ENOTFOUND",
    r"EAI_AGAIN",
    r"reset before headers",
    r"socket hang up",
    r"socket connection was closed",
    r"timed? out",
    r"timeout",
    r"terminated",
    r"websocket.?closed",
    r"websocket.?error",
    # the answer was cut short
    r"ended without",
    r"stream ended before message_stop",
    r"stream ended before a terminal response event",
    r"stream disconnected before completion",
    r"cut short after the reply had begun",
    r"pending stream has been canceled",
    # the server says so
    r"retry delay",
    r"you can retry your request",
    r"try your request again",
    r"please retry your request",
)
_DEFAULT_MAX_DELAY_MS = 60_000


@cache
def _any_of(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(patterns), re.IGNORECASE | re.ASCII)


def is_retryable_assistant_error(message: AssistantMessage) -> bool:
    """Whether the same request may succeed later, by the text of the error.

    A full context window is not told apart; look at `is_context_overflow` first.
    """
    text = message.error_message
    if message.stop_reason != "error" or not text or _any_of(*_FINAL).search(text):
        return False
    return _any_of(*_RETRYABLE).search(text) is not None


class RetryPolicy(Struct, frozen=True, kw_only=True):
    """How often, and after which delays, a failed response is asked for again.

    The delay doubles from `base_delay_ms` up to `max_agent_delay_ms`, 60,000 by default.
    """

    enabled: bool = True
    max_retries: int
    base_delay_ms: float
    max_agent_delay_ms: float | None = None


def retry_delay_ms(policy: RetryPolicy, attempt: int) -> float:
    """Milliseconds to wait before retry number `attempt`, counted from 1."""
    limit = policy.max_agent_delay_ms or _DEFAULT_MAX_DELAY_MS
    doublings = min(max(0, attempt - 1), 64)  # beyond the limit for any base
    return min(policy.base_delay_ms * 2**doublings, limit)


def _ignore(*_arguments: object) -> None:
    return None


class RetryCallbacks(Struct, frozen=True, kw_only=True):
    """What is told about retries. Results are awaited if they can be; an exception ends the call.

    `on_retry_scheduled(attempt, max_retries, delay_ms, error_message)` comes before the delay,
    `on_retry_attempt_start()` after it. `on_retry_finished(success, attempt, final_error)` comes
    once, at the end, if any retry was scheduled.
    """

    on_retry_scheduled: Callable[[int, int, float, str], Awaitable[None] | None] = _ignore
    on_retry_attempt_start: Callable[[], Awaitable[None] | None] = _ignore
    on_retry_finished: Callable[[bool, int, str | None], Awaitable[None] | None] = _ignore


async def retry_assistant_call(
    produce: Callable[[], Awaitable[AssistantMessage]],
    policy: RetryPolicy | None = None,
    *,
    signal: AbortSignal | None = None,
    callbacks: RetryCallbacks | None = None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> AssistantMessage:
    """The response of `produce`, asked for again while it fails and `policy` allows.

    When `signal` is set during a delay, the failed response is returned as aborted. `sleep` waits
    for seconds. Raises what `produce` and the callbacks raise.
    """
    calls = callbacks or RetryCallbacks()
    message = await produce()
    if policy is None or not policy.enabled:
        return message
    attempt = 0
    success, final_error = False, None
    try:
        while attempt < policy.max_retries and is_retryable_assistant_error(message):
            attempt += 1
            error = message.error_message or "Unknown error"
            delay_ms = retry_delay_ms(policy, attempt)
            await _tell(calls.on_retry_scheduled(attempt, policy.max_retries, delay_ms, error))
            try:
                with abort_scope(signal):
                    await sleep(delay_ms / 1000)
            except AbortError:
                final_error = error
                return replace(message, stop_reason="aborted", error_message=None)
            await _tell(calls.on_retry_attempt_start())
            message = await produce()
        success = message.stop_reason not in ("error", "aborted")
        final_error = message.error_message if message.stop_reason == "error" else None
        return message
    finally:
        if attempt:
            await _tell(calls.on_retry_finished(success, attempt, final_error))


async def _tell(answer: Awaitable[None] | None) -> None:
    if isawaitable(answer):
        await answer
