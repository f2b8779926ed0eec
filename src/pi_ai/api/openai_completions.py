"""The adapter for OpenAI's Chat Completions API and the many servers that speak it.

Source: providers spec, sections 4.7 and 4.8;
https://platform.openai.com/docs/api-reference/chat-streaming.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack, aclosing
from types import MappingProxyType
from typing import Any, cast

import msgspec

from pi_ai.api._completions_calls import ToolCalls
from pi_ai.api._completions_compat import CompletionsCompat
from pi_ai.api._completions_messages import is_reasoning_detail
from pi_ai.api._completions_records import (
    CHUNK_READER,
    Chunk,
    CompletionDetails,
    Delta,
    PromptDetails,
    UsageRecord,
)
from pi_ai.api._completions_request import CompletionsOptions, build_request
from pi_ai.api._exchange import Exchange, Refusal, decoded, error_code, exchange, join_url
from pi_ai.api._options import (
    require_adapter_options,
    require_credentials,
    resolve_cache_retention,
)
from pi_ai.api._records import read_record
from pi_ai.builder import MessageBuilder
from pi_ai.cost import apply_billed_cost
from pi_ai.errors import ModelsError, ProviderError, ProviderProtocolError
from pi_ai.events import AssistantEvent
from pi_ai.http.sse import SseRecord
from pi_ai.json_text import js_json, parse_json
from pi_ai.provider import Call
from pi_ai.stream import EventBatches
from pi_ai.types import JsonObject, Model, StopReason, Usage

__all__ = ("CompletionsOptions", "Decoder", "stream")

_DEFAULT_BASE_URL = "https://api.openai.com/v1"
_ERROR_JSON_CHARS = 4000

_STOP_REASONS: dict[str, StopReason] = {
    "stop": "stop",
    "end": "stop",
    "length": "length",
    "tool_calls": "toolUse",
    "function_call": "toolUse",
}


async def stream(call: Call[CompletionsOptions]) -> EventBatches:
    """One request over `openai-completions`. See `pi_ai.provider.Adapter`."""
    require_adapter_options(call, CompletionsOptions)
    require_credentials(call)
    message = call.message
    message.ends_blocks_on_abort = True
    async with AsyncExitStack() as stack:
        response, decoder = await _open(call, stack)
        yield [message.start()]
        if response.status == 204:
            raise ProviderProtocolError(
                "Attempted to iterate over a response with no body", retryable=True
            )
        try:
            async with aclosing(decoded(call, response, decoder)) as batches:
                async for events in batches:
                    yield events
        finally:
            decoder.sign()
    yield [*decoder.end_calls(), *message.end_open_blocks()]
    decoder.close()


async def _open(call: Call[CompletionsOptions], stack: AsyncExitStack) -> tuple[Exchange, Decoder]:
    """Send the request; gives the accepted response and what reads it."""
    compat = CompletionsCompat(call.model)
    request = build_request(
        call.model,
        call.messages,
        call.options,
        call.adapter,
        compat=compat,
        api_key=call.api_key,
        extra_headers=call.headers,
        retention=resolve_cache_retention(call),
    )
    decoder = Decoder(
        call.message, request.grammar_inputs, needs_finish_reason=bool(compat.finish_reason)
    )
    response = await exchange(
        call,
        stack,
        url=join_url(_base_url(call.model), "chat/completions"),
        headers=request.headers,
        body=request.body,
        error_text=_error_text,
    )
    return response, decoder


def _base_url(model: Model) -> str:
    """Raises `ModelsError` rather than send another provider's key to OpenAI."""
    if model.base_url:
        return model.base_url
    if model.provider != "openai":
        raise ModelsError(
            f"No base URL for model {model.provider}/{model.id}: replace the model's base_url by "
            "that of your endpoint",
            code="provider",
        )
    return _DEFAULT_BASE_URL


def _error_text(refusal: Refusal) -> str:
    """The text of an error status, as OpenAI's own client words it."""
    status = refusal.status
    text = refusal.body.decode("utf-8", "replace").strip()
    try:
        value = parse_json(text)
    except ValueError:
        return f"{status} {text}" if text else f"{status} status code (no body)"
    error: Any = value
    if isinstance(value, dict):
        told = cast("JsonObject", value)
        error = told.get("error", told)
        if error is None:
            error = told
    if not isinstance(error, dict):
        return f"{status} {js_json(error)}"
    shown = js_json(error)
    if len(shown) > _ERROR_JSON_CHARS:
        cut = len(shown) - _ERROR_JSON_CHARS
        shown = f"{shown[:_ERROR_JSON_CHARS]}... [truncated {cut} chars]"
    return _with_raw(f"{status}: {shown}", cast("JsonObject", error))


def _with_raw(text: str, error: JsonObject) -> str:
    """`text` with what an upstream of the server said, if the error carries it."""
    metadata = error.get("metadata")
    raw = cast("JsonObject", metadata).get("raw") if isinstance(metadata, dict) else None
    if not raw:
        return text
    shown = raw if isinstance(raw, str) else js_json(raw)
    # Inside the error's JSON the same text stands escaped.
    return text if shown in text or js_json(shown)[1:-1] in text else f"{text}\n{shown}"


class Decoder:
    """Records in, events out. Owns no socket and no clock.

    There is at most one text and one thinking block; all blocks end together, after the stream.
    `grammar_inputs`: for each tool with a grammar, the parameter that takes the text. Without
    `needs_finish_reason`, a stream may end without saying why.
    """

    def __init__(
        self,
        message: MessageBuilder,
        grammar_inputs: Mapping[str, str] = MappingProxyType({}),
        *,
        needs_finish_reason: bool = True,
    ) -> None:
        self.finished = False
        self._message = message
        self._needs_finish_reason = needs_finish_reason
        self._text: int | None = None
        self._thinking: int | None = None
        self._details: list[JsonObject] = []
        self._calls = ToolCalls(message, grammar_inputs)
        self._response_id: str | None = None
        self._response_model: str | None = None
        self._stop_reason: StopReason | None = None
        self._failure: str | None = None

    def feed(self, record: SseRecord) -> list[AssistantEvent]:
        """The events of one record. Raises `ProviderError` when the server reports a failure."""
        data = record.data.strip()
        if data == b"[DONE]":
            self.finished = True
            return []
        if not data or record.event.startswith("thread."):
            return []
        try:
            chunk = read_record(CHUNK_READER, Chunk, record.data)
        except ValueError as error:
            raise ProviderProtocolError(
                "Error reading response: malformed server-sent event JSON.", retryable=True
            ) from error
        if chunk.error or record.event == "error":
            raise ProviderError(
                _stream_error_text(record, chunk.error),
                code=error_code({"error": chunk.error}),
                retryable=True,
            )
        return self._chunk(chunk)

    def _chunk(self, chunk: Chunk) -> list[AssistantEvent]:
        if not self._response_id and chunk.id is not None:
            self._response_id = chunk.id
            self._message.set_response(response_id=chunk.id)
        model = chunk.model
        if self._response_model is None and model and model != self._message.model.id:
            self._response_model = model
            self._message.set_response(model=model)
        choice = chunk.choices[0] if chunk.choices else None
        usage = chunk.usage or (choice.usage if choice else None)
        if usage is not None:
            priced = _usage(usage)
            self._message.set_usage(priced)
            if usage.cost is not None:
                apply_billed_cost(self._message.model, priced, msgspec.to_builtins(usage))
        if choice is None:
            return []
        if choice.finish_reason:
            self._stop(choice.finish_reason)
        return self._delta(choice.delta) if choice.delta is not None else []

    def _stop(self, reason: str) -> None:
        self._stop_reason = _STOP_REASONS.get(reason, "error")
        known = reason in _STOP_REASONS
        self._failure = None if known else f"Provider finish_reason: {reason}"
        self._message.stop(self._stop_reason, raw=reason)

    def _delta(self, delta: Delta) -> list[AssistantEvent]:
        events: list[AssistantEvent] = []
        if delta.reasoning_content or delta.reasoning or delta.reasoning_text:
            self._think(delta, events)
        if delta.reasoning_details:
            for detail in _list(delta.reasoning_details):
                if is_reasoning_detail(detail):
                    self._open_thinking(None, events)
                    _merge_detail(self._details, detail)
        if delta.content and (text := _text_of(delta.content)):
            if self._text is None:
                start = self._message.text_start()
                self._text = start.content_index
                events.append(start)
            events.append(self._message.text(self._text, text))
        for call in delta.tool_calls or ():
            self._calls.feed(call, events)
        return events

    def _think(self, delta: Delta, events: list[AssistantEvent]) -> None:
        for name in ("reasoning_content", "reasoning", "reasoning_text"):
            piece = getattr(delta, name)
            if piece and isinstance(piece, str):
                at = self._open_thinking(name, events)
                events.append(self._message.thinking(at, piece))
                return

    def _open_thinking(self, field: str | None, events: list[AssistantEvent]) -> int:
        """The index of the thinking block, which is started if there is none yet."""
        if self._thinking is None:
            start = self._message.thinking_start()
            events.append(start)
            self._thinking = start.content_index
            if field is not None:
                opencode = self._message.model.provider == "opencode-go" and field == "reasoning"
                self._message.sign(self._thinking, "reasoning_content" if opencode else field)
        return self._thinking

    def sign(self) -> None:
        """Sign the thinking with the reasoning details, once the stream is over or failed."""
        if self._details and self._thinking is not None:
            self._message.replace_signature(self._thinking, js_json(self._details))

    def end_calls(self) -> list[AssistantEvent]:
        """The last piece of every call whose arguments are put together here."""
        return self._calls.end()

    def close(self) -> None:
        """Judge the ended stream. Raises `ProviderError` unless it is a complete answer."""
        if self._failure is not None:
            raise ProviderError(self._failure)
        if self._stop_reason is None:
            if self._needs_finish_reason:
                raise ProviderProtocolError("Stream ended without finish_reason", retryable=True)
            self._message.stop("toolUse" if self._calls.any else "stop")


def _list(value: Any) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else []


def _text_of(content: Any) -> str:
    """The text of a delta, which some servers send as a list of parts."""
    if isinstance(content, str):
        return content
    pieces: list[str] = []
    for part in _list(content):
        if isinstance(part, dict):
            text = cast("JsonObject", part).get("text")
            if isinstance(text, str):
                pieces.append(text)
    return "".join(pieces)


def _merge_detail(details: list[JsonObject], detail: JsonObject) -> None:
    """Append a reasoning detail, joining it to the one before where both are pieces of one."""
    last = details[-1] if details else {}
    kind = detail["type"]
    if last.get("type") != kind or kind not in {"reasoning.text", "reasoning.summary"}:
        details.append(dict(detail))
        return
    key = "text" if kind == "reasoning.text" else "summary"
    last[key] += detail[key]
    if not last.get("signature") and detail.get("signature"):
        last["signature"] = detail["signature"]
    for name in ("id", "index"):
        if last.get(name) is None and detail.get(name) is not None:
            last[name] = detail[name]
    if not last.get("format") and detail.get("format"):
        last["format"] = detail["format"]


def _usage(told: UsageRecord) -> Usage:
    prompt = told.prompt_tokens_details or PromptDetails()
    completion = told.completion_tokens_details or CompletionDetails()
    reads = (prompt.cached_tokens, told.prompt_cache_hit_tokens, told.cached_tokens, 0)
    cache_read = max(0, next(count for count in reads if count is not None))
    cache_write = max(0, prompt.cache_write_tokens or 0)
    usage = Usage(
        input=max(0, (told.prompt_tokens or 0) - cache_read - cache_write),
        output=max(0, told.completion_tokens or 0),
        cache_read=cache_read,
        cache_write=cache_write,
        reasoning=max(0, completion.reasoning_tokens or 0),
    )
    usage.total_tokens = usage.input + usage.output + cache_read + cache_write
    return usage


def _stream_error_text(record: SseRecord, error: Any) -> str:
    if not error:
        return record.data.decode("utf-8", "replace")
    if not isinstance(error, dict):
        return js_json(error)
    told = cast("JsonObject", error)
    message = told.get("message")
    if not message:
        return _with_raw(js_json(told), told)
    return _with_raw(message if isinstance(message, str) else js_json(message), told)
