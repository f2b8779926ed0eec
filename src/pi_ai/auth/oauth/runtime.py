"""What a login takes from the world: network, clocks, randomness. Tests bring their own."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from pi_ai.auth.oauth.token_endpoint import TIMEOUT_SECONDS
from pi_ai.http.transport import Transport
from pi_ai.types import now_ms

__all__ = ("OAuthRuntime",)


@dataclass(frozen=True, kw_only=True)
class OAuthRuntime:
    """The surroundings of logins and refreshes.

    `transport` None: one of its own per request. `clock_ms` is the time since 1970, `monotonic`
    and `sleep` are in seconds. `request_timeout_seconds` limits every single request of a login,
    `sign_in_timeout_seconds` the wait for the browser; None: as long as the user likes.
    """

    transport: Transport | None = None
    clock_ms: Callable[[], float] = now_ms
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    random_bytes: Callable[[int], bytes] = secrets.token_bytes
    request_timeout_seconds: float = TIMEOUT_SECONDS
    sign_in_timeout_seconds: float | None = None
