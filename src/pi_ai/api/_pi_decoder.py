"""Decodes pi's own stream protocol: records in, events out.

Source: agent spec, sections 11, 12 and 16 (10).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import NoReturn

from msgspec import UNSET

from pi_ai.api._pi_records import DONE_REASONS, EventRecord, correction_of, read
from pi_ai.builder import MessageBuilder
from pi_ai.errors import AbortError, ProviderError, ProviderProtocolError
from pi_ai.events import AssistantEvent
from pi_ai.http.sse import SseRecord
from pi_ai.json_text import js_json
from pi_ai.types import Diagnostic, now_ms

__all__ = ("Decoder",)

_log = logging.getLogger(__name__)

_SHOWN_CHARS = 100
_LOGGED_TYPES = 10
"""How many unknown types of one response are logged, each once."""
_KINDS = {
    "text_start": "text",
    "thinking_start": "thinking",
    "toolcall_start": "toolCall",
    "text_delta": "text",
    "thinking_delta": "thinking",
    "toolcall_delta": "toolCall",
    "text_end": "text",
    "thinking_end": "thinking",
    "toolcall_end": "toolCall",
}
"""The kind of content block that each event is about."""


class Decoder:
    """Records in, events out. Owns no socket and no clock but that of diagnostics.

    `wire` names the protocol in errors; `ended` is the error of a stream that ends early.
    """

    def __init__(self, message: MessageBuilder, *, wire: str, ended: str) -> None:
        self.finished = False
        self._message = message
        self._wire = wire
        self._ended = ended
        self._kinds: list[str] = []
        self._open: set[int] = set()
        self._ignored: set[str] = set()

    def feed(self, record: SseRecord) -> Sequence[AssistantEvent]:
        """The events of one record.

        Raises `ProviderError` for a failure and `AbortError` for an abort that the server reports,
        `ProviderProtocolError` for what the protocol does not allow.
        """
        try:
            event = read(record.data)
        except ValueError as error:
            raise ProviderProtocolError(str(error)) from error
        match event.type:
            case "text_delta":
                return [self._message.text(self._block(event), event.delta or "")]
            case "thinking_delta":
                return [self._message.thinking(self._block(event), event.delta or "")]
            case "toolcall_delta":
                return [self._message.tool_call(self._block(event), event.delta or "")]
            case "text_start" | "thinking_start" | "toolcall_start":
                return [self._start(event)]
            case "text_end" | "thinking_end" | "toolcall_end":
                return self._end(event)
            case "done":
                return self._done(event)
            case "error":
                self._fail(event)
            case "start":  # told when the server accepted the request
                pass
            case _:
                self._ignore(event.type)
        return ()

    def close(self) -> None:
        """Judge the ended stream. Raises `ProviderProtocolError` unless it said how it ended."""
        if not self.finished:
            raise ProviderProtocolError(self._ended, retryable=True)

    # --- blocks -------------------------------------------------------------------------------

    def _start(self, event: EventRecord) -> AssistantEvent:
        # The index of an earlier block would take away what was already handed out.
        index = self._index(event, lowest=len(self._kinds), highest=len(self._kinds))
        kind = _KINDS[event.type]
        self._kinds.append(kind)
        self._open.add(index)
        match kind:
            case "text":
                return self._message.text_start()
            case "thinking":
                return self._message.thinking_start()
            case _:
                return self._message.tool_call_start(event.id or "", event.tool_name or "")

    def _end(self, event: EventRecord) -> Sequence[AssistantEvent]:
        message = self._message
        if event.type == "toolcall_end":
            index = self._index(event, lowest=0, highest=len(self._kinds) - 1)
            if self._kinds[index] != "toolCall":
                return ()
        index = self._block(event)
        self._open.remove(index)
        if event.type == "toolcall_end":
            if event.tool_call is not None:
                message.correct_tool_call(index, correction_of(event.tool_call))
            return [message.end(index)]
        if event.content is not None:
            message.replace_text(index, event.content)
        if event.content_signature is not None:
            message.replace_signature(index, event.content_signature)
        if event.redacted and event.type == "thinking_end":
            message.redact(index)
        return [message.end(index)]

    def _block(self, event: EventRecord) -> int:
        """The index of the open block that an event is about."""
        index = self._index(event, lowest=0, highest=len(self._kinds) - 1)
        kind = _KINDS[event.type]
        if self._kinds[index] != kind:
            raise ProviderProtocolError(f"Received {event.type} for non-{kind} content")
        if index not in self._open:
            raise ProviderProtocolError(f"Received {event.type} for content that has ended")
        return index

    def _index(self, event: EventRecord, *, lowest: int, highest: int) -> int:
        told = event.content_index
        if isinstance(told, float) and told.is_integer():  # an integer to JavaScript
            told = int(told)
        if isinstance(told, int) and not isinstance(told, bool) and lowest <= told <= highest:
            return told
        shown = "undefined" if told is UNSET else js_json(told)[:_SHOWN_CHARS]
        raise ProviderProtocolError(
            f"Invalid contentIndex {shown} in {self._wire} {event.type} event"
        )

    # --- the end ------------------------------------------------------------------------------

    def _done(self, event: EventRecord) -> Sequence[AssistantEvent]:
        for reason in DONE_REASONS:
            if event.reason == reason:
                self._note(event)
                self._message.stop(reason)
                self.finished = True
                return self._message.end_open_blocks()
        shown = js_json(event.reason)[:_SHOWN_CHARS]
        raise ProviderProtocolError(f"Invalid reason {shown} in {self._wire} done event")

    def _fail(self, event: EventRecord) -> NoReturn:
        self._note(event)
        self.finished = True
        if event.reason == "aborted":
            raise AbortError(event.error_message or str(AbortError()))
        raise ProviderError(event.error_message or "The server reported an error without a text")

    def _note(self, event: EventRecord) -> None:
        """What the last event says of the whole answer."""
        message = self._message
        if event.usage is not None:
            cost = event.usage.cost
            message.set_usage(event.usage)
            event.usage.cost = cost  # the server knows what it pays
        message.set_response(response_id=event.response_id, model=event.response_model)
        if event.provider_thinking_level:
            message.set_provider_thinking_level(event.provider_thinking_level)
        if event.rewrite is not None:
            message.add_diagnostic(
                Diagnostic("pi_messages_rewrite", now_ms(), details=event.rewrite)
            )

    def _ignore(self, kind: str) -> None:
        if kind not in self._ignored and len(self._ignored) < _LOGGED_TYPES:
            self._ignored.add(kind)
            _log.warning("Ignored %s event of unknown type %r", self._wire, kind[:_SHOWN_CHARS])
