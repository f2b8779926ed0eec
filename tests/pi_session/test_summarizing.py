"""One summary: what is asked, when it is asked again, what is no summary."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from pi_ai.abort import AbortController, AbortSignal
from pi_ai.errors import AbortError
from pi_ai.estimate import estimate_context_tokens
from pi_ai.retry import RetryCallbacks, RetryPolicy
from pi_ai.testing import FauxProvider, faux_message, faux_tool_call
from pi_ai.types import AssistantMessage, StreamOptions, ThinkingContent
from pi_session import Summarizer, SummaryError
from pi_session.compaction_prompts import history_request
from pi_session.summarizing import Summary, SummaryRequest, request_summary
from support.summaries import request_text, scripted_summarizer

OVERFLOW = faux_message(
    "", stop_reason="error", error_message="prompt is too long: 213462 tokens > 200000 maximum"
)


def request(*conversation: str, previous: str | None = None, reserve: int = 16_384) -> Any:
    return SummaryRequest(
        label="Summarization",
        conversation=conversation or ("[User]: hi",),
        previous_summary=previous,
        write=history_request,
        reserve_tokens=reserve,
    )


def summarize(
    provider: FauxProvider, asked: Any = None, signal: AbortSignal | None = None, **fields: Any
) -> Summary:
    summarizer = scripted_summarizer(provider, **fields)
    return asyncio.run(request_summary(asked or request(), summarizer, signal))


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        pytest.param(
            faux_message("half", stop_reason="length"),
            "Summarization failed: generation hit the token cap and the summary is incomplete",
            id="length",
        ),
        pytest.param(
            faux_message("", stop_reason="error", error_message="boom"),
            "Summarization failed: boom",
            id="error",
        ),
        pytest.param(
            faux_message(faux_tool_call("read", {"path": "a"})),
            "Summarization attempted to call a tool",
            id="tool-call",
        ),
        pytest.param(
            faux_message(" \n"), "Summarization failed: the model gave no text", id="blank"
        ),
        pytest.param(
            faux_message(ThinkingContent("hm")),
            "Summarization failed: the model gave no text",
            id="thinking-only",
        ),
    ],
)
def test_session_check_64_answers_that_are_no_summary(answer: AssistantMessage, text: str) -> None:
    with pytest.raises(SummaryError) as caught:
        summarize(FauxProvider([answer]))
    assert str(caught.value) == text


async def answers(message: AssistantMessage, options: StreamOptions | None = None) -> Any:
    return message


def test_session_check_64_aborted_answer() -> None:
    aborted = AssistantMessage([], stop_reason="aborted")
    summarizer = Summarizer(ask=lambda *_: answers(aborted), model=FauxProvider().model)
    with pytest.raises(AbortError):
        asyncio.run(request_summary(request(), summarizer))


def test_error_without_a_text() -> None:
    failed = AssistantMessage([], stop_reason="error")
    summarizer = Summarizer(ask=lambda *_: answers(failed), model=FauxProvider().model)
    with pytest.raises(SummaryError, match=r"^Summarization failed: Unknown error$"):
        asyncio.run(request_summary(request(), summarizer))


# --- the request ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("level", "reasons", "sent"),
    [("high", True, "high"), ("off", True, None), ("high", False, None)],
    ids=["on", "off", "model-does-not-reason"],
)
def test_session_check_65_request_options(level: str, reasons: bool, sent: str | None) -> None:
    provider = FauxProvider([faux_message("S")])
    model = replace(provider.model, reasoning=reasons)
    summarize(provider, thinking_level=level, model=model)
    (asked,) = provider.requests
    assert asked.options.get("cache_retention") == "none"
    assert asked.options.get("reasoning") == sent
    assert asked.options.get("session_id")
    assert asked.messages[0].tools_added is None


def test_session_id_is_fresh_or_given_and_kept_across_retries() -> None:
    busy = faux_message("", stop_reason="error", error_message="overloaded")
    provider = FauxProvider([busy, faux_message("S"), faux_message("S"), faux_message("S")])
    summarize(provider)
    summarize(provider)
    summarize(provider, session_id="given")
    ids = [asked.options.get("session_id") for asked in provider.requests]
    assert ids[0] == ids[1]
    assert len({*ids}) == 3
    assert ids[3] == "given"


def test_usage_is_that_of_the_answer() -> None:
    provider = FauxProvider([faux_message("x" * 40)])
    found = summarize(provider)
    assert found.text == "x" * 40
    assert found.usage.output == 10
    assert found.usage.input > 0


# --- asking again -----------------------------------------------------------------------------


def test_transient_errors_are_asked_for_again_and_told() -> None:
    busy = faux_message("", stop_reason="error", error_message="429 too many requests")
    provider = FauxProvider([busy, busy, faux_message("S")])
    told: list[Any] = []
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    callbacks = RetryCallbacks(
        on_retry_scheduled=lambda *values: told.append(values),
        on_retry_attempt_start=lambda: told.append("start"),
        on_retry_finished=lambda *values: told.append(values),
    )
    assert summarize(provider, callbacks=callbacks, sleep=sleep).text == "S"
    assert waited == [2, 4]
    text = "429 too many requests"
    assert told == [(1, 3, 2000, text), "start", (2, 3, 4000, text), "start", (True, 2, None)]


def test_retries_end_and_policy_can_be_none() -> None:
    busy = faux_message("", stop_reason="error", error_message="overloaded")
    provider = FauxProvider([busy] * 6)
    with pytest.raises(SummaryError, match="overloaded"):
        summarize(provider)
    assert provider.call_count == 4
    with pytest.raises(SummaryError, match="overloaded"):
        summarize(provider, retry=None)
    assert provider.call_count == 5


def test_abort_ends_the_wait_before_a_retry() -> None:
    busy = faux_message("", stop_reason="error", error_message="overloaded")
    provider = FauxProvider([busy, faux_message("S")])
    controller = AbortController()

    async def sleep(_seconds: float) -> None:
        controller.abort()
        await asyncio.Event().wait()

    with pytest.raises(AbortError):
        summarize(
            provider,
            signal=controller.signal,
            sleep=sleep,
            retry=RetryPolicy(max_retries=3, base_delay_ms=1),
        )
    assert provider.call_count == 1


def test_nothing_is_asked_after_an_abort() -> None:
    provider = FauxProvider([faux_message("S")])
    controller = AbortController()
    controller.abort()
    with pytest.raises(AbortError):
        summarize(provider, signal=controller.signal)
    assert provider.call_count == 0


def test_abort_stops_the_request() -> None:
    controller = AbortController()

    async def answer(_request: Any) -> AssistantMessage:
        controller.abort()
        await asyncio.Event().wait()
        return faux_message("never")

    with pytest.raises(AbortError):
        summarize(FauxProvider([answer]), signal=controller.signal)


def test_request_that_is_too_long_after_all_is_halved() -> None:
    provider = FauxProvider([OVERFLOW, OVERFLOW, faux_message("S")])
    assert summarize(provider, request("[User]: " + "long " * 20_000)).text == "S"
    lengths = [len(request_text(asked)) for asked in provider.requests]
    assert lengths[1] <= lengths[0] // 2
    assert lengths[2] <= lengths[1] // 2
    assert all("## Goal" in request_text(asked) for asked in provider.requests)


def test_halving_ends() -> None:
    provider = FauxProvider([OVERFLOW] * 9)
    with pytest.raises(SummaryError, match="prompt is too long"):
        summarize(provider)
    assert provider.call_count == 4


# --- fitting the window -----------------------------------------------------------------------


@pytest.mark.parametrize("window", [8192, 16_384, 32_768, 200_000])
@pytest.mark.parametrize(
    ("conversation", "previous"),
    [
        pytest.param(["[User]: " + "word " * 600_000], None, id="one-long-text"),
        pytest.param(["[User]: 日本語 " * 100] * 3000, None, id="many-texts"),
        pytest.param(["[User]: " + "😀" * 900_000] * 2, "old " * 400_000, id="long-summary"),
    ],
)
def test_no_request_is_longer_than_the_window(
    window: int, conversation: list[str], previous: str | None
) -> None:
    provider = FauxProvider([faux_message("S")])
    summarize(provider, request(*conversation, previous=previous), context_window=window)
    (asked,) = provider.requests
    tokens = estimate_context_tokens(asked.messages).tokens
    left_free = window - tokens
    assert left_free >= min(16_384, max(6144, window // 2))
    assert tokens > (window - max(16_384, window // 2)) * 0.6
    assert ("<previous-summary>" in request_text(asked)) is (previous is not None)


def test_unknown_window_sends_everything() -> None:
    provider = FauxProvider([faux_message("S")])
    summarize(provider, request("[User]: " + "w" * 3_000_000), context_window=0)
    assert "w" * 3_000_000 in request_text(provider.requests[0])
