"""The adapter for the stream of a proxy: a server makes the request that a client describes.

The model keeps the wire format and provider it has; `pi_agent.stream_proxy` sends requests this
way. Source: agent spec, section 11.
"""

from __future__ import annotations

from contextlib import AsyncExitStack, aclosing
from typing import cast

from msgspec import Struct

from pi_ai.api._data_lines import DataLines
from pi_ai.api._exchange import Refusal, decoded, exchange, join_url
from pi_ai.api._pi_decoder import Decoder
from pi_ai.json_text import js_json, parse_json
from pi_ai.provider import Call
from pi_ai.stream import EventBatches
from pi_ai.types import JsonObject, JsonValue
from pi_ai.wire import to_json_value

__all__ = ("ProxyOptions", "build_body", "stream")

_ENDED = "Connection closed by proxy server before the response completed"

_SENT_OPTIONS = {
    "temperature": "temperature",
    "sampling_params": "samplingParams",
    "max_tokens": "maxTokens",
    "reasoning": "reasoning",
    "cache_retention": "cacheRetention",
    "session_id": "sessionId",
    "headers": "headers",
    "metadata": "metadata",
    "thinking_budgets": "thinkingBudgets",
    "max_retry_delay_ms": "maxRetryDelayMs",
}
"""What a proxy is told. The rest, keys above all, is the client's or the server's own."""


class ProxyOptions(Struct, kw_only=True, frozen=True):
    """Where the proxy is: the URL that `/api/stream` hangs at."""

    proxy_url: str


async def stream(call: Call[ProxyOptions]) -> EventBatches:
    """One request through a proxy; `api_key` of the call is the token for it."""
    assert call.adapter is not None
    assert call.api_key is not None
    decoder = Decoder(call.message, wire="proxy", ended=_ENDED)
    async with AsyncExitStack() as stack:
        response = await exchange(
            call,
            stack,
            url=join_url(call.adapter.proxy_url, "api/stream"),
            headers={"Authorization": f"Bearer {call.api_key}"},
            body=build_body(call),
            error_text=_error_text,
            framing=DataLines,
        )
        yield [call.message.start()]
        async with aclosing(decoded(call, response, decoder)) as batches:
            async for events in batches:
                yield events
    decoder.close()


def build_body(call: Call[ProxyOptions]) -> JsonObject:
    """The body of a request: the model, the transcript as it is stored, and what may be told."""
    given = cast("JsonObject", call.options)
    options = {
        key: to_json_value(given[name])
        for name, key in _SENT_OPTIONS.items()
        if given.get(name) is not None
    }
    return {
        "model": to_json_value(call.model),
        "context": {"messages": to_json_value(call.messages)},
        "options": options,
    }


def _error_text(refusal: Refusal) -> str:
    error = _told_error(refusal.body)
    if not error:
        return f"Proxy error: {refusal.status} {refusal.reason}".rstrip()
    return f"Proxy error: {error if isinstance(error, str) else js_json(error)}"


def _told_error(body: bytes) -> JsonValue:
    """What the body says of the error: a text if there is one."""
    try:
        value = parse_json(body)
    except ValueError:
        return None
    error: JsonValue = cast("JsonObject", value).get("error") if isinstance(value, dict) else None
    if not isinstance(error, dict):
        return error
    fields = cast("JsonObject", error)
    return fields.get("message") or fields
