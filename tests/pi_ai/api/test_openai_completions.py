"""Chat Completions streams as events. Providers spec, section 11, checks 28 to 39."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from pi_ai import AbortController, Context, Models, ThinkingContent, Tool, UserMessage
from pi_ai.api._completions_calls import ToolCalls
from pi_ai.api._completions_records import CallPiece, CustomPiece
from pi_ai.builder import MessageBuilder
from pi_ai.testing import LoopbackResponse, LoopbackServer
from support.exchanges import DONE, Exchanged, M, chunk, data, exchange, streamed


def stream(*records: bytes, **changes: Any) -> Exchanged:
    return exchange(replace(M, **changes), b"".join(records))


def call_delta(index: int | None, arguments: str | None, call_id: str = "", name: str = "") -> Any:
    function = {"arguments": arguments, **({"name": name} if name else {})}
    entry: dict[str, Any] = {"function": function}
    if index is not None:
        entry["index"] = index
    if call_id:
        entry |= {"id": call_id, "type": "function"}
    return entry


def calls(*entries: Any) -> bytes:
    return chunk({"tool_calls": list(entries)})


USAGE_S1 = {
    "prompt_tokens": 100,
    "completion_tokens": 20,
    "prompt_tokens_details": {"cached_tokens": 30, "cache_write_tokens": 10},
    "completion_tokens_details": {"reasoning_tokens": 5},
}


def test_providers_check_28_thinking_text_and_a_tool_call() -> None:
    got = stream(
        chunk({"role": "assistant", "content": ""}),
        chunk({"reasoning_content": "thi"}),
        chunk({"reasoning_content": "nk"}),
        chunk({"content": "Hel"}),
        chunk({"content": "lo"}),
        calls(call_delta(0, "", "c1", "read")),
        calls(call_delta(0, '{"path":')),
        calls(call_delta(0, '"a"}')),
        chunk({}, "tool_calls"),
        data({"id": "chatcmpl-1", "model": "m-2", "choices": [], "usage": USAGE_S1}),
        DONE,
    )
    assert got.told == [
        ("start",),
        ("thinking_start", 0),
        ("thinking_delta", 0, "thi"),
        ("thinking_delta", 0, "nk"),
        ("text_start", 1),
        ("text_delta", 1, "Hel"),
        ("text_delta", 1, "lo"),
        ("toolcall_start", 2),
        ("toolcall_delta", 2, ""),
        ("toolcall_delta", 2, '{"path":'),
        ("toolcall_delta", 2, '"a"}'),
        ("thinking_end", 0, "think"),
        ("text_end", 1, "Hello"),
        ("toolcall_end", 2, "c1", "read", {"path": "a"}),
        ("done", "toolUse"),
    ]
    message = got.message
    thinking = message.content[0]
    assert isinstance(thinking, ThinkingContent)
    assert (thinking.thinking, thinking.thinking_signature) == ("think", "reasoning_content")
    assert (message.response_id, message.response_model) == ("chatcmpl-1", "m-2")
    assert message.raw_stop_reason == "tool_calls"
    usage = message.usage
    assert (usage.input, usage.output, usage.cache_read, usage.cache_write) == (60, 20, 30, 10)
    assert (usage.reasoning, usage.total_tokens) == (5, 120)
    assert usage.cost.total == pytest.approx(0.0001155, abs=1e-12)


def test_providers_check_29_parallel_calls() -> None:
    first, second = call_delta(0, '{"a"', "c1", "read"), call_delta(1, '{"b"', "c2", "write")
    got = stream(
        calls(first, second),
        calls(call_delta(1, ":2}"), call_delta(0, ":1}")),
        chunk({}, "tool_calls"),
        DONE,
    )
    assert got.told == [
        ("start",),
        ("toolcall_start", 0),
        ("toolcall_delta", 0, '{"a"'),
        ("toolcall_start", 1),
        ("toolcall_delta", 1, '{"b"'),
        ("toolcall_delta", 1, ":2}"),
        ("toolcall_delta", 0, ":1}"),
        ("toolcall_end", 0, "c1", "read", {"a": 1}),
        ("toolcall_end", 1, "c2", "write", {"b": 2}),
        ("done", "toolUse"),
    ]


DETAIL_A = {"type": "reasoning.text", "text": "a", "index": 0, "format": "anthropic"}
DETAIL_B = {"type": "reasoning.text", "text": "b", "signature": "SIG", "index": 0}
DETAIL_E = {"type": "reasoning.encrypted", "data": "E", "id": "e1"}
DETAILS = (
    chunk({"reasoning": "a", "reasoning_details": [DETAIL_A]}),
    chunk({"reasoning": "b", "reasoning_details": [DETAIL_B]}),
    chunk({"content": "x"}),
    chunk({"reasoning_details": [DETAIL_E, {"type": "bogus"}]}),
)
MERGED_DETAILS = [
    {
        "type": "reasoning.text",
        "text": "ab",
        "index": 0,
        "format": "anthropic",
        "signature": "SIG",
    },
    DETAIL_E,
]


def signature(got: Exchanged) -> Any:
    block = got.message.content[0]
    assert isinstance(block, ThinkingContent)
    return json.loads(block.thinking_signature or "null")


def test_providers_check_30_reasoning_details_become_the_signature() -> None:
    got = stream(*DETAILS, chunk({}, "stop"), DONE)
    assert got.told == [
        ("start",),
        ("thinking_start", 0),
        ("thinking_delta", 0, "a"),
        ("thinking_delta", 0, "b"),
        ("text_start", 1),
        ("text_delta", 1, "x"),
        ("thinking_end", 0, "ab"),
        ("text_end", 1, "x"),
        ("done", "stop"),
    ]
    assert signature(got) == MERGED_DETAILS


def test_reasoning_details_survive_a_connection_that_breaks_off() -> None:
    broken = LoopbackResponse(b"".join(DETAILS), abort=True)
    got = exchange(M, broken)
    assert got.message.stop_reason == "error"
    assert signature(got) == MERGED_DETAILS


def test_providers_check_31_text_around_a_tool_call_stays_one_block() -> None:
    got = stream(
        chunk({"content": "a"}),
        calls(call_delta(0, "{}", "c1", "read")),
        chunk({"content": "b"}),
        chunk({}, "tool_calls"),
        DONE,
    )
    assert got.told == [
        ("start",),
        ("text_start", 0),
        ("text_delta", 0, "a"),
        ("toolcall_start", 1),
        ("toolcall_delta", 1, "{}"),
        ("text_delta", 0, "b"),
        ("text_end", 0, "ab"),
        ("toolcall_end", 1, "c1", "read", {}),
        ("done", "toolUse"),
    ]


@pytest.mark.parametrize("reason", ["content_filter", "weird", "network_error"])
def test_providers_check_32_unknown_finish_reason_is_an_error(reason: str) -> None:
    got = stream(chunk({"content": "x"}), chunk({}, reason), DONE)
    assert got.told[-2:] == [("text_end", 0, "x"), ("error", "error")]
    assert got.message.error_message == f"Provider finish_reason: {reason}"
    assert got.message.raw_stop_reason == reason
    assert got.message.text == "x"


def test_a_later_finish_reason_wins_and_clears_the_failure() -> None:
    got = stream(chunk({"content": "x"}, "content_filter"), chunk({}, "stop"), DONE)
    assert (got.message.stop_reason, got.message.error_message) == ("stop", None)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(chunk({"content": "x"}) + DONE, id="no-finish-reason"),
        pytest.param(b"", id="empty"),
        pytest.param(b"<html>no</html>", id="html"),
        pytest.param(b'{"choices":[]}', id="plain-json"),
    ],
)
def test_providers_check_33_stream_without_a_finish_reason_failed(body: bytes) -> None:
    got = stream(body)
    assert got.told[-1] == ("error", "error")
    assert got.message.error_message == "Stream ended without finish_reason"


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        pytest.param(chunk({"content": "x"}), "stop", id="text"),
        pytest.param(calls(call_delta(0, "{}", "c", "f")), "toolUse", id="call"),
    ],
)
def test_providers_check_33_servers_that_send_no_finish_reason(record: bytes, reason: str) -> None:
    got = stream(record, DONE, compat={"supportsFinishReason": False})
    assert got.told[-1] == ("done", reason)


GOOD = chunk({"content": "é🙈"}) + chunk({}, "stop")
RAW = json.dumps({"choices": [{"delta": {"content": "é🙈"}}]}, ensure_ascii=False).encode()
RAW = b"data: " + RAW + b"\n\n" + chunk({}, "stop") + DONE


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b": ping\n\n" + GOOD + b": ping\n\n" + DONE, id="comments"),
        pytest.param((GOOD + DONE).replace(b"\n", b"\r\n"), id="crlf"),
        pytest.param(b"retry: 5\n" + GOOD + b"id: 7\n\n" + DONE, id="other-fields"),
        pytest.param((GOOD + DONE)[:-2], id="no-final-blank-line"),
        pytest.param(GOOD, id="no-done"),
        pytest.param(GOOD + DONE + chunk({"content": "late"}), id="chunks-after-done"),
        pytest.param(GOOD + b"data:\n\ndata: \n\n" + DONE, id="empty-data"),
        pytest.param(data(None) + data(5) + data("x") + data([1]) + GOOD + DONE, id="no-objects"),
        pytest.param(data({"choices": None}) + data({"choices": [None]}) + GOOD, id="no-choices"),
        pytest.param(b"event: thread.x\ndata: {bad\n\n" + GOOD, id="thread-events"),
    ],
)
def test_providers_check_34_stream_oddities_are_decoded_normally(body: bytes) -> None:
    got = stream(body)
    assert got.message.text == "é🙈"
    assert got.told[-1] == ("done", "stop")


def test_providers_check_34_characters_split_between_reads() -> None:
    cut = [RAW[i : i + 1] for i in range(len(RAW))]
    got = exchange(M, LoopbackResponse(streamed(*cut)))
    assert got.message.text == "é🙈"


def test_providers_check_35_bad_json_is_an_error_that_keeps_what_came() -> None:
    got = stream(chunk({"content": "x"}), b"data: {bad\n\n")
    assert got.told == [
        ("start",),
        ("text_start", 0),
        ("text_delta", 0, "x"),
        ("error", "error"),
    ]
    assert got.message.error_message == (
        "Error reading response: malformed server-sent event JSON."
    )
    assert got.message.text == "x"


@pytest.mark.parametrize(
    ("record", "text"),
    [
        pytest.param(
            data({"error": {"message": "boom", "metadata": {"raw": "RAW upstream"}}}),
            "boom\nRAW upstream",
            id="with-raw",
        ),
        pytest.param(data({"error": "just text"}), '"just text"', id="text"),
        pytest.param(data({"error": {"code": 5}}), '{"code":5}', id="no-message"),
        pytest.param(data({"error": {"message": {"a": 1}}}), '{"a":1}', id="message-is-no-text"),
        pytest.param(b'event: error\ndata: {"a":1}\n\n', '{"a":1}', id="event-name"),
    ],
)
def test_providers_check_36_error_in_the_stream(record: bytes, text: str) -> None:
    got = stream(chunk({"content": "x"}), record)
    assert got.told[-1] == ("error", "error")
    assert got.message.error_message == text
    assert got.message.text == "x"


@pytest.mark.parametrize(
    ("text", "arguments", "error"),
    [
        pytest.param('{"path": "x', {}, '\n\nReceived arguments:\n{"path": "x', id="cut"),
        pytest.param(
            "[1]",
            {},
            "Tool arguments must be a JSON object\n\nReceived arguments:\n[1]",
            id="list",
        ),
        pytest.param('{"a":"x\ny\\d"}', {"a": "x\ny\\d"}, None, id="repaired"),
        pytest.param("", {}, None, id="blank"),
    ],
)
def test_providers_check_37_final_tool_arguments(
    text: str, arguments: Any, error: str | None
) -> None:
    got = stream(calls(call_delta(0, text, "c", "f")), chunk({}, "tool_calls"), DONE)
    [call] = got.message.tool_calls
    assert call.arguments == arguments
    if error is None:
        assert call.arguments_error is None
    else:
        assert (call.arguments_error or "").endswith(error)
    assert got.told[-1] == ("done", "toolUse")


@pytest.mark.parametrize(
    "tail",
    [
        pytest.param(
            chunk(
                usage={"prompt_tokens": 10, "completion_tokens": 2, "prompt_cache_hit_tokens": 4}
            ),
            id="hit-tokens",
        ),
        pytest.param(
            chunk(usage={"prompt_tokens": 10, "completion_tokens": 2, "cached_tokens": 4}),
            id="top-level",
        ),
        pytest.param(
            data(
                {
                    "choices": [
                        {
                            "usage": {
                                "prompt_tokens": 10,
                                "completion_tokens": 2,
                                "cached_tokens": 4,
                            }
                        }
                    ]
                }
            ),
            id="in-the-choice",
        ),
    ],
)
def test_providers_check_38_usage_in_its_dialects(tail: bytes) -> None:
    usage = stream(chunk({"content": "x"}), chunk({}, "stop"), tail, DONE).message.usage
    assert (usage.input, usage.cache_read, usage.output, usage.total_tokens) == (6, 4, 2, 12)


def test_usage_with_more_cached_than_prompt_tokens_is_not_negative() -> None:
    usage = stream(
        chunk({"content": "x"}, "stop"),
        chunk(usage={"prompt_tokens": 3, "completion_tokens": 1, "cached_tokens": 5}),
    ).message.usage
    assert (usage.input, usage.cache_read) == (0, 5)


BYOK = {
    "upstream_inference_cost": None,
    "upstream_inference_prompt_cost": 1,
    "upstream_inference_completions_cost": 2,
}


@pytest.mark.parametrize(
    ("provider", "billed", "total", "by_provider"),
    [
        pytest.param("openrouter", {"cost": 0.5, "is_byok": False}, 0.5, True, id="billed"),
        pytest.param(
            "openrouter",
            {"cost": 0.05, "is_byok": True, "cost_details": BYOK},
            3.05,
            True,
            id="own-key",
        ),
        pytest.param("openrouter", {"cost": 0.5, "is_byok": True}, 12e-6, False, id="no-details"),
        pytest.param("openrouter", {"cost": 0.5}, 12e-6, False, id="byok-unsaid"),
        pytest.param("custom", {"cost": 0.5, "is_byok": False}, 12e-6, False, id="another"),
    ],
)
def test_providers_check_39_openrouter_says_what_it_billed(
    provider: str, billed: Any, total: float, by_provider: bool
) -> None:
    usage = {"prompt_tokens": 10, "completion_tokens": 1, **billed}
    got = stream(chunk({"content": "x"}, "stop"), chunk(usage=usage), provider=provider)
    cost = got.message.usage.cost
    assert cost.total == pytest.approx(total)
    assert cost.total_from_provider is by_provider
    assert cost.input == pytest.approx(10e-6)  # ai-core check 66: the parts stay estimates


def test_ai_core_check_22_text_and_call_interleave() -> None:
    got = stream(
        chunk({"reasoning_content": "thi"}),
        chunk({"reasoning_content": "nk"}),
        chunk({"content": "Hel"}),
        calls(call_delta(0, '{"a":', "c1", "f")),
        chunk({"content": "lo"}),
        calls(call_delta(0, "1}")),
        chunk({}, "tool_calls"),
        DONE,
    )
    assert got.told[6:] == [
        ("toolcall_start", 2),
        ("toolcall_delta", 2, '{"a":'),
        ("text_delta", 1, "lo"),
        ("toolcall_delta", 2, "1}"),
        ("thinking_end", 0, "think"),
        ("text_end", 1, "Hello"),
        ("toolcall_end", 2, "c1", "f", {"a": 1}),
        ("done", "toolUse"),
    ]


def test_ai_core_check_23_broken_arguments_are_delivered_with_their_error() -> None:
    got = stream(calls(call_delta(0, '{"a":}', "c1", "f")), chunk({}, "tool_calls"), DONE)
    [call] = got.message.tool_calls
    assert call.arguments == {}
    assert (call.arguments_error or "").endswith('\n\nReceived arguments:\n{"a":}')
    assert got.told[-1] == ("done", "toolUse")


@pytest.mark.parametrize(
    ("entries", "wanted"),
    [
        pytest.param(
            [call_delta(0, "{}", "a", "f"), call_delta(0, "{}", "b", "g")],
            [("a", "f", {}), ("b", "g", {})],
            id="one-index-for-two-complete-calls",
        ),
        pytest.param(
            [call_delta(0, '{"x"', "a", "f"), call_delta(0, ":1}", "b", "g")],
            [("a", "f", {"x": 1})],
            id="another-id-in-the-middle-is-ignored",
        ),
        pytest.param(
            [call_delta(None, '{"x"', "a", "f"), call_delta(None, ":1}")],
            [("a", "f", {"x": 1})],
            id="neither-index-nor-id-continues-the-latest",
        ),
        pytest.param(
            [
                call_delta(None, '{"x"', "a", "f"),
                call_delta(None, "{}", "b", "g"),
                call_delta(None, ":1}", "a"),
            ],
            [("a", "f", {"x": 1}), ("b", "g", {})],
            id="found-by-id",
        ),
        pytest.param(
            [call_delta(0, ""), call_delta(0, "{}", "late", "name")],
            [("late", "name", {})],
            id="id-and-name-arrive-late",
        ),
        pytest.param([call_delta(0, None, "a", "f")], [("a", "f", {})], id="null-arguments"),
    ],
)
def test_tool_call_pieces_find_their_call(entries: list[Any], wanted: list[Any]) -> None:
    got = stream(*(calls(entry) for entry in entries), chunk({}, "tool_calls"), DONE)
    assert [(call.id, call.name, call.arguments) for call in got.message.tool_calls] == wanted


def test_content_as_a_list_of_parts_is_joined_and_refusals_are_ignored() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "other"}, {"type": "text", "text": "b"}]
    got = stream(chunk({"content": parts}), chunk({"refusal": "no"}), chunk({}, "stop"))
    assert got.message.text == "ab"


def test_status_204_has_no_body_to_read() -> None:
    got = exchange(M, LoopbackResponse(status=204))
    assert got.told == [("start",), ("error", "error")]
    assert got.message.error_message == "Attempted to iterate over a response with no body"


# --- calls of tools with a grammar ------------------------------------------------------------

CODE = {"type": "object", "properties": {"code": {"type": "string"}}, "required": ["code"]}
LARK = {"type": "grammar", "variants": {"openai_lark": "start: x"}}
RUN = Context([UserMessage("hi")], tools=[Tool("run", "run it", CODE, LARK)])
GRAMMARS = {"supportsOpenAIGrammarTools": True}


def custom(text: str | None, index: int = 0, call_id: str = "", name: str = "") -> Any:
    piece = {"input": text, **({"name": name} if name else {})}
    entry: dict[str, Any] = {"index": index, "custom": piece}
    return entry | ({"id": call_id, "type": "custom"} if call_id else {})


def stream_custom(*records: bytes, compat: Any = GRAMMARS) -> Exchanged:
    return exchange(replace(M, compat=compat), b"".join(records), RUN)


def test_text_of_a_grammar_becomes_the_arguments_piece_by_piece() -> None:
    got = stream_custom(
        calls(custom("", 0, "c1", "run")),
        calls(custom('say("é')),
        calls(custom(None)),
        calls(custom('")\n\\')),
        chunk({}, "tool_calls"),
        DONE,
    )
    assert got.told == [
        ("start",),
        ("toolcall_start", 0),
        ("toolcall_delta", 0, '{"code":"'),
        ("toolcall_delta", 0, 'say(\\"é'),
        ("toolcall_delta", 0, ""),
        ("toolcall_delta", 0, '\\")\\n\\\\'),
        ("toolcall_delta", 0, '"}'),
        ("toolcall_end", 0, "c1", "run", {"code": 'say("é")\n\\'}),
        ("done", "toolUse"),
    ]
    deltas: list[Any] = got.events[2:6]
    shown = [event.partial.tool_calls[0].arguments for event in deltas]
    assert shown == [
        {"code": ""},
        {"code": 'say("é'},
        {"code": 'say("é'},
        {"code": 'say("é")\n\\'},
    ]


def test_calls_with_and_without_a_grammar_side_by_side() -> None:
    got = stream_custom(
        calls(custom("a", 0, "c1", "run"), call_delta(1, '{"p"', "c2", "read")),
        calls(call_delta(1, ":1}"), custom("b", 0)),
        calls(custom("z", 2, "c3", "run")),
        chunk({}, "tool_calls"),
        DONE,
    )
    assert got.told[-6:] == [
        ("toolcall_delta", 0, '"}'),
        ("toolcall_delta", 2, '"}'),
        ("toolcall_end", 0, "c1", "run", {"code": "ab"}),
        ("toolcall_end", 1, "c2", "read", {"p": 1}),
        ("toolcall_end", 2, "c3", "run", {"code": "z"}),
        ("done", "toolUse"),
    ]


@pytest.mark.parametrize(
    ("name", "compat", "parameter"),
    [
        pytest.param("run", GRAMMARS, "code", id="declared"),
        pytest.param("other", GRAMMARS, "input", id="undeclared"),
        pytest.param("run", None, "input", id="declared-as-a-function"),
    ],
)
def test_the_text_is_the_parameter_that_was_declared(
    name: str, compat: Any, parameter: str
) -> None:
    got = stream_custom(
        calls(custom("x", 0, "c1", name)), chunk({}, "tool_calls"), DONE, compat=compat
    )
    assert got.message.tool_calls[0].arguments == {parameter: "x"}


def test_grammar_calls_that_share_an_index_are_told_apart() -> None:
    got = stream_custom(
        calls(custom("a", 0, "c1", "run")),
        calls(custom("b", 0, "c2", "run")),
        calls(custom("c", 0)),
        chunk({}, "tool_calls"),
        DONE,
    )
    assert [(call.id, call.arguments) for call in got.message.tool_calls] == [
        ("c1", {"code": "a"}),
        ("c2", {"code": "bc"}),
    ]


def test_a_grammar_call_that_was_cut_off_is_no_call() -> None:
    async def cut() -> Any:
        controller = AbortController()
        models = Models()
        pieces = streamed(calls(custom("rm -rf", 0, "c1", "run")), b": \n\n", pause=30)
        async with LoopbackServer(lambda _request: LoopbackResponse(pieces)) as server:
            model = replace(M, base_url=f"{server.url}/v1", compat=GRAMMARS)
            options: Any = {"api_key": "k", "signal": controller.signal}
            async with models.stream(model, RUN, **options) as events:
                async for event in events:
                    if event.type == "toolcall_delta":
                        controller.abort()
                message = await events.result()
            await models.aclose()
        return message

    message = asyncio.run(cut())
    assert message.stop_reason == "aborted"
    [call] = message.tool_calls
    assert call.arguments == {}
    assert call.arguments_error.endswith('Received arguments:\n{"code":"rm -rf')


@given(st.lists(st.text(max_size=5), min_size=1, max_size=5))
@settings(max_examples=60)
def test_any_text_arrives_whole_however_it_is_cut(pieces: list[str]) -> None:
    message = MessageBuilder(M)
    tool_calls = ToolCalls(message, {"run": 'odd "name"'})
    events: list[Any] = []
    for piece in pieces:
        entry = CallPiece(0, "c1", custom=CustomPiece("run", piece))
        tool_calls.feed(entry, events)
    events += tool_calls.end()
    text = "".join(event.delta for event in events[1:])
    assert json.loads(text) == {'odd "name"': "".join(pieces)}
