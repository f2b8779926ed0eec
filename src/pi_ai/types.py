"""The vocabulary: content blocks, messages, usage, tools, models and request options.

Plain data. Every struct encodes to, and decodes from, upstream's JSON (`pi_ai.wire`): attributes
are snake_case, keys are camelCase. Source: ai-core spec, section 2.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ClassVar, Literal, TypeAlias, TypedDict

import msgspec
from msgspec import UNSET, Struct, UnsetType, field

from pi_ai.abort import AbortSignal

__all__ = (
    "THINKING_LEVELS",
    "Api",
    "AssistantContent",
    "AssistantMessage",
    "CacheRetention",
    "Compat",
    "Context",
    "Cost",
    "CostTier",
    "DeferredHandle",
    "DeferredWindow",
    "Diagnostic",
    "Identity",
    "ImageContent",
    "InputLimits",
    "JsonObject",
    "JsonValue",
    "Message",
    "Model",
    "ModelCost",
    "ProviderResponse",
    "Reasoning",
    "StopReason",
    "StreamOptions",
    "SystemMessage",
    "TextContent",
    "ThinkingBudgets",
    "ThinkingContent",
    "ThinkingLevel",
    "Tool",
    "ToolCall",
    "ToolReference",
    "ToolResultMessage",
    "Usage",
    "UserContent",
    "UserMessage",
    "Wire",
    "now_ms",
)

JsonValue: TypeAlias = Any
"""A JSON value of unknown shape: None, bool, int, float, str, list or dict."""

JsonObject: TypeAlias = dict[str, Any]
"""A JSON object of unknown shape."""

Api: TypeAlias = str
"""A wire format, such as `anthropic-messages` or `openai-completions`."""

ThinkingLevel: TypeAlias = Literal["off", "minimal", "low", "medium", "high", "xhigh", "max"]
Reasoning: TypeAlias = Literal["minimal", "low", "medium", "high", "xhigh", "max"]
CacheRetention: TypeAlias = Literal["none", "short", "long"]
StopReason: TypeAlias = Literal[
    "pending", "stop", "length", "toolUse", "error", "aborted", "deferred"
]

THINKING_LEVELS: tuple[ThinkingLevel, ...] = (
    "off",
    "minimal",
    "low",
    "medium",
    "high",
    "xhigh",
    "max",
)
"""Every thinking level, weakest first."""


def now_ms() -> int:
    """The wall clock in whole milliseconds since 1970, as every message timestamp is."""
    return time.time_ns() // 1_000_000


class Wire(Struct, rename="camel", omit_defaults=True):
    """Base of everything that is stored or sent: camelCase keys, absent keys for defaults.

    With `gc=False` the garbage collector passes over a struct, which makes long transcripts
    cheaper to hold. It is for structs that cannot be part of a cycle: texts, numbers and JSON.
    """


# --- content blocks ---------------------------------------------------------------------------


class TextContent(Wire, tag_field="type", tag="text", gc=False):
    """Text. `text_signature` is an opaque provider value that must survive a replay."""

    type: ClassVar[Literal["text"]] = "text"
    text: str
    text_signature: str | None = None


class ThinkingContent(Wire, tag_field="type", tag="thinking", gc=False):
    """Reasoning. `redacted`: the text is withheld, its encrypted form is the signature."""

    type: ClassVar[Literal["thinking"]] = "thinking"
    thinking: str
    thinking_signature: str | None = None
    redacted: bool = False


class ImageContent(Wire, tag_field="type", tag="image", gc=False):
    """An image: base64 `data` without a data-URL prefix, and its MIME type."""

    type: ClassVar[Literal["image"]] = "image"
    data: str
    mime_type: str


class ToolCall(Wire, tag_field="type", tag="toolCall", gc=False):
    """A request of the model to run a tool.

    `arguments_error` is set when the argument text was not a JSON object; `arguments` is then {}.
    """

    type: ClassVar[Literal["toolCall"]] = "toolCall"
    id: str
    name: str
    arguments: JsonObject = field(default_factory=lambda: {})
    thought_signature: str | None = None
    namespace: str | None = None
    arguments_error: str | None = None


UserContent: TypeAlias = TextContent | ImageContent
AssistantContent: TypeAlias = TextContent | ThinkingContent | ToolCall


# --- tools ------------------------------------------------------------------------------------


class Tool(Wire):
    """A tool as it is declared to a model. `parameters` is a JSON Schema object."""

    name: str
    description: str
    parameters: JsonObject
    constrained_sampling: JsonObject | Literal[False] | None = None


class ToolReference(Wire):
    """Names a tool that a system message takes away."""

    name: str


# --- usage ------------------------------------------------------------------------------------


class Cost(Wire, gc=False):
    """Prices in USD. `total_from_provider`: the total is what the provider billed.

    `unpriced`: tokens were counted for which no price is listed, so that 0 may be too little. A
    field of our own, which upstream's programs pass over.
    """

    input: float = field(default_factory=int)
    output: float = field(default_factory=int)
    cache_read: float = field(default_factory=int)
    cache_write: float = field(default_factory=int)
    total: float = field(default_factory=int)
    total_from_provider: bool | None = None
    unpriced: bool | None = None


class Usage(Wire, gc=False):
    """Token counts. `input` excludes cached tokens.

    `cache_write_1h` is part of `cache_write`, `reasoning` is part of `output`.
    """

    input: int = field(default_factory=int)
    output: int = field(default_factory=int)
    cache_read: int = field(default_factory=int)
    cache_write: int = field(default_factory=int)
    cache_write_1h: int | None = field(default=None, name="cacheWrite1h")
    reasoning: int | None = None
    total_tokens: int = field(default_factory=int)
    cost: Cost = field(default_factory=Cost)


# --- messages ---------------------------------------------------------------------------------


class Diagnostic(Wire):
    """Something worth knowing about how a message came about; never changes what happens."""

    kind: str = field(name="type")
    timestamp: int
    error: JsonObject | None = None
    details: JsonObject | None = None


class DeferredHandle(Wire):
    """Where the answer of a deferred request can be fetched later."""

    provider: str
    model_id: str
    api: str
    id: str
    expires_at: int | None = None
    poll_after_ms: int | None = None
    data: JsonValue = None


class SystemMessage(Wire, tag_field="role", tag="system"):
    """Prompt text and tool declarations, in force from here on.

    `sections` are named parts of the prompt; a later message replaces them by name, None removes.
    """

    role: ClassVar[Literal["system"]] = "system"
    content: str | list[TextContent]
    sections: dict[str, str | None] | None = None
    tools_added: list[Tool] | None = None
    tools_removed: list[ToolReference] | None = None
    timestamp: int = field(default_factory=now_ms)


class UserMessage(Wire, tag_field="role", tag="user", gc=False):
    """What the user said: text, or text and image blocks."""

    role: ClassVar[Literal["user"]] = "user"
    content: str | list[UserContent]
    timestamp: int = field(default_factory=now_ms)


class AssistantMessage(Wire, tag_field="role", tag="assistant", gc=False):
    """One response of a model.

    `api`, `provider` and `model` are what was asked for; `response_model` is what the server says
    it used. `error_message` comes with stop reasons `error` and `aborted`. `timestamp` is the
    start of the request, `duration_ms` its length.
    """

    role: ClassVar[Literal["assistant"]] = "assistant"
    content: list[AssistantContent] = field(default_factory=lambda: [])
    api: str = field(default_factory=str)
    provider: str = field(default_factory=str)
    model: str = field(default_factory=str)
    response_model: str | None = None
    response_id: str | None = None
    provider_thinking_level: str | None = None
    thinking_level: str | None = None
    diagnostics: list[Diagnostic] | None = None
    usage: Usage = field(default_factory=Usage)
    stop_reason: StopReason = field(default_factory=lambda: "stop")
    deferred: DeferredHandle | None = None
    error_message: str | None = None
    raw_stop_reason: str | None = None
    end_turn: bool | None = None
    timestamp: int = field(default_factory=now_ms)
    duration_ms: int | None = None

    @property
    def text(self) -> str:
        """The text blocks, joined without separator."""
        return "".join(block.text for block in self.content if isinstance(block, TextContent))

    @property
    def tool_calls(self) -> list[ToolCall]:
        """The tool calls, in order."""
        return [block for block in self.content if isinstance(block, ToolCall)]


class ToolResultMessage(Wire, tag_field="role", tag="toolResult"):
    """What a tool call gave. `details` is for programs and is never sent to a model."""

    role: ClassVar[Literal["toolResult"]] = "toolResult"
    tool_call_id: str
    tool_name: str
    content: list[UserContent]
    details: JsonValue | UnsetType = UNSET
    usage: Usage | None = None
    nested_calls: JsonObject | None = None
    is_error: bool = field(default_factory=bool)
    duration_ms: int | None = None
    timestamp: int = field(default_factory=now_ms)


Message: TypeAlias = SystemMessage | UserMessage | AssistantMessage | ToolResultMessage
"""Anything a transcript for a model may hold."""


class Context(Wire):
    """What a request is made from: a prompt, the conversation, the tools.

    A transcript may also carry prompt and tools inside its own system messages.
    """

    messages: list[Message] = field(default_factory=lambda: [])
    system_prompt: str | None = None
    tools: list[Tool] | None = None


# --- models -----------------------------------------------------------------------------------


class CostTier(Wire):
    """Prices for requests whose prompt is longer than `input_tokens_above` tokens."""

    input_tokens_above: int
    input: float
    output: float
    cache_read: float
    cache_write: float


class ModelCost(Wire):
    """Prices in USD per million tokens."""

    input: float = field(default_factory=int)
    output: float = field(default_factory=int)
    cache_read: float = field(default_factory=int)
    cache_write: float = field(default_factory=int)
    tiers: list[CostTier] | None = None


class InputLimits(Wire):
    """What a request may hold at most; `images` as ai-core 2.6 has it."""

    max_request_bytes: int | None = None
    images: JsonObject | None = None


Compat: TypeAlias = dict[str, Any]
"""Facts about a server that differ from its wire format's norm (ai-core 2.7); keys in camelCase."""


class Model(Struct, rename="camel", omit_defaults=True, kw_only=True, frozen=True):
    """A model and where it is served. `context_window` 0 or less means unknown.

    Frozen; `msgspec.structs.replace(model, ...)` gives one that differs.
    """

    id: str
    name: str = ""
    api: Api
    provider: str
    base_url: str = field(default_factory=str)
    reasoning: bool = field(default_factory=bool)
    input: list[Literal["text", "image"]] = field(default_factory=lambda: ["text"])
    cost: ModelCost = field(default_factory=ModelCost)
    context_window: int = field(default_factory=int)
    max_tokens: int = field(default_factory=int)
    thinking_level_map: dict[str, str | None] | None = None
    input_limits: InputLimits | None = None
    prompt_cache: dict[str, float] | None = None
    sampling_params: JsonObject | None = None
    sampling_params_by_thinking_level: dict[str, JsonObject] | None = None
    headers: dict[str, str] | None = None
    compat: Compat | None = None
    type: str | None = None

    def __post_init__(self) -> None:
        if not self.name:
            msgspec.structs.force_setattr(self, "name", self.id)

    def __repr__(self) -> str:
        return f"<Model {self.provider}/{self.id} ({self.api})>"


# --- request options --------------------------------------------------------------------------


class ThinkingBudgets(TypedDict, total=False):
    """Thinking tokens per level, for models that think by budget."""

    minimal: int
    low: int
    medium: int
    high: int


class Identity(Struct, frozen=True, kw_only=True):
    """The application in whose name requests are made; some providers list it.

    `user_agent` replaces the library's own. `name` and `url` go together.
    """

    user_agent: str | None = None
    name: str | None = None
    url: str | None = None
    categories: tuple[str, ...] = ()


class ProviderResponse(Struct, frozen=True):
    """What `on_response` sees: the status and the headers (lower-case names)."""

    status: int
    headers: dict[str, str]


class DeferredWindow(TypedDict, total=False):
    """How long a deferred answer may take."""

    window: Literal["15m", "1h", "24h"]


class StreamOptions(TypedDict, total=False):
    """The keyword options of `stream` and `complete`. Source: ai-core spec, section 7."""

    signal: AbortSignal | None
    """Stops the request when set."""
    api_key: str | None
    """Wins over stored credentials and the environment."""
    env: Mapping[str, str] | None
    """Provider settings that win over the process environment; empty values are ignored."""
    headers: Mapping[str, str | None] | None
    """Extra request headers; they win over all others, None removes one."""
    transform_headers: (
        Callable[[dict[str, str]], Mapping[str, str] | Awaitable[Mapping[str, str]]] | None
    )
    """Sees the merged headers last, credentials included, and gives those to send."""
    identity: Identity | None
    """The application to name to the provider; none by default."""
    reasoning: Reasoning | None
    """How hard to think; None is off."""
    thinking_budgets: ThinkingBudgets | None
    max_tokens: int | None
    """Output limit in tokens; the model's own by default."""
    temperature: float | None
    tool_choice: Literal["auto", "none"] | None
    sampling_params: JsonObject | None
    """Merged into the body last; OpenAI-compatible servers only."""
    cache_retention: CacheRetention | None
    """How long the provider may keep the prompt cached: `short` by default."""
    session_id: str | None
    """Ties the requests of one conversation together for caching and routing."""
    metadata: JsonObject | None
    deferred: bool | DeferredWindow | None
    """Ask for an answer later: the message stops with `deferred` and holds a handle."""
    timeout_ms: float | None
    """Until the response headers; 600,000 by default, 0 or None is no limit."""
    idle_timeout_ms: float | None
    """Between two pieces of the body; 300,000 by default, 0 or None is no limit."""
    max_retries: int | None
    """Further attempts before a response is accepted; 0 by default."""
    max_retry_delay_ms: float | None
    """Longest wait a server may ask for; 60,000 by default, 0 is no limit."""
    transport: Literal["sse", "websocket", "websocket-cached", "auto"] | None
    """How to reach a server that also speaks WebSocket: `auto` by default; others ignore it."""
    websocket_connect_timeout_ms: float | None
    """Until a WebSocket is open; 15,000 by default, 0 is no limit."""
    on_payload: Callable[[JsonObject, Model], Any | Awaitable[Any]] | None
    """Sees the body before it is sent; what it returns, if not None, is sent instead."""
    on_response: Callable[[ProviderResponse, Model], object | Awaitable[object]] | None
    """Sees status and headers of every response, before its body is read."""
    on_provider_stream_event: Callable[[Any, Model], object | Awaitable[object]] | None
    """Sees each decoded provider event before it is processed."""
