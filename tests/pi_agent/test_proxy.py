"""A model asked through a server: what is sent, what comes back. Agent spec, section 11."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest
from msgspec.structs import replace

from pi_agent import Agent, AgentEvent, stream_proxy
from pi_ai import (
    Context,
    Models,
    SystemMessage,
    TextContent,
    ThinkingContent,
    Tool,
    ToolCall,
    UserMessage,
)
from pi_ai.testing import LoopbackRequest, LoopbackResponse, LoopbackServer
from support.exchanges import HI, data, pi_end, pi_record, streamed
from support.proxied import ABC, MODEL, TOKEN, ask

FRAMING_HEADERS = {"host", "content-length", "accept-encoding"}
"""What the HTTP client itself says."""


# --- the request ------------------------------------------------------------------------------


def test_agent_check_42_the_request_has_these_keys_and_no_others() -> None:
    tool = Tool("read", "Reads.", {"type": "object"})
    context = Context([UserMessage("hi", timestamp=1)], system_prompt="Be brief.", tools=[tool])
    sent = ask(
        ABC + pi_end(),
        context,
        temperature=0,
        sampling_params={"top_p": 0.5},
        max_tokens=9,
        reasoning="high",
        cache_retention="long",
        session_id="s",
        headers={"X-A": "1", "X-B": None},
        metadata={"user_id": "u"},
        thinking_budgets={"low": 1},
        max_retry_delay_ms=7,
        # None of these is sent:
        api_key="sk-secret",
        env={"ANTHROPIC_API_KEY": "sk-secret"},
        tool_choice="auto",
        timeout_ms=5000,
        idle_timeout_ms=5000,
        max_retries=1,
        on_payload=lambda body, model: None,
    )
    request = sent.request
    assert (request.method, request.path) == ("POST", "/api/stream")
    told = {name: value for name, value in request.headers.items() if name not in FRAMING_HEADERS}
    assert told == {"authorization": f"Bearer {TOKEN}", "content-type": "application/json"}
    body = json.loads(request.body)
    assert list(body) == ["model", "context", "options"]
    assert body["model"] == {
        "id": "m",
        "name": "m",
        "api": "anthropic-messages",
        "provider": "anthropic",
        "baseUrl": "https://api.example.com",
        "reasoning": False,
        "input": ["text"],
        "cost": {"input": 3, "output": 15, "cacheRead": 0, "cacheWrite": 0},
        "contextWindow": 200_000,
        "maxTokens": 4096,
    }
    declared = {"name": "read", "description": "Reads.", "parameters": {"type": "object"}}
    assert body["context"] == {
        "messages": [
            {"role": "system", "content": "Be brief.", "toolsAdded": [declared], "timestamp": 0},
            {"role": "user", "content": "hi", "timestamp": 1},
        ]
    }
    assert body["options"] == {
        "temperature": 0,
        "samplingParams": {"top_p": 0.5},
        "maxTokens": 9,
        "reasoning": "high",
        "cacheRetention": "long",
        "sessionId": "s",
        "headers": {"X-A": "1", "X-B": None},
        "metadata": {"user_id": "u"},
        "thinkingBudgets": {"low": 1},
        "maxRetryDelayMs": 7,
    }
    assert b"sk-secret" not in request.body


def test_options_that_are_not_set_are_not_sent() -> None:
    sent = ask(ABC + pi_end(), temperature=None)
    assert sent.body["options"] == {}
    assert sent.message.stop_reason == "stop"


def test_hooks_see_the_request_and_the_response() -> None:
    seen: list[Any] = []
    sent = ask(
        ABC + pi_end(),
        on_payload=lambda body, model: {**body, "extra": model.id},
        on_response=lambda response, model: seen.append(response.status),
        on_provider_stream_event=lambda record, model: seen.append(record["type"]),
        transform_headers=lambda headers: {**headers, "X-Trace": "t"},
    )
    assert sent.body["extra"] == "m"
    assert "stream" not in sent.body
    assert sent.request.headers["x-trace"] == "t"
    assert seen == [200, "start", "text_start", "text_delta", "done"]


# --- the response -----------------------------------------------------------------------------


def test_agent_check_42_pieces_of_seven_bytes_make_the_message() -> None:
    body = (
        data({"type": "start"})
        + pi_record("thinking_start")
        + pi_record("thinking_delta", delta="hm")
        + pi_record("thinking_end", contentSignature="SIG")
        + pi_record("text_start", 1)
        + pi_record("text_delta", 1, delta="caf")
        + "data: {}\n\n".replace(
            "{}", '{"type":"text_delta","contentIndex":1,"delta":"é"}'
        ).encode()
        + pi_record("text_end", 1)
        + pi_record("toolcall_start", 2, id="call_1", toolName="read")
        + pi_record("toolcall_delta", 2, delta='{"pa')
        + pi_record("toolcall_delta", 2, delta='th":"ä"}')
        + pi_record(
            "toolcall_end",
            2,
            toolCall={
                "type": "toolCall",
                "id": "call_1",
                "name": "read",
                "arguments": {"path": "b"},
            },
        )
        + pi_end(reason="toolUse", providerThinkingLevel="high")
    )
    cut = next(i for i in range(7) if body[i + 1 :].find("é".encode()) % 7 == 6)
    pieces = [body[: cut + 1], *(body[i : i + 7] for i in range(cut + 1, len(body), 7))]
    assert any(each.endswith(b"\xc3") for each in pieces)
    sent = ask(LoopbackResponse(streamed(*pieces)))
    message = sent.message
    assert message.content == [
        ThinkingContent("hm", "SIG"),
        TextContent("café"),
        ToolCall("call_1", "read", {"path": "b"}),
    ]
    assert message.stop_reason == "toolUse"
    assert message.provider_thinking_level == "high"
    assert (message.api, message.provider, message.model) == (
        "anthropic-messages",
        "anthropic",
        "m",
    )
    assert (message.usage.total_tokens, message.usage.cost.total) == (15, 0.75)
    assert sent.told == [
        ("start",),
        ("thinking_start", 0),
        ("thinking_delta", 0, "hm"),
        ("thinking_end", 0, "hm"),
        ("text_start", 1),
        ("text_delta", 1, "caf"),
        ("text_delta", 1, "é"),
        ("text_end", 1, "café"),
        ("toolcall_start", 2),
        ("toolcall_delta", 2, '{"pa'),
        ("toolcall_delta", 2, 'th":"ä"}'),
        ("toolcall_end", 2, "call_1", "read", {"path": "b"}),
        ("done", "toolUse"),
    ]
    # Looked at late, every event still shows its own moment.
    thought, _, calling = sent.events[2], sent.events[4], sent.events[10]
    assert thought.partial.content == [ThinkingContent("hm")]
    assert calling.partial.content[2] == ToolCall("call_1", "read", {"path": "ä"})
    assert calling.partial.stop_reason == "pending"


@pytest.mark.parametrize(
    "body",
    [
        pytest.param((ABC + pi_end()).removesuffix(b"\n\n"), id="unterminated-last-line"),
        pytest.param((ABC + pi_end()).replace(b"\n", b"\r\n"), id="crlf"),
        pytest.param(ABC.replace(b"\n\n", b"\n") + pi_end(), id="no-blank-lines"),
        pytest.param(b": hello\n\nevent: x\nid: 1\n" + ABC + b":\n\n" + pi_end(), id="comments"),
        pytest.param(
            ABC + b"data:nonsense\n\ndata: \n\n" + pi_end(), id="data-without-space-or-value"
        ),
        pytest.param(ABC + pi_end() + b"data: nonsense\n\n" + ABC, id="behind-the-end"),
        pytest.param(
            ABC + b'data:  {"type":"text_end","contentIndex":0.0}\n' + pi_end(), id="spaces"
        ),
    ],
)
def test_agent_check_43_framing_that_is_accepted(body: bytes) -> None:
    sent = ask(body)
    assert (sent.message.stop_reason, sent.message.text) == ("stop", "abc")
    assert [each[0] for each in sent.told[-2:]] == ["text_end", "done"]


def test_agent_check_43_a_call_that_ends_without_itself_keeps_its_arguments() -> None:
    sent = ask(
        pi_record("toolcall_start", id="c", toolName="t")
        + pi_record("toolcall_delta", delta='{"a":1}')
        + pi_record("toolcall_end")
        + pi_end(reason="toolUse")
    )
    assert sent.message.content == [ToolCall("c", "t", {"a": 1})]


@pytest.mark.parametrize(
    ("told", "wanted"),
    [
        pytest.param({"name": "other"}, ToolCall("c", "other", {"a": 1}), id="name"),
        pytest.param({"arguments": {}, "id": 5}, ToolCall("c", "t", {}), id="arguments"),
        pytest.param(
            {"thoughtSignature": "S", "namespace": "n", "arguments": [1]},
            ToolCall("c", "t", {"a": 1}, thought_signature="S", namespace="n"),
            id="signature-and-namespace",
        ),
        pytest.param(
            {"arguments": {}, "argumentsError": "bad"},
            ToolCall("c", "t", {}, arguments_error="bad"),
            id="error",
        ),
    ],
)
def test_fields_of_the_ended_call_stand_over_what_was_streamed(
    told: dict[str, Any], wanted: ToolCall
) -> None:
    sent = ask(
        pi_record("toolcall_start", id="c", toolName="t")
        + pi_record("toolcall_delta", delta='{"a":1}')
        + pi_record("toolcall_end", toolCall=told)
        + pi_end(reason="toolUse")
    )
    assert sent.message.content == [wanted]


def test_whole_arguments_take_back_the_fault_of_streamed_ones() -> None:
    body = pi_record("toolcall_start", id="c", toolName="t") + pi_record(
        "toolcall_delta", delta='{"a":'
    )
    done = pi_end(reason="toolUse")
    [broken] = ask(body + pi_record("toolcall_end") + done).message.tool_calls
    assert broken.arguments == {}
    assert broken.arguments_error is not None
    [whole] = ask(
        body + pi_record("toolcall_end", toolCall={"arguments": {"a": 1}}) + done
    ).message.tool_calls
    assert whole == ToolCall("c", "t", {"a": 1})


# --- the caller's side ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"proxy_url": "llm.example.com"}, "proxy_url: expected an http:// or https:// URL"),
        ({"auth_token": " "}, "auth_token: expected a token, found an empty text"),
    ],
)
def test_what_cannot_be_used_raises_at_once(given: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        stream_proxy(**{"proxy_url": "http://x", "auth_token": TOKEN, **given})


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("m", HI, {}), "model: expected a Model"),
        ((MODEL, [], {}), "context: expected a Context"),
        ((MODEL, HI, {"temprature": 1}), "Unknown option: temprature. Did you mean temperature?"),
    ],
)
def test_misuse_raises_at_the_call(arguments: Any, text: str) -> None:
    with pytest.raises(TypeError, match=text):
        stream_proxy(proxy_url="http://x", auth_token=TOKEN)(*arguments)


@pytest.mark.parametrize("asynchronous", [False, True], ids=["function", "coroutine"])
def test_a_function_gives_a_token_for_each_request(asynchronous: bool) -> None:
    tokens = ["first-token", "second-token", ""]

    def sync_token() -> str:
        return tokens.pop(0)

    async def async_token() -> str:
        return tokens.pop(0)

    async def main() -> None:
        models = Models()
        async with LoopbackServer(lambda _request: LoopbackResponse(ABC + pi_end())) as server:
            token = async_token if asynchronous else sync_token
            stream = stream_proxy(proxy_url=server.url, auth_token=token, models=models)
            messages = [await stream(MODEL, HI, {}).result() for _ in range(3)]
            await models.aclose()
        assert [message.stop_reason for message in messages] == ["stop", "stop", "error"]
        assert messages[2].error_message == "auth_token: expected a token, found an empty text"
        sent = [request.headers["authorization"] for request in server.requests]
        assert sent == ["Bearer first-token", "Bearer second-token"]

    asyncio.run(main())


def test_the_token_shows_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    def echo(request: LoopbackRequest) -> LoopbackResponse:
        told = {"error": f"No such token: {request.headers['authorization']}"}
        return LoopbackResponse(json.dumps(told).encode(), 401)

    async def main() -> None:
        models = Models()
        async with LoopbackServer(echo) as server:
            stream = stream_proxy(proxy_url=server.url, auth_token=TOKEN, models=models)
            with caplog.at_level(logging.DEBUG):
                events = stream(MODEL, HI, {})
                message = await events.result()
            await models.aclose()
        assert message.error_message == "Proxy error: No such token: Bearer [key]"
        for shown in (repr(stream), repr(events), repr(message), caplog.text):
            assert TOKEN not in shown

    asyncio.run(main())


def test_a_token_with_a_line_break_is_refused_without_showing_it() -> None:
    async def main() -> None:
        models = Models()
        async with LoopbackServer(lambda _request: LoopbackResponse(ABC + pi_end())) as server:
            stream = stream_proxy(proxy_url=server.url, auth_token=f"{TOKEN}\nX: y", models=models)
            message = await stream(MODEL, HI, {}).result()
            await models.aclose()
        assert message.error_message is not None
        assert "header" in message.error_message
        assert TOKEN not in message.error_message
        assert not server.requests

    asyncio.run(main())


def test_an_agent_asks_through_the_server() -> None:
    async def main() -> None:
        models = Models()
        async with LoopbackServer(lambda _request: LoopbackResponse(ABC + pi_end())) as server:
            agent = Agent(
                model=replace(MODEL, reasoning=True),
                system_prompt="Be brief.",
                thinking_level="high",
                stream=stream_proxy(proxy_url=server.url, auth_token=TOKEN, models=models),
                stream_options={"max_tokens": 7},
            )
            events: list[AgentEvent] = [event async for event in agent.run("hi")]
            await models.aclose()
        assert events[-1].type == "agent_end"
        assert agent.state.messages[-1].text == "abc"
        [request] = server.requests
        body = request.json()
        assert body["options"] == {"maxTokens": 7, "reasoning": "high"}
        assert [message["role"] for message in body["context"]["messages"]] == ["system", "user"]
        assert isinstance(agent.state.messages[0], SystemMessage)

    asyncio.run(main())
