"""What every adapter does around its format: send a body, check the answer, read its records."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, suppress
from typing import Any, Protocol, cast

from msgspec import Struct

from pi_ai.errors import ProviderError, ProviderStatusError
from pi_ai.events import AssistantEvent
from pi_ai.http.retry import is_retryable_status, retry_after_seconds, retry_request
from pi_ai.http.sse import SseDecoder, SseRecord
from pi_ai.http.transport import HttpRequest, HttpResponse
from pi_ai.json_text import find_unwritable, parse_json
from pi_ai.provider import Call
from pi_ai.stream import EventBatches
from pi_ai.types import JsonObject, JsonValue, ProviderResponse
from pi_ai.wire import encode

__all__ = (
    "Exchange",
    "Framing",
    "RecordDecoder",
    "RecordSource",
    "Refusal",
    "Refusals",
    "decoded",
    "encode_body",
    "error_code",
    "exchange",
    "join_url",
    "resolve_headers",
    "resolve_payload",
    "send",
)

_ERROR_BODY_BYTES = 1 << 20
_ERROR_BODY_SECONDS = 10.0
_KEY_CHARS = 8
"""Shorter keys are placeholders, whose letters stand in any text."""
_DEFAULT_TIMEOUT_MS = 600_000
_DEFAULT_IDLE_TIMEOUT_MS = 300_000
_DEFAULT_MAX_RETRY_DELAY_MS = 60_000


class Refusal(Struct, frozen=True):
    """An answer with an error status: the status, what the server calls it, and the body."""

    status: int
    reason: str
    body: bytes


ErrorText = Callable[[Refusal], str]
"""The text of an error status, as the vendor's own client words it."""


class Refusals(Struct, frozen=True):
    """What one vendor's refusals mean: their text, which may be tried again, and how soon.

    `is_retryable` None: the status and `x-should-retry` tell. `backoff` gives the seconds before
    retry number `attempt`, counted from 0, where the server names no time.
    """

    text: ErrorText
    is_retryable: Callable[[Refusal], bool] | None = None
    backoff: Callable[[int], float] | None = None


class Framing(Protocol):
    """Cuts a body into records, however it is split into pieces."""

    def feed(self, chunk: bytes, /) -> list[SseRecord]:
        """The records that `chunk` completes."""
        ...

    def end(self) -> list[SseRecord]:
        """The last record, if the body ended without a mark behind it."""
        ...


class RecordDecoder(Protocol):
    """The state of one response: records in, events out."""

    @property
    def finished(self) -> bool:
        """Whether the end marker was seen; nothing behind it counts."""
        ...

    def feed(self, record: SseRecord, /) -> Sequence[AssistantEvent]:
        """The events of one record. Raises `ProviderError` when it reports a failure."""
        ...


class RecordSource(Protocol):
    """Anything that an answer's records come from."""

    def records(self) -> AsyncGenerator[list[SseRecord], None]:
        """The records of one network read at a time."""
        ...


class Exchange:
    """An accepted response, read record by record."""

    def __init__(self, response: HttpResponse, framing: Framing) -> None:
        self._response = response
        self._framing = framing

    @property
    def status(self) -> int:
        """The HTTP status, 2xx."""
        return self._response.status

    async def records(self) -> AsyncGenerator[list[SseRecord], None]:
        """The records of one network read at a time."""
        framing = self._framing
        async with aclosing(self._response.chunks()) as chunks:
            async for chunk in chunks:
                records = framing.feed(chunk)
                del chunk  # nothing of it is kept while the next one is awaited
                if records:
                    yield records
                del records
        if records := framing.end():
            yield records


async def decoded(
    call: Call[Struct], response: RecordSource, decoder: RecordDecoder
) -> EventBatches:
    """The events of a whole response, those of one network read at a time."""
    watch = call.options.get("on_provider_stream_event")
    async with aclosing(response.records()) as batches:
        async for records in batches:
            events: list[AssistantEvent] = []
            failure: Exception | None = None
            record = None
            try:
                for record in records:
                    if decoder.finished:
                        break
                    if watch is not None:
                        await _observe(watch, _as_json(record.data), call)
                    events += decoder.feed(record)
            except Exception as error:  # noqa: BLE001  # raised again, behind the events before it
                failure = error
            del records, record  # not kept while the next read is awaited
            if events:
                yield events
            del events
            if failure is not None:
                raise failure
            if decoder.finished:
                return


def _as_json(data: bytes) -> JsonValue:
    """A record for the caller's eyes: its JSON value, or its text if it is none."""
    try:
        return parse_json(data)
    except ValueError:
        return data.decode("utf-8", "replace")


async def exchange(
    call: Call[Struct],
    stack: AsyncExitStack,
    *,
    url: str,
    headers: Mapping[str, str],
    body: JsonObject,
    error_text: ErrorText,
    framing: Callable[[], Framing] = SseDecoder,
) -> Exchange:
    """POST `body` and give the response, once a status of 2xx was received.

    `framing` makes what cuts the response into records. Leaving `stack` ends the exchange. The body
    is not kept while the answer streams: it may be large, and so may be the number of streams.
    Retries as the options say. Raises `ProviderStatusError` with `error_text` for other statuses,
    and what the caller's hooks raise.
    """
    return await send(
        call,
        stack,
        url=url,
        headers=await resolve_headers(call, {**headers, "Content-Type": "application/json"}),
        body=encode_body(await resolve_payload(call, body)),
        refusals=Refusals(error_text),
        framing=framing,
    )


async def send(
    call: Call[Struct],
    stack: AsyncExitStack,
    *,
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    refusals: Refusals,
    framing: Callable[[], Framing] = SseDecoder,
) -> Exchange:
    """As `exchange`, for headers and a body that are what is to be sent."""
    options = call.options
    request = HttpRequest(
        url=url,
        headers=headers,
        body=body,
        header_timeout_ms=options.get("timeout_ms", _DEFAULT_TIMEOUT_MS),
        idle_timeout_ms=options.get("idle_timeout_ms", _DEFAULT_IDLE_TIMEOUT_MS),
    )
    max_delay_ms = options.get("max_retry_delay_ms")

    async def attempt_once() -> HttpResponse:
        async with AsyncExitStack() as attempt:
            response = await attempt.enter_async_context(call.transport.post(request))
            await _observe(
                options.get("on_response"),
                ProviderResponse(response.status, dict(response.headers)),
                call,
            )
            if not 200 <= response.status < 300:
                raise await _status_error(response, refusals, call.api_key)
            stack.push_async_exit(attempt.pop_all())
        return response

    response = await retry_request(
        attempt_once,
        max_retries=options.get("max_retries") or 0,
        max_delay_ms=_DEFAULT_MAX_RETRY_DELAY_MS if max_delay_ms is None else max_delay_ms,
        backoff=refusals.backoff,
    )
    return Exchange(response, framing())


def encode_body(body: JsonObject) -> bytes:
    """A request's body as JSON. Raises ValueError that names the place of what is none."""
    try:
        return encode(body)
    except TypeError as error:
        fault = find_unwritable(body) or f": {error}"
        raise ValueError(f"The request body cannot be written as JSON: body{fault}") from error


async def resolve_headers(call: Call[Struct], headers: dict[str, str]) -> Mapping[str, str]:
    """The headers to send: what the caller's hook makes of `headers`, if there is one."""
    hook = call.options.get("transform_headers")
    if hook is None:
        return headers
    changed = hook(headers)
    return await changed if inspect.isawaitable(changed) else changed


async def resolve_payload(call: Call[Struct], body: JsonObject) -> JsonObject:
    """The body to send: what the caller's hook makes of `body`, if there is one."""
    hook = call.options.get("on_payload")
    if hook is None:
        return body
    changed = hook(body, call.model)
    if inspect.isawaitable(changed):
        changed = await changed
    if changed is None:
        return body
    return {**changed, "stream": True} if "stream" in body else changed


async def _observe(
    hook: Callable[[Any, Any], object] | None, value: object, call: Call[Struct]
) -> None:
    """Show `value` to a caller's hook, which may be sync or async."""
    if hook is not None:
        seen = hook(value, call.model)
        if inspect.isawaitable(seen):
            await seen


async def _status_error(
    response: HttpResponse, refusals: Refusals, key: str | None
) -> ProviderStatusError:
    body = b""
    # The status says enough: a body that stalls or breaks off must not hide it.
    with suppress(TimeoutError, ProviderError):
        async with asyncio.timeout(_ERROR_BODY_SECONDS):
            body = await response.read(_ERROR_BODY_BYTES)
    if key and len(key) >= _KEY_CHARS:  # a server may say back what it was sent
        body = body.replace(key.encode(), b"[key]")
    headers = response.headers
    refusal = Refusal(response.status, response.reason, body)
    told = refusals.is_retryable
    retryable = told(refusal) if told else is_retryable_status(response.status, headers)
    return ProviderStatusError(
        refusals.text(refusal),
        status=response.status,
        code=error_code(_as_json(body)),
        retry_after=retry_after_seconds(headers),
        retryable=retryable,
    )


def error_code(body: JsonValue) -> str | None:
    """The provider's own code in a failure's JSON: `error.code`, else `error.type`.

    Words go before numbers, which often only repeat the status. Without an `error` object the
    body itself is looked at.
    """
    told = cast("JsonObject", body) if isinstance(body, dict) else {}
    inner: JsonValue = told.get("error")
    error = cast("JsonObject", inner) if isinstance(inner, dict) else told
    codes: list[JsonValue] = [error.get("code"), error.get("type")]
    words = [code for code in codes if isinstance(code, str) and code not in ("", "error")]
    if words:
        return words[0]
    number = codes[0]
    return str(number) if isinstance(number, int) and not isinstance(number, bool) else None


def join_url(base_url: str, path: str, query: str = "") -> str:
    """`path` behind `base_url`, one slash between them, before a query `base_url` may have."""
    base, _, own_query = base_url.partition("?")
    queries = "&".join(part for part in (own_query, query) if part)
    return f"{base.rstrip('/')}/{path}" + (f"?{queries}" if queries else "")
