"""What a failing server does to a stream: a correct message or a clear error, and nothing left.

Every case runs over several wire formats, within its time limit; afterwards the server must see the
connection closed, and no task may be left.
"""

from __future__ import annotations

import asyncio
import gzip
import time
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from msgspec.structs import replace

from pi_ai import AbortController, AssistantMessage, AssistantStream, Models
from pi_ai.retry import is_retryable_assistant_error
from support.exchanges import (
    BODIES,
    HI,
    RESPONSE_CREATED,
    C,
    M,
    P,
    R,
    X,
    brief,
    chatgpt_token,
    chunk,
    message_start,
    pi_text,
    record,
    responses_delta,
    text_block,
)
from support.raw_server import CHUNKED, OK_HEAD, Peer, RawServer, piece

MODELS = {
    "anthropic": C,
    "completions": M,
    "pi-messages": P,
    "responses": R,
    "codex": X,
}
KEY = chatgpt_token()
WORDED = {"stall-before-headers", "malformed-json", "401", "500-again-and-again"}
WORDED |= {"reset-mid-body", "ended-too-early", "refusal-without-its-body"}
"""The faults for which the Codex backend has words of its own, or that show it has none."""
TEXT = {
    "anthropic-messages": message_start()
    + record("content_block_start", index=0, content_block={"type": "text", "text": ""})
    + record("content_block_delta", index=0, delta={"type": "text_delta", "text": "part"}),
    "openai-completions": chunk({"content": "part"}),
    "pi-messages": pi_text("part"),
    **dict.fromkeys(
        (R.api, X.api),
        RESPONSE_CREATED
        + record("response.output_item.added", output_index=0, item={"type": "message"})
        + responses_delta("output_text", "part"),
    ),
}
"""The beginning of an answer, up to the first text."""

BAD_JSON = {
    "anthropic-messages": b'event: content_block_delta\ndata: {"index":0,"delta":{\n\n',
    "openai-completions": b'data: {"choices":[\n\n',
    "pi-messages": b'data: {"type":"text_delta",\n\n',
    **dict.fromkeys((R.api, X.api), b'data: {"type":"response.output_text.delta",\n\n'),
}
ENDED_EARLY = (
    "Anthropic stream ended",
    "Stream ended without",
    "custom stream ended",
    "OpenAI Responses stream ended",
)
INVALID_UTF8 = {
    "anthropic-messages": message_start() + text_block("a\x00b"),
    "openai-completions": chunk({"content": "a\x00b"}),
}

Action = Callable[[Peer, str], Awaitable[None]]
FAULTS: dict[str, Fault] = {}


@dataclass
class Fault:
    """What the server does, and what must come of it."""

    act: Action
    reason: str = "error"
    text: str | tuple[str, ...] = ""
    """How the error message begins."""
    kept: str = "part"
    """The text that the final message holds."""
    started: bool = True
    retryable: bool | None = True
    requests: int = 1
    seconds: float = 1.5
    options: dict[str, Any] = field(default_factory=dict[str, Any])


@pytest.fixture(autouse=True)
def watchful_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections that are gone without a word are noticed sooner than in a program."""
    monkeypatch.setattr("pi_ai.http.client._LOOK_SECONDS", 0.1)


def fault(name: str, **wanted: Any) -> Callable[[Action], Action]:
    def add(act: Action) -> Action:
        FAULTS[name] = Fault(act, **wanted)
        return act

    return add


def refusal(head: str, body: bytes = b"slow down") -> bytes:
    return f"HTTP/1.1 {head}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


# --- before the headers -----------------------------------------------------------------------


@fault("reset-before-headers", text="Connection error.: ", kept="", started=False)
async def _(peer: Peer, _api: str) -> None:
    peer.reset()


@fault("closed-before-headers", text="Connection error.: ", kept="", started=False)
async def _(_peer: Peer, _api: str) -> None:
    return


@fault(
    "reset-then-good",
    reason="stop",
    kept="ok",
    requests=2,
    retryable=None,
    options={"max_retries": 1},
)
async def _(peer: Peer, api: str) -> None:
    if peer.number == 1:
        peer.reset()
    else:
        await peer.send(CHUNKED, piece(BODIES[api]), piece(b""))


@fault("half-a-header", text="Connection error.: ", kept="", started=False)
async def _(peer: Peer, _api: str) -> None:
    await peer.send(b"HTTP/1.1 200 OK\r\nContent-Ty")


@fault("not-http", text="Connection error.: ", kept="", started=False)
async def _(peer: Peer, _api: str) -> None:
    await peer.send(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")


@fault(
    "stall-before-headers",
    text=("Request timed out.", "Codex SSE response headers timed out after 80ms"),
    kept="",
    started=False,
    options={"timeout_ms": 80},
)
async def _(peer: Peer, _api: str) -> None:
    await peer.stall()


@fault(
    "stall-in-the-headers",
    text=("Request timed out.", "Codex SSE response headers timed out after 80ms"),
    kept="",
    started=False,
    options={"timeout_ms": 80},
)
async def _(peer: Peer, _api: str) -> None:
    await peer.send(b"HTTP/1.1 200 OK\r\n")
    await peer.stall()


@fault(
    "stall-then-good",
    reason="stop",
    kept="ok",
    requests=2,
    retryable=None,
    seconds=1.9,
    options={"timeout_ms": 150, "max_retries": 1},
)
async def _(peer: Peer, api: str) -> None:
    if peer.number == 1:
        await peer.stall()
    await peer.send(CHUNKED, piece(BODIES[api]), piece(b""))


# --- in the body ------------------------------------------------------------------------------


@fault("reset-mid-body", text="terminated: ")
async def _(peer: Peer, api: str) -> None:
    await peer.send(CHUNKED, piece(TEXT[api]))
    await asyncio.sleep(0.03)
    peer.reset()


@fault("closed-mid-body", text="terminated: ")
async def _(peer: Peer, api: str) -> None:
    await peer.send(CHUNKED, piece(TEXT[api]))


@fault("closed-mid-record", text="terminated: ")
async def _(peer: Peer, api: str) -> None:
    await peer.send(CHUNKED, piece(TEXT[api] + b"data: {"))


@fault("shorter-than-its-length", text="terminated: ")
async def _(peer: Peer, api: str) -> None:
    await peer.send(OK_HEAD, b"Content-Length: 100000\r\n\r\n", TEXT[api])


@fault("ended-too-early", text=ENDED_EARLY)
async def _(peer: Peer, api: str) -> None:
    await peer.send(CHUNKED, piece(TEXT[api]), piece(b""))


@fault("body-until-close", reason="stop", kept="ok", retryable=None)
async def _(peer: Peer, api: str) -> None:
    await peer.send(OK_HEAD, b"Connection: close\r\n\r\n", BODIES[api])


@fault("broken-chunk-size", text="terminated: ", seconds=1.9)
async def _(peer: Peer, api: str) -> None:
    await peer.send(CHUNKED, piece(TEXT[api]))
    await asyncio.sleep(0.03)
    await peer.send(b"zz\r\nnonsense\r\n")
    await peer.stall()


@fault(
    "stall-in-the-body",
    text="Request timed out: no data received for 0.1 s",
    options={"idle_timeout_ms": 100},
)
async def _(peer: Peer, api: str) -> None:
    await peer.send(CHUNKED, piece(TEXT[api]))
    await peer.stall()


@fault(
    "drip-is-no-stall",
    reason="stop",
    kept="ok",
    retryable=None,
    options={"idle_timeout_ms": 400, "timeout_ms": 400},
)
async def _(peer: Peer, api: str) -> None:
    await peer.send(CHUNKED)
    body = BODIES[api]
    step = len(body) // 8 + 1
    for at in range(0, len(body), step):
        await peer.send(piece(body[at : at + step]))
        await asyncio.sleep(0.06)
    await peer.send(piece(b""))


@fault("stall-behind-the-end", reason="stop", kept="ok", retryable=None)
async def _(peer: Peer, api: str) -> None:
    await peer.send(CHUNKED, piece(BODIES[api]))
    await peer.stall()


# --- what the body says -----------------------------------------------------------------------


@fault(
    "malformed-json",
    text=(
        "Could not parse Anthropic SSE event",
        "Error reading response",
        "Expecting",
        "Invalid Codex SSE JSON",
    ),
    retryable=False,
)
async def _(peer: Peer, api: str) -> None:
    await peer.send(CHUNKED, piece(TEXT[api] + BAD_JSON[api] + b"more"))
    await peer.stall()


@fault("html-with-status-200", text=ENDED_EARLY, kept="")
async def _(peer: Peer, _api: str) -> None:
    page = b"<html><body>Please log in</body></html>\n"
    await peer.send(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n", b"Content-Length: 40\r\n\r\n"
    )
    await peer.send(page)


@fault("invalid-utf-8", reason="stop", kept="a\ufffdb", retryable=None)
async def _(peer: Peer, api: str) -> None:
    good = BODIES[api].replace(b"ok", b"a\xffb")
    await peer.send(CHUNKED, piece(good), piece(b""))


@fault("gzip", reason="stop", kept="ok", retryable=None)
async def _(peer: Peer, api: str) -> None:
    await peer.send(OK_HEAD, b"Content-Encoding: gzip\r\nConnection: close\r\n\r\n")
    await peer.send(gzip.compress(BODIES[api]))


@fault("gzip-that-is-none", text="terminated: ", kept="")
async def _(peer: Peer, api: str) -> None:
    head = OK_HEAD + b"Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
    await peer.send(head, piece(BODIES[api]), piece(b""))


@fault("deflate-cut-short", text="terminated: ", kept="", seconds=1.9)
async def _(peer: Peer, api: str) -> None:
    packed = zlib.compress(BODIES[api])[:20]
    await peer.send(OK_HEAD, b"Content-Encoding: deflate\r\nTransfer-Encoding: chunked\r\n\r\n")
    await asyncio.sleep(0.03)
    await peer.send(piece(packed), piece(b""))
    await peer.stall()


# --- statuses ---------------------------------------------------------------------------------


def status_fault(name: str, head: str, *, then_good: bool, **wanted: Any) -> None:
    @fault(name, **wanted)
    async def _(peer: Peer, api: str) -> None:
        if then_good and peer.number > 1:
            await peer.send(CHUNKED, piece(BODIES[api]), piece(b""))
        else:
            await peer.send(refusal(head))


for status in (429, 500, 503, 529):
    status_fault(
        f"{status}-with-retry-after",
        f"{status} X\r\nRetry-After-Ms: 20",
        then_good=True,
        reason="stop",
        kept="ok",
        requests=2,
        retryable=None,
        options={"max_retries": 1},
    )
status_fault(
    "429-without-retry-after",
    "429 Too Many Requests",
    then_good=True,
    reason="stop",
    kept="ok",
    requests=2,
    retryable=None,
    options={"max_retries": 1},
)
status_fault(
    "500-again-and-again",
    "500 Internal Server Error\r\nRetry-After-Ms: 5",
    then_good=False,
    text=(
        "500 slow down",
        "500 Internal Server Error: slow down",
        "OpenAI API error (500): 500 slow down",
        "Codex API error (500): slow down",
    ),
    kept="",
    started=False,
    requests=3,
    options={"max_retries": 2},
)
status_fault(
    "401",
    "401 Unauthorized",
    then_good=False,
    text=(
        "401 slow down",
        "401 Unauthorized: slow down",
        "OpenAI API error (401): 401 slow down",
        "slow down",
    ),
    kept="",
    started=False,
    retryable=False,
    options={"max_retries": 2},
)
status_fault(
    "redirect-is-not-followed",
    "307 Temporary Redirect\r\nLocation: http://127.0.0.1:9/elsewhere",
    then_good=False,
    text=(
        "307 slow down",
        "307 Temporary Redirect: slow down",
        "OpenAI API error (307): 307 slow down",
        "slow down",
    ),
    kept="",
    started=False,
    retryable=False,
)


@fault(
    "refusal-without-its-body",
    text=(
        "503 ",
        "OpenAI API error (503): 503 ",
        "Codex API error (503): X",
    ),
    kept="",
    started=False,
)
async def _(peer: Peer, _api: str) -> None:
    await peer.send(b"HTTP/1.1 503 X\r\nContent-Length: 500\r\n\r\n")


# --- running them -----------------------------------------------------------------------------


async def run(wanted: Fault, api_model: Any) -> tuple[list[Any], AssistantMessage, RawServer]:
    models = Models()

    async def script(peer: Peer) -> None:
        await wanted.act(peer, api_model.api)

    async with RawServer(script) as server:
        model = replace(api_model, base_url=api_model.base_url.replace("{server}", server.url))
        options = {"api_key": KEY, "transport": "sse", **wanted.options}
        async with models.stream(model, HI, **options) as events:
            seen = [event async for event in events]
            message = await events.result()
        await models.aclose()
        await asyncio.wait_for(server.all_closed(), 1)
    leftover = asyncio.all_tasks() - {asyncio.current_task()}
    assert not leftover
    return seen, message, server


CASES = [
    pytest.param(name, wire, id=f"{name}-{wire}")
    for name in FAULTS
    for wire in MODELS
    if wire != "codex" or name in WORDED
]


@pytest.mark.parametrize(("name", "wire"), CASES)
def test_fault_ends_in_a_message_or_a_clear_error(name: str, wire: str) -> None:
    wanted = FAULTS[name]
    began = time.monotonic()
    seen, message, server = asyncio.run(run(wanted, MODELS[wire]), debug=True)
    assert time.monotonic() - began < wanted.seconds
    assert message.stop_reason == wanted.reason
    assert message.text == wanted.kept
    assert len(server.requests) == wanted.requests
    assert (seen[0].type == "start") is wanted.started
    last = ("done", wanted.reason) if wanted.reason == "stop" else ("error", wanted.reason)
    assert brief(seen[-1]) == last
    assert (message.error_message or "").startswith(wanted.text)
    if wanted.retryable is not None:
        assert is_retryable_assistant_error(message) is wanted.retryable


# --- the caller stops -------------------------------------------------------------------------

STALLS: dict[str, Callable[[Peer, str], Awaitable[None]]] = {}


def stall(act: Action) -> Action:
    STALLS[act.__name__.replace("_", "-")] = act
    return act


@stall
async def before_headers(peer: Peer, _api: str) -> None:
    await peer.stall()


@stall
async def in_a_retry_sleep(peer: Peer, _api: str) -> None:
    await peer.send(refusal("429 X\r\nRetry-After: 30\r\nConnection: close"))
    await peer.stall()


@stall
async def mid_stream(peer: Peer, api: str) -> None:
    await peer.send(CHUNKED, piece(TEXT[api]))
    await peer.stall()


@stall
async def in_an_error_body(peer: Peer, _api: str) -> None:
    await peer.send(b"HTTP/1.1 500 X\r\nContent-Length: 500\r\n\r\nhalf")
    await peer.stall()


async def reached(server: RawServer, events: AssistantStream, *, text: bool) -> None:
    """Wait until the server has the request, and the client the first text if there is one."""
    while not server.requests or (text and not events.message.text):
        await asyncio.sleep(0.005)
    await asyncio.sleep(0.03)


async def stop(api_model: Any, act: Action, how: str) -> AssistantMessage:
    controller = AbortController()
    models = Models()
    options: Any = {"api_key": KEY, "max_retries": 1, "signal": controller.signal}
    options["transport"] = "sse"

    async def script(peer: Peer) -> None:
        await act(peer, api_model.api)

    async with RawServer(script) as server:
        model = replace(api_model, base_url=api_model.base_url.replace("{server}", server.url))
        events = models.stream(model, HI, **options)
        reader = asyncio.ensure_future(events.result())
        await reached(server, events, text=act is mid_stream)
        if how == "abort":
            controller.abort()
            await asyncio.wait_for(reader, 0.5)
        else:
            reader.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reader
            assert reader.cancelled()
        await asyncio.wait_for(server.all_closed(), 1)
        await models.aclose()
    assert not asyncio.all_tasks() - {asyncio.current_task()}
    return events.message


@pytest.mark.parametrize("wire", MODELS)
@pytest.mark.parametrize("how", ["abort", "cancel"])
@pytest.mark.parametrize("name", STALLS)
def test_stopping_closes_the_connection_at_once(name: str, how: str, wire: str) -> None:
    message = asyncio.run(stop(MODELS[wire], STALLS[name], how), debug=True)
    assert message.text == ("part" if name == "mid-stream" else "")
    if how == "abort":
        assert message.stop_reason == "aborted"
        assert message.error_message == "Request was aborted"
    else:
        assert message.stop_reason == "pending"


@pytest.mark.parametrize("wire", MODELS)
def test_leaving_the_block_early_closes_the_connection(wire: str) -> None:
    async def leave() -> None:
        models = Models()
        async with RawServer(lambda peer: mid_stream(peer, MODELS[wire].api)) as server:
            base_url = MODELS[wire].base_url.replace("{server}", server.url)
            model = replace(MODELS[wire], base_url=base_url)
            async with models.stream(model, HI, api_key=KEY, transport="sse") as events:
                async for event in events:
                    if event.type == "text_delta":
                        break
            await asyncio.wait_for(server.all_closed(), 1)
            await models.aclose()
        assert not asyncio.all_tasks() - {asyncio.current_task()}

    asyncio.run(leave(), debug=True)


@pytest.mark.parametrize("wire", MODELS)
def test_a_key_with_a_line_break_is_refused_without_being_shown(wire: str) -> None:
    async def ask() -> AssistantMessage:
        models = Models()
        async with RawServer(lambda peer: before_headers(peer, "")) as server:
            base_url = MODELS[wire].base_url.replace("{server}", server.url)
            model = replace(MODELS[wire], base_url=base_url)
            message = await models.complete(model, HI, api_key="sec\nret")
            await models.aclose()
        return message

    message = asyncio.run(ask())
    assert message.stop_reason == "error"
    assert "sec" not in (message.error_message or "")
    assert "ret" not in (message.error_message or "").replace("return", "")
