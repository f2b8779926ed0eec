"""Asking again after a failed response."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from pi_ai.abort import AbortController
from pi_ai.retry import (
    RetryCallbacks,
    RetryPolicy,
    is_retryable_assistant_error,
    retry_assistant_call,
    retry_delay_ms,
)
from pi_ai.types import AssistantMessage, TextContent, Usage

POLICY = RetryPolicy(max_retries=2, base_delay_ms=2000)


def failed(text: str) -> AssistantMessage:
    return AssistantMessage(stop_reason="error", error_message=text, timestamp=1)


OK = AssistantMessage([TextContent("hi")], timestamp=1)
ABORTED = AssistantMessage(stop_reason="aborted", error_message="Request was aborted", timestamp=1)


@pytest.mark.parametrize(
    "text",
    [
        "overloaded_error",
        "http 502 bad",
        "520",
        "terminated",
        '{"code":13081} 429',
        "Rate limit reached",
        "rate_limit_error",
        "Service temporarily unavailable",
        "The service is temporarily unavailable",
        "Internal server error",
        "Provider returned an error",
        "Connection error.: connect ECONNREFUSED 127.0.0.1:1",
        "Request timed out: no data received for 300 s",
        "Request timed out.",
        "timeout",
        "Stream ended without finish_reason",
        "Anthropic stream ended before message_stop",
        "request to https://api.test/v1 failed, reason: x",
        "Server requested 120s retry delay (max: 60s). 429 slow",
        "HTTP/2 stream failed",
        "RESOURCEEXHAUSTED",
    ],
)
def test_ai_core_check_57_passing_failures(text: str) -> None:
    assert is_retryable_assistant_error(failed(text))


@pytest.mark.parametrize(
    "text",
    [
        "req_5023",
        "HTTP500",
        "408",
        "529",
        "insufficient_quota 429",
        "Quota exceeded 429",
        '{"code":"1308"} 429',
        '{"code" : 1308} 429',
        "401 unauthorized",
        "Monthly usage limit reached, too many requests",
        "Your available balance is 0 (429)",
        "billing 503",
        "429x",
        "",
    ],
)
def test_ai_core_check_57_lasting_failures(text: str) -> None:
    assert not is_retryable_assistant_error(failed(text))


def test_ai_core_check_57_only_errors_are_retried() -> None:
    aborted = AssistantMessage(stop_reason="aborted", error_message="429")
    assert not is_retryable_assistant_error(aborted)
    assert not is_retryable_assistant_error(OK)
    assert not is_retryable_assistant_error(AssistantMessage(stop_reason="error"))


@pytest.mark.parametrize(
    ("attempt", "limit", "expected"),
    [
        (1, None, 2000),
        (2, None, 4000),
        (3, None, 8000),
        (6, None, 60_000),
        (100, None, 60_000),
        (10**9, None, 60_000),
        (0, None, 2000),
        (3, 5000, 5000),
        (8, 300_000, 256_000),
    ],
)
def test_ai_core_check_58_delays_double_up_to_the_limit(
    attempt: int, limit: float | None, expected: float
) -> None:
    policy = RetryPolicy(max_retries=9, base_delay_ms=2000, max_agent_delay_ms=limit)
    assert retry_delay_ms(policy, attempt) == expected


class Script:
    """Answers in order, and writes down what happens."""

    def __init__(self, *answers: AssistantMessage | Exception) -> None:
        self.answers = list(answers)
        self.log: list[object] = []
        self.callbacks = RetryCallbacks(
            on_retry_scheduled=lambda *args: self.log.append(("scheduled", *args)),
            on_retry_attempt_start=lambda: self.log.append("start"),
            on_retry_finished=lambda *args: self.log.append(("finished", *args)),
        )

    async def produce(self) -> AssistantMessage:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def sleep(self, seconds: float) -> None:
        self.log.append(("sleep", seconds))

    def run(self, policy: RetryPolicy | None = POLICY) -> AssistantMessage:
        return asyncio.run(
            retry_assistant_call(self.produce, policy, callbacks=self.callbacks, sleep=self.sleep)
        )


def test_ai_core_check_59_success_on_the_second_attempt() -> None:
    script = Script(failed("429"), OK)
    assert script.run() is OK
    assert script.log == [
        ("scheduled", 1, 2, 2000, "429"),
        ("sleep", 2.0),
        "start",
        ("finished", True, 1, None),
    ]


def test_ai_core_check_59_the_last_error_is_reported() -> None:
    last = failed("502")
    script = Script(failed("429"), failed("503"), last)
    assert script.run() is last
    assert script.log == [
        ("scheduled", 1, 2, 2000, "429"),
        ("sleep", 2.0),
        "start",
        ("scheduled", 2, 2, 4000, "503"),
        ("sleep", 4.0),
        "start",
        ("finished", False, 2, "502"),
    ]


@pytest.mark.parametrize(
    ("policy", "first"),
    [
        pytest.param(POLICY, failed("401"), id="lasting-failure"),
        pytest.param(POLICY, OK, id="success"),
        pytest.param(POLICY, ABORTED, id="aborted"),
        pytest.param(None, failed("429"), id="no-policy"),
        pytest.param(
            RetryPolicy(enabled=False, max_retries=2, base_delay_ms=1), failed("429"), id="off"
        ),
        pytest.param(RetryPolicy(max_retries=0, base_delay_ms=1), failed("429"), id="no-retries"),
    ],
)
def test_ai_core_check_59_no_retry_tells_nobody(
    policy: RetryPolicy | None, first: AssistantMessage
) -> None:
    script = Script(first)
    assert script.run(policy) is first
    assert script.log == []


def test_a_response_aborted_in_a_retry_ends_it_without_error() -> None:
    script = Script(failed("429"), ABORTED)
    assert script.run() is ABORTED
    assert script.log[-1] == ("finished", False, 1, None)


def test_a_lasting_failure_in_a_retry_ends_it() -> None:
    script = Script(failed("429"), failed("401"))
    script.run()
    assert script.log[-1] == ("finished", False, 1, "401")


def test_an_exception_passes_through_and_the_end_is_told() -> None:
    script = Script(failed("429"), RuntimeError("broken"))
    with pytest.raises(RuntimeError, match="broken"):
        script.run()
    assert script.log[-1] == ("finished", False, 1, None)


def test_ai_core_check_59_abort_during_the_delay_returns_the_failure_as_aborted() -> None:
    controller = AbortController()
    finished: list[object] = []
    error = AssistantMessage(
        [TextContent("part")],
        usage=Usage(input=3),
        stop_reason="error",
        error_message="429",
        timestamp=1,
    )
    script = Script(error)

    def abort_soon(*_arguments: object) -> None:
        asyncio.get_running_loop().call_soon(controller.abort)

    callbacks = RetryCallbacks(
        on_retry_scheduled=abort_soon,
        on_retry_attempt_start=lambda: pytest.fail("no further attempt"),
        on_retry_finished=lambda *args: finished.append(args),
    )

    async def scenario() -> AssistantMessage:
        return await asyncio.wait_for(
            retry_assistant_call(
                script.produce,
                RetryPolicy(max_retries=2, base_delay_ms=60_000),
                signal=controller.signal,
                callbacks=callbacks,
            ),
            5,
        )

    message = asyncio.run(scenario())
    assert message == AssistantMessage(
        [TextContent("part")], usage=Usage(input=3), stop_reason="aborted", timestamp=1
    )
    assert finished == [(False, 1, "429")]
    assert error.stop_reason == "error"


def test_a_signal_set_before_the_delay_ends_it_at_once() -> None:
    controller = AbortController()

    async def produce() -> AssistantMessage:
        controller.abort()
        return failed("429")

    policy = RetryPolicy(max_retries=1, base_delay_ms=60_000)
    message = asyncio.run(retry_assistant_call(produce, policy, signal=controller.signal))
    assert message.stop_reason == "aborted"
    assert message.error_message is None


def test_cancelling_the_caller_stays_a_cancellation() -> None:
    script = Script(failed("429"))

    async def scenario() -> None:
        task = asyncio.create_task(
            retry_assistant_call(
                script.produce,
                RetryPolicy(max_retries=1, base_delay_ms=60_000),
                signal=AbortController().signal,
                callbacks=script.callbacks,
            )
        )
        while not script.log:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(scenario())
    assert script.log[-1] == ("finished", False, 1, None)


def test_callbacks_may_be_coroutines() -> None:
    log: list[str] = []

    def note(word: str) -> Callable[..., Awaitable[None]]:
        async def callback(*_arguments: object) -> None:
            await asyncio.sleep(0)
            log.append(word)

        return callback

    script = Script(failed("429"), OK)
    script.callbacks = RetryCallbacks(
        on_retry_scheduled=note("scheduled"),
        on_retry_attempt_start=note("start"),
        on_retry_finished=note("finished"),
    )
    script.run()
    assert log == ["scheduled", "start", "finished"]
