"""What a Chat Completions server sends, record by record: permissive, unknown fields are skipped.

Source: providers spec, section 4.7; https://platform.openai.com/docs/api-reference/chat-streaming.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

__all__ = (
    "CHUNK_READER",
    "CallPiece",
    "Choice",
    "Chunk",
    "CompletionDetails",
    "CustomPiece",
    "Delta",
    "FunctionPiece",
    "PromptDetails",
    "UsageRecord",
)


class PromptDetails(Struct):
    """What the prompt tokens were."""

    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class CompletionDetails(Struct):
    """What the completion tokens were."""

    reasoning_tokens: int | None = None


class UsageRecord(Struct):
    """The usage, in all its dialects."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: CompletionDetails | None = None
    prompt_cache_hit_tokens: int | None = None
    cached_tokens: int | None = None
    cost: Any = None
    is_byok: bool | None = None
    cost_details: Any = None


class FunctionPiece(Struct):
    """A piece of a function call; `arguments` is JSON text, or an object from some servers."""

    name: str | None = None
    arguments: Any = None


class CustomPiece(Struct):
    """A piece of a call of a tool with a grammar: `input` is text, not JSON."""

    name: str | None = None
    input: str | None = None


class CallPiece(Struct):
    """An entry of `tool_calls`: a call, or more of one."""

    index: int | None = None
    id: str | None = None
    function: FunctionPiece | None = None
    custom: CustomPiece | None = None


class Delta(Struct):
    """What a chunk adds to the message."""

    content: Any = None
    reasoning_content: Any = None
    reasoning: Any = None
    reasoning_text: Any = None
    reasoning_details: Any = None
    tool_calls: list[CallPiece] | None = None


class Choice(Struct):
    """One of the answers; only the first is read."""

    delta: Delta | None = None
    finish_reason: str | None = None
    usage: UsageRecord | None = None


class Chunk(Struct):
    """One record of the stream."""

    id: str | None = None
    model: str | None = None
    choices: list[Choice] | None = None
    usage: UsageRecord | None = None
    error: Any = None


CHUNK_READER = msgspec.json.Decoder(Chunk)
