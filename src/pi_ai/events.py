"""The events of one streamed response, and `Snapshot`, the message as it was at an event.

Source: ai-core spec, section 6.1.
"""

from __future__ import annotations

from typing import ClassVar, Literal, Protocol, TypeAlias

from msgspec import Struct, field

from pi_ai.types import AssistantMessage, ToolCall, Usage

__all__ = (
    "AssistantEvent",
    "DoneEvent",
    "DoneReason",
    "ErrorEvent",
    "ErrorReason",
    "MessageHistory",
    "Snapshot",
    "StartEvent",
    "TextDeltaEvent",
    "TextEndEvent",
    "TextStartEvent",
    "ThinkingDeltaEvent",
    "ThinkingEndEvent",
    "ThinkingStartEvent",
    "ToolCallDeltaEvent",
    "ToolCallEndEvent",
    "ToolCallStartEvent",
    "UpdateEvent",
)

DoneReason: TypeAlias = Literal["stop", "length", "toolUse", "deferred"]
ErrorReason: TypeAlias = Literal["error", "aborted"]


class MessageHistory(Protocol):
    """Something that can rebuild a growing message as it was at an earlier position."""

    def message_at(self, position: int, /) -> AssistantMessage:
        """A new message object, equal to the message after its first `position` changes."""
        ...

    def usage_at(self, position: int, /) -> Usage:
        """The usage of that message, without building the rest."""
        ...


class Snapshot:
    """A moment of a growing message: cheap to hold, built when it is looked at."""

    # No struct: msgspec would write its fields, and a snapshot stands for its message on the wire.
    __slots__ = ("history", "position")

    def __init__(self, history: MessageHistory, position: int) -> None:
        self.history = history
        self.position = position

    def message(self) -> AssistantMessage:
        """The message at this moment, a new object at every call."""
        return self.history.message_at(self.position)

    def usage(self) -> Usage:
        """The usage at this moment; cheaper than `message().usage`."""
        return self.history.usage_at(self.position)

    def __repr__(self) -> str:
        return f"<Snapshot {self.position}>"

    @staticmethod
    def of(message: AssistantMessage) -> Snapshot:
        """A snapshot of a message that no longer grows."""
        return Snapshot(_Fixed(message), 0)


class _Fixed(Struct, frozen=True):
    message: AssistantMessage

    def message_at(self, _position: int, /) -> AssistantMessage:
        return self.message

    def usage_at(self, _position: int, /) -> Usage:
        return self.message.usage


class UpdateEvent(Struct, frozen=True, gc=False, rename="camel", tag_field="type"):
    """Base of the events before the last. `partial` is the message at this very event."""

    snapshot: Snapshot = field(name="partial")

    @property
    def partial(self) -> AssistantMessage:
        """The message at this event, a new object at every access."""
        return self.snapshot.message()


class StartEvent(UpdateEvent, frozen=True, tag="start"):
    """The server accepted the request and begins to answer."""

    type: ClassVar[Literal["start"]] = "start"


class TextStartEvent(UpdateEvent, frozen=True, tag="text_start"):
    """An empty text block was added at `content_index`."""

    type: ClassVar[Literal["text_start"]] = "text_start"
    content_index: int


class TextDeltaEvent(UpdateEvent, frozen=True, tag="text_delta"):
    """`delta` was appended to the text block at `content_index`."""

    type: ClassVar[Literal["text_delta"]] = "text_delta"
    content_index: int
    delta: str


class TextEndEvent(UpdateEvent, frozen=True, tag="text_end"):
    """The text block at `content_index` is complete: `content` is all of it."""

    type: ClassVar[Literal["text_end"]] = "text_end"
    content_index: int
    content: str


class ThinkingStartEvent(UpdateEvent, frozen=True, tag="thinking_start"):
    """A thinking block was added at `content_index`."""

    type: ClassVar[Literal["thinking_start"]] = "thinking_start"
    content_index: int


class ThinkingDeltaEvent(UpdateEvent, frozen=True, tag="thinking_delta"):
    """`delta` was appended to the thinking block at `content_index`."""

    type: ClassVar[Literal["thinking_delta"]] = "thinking_delta"
    content_index: int
    delta: str


class ThinkingEndEvent(UpdateEvent, frozen=True, tag="thinking_end"):
    """The thinking block at `content_index` is complete: `content` is all of it."""

    type: ClassVar[Literal["thinking_end"]] = "thinking_end"
    content_index: int
    content: str


class ToolCallStartEvent(UpdateEvent, frozen=True, tag="toolcall_start"):
    """A tool call was added at `content_index`."""

    type: ClassVar[Literal["toolcall_start"]] = "toolcall_start"
    content_index: int


class ToolCallDeltaEvent(UpdateEvent, frozen=True, tag="toolcall_delta"):
    """`delta`, a piece of JSON text, was appended to the arguments at `content_index`."""

    type: ClassVar[Literal["toolcall_delta"]] = "toolcall_delta"
    content_index: int
    delta: str


class ToolCallEndEvent(UpdateEvent, frozen=True, tag="toolcall_end"):
    """The tool call at `content_index` is complete; it is not checked against a schema."""

    type: ClassVar[Literal["toolcall_end"]] = "toolcall_end"
    content_index: int
    tool_call: ToolCall


class DoneEvent(Struct, frozen=True, rename="camel", tag_field="type", tag="done"):
    """The response succeeded; nothing follows."""

    type: ClassVar[Literal["done"]] = "done"
    reason: DoneReason
    message: AssistantMessage


class ErrorEvent(Struct, frozen=True, rename="camel", tag_field="type", tag="error"):
    """The response failed or was aborted; `error` keeps what had arrived. Nothing follows."""

    type: ClassVar[Literal["error"]] = "error"
    reason: ErrorReason
    error: AssistantMessage


AssistantEvent: TypeAlias = (
    StartEvent
    | TextStartEvent
    | TextDeltaEvent
    | TextEndEvent
    | ThinkingStartEvent
    | ThinkingDeltaEvent
    | ThinkingEndEvent
    | ToolCallStartEvent
    | ToolCallDeltaEvent
    | ToolCallEndEvent
    | DoneEvent
    | ErrorEvent
)
