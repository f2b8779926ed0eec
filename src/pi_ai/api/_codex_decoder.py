"""Decodes the stream of the Codex backend of ChatGPT, over either transport.

Source: spec of openai-codex-responses, section 8.5.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from msgspec.structs import replace

from pi_ai.api._codex_errors import event_error, failed_error
from pi_ai.api._records import read_record
from pi_ai.api._responses_decoder import Decoder, Handler
from pi_ai.api._responses_records import EVENT_READER, EventRecord, ResponseRecord
from pi_ai.builder import MessageBuilder
from pi_ai.errors import ProviderError, ProviderProtocolError
from pi_ai.events import AssistantEvent
from pi_ai.http.sse import SseRecord

__all__ = ("CodexDecoder",)

_STATUSES = {"completed", "incomplete", "failed", "cancelled", "queued", "in_progress"}


class CodexDecoder(Decoder):
    """As `Decoder`. `started` is whether any event but an error has arrived.

    `transport` names what malformed records came over. With `starts`, the first record gives the
    `start` event.
    """

    handlers: ClassVar[Mapping[str, Handler]] = {
        **Decoder.handlers,
        "response.done": Decoder.handlers["response.completed"],
    }

    def __init__(
        self,
        message: MessageBuilder,
        grammar_inputs: Mapping[str, str],
        *,
        requested_tier: str | None,
        transport: str,
        starts: bool = False,
    ) -> None:
        super().__init__(message, grammar_inputs, requested_tier=requested_tier)
        self.started = False
        self.response_id: str | None = None
        self._transport = transport
        self._starts = starts

    def feed(self, record: SseRecord) -> Sequence[AssistantEvent]:
        """The events of one record. Raises `ProviderError` when the server reports a failure."""
        if self.started:
            return super().feed(record)
        events = super().feed(record)
        if not events and not _has_type(record):
            return events
        self.started = True
        return [self._message.start(), *events] if self._starts else events

    def _malformed(self, error: ValueError) -> ProviderError:
        return ProviderProtocolError(f"Invalid Codex {self._transport} JSON: {error}")

    def _reported(self, event: EventRecord, record: SseRecord) -> ProviderError:
        return event_error(event)

    def _failure(self, response: ResponseRecord) -> ProviderError:
        return failed_error(response)

    def _note(self, response: ResponseRecord) -> None:
        self.response_id = response.id
        if response.end_turn is not None:
            self._message.set_end_turn(response.end_turn)

    def _stop(self, response: ResponseRecord) -> None:
        known = response.status in _STATUSES
        super()._stop(response if known else replace(response, status=None))


def _has_type(record: SseRecord) -> bool:
    """Whether a record is an event; what is not is skipped, and begins no answer."""
    try:
        return read_record(EVENT_READER, EventRecord, record.data).type is not None
    except ValueError:
        return False
