"""The records of the RPC protocol as bytes: commands in, responses and events out.

What the commands are is in `rpc_requests`. Source: rpc spec, sections 3 to 6.
"""

from __future__ import annotations

import re
from typing import Any, cast, get_args

import msgspec
from msgspec import UNSET, UnsetType, structs

from pi_agent import MessageUpdateEvent
from pi_ai import (
    JsonObject,
    JsonValue,
    ToolCall,
    ToolCallEndEvent,
    ToolCallStartEvent,
    UpdateEvent,
)
from pi_ai.events import (
    TextDeltaEvent,
    TextEndEvent,
    TextStartEvent,
    ThinkingDeltaEvent,
    ThinkingEndEvent,
    ThinkingStartEvent,
    ToolCallDeltaEvent,
)
from pi_ai.json_text import parse_json
from pi_ai.wire import encode
from pi_sdk.events import SessionEvent
from pi_sdk.rpc_requests import Command

__all__ = ("CommandError", "encode_event", "encode_response", "read_command")

_COMMANDS: dict[str, type[Command]] = {kind.type: kind for kind in Command.__args__}

_REFUSED = {"export_html": "Export to HTML is not supported"}
"""Commands that no version will have, and what they are answered with."""


class CommandError(ValueError):
    """A line that is no command; `command` and `record_id` say what the response carries."""

    def __init__(
        self, message: str, *, command: str, record_id: JsonValue | UnsetType = UNSET
    ) -> None:
        super().__init__(message)
        self.command = command
        self.record_id = record_id


def read_command(line: bytes) -> Command | None:
    """The command on a line, None for a record that wants no answer.

    Raises `CommandError` with the text of the answer.
    """
    try:
        value = parse_json(line.decode("utf-8", "replace"))
    except ValueError as error:
        raise CommandError(f"Failed to parse command: {error}", command="parse") from error
    if not isinstance(value, dict):
        raise CommandError("Unknown command: undefined", command="unknown")
    record = cast("JsonObject", value)
    record_id = record.get("id", UNSET)
    name = record.get("type")
    if not isinstance(name, str):
        raise CommandError("Unknown command: undefined", command="unknown", record_id=record_id)
    if name == "extension_ui_response":
        return None  # an answer to a dialog, which this server never opens
    kind = _COMMANDS.get(name)
    if kind is None:
        raise CommandError(_refusal(name), command=name, record_id=record_id)
    try:
        return msgspec.convert(record, kind)
    except msgspec.ValidationError as error:
        raise CommandError(
            f"Invalid {name}: {_field_reason(str(error), kind)}",
            command=name,
            record_id=record_id,
        ) from error


def _refusal(name: str) -> str:
    return _REFUSED.get(name) or f"Unknown command: {name}"


def _field_reason(text: str, kind: type[Command]) -> str:
    """`message expected str, got int` from msgspec's words for it."""
    missing = re.fullmatch(r"Object missing required field `(.+?)`(?: - at `\$\.?(.*)`)?", text)
    if missing:
        return f"{'.'.join(part for part in (missing[2], missing[1]) if part)} is missing"
    unknown = re.fullmatch(r"Invalid enum value (.*) - at `\$\.(\w+)`", text)
    for field in structs.fields(kind) if unknown else ():
        if unknown and field.encode_name == unknown[2]:
            return f"{unknown[2]} expected one of {_choices(field.type)}, got {unknown[1]}"
    wrong = re.fullmatch(r"(.+?) - at `\$\.?(.*)`", text)
    if wrong and wrong[2]:
        return f"{wrong[2]} {wrong[1][:1].lower()}{wrong[1][1:].replace('`', '')}"
    return text


def _choices(hint: object) -> str:
    """The texts that a Literal takes, or an optional one."""
    parts = get_args(hint)
    if all(isinstance(part, str) for part in parts):
        return ", ".join(map(repr, parts))
    return ", ".join(_choices(part) for part in parts if get_args(part))


# --- out --------------------------------------------------------------------------------------


def encode_response(
    command: str,
    record_id: JsonValue | UnsetType,
    *,
    data: object = UNSET,
    error: str | None = None,
) -> bytes:
    """A response record, without its line end; `data` is anything that is JSON, UNSET for none."""
    record: dict[str, object] = {} if record_id is UNSET else {"id": record_id}
    record |= {"type": "response", "command": command, "success": error is None}
    if error is not None:
        record["error"] = error
    elif data is not UNSET:
        record["data"] = data
    return encode(record)


def encode_event(event: SessionEvent) -> bytes:
    """An event record, without its line end; updates carry the change and not the message."""
    if isinstance(event, MessageUpdateEvent):
        update = event.assistant_message_event
        return encode(
            {
                "type": "message_update",
                "usage": update.snapshot.usage(),
                "assistantMessageEvent": _change(update),
            }
        )
    return encode(event)


def _change(event: UpdateEvent) -> dict[str, Any]:
    match event:
        case TextDeltaEvent() | ThinkingDeltaEvent() | ToolCallDeltaEvent():
            return {
                "type": event.type,
                "contentIndex": event.content_index,
                "delta": event.delta,
            }
        case ToolCallStartEvent():
            call = event.partial.content[event.content_index]
            assert isinstance(call, ToolCall)  # the event says so
            return {
                "type": event.type,
                "contentIndex": event.content_index,
                "id": call.id,
                "toolName": call.name,
            }
        case TextEndEvent() | ThinkingEndEvent():
            return {
                "type": event.type,
                "contentIndex": event.content_index,
                "content": event.content,
            }
        case ToolCallEndEvent():
            return {
                "type": event.type,
                "contentIndex": event.content_index,
                "toolCall": event.tool_call,
            }
        case TextStartEvent() | ThinkingStartEvent():
            return {"type": event.type, "contentIndex": event.content_index}
        case _:  # `start` is no update
            return {"type": event.__struct_config__.tag}
