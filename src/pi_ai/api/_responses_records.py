"""What a server of the Responses API sends, event by event: permissive, unknown fields are skipped.

Source: spec of openai-responses, section 5;
https://platform.openai.com/docs/api-reference/responses-streaming.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

__all__ = (
    "EVENT_READER",
    "ErrorRecord",
    "EventRecord",
    "InputDetails",
    "ItemRecord",
    "OutputDetails",
    "PartRecord",
    "ReasonRecord",
    "ResponseRecord",
    "UsageRecord",
)


class EventRecord(Struct):
    """One event. What is rare, and looked at closely, is kept as it came: item, response, error."""

    type: str | None = None
    output_index: int | None = None
    delta: str | None = None
    arguments: str | None = None
    input: str | None = None
    item: Any = None
    response: Any = None
    error: Any = None
    code: Any = None
    message: Any = None


class PartRecord(Struct):
    """A part of an item: text, or a refusal to give one."""

    text: str | None = None
    refusal: str | None = None


class ItemRecord(Struct):
    """An item of the output: reasoning, a message, a call."""

    type: str | None = None
    id: str | None = None
    call_id: str | None = None
    name: str | None = None
    namespace: str | None = None
    arguments: str | None = None
    input: str | None = None
    phase: str | None = None
    summary: list[PartRecord] | None = None
    content: list[PartRecord] | None = None
    encrypted_content: str | None = None


class InputDetails(Struct):
    """What the input tokens were."""

    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class OutputDetails(Struct):
    """What the output tokens were."""

    reasoning_tokens: int | None = None


class UsageRecord(Struct):
    """What was counted."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    total_tokens: int | None = None
    input_tokens_details: InputDetails | None = None
    output_tokens_details: OutputDetails | None = None


class ReasonRecord(Struct):
    """Why a response is incomplete."""

    reason: str | None = None


class ErrorRecord(Struct):
    """What went wrong."""

    code: str | int | None = None
    message: str | None = None
    type: str | None = None


class ResponseRecord(Struct):
    """The response as a whole."""

    id: str | None = None
    status: str | None = None
    usage: UsageRecord | None = None
    service_tier: str | None = None
    incomplete_details: ReasonRecord | None = None
    error: ErrorRecord | None = None
    output: Any = None
    end_turn: bool | None = None


EVENT_READER = msgspec.json.Decoder(EventRecord)
