"""The records of pi's own stream protocol: assistant events without their snapshots.

Two wires carry them, `pi-messages` and the older stream of a proxy; `pi_ai.serving` writes them
for both. Source: agent spec, sections 11 and 12.
"""

from __future__ import annotations

import msgspec
from msgspec import UNSET

from pi_ai.api._records import read_record
from pi_ai.types import JsonObject, JsonValue, Usage, Wire

__all__ = ("DONE_REASONS", "EventRecord", "correction_of", "read")

DONE_REASONS = ("stop", "length", "toolUse")
"""Why an answer may have ended well; a deferred one cannot be told."""


class EventRecord(Wire):
    """One event of any type; each has a few of the fields.

    `content_index` is any JSON value, so that a bad one can be shown; UNSET if there is none.
    `tool_call` is a `ToolCall`, or those fields of it that stand over what was streamed.
    """

    type: str = ""
    content_index: JsonValue = UNSET
    delta: str | None = None
    content: str | None = None
    content_signature: str | None = None
    redacted: bool | None = None
    id: str | None = None
    tool_name: str | None = None
    tool_call: JsonObject | None = None
    reason: str | None = None
    error_message: str | None = None
    usage: Usage | None = None
    response_id: str | None = None
    response_model: str | None = None
    provider_thinking_level: str | None = None
    rewrite: JsonObject | None = None


_READER = msgspec.json.Decoder(EventRecord)

_CALL_FIELDS = (
    ("id", "id", str),
    ("name", "name", str),
    ("arguments", "arguments", dict),
    ("thoughtSignature", "thought_signature", str),
    ("namespace", "namespace", str),
    ("argumentsError", "arguments_error", str),
)


def read(data: bytes) -> EventRecord:
    """The event that `data` holds. Raises ValueError for text that is no JSON."""
    return read_record(_READER, EventRecord, data)


def correction_of(tool_call: JsonObject) -> JsonObject:
    """What a record's `toolCall` says of a call, by attributes of `ToolCall`.

    Whole arguments take back the error that streamed ones may have made.
    """
    fields: JsonObject = {"arguments_error": None} if _says_arguments(tool_call) else {}
    for key, name, kind in _CALL_FIELDS:
        if isinstance(tool_call.get(key), kind):
            fields[name] = tool_call[key]
    return fields


def _says_arguments(tool_call: JsonObject) -> bool:
    return isinstance(tool_call.get("arguments"), dict)
