"""Decodes the stream of one response, for every server that speaks the Responses API.

Source: spec of openai-responses, sections 5, 6 and 7.4.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, TypeAlias, cast

from pi_ai.api._records import convert_record, read_record
from pi_ai.api._responses_blocks import (
    Block,
    CallBlock,
    CustomCallBlock,
    TextBlock,
    ThinkingBlock,
    open_block,
)
from pi_ai.api._responses_errors import event_error, failed_error
from pi_ai.api._responses_records import (
    EVENT_READER,
    EventRecord,
    InputDetails,
    ItemRecord,
    OutputDetails,
    ResponseRecord,
    UsageRecord,
)
from pi_ai.builder import MessageBuilder
from pi_ai.cost import apply_service_tier
from pi_ai.errors import ProviderError, ProviderProtocolError
from pi_ai.events import AssistantEvent
from pi_ai.http.sse import SseRecord
from pi_ai.json_text import js_json
from pi_ai.types import JsonObject, JsonValue, StopReason, Usage

__all__ = ("Decoder", "Handler")

Handler: TypeAlias = Callable[[Any, EventRecord], Sequence[AssistantEvent]]
"""What a decoder does for one kind of event: one of its methods."""

_NO_EVENTS: Sequence[AssistantEvent] = ()
_STOP_STATUSES = ("completed", "in_progress", "queued")


class Decoder:
    """Records in, events out. Owns no socket and no clock.

    `grammar_inputs`: for each tool with a grammar, the parameter that takes the text.
    `requested_tier` is the service tier that was asked for; without `prices_tiers` every tier
    costs the same.
    """

    def __init__(
        self,
        message: MessageBuilder,
        grammar_inputs: Mapping[str, str] = MappingProxyType({}),
        *,
        requested_tier: str | None = None,
        prices_tiers: bool = True,
    ) -> None:
        self.finished = False
        self._message = message
        self._grammar_inputs = grammar_inputs
        self._requested_tier = requested_tier
        self._prices_tiers = prices_tiers
        self._blocks: dict[int | None, Block] = {}
        self._calls: list[CallBlock | CustomCallBlock] = []
        self._reasoning: list[tuple[int, JsonObject]] = []

    def feed(self, record: SseRecord) -> Sequence[AssistantEvent]:
        """The events of one record. Raises `ProviderError` when the server reports a failure."""
        try:
            event = read_record(EVENT_READER, EventRecord, record.data)
        except ValueError as error:
            if record.data.strip() in (b"", b"[DONE]"):
                return _NO_EVENTS
            raise self._malformed(error) from error
        kind = event.type
        if event.error or kind == "error" or record.event == "error":
            raise self._reported(event, record)
        handler = self.handlers.get(kind) if kind else None
        return _NO_EVENTS if handler is None else handler(self, event)

    def close(self) -> None:
        """Judge the ended stream. Raises `ProviderError` unless it is a complete answer."""
        if not self.finished:
            raise ProviderProtocolError(
                "OpenAI Responses stream ended before a terminal response event", retryable=True
            )

    # --- what servers word differently --------------------------------------------------------

    def _malformed(self, _error: ValueError) -> ProviderError:
        return ProviderProtocolError(
            "Error reading response: malformed server-sent event JSON.", retryable=True
        )

    def _reported(self, event: EventRecord, record: SseRecord) -> ProviderError:
        return event_error(event, record.data)

    def _failure(self, response: ResponseRecord) -> ProviderError:
        return failed_error(response)

    def _note(self, response: ResponseRecord) -> None:
        """Take over what only some servers tell of a whole response."""

    def _stop(self, response: ResponseRecord) -> None:
        """Note why the model stopped. Raises `ProviderError` where that is a failure."""
        status = response.status
        reason = response.incomplete_details.reason if response.incomplete_details else None
        raw = f"{status}.{reason}" if status == "incomplete" and reason else status
        text: str | None = None
        stop: StopReason = "error"
        if status is None or status in _STOP_STATUSES:
            stop = "toolUse" if self._calls else "stop"
        elif status == "incomplete":
            if reason == "max_output_tokens":
                stop = "length"
            elif reason:
                text = f"Response incomplete: {reason}"
            else:
                text = "Response incomplete without a provider reason"
        elif status in ("failed", "cancelled"):
            text = "An unknown error occurred"
        else:
            text = f"Unhandled stop reason: {status}"
        self._message.stop(stop, raw=raw)
        if text is not None:
            raise ProviderError(text, code=reason)

    # --- the response -------------------------------------------------------------------------

    def _created(self, event: EventRecord) -> Sequence[AssistantEvent]:
        response = convert_record(event.response, ResponseRecord)
        self._message.set_response(response_id=response.id)
        return _NO_EVENTS

    def _ended(self, event: EventRecord) -> Sequence[AssistantEvent]:
        response = convert_record(event.response, ResponseRecord)
        self.finished = True
        self._note(response)
        self._complete_reasoning(response.output)
        self._count(response)
        self._stop(response)
        if self._message.stop_reason == "toolUse":
            for call in self._calls:
                if not call.ended:
                    raise ProviderProtocolError(
                        "OpenAI Responses stream completed with an unfinished tool call: "
                        f"{call.name} ({call.call_id})",
                        retryable=True,
                    )
        return _NO_EVENTS

    def _failed(self, event: EventRecord) -> Sequence[AssistantEvent]:
        response = convert_record(event.response, ResponseRecord)
        self._count(response)
        raise self._failure(response)

    def _count(self, response: ResponseRecord) -> None:
        if response.usage is None:
            return
        usage = _usage(response.usage)
        self._message.set_usage(usage)
        if self._prices_tiers:
            apply_service_tier(
                self._message.model,
                usage,
                requested=self._requested_tier,
                served=response.service_tier,
            )

    def _complete_reasoning(self, output: JsonValue) -> None:
        """Some servers send the encrypted reasoning only with the whole response."""
        items = cast("list[JsonValue]", output) if isinstance(output, list) else []
        encrypted: dict[JsonValue, JsonValue] = {}
        for item in items:
            if isinstance(item, dict):
                told = cast("JsonObject", item)
                if told.get("type") == "reasoning" and isinstance(told.get("id"), str):
                    encrypted[told["id"]] = told.get("encrypted_content")
        for at, item in self._reasoning:
            found: JsonValue = encrypted.get(item.get("id"))
            if found and not item.get("encrypted_content"):
                whole = {**item, "encrypted_content": found}
                self._message.replace_signature(at, js_json(whole))

    # --- items --------------------------------------------------------------------------------

    def _item_added(self, event: EventRecord) -> Sequence[AssistantEvent]:
        block = self._open(event, convert_record(event.item, ItemRecord))
        return _NO_EVENTS if block is None else [block.start]

    def _open(self, event: EventRecord, item: ItemRecord) -> Block | None:
        block = open_block(self._message, item, self._grammar_inputs)
        if block is None:
            return None
        self._blocks[event.output_index] = block
        if isinstance(block, CallBlock | CustomCallBlock):
            self._calls.append(block)
        elif isinstance(block, TextBlock) and item.phase == "final_answer":
            self._message.stop("stop")  # for now: the end of the response decides
        return block

    def _item_done(self, event: EventRecord) -> Sequence[AssistantEvent]:
        item = convert_record(event.item, ItemRecord)
        block = self._blocks.pop(event.output_index, None)
        events: list[AssistantEvent] = []
        if block is None:
            block = self._open(event, item)
            if block is None:
                return _NO_EVENTS
            del self._blocks[event.output_index]
            events.append(block.start)
        if isinstance(block, ThinkingBlock):
            whole = cast("JsonObject", event.item)
            self._reasoning.append((block.at, whole))
            return [*events, *block.end(item, whole)]
        return [*events, *block.end(item)]

    # --- pieces -------------------------------------------------------------------------------

    def _text_delta(self, event: EventRecord) -> Sequence[AssistantEvent]:
        block = self._blocks.get(event.output_index)
        if isinstance(block, TextBlock) and event.delta is not None:
            return (self._message.text(block.at, event.delta),)
        return _NO_EVENTS

    def _thinking_delta(self, event: EventRecord) -> Sequence[AssistantEvent]:
        block = self._blocks.get(event.output_index)
        if isinstance(block, ThinkingBlock) and event.delta is not None:
            return (self._message.thinking(block.at, event.delta),)
        return _NO_EVENTS

    def _summary_part_done(self, event: EventRecord) -> Sequence[AssistantEvent]:
        block = self._blocks.get(event.output_index)
        if isinstance(block, ThinkingBlock):
            return (self._message.thinking(block.at, "\n\n"),)
        return _NO_EVENTS

    def _call_delta(self, event: EventRecord) -> Sequence[AssistantEvent]:
        block = self._blocks.get(event.output_index)
        if isinstance(block, CallBlock) and event.delta is not None:
            return block.add(event.delta)
        return _NO_EVENTS

    def _call_told(self, event: EventRecord) -> Sequence[AssistantEvent]:
        block = self._blocks.get(event.output_index)
        if isinstance(block, CallBlock) and event.arguments is not None:
            return block.told(event.arguments)
        return _NO_EVENTS

    def _custom_delta(self, event: EventRecord) -> Sequence[AssistantEvent]:
        block = self._blocks.get(event.output_index)
        if isinstance(block, CustomCallBlock) and event.delta is not None:
            return block.add(event.delta)
        return _NO_EVENTS

    def _custom_told(self, event: EventRecord) -> Sequence[AssistantEvent]:
        block = self._blocks.get(event.output_index)
        if isinstance(block, CustomCallBlock) and event.input is not None:
            return block.told(event.input)
        return _NO_EVENTS

    handlers: ClassVar[Mapping[str, Handler]] = {
        "response.created": _created,
        "response.output_item.added": _item_added,
        "response.output_text.delta": _text_delta,
        "response.refusal.delta": _text_delta,
        "response.reasoning_summary_text.delta": _thinking_delta,
        "response.reasoning_text.delta": _thinking_delta,
        "response.reasoning_summary_part.done": _summary_part_done,
        "response.function_call_arguments.delta": _call_delta,
        "response.function_call_arguments.done": _call_told,
        "response.custom_tool_call_input.delta": _custom_delta,
        "response.custom_tool_call_input.done": _custom_told,
        "response.output_item.done": _item_done,
        "response.completed": _ended,
        "response.incomplete": _ended,
        "response.failed": _failed,
    }
    """What is done for each kind of event that counts."""


def _usage(told: UsageRecord) -> Usage:
    input_details = told.input_tokens_details or InputDetails()
    output_details = told.output_tokens_details or OutputDetails()
    cache_read = max(0, input_details.cached_tokens or 0)
    cache_write = max(0, input_details.cache_write_tokens or 0)
    usage = Usage(
        input=max(0, (told.input_tokens or 0) - cache_read - cache_write),
        output=max(0, told.output_tokens or 0),
        cache_read=cache_read,
        cache_write=cache_write,
        reasoning=max(0, output_details.reasoning_tokens or 0),
    )
    counted = usage.input + usage.output + cache_read + cache_write
    usage.total_tokens = counted if told.total_tokens is None else max(0, told.total_tokens)
    return usage
