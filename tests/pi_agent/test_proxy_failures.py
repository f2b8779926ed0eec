"""What goes wrong with a proxy, and stopping it. Agent spec, section 11, check 43."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from pi_agent import stream_proxy
from pi_ai import (
    AbortController,
    AssistantStream,
    Models,
    TextContent,
)
from pi_ai.testing import LoopbackResponse, LoopbackServer
from support.exchanges import HI, data, pi_end, pi_record
from support.proxied import ABC, MODEL, TOKEN, ask
from support.raw_server import CHUNKED, Peer, RawServer, piece

# --- statuses and streams ---------------------------------------------------------------------


def refused(status: int, body: bytes = b"") -> LoopbackResponse:
    return LoopbackResponse(body, status, {"Content-Type": "application/json"})


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        pytest.param(refused(401, b'{"error":"No such token"}'), "No such token", id="error-text"),
        pytest.param(refused(400, b'{"error":{"message":"bad"}}'), "bad", id="error-object"),
        pytest.param(refused(400, b'{"error":{"n":1}}'), '{"n":1}', id="error-without-text"),
        pytest.param(refused(400, b'{"error":""}'), "400 Bad Request", id="falsy-error"),
        pytest.param(refused(500, b"[1]"), "500 Internal Server Error", id="no-object"),
        pytest.param(refused(502, b"<html>"), "502 Bad Gateway", id="no-json"),
        pytest.param(refused(503), "503 Service Unavailable", id="no-body"),
        pytest.param(refused(302), "302 Found", id="redirect"),
    ],
)
def test_agent_check_43_statuses(answer: LoopbackResponse, text: str) -> None:
    sent = ask(answer)
    assert sent.told == [("error", "error")]
    assert sent.message.error_message == f"Proxy error: {text}"
    assert sent.message.content == []


def test_agent_check_43_the_status_is_called_what_the_server_calls_it() -> None:
    message = asyncio.run(with_peer(b"HTTP/1.1 529 Overloaded\r\nContent-Length: 0\r\n\r\n"))
    assert message.error_message == "Proxy error: 529 Overloaded"
    message = asyncio.run(with_peer(b"HTTP/1.1 599\r\nContent-Length: 0\r\n\r\n"))
    assert message.error_message == "Proxy error: 599"


async def with_peer(*pieces: bytes) -> Any:
    async def script(peer: Peer) -> None:
        await peer.send(*pieces)

    models = Models()
    async with RawServer(script) as server:
        stream = stream_proxy(proxy_url=server.url, auth_token=TOKEN, models=models)
        message = await stream(MODEL, HI, {}).result()
        await models.aclose()
    return message


EARLY_END = "Connection closed by proxy server before the response completed"


@pytest.mark.parametrize(
    ("behind", "text"),
    [
        pytest.param(b"", EARLY_END, id="eof"),
        pytest.param(b'data: {"type":"do', "", id="bad-json"),
        pytest.param(pi_record("text_delta", 1, delta="x"), "", id="no-such-block"),
        pytest.param(
            pi_record("thinking_delta", delta="x"),
            "Received thinking_delta for non-thinking content",
            id="thinking-delta",
        ),
        pytest.param(
            pi_record("thinking_end"),
            "Received thinking_end for non-thinking content",
            id="thinking-end",
        ),
        pytest.param(
            pi_record("toolcall_delta", delta="{"),
            "Received toolcall_delta for non-toolCall content",
            id="toolcall-delta",
        ),
        pytest.param(
            pi_record("thinking_start", 1) + pi_record("text_delta", 1, delta="x"),
            "Received text_delta for non-text content",
            id="text-delta",
        ),
        pytest.param(
            pi_record("thinking_start", 1) + pi_record("text_end", 1),
            "Received text_end for non-text content",
            id="text-end",
        ),
        pytest.param(
            pi_record("text_end") + pi_record("text_delta", delta="x"),
            "Received text_delta for content that has ended",
            id="behind-its-end",
        ),
        pytest.param(
            pi_end("error", "error", errorMessage="boom"),
            "boom",
            id="told",
        ),
        pytest.param(
            pi_end("error", "error"),
            "The server reported an error without a text",
            id="told-without-text",
        ),
        pytest.param(
            pi_end(reason="deferred"),
            'Invalid reason "deferred" in proxy done event',
            id="deferred",
        ),
        pytest.param(
            data({"type": "done"}), "Invalid reason null in proxy done event", id="no-reason"
        ),
    ],
)
def test_agent_check_43_failures_keep_what_had_arrived(behind: bytes, text: str) -> None:
    sent = ask(ABC + behind)
    message = sent.message
    assert sent.told[-1] == ("error", "error")
    assert message.stop_reason == "error"
    assert message.error_message
    assert message.error_message.startswith(text)
    assert message.text == "abc"
    assert message.duration_ms is not None


@pytest.mark.parametrize(
    ("index", "shown"),
    [
        (3, "3"),
        (0, "0"),
        (-1, "-1"),
        (1.5, "1.5"),
        (True, "true"),
        ("1", '"1"'),
        (None, "null"),
        ([1], "[1]"),
        (10**30, "1" + "0" * 30),
    ],
)
def test_a_block_begins_only_at_the_next_index(index: Any, shown: str) -> None:
    message = ask(ABC + pi_record("text_start", index)).message
    assert message.error_message == f"Invalid contentIndex {shown} in proxy text_start event"
    assert message.text == "abc"


def test_an_event_without_its_index_is_refused() -> None:
    message = ask(ABC + data({"type": "text_delta", "delta": "x"})).message
    assert message.error_message == "Invalid contentIndex undefined in proxy text_delta event"


def test_agent_check_43_the_end_of_a_call_at_another_block_is_ignored() -> None:
    sent = ask(ABC + pi_record("toolcall_end", toolCall={"name": "x"}) + pi_end())
    assert sent.message.content == [TextContent("abc")]
    assert sent.message.stop_reason == "stop"


def test_agent_check_43_unknown_types_are_logged_once_and_ignored(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        sent = ask(ABC + data({"type": "ping"}) * 3 + data({"type": 5}) + data([1]) + pi_end())
    assert (sent.message.stop_reason, sent.message.text) == ("stop", "abc")
    assert [record.getMessage() for record in caplog.records] == [
        "Ignored proxy event of unknown type 'ping'",
        "Ignored proxy event of unknown type ''",
    ]


def test_agent_check_43_an_abort_that_the_server_reports() -> None:
    sent = ask(ABC + pi_end("error", "aborted", errorMessage="server stops"))
    assert sent.told[-1] == ("error", "aborted")
    assert sent.message.error_message == "server stops"
    assert sent.message.usage.total_tokens == 15
    assert ask(ABC + pi_end("error", "aborted")).message.error_message == "Request was aborted"


def test_agent_check_43_network_errors() -> None:
    reset = asyncio.run(with_peer(CHUNKED, piece(ABC)))
    assert reset.error_message.startswith("terminated: ")
    assert reset.text == "abc"
    refused = asyncio.run(without_server())
    assert refused.error_message.startswith("Connection error.: ")


async def without_server() -> Any:
    async with RawServer(Peer.stall) as server:
        url = server.url
    models = Models()
    message = await stream_proxy(proxy_url=url, auth_token=TOKEN, models=models)(
        MODEL, HI, {}
    ).result()
    await models.aclose()
    return message


def test_failed_attempts_are_repeated_as_the_options_say() -> None:
    answers = [refused(503), LoopbackResponse(ABC + pi_end())]

    async def main() -> None:
        models = Models()
        async with LoopbackServer(lambda _request: answers.pop(0)) as server:
            stream = stream_proxy(proxy_url=server.url, auth_token=TOKEN, models=models)
            message = await stream(MODEL, HI, {"max_retries": 1}).result()
            await models.aclose()
        assert message.text == "abc"
        assert not answers

    asyncio.run(main())


# --- aborts -----------------------------------------------------------------------------------


def run_aborted(
    use: Callable[[AssistantStream, AbortController], Awaitable[None]], pieces: Sequence[bytes] = ()
) -> tuple[Any, int]:
    """Read from a server that stalls behind `pieces`; nothing may be left. Counts requests."""

    async def script(peer: Peer) -> None:
        await peer.send(CHUNKED, *(piece(each) for each in pieces))
        await peer.stall()

    async def main() -> tuple[Any, int]:
        models = Models()
        controller = AbortController()
        async with RawServer(script) as server:
            ask = stream_proxy(proxy_url=server.url, auth_token=TOKEN, models=models)
            async with ask(MODEL, HI, {"signal": controller.signal}) as events:
                await use(events, controller)
                message = events.message
            await asyncio.wait_for(server.all_closed(), 5)
            await models.aclose()
            requests = len(server.requests)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return message, requests

    return asyncio.run(main())


def test_agent_check_43_an_abort_before_the_request_sends_none() -> None:
    async def use(events: AssistantStream, controller: AbortController) -> None:
        controller.abort()
        assert [event.type async for event in events] == ["error"]

    message, requests = run_aborted(use)
    assert (message.stop_reason, message.error_message) == ("aborted", "Request was aborted")
    assert message.content == []
    assert requests == 0


def test_agent_check_43_an_abort_mid_stream_keeps_what_had_arrived() -> None:
    async def use(events: AssistantStream, controller: AbortController) -> None:
        seen: list[str] = []
        async for event in events:
            seen.append(event.type)
            if event.type == "text_delta":
                controller.abort()
        assert seen == ["start", "text_start", "text_delta", "error"]

    message, requests = run_aborted(use, [ABC])
    assert (message.stop_reason, message.error_message) == ("aborted", "Request was aborted")
    assert message.text == "abc"
    assert requests == 1


def test_leaving_the_stream_closes_its_connection() -> None:
    async def use(events: AssistantStream, _controller: AbortController) -> None:
        async for event in events:
            if event.type == "text_delta":
                return

    message, _ = run_aborted(use, [ABC])
    assert message.text == "abc"


def test_cancelling_the_reader_closes_its_connection() -> None:
    async def use(events: AssistantStream, _controller: AbortController) -> None:
        arrived = asyncio.Event()

        async def read() -> None:
            async for event in events:
                if event.type == "text_delta":
                    arrived.set()

        reader = asyncio.create_task(read())
        await arrived.wait()
        reader.cancel()
        await asyncio.wait([reader])
        assert reader.cancelled()

    run_aborted(use, [ABC])
