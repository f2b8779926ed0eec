"""Polling until the user has confirmed a device code. Source: auth spec 3.6, RFC 8628 3.5."""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

from pi_ai.auth.oauth.runtime import OAuthRuntime
from pi_ai.errors import OAuthError

__all__ = ("Complete", "Pending", "PollResult", "SlowDown", "poll_device_code")

T = TypeVar("T")

_log = logging.getLogger("pi_ai")

_DEFAULT_INTERVAL_SECONDS = 5.0
_LEAST_INTERVAL_SECONDS = 1.0
_SLOW_DOWN_SECONDS = 5.0
_TIMED_OUT = "Device flow timed out"
_TIMED_OUT_SLOWLY = (
    f"{_TIMED_OUT} after one or more slow_down responses. The clock of a WSL or virtual machine "
    "that has drifted can cause this: set it, then log in again."
)


@dataclass(frozen=True)
class Pending:
    """The user has not confirmed yet."""


@dataclass(frozen=True)
class SlowDown:
    """Ask less often: every `interval_seconds`, or None for 5 seconds more than so far."""

    interval_seconds: float | None = None


@dataclass(frozen=True)
class Complete(Generic[T]):
    """The user has confirmed."""

    value: T


PollResult: TypeAlias = Pending | SlowDown | Complete[T]


async def poll_device_code(
    runtime: OAuthRuntime,
    poll: Callable[[], Awaitable[PollResult[T]]],
    *,
    interval_seconds: float = _DEFAULT_INTERVAL_SECONDS,
    expires_in_seconds: float | None = None,
    wait_before_first_poll: bool = False,
) -> T:
    """Call `poll` until it is complete, at most once a second.

    A poll that never reached the server is done again, as RFC 8628 asks for. Raises `OAuthError`
    when the code has expired, and what else `poll` raises.
    """
    interval = max(_LEAST_INTERVAL_SECONDS, math.floor(interval_seconds * 1000) / 1000)
    lifetime = math.inf if expires_in_seconds is None else expires_in_seconds
    deadline = runtime.monotonic() + lifetime
    told_to_slow_down = False
    lost: OAuthError | None = None
    wait_first = wait_before_first_poll
    while (left := deadline - runtime.monotonic()) > 0:
        if wait_first:
            wait_first = False
            await runtime.sleep(min(interval, left))
            continue
        result: PollResult[T] = Pending()
        try:
            result, lost = await poll(), None
        except OAuthError as error:
            if error.status is not None or not error.retryable:
                raise
            lost = error
            _log.warning("%s; asking again", error)
        match result:
            case Complete(value):
                return value
            case SlowDown(wanted):
                told_to_slow_down = True
                if wanted is not None and math.isfinite(wanted) and wanted > 0:
                    interval = max(_LEAST_INTERVAL_SECONDS, wanted)
                else:
                    interval += _SLOW_DOWN_SECONDS
            case Pending():
                pass
        await runtime.sleep(max(0.0, min(interval, deadline - runtime.monotonic())))
    if lost is not None:
        raise OAuthError(f"{_TIMED_OUT}: {lost}", retryable=True)
    raise OAuthError(_TIMED_OUT_SLOWLY if told_to_slow_down else _TIMED_OUT)
