"""The poller of device codes. Auth spec, section 3.6; check 27."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from pi_ai.abort import AbortController
from pi_ai.auth.oauth.device_code import Complete, Pending, SlowDown, poll_device_code
from pi_ai.auth.oauth.interaction import login_scope
from pi_ai.auth.oauth.runtime import OAuthRuntime
from pi_ai.errors import AbortError, OAuthError

DONE = Complete("tokens")
UNREACHED = OAuthError("Connection refused", retryable=True)


def polls(results: Sequence[Any], **options: Any) -> tuple[list[float], object]:
    """When each poll came, and the value or the error at the end."""
    now = 0.0
    times: list[float] = []
    left = list(results)

    async def sleep(seconds: float) -> None:
        nonlocal now
        assert seconds >= 0
        now += seconds

    async def poll() -> Any:
        times.append(now)
        result = left.pop(0) if left else Pending()
        if isinstance(result, OAuthError):
            raise result
        return result

    runtime = OAuthRuntime(monotonic=lambda: now, sleep=sleep)
    try:
        return times, asyncio.run(poll_device_code(runtime, poll, **options))
    except OAuthError as error:
        return times, str(error)


@pytest.mark.parametrize(
    ("results", "options", "times"),
    [
        pytest.param([Pending()] * 2, {"interval_seconds": 0}, [0, 1, 2], id="0-is-1"),
        pytest.param([Pending()], {}, [0, 5], id="default"),
        pytest.param([Pending()], {"interval_seconds": 1.9996}, [0, 1.999], id="milliseconds"),
        pytest.param([SlowDown(2), Pending()], {}, [0, 2, 4], id="slow-down-2"),
        pytest.param([SlowDown(0.1)], {}, [0, 1], id="slow-down-least"),
        pytest.param([SlowDown()] * 2, {}, [0, 10, 25], id="slow-down"),
        pytest.param([SlowDown(float("nan"))], {}, [0, 10], id="slow-down-nan"),
        pytest.param([SlowDown(float("inf"))], {}, [0, 10], id="slow-down-inf"),
        pytest.param([SlowDown(-3)], {}, [0, 10], id="slow-down-negative"),
        pytest.param([], {"wait_before_first_poll": True}, [5], id="wait-first"),
        pytest.param([UNREACHED, Pending(), UNREACHED], {}, [0, 5, 10, 15], id="unreached"),
    ],
)
def test_auth_check_27_polls_come_at_their_times(
    results: list[Any], options: Any, times: list[float]
) -> None:
    assert polls([*results, DONE], **options) == (times, "tokens")


@pytest.mark.parametrize(
    ("results", "seconds", "times", "text"),
    [
        pytest.param([], 0, [], "Device flow timed out", id="at-once"),
        pytest.param([], 12, [0, 5, 10], "Device flow timed out", id="later"),
        pytest.param(
            [SlowDown()],
            12,
            [0, 10],
            "Device flow timed out after one or more slow_down responses.",
            id="slowly",
        ),
        pytest.param(
            [Pending(), Pending(), UNREACHED],
            12,
            [0, 5, 10],
            "Device flow timed out: Connection refused",
            id="unreached",
        ),
    ],
)
def test_auth_check_27_a_code_expires(
    results: list[Any], seconds: float, times: list[float], text: str
) -> None:
    came, told = polls(results, expires_in_seconds=seconds)
    assert came == times
    assert str(told).startswith(text)
    assert (told == text) is ("slow_down" not in text)


def test_auth_check_27_an_abort_ends_the_sleep_at_once() -> None:
    async def run() -> None:
        controller = AbortController()

        async def poll() -> Pending:
            asyncio.get_running_loop().call_soon(controller.abort)
            return Pending()

        with pytest.raises(AbortError, match=r"^Login cancelled$"), login_scope(controller.signal):
            await poll_device_code(OAuthRuntime(), poll, interval_seconds=600)

    asyncio.run(asyncio.wait_for(run(), 2))


@pytest.mark.parametrize(
    "refusal",
    [OAuthError("denied", status=400), OAuthError("down", status=503, retryable=True)],
    ids=["4xx", "5xx"],
)
def test_an_answer_that_refuses_ends_it(refusal: OAuthError) -> None:
    assert polls([Pending(), refusal]) == ([0, 5], str(refusal))
