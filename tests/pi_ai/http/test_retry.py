"""When a request is tried again, and after how long. ai-core spec, section 11.2."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pi_ai.errors import ProviderError, ProviderStatusError
from pi_ai.http import retry
from pi_ai.http.retry import is_retryable_status, retry_after_seconds, retry_request


@pytest.mark.parametrize(
    ("status", "headers", "retryable"),
    [
        *((status, {}, True) for status in (408, 409, 429, 500, 502, 503, 529, 599)),
        *((status, {}, False) for status in (301, 400, 401, 403, 404, 413, 422)),
        (400, {"x-should-retry": "true"}, True),
        (500, {"x-should-retry": "false"}, False),
        (500, {"x-should-retry": "maybe"}, True),
    ],
)
def test_status_tells_whether_to_retry(
    status: int, headers: dict[str, str], retryable: bool
) -> None:
    assert is_retryable_status(status, headers) is retryable


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after-ms": "250", "retry-after": "7"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "7"}, 7),
        ({"retry-after-ms": "inf", "retry-after": "7"}, 7),
        ({"retry-after": "-4"}, 0),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "tomorrow"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0),
    ],
)
def test_wait_that_a_server_asks_for(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_seconds(headers) == seconds


def test_wait_until_a_date() -> None:
    then = datetime.now(UTC) + timedelta(seconds=90)
    seconds = retry_after_seconds({"retry-after": format_datetime(then, usegmt=True)})
    assert seconds is not None
    assert 85 < seconds <= 91


@given(st.text(max_size=40) | st.from_regex(r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} [\d:+]{8}"))
def test_any_header_value_is_a_wait_or_none(text: str) -> None:
    seconds = retry_after_seconds({"retry-after": text})
    assert seconds is None or seconds >= 0


class Sleeps(list[float]):
    async def __call__(self, seconds: float) -> None:
        self.append(seconds)


def run(errors: list[Exception], monkeypatch: pytest.MonkeyPatch, **options: Any) -> Any:
    """What comes of requests that fail with `errors`, then succeed; and how long was slept."""
    sleeps = Sleeps()
    monkeypatch.setattr(retry.asyncio, "sleep", sleeps)
    left = list(errors)

    async def send() -> str:
        if left:
            raise left.pop(0)
        return "answer"

    settings: dict[str, Any] = {"max_retries": 9, "max_delay_ms": 60_000, **options}
    try:
        return asyncio.run(retry_request(send, **settings)), list(sleeps)
    except ProviderError as error:
        return error, list(sleeps)


def lost(**fields: Any) -> ProviderError:
    return ProviderStatusError("slow", retryable=True, **fields)


def test_waits_double_up_to_8_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    result, sleeps = run([lost()] * 7, monkeypatch, chance=lambda: 0.0)
    assert result == "answer"
    assert sleeps == [0.5, 1, 2, 4, 8, 8, 8]


def test_chance_takes_up_to_a_quarter_off(monkeypatch: pytest.MonkeyPatch) -> None:
    _, sleeps = run([lost()] * 2, monkeypatch, chance=lambda: 1.0)
    assert sleeps == [0.375, 0.75]


def test_server_decides_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    errors: list[Exception] = [lost(retry_after=59.9), lost(retry_after=0.0)]
    result, sleeps = run(errors, monkeypatch)
    assert (result, sleeps) == ("answer", [59.9, 0.0])


def test_ai_core_check_24_too_long_a_wait_fails_at_once_and_stays_retryable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    error, sleeps = run([lost(retry_after=119.2, status=429, code="busy")], monkeypatch)
    assert str(error) == "Server requested 120s retry delay (max: 60s). slow"
    assert (error.status, error.code, error.retryable) == (429, "busy", True)
    assert sleeps == []


@pytest.mark.parametrize(
    ("error", "retries"),
    [
        pytest.param(ProviderError("final"), 5, id="not-retryable"),
        pytest.param(lost(), 0, id="no-retries-left"),
    ],
)
def test_other_failures_are_raised_as_they_are(
    error: ProviderError, retries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run([error], monkeypatch, max_retries=retries) == (error, [])
