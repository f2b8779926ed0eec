"""What the parts of one run share: the transcript as it grows, the settings, the way out."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar, cast

from pi_agent.events import AgentEvent, MessageEndEvent, MessageStartEvent
from pi_agent.types import (
    AgentMessage,
    AgentTool,
    ConvertToLlm,
    ExecutionMode,
    Hooks,
    Prepared,
    RunContext,
    StreamFunction,
    ToolContext,
    ToolResult,
)
from pi_ai import AbortSignal, AssistantMessage, Model, StreamOptions, ThinkingLevel, ToolCall

__all__ = ("Emit", "LoopConfig", "MakeToolContext", "Run", "resolve")

T = TypeVar("T")

Emit = Callable[[AgentEvent], Awaitable[None]]
"""Delivers an event; returns when every listener is done with it."""

MakeToolContext = Callable[[ToolCall, AbortSignal, Callable[[ToolResult], None]], ToolContext]
"""Makes the context of one call: its signal and where its partial results go."""


async def resolve(value: T | Awaitable[T]) -> T:
    """The value of a hook that may be sync or async."""
    return await value if inspect.isawaitable(value) else cast("T", value)


async def _none() -> Sequence[AgentMessage]:
    return ()


def _plain_tool_context(
    call: ToolCall, signal: AbortSignal, on_update: Callable[[ToolResult], None]
) -> ToolContext:
    return ToolContext(tool_call_id=call.id, signal=signal, on_update=on_update)


@dataclass(kw_only=True)
class LoopConfig:
    """How a run behaves; read when it starts.

    `stream_options` are passed to every request. `tool_grace_seconds` is how long a tool may
    ignore an abort before it is cancelled.
    """

    model: Model
    stream: StreamFunction
    convert_to_llm: ConvertToLlm
    thinking_level: ThinkingLevel = "off"
    stream_options: StreamOptions = field(default_factory=lambda: StreamOptions())
    hooks: Hooks = field(default_factory=Hooks)
    tool_execution: ExecutionMode = "parallel"
    tool_grace_seconds: float = 2.0
    make_tool_context: MakeToolContext = _plain_tool_context
    get_steering_messages: Callable[[], Awaitable[Sequence[AgentMessage]]] = _none
    get_follow_up_messages: Callable[[], Awaitable[Sequence[AgentMessage]]] = _none


@dataclass(kw_only=True)
class Run:
    """One run in progress.

    `messages` is the transcript the next request is made from, `new_messages` what this run
    added. `open_message` is a response whose `message_start` is out and whose end is not.
    """

    config: LoopConfig
    signal: AbortSignal
    emit: Emit
    messages: list[AgentMessage]
    tools: Sequence[AgentTool]
    model: Model
    thinking_level: ThinkingLevel
    new_messages: list[AgentMessage] = field(default_factory=list[AgentMessage])
    open_message: AssistantMessage | None = None
    turn_open: bool = False

    @property
    def context(self) -> RunContext:
        """What hooks see of the run."""
        return RunContext(self.messages, self.tools)

    def apply(self, prepared: Prepared | None) -> None:
        """Take over what a hook changed for the rest of the run."""
        if prepared is None:
            return
        if prepared.context is not None:
            self.messages = list(prepared.context.messages)
            self.tools = prepared.context.tools
        self.model = prepared.model or self.model
        self.thinking_level = prepared.thinking_level or self.thinking_level

    async def add(self, message: AgentMessage) -> None:
        """Commit a message that is complete from the start."""
        await self.emit(MessageStartEvent(message))
        await self.commit(message)

    async def commit(self, message: AgentMessage) -> None:
        """Put a complete message into the transcript and tell so."""
        self.messages.append(message)
        self.new_messages.append(message)
        await self.emit(MessageEndEvent(message))
