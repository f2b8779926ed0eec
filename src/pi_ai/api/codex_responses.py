"""The adapter for the Codex backend of ChatGPT: over WebSocket, or over HTTP where that fails.

Source: spec of openai-codex-responses, sections 8 and 9.
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, suppress

from msgspec import Struct

from pi_ai.api._codex_continuation import Continuation, continue_from, remember
from pi_ai.api._codex_decoder import CodexDecoder
from pi_ai.api._codex_errors import CODEX_REFUSALS
from pi_ai.api._codex_request import (
    CodexOptions,
    build_body,
    build_socket_headers,
    build_sse_headers,
    codex_url,
    compress,
    require_account_id,
    socket_url,
)
from pi_ai.api._exchange import (
    Exchange,
    decoded,
    encode_body,
    resolve_headers,
    resolve_payload,
    send,
)
from pi_ai.api._options import require_adapter_options, resolve_cache_retention
from pi_ai.api._responses_compat import ResponsesCompat
from pi_ai.api._responses_messages import InputSettings, build_answer_items
from pi_ai.errors import (
    ProviderConnectionError,
    ProviderError,
    ProviderTimeoutError,
    WebSocketClosedError,
)
from pi_ai.http.sse import SseRecord
from pi_ai.http.transport import Socket, SocketRequest, SocketTransport
from pi_ai.provider import Call
from pi_ai.stream import EventBatches
from pi_ai.types import Diagnostic, JsonObject, now_ms

__all__ = ("CodexOptions", "stream")

_DEFAULT_CONNECT_TIMEOUT_MS = 15_000
_DEFAULT_IDLE_TIMEOUT_MS = 300_000
_SSE_ONLY = "openai-codex: no WebSocket"
_CONTINUATION_LOST = "previous_response_not_found"
_TOO_MANY_CONNECTIONS = "websocket_connection_limit_reached"


class _StaleConnectionError(Exception):
    """A connection that was kept turned out to be closed; a new one will do."""


class _Request(Struct, frozen=True):
    """What both transports send. `session_id`: the session that caching may tie it to."""

    url: str
    body: JsonObject
    grammar_inputs: Mapping[str, str]
    account_id: str
    session_id: str | None


async def stream(call: Call[CodexOptions]) -> EventBatches:
    """One request over `openai-codex-responses`. See `pi_ai.provider.Adapter`."""
    require_adapter_options(call, CodexOptions)
    _require_timeouts(call)
    request = await _build(call)
    over_http = (call.options.get("transport") or "auto") == "sse" or call.memory.recalls(
        call.options.get("session_id"), _SSE_ONLY
    )
    if not over_http and isinstance(call.transport, SocketTransport):
        over_http = True
        async with aclosing(_over_socket(call, call.transport, request)) as batches:
            async for events in batches:
                over_http = False
                yield events
        if not over_http:
            return
    answer = _over_http(call, request)
    del request  # its body is not needed while the answer streams
    async with aclosing(answer) as batches:
        async for events in batches:
            yield events


async def _build(call: Call[CodexOptions]) -> _Request:
    account_id = require_account_id(call.api_key)
    retention = resolve_cache_retention(call)
    session_id = call.options.get("session_id") if retention != "none" else None
    body, grammar_inputs = build_body(
        call.model, call.messages, call.options, call.adapter, session_id=session_id
    )
    body = await resolve_payload(call, body)
    return _Request(
        codex_url(call.model.base_url),
        body,
        grammar_inputs,
        account_id,
        session_id or None,
    )


def _require_timeouts(call: Call[CodexOptions]) -> None:
    for option, name in (
        ("timeout_ms", "timeoutMs"),
        ("websocket_connect_timeout_ms", "websocketConnectTimeoutMs"),
    ):
        told = call.options.get(option)
        if isinstance(told, int | float) and not (math.isfinite(told) and told >= 0):
            raise ValueError(f"Invalid {name}: {told}")


def _decoder(call: Call[CodexOptions], request: _Request, transport: str) -> CodexDecoder:
    return CodexDecoder(
        call.message,
        request.grammar_inputs,
        requested_tier=call.adapter.service_tier if call.adapter is not None else None,
        transport=transport,
        starts=transport == "WebSocket",
    )


# --- over HTTP --------------------------------------------------------------------------------


async def _over_http(call: Call[CodexOptions], request: _Request) -> EventBatches:
    decoder = _decoder(call, request, "SSE")
    async with AsyncExitStack() as stack:
        response = await _post(call, stack, request)
        del request  # its body is not needed while the answer streams
        yield [call.message.start()]
        async with aclosing(decoded(call, response, decoder)) as batches:
            async for events in batches:
                yield events
    decoder.close()


async def _post(call: Call[CodexOptions], stack: AsyncExitStack, request: _Request) -> Exchange:
    headers = build_sse_headers(call, request.account_id, request.session_id)
    body = encode_body(request.body)
    if (packed := compress(body)) is not None:
        headers["Content-Encoding"] = "zstd"
        body = packed
    try:
        return await send(
            call,
            stack,
            url=request.url,
            headers=await resolve_headers(call, headers),
            body=body,
            refusals=CODEX_REFUSALS,
        )
    except ProviderTimeoutError as error:
        limit = call.options.get("timeout_ms")
        if limit is None:
            raise
        raise ProviderTimeoutError(
            f"Codex SSE response headers timed out after {limit:g}ms", retryable=True
        ) from error


# --- over WebSocket ---------------------------------------------------------------------------


async def _over_socket(
    call: Call[CodexOptions], transport: SocketTransport, request: _Request
) -> EventBatches:
    """The events of the answer; none at all if HTTP is to be tried instead."""
    attempts_left = 2
    has_started = False
    while True:
        attempts_left -= 1
        decoder = _decoder(call, request, "WebSocket")
        decoder.started = has_started
        try:
            async with aclosing(_ask_once(call, transport, request, decoder)) as batches:
                async for events in batches:
                    yield events
            return
        except _StaleConnectionError:
            attempts_left += 1  # this one never reached the server
        except (ProviderConnectionError, ProviderTimeoutError) as error:
            _give_up(call, request, error, has_started=decoder.started)
            if decoder.started:
                raise
            return
        except ProviderError as error:
            has_started = decoder.started
            if error.code == _TOO_MANY_CONNECTIONS and not has_started:
                if not attempts_left:
                    _give_up(call, request, error, has_started=False)
                    return
            elif not (
                error.code == _CONTINUATION_LOST and attempts_left and not call.message.has_content
            ):
                raise


async def _ask_once(
    call: Call[CodexOptions],
    transport: SocketTransport,
    request: _Request,
    decoder: CodexDecoder,
) -> EventBatches:
    continues = (call.options.get("transport") or "auto") != "websocket"
    headers = build_socket_headers(call, request.account_id, request.session_id)
    limit = call.options.get("websocket_connect_timeout_ms")
    asked = SocketRequest(
        url=socket_url(request.url),
        headers=await resolve_headers(call, headers),
        shared_by=(request.session_id, request.account_id) if request.session_id else (),
        connect_timeout_ms=_DEFAULT_CONNECT_TIMEOUT_MS if limit is None else limit,
    )
    async with transport.connect(asked) as socket:
        known, socket.notes = socket.notes, None
        body: JsonObject | None = None
        if continues and isinstance(known, Continuation):
            body = continue_from(known, request.body)
        frame = {"type": "response.create", **(body or request.body)}
        source = _Frames(socket, _idle_timeout_ms(call))
        try:
            await socket.send(encode_body(frame).decode())
            del body, frame  # not needed while the answer streams
            async with aclosing(decoded(call, source, decoder)) as batches:
                async for events in batches:
                    yield events
        except ProviderConnectionError as error:
            if socket.reused and not decoder.started:
                raise _StaleConnectionError from error
            raise
        if continues and request.session_id and decoder.response_id:
            with suppress(ValueError):  # an answer that cannot be sent back: the next says so
                items = _answer_items(call, request)
                socket.notes = remember(request.body, decoder.response_id, items)


class _Frames:
    """The frames of a WebSocket, each a record."""

    def __init__(self, socket: Socket, idle_timeout_ms: float | None) -> None:
        self._socket = socket
        self._idle_timeout_ms = idle_timeout_ms

    async def records(self) -> AsyncGenerator[list[SseRecord], None]:
        """One record at a time, until the server closes or its answer ends."""
        while True:
            yield [SseRecord("", await self._socket.receive(self._idle_timeout_ms))]


def _idle_timeout_ms(call: Call[CodexOptions]) -> float | None:
    limit = call.options.get("timeout_ms")
    if limit is None:
        limit = call.options.get("idle_timeout_ms", _DEFAULT_IDLE_TIMEOUT_MS)
    return limit or None


def _answer_items(call: Call[CodexOptions], request: _Request) -> Sequence[JsonObject]:
    settings = InputSettings(ResponsesCompat(call.model), request.grammar_inputs)
    return build_answer_items(call.model, call.message.message(), settings)


def _give_up(
    call: Call[CodexOptions], request: _Request, error: ProviderError, *, has_started: bool
) -> None:
    """Leave word of a WebSocket that failed; the session's next requests go over HTTP."""
    call.memory.remember(call.options.get("session_id"), _SSE_ONLY)
    told: JsonObject = {"name": type(error).__name__, "message": str(error)}
    if isinstance(error, WebSocketClosedError):
        told |= {"name": "WebSocketCloseError", "code": error.close_code}
    details: JsonObject = {"configuredTransport": call.options.get("transport") or "auto"}
    if not has_started:
        details["fallbackTransport"] = "sse"
    details["eventsEmitted"] = has_started
    moment = "after" if has_started else "before"
    details["phase"] = f"{moment}_message_stream_start"
    details["requestBytes"] = len(encode_body(request.body))
    call.message.add_diagnostic(
        Diagnostic("provider_transport_failure", now_ms(), error=told, details=details)
    )
