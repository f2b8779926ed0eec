"""Reads the event records of an RPC server, as the events that a session itself would tell.

Source: rpc spec, section 6.
"""

from __future__ import annotations

from typing import ClassVar, Literal, TypeAlias, cast

import msgspec
from msgspec import Raw, Struct, field

from pi_agent import (
    AgentStartEvent,
    MessageEndEvent,
    MessageStartEvent,
    MessageUpdateEvent,
    ToolExecutionEndEvent,
    ToolExecutionStartEvent,
    ToolExecutionUpdateEvent,
    TurnEndEvent,
    TurnStartEvent,
)
from pi_ai import AssistantMessage, JsonObject, JsonValue, Model, ToolCall, UpdateEvent, Usage
from pi_ai.builder import MessageBuilder
from pi_ai.wire import decoder_for, encode, from_json_value
from pi_sdk.deep_json import parse_deep_json
from pi_sdk.events import (
    AgentSettledEvent,
    AutoRetryEndEvent,
    AutoRetryStartEvent,
    BashExecutionUpdateEvent,
    CompactionEndEvent,
    CompactionStartEvent,
    EntryAppendedEvent,
    QueueUpdateEvent,
    RunEndEvent,
    SessionInfoChangedEvent,
    SummarizationRetryAttemptStartEvent,
    SummarizationRetryFinishedEvent,
    SummarizationRetryScheduledEvent,
    ThinkingLevelChangedEvent,
)
from pi_session import SessionMessage

__all__ = (
    "EventReader",
    "EventsLostEvent",
    "ExtensionErrorEvent",
    "ExtensionUiRequestEvent",
    "Response",
    "RpcEvent",
    "UnknownEvent",
)


class UnknownEvent(Struct, frozen=True):
    """A record that is no event this version knows, such as one of a newer server."""

    type: str
    raw: JsonObject


class EventsLostEvent(Struct, frozen=True, tag_field="type", tag="events_lost"):
    """Here `count` events were dropped: whoever reads them was too far behind."""

    type: ClassVar[Literal["events_lost"]] = "events_lost"
    count: int


class ExtensionErrorEvent(
    Struct, frozen=True, rename="camel", tag_field="type", tag="extension_error"
):
    """An extension of the server failed on `event`."""

    type: ClassVar[Literal["extension_error"]] = "extension_error"
    extension_path: str
    event: str
    error: str


class ExtensionUiRequestEvent(
    Struct, frozen=True, rename="camel", kw_only=True, tag_field="type", tag="extension_ui_request"
):
    """An extension of the server wants something shown, or asked.

    `select`, `confirm`, `input` and `editor` wait for an answer; `timeout` is in milliseconds.
    """

    type: ClassVar[Literal["extension_ui_request"]] = "extension_ui_request"
    id: str
    method: str
    title: str | None = None
    message: str | None = None
    options: list[str] | None = None
    placeholder: str | None = None
    prefill: str | None = None
    timeout: float | None = None
    notify_type: str | None = None
    status_key: str | None = None
    status_text: str | None = None
    widget_key: str | None = None
    widget_lines: list[str] | None = None
    widget_placement: str | None = None
    text: str | None = None


_AsSent: TypeAlias = (
    AgentStartEvent
    | AgentSettledEvent
    | TurnStartEvent
    | TurnEndEvent
    | ToolExecutionStartEvent
    | ToolExecutionUpdateEvent
    | ToolExecutionEndEvent
    | QueueUpdateEvent
    | ThinkingLevelChangedEvent
    | SessionInfoChangedEvent
    | EntryAppendedEvent
    | BashExecutionUpdateEvent
    | CompactionStartEvent
    | CompactionEndEvent
    | AutoRetryStartEvent
    | AutoRetryEndEvent
    | SummarizationRetryScheduledEvent
    | SummarizationRetryAttemptStartEvent
    | SummarizationRetryFinishedEvent
    | ExtensionErrorEvent
    | ExtensionUiRequestEvent
)
"""Events whose record is read as it is."""

RpcEvent: TypeAlias = (
    _AsSent
    | RunEndEvent
    | MessageStartEvent
    | MessageUpdateEvent
    | MessageEndEvent
    | EventsLostEvent
    | UnknownEvent
)
"""What a client is told: a session's events, and what only a client meets."""


class Response(Struct):
    """The answer to a command. `data` is the JSON text of its result, empty if there is none.

    `nested` is the result instead, where that is nested too deeply to be read in one go.
    """

    command: str
    success: bool
    id: JsonValue = None
    data: Raw = Raw()
    error: str = ""
    nested: JsonValue = None


# --- records that are not read as events: their messages have any role of a session's -------------


class _Response(Struct, tag_field="type", tag="response"):
    id: JsonValue = None
    command: JsonValue = None
    success: bool = False
    data: Raw = Raw()
    error: str = ""


class _MessageStart(Struct, tag_field="type", tag="message_start"):
    message: SessionMessage


class _MessageEnd(Struct, tag_field="type", tag="message_end"):
    message: SessionMessage


class _RunEnd(Struct, rename="camel", tag_field="type", tag="agent_end"):
    messages: list[SessionMessage]
    will_retry: bool = False


class _Change(Struct, rename="camel"):
    type: str
    content_index: int
    delta: str = ""
    content: str | None = None
    id: str = ""
    tool_name: str = ""
    tool_call: ToolCall | None = None


class _MessageUpdate(Struct, rename="camel", tag_field="type", tag="message_update"):
    change: _Change = field(name="assistantMessageEvent")
    usage: Usage | None = None


_Record: TypeAlias = _Response | _MessageStart | _MessageEnd | _MessageUpdate | _RunEnd | _AsSent


class EventReader:
    """Records in, events out; holds the message that is being sent, so that it can be rebuilt."""

    def __init__(self) -> None:
        self._message: MessageBuilder | None = None
        self._kinds: list[str] = []
        self._usage: Usage | None = None

    def read(self, line: bytes) -> RpcEvent | Response | None:
        """What a line says; None for a line that is no record."""
        try:
            record = cast("_Record", decoder_for(_Record).decode(line))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            record = _read_odd_record(line)
        match record:
            case _Response():
                name = str(record.command)
                return Response(name, record.success, record.id, record.data, record.error)
            case _MessageStart(message=message):
                self._start(message)
                return MessageStartEvent(message)
            case _MessageUpdate(change=change, usage=usage):
                update = self._update(change, usage)
                return _read_unknown(line) if update is None else MessageUpdateEvent(update)
            case _MessageEnd(message=message):
                self._message = None
                return MessageEndEvent(message)
            case _RunEnd(messages=messages, will_retry=will_retry):
                return RunEndEvent([*messages], will_retry)
            case _:
                return record

    def _start(self, message: SessionMessage) -> None:
        if isinstance(message, AssistantMessage):
            model = Model(id=message.model, api=message.api, provider=message.provider)
            self._message = MessageBuilder(model, timestamp=message.timestamp)
            self._kinds = []
            self._usage = None

    def _update(self, change: _Change, usage: Usage | None) -> UpdateEvent | None:
        """The event of a change; None if it does not fit the message."""
        message = self._message
        kind, _, step = change.type.rpartition("_")
        at = change.content_index
        if message is None or kind not in _KINDS:
            return None
        if usage is not None and usage != self._usage:
            cost = usage.cost
            message.set_usage(usage)
            usage.cost = cost  # the server knows what it pays
            self._usage = usage
        if step == "start":
            return self._start_block(message, kind, change) if at == len(self._kinds) else None
        if not 0 <= at < len(self._kinds) or self._kinds[at] != kind:
            return None
        match change.type:
            case "text_delta":
                return message.text(at, change.delta)
            case "thinking_delta":
                return message.thinking(at, change.delta)
            case "toolcall_delta":
                return message.tool_call(at, change.delta)
            case "text_end" | "thinking_end" | "toolcall_end":
                return _end_block(message, change)
            case _:
                return None

    def _start_block(self, message: MessageBuilder, kind: str, change: _Change) -> UpdateEvent:
        self._kinds.append(kind)
        match kind:
            case "text":
                return message.text_start()
            case "thinking":
                return message.thinking_start()
            case _:
                return message.tool_call_start(change.id, change.tool_name)


_KINDS = frozenset({"text", "thinking", "toolcall"})


def _end_block(message: MessageBuilder, change: _Change) -> UpdateEvent:
    """Close a block; what the server says of it stands over what was collected."""
    at, call = change.content_index, change.tool_call
    if change.type != "toolcall_end":
        if change.content is not None:
            message.replace_text(at, change.content)
    elif call is not None:
        fields = {field: getattr(call, field) for field in call.__struct_fields__}
        message.correct_tool_call(at, fields)
    return message.end(at)


def _read_odd_record(line: bytes) -> _Record | UnknownEvent | Response | None:
    """A record of an unknown kind or shape, with half a surrogate pair, or nested very deeply."""
    unknown = _read_unknown(line)
    if unknown is None:
        return None
    if unknown.type == "response":
        return _read_odd_response(unknown.raw)
    try:
        return from_json_value(unknown.raw, _Record)
    except (ValueError, RecursionError):
        return unknown


def _read_unknown(line: bytes) -> UnknownEvent | None:
    """Any record as it is; None for a line that is none."""
    try:
        value = parse_deep_json(line.decode("utf-8", "replace"))
    except ValueError:
        return None
    record = cast("JsonObject", value) if isinstance(value, dict) else {}
    kind = record.get("type")
    return UnknownEvent(kind, record) if isinstance(kind, str) else None


def _read_odd_response(record: JsonObject) -> Response:
    response = Response(
        str(record.get("command")),
        record.get("success") is True,
        record.get("id"),
        error=str(record.get("error", "")),
    )
    if "data" in record:
        try:
            response.data = Raw(encode(record["data"]))
        except RecursionError:
            response.nested = record["data"]
    return response
