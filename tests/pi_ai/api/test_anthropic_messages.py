"""Anthropic streams as events. Providers spec, section 11, checks 55 to 62."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from pi_ai import Context, ThinkingContent, Tool, UserMessage
from pi_ai.testing import LoopbackResponse
from support.exchanges import (
    BODIES,
    C,
    Exchanged,
    exchange,
    message_end,
    message_start,
    record,
    text_block,
)


def stream(*records: bytes, **changes: Any) -> Exchanged:
    return exchange(replace(C, **changes), b"".join(records))


def start(index: int, **block: Any) -> bytes:
    return record("content_block_start", index=index, content_block=block)


def delta(index: int, kind: str, **fields: Any) -> bytes:
    return record("content_block_delta", index=index, delta={"type": kind, **fields})


def stop(index: int) -> bytes:
    return record("content_block_stop", index=index)


START_S4 = message_start(
    usage={
        "input_tokens": 100,
        "cache_read_input_tokens": 20,
        "cache_creation_input_tokens": 30,
        "cache_creation": {"ephemeral_1h_input_tokens": 20},
        "output_tokens": 1,
    }
)


def test_providers_check_55_every_kind_of_block() -> None:
    got = stream(
        START_S4,
        record("ping"),
        start(0, type="thinking", thinking="", signature=""),
        delta(0, "thinking_delta", thinking="hm"),
        delta(0, "signature_delta", signature="SI"),
        delta(0, "signature_delta", signature="G"),
        stop(0),
        start(1, type="redacted_thinking", data="ENC"),
        stop(1),
        text_block("Hel", "lo", index=2),
        start(3, type="tool_use", id="toolu_1", name="read", input={}),
        delta(3, "input_json_delta", partial_json=""),
        delta(3, "input_json_delta", partial_json='{"path": "a'),
        delta(3, "input_json_delta", partial_json='"}'),
        stop(3),
        message_end("tool_use", output_tokens=50, output_tokens_details={"thinking_tokens": 7}),
    )
    assert got.told == [
        ("start",),
        ("thinking_start", 0),
        ("thinking_delta", 0, "hm"),
        ("thinking_end", 0, "hm"),
        ("thinking_start", 1),
        ("thinking_end", 1, "[Reasoning redacted]"),
        ("text_start", 2),
        ("text_delta", 2, "Hel"),
        ("text_delta", 2, "lo"),
        ("text_end", 2, "Hello"),
        ("toolcall_start", 3),
        ("toolcall_delta", 3, ""),
        ("toolcall_delta", 3, '{"path": "a'),
        ("toolcall_delta", 3, '"}'),
        ("toolcall_end", 3, "toolu_1", "read", {"path": "a"}),
        ("done", "toolUse"),
    ]
    message = got.message
    assert message.content[0] == ThinkingContent("hm", "SIG")
    assert message.content[1] == ThinkingContent("[Reasoning redacted]", "ENC", redacted=True)
    assert (message.response_id, message.raw_stop_reason) == ("msg_1", "tool_use")
    usage = message.usage
    assert (usage.input, usage.output, usage.cache_read) == (100, 50, 20)
    assert (usage.cache_write, usage.cache_write_1h, usage.reasoning) == (30, 20, 7)
    assert usage.total_tokens == 200
    cost = usage.cost
    parts = (cost.input, cost.output, cost.cache_read, cost.cache_write, cost.total)
    assert parts == pytest.approx((0.0003, 0.00075, 0.000006, 0.0001575, 0.0012135), abs=1e-12)


OVERLOADED = b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}'


def test_providers_check_56_error_event_keeps_what_came() -> None:
    got = stream(
        START_S4,
        start(0, type="text", text=""),
        delta(0, "text_delta", text="x"),
        b"event: error\ndata: " + OVERLOADED + b"\n\n",
    )
    assert got.told == [
        ("start",),
        ("text_start", 0),
        ("text_delta", 0, "x"),
        ("error", "error"),
    ]
    assert got.message.error_message == OVERLOADED.decode()
    assert got.message.text == "x"
    assert got.message.usage.input == 100


def test_providers_check_57_subscription_tool_names_come_back_as_declared() -> None:
    blocks = [
        start(i, type="tool_use", id=f"t{i}", name=name, input={}) + stop(i)
        for i, name in enumerate(["Read", "Unknown"])
    ]
    body = b"".join([message_start(), *blocks, message_end("tool_use")])
    context = Context([UserMessage("hi")], tools=[Tool("read", "r", {"type": "object"})])
    got = exchange(C, body, context, api_key="sk-ant-oat01-x")
    assert [call.name for call in got.message.tool_calls] == ["read", "Unknown"]


def refusal(**details: Any) -> bytes:
    stop_details = {"stop_details": details} if details else {}
    ending = {"stop_reason": "refusal", **stop_details}
    return record("message_delta", delta=ending) + record("message_stop")


@pytest.mark.parametrize(
    ("ending", "text", "raw"),
    [
        pytest.param(refusal(explanation="Not this."), "Not this.", "refusal", id="refusal"),
        pytest.param(
            refusal(), "The model refused to complete the request", "refusal", id="unexplained"
        ),
        pytest.param(
            message_end("sensitive"),
            "Provider stopped with: sensitive",
            "sensitive",
            id="sensitive",
        ),
        pytest.param(
            message_end("model_context_window_exceeded", output_tokens=9),
            "Unhandled stop reason: model_context_window_exceeded",
            "model_context_window_exceeded",
            id="unhandled",
        ),
    ],
)
def test_providers_check_58_stop_reasons_that_are_errors(
    ending: bytes, text: str, raw: str
) -> None:
    got = stream(START_S4, text_block("x"), ending)
    assert got.told[-1] == ("error", "error")
    assert got.message.error_message == text
    assert got.message.raw_stop_reason == raw
    assert (got.message.text, got.message.usage.output) == ("x", 1)


NO_STOP = "Anthropic stream ended before message_stop"
NO_REASON = "Anthropic stream ended without a stop reason"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        pytest.param(message_start() + text_block("x"), NO_STOP, id="no-message-stop"),
        pytest.param(
            message_start() + text_block("x") + record("message_stop"), NO_REASON, id="no-reason"
        ),
        pytest.param(b"", NO_REASON, id="empty"),
        pytest.param(b"<html>no</html>", NO_REASON, id="html"),
    ],
)
def test_providers_check_59_streams_that_end_early_failed(body: bytes, text: str) -> None:
    got = stream(body)
    assert got.told[-1] == ("error", "error")
    assert got.message.error_message == text


def test_providers_check_60_only_numbers_overwrite_the_usage() -> None:
    ending = message_end("end_turn", input_tokens=None, output_tokens=9, cache_read_input_tokens=0)
    usage = stream(START_S4, text_block("x"), ending).message.usage
    assert (usage.input, usage.output, usage.cache_read, usage.total_tokens) == (100, 9, 0, 139)


@pytest.mark.parametrize(
    ("served", "input_cost"),
    [
        pytest.param("cheap", 100 * 100 / 1e6, id="allowed"),
        pytest.param("other", 100 * 3 / 1e6, id="not-allowed"),
    ],
)
def test_providers_check_61_an_allowed_fallback_is_priced_as_itself(
    served: str, input_cost: float
) -> None:
    cost = {"input": 100, "output": 100, "cacheRead": 0, "cacheWrite": 0}
    allowed = [{"provider": "custom", "model": "cheap", "cost": cost}]
    usage = {"input_tokens": 100, "output_tokens": 1}
    got = stream(
        message_start(model=served, usage=usage),
        text_block("x"),
        message_end(),
        compat={"allowedFallbackModels": allowed},
    )
    assert got.message.response_model == served
    assert got.message.usage.cost.input == pytest.approx(input_cost)
    assert got.body["fallbacks"] == [{"model": "cheap"}]
    assert got.request.headers["anthropic-beta"] == "server-side-fallback-2026-07-01"


def test_providers_check_62_odd_characters_in_json_strings_are_repaired() -> None:
    text = (
        b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a\tb\\q"}}'
    )
    got = stream(
        message_start(),
        start(0, type="text", text=""),
        b"event: content_block_delta\ndata: " + text + b"\n\n",
        stop(0),
        message_end(),
    )
    assert got.message.text == "a\tb\\q"


def test_broken_json_is_an_error_that_names_the_event() -> None:
    got = stream(message_start(), text_block("x"), b"event: message_delta\ndata: {bad\n\n")
    text = got.message.error_message or ""
    assert text.startswith("Could not parse Anthropic SSE event message_delta: ")
    assert "; data={bad; raw=" in text
    assert got.message.text == "x"


@pytest.mark.parametrize(
    ("records", "told"),
    [
        pytest.param(
            [delta(7, "text_delta", text="lost"), stop(7)], [], id="delta-of-an-unknown-block"
        ),
        pytest.param(
            [
                start(0, type="text", text="init"),
                delta(0, "input_json_delta", partial_json="{}"),
                delta(0, "citations_delta"),
                stop(0),
            ],
            [("text_start", 0), ("text_end", 0, "init")],
            id="delta-of-another-kind",
        ),
        pytest.param(
            [
                start(0, type="server_tool_use", id="s", name="web_search"),
                delta(0, "input_json_delta", partial_json="{}"),
                stop(0),
                text_block("x", index=1),
            ],
            [("text_start", 0), ("text_delta", 0, "x"), ("text_end", 0, "x")],
            id="blocks-of-unknown-kinds-are-not-counted",
        ),
        pytest.param(
            [start(0, type="tool_use", id="t", name="f", input={"a": 1}), stop(0)],
            [("toolcall_start", 0), ("toolcall_end", 0, "t", "f", {"a": 1})],
            id="input-at-the-start-stands-without-deltas",
        ),
        pytest.param(
            [start(0, type="fallback"), stop(0), text_block("x", index=1)],
            [("text_start", 0), ("text_delta", 0, "x"), ("text_end", 0, "x")],
            id="fallback-before-any-content",
        ),
        pytest.param(
            [b'data: {"type":"message_stop"}\n\n', record("newer_kind", a=1)], [], id="unnamed-data"
        ),
    ],
)
def test_unexpected_records_are_passed_over(records: list[bytes], told: list[Any]) -> None:
    got = stream(message_start(), *records, message_end())
    assert got.told == [("start",), *told, ("done", "stop")]


def test_a_fallback_in_mid_output_is_an_error() -> None:
    got = stream(message_start(), text_block("x"), start(1, type="fallback"))
    assert got.message.error_message == (
        "Anthropic performed an unsupported mid-output model fallback"
    )


def test_input_transformations_become_a_diagnostic() -> None:
    change = {"type": "t", "path": "p", "reason": "r", "more": 1}
    got = stream(
        message_start(),
        text_block("x"),
        record("message_delta", delta={"stop_reason": "end_turn"}, input_transformations=[change]),
        record("message_stop"),
    )
    [diagnostic] = got.message.diagnostics or []
    assert diagnostic.kind == "anthropic_input_transformations"
    assert diagnostic.details == {"transformations": [{"type": "t", "path": "p", "reason": "r"}]}


def test_message_start_without_usage_counts_as_zeros() -> None:
    bare = record("message_start", message={"id": "msg_1", "model": "c"})
    usage = stream(bare, text_block("x"), message_end()).message.usage
    assert (usage.input, usage.output, usage.total_tokens) == (0, 0, 0)


def test_nothing_behind_message_stop_counts() -> None:
    got = stream(BODIES["anthropic-messages"], b"event: error\ndata: late\n\n")
    assert got.told[-1] == ("done", "stop")


def test_status_204_has_no_body_to_read() -> None:
    got = exchange(C, LoopbackResponse(status=204))
    assert got.told == [("start",), ("error", "error")]
    assert got.message.error_message == (
        "Attempted to iterate over an Anthropic response with no body"
    )
