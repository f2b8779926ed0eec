"""What happens in a run, as events.

`agent_start … agent_end` is one run, `turn_start … turn_end` one response with its tool calls.
Source: agent spec, section 2.6.
"""

from __future__ import annotations

from typing import ClassVar, Literal, TypeAlias

from msgspec import UNSET, Struct, UnsetType, field

from pi_agent.types import AgentMessage, ToolResult
from pi_ai import AssistantMessage, JsonObject, ToolResultMessage, UpdateEvent

__all__ = (
    "AgentEndEvent",
    "AgentEvent",
    "AgentStartEvent",
    "MessageEndEvent",
    "MessageStartEvent",
    "MessageUpdateEvent",
    "ToolExecutionEndEvent",
    "ToolExecutionStartEvent",
    "ToolExecutionUpdateEvent",
    "TurnEndEvent",
    "TurnStartEvent",
)


class _Event(Struct, frozen=True, rename="camel", tag_field="type", omit_defaults=True):
    """Base of every event."""


class AgentStartEvent(_Event, frozen=True, tag="agent_start"):
    """A run begins."""

    type: ClassVar[Literal["agent_start"]] = "agent_start"


class AgentEndEvent(_Event, frozen=True, tag="agent_end"):
    """A run ends; `messages` are those it added to the transcript, in order."""

    type: ClassVar[Literal["agent_end"]] = "agent_end"
    messages: list[AgentMessage]


class TurnStartEvent(_Event, frozen=True, tag="turn_start"):
    """A turn begins."""

    type: ClassVar[Literal["turn_start"]] = "turn_start"


class TurnEndEvent(_Event, frozen=True, tag="turn_end"):
    """A turn ends: the response, and the results of its calls in the order of the calls."""

    type: ClassVar[Literal["turn_end"]] = "turn_end"
    message: AssistantMessage
    tool_results: list[ToolResultMessage]


class MessageStartEvent(_Event, frozen=True, tag="message_start"):
    """A message of any role begins; of an assistant's, `message` is what is there so far."""

    type: ClassVar[Literal["message_start"]] = "message_start"
    message: AgentMessage


class MessageUpdateEvent(_Event, frozen=True, tag="message_update"):
    """The assistant's message grew."""

    type: ClassVar[Literal["message_update"]] = "message_update"
    assistant_message_event: UpdateEvent

    @property
    def message(self) -> AssistantMessage:
        """The message at this event, a new object at every access."""
        return self.assistant_message_event.partial


class MessageEndEvent(_Event, frozen=True, tag="message_end"):
    """A message is complete and in the transcript."""

    type: ClassVar[Literal["message_end"]] = "message_end"
    message: AgentMessage


class ToolExecutionStartEvent(_Event, frozen=True, tag="tool_execution_start"):
    """A call is taken up; `args` are the model's raw arguments."""

    type: ClassVar[Literal["tool_execution_start"]] = "tool_execution_start"
    tool_call_id: str
    tool_name: str
    args: JsonObject


class ToolExecutionUpdateEvent(_Event, frozen=True, tag="tool_execution_update"):
    """A tool reported a partial result."""

    type: ClassVar[Literal["tool_execution_update"]] = "tool_execution_update"
    tool_call_id: str
    tool_name: str
    args: JsonObject
    partial_result: ToolResult


class ToolExecutionEndEvent(_Event, frozen=True, dict=True, tag="tool_execution_end"):
    """A call has its result. `duration_ms` is that of the tool alone, absent if it never ran."""

    type: ClassVar[Literal["tool_execution_end"]] = "tool_execution_end"
    tool_call_id: str
    tool_name: str
    result: ToolResult
    is_error: bool = field(default_factory=bool)
    duration_ms: int | UnsetType = UNSET

    @property
    def error(self) -> Exception | None:
        """What the tool or one of its hooks raised, with the traceback; never in the JSON."""
        return vars(self).get("error")

    def with_error(self, error: Exception | None) -> ToolExecutionEndEvent:
        """The event itself, for the loop, which sets `error` once."""
        if error is not None:
            vars(self)["error"] = error
        return self


AgentEvent: TypeAlias = (
    AgentStartEvent
    | AgentEndEvent
    | TurnStartEvent
    | TurnEndEvent
    | MessageStartEvent
    | MessageUpdateEvent
    | MessageEndEvent
    | ToolExecutionStartEvent
    | ToolExecutionUpdateEvent
    | ToolExecutionEndEvent
)
