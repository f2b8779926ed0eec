"""What the loop works with: tools, their results and context, and the payloads of its hooks.

Source: agent spec, section 2; tools spec, section 2.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from msgspec import UNSET, UnsetType

from pi_ai import (
    AbortSignal,
    ImageContent,
    JsonObject,
    JsonValue,
    Model,
    PiError,
    TextContent,
    ThinkingLevel,
    ToolCall,
    Usage,
    Wire,
)

__all__ = (
    "AgentTool",
    "ExecutionMode",
    "QueueMode",
    "ToolContext",
    "ToolError",
    "ToolResult",
)

QueueMode: TypeAlias = Literal["all", "one-at-a-time"]
ExecutionMode: TypeAlias = Literal["sequential", "parallel"]


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


@dataclass(kw_only=True)
class ToolContext:
    """What a tool may know about its call. A parameter of this type is filled in by the loop.

    `signal` is set when the call should stop. `on_update` reports a partial result; it may be
    called from any thread and is ignored once the tool has finished. `host_cwd` is the directory
    the host works in, if it named one.
    """

    tool_call_id: str
    signal: AbortSignal
    on_update: Callable[[ToolResult], None] = field(default=_ignore, repr=False)
    host_cwd: Path | None = None
    model: Model | None = None
    thinking_level: ThinkingLevel | None = None
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

    def __post_init__(self) -> None:
        self.label = self.label or self.name

    def __repr__(self) -> str:
        return f"<AgentTool {self.name}>"
