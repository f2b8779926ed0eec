"""The adapter for `pi-messages`, pi's own protocol: a server that asks models for its clients.

Source: agent spec, section 12; providers spec of Google and others, section 5.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack, aclosing
from typing import cast
from urllib.parse import urlsplit

from msgspec import Struct

from pi_ai.api._exchange import Exchange, Refusal, decoded, exchange, join_url
from pi_ai.api._options import (
    require_adapter_options,
    require_credentials,
    told_cache_retention,
)
from pi_ai.api._pi_decoder import Decoder
from pi_ai.errors import ProviderStatusError
from pi_ai.events import AssistantEvent
from pi_ai.http.sse import SseRecord
from pi_ai.http.transport import merge_headers
from pi_ai.identity import identity_headers
from pi_ai.json_text import parse_json
from pi_ai.provider import Call
from pi_ai.stream import EventBatches
from pi_ai.types import Diagnostic, JsonObject, JsonValue, now_ms
from pi_ai.wire import to_json_value

__all__ = ("PiMessagesOptions", "build_body", "stream")

_DEFAULT_BASE_URL = "https://radius.pi.dev"
_NO_KEY = 'No API key provided for provider "{}"'
_STORED_BODY_CHARS = 8192


class PiMessagesOptions(Struct, kw_only=True, frozen=True):
    """Options that only `pi-messages` has.

    `debug` asks the server to tell more. `tool_choice` replaces the neutral one by anything that
    the server understands.
    """

    debug: bool = False
    tool_choice: str | JsonObject | None = None


async def stream(call: Call[PiMessagesOptions]) -> EventBatches:
    """One request over `pi-messages`. See `pi_ai.provider.Adapter`."""
    require_adapter_options(call, PiMessagesOptions)
    require_credentials(call, _NO_KEY)
    decoder = _Decoder(
        call.message,
        wire="pi-messages",
        ended=f"{call.model.provider} stream ended without a terminal event",
    )
    async with AsyncExitStack() as stack:
        response = await _open(call, stack)
        yield [call.message.start()]
        async with aclosing(decoded(call, response, decoder)) as batches:
            async for events in batches:
                yield events
    decoder.close()


async def _open(call: Call[PiMessagesOptions], stack: AsyncExitStack) -> Exchange:
    """Send the request; a refusal leaves a diagnostic in the message."""
    debug = call.adapter is not None and call.adapter.debug
    url = join_url(call.model.base_url or _DEFAULT_BASE_URL, "messages", "debug=1" if debug else "")
    refusals: list[Refusal] = []

    def error_text(refusal: Refusal) -> str:
        refusals[:] = [refusal]
        return _error_text(refusal)

    try:
        return await exchange(
            call,
            stack,
            url=url,
            headers=_build_headers(call),
            body=build_body(call),
            error_text=error_text,
        )
    except ProviderStatusError:
        for refusal in refusals:
            call.message.add_diagnostic(_failure(call, url, refusal))
        raise


class _Decoder(Decoder):
    def feed(self, record: SseRecord) -> Sequence[AssistantEvent]:
        data = record.data.partition(b"\n")[0]  # the first line of a record is all that counts
        if data.strip() in {b"", b"[DONE]"}:
            return ()
        return super().feed(SseRecord(record.event, data))


# --- the request ------------------------------------------------------------------------------


def build_body(call: Call[PiMessagesOptions]) -> JsonObject:
    """The body of a request: the transcript as it is stored, and the options that are set."""
    given = call.options
    adapter = call.adapter or PiMessagesOptions()
    options: JsonObject = {
        "temperature": given.get("temperature"),
        "maxTokens": given.get("max_tokens"),
        "reasoning": given.get("reasoning"),
        "cacheRetention": told_cache_retention(call),
        "sessionId": given.get("session_id"),
        "toolChoice": adapter.tool_choice or given.get("tool_choice"),
    }
    return {
        "model": call.model.id,
        "context": {"messages": to_json_value(call.messages)},
        "options": {name: value for name, value in options.items() if value is not None},
    }


def _build_headers(call: Call[PiMessagesOptions]) -> dict[str, str]:
    own: dict[str, str | None] = {
        **identity_headers(call.model, call.options.get("identity")),
        "Accept": "text/event-stream",
    }
    if call.api_key:
        own["Authorization"] = f"Bearer {call.api_key}"
    merged = merge_headers(own, call.headers)
    return {name: value for name, value in merged.items() if value is not None}


# --- failures ---------------------------------------------------------------------------------


def _error_text(refusal: Refusal) -> str:
    error = _told_error(refusal)
    message = error.get("message")
    text = message if isinstance(message, str) else _body_text(refusal)
    code = error.get("code")
    shown = f" ({code})" if isinstance(code, str) else ""
    return f"{refusal.status} {refusal.reason}".rstrip() + f": {text}{shown}"


def _told_error(refusal: Refusal) -> JsonObject:
    """The `error` object of the body; empty if there is none."""
    try:
        body = parse_json(refusal.body)
    except ValueError:
        return {}
    error: JsonValue = cast("JsonObject", body).get("error") if isinstance(body, dict) else None
    return cast("JsonObject", error) if isinstance(error, dict) else {}


def _body_text(refusal: Refusal) -> str:
    return refusal.body.decode("utf-8", "replace")


def _failure(call: Call[PiMessagesOptions], url: str, refusal: Refusal) -> Diagnostic:
    """What is kept of a refusal beside its text."""
    told = _told_error(refusal)
    at = now_ms()
    error: JsonObject = {"name": "PiMessagesResponseError", "message": _error_text(refusal)}
    if isinstance(told.get("code"), str):
        error["code"] = told["code"]
    details: JsonObject = {
        "version": 1,
        "provider": call.model.provider,
        "model": call.model.id,
        "url": _without_secrets(url),
        "status": refusal.status,
        "statusText": refusal.reason,
    }
    if told:
        details["error"] = told
    else:
        body = _body_text(refusal)
        cut = len(body) > _STORED_BODY_CHARS
        details["body"] = body[:_STORED_BODY_CHARS] + "…" if cut else body
    return Diagnostic(
        "pi_messages_response_failure", at, error=error, details={**details, "timestampMs": at}
    )


def _without_secrets(url: str) -> str:
    """`url` without user, password and query, where keys may stand."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()
