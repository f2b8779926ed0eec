"""What a server of the Messages API sends, record by record: unknown fields are skipped.

Source: providers spec, section 5.6; https://docs.anthropic.com/en/api/messages-streaming.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from pi_ai.api._records import read_record
from pi_ai.errors import ProviderProtocolError
from pi_ai.http.sse import SseRecord

__all__ = (
    "BlockDelta",
    "BlockPiece",
    "BlockRecord",
    "BlockStart",
    "BlockStop",
    "CacheCreation",
    "MessageDelta",
    "MessageRecord",
    "MessageStart",
    "MessageStop",
    "OutputDetails",
    "StopDelta",
    "StopDetails",
    "UsageRecord",
    "is_known",
    "read",
    "read_delta",
)


class CacheCreation(Struct):
    """What the tokens were that were written to the cache."""

    ephemeral_1h_input_tokens: int | None = None


class OutputDetails(Struct):
    """What the output tokens were."""

    thinking_tokens: int | None = None


class UsageRecord(Struct):
    """The usage, with the bill that OpenRouter adds."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_creation: CacheCreation | None = None
    output_tokens_details: OutputDetails | None = None
    cost: Any = None
    is_byok: bool | None = None
    cost_details: Any = None


class MessageRecord(Struct):
    """The message as it begins."""

    id: str | None = None
    model: str | None = None
    usage: UsageRecord | None = None


class MessageStart(Struct):
    """The first record."""

    message: MessageRecord | None = None
    input_transformations: Any = None


class StopDetails(Struct):
    """Why a refusal."""

    explanation: str | None = None


class StopDelta(Struct):
    """Why the model stopped."""

    stop_reason: str | None = None
    stop_details: StopDetails | None = None


class MessageDelta(Struct):
    """What is known of the message at its end."""

    delta: StopDelta | None = None
    usage: UsageRecord | None = None
    input_transformations: Any = None


class BlockRecord(Struct):
    """A content block as it begins, of any kind."""

    type: str = ""
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    id: str | None = None
    name: str | None = None
    input: dict[str, Any] | None = None


class BlockStart(Struct):
    """A new content block."""

    index: int = -1
    content_block: BlockRecord | None = None


class BlockPiece(Struct):
    """What is added to a block, of any kind."""

    type: str = ""
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    partial_json: str | None = None


class BlockDelta(Struct):
    """More of a content block."""

    index: int = -1
    delta: BlockPiece | None = None


class BlockStop(Struct):
    """A content block is complete."""

    index: int = -1


class MessageStop(Struct):
    """The last record."""


_KINDS: dict[str, type[Struct]] = {
    "message_start": MessageStart,
    "message_delta": MessageDelta,
    "message_stop": MessageStop,
    "content_block_start": BlockStart,
    "content_block_delta": BlockDelta,
    "content_block_stop": BlockStop,
}
_READERS: dict[str, msgspec.json.Decoder[Struct]] = {
    name: msgspec.json.Decoder(kind) for name, kind in _KINDS.items()
}


def is_known(event: str) -> bool:
    """Whether records of this name are read; others may come at any time and mean nothing."""
    return event in _READERS


_DELTA_READER = msgspec.json.Decoder(BlockDelta)


def read_delta(record: SseRecord) -> BlockDelta:
    """A record named `content_block_delta`, as nearly all are. Raises as `read` does."""
    try:
        return _DELTA_READER.decode(record.data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        delta = read(record)
        assert isinstance(delta, BlockDelta)
        return delta


def read(record: SseRecord) -> Struct:
    """A record of a known name. Raises `ProviderProtocolError` for text that is no JSON."""
    try:
        return read_record(_READERS[record.event], _KINDS[record.event], record.data)
    except ValueError as error:
        data = record.data.decode("utf-8", "replace")
        raw = "\\n".join([f"event: {record.event}", *(f"data: {x}" for x in data.split("\n"))])
        raise ProviderProtocolError(
            f"Could not parse Anthropic SSE event {record.event}: {error}; data={data}; raw={raw}"
        ) from error
