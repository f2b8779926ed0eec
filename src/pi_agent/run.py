"""What the parts of one run share: the transcript as it grows, the settings, the way out."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar, cast

from msgspec import UNSET, Struct, UnsetType, field

from pi_agent.declarations import MODEL_MESSAGES
from pi_agent.events import AgentEvent, MessageEndEvent, MessageStartEvent
from pi_agent.grace import wait_within_grace
from pi_agent.types import (
    AgentMessage,
    AgentTool,
    ConvertToLlm,
    ExecutionMode,
    Hooks,
    MaybeAwaitable,
    Prepared,
    RunContext,
    StreamFunction,
    ToolContext,
    ToolResult,
)
from pi_ai import (
    AbortSignal,
    AssistantMessage,
    AssistantStream,
    Message,
    Model,
    StreamOptions,
    SystemMessage,
    ThinkingLevel,
    ToolCall,
)

__all__ = (
    "Emit",
    "LoopConfig",
    "MakeToolContext",
    "OpenCall",
    "Run",
    "ToolCallOutcome",
)

T = TypeVar("T")

Emit = Callable[[AgentEvent], Awaitable[None]]
"""Delivers an event; returns when every listener is done with it."""

MakeToolContext = Callable[[ToolCall, AbortSignal, Callable[[ToolResult], None]], ToolContext]
"""Makes the context of one call: its signal and where its partial results go."""


async def _none() -> Sequence[AgentMessage]:
    return ()


def _plain_tool_context(
    call: ToolCall, signal: AbortSignal, on_update: Callable[[ToolResult], None]
) -> ToolContext:
    return ToolContext(tool_call_id=call.id, signal=signal, on_update=on_update)


class LoopConfig(Struct, kw_only=True):
    """How a run behaves; read when it starts.

    `stream_options` are passed to every request. `tool_grace_seconds` is how long a tool or hook
    may ignore an abort before it is cancelled.
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


class ToolCallOutcome(Struct, frozen=True):
    """How a call came out; `duration_ms` is absent if its tool never ran.

    `error` is what the tool or one of its hooks raised.
    """

    result: ToolResult
    is_error: bool
    duration_ms: int | UnsetType = UNSET
    error: Exception | None = None


class OpenCall(Struct):
    """A call of the latest response, and how far it has come.

    `announced`, `ended` and `answered`: its start event, its end event, its result message are
    out, or on their way out.
    """

    message: AssistantMessage
    call: ToolCall
    outcome: ToolCallOutcome | None = None
    announced: bool = False
    ended: bool = False
    answered: bool = False


class Run(Struct, kw_only=True):
    """One run in progress.

    `messages` is the transcript the next request is made from, `new_messages` what this run
    added. Kept beside them, since looking through a long transcript at each request adds up:
    `model_messages`, those a model can read, `system_messages` among them, `checked`, of which the
    first `checked_count` were sent by the latest request, and `declared`, the tools of which it is
    known that the transcript declares them.

    `owed` counts messages at the end of the latest queue poll that are not in there yet. The rest
    is what a run that breaks has to close: `adding`, a complete message, and `open_message`, a
    response, whose `message_start` is out and whose end is not; `calls` of the latest response;
    `turn_open`; `over`, which says that `agent_end` is out. `open_stream` is where the open
    response comes from, and `error` what broke the run.
    """

    config: LoopConfig
    signal: AbortSignal
    emit: Emit
    messages: list[AgentMessage]
    tools: Sequence[AgentTool]
    model: Model
    thinking_level: ThinkingLevel
    model_messages: list[Message] = field(default_factory=list[Message])
    system_messages: list[SystemMessage] = field(default_factory=list[SystemMessage])
    checked: Sequence[Message] = ()
    checked_count: int = 0
    declared: Sequence[AgentTool] | None = None
    owed: int = 0
    new_messages: list[AgentMessage] = field(default_factory=list[AgentMessage])
    adding: AgentMessage | None = None
    open_message: AssistantMessage | None = None
    open_stream: AssistantStream | None = None
    calls: list[OpenCall] = field(default_factory=list[OpenCall])
    turn_open: bool = False
    over: bool = False
    error: Exception | None = None

    def __post_init__(self) -> None:
        for message in self.messages:
            self._sort(message)

    @property
    def context(self) -> RunContext:
        """What hooks see of the run."""
        return RunContext(self.messages, self.tools)

    def _sort(self, message: AgentMessage) -> None:
        if isinstance(message, MODEL_MESSAGES):
            self.model_messages.append(message)
            if isinstance(message, SystemMessage):
                self.system_messages.append(message)

    def apply(self, prepared: Prepared | None) -> None:
        """Take over what a hook changed for the rest of the run."""
        if prepared is None:
            return
        if prepared.context is not None:
            self.messages = list(prepared.context.messages)
            self.tools = prepared.context.tools
            self.declared = None
            self.model_messages, self.system_messages = [], []
            for message in self.messages:
                self._sort(message)
        self.model = prepared.model or self.model
        self.thinking_level = prepared.thinking_level or self.thinking_level

    async def ask(self, answer: MaybeAwaitable[T]) -> T:
        """The answer of a hook, sync or async.

        Raises `AbortError` if the hook had to be cancelled because it ignored an abort, and
        RuntimeError if what it waited for was cancelled.
        """
        if not inspect.isawaitable(answer):
            return answer
        work = cast("Awaitable[T]", answer)
        try:
            return await wait_within_grace(work, self.signal, self.config.tool_grace_seconds)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise RuntimeError("A hook was cancelled") from error

    async def add(self, message: AgentMessage) -> None:
        """Commit a message that is complete from the start."""
        self.adding = message
        await self.emit(MessageStartEvent(message))
        await self.commit(message)

    async def commit(self, message: AgentMessage) -> None:
        """Put a complete message into the transcript and tell so."""
        self.adding = None
        self.messages.append(message)
        self._sort(message)
        self.new_messages.append(message)
        await self.emit(MessageEndEvent(message))
