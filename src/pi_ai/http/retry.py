"""Trying a request again before any response was accepted.

Source: ai-core spec, section 11.2; providers spec, section 3.9.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

from pi_ai.errors import ProviderError, ProviderStatusError

__all__ = ("is_retryable_status", "retry_after_seconds", "retry_request")

T = TypeVar("T")


def is_retryable_status(status: int, headers: Mapping[str, str]) -> bool:
    """Whether the same request may succeed later. `headers` has lower-case names."""
    match headers.get("x-should-retry"):
        case "true":
            return True
        case "false":
            return False
        case _:
            return status in {408, 409, 429} or status >= 500


def retry_after_seconds(headers: Mapping[str, str]) -> float | None:
    """The wait that a server asks for, in seconds, never negative; None if it names none."""
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return max(0.0, milliseconds / 1000)
    text = headers.get("retry-after")
    if text is None:
        return None
    seconds = _number(text)
    if seconds is None:
        try:
            when = parsedate_to_datetime(text)
        except ValueError:
            return None
        if when.tzinfo is None:
            when = when.replace(tzinfo=UTC)
        seconds = (when - datetime.now(UTC)).total_seconds()
    return max(0.0, seconds)


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None


async def retry_request(
    send: Callable[[], Awaitable[T]],
    *,
    max_retries: int,
    max_delay_ms: float,
    backoff: Callable[[int], float] | None = None,
    chance: Callable[[], float] = random.random,
) -> T:
    """Await `send()`, again after a retryable `ProviderError`, up to `max_retries` times more.

    The wait is what the server asked for, else `backoff(attempt)` in seconds, `attempt` counted
    from 0: 0.5 s doubling up to 8 s less up to a quarter. A server that asks for more than
    `max_delay_ms` (0: no cap) ends it at once.
    """
    attempt = 0
    while True:
        try:
            return await send()
        except ProviderError as error:
            if not error.retryable or attempt >= max_retries:
                raise
            delay = error.retry_after
            if delay is None:
                most = min(0.5 * 2**attempt, 8)
                delay = backoff(attempt) if backoff else most * (1 - chance() * 0.25)
            elif max_delay_ms and delay * 1000 > max_delay_ms:
                raise _too_long(error, delay, max_delay_ms) from error
        await asyncio.sleep(delay)
        attempt += 1


def _too_long(error: ProviderError, delay: float, max_delay_ms: float) -> ProviderError:
    asked, most = math.ceil(delay), math.ceil(max_delay_ms / 1000)
    return ProviderStatusError(
        f"Server requested {asked}s retry delay (max: {most}s). {error}",
        status=error.status,
        code=error.code,
        retry_after=delay,
        retryable=True,
    )
