"""`pi-messages`. Agent spec, section 12, checks 44 and 45; the providers spec has 35 to 38."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from msgspec.structs import replace

from pi_ai import (
    AbortController,
    Context,
    Models,
    ModelsError,
    ProviderSpec,
    TextContent,
    ThinkingContent,
    Tool,
    ToolCall,
    UserMessage,
    decode,
    encode,
    model_from_url,
)
from pi_ai.api.anthropic_messages import AnthropicOptions
from pi_ai.api.pi_messages import PiMessagesOptions, stream
from pi_ai.builder import MessageBuilder
from pi_ai.provider import Call
from pi_ai.stream import AssistantStream
from pi_ai.testing import LoopbackResponse, LoopbackServer
from pi_ai.types import Identity
from pi_ai.version import __version__
from support.exchanges import DONE, HI, P, exchange, pi_end, pi_record, pi_text, streamed
from support.raw_server import CHUNKED, Peer, RawServer, piece
from support.transports import CannedTransport

KEY = "sk-0123456789"
READ = {"name": "read", "description": "Read a file", "parameters": {}}
GOOD = pi_text("abc") + pi_record("text_end", content="abc") + pi_end()


# --- the request ------------------------------------------------------------------------------


def test_pi_messages_check_35_the_body() -> None:
    context = Context(
        [UserMessage("hi", timestamp=1)], system_prompt="S", tools=[decode(encode(READ), Tool)]
    )
    sent = exchange(
        replace(P, id="auto"),
        GOOD,
        context,
        temperature=0,
        max_tokens=5,
        reasoning="high",
        cache_retention="long",
        session_id="s",
        tool_choice="auto",
        # None of these is sent:
        sampling_params={"top_p": 1},
        metadata={"user_id": "u"},
        thinking_budgets={"low": 1},
    )
    assert sent.body == {
        "model": "auto",
        "context": {
            "messages": [
                {
                    "role": "system",
                    "content": "S",
                    "toolsAdded": [
                        {"name": "read", "description": "Read a file", "parameters": {}}
                    ],
                    "timestamp": 0,
                },
                {"role": "user", "content": "hi", "timestamp": 1},
            ]
        },
        "options": {
            "temperature": 0,
            "maxTokens": 5,
            "reasoning": "high",
            "cacheRetention": "long",
            "sessionId": "s",
            "toolChoice": "auto",
        },
    }
    assert sent.message.text == "abc"


@pytest.mark.parametrize(
    ("base", "adapter", "path"),
    [
        ("{server}", None, "/messages"),
        ("{server}/", None, "/messages"),
        ("{server}/v1//", None, "/v1/messages"),
        ("{server}", PiMessagesOptions(debug=True), "/messages?debug=1"),
        ("{server}/?team=a", PiMessagesOptions(debug=True), "/messages?team=a&debug=1"),
    ],
)
def test_agent_check_44_messages_is_appended_once(base: str, adapter: Any, path: str) -> None:
    sent = exchange(replace(P, base_url=base), GOOD, adapter=adapter)
    assert (sent.request.method, sent.request.path) == ("POST", path)
    assert sent.body["options"] == {}


def test_the_adapters_own_choice_of_a_tool_wins() -> None:
    choice = {"type": "tool", "name": "read"}
    sent = exchange(P, GOOD, adapter=PiMessagesOptions(tool_choice=choice), tool_choice="none")
    assert sent.body["options"] == {"toolChoice": choice}


def test_the_environment_may_ask_for_long_caching(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PI_CACHE_RETENTION", "long")
    assert exchange(P, GOOD).body["options"] == {"cacheRetention": "long"}
    assert exchange(P, GOOD, cache_retention="none").body["options"] == {"cacheRetention": "none"}


@pytest.mark.parametrize(
    ("identity", "user_agent"),
    [
        (None, f"pi-stack/{__version__} "),
        (Identity(name="app", url="https://app.example"), f"pi-stack/{__version__} "),
        (Identity(user_agent="short"), "short"),
    ],
    ids=["none", "application", "user-agent"],
)
def test_agent_check_45_headers_name_this_library_and_credit_nobody(
    identity: Identity | None, user_agent: str
) -> None:
    headers = dict(exchange(P, GOOD, api_key=KEY, identity=identity).request.headers)
    assert headers.pop("user-agent").startswith(user_agent)
    for name in ("host", "content-length", "accept-encoding"):  # the HTTP client's own
        headers.pop(name)
    assert headers == {
        "accept": "text/event-stream",
        "authorization": f"Bearer {KEY}",
        "content-type": "application/json",
    }


def test_headers_of_the_request_win_and_none_removes() -> None:
    headers = {"ACCEPT": "x/y", "user-agent": None, "X-Team": "a"}
    sent = exchange(P, GOOD, headers=headers).request.headers
    assert sent["accept"] == "x/y"
    assert sent["x-team"] == "a"
    assert "user-agent" not in sent


def test_a_hook_may_replace_the_body() -> None:
    sent = exchange(P, GOOD, on_payload=lambda body, model: {**body, "model": "other"})
    assert sent.body["model"] == "other"
    assert "stream" not in sent.body


def test_a_request_without_a_key_is_not_sent() -> None:
    message = MessageBuilder(P)
    transport = CannedTransport(GOOD)
    call = Call(
        model=P,
        messages=HI.messages,
        options={},
        adapter=None,
        message=message,
        transport=transport,
        api_key=None,
        headers={},
        env={},
    )
    result = asyncio.run(AssistantStream(message, stream(call)).result())
    assert result.error_message == 'No API key provided for provider "custom"'
    assert not transport.requests


def test_options_of_another_wire_are_refused() -> None:
    sent = exchange(P, GOOD, adapter=AnthropicOptions())
    assert sent.message.error_message == (
        "adapter: expected PiMessagesOptions for pi-messages, found AnthropicOptions"
    )
    assert not sent.requests


# --- the response -----------------------------------------------------------------------------

REWRITE = {"policyId": "p", "policyVersion": 1, "changed": True, "tokenCountChange": -5}
FULL = (
    pi_record("thinking_start")
    + pi_record("thinking_delta", delta="hm")
    + pi_record("thinking_end", content="[redacted]", contentSignature="ENC", redacted=True)
    + pi_record("text_start", 1)
    + pi_record("text_delta", 1, delta="né")
    + pi_record("text_end", 1, content="née", contentSignature="TS")
    + pi_record("toolcall_start", 2, id="c", toolName="read")
    + pi_record("toolcall_delta", 2, delta='{"path":')
    + pi_record("toolcall_end", 2, toolCall={"id": "c", "name": "read", "arguments": {"a": 1}})
    + pi_end(
        reason="toolUse",
        responseId="r1",
        responseModel="served",
        providerThinkingLevel="high",
        rewrite=REWRITE,
    )
)


def test_pi_messages_check_36_a_whole_answer() -> None:
    sent = exchange(
        P, LoopbackResponse(streamed(*(FULL[i : i + 7] for i in range(0, len(FULL), 7))))
    )
    message = sent.message
    assert message.content == [
        ThinkingContent("[redacted]", "ENC", True),
        TextContent("née", "TS"),
        ToolCall("c", "read", {"a": 1}),
    ]
    assert message.stop_reason == "toolUse"
    assert (message.response_id, message.response_model) == ("r1", "served")
    assert message.provider_thinking_level == "high"
    assert (message.usage.total_tokens, message.usage.cost.total) == (15, 0.75)
    [diagnostic] = message.diagnostics or []
    assert (diagnostic.kind, diagnostic.details) == ("pi_messages_rewrite", REWRITE)
    # Looked at late, every event still shows its own moment.
    partials = [event.partial for event in sent.events[:-1] if event.type != "done"]
    assert partials[2].content == [ThinkingContent("hm")]
    assert partials[3].content == [ThinkingContent("[redacted]", "ENC", True)]
    assert partials[5].content[1] == TextContent("né")
    assert partials[6].content[1] == TextContent("née", "TS")
    assert partials[8].content[2] == ToolCall("c", "read", {})


def test_agent_check_44_the_content_at_the_end_stands_over_the_deltas() -> None:
    sent = exchange(P, pi_text("abc") + pi_record("text_end", content="xyz") + pi_end())
    assert sent.message.text == "xyz"
    assert ("text_end", 0, "xyz") in sent.told


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(GOOD.replace(b"\n", b"\r\n"), id="crlf"),
        pytest.param(GOOD.replace(b"data: ", b"data:"), id="no-space"),
        pytest.param(GOOD.removesuffix(b"\n\n"), id="unterminated"),
        pytest.param(GOOD.replace(b"}\n\n", b"}\ndata: more\n\n"), id="first-data-line-counts"),
        pytest.param(DONE + b": comment\n\nevent: x\n" + GOOD, id="done-marker-and-comment"),
        pytest.param(GOOD + b"data: nonsense\n\n", id="behind-the-end"),
    ],
)
def test_framing_that_is_accepted(body: bytes) -> None:
    sent = exchange(P, body)
    assert (sent.message.text, sent.message.stop_reason) == ("abc", "stop")


def test_blocks_that_the_server_left_open_end_with_the_answer() -> None:
    body = pi_text("abc") + pi_record("toolcall_start", 1, id="c", toolName="t")
    sent = exchange(P, body + pi_record("toolcall_delta", 1, delta='{"a":1}') + pi_end())
    assert sent.told[-3:] == [
        ("text_end", 0, "abc"),
        ("toolcall_end", 1, "c", "t", {"a": 1}),
        ("done", "stop"),
    ]


# --- failures ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "text"),
    [
        pytest.param(
            pi_record("text_start", 3),
            "Invalid contentIndex 3 in pi-messages text_start event",
            id="agent-44",
        ),
        pytest.param(
            pi_record("text_start", 5),
            "Invalid contentIndex 5 in pi-messages text_start event",
            id="wire-37",
        ),
        pytest.param(
            pi_record("text_delta", 0, delta="x"),
            "Invalid contentIndex 0 in pi-messages text_delta event",
            id="no-block",
        ),
        pytest.param(
            pi_record("text_start", "0"),
            'Invalid contentIndex "0" in pi-messages text_start event',
            id="text",
        ),
        pytest.param(b"", "custom stream ended without a terminal event", id="eof"),
        pytest.param(DONE, "custom stream ended without a terminal event", id="done-marker"),
        pytest.param(pi_end("error", "error", errorMessage="boom"), "boom", id="told"),
    ],
)
def test_agent_check_44_streams_that_fail(body: bytes, text: str) -> None:
    sent = exchange(P, pi_record("start") + body)
    assert sent.message.error_message == text
    assert sent.told == [("start",), ("error", "error")]


def test_pi_messages_check_37_a_stream_that_is_cut_keeps_what_had_arrived() -> None:
    message = exchange(P, pi_text("part")).message
    assert message.error_message == "custom stream ended without a terminal event"
    assert message.text == "part"


def test_what_the_server_reports_comes_with_its_usage() -> None:
    ended = pi_end("error", "aborted", errorMessage="stopped", responseId="r")
    message = exchange(P, pi_text("part") + ended).message
    assert (message.stop_reason, message.error_message) == ("aborted", "stopped")
    assert (message.text, message.response_id) == ("part", "r")
    assert message.usage.cost.total == 0.75


@pytest.mark.parametrize(
    ("status", "body", "text", "kept"),
    [
        pytest.param(
            500,
            b'{"error":{"message":"boo"}}',
            "500 Internal Server Error: boo",
            {"error": {"message": "boo"}},
            id="agent-44",
        ),
        pytest.param(
            400,
            b'{"error":{"message":"nope","code":"bad"}}',
            "400 Bad Request: nope (bad)",
            {"error": {"message": "nope", "code": "bad"}},
            id="wire-37",
        ),
        pytest.param(
            400,
            b'{"error":{"message":5,"code":7}}',
            '400 Bad Request: {"error":{"message":5,"code":7}}',
            {"error": {"message": 5, "code": 7}},
            id="odd-error",
        ),
        pytest.param(
            404,
            b'{"error":"no"}',
            '404 Not Found: {"error":"no"}',
            {"body": '{"error":"no"}'},
            id="text",
        ),
        pytest.param(502, b"<html>", "502 Bad Gateway: <html>", {"body": "<html>"}, id="html"),
        pytest.param(503, b"", "503 Service Unavailable: ", {"body": ""}, id="empty"),
        pytest.param(
            500,
            b"x" * 9000,
            "500 Internal Server Error: " + "x" * 9000,
            {"body": "x" * 8192 + "…"},
            id="long",
        ),
    ],
)
def test_agent_check_44_statuses(status: int, body: bytes, text: str, kept: dict[str, Any]) -> None:
    refused = LoopbackResponse(body, status)
    message = exchange(replace(P, base_url="{server}/?key=secret"), refused).message
    assert message.error_message == text
    [diagnostic] = message.diagnostics or []
    assert diagnostic.kind == "pi_messages_response_failure"
    error = {"name": "PiMessagesResponseError", "message": text}
    if text.endswith("(bad)"):
        error["code"] = "bad"
    assert diagnostic.error == error
    details = dict(diagnostic.details or {})
    assert details.pop("timestampMs") == diagnostic.timestamp
    assert details.pop("url").endswith("/messages")
    assert details == {
        "version": 1,
        "provider": "custom",
        "model": "p",
        "status": status,
        "statusText": text[4:].partition(":")[0],
        **kept,
    }


def test_a_key_that_the_server_says_back_is_not_kept() -> None:
    body = json.dumps({"error": {"message": f"no such key: {KEY}"}}).encode()
    message = exchange(P, LoopbackResponse(body, 401), api_key=KEY).message
    assert message.error_message == "401 Unauthorized: no such key: [key]"
    assert KEY not in repr(message)


@pytest.mark.parametrize("when", ["before", "mid-stream"])
def test_pi_messages_check_38_aborts_keep_what_had_arrived(when: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.send(CHUNKED, piece(pi_text("part")))
        await peer.stall()

    async def main() -> None:
        models = Models()
        controller = AbortController()
        async with RawServer(script) as server:
            model = replace(P, base_url=server.url)
            async with models.stream(model, HI, signal=controller.signal) as events:
                if when == "before":
                    controller.abort()
                async for event in events:
                    if event.type == "text_delta":
                        controller.abort()
                message = await events.result()
            await asyncio.wait_for(server.all_closed(), 5)
            await models.aclose()
            assert len(server.requests) == (when == "mid-stream")
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert (message.stop_reason, message.error_message) == ("aborted", "Request was aborted")
        assert message.text == ("part" if when == "mid-stream" else "")

    asyncio.run(main())


# --- where it is found ------------------------------------------------------------------------


def test_a_model_from_a_url_and_one_of_a_custom_provider_speak_it() -> None:
    async def main() -> None:
        models = Models()
        async with LoopbackServer(lambda _request: LoopbackResponse(GOOD)) as server:
            near = model_from_url(server.url, "auto", api="pi-messages")
            assert (await models.complete(near, HI)).text == "abc"
            models.set_provider(
                ProviderSpec("gate", env=("GATE_KEY",)), [replace(P, provider="gate")]
            )
            mine = replace(models.get_model("gate", "p"), base_url=server.url)
            assert (await models.complete(mine, HI, env={"GATE_KEY": KEY})).text == "abc"
            await models.aclose()
        keys = [request.headers.get("authorization") for request in server.requests]
        assert keys == [None, f"Bearer {KEY}"]

    asyncio.run(main())


def test_a_provider_without_a_key_is_named() -> None:
    with pytest.raises(ModelsError, match="RADIUS_API_KEY"):
        Models().check_credentials(replace(P, provider="radius", base_url="https://radius.pi.dev"))
