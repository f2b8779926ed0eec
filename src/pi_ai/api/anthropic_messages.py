"""The adapter for Anthropic's Messages API: decodes the stream of one response.

Source: providers spec, sections 5.6 to 5.8; https://docs.anthropic.com/en/api/messages-streaming.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack, aclosing
from typing import cast

import msgspec

from pi_ai.api._anthropic_options import AnthropicOptions
from pi_ai.api._anthropic_records import (
    BlockPiece,
    BlockRecord,
    BlockStart,
    BlockStop,
    MessageDelta,
    MessageStart,
    MessageStop,
    StopDetails,
    UsageRecord,
    is_known,
    read,
    read_delta,
)
from pi_ai.api._anthropic_request import AnthropicRequest, build_request
from pi_ai.api._exchange import Exchange, Refusal, decoded, error_code, exchange, join_url
from pi_ai.api._options import (
    require_adapter_options,
    require_credentials,
    resolve_cache_retention,
)
from pi_ai.builder import MessageBuilder
from pi_ai.cost import apply_billed_cost
from pi_ai.errors import ProviderError, ProviderProtocolError, ProviderStatusError
from pi_ai.events import AssistantEvent
from pi_ai.http.sse import SseRecord
from pi_ai.json_text import js_json, parse_json
from pi_ai.provider import Call
from pi_ai.stream import EventBatches
from pi_ai.types import (
    Diagnostic,
    JsonObject,
    JsonValue,
    Model,
    ModelCost,
    StopReason,
    Usage,
    now_ms,
)
from pi_ai.wire import from_json_value

__all__ = ("AnthropicOptions", "Decoder", "stream")

_DEFAULT_BASE_URL = "https://api.anthropic.com"

_NO_STRICT = "anthropic: no strict tools unless required"
_STRICT_LIMITS = (
    "The compiled grammar is too large",
    "Too many strict tools (",
    "Schemas contains too many parameters with union types (",
)

_STOP_REASONS: dict[str, StopReason] = {
    "end_turn": "stop",
    "pause_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "tool_use": "toolUse",
}


async def stream(call: Call[AnthropicOptions]) -> EventBatches:
    """One request over `anthropic-messages`. See `pi_ai.provider.Adapter`."""
    require_adapter_options(call, AnthropicOptions)
    require_credentials(call)
    message = call.message
    async with AsyncExitStack() as stack:
        response, decoder = await _open(call, stack)
        yield [message.start()]
        if response.status == 204:
            raise ProviderProtocolError(
                "Attempted to iterate over an Anthropic response with no body", retryable=True
            )
        async with aclosing(decoded(call, response, decoder)) as batches:
            async for events in batches:
                yield events
    decoder.close()


async def _open(call: Call[AnthropicOptions], stack: AsyncExitStack) -> tuple[Exchange, Decoder]:
    """Send the request, once more without strict tools if the server cannot compile them.

    Gives the accepted response and what reads it.
    """
    session_id = call.options.get("session_id")
    request = _build(call, prefers_strict=not call.memory.recalls(session_id, _NO_STRICT))
    if request.effort:
        call.message.set_provider_thinking_level(request.effort)
    try:
        response = await _send(call, stack, request)
    except ProviderStatusError as error:
        if not (request.relaxable and _exceeds_strict_limits(error)):
            raise
        call.memory.remember(session_id, _NO_STRICT)
        call.message.add_diagnostic(_strict_fallback(error))
        request = _build(call, prefers_strict=False)
        response = await _send(call, stack, request)
    # A subscription knows tools by names of its own; the answer's are put back.
    names = [tool.name for tool in request.tools] if request.subscription else []
    return response, Decoder(call.message, names)


def _build(call: Call[AnthropicOptions], *, prefers_strict: bool) -> AnthropicRequest:
    return build_request(
        call.model,
        call.messages,
        call.options,
        call.adapter,
        api_key=call.api_key,
        subscription=call.subscription,
        extra_headers=call.headers,
        retention=resolve_cache_retention(call),
        prefers_strict=prefers_strict,
    )


async def _send(
    call: Call[AnthropicOptions], stack: AsyncExitStack, request: AnthropicRequest
) -> Exchange:
    return await exchange(
        call,
        stack,
        url=join_url(call.model.base_url or _DEFAULT_BASE_URL, "v1/messages", "beta=true"),
        headers=request.headers,
        body=request.body,
        error_text=_error_text,
    )


def _exceeds_strict_limits(error: ProviderStatusError) -> bool:
    """Whether the server can compile no grammar for the strict tools of the request."""
    refused = error.status == 400 and error.code == "invalid_request_error"
    return refused and any(text in str(error) for text in _STRICT_LIMITS)


def _strict_fallback(error: ProviderStatusError) -> Diagnostic:
    return Diagnostic(
        "anthropic_strict_tools_fallback",
        now_ms(),
        error={"message": str(error)},
        details={"reason": "strict_tool_limits_exceeded"},
    )


def _error_text(refusal: Refusal) -> str:
    """The text of an error status, as Anthropic's own client words it."""
    status = refusal.status
    text = refusal.body.decode("utf-8", "replace")
    try:
        value = parse_json(text)
    except ValueError:
        return f"{status} {text}" if text else f"{status} status code (no body)"
    told = cast("JsonObject", value).get("message") if isinstance(value, dict) else None
    if told:
        return f"{status} {told if isinstance(told, str) else js_json(told)}"
    return f"{status} {js_json(value)}"


def _stream_error(record: SseRecord) -> ProviderError:
    text = record.data.decode("utf-8", "replace")
    try:
        code = error_code(parse_json(text))
    except ValueError:
        code = None
    return ProviderError(text, code=code, retryable=True)


class Decoder:
    """Records in, events out. Owns no socket and no clock.

    Tool names are given back in the spelling of `tool_names`, if they differ from one only in case.
    """

    def __init__(self, message: MessageBuilder, tool_names: Sequence[str]) -> None:
        self.finished = False
        self._message = message
        self._tool_names = {name.lower(): name for name in reversed(tool_names)}
        self._started = False
        self._blocks: dict[int, tuple[int, str]] = {}
        self._failure: str | None = None
        self._transformations: list[JsonObject] = []
        self._bill: JsonObject | None = None

    def feed(self, record: SseRecord) -> Sequence[AssistantEvent]:
        """The events of one record. Raises `ProviderError` when the server reports a failure."""
        if record.event == "content_block_delta" and not self.finished:
            piece = read_delta(record)
            return () if piece.delta is None else self._delta(piece.index, piece.delta)
        if record.event == "error":
            raise _stream_error(record)
        if not is_known(record.event) or self.finished:
            return ()
        match read(record):
            case BlockStart(index=index, content_block=BlockRecord() as block):
                return self._block_start(index, block)
            case BlockStop(index=index):
                known = self._blocks.pop(index, None)
                return () if known is None else [self._message.end(known[0])]
            case MessageStart() as start:
                self._message_start(start)
            case MessageDelta() as delta:
                self._message_delta(delta)
            case MessageStop():
                self.finished = True
            case _:
                pass
        return ()

    def close(self) -> None:
        """Judge the ended stream. Raises `ProviderError` unless it is a complete answer."""
        if self._started and not self.finished:
            raise ProviderProtocolError(
                "Anthropic stream ended before message_stop", retryable=True
            )
        if self._failure is not None:
            raise ProviderError(self._failure)
        if self._message.stop_reason == "pending":
            raise ProviderProtocolError(
                "Anthropic stream ended without a stop reason", retryable=True
            )
        if self._transformations:
            self._message.add_diagnostic(
                Diagnostic(
                    "anthropic_input_transformations",
                    now_ms(),
                    details={"transformations": self._transformations},
                )
            )

    # --- message ------------------------------------------------------------------------------

    def _message_start(self, start: MessageStart) -> None:
        self._started = True
        self._note_transformations(start.input_transformations)
        told = start.message
        if told is None:
            return
        model = self._message.model
        other = told.model if told.model and told.model != model.id else None
        self._message.set_response(response_id=told.id, model=other)
        if other is not None:
            self._message.cost = _fallback_prices(model, other) or self._message.cost
        usage = Usage(cache_write_1h=0)
        _update(usage, told.usage or UsageRecord())
        self._set_usage(usage, told.usage)

    def _message_delta(self, delta: MessageDelta) -> None:
        self._note_transformations(delta.input_transformations)
        if delta.delta is not None and (reason := delta.delta.stop_reason):
            self._stop(reason, delta.delta.stop_details)
        if delta.usage is not None:
            usage = msgspec.structs.replace(self._message.usage)
            _update(usage, delta.usage)
            self._set_usage(usage, delta.usage)

    def _set_usage(self, usage: Usage, told: UsageRecord | None) -> None:
        self._message.set_usage(usage)
        if told is not None and told.cost is not None:
            self._bill = msgspec.to_builtins(told)
        # A later record without a bill takes none back.
        if self._bill is not None:
            apply_billed_cost(self._message.model, usage, self._bill)

    def _stop(self, reason: str, details: StopDetails | None) -> None:
        self._failure = None
        if reason in _STOP_REASONS:
            self._message.stop(_STOP_REASONS[reason], raw=reason)
            return
        self._message.stop("error", raw=reason)
        match reason:
            case "refusal":
                told = details.explanation if details else None
                self._failure = told or "The model refused to complete the request"
            case "sensitive":
                self._failure = "Provider stopped with: sensitive"
            case _:
                raise ProviderError(f"Unhandled stop reason: {reason}")

    def _note_transformations(self, told: JsonValue) -> None:
        items = cast("list[JsonValue]", told) if isinstance(told, list) else []
        for item in items:
            if isinstance(item, dict):
                entry = cast("JsonObject", item)
                kept = {key: entry[key] for key in ("type", "path", "reason") if key in entry}
                self._transformations.append(kept)

    # --- blocks -------------------------------------------------------------------------------

    def _block_start(self, index: int, block: BlockRecord) -> Sequence[AssistantEvent]:
        message = self._message
        match block.type:
            case "text":
                event = message.text_start(block.text or "")
            case "thinking":
                event = message.thinking_start(block.thinking or "")
                if block.signature:
                    message.sign(event.content_index, block.signature)
            case "redacted_thinking":
                event = message.thinking_start("[Reasoning redacted]", redacted=True)
                message.sign(event.content_index, block.data or "")
            case "tool_use":
                name = self._declared_name(block.name or "")
                event = message.tool_call_start(block.id or "", name, block.input)
            case "fallback":
                if message.has_content:
                    raise ProviderError(
                        "Anthropic performed an unsupported mid-output model fallback"
                    )
                return ()
            case _:  # server-side tools, and kinds newer than this file
                return ()
        self._blocks[index] = (event.content_index, block.type)
        return [event]

    def _declared_name(self, name: str) -> str:
        return self._tool_names.get(name.lower(), name)

    def _delta(self, index: int, delta: BlockPiece) -> Sequence[AssistantEvent]:
        known = self._blocks.get(index)
        if known is None:
            return ()
        content_index, kind = known
        match delta.type:
            case "text_delta" if kind == "text":
                return [self._message.text(content_index, delta.text or "")]
            case "input_json_delta" if kind == "tool_use":
                return [self._message.tool_call(content_index, delta.partial_json or "")]
            case "thinking_delta" if kind == "thinking":
                return [self._message.thinking(content_index, delta.thinking or "")]
            case "signature_delta" if kind == "thinking":
                self._message.sign(content_index, delta.signature or "")
            case _:
                pass
        return ()


def _update(usage: Usage, told: UsageRecord) -> None:
    """Overwrite what the server gives a number for."""
    if told.input_tokens is not None:
        usage.input = max(0, told.input_tokens)
    if told.output_tokens is not None:
        usage.output = max(0, told.output_tokens)
    if told.cache_read_input_tokens is not None:
        usage.cache_read = max(0, told.cache_read_input_tokens)
    if told.cache_creation_input_tokens is not None:
        usage.cache_write = max(0, told.cache_creation_input_tokens)
    if told.cache_creation and told.cache_creation.ephemeral_1h_input_tokens is not None:
        usage.cache_write_1h = max(0, told.cache_creation.ephemeral_1h_input_tokens)
    if told.output_tokens_details and told.output_tokens_details.thinking_tokens is not None:
        usage.reasoning = max(0, told.output_tokens_details.thinking_tokens)
    if usage.cache_write_1h is not None:
        usage.cache_write_1h = min(usage.cache_write_1h, usage.cache_write)
    usage.total_tokens = usage.input + usage.output + usage.cache_read + usage.cache_write


def _fallback_prices(model: Model, used: str) -> ModelCost | None:
    """The prices of the model that stood in for the one asked for, if it was allowed to."""
    allowed: list[JsonObject] = (model.compat or {}).get("allowedFallbackModels") or []
    for fallback in allowed:
        if fallback.get("provider") == model.provider and fallback.get("model") == used:
            return from_json_value(fallback.get("cost") or {}, ModelCost)
    return None
