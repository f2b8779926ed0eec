"""Full context windows."""

from __future__ import annotations

import pytest

from pi_ai.overflow import is_context_overflow, is_recoverable_length
from pi_ai.types import AssistantMessage, StopReason, Usage


def failed(text: str, provider: str = "p") -> AssistantMessage:
    return AssistantMessage(provider=provider, stop_reason="error", error_message=text)


def ended(stop_reason: StopReason, usage: Usage) -> AssistantMessage:
    return AssistantMessage(stop_reason=stop_reason, usage=usage)


@pytest.mark.parametrize(
    "text",
    [
        "413",
        "413: too large",
        "413 status code (no body)",
        "github-copilot API error (413): failed",
        "Input length (265330) exceeds model's maximum context length (262144).",
        "prompt is too long: 213462 tokens > 200000 maximum",
        "Prompt too long; exceeded max context length by 4 tokens",
        "Prompt exceeds max length",
        '413 {"error":{"type":"request_too_large","message":"Request exceeds the maximum size"}}',
        "Input is too long for requested model.",
        "Your input exceeds the context window of this model.",
        "The request exceeds the maximum context length of 131,072 tokens",
        "Context window exceeded",
        "The input token count (1196265) exceeds the maximum number of tokens allowed (1048575).",
        "This model's maximum prompt length is 131072 but the request contains 537812 tokens.",
        "Please reduce the length of the messages or completion.",
        "This endpoint's maximum context length is 65536 tokens.",
        "Input exceeds the maximum allowed input length of 98,304 tokens",
        "input (9000 tokens) is longer than the model's context length (8192 tokens)",
        "prompt token count of 200,000 exceeds the limit of 128000",
        "the request exceeds the available context size. try increasing it",
        "tokens to keep from the initial prompt is greater than the context length",
        "invalid params, context window exceeds limit (2013)",
        "Your request exceeded model token limit: 262144",
        "Prompt contains 40000 tokens, too large for model with 32768 maximum context length",
        "prompt has 9,000 tokens, but the configured context size is 8,192 tokens",
        "Unhandled stop reason: model_context_window_exceeded",
        "Range of input length should be [1, 30720]",
        "context_length_exceeded",
        "context length exceeded",
        "too many tokens",
        "Token limit exceeded",
    ],
)
def test_ai_core_check_55_error_texts_of_a_full_window(text: str) -> None:
    assert is_context_overflow(failed(text))
    assert is_context_overflow(failed(text.upper()))


@pytest.mark.parametrize(
    "text",
    [
        "4130 x",
        "error 413",
        "400 status code (no body)",
        "Throttling error: Too many tokens, please wait",
        "Service unavailable: too many tokens",
        "rate limit: too many tokens",
        "Too many requests: too many tokens",
        "exceeds the maximum size",
        "500: internal error",
    ],
)
def test_ai_core_check_55_other_error_texts(text: str) -> None:
    assert not is_context_overflow(failed(text))


@pytest.mark.parametrize("text", ["400 status code (no body)", "413 (no body)", "400(no body)"])
def test_ai_core_check_55_an_empty_answer_of_cerebras(text: str) -> None:
    assert is_context_overflow(failed(text, "cerebras"))
    assert not is_context_overflow(failed("x " + text, "cerebras"))


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        pytest.param(ended("stop", Usage(input=60, cache_read=60)), True, id="stop-over"),
        pytest.param(ended("stop", Usage(input=100)), False, id="stop-at-the-window"),
        pytest.param(ended("toolUse", Usage(input=160)), False, id="tool-use"),
        pytest.param(ended("length", Usage(input=99)), True, id="length-no-output"),
        pytest.param(ended("length", Usage(input=98)), False, id="length-with-room"),
        pytest.param(ended("length", Usage(input=99, output=1)), False, id="length-with-output"),
    ],
)
def test_ai_core_check_56_usage_tells_of_silent_overflow(
    message: AssistantMessage, expected: bool
) -> None:
    assert is_context_overflow(message, 100) is expected
    assert not is_context_overflow(message)
    assert not is_context_overflow(message, 0)


def test_text_is_read_only_in_errors() -> None:
    stopped = AssistantMessage(stop_reason="stop", error_message="prompt is too long")
    assert not is_context_overflow(stopped)
    assert not is_context_overflow(AssistantMessage(stop_reason="error"))


@pytest.mark.parametrize(
    ("stop_reason", "desired", "expected"),
    [
        pytest.param("length", 100, True, id="cut-early"),
        pytest.param("length", 10, False, id="all-that-was-wanted"),
        pytest.param("length", 0, False, id="nothing-wanted"),
        pytest.param("stop", 100, False, id="stopped"),
    ],
)
def test_ai_core_check_60_length_for_want_of_context(
    stop_reason: StopReason, desired: int, expected: bool
) -> None:
    assert is_recoverable_length(ended(stop_reason, Usage(output=10)), desired) is expected
