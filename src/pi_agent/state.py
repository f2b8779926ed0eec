"""What an agent is and knows, kept up to date by the events of its runs.

Source: agent spec, section 8.2.
"""

from __future__ import annotations

from collections.abc import Sequence

from pi_agent.declarations import model_messages
from pi_agent.events import (
    AgentEndEvent,
    AgentEvent,
    MessageEndEvent,
    MessageStartEvent,
    MessageUpdateEvent,
    ToolExecutionEndEvent,
    ToolExecutionStartEvent,
    TurnEndEvent,
)
from pi_agent.types import AgentMessage, AgentTool
from pi_ai import Model, ThinkingLevel
from pi_ai.transcript import get_current_system_prompt

__all__ = ("AgentState",)


class AgentState:
    """What an agent is and knows. Model, level and tools take effect with the next run.

    `is_streaming` is True until the listeners of a run's last event are done. `error_message` is
    that of the latest response, `error` what a hook, a listener or a stream function raised that
    ended the latest run; both are cleared when a run starts.
    """

    def __init__(
        self,
        *,
        messages: Sequence[AgentMessage],
        tools: Sequence[AgentTool],
        model: Model,
        thinking_level: ThinkingLevel,
    ) -> None:
        self._messages = list(messages)
        self._tools = list(tools)
        self.model = model
        self.thinking_level: ThinkingLevel = thinking_level
        self.is_streaming = False
        self.pending_tool_calls: frozenset[str] = frozenset()
        self.error_message: str | None = None
        self.error: Exception | None = None
        self._streaming: MessageStartEvent | MessageUpdateEvent | None = None

    def __repr__(self) -> str:
        return f"<AgentState {self.model.id}, {len(self._messages)} messages>"

    @property
    def messages(self) -> list[AgentMessage]:
        """The transcript itself; what is assigned is copied."""
        return self._messages

    @messages.setter
    def messages(self, messages: Sequence[AgentMessage]) -> None:
        self._messages = list(messages)

    @property
    def tools(self) -> list[AgentTool]:
        """The tools themselves; what is assigned is copied."""
        return self._tools

    @tools.setter
    def tools(self, tools: Sequence[AgentTool]) -> None:
        self._tools = list(tools)

    @property
    def system_prompt(self) -> str:
        """The prompt in force, from the transcript's system messages."""
        return get_current_system_prompt(model_messages(self._messages))

    @property
    def streaming_message(self) -> AgentMessage | None:
        """The message between its `message_start` and `message_end`."""
        return None if self._streaming is None else self._streaming.message

    def apply(self, event: AgentEvent) -> None:
        """Bring the state up to an event; done before listeners see it."""
        match event:
            case MessageUpdateEvent() | MessageStartEvent():
                self._streaming = event
            case MessageEndEvent():
                self._streaming = None
                self._messages.append(event.message)
            case ToolExecutionStartEvent():
                self.pending_tool_calls |= {event.tool_call_id}
            case ToolExecutionEndEvent():
                self.pending_tool_calls -= {event.tool_call_id}
            case TurnEndEvent():
                self.error_message = event.message.error_message or self.error_message
            case AgentEndEvent():
                self._streaming = None
            case _:
                pass

    def settle(self) -> None:
        """Nothing runs any more."""
        self.is_streaming = False
        self.pending_tool_calls = frozenset()
        self._streaming = None
