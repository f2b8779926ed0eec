"""What the loop works with: tools, their results and context, and the payloads of its hooks.

Source: agent spec, section 2; tools spec, section 2.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, TypeVar

from msgspec import UNSET, Struct, UnsetType, field

from pi_ai import (
    AbortSignal,
    AssistantMessage,
    AssistantStream,
    Context,
    ImageContent,
    JsonObject,
    JsonValue,
    Message,
    Model,
    PiError,
    StreamOptions,
    TextContent,
    ThinkingLevel,
    Tool,
    ToolCall,
    ToolResultMessage,
    Usage,
    Wire,
)

__all__ = (
    "CLEAR",
    "AfterToolCall",
    "AgentMessage",
    "AgentTool",
    "BeforeToolCall",
    "Clear",
    "ConvertToLlm",
    "ExecutionMode",
    "Hooks",
    "MaybeAwaitable",
    "NextRequest",
    "Prepared",
    "QueueMode",
    "RunContext",
    "StreamFunction",
    "ToolContext",
    "ToolDecision",
    "ToolError",
    "ToolResult",
    "ToolRevision",
    "Turn",
    "TurnDecision",
)

QueueMode: TypeAlias = Literal["all", "one-at-a-time"]
ExecutionMode: TypeAlias = Literal["sequential", "parallel"]

AgentMessage: TypeAlias = Message | Wire
"""A message of a model's transcript, or a struct with a `role` that only the host knows.

The loop keeps the latter as they are; `convert_to_llm` decides what a model sees of them.
"""

StreamFunction: TypeAlias = Callable[[Model, Context, StreamOptions], AssistantStream]
"""Asks a model: `Models.stream` with its options as one mapping."""

ConvertToLlm: TypeAlias = Callable[
    [Sequence[AgentMessage]], Sequence[Message] | Awaitable[Sequence[Message]]
]
"""Makes a transcript fit for a model. Its output is sent, and never stored."""


class ToolError(PiError):
    """A tool failed; the text is exactly what the model reads."""


class ToolResult(Wire):
    """What a tool gives back.

    `content` is for the model, `details` for programs; `details` is stored with the result
    message. `terminate`: end the run after this batch of calls if all of them ask for it.
    """

    content: list[TextContent | ImageContent]
    details: JsonValue | UnsetType = UNSET
    structured_content: JsonValue | UnsetType = UNSET
    usage: Usage | None = None
    is_error: bool = False
    terminate: bool = False

    @staticmethod
    def text(text: str, *, is_error: bool = False) -> ToolResult:
        """A result of one text block."""
        return ToolResult([TextContent(text)], is_error=is_error)


def _ignore(_update: ToolResult) -> None:
    return None


class ToolContext(Struct, kw_only=True):
    """What a tool may know about its call. A parameter of this type is filled in by the loop.

    `signal` is set when the call should stop. `on_update` reports a partial result; it may be
    called from any thread and is ignored once the tool has finished. `host_cwd` is the directory
    the host works in, if it named one. `messages` is the transcript so far, with the response that
    makes the call at its end, and `tools` are those that can run; both only to be looked at.
    """

    tool_call_id: str
    signal: AbortSignal
    on_update: Callable[[ToolResult], None] = field(default=_ignore)
    host_cwd: Path | None = None
    model: Model | None = None
    thinking_level: ThinkingLevel | None = None
    messages: Sequence[AgentMessage] = ()
    tools: Sequence[AgentTool] = ()
    session_id: str | None = None
    session_file: Path | None = None

    @property
    def cwd(self) -> Path:
        """The directory relative paths start from: the host's, else the process's own."""
        return self.host_cwd or Path.cwd()


@dataclass(kw_only=True)
class AgentTool:
    """A tool the loop can run.

    `parameters` is the JSON Schema the model sees. `execute` gets validated arguments, a private
    copy, and raises to report failure. `prepare_arguments` may reshape raw arguments before they
    are validated. `validate` replaces the check against `parameters`; it returns the arguments to
    execute with and raises `ToolArgumentsError`. `prompt_snippet` and `prompt_guidelines` are
    the tool's part of a system prompt.
    """

    name: str
    description: str
    parameters: JsonObject
    execute: Callable[[JsonObject, ToolContext], Awaitable[ToolResult]]
    label: str = ""
    constrained_sampling: JsonObject | Literal[False] | None = None
    prepare_arguments: Callable[[JsonObject], JsonObject] | None = None
    validate: Callable[[ToolCall], JsonObject] | None = None
    execution_mode: ExecutionMode | None = None
    prompt_snippet: str | None = None
    prompt_guidelines: Sequence[str] = ()
    declaration: Tool | None = dataclasses.field(
        default=None, init=False, repr=False, compare=False
    )
    """What models were told of the tool when an agent was last made with it."""

    def __post_init__(self) -> None:
        self.label = self.label or self.name

    def __repr__(self) -> str:
        return f"<AgentTool {self.name}>"


# --- hooks ------------------------------------------------------------------------------------

T = TypeVar("T")
MaybeAwaitable: TypeAlias = T | Awaitable[T]


class RunContext(Struct, frozen=True):
    """What the loop works on: the transcript so far and the tools that can run."""

    messages: Sequence[AgentMessage]
    tools: Sequence[AgentTool]


class BeforeToolCall(Struct, frozen=True):
    """A call about to run. `args` is the very object the tool will get: changes take effect."""

    assistant_message: AssistantMessage
    tool_call: ToolCall
    args: JsonObject
    context: RunContext


class ToolDecision(Struct, frozen=True, kw_only=True):
    """What `before_tool_call` decides: `block` keeps the tool from running, `reason` tells why.

    `args` replaces the arguments; what does not fit the tool's schema keeps it from running too.
    `terminate` counts a blocked call as one that ends the run.
    """

    block: bool = False
    reason: str | None = None
    args: JsonObject | None = None
    terminate: bool = False


class AfterToolCall(Struct, frozen=True):
    """A call that has run; `error` is what its tool raised, with the traceback."""

    assistant_message: AssistantMessage
    tool_call: ToolCall
    args: JsonObject
    result: ToolResult
    is_error: bool
    context: RunContext
    error: Exception | None = None


class Clear(enum.Enum):
    """The type of `CLEAR`."""

    CLEAR = "clear"


CLEAR = Clear.CLEAR
"""In a `ToolRevision`: take this field away."""


class ToolRevision(Struct, frozen=True, kw_only=True):
    """What `after_tool_call` changes of a result, field by field; None keeps, `CLEAR` clears.

    New `content` without `structured_content` drops the latter.
    """

    content: list[TextContent | ImageContent] | None = None
    details: JsonValue | Clear = None
    structured_content: JsonValue | Clear = None
    is_error: bool | None = None
    usage: Usage | Clear | None = None
    terminate: bool | None = None


class Turn(Struct, frozen=True):
    """A turn that has just ended."""

    message: AssistantMessage
    tool_results: Sequence[ToolResultMessage]
    context: RunContext
    new_messages: Sequence[AgentMessage]


TurnDecision: TypeAlias = Literal["continue", "end"]
"""What `finish_turn` decides; None lets the run take its course."""


class Prepared(Struct, frozen=True, kw_only=True):
    """What changes for the requests that follow; None leaves as it is.

    `messages` are added before the next request.
    """

    context: RunContext | None = None
    messages: Sequence[AgentMessage] | None = None
    model: Model | None = None
    thinking_level: ThinkingLevel | None = None


class NextRequest(Struct, frozen=True):
    """The request about to be made."""

    context: RunContext
    model: Model
    thinking_level: ThinkingLevel


class Hooks(Struct, kw_only=True):
    """Where a host reaches into a run. Every hook may be sync or async.

    One that raises ends the run with an error message, except the tool hooks: there it makes the
    call's result an error. One that still waits some time after an abort is cancelled, which
    counts as raising.

    `before_tool_call` is where calls are allowed (None), changed or denied (`ToolDecision`). It
    may wait for a person: of the calls of one response none runs before all are decided, unless
    tools run in sequence. A call is denied if it raises, and if it takes longer than
    `before_tool_call_timeout` seconds; None waits without limit.
    """

    transform_context: (
        Callable[[Sequence[AgentMessage], AbortSignal], MaybeAwaitable[Sequence[AgentMessage]]]
        | None
    ) = None
    get_api_key: Callable[[str], MaybeAwaitable[str | None]] | None = None
    before_tool_call: (
        Callable[[BeforeToolCall, AbortSignal], MaybeAwaitable[ToolDecision | None]] | None
    ) = None
    before_tool_call_timeout: float | None = None
    after_tool_call: (
        Callable[[AfterToolCall, AbortSignal], MaybeAwaitable[ToolRevision | None]] | None
    ) = None
    finish_turn: Callable[[Turn, AbortSignal], MaybeAwaitable[TurnDecision | None]] | None = None
    prepare_request: (
        Callable[[NextRequest, AbortSignal], MaybeAwaitable[Prepared | None]] | None
    ) = None
    prepare_next_turn: Callable[[Turn, AbortSignal], MaybeAwaitable[Prepared | None]] | None = None
