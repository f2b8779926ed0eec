"""The server side: what is taken of a request, and answers that go through both protocols."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from pi_agent import stream_proxy
from pi_ai import (
    AssistantMessage,
    Context,
    DoneEvent,
    Model,
    Models,
    ModelsError,
    SystemMessage,
    TextContent,
    ThinkingContent,
    Tool,
    ToolCall,
    UserMessage,
    encode,
)
from pi_ai.builder import MessageBuilder
from pi_ai.serving import ProxyRequest, decode_proxy_request, encode_proxy_event, proxy_records
from pi_ai.stream import AssistantStream, EventBatches
from pi_ai.testing import FauxProvider, faux_message
from pi_ai.types import DeferredHandle
from support.exchanges import HI, P
from support.proxied import MODEL
from support.raw_server import CHUNKED, Peer, RawServer, piece
from support.transports import CannedTransport

# --- the request ------------------------------------------------------------------------------

USER = {"role": "user", "content": "hi", "timestamp": 1}


def body(**fields: Any) -> bytes:
    return json.dumps({"model": "m", "context": {"messages": [USER]}, **fields}).encode()


def test_a_request_of_the_proxy_stream_is_read() -> None:
    transport = CannedTransport()
    ask = stream_proxy(proxy_url="http://x", auth_token="token", models=Models(transport=transport))
    tool = Tool("read", "Reads.", {"type": "object"})
    context = Context([UserMessage("hi", timestamp=1)], system_prompt="Be brief.", tools=[tool])
    options: Any = {
        "temperature": 0.5,
        "max_tokens": 9,
        "reasoning": "high",
        "cache_retention": "long",
        "session_id": "s",
        "metadata": {"user_id": "u"},
        "thinking_budgets": {"low": 1},
        "sampling_params": {"top_p": 0.5},
        "max_retry_delay_ms": 7,
    }
    own: Any = {"headers": {"Authorization": "Bearer x"}, "api_key": "k", "timeout_ms": 5}
    asyncio.run(ask(MODEL, context, {**options, **own}).result())
    request = decode_proxy_request(transport.requests[0].body)
    assert (request.provider, request.model_id) == ("anthropic", "m")
    assert request.options == options
    assert request.context == Context(
        [
            SystemMessage("Be brief.", tools_added=[tool], timestamp=0),
            UserMessage("hi", timestamp=1),
        ]
    )


def test_a_request_of_pi_messages_is_read() -> None:
    transport = CannedTransport()
    models = Models(transport=transport)
    asyncio.run(models.complete(P, HI, api_key="k", tool_choice="none", reasoning="low"))
    request = decode_proxy_request(transport.requests[0].body)
    assert (request.provider, request.model_id) == (None, "p")
    assert request.options == {"tool_choice": "none", "reasoning": "low"}
    assert request.context == HI


def test_the_older_form_of_a_context_is_read() -> None:
    tool = {"name": "read", "description": "Reads.", "parameters": {}}
    context = {"systemPrompt": "Be brief.", "messages": [USER], "tools": [tool]}
    request = decode_proxy_request(body(context=context))
    assert request.context.system_prompt == "Be brief."
    assert request.context.tools == [Tool("read", "Reads.", {})]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param(b"", "Input data was truncated|Expecting value", id="empty"),
        pytest.param(b"{", "Expecting|truncated", id="no-json"),
        pytest.param(b"\xff", "Expecting", id="no-utf-8"),
        pytest.param(b"[]", r"Expected `object`, got `array`", id="no-object"),
        pytest.param(b"[" * 100_000, "nested too deeply", id="deep"),
        pytest.param(b"{}", "required field `model`", id="no-model"),
        pytest.param(body(model=5), r"got `int` - at `\$.model`", id="model"),
        pytest.param(body(model={"id": "m"}), r"`provider` - at `\$.model`", id="no-provider"),
        pytest.param(b'{"model":"m"}', "required field `context`", id="no-context"),
        pytest.param(
            body(context={"messages": 5}), r"got `int` - at `\$.context.messages`", id="messages"
        ),
        pytest.param(
            body(context={"messages": [{"role": "wizard"}]}),
            r"'wizard' - at `\$.context.messages\[0\].role`",
            id="role",
        ),
        pytest.param(
            body(context={"messages": [{"role": "user", "content": 5}]}),
            r"got `int` - at `\$.context.messages\[0\].content`",
            id="content",
        ),
        pytest.param(
            body(context={"messages": [USER], "tools": [{"name": "t"}]}),
            r"`description` - at `\$.context.tools\[0\]`",
            id="tool",
        ),
        pytest.param(
            body(
                context={
                    "messages": [USER],
                    "tools": [{"name": "t", "description": "", "parameters": {"type": "array"}}],
                }
            ),
            "context.tools",
            id="schema",
        ),
        pytest.param(
            body(
                context={
                    "messages": [
                        {
                            "role": "user",
                            "content": [{"type": "image", "data": "!", "mimeType": "x"}],
                        }
                    ]
                }
            ),
            r"context.messages\[0\]",
            id="image",
        ),
        pytest.param(
            body(options={"maxTokens": "9"}), r"got `str` - at `\$.options.maxTokens`", id="option"
        ),
        pytest.param(body(options={"maxTokens": 0}), ">= 1", id="no-tokens"),
        pytest.param(body(options={"reasoning": "off"}), r"\$.options.reasoning", id="reasoning"),
        pytest.param(
            body(options={"samplingParams": {"top_p": 1, "model": "dear"}}),
            "options.samplingParams: expected only .* found 'model'",
            id="sampling",
        ),
    ],
)
def test_a_bad_body_is_refused_with_its_field(text: bytes, told: str) -> None:
    with pytest.raises(ValueError, match=f"^Invalid request body: .*({told})"):
        decode_proxy_request(text)


@given(st.binary(max_size=40) | st.text(max_size=40).map(lambda text: body(model=text)[:-1]))
def test_any_other_body_is_a_value_error(text: bytes) -> None:
    with pytest.raises(ValueError, match="Invalid request body: "):
        decode_proxy_request(text)


def test_unknown_options_are_passed_over() -> None:
    request = decode_proxy_request(
        body(options={"apiKey": "k", "headers": {"a": "b"}, "transport": "sse", "newer": 1}, more=1)
    )
    assert request.options == {}


OWN = [
    Model(id="m", api="a", provider="one"),
    Model(id="m", api="a", provider="two", base_url="https://own.example"),
    Model(id="n/o", api="a", provider="two"),
]


@pytest.mark.parametrize(
    ("named", "found"),
    [
        ("m", 0),
        ({"provider": "two", "id": "m"}, 1),
        ("two/m", 1),
        ("n/o", 2),
        ("two/n/o", 2),
    ],
)
def test_the_model_is_one_of_the_servers_own(named: Any, found: int) -> None:
    if isinstance(named, dict):
        named |= {"baseUrl": "https://evil.example", "headers": {"X": "y"}}
    assert decode_proxy_request(body(model=named)).choose_model(OWN) is OWN[found]


@pytest.mark.parametrize("named", ["o", "", "two/", {"provider": "three", "id": "m"}])
def test_other_models_are_refused(named: Any) -> None:
    with pytest.raises(ModelsError, match="Model not offered here: "):
        decode_proxy_request(body(model=named)).choose_model(OWN)


def test_the_repr_of_a_request_shows_no_content() -> None:
    request = decode_proxy_request(body(model={"provider": "p", "id": "m"}))
    assert repr(request) == "<ProxyRequest for p/m, 1 messages>"
    assert isinstance(request, ProxyRequest)


# --- the answer -------------------------------------------------------------------------------

TEXTS = st.sampled_from(["", "x", "naïve 🙂 text, long enough for two pieces", "a\n\rb", "\ud83d"])
SIGNATURES = st.none() | st.sampled_from(["SIG", 'a"b'])
BLOCKS = (
    st.builds(TextContent, TEXTS, SIGNATURES)
    | st.builds(ThinkingContent, TEXTS, SIGNATURES, st.booleans())
    | st.builds(
        ToolCall,
        st.sampled_from(["call_1", "ü"]),
        st.sampled_from(["read", "läs"]),
        st.sampled_from([{}, {"path": "ü🙂", "n": [1.5, None, {"k": ""}]}, {"a\ud83d": "\udc00"}]),
        SIGNATURES,
    )
)
ANSWERS = st.builds(
    faux_message,
    st.lists(BLOCKS, max_size=4),
    stop_reason=st.sampled_from(["stop", "length", "toolUse", "error", "pending"]),
    error_message=st.sampled_from(["boom", "a\nb"]),
    response_id=st.none() | st.just("r1"),
)


async def served(answer: AssistantMessage, seed: int) -> tuple[bytes, AssistantMessage]:
    """What a server sends for an answer, and the message it saw itself."""
    provider = FauxProvider([answer], seed=seed)
    stream = provider.models.stream(provider.model, HI)
    records = [record async for record in proxy_records(stream)]
    return b"".join(records), await stream.result()


def comparable(message: AssistantMessage) -> AssistantMessage:
    """Without what is each side's own."""
    return replace(message, api="", provider="", model="", timestamp=0, duration_ms=None)


@given(ANSWERS, st.integers(0, 3), st.lists(st.integers(1, 60)))
def test_every_stream_comes_through_both_protocols(
    answer: AssistantMessage, seed: int, sizes: list[int]
) -> None:
    async def main() -> None:
        sent, wanted = await served(answer, seed)
        pieces = cut(sent, sizes)
        models = Models(transport=CannedTransport(*pieces))
        over_pi_messages = await models.complete(P, HI, api_key="k")
        ask = stream_proxy(proxy_url="http://x", auth_token="token", models=models)
        over_proxy = await ask(MODEL, HI, {}).result()
        assert comparable(over_pi_messages) == comparable(wanted)
        assert comparable(over_proxy) == comparable(wanted)

    asyncio.run(main())


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    pieces: list[bytes] = []
    for size in sizes:
        pieces.append(data[:size])
        data = data[size:]
    return [*pieces, data]


def test_the_records_are_upstreams() -> None:
    answer = faux_message(
        [
            ThinkingContent("hm", "SIG", True),
            TextContent("ok", "TS"),
            ToolCall("c", "read", {"a": 1}, thought_signature="G"),
        ],
        response_id="r1",
    )

    async def main() -> None:
        sent, message = await served(answer, 0)
        assert sent.endswith(b"\n\n")
        lines = sent.decode().removesuffix("\n\n").split("\n\n")
        assert all(line.startswith("data: {") for line in lines)
        call = {
            "type": "toolCall",
            "id": "c",
            "name": "read",
            "arguments": {"a": 1},
            "thoughtSignature": "G",
        }
        assert [json.loads(line[6:]) for line in lines] == [
            {"type": "start"},
            {"type": "thinking_start", "contentIndex": 0},
            {"type": "thinking_delta", "contentIndex": 0, "delta": "hm"},
            {
                "type": "thinking_end",
                "contentIndex": 0,
                "content": "hm",
                "contentSignature": "SIG",
                "redacted": True,
            },
            {"type": "text_start", "contentIndex": 1},
            {"type": "text_delta", "contentIndex": 1, "delta": "ok"},
            {"type": "text_end", "contentIndex": 1, "content": "ok", "contentSignature": "TS"},
            {"type": "toolcall_start", "contentIndex": 2, "id": "c", "toolName": "read"},
            {"type": "toolcall_delta", "contentIndex": 2, "delta": '{"a":1}'},
            {"type": "toolcall_end", "contentIndex": 2, "toolCall": call},
            {
                "type": "done",
                "reason": "toolUse",
                "usage": json.loads(encode(message.usage)),
                "responseId": "r1",
            },
        ]

    asyncio.run(main())


def test_a_deferred_answer_is_told_as_an_error() -> None:
    handle = DeferredHandle("p", "m", "a", "id")
    message = AssistantMessage([], stop_reason="deferred", deferred=handle)
    record = json.loads(encode_proxy_event(DoneEvent("deferred", message))[6:])
    assert (record["type"], record["reason"]) == ("error", "error")
    assert record["errorMessage"] == "This protocol cannot carry a deferred answer"


def test_a_reader_that_stops_closes_the_stream() -> None:
    closed: list[bool] = []
    message = MessageBuilder(MODEL)

    async def batches() -> EventBatches:
        try:
            yield [message.start()]
            yield [message.text_start()]
        finally:
            closed.append(True)

    async def main() -> None:
        records = proxy_records(AssistantStream(message, batches()))
        assert await anext(records) == b'data: {"type":"start"}\n\n'
        assert not closed
        await records.aclose()
        assert closed

    asyncio.run(main())


def test_a_client_that_goes_away_stops_the_request_behind_it() -> None:
    async def upstream(peer: Peer) -> None:
        start = b'data: {"type":"text_start","contentIndex":0}\n\n'
        await peer.send(CHUNKED, piece(start))
        await peer.stall()

    async def main() -> None:
        models = Models()
        async with RawServer(upstream) as behind:
            model = replace(P, base_url=behind.url)

            async def serve(peer: Peer) -> None:
                await peer.send(CHUNKED)
                stream = models.stream(model, HI, api_key="k")

                async def answer() -> None:
                    async for record in proxy_records(stream):
                        await peer.send(piece(record))

                answering = asyncio.create_task(answer())
                await peer.gone.wait()
                answering.cancel()
                await asyncio.wait([answering])

            async with RawServer(serve) as server:
                ask = stream_proxy(proxy_url=server.url, auth_token="token", models=models)
                async with ask(MODEL, HI, {}) as events:
                    async for event in events:
                        if event.type == "text_start":
                            break
                await asyncio.wait_for(server.all_closed(), 5)
            await asyncio.wait_for(behind.all_closed(), 5)
            assert len(behind.requests) == 1
            await models.aclose()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())
