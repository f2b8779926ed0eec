"""Responses streams as events. Spec of openai-responses, section 14, checks 10 and 20 to 30."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from pi_ai import AbortController, Models, TextContent, ThinkingContent, ToolCall
from pi_ai.api._responses_decoder import Decoder
from pi_ai.api.openai_responses import ResponsesOptions
from pi_ai.builder import MessageBuilder
from pi_ai.http.sse import SseDecoder, SseRecord
from pi_ai.testing import LoopbackResponse, LoopbackServer
from pi_ai.types import ModelCost
from support.exchanges import (
    HI,
    RESPONSE_CREATED,
    Exchanged,
    R,
    brief,
    data,
    event,
    exchange,
    responses_delta,
    responses_end,
    responses_item,
    responses_text,
    streamed,
)

LIMITED = "subscription_sharing_usage_limit_exceeded"
WORKSPACE = "subscription_sharing_workplace_individual_usage_limit_exceeded"
CALL = {
    "type": "function_call",
    "id": "fc_1",
    "call_id": "call_1",
    "name": "read",
    "arguments": "",
}
CUSTOM = {"type": "custom_tool_call", "id": "ctc_1", "call_id": "call_1", "name": "run"}
REASONING = {"type": "reasoning", "id": "rs_1", "summary": []}


def stream(*pieces: bytes, **changes: Any) -> Exchanged:
    return exchange(replace(R, **changes), b"".join([RESPONSE_CREATED, *pieces]))


def added(index: int, item: dict[str, Any]) -> bytes:
    return event("response.output_item.added", output_index=index, item=item)


def done(index: int, item: dict[str, Any]) -> bytes:
    return event("response.output_item.done", output_index=index, item=item)


def arguments(delta: str, index: int = 0) -> bytes:
    return responses_delta("function_call_arguments", delta, index)


USAGE = {
    "input_tokens": 120,
    "input_tokens_details": {"cached_tokens": 100, "cache_write_tokens": 5},
    "output_tokens": 40,
    "output_tokens_details": {"reasoning_tokens": 16},
    "total_tokens": 160,
}
THINKING = {
    **REASONING,
    "summary": [{"type": "summary_text", "text": "Thinking"}],
    "encrypted_content": "ENC",
}
EXAMPLE = (
    responses_item(
        0,
        REASONING,
        responses_delta("reasoning_summary_text", "Think"),
        responses_delta("reasoning_summary_text", "ing"),
        event("response.reasoning_summary_part.done", output_index=0),
        **THINKING,
    ),
    responses_text("Hel", "lo", index=1, id="msg_1", phase="commentary"),
    responses_item(
        2,
        CALL,
        arguments('{"pa', 2),
        arguments('th":"a.txt"}', 2),
        event(
            "response.function_call_arguments.done",
            output_index=2,
            arguments='{"path":"a.txt"}',
        ),
        arguments='{"path":"a.txt"}',
    ),
    responses_end(usage=USAGE),
)


def test_responses_check_10_thinking_text_and_a_tool_call() -> None:
    got = stream(*EXAMPLE)
    assert got.told == [
        ("start",),
        ("thinking_start", 0),
        ("thinking_delta", 0, "Think"),
        ("thinking_delta", 0, "ing"),
        ("thinking_delta", 0, "\n\n"),
        ("thinking_end", 0, "Thinking"),
        ("text_start", 1),
        ("text_delta", 1, "Hel"),
        ("text_delta", 1, "lo"),
        ("text_end", 1, "Hello"),
        ("toolcall_start", 2),
        ("toolcall_delta", 2, '{"pa'),
        ("toolcall_delta", 2, 'th":"a.txt"}'),
        ("toolcall_end", 2, "call_1|fc_1", "read", {"path": "a.txt"}),
        ("done", "toolUse"),
    ]
    thinking, text, call = got.message.content
    assert isinstance(thinking, ThinkingContent)
    assert thinking.thinking_signature == json.dumps(THINKING, separators=(",", ":"))
    assert text == TextContent("Hello", '{"v":1,"id":"msg_1","phase":"commentary"}')
    assert call == ToolCall("call_1|fc_1", "read", {"path": "a.txt"})
    usage = got.message.usage
    assert (usage.input, usage.output, usage.cache_read, usage.cache_write) == (15, 40, 100, 5)
    assert (usage.reasoning, usage.total_tokens) == (16, 160)
    assert (got.message.response_id, got.message.raw_stop_reason) == ("resp_1", "completed")


def test_responses_check_20_the_finished_item_wins_over_its_deltas() -> None:
    text = {"type": "message", "id": "msg_1", "content": []}
    final = text | {"content": [{"type": "output_text", "text": "Hi"}]}
    got = stream(
        added(0, text), responses_delta("output_text", "A"), done(0, final), responses_end()
    )
    assert got.told[1:] == [
        ("text_start", 0),
        ("text_delta", 0, "A"),
        ("text_end", 0, "Hi"),
        ("done", "stop"),
    ]
    assert got.message.text == "Hi"


def test_responses_check_21_a_call_without_its_end_is_an_error() -> None:
    item = {**CALL, "id": "fc", "call_id": "c"}
    got = stream(added(0, item), arguments("{}"), responses_end())
    assert got.message.error_message == (
        "OpenAI Responses stream completed with an unfinished tool call: read (c|fc)"
    )
    assert got.told[-1] == ("error", "error")


def test_responses_check_22_final_arguments_that_are_no_json() -> None:
    got = stream(responses_item(0, CALL, arguments('{"a": '), arguments='{"a": '), responses_end())
    [call] = got.message.tool_calls
    assert got.told[-2:] == [("toolcall_end", 0, "call_1|fc_1", "read", {}), ("done", "toolUse")]
    assert (call.arguments_error or "").endswith('\n\nReceived arguments:\n{"a": ')


@pytest.mark.parametrize(
    ("told", "deltas", "result"),
    [
        pytest.param('{"a":1}', ['{"a":1}'], {"a": 1}, id="equal"),
        pytest.param('{"a":12}', ['{"a":1', "2}"], {"a": 12}, id="longer"),
        pytest.param('{"b":3}', ['{"a":1}'], {"b": 3}, id="contradicting"),
    ],
)
def test_responses_check_23_the_told_arguments_complete_the_streamed_ones(
    told: str, deltas: list[str], result: Any
) -> None:
    got = stream(
        added(0, CALL),
        arguments(deltas[0]),
        event("response.function_call_arguments.done", output_index=0, arguments=told),
        done(0, CALL),
        responses_end(),
    )
    assert [one[2] for one in got.told if one[0] == "toolcall_delta"] == deltas
    assert got.message.tool_calls[0].arguments == result


def test_responses_check_24_custom_input_becomes_json() -> None:
    got = stream(
        added(0, CUSTOM),
        responses_delta("custom_tool_call_input", 'a"b'),
        responses_delta("custom_tool_call_input", "\nc"),
        event("response.custom_tool_call_input.done", output_index=0, input='a"b\nc!'),
        done(0, {**CUSTOM, "input": 'a"b\nc!'}),
        responses_end(),
    )
    deltas = [one[2] for one in got.told if one[0] == "toolcall_delta"]
    assert deltas == ['{"input":"a\\"b', "\\nc", '!"}']
    assert got.message.tool_calls == [ToolCall("call_1|ctc_1", "run", {"input": 'a"b\nc!'})]
    assert json.loads("".join(deltas)) == {"input": 'a"b\nc!'}


@pytest.mark.parametrize("final", ["other", "ab", ""])
def test_custom_input_that_changes_is_an_error(final: str) -> None:
    got = stream(
        added(0, CUSTOM),
        responses_delta("custom_tool_call_input", "abc"),
        done(0, {**CUSTOM, "input": final}),
        responses_end(),
    )
    assert got.message.error_message == (
        'grammar tool input for property "input" changed non-monotonically'
    )


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@given(st.lists(TEXT, max_size=6), TEXT, st.booleans(), TEXT)
def test_custom_deltas_always_add_up_to_the_final_json(
    pieces: list[str], rest: str, told: bool, initial: str
) -> None:
    whole = initial + "".join(pieces) + rest
    decoder = Decoder(MessageBuilder(R), {"run": "code"})
    bodies = [added(0, {**CUSTOM, "input": initial})]
    bodies += [responses_delta("custom_tool_call_input", piece) for piece in pieces]
    if told:
        bodies.append(event("response.custom_tool_call_input.done", output_index=0, input=whole))
    bodies.append(done(0, {**CUSTOM, "input": whole}))
    events = [one for r in SseDecoder().feed(b"".join(bodies)) for one in decoder.feed(r)]
    deltas = [one.delta for one in events if one.type == "toolcall_delta"]
    assert json.loads("".join(deltas)) == {"code": whole}
    assert brief(events[-1])[-1] == {"code": whole}


def test_custom_input_may_cut_a_character_in_two() -> None:
    decoder = Decoder(MessageBuilder(R), {})
    halves = [rb'"\ud83d"', rb'"\ude00"']
    for half in halves:
        piece = b'{"type":"response.custom_tool_call_input.delta","output_index":0,"delta":%b}'
        if half == halves[0]:
            decoder.feed(next(iter(SseDecoder().feed(added(0, CUSTOM)))))
        decoder.feed(SseRecord("", piece % half))
    [record] = SseDecoder().feed(done(0, {**CUSTOM, "input": "😀"}))
    assert brief(decoder.feed(record)[-1])[-1] == {"input": "😀"}


@pytest.mark.parametrize(
    ("reason", "last", "raw", "text"),
    [
        pytest.param(
            "max_output_tokens",
            ("done", "length"),
            "incomplete.max_output_tokens",
            None,
            id="limit",
        ),
        pytest.param(
            "content_filter",
            ("error", "error"),
            "incomplete.content_filter",
            "Response incomplete: content_filter",
            id="filter",
        ),
        pytest.param(
            None,
            ("error", "error"),
            "incomplete",
            "Response incomplete without a provider reason",
            id="no-reason",
        ),
    ],
)
def test_responses_check_25_incomplete_responses(
    reason: str | None, last: Any, raw: str, text: str | None
) -> None:
    details = {"reason": reason} if reason else None
    end = responses_end("incomplete", incomplete_details=details, usage=USAGE)
    got = stream(added(0, CALL), arguments('{"pa'), end)
    assert got.told[-1] == last
    assert (got.message.raw_stop_reason, got.message.error_message) == (raw, text)
    assert got.message.tool_calls[0].id == "call_1|fc_1"
    assert got.message.usage.total_tokens == 160


@pytest.mark.parametrize(
    ("status", "last", "text"),
    [
        ("in_progress", ("done", "stop"), None),
        ("queued", ("done", "stop"), None),
        (None, ("done", "stop"), None),
        ("cancelled", ("error", "error"), "An unknown error occurred"),
        ("failed", ("error", "error"), "An unknown error occurred"),
        ("bogus", ("error", "error"), "Unhandled stop reason: bogus"),
    ],
)
def test_the_final_status_decides(status: str | None, last: Any, text: str | None) -> None:
    got = stream(responses_text("x"), responses_end(status=status))
    assert got.told[-1] == last
    assert got.message.error_message == text
    assert got.message.raw_stop_reason == status


def test_responses_check_26_a_connection_that_ends_early_keeps_the_text() -> None:
    message = {"type": "message", "id": "msg_1", "content": []}
    got = stream(added(0, message), responses_delta("output_text", "part"))
    assert got.message.error_message == (
        "OpenAI Responses stream ended before a terminal response event"
    )
    assert got.message.text == "part"
    assert got.told[-2:] == [("text_delta", 0, "part"), ("error", "error")]


def test_responses_check_27_encrypted_reasoning_may_come_with_the_response() -> None:
    output = [{"type": "message"}, REASONING | {"encrypted_content": "LATE"}]
    got = stream(responses_item(0, REASONING), responses_end(output=output))
    [thinking] = got.message.content
    assert isinstance(thinking, ThinkingContent)
    signature = json.loads(thinking.thinking_signature or "")
    assert signature == REASONING | {"encrypted_content": "LATE"}


# --- items in every order -----------------------------------------------------------------------


def test_parallel_items_interleave() -> None:
    second = {**CALL, "id": "fc_2", "call_id": "call_2", "name": "write"}
    got = stream(
        added(0, CALL),
        added(1, second),
        arguments('{"a":', 0),
        arguments('{"b":', 1),
        arguments("1}", 0),
        done(0, CALL),
        arguments("2}", 1),
        done(1, second),
        responses_end(),
    )
    assert [call.arguments for call in got.message.tool_calls] == [{"a": 1}, {"b": 2}]
    assert got.told[-3:-1] == [
        ("toolcall_delta", 1, "2}"),
        ("toolcall_end", 1, "call_2|fc_2", "write", {"b": 2}),
    ]


def test_items_that_were_never_announced_are_made_at_their_end() -> None:
    message = {"type": "message", "id": "msg_1", "content": [{"type": "refusal", "refusal": "No"}]}
    call = {**CALL, "arguments": '{"a":1}', "id": None}
    got = stream(done(0, THINKING), done(1, message), done(2, call), responses_end())
    assert got.told == [
        ("start",),
        ("thinking_start", 0),
        ("thinking_end", 0, "Thinking"),
        ("text_start", 1),
        ("text_end", 1, "No"),
        ("toolcall_start", 2),
        ("toolcall_end", 2, "call_1", "read", {"a": 1}),
        ("done", "toolUse"),
    ]


def test_what_is_not_known_is_passed_over() -> None:
    got = stream(
        added(0, {"type": "web_search_call", "id": "ws_1"}),
        arguments("x", 0),
        event("response.web_search_call.searching", output_index=0),
        done(0, {"type": "web_search_call", "id": "ws_1"}),
        responses_delta("output_text", "stray", 7),
        data({"no": "type"}),
        data([1]),
        b"data: [DONE]\n\n",
        responses_text("x", index=1),
        event("response.reasoning_summary_part.done", output_index=1),
        arguments("not a call", 1),
        responses_end(),
        b"data: {broken\n\n",
    )
    assert got.told == [
        ("start",),
        ("text_start", 0),
        ("text_delta", 0, "x"),
        ("text_end", 0, "x"),
        ("done", "stop"),
    ]


def test_a_call_keeps_its_namespace() -> None:
    first = {**CALL, "namespace": "mcp"}
    got = stream(
        responses_item(0, first), responses_item(1, CALL, namespace="late"), responses_end()
    )
    assert [call.namespace for call in got.message.tool_calls] == ["mcp", "late"]


def test_arguments_that_come_with_the_item_are_its_beginning() -> None:
    item = {**CALL, "arguments": '{"a":'}
    got = stream(added(0, item), arguments("1}"), done(0, CALL), responses_end())
    assert got.message.tool_calls[0].arguments == {"a": 1}
    start = got.events[1]
    assert start.type == "toolcall_start"
    assert start.partial.tool_calls[0].arguments == {}


def test_a_final_answer_is_provisionally_a_stop() -> None:
    got = stream(responses_text("x", phase="final_answer"), responses_end())
    text = got.events[2]
    assert text.type == "text_delta"
    assert text.partial.stop_reason == "stop"
    assert got.message.content == [TextContent("x", '{"v":1,"id":"msg_1","phase":"final_answer"}')]


@pytest.mark.parametrize(
    ("final", "thinking"),
    [
        pytest.param({"summary": [{"text": "a"}, {"text": "b"}]}, "a\n\nb", id="summaries"),
        pytest.param(
            {"summary": [], "content": [{"text": "c"}, {"text": "d"}]}, "c\n\nd", id="raw"
        ),
        pytest.param({"summary": []}, "streamed", id="as-streamed"),
    ],
)
def test_the_final_thinking_is_the_summary_else_the_content(final: Any, thinking: str) -> None:
    delta = responses_delta("reasoning_text", "streamed")
    got = stream(responses_item(0, REASONING, delta, **final), responses_end())
    assert got.told[3] == ("thinking_end", 0, thinking)


# --- failures -----------------------------------------------------------------------------------


def told_error(**fields: Any) -> bytes:
    return data({"type": "error", **fields})


@pytest.mark.parametrize(
    ("body", "text"),
    [
        pytest.param(told_error(code="c", message="m"), "Error Code c: m", id="plain"),
        pytest.param(told_error(code=None, message="m"), "m", id="null-code"),
        pytest.param(event("error", code="c", message="m"), "Error Code c: m", id="named"),
        pytest.param(
            event("error", error={"code": "c", "message": "m"}), "Error Code c: m", id="nested"
        ),
        pytest.param(data({"error": {"message": "m"}}), "m", id="without-type"),
        pytest.param(data({"error": "m"}), "m", id="text"),
        pytest.param(told_error(), '{"type": "error"}', id="nothing"),
        pytest.param(
            told_error(code=LIMITED, message="m"),
            f"Error Code {LIMITED}: m\nCheck your ChatGPT usage: https://chatgpt.com/settings/usage",
            id="chatgpt-limit",
        ),
        pytest.param(
            event("response.failed", response={"error": {"code": "c", "message": "m"}}),
            "c: m",
            id="failed",
        ),
        pytest.param(
            event("response.failed", response={"error": {}}),
            "unknown: no message",
            id="failed-empty",
        ),
        pytest.param(
            event("response.failed", response={"incomplete_details": {"reason": "r"}}),
            "incomplete: r",
            id="failed-incomplete",
        ),
        pytest.param(
            event("response.failed"),
            "Unknown error (no error details in response)",
            id="failed-bare",
        ),
        pytest.param(
            b"data: {broken\n\n",
            "Error reading response: malformed server-sent event JSON.",
            id="malformed",
        ),
    ],
)
def test_failures_in_the_stream_keep_what_had_arrived(body: bytes, text: str) -> None:
    got = stream(responses_text("x"), body, responses_end())
    assert got.message.error_message == text
    assert got.message.text == "x"
    assert got.told[-1] == ("error", "error")


def refused(body: bytes, status: int = 401, **changes: Any) -> str | None:
    return exchange(replace(R, **changes), LoopbackResponse(body, status)).message.error_message


def test_responses_check_28_a_refusal_is_the_only_event() -> None:
    body = b'{"error":{"message":"m","code":"invalid_api_key"}}'
    got = exchange(R, LoopbackResponse(body, 401))
    assert got.told == [("error", "error")]
    assert got.message.error_message == (
        'OpenAI API error (401): {"message":"m","code":"invalid_api_key"}'
    )


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        pytest.param(b"", 500, "(500): 500 status code (no body)", id="empty"),
        pytest.param(b"oops", 502, "(502): 502 oops", id="text"),
        pytest.param(b'{"a":1}', 400, '(400): 400 {"a":1}', id="other-json"),
        pytest.param(
            b"x" * 4010, 400, f"(400): 400 {'x' * 4000}... [truncated 10 chars]", id="long"
        ),
    ],
)
def test_other_refusals_show_their_body(body: bytes, status: int, text: str) -> None:
    assert refused(body, status, provider="acme") == f"acme API error {text}"


@pytest.mark.parametrize(
    ("code", "hint"),
    [
        (LIMITED, "Check your ChatGPT usage: https://chatgpt.com/settings/usage"),
        (
            WORKSPACE,
            "You've reached your ChatGPT workspace's usage limit. Ask your workspace admin to "
            "increase it at admin.openai.com → Workspace → Usage limits.",
        ),
    ],
)
def test_limits_of_a_chatgpt_plan_say_where_to_look(code: str, hint: str) -> None:
    text = refused(json.dumps({"error": {"code": code}}).encode(), 429) or ""
    assert text == f'OpenAI API error (429): {{"code":"{code}"}}\n{hint}'


def test_responses_check_29_retries_before_the_stream() -> None:
    answers = iter(
        [
            LoopbackResponse(b"", 500, {"Retry-After-Ms": "5"}),
            LoopbackResponse(b"", 429, {"retry-after-ms": "100"}),
            LoopbackResponse(responses_text("ok") + responses_end()),
        ]
    )
    got = exchange(R, lambda _request: next(answers), max_retries=2)
    assert (got.message.text, len(got.requests)) == ("ok", 3)


def test_responses_check_29_a_wait_that_is_too_long_ends_it() -> None:
    slow = LoopbackResponse(b"busy", 429, {"retry-after": "120"})
    got = exchange(R, slow, max_retries=2)
    assert len(got.requests) == 1
    assert (got.message.error_message or "").startswith(
        "Server requested 120s retry delay (max: 60s). OpenAI API error (429): 429 busy"
    )


@pytest.mark.parametrize(
    ("requested", "served", "total"),
    [
        pytest.param(None, "flex", 0.005, id="served-flex"),
        pytest.param("flex", "default", 0.01, id="default-overrules"),
        pytest.param("priority", None, 0.025, id="priority"),
        pytest.param(None, None, 0.01, id="none"),
    ],
)
def test_responses_check_30_the_service_tier_scales_the_cost(
    requested: str | None, served: str | None, total: float
) -> None:
    usage = {"input_tokens": 1000, "output_tokens": 1000, "total_tokens": 2000}
    body = responses_text("x") + responses_end(usage=usage, service_tier=served)
    got = exchange(R, body, adapter=ResponsesOptions(service_tier=requested))
    assert got.message.usage.cost.total == pytest.approx(total)
    assert got.body.get("service_tier") == requested


def test_a_failed_response_keeps_what_it_cost() -> None:
    failed = event("response.failed", response={"error": {"code": "c"}, "usage": USAGE})
    assert stream(failed).message.usage.total_tokens == 160


def test_a_response_without_usage_claims_no_count() -> None:
    usage = stream(responses_text("x"), responses_end(), cost=ModelCost()).message.usage
    assert (usage.total_tokens, usage.reasoning, usage.cost.unpriced) == (0, None, None)


# --- stopping -----------------------------------------------------------------------------------


@pytest.mark.parametrize("moment", ["before-headers", "mid-stream", "in-a-retry-wait"])
def test_responses_check_42_aborting_keeps_what_had_arrived(moment: str) -> None:
    controller = AbortController()

    async def answer(_request: object) -> LoopbackResponse:
        if moment == "before-headers":
            asyncio.get_running_loop().call_later(0.02, controller.abort)
            await asyncio.Event().wait()
        if moment == "in-a-retry-wait":
            asyncio.get_running_loop().call_later(0.02, controller.abort)
            return LoopbackResponse(b"", 429, {"retry-after": "30"})
        return LoopbackResponse(streamed(responses_text("part"), RESPONSE_CREATED, pause=30))

    async def run() -> list[Any]:
        models = Models()
        async with LoopbackServer(answer) as server:
            model = replace(R, base_url=f"{server.url}/v1")
            options: Any = {"signal": controller.signal, "max_retries": 1, "api_key": "k"}
            async with models.stream(model, HI, **options) as events:
                seen: list[Any] = []
                async for each in events:
                    seen.append(each)
                    if each.type == "text_delta":
                        controller.abort()
            await models.aclose()
        return seen

    last = asyncio.run(asyncio.wait_for(run(), 5))[-1]
    assert brief(last) == ("error", "aborted")
    assert last.error.error_message == "Request was aborted"
    assert last.error.text == ("part" if moment == "mid-stream" else "")
