"""Runs of an agent, written down in the notation of the agent spec, section 14.

`AS` `AE[roles]` agent_start and agent_end; `TS` `TE(stop reason|results)` the same of a turn;
`U(text)` `SYS` `CUS` `R(id)` start and end of a message that is no assistant's; `A<` … `>reason`
an assistant's, with `T` `K` `C` for a whole text, thinking or tool-call block; `x+id` `x~id`
`x-id` `x-id!` start, update, end, end with an error of a tool; `°` for no duration.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Sequence
from typing import Any, ClassVar, Literal, TypeVar

from pi_agent import (
    Agent,
    AgentEndEvent,
    AgentEvent,
    AgentMessage,
    AgentStartEvent,
    AgentTool,
    MessageEndEvent,
    MessageStartEvent,
    MessageUpdateEvent,
    ToolContext,
    ToolError,
    ToolExecutionEndEvent,
    ToolExecutionStartEvent,
    ToolExecutionUpdateEvent,
    ToolResult,
    TurnEndEvent,
    TurnStartEvent,
)
from pi_ai import (
    AssistantContent,
    AssistantEvent,
    AssistantMessage,
    AssistantStream,
    Context,
    JsonObject,
    Model,
    StreamOptions,
    SystemMessage,
    TextContent,
    ToolCall,
    ToolResultMessage,
    UserMessage,
    Wire,
)
from pi_ai.builder import MessageBuilder
from pi_ai.testing.faux import FauxProvider, FauxStep, faux_message

__all__ = (
    "ECHO_SCHEMA",
    "Bench",
    "CustomMessage",
    "NoticeMessage",
    "call",
    "echo_tool",
    "loose_ends",
    "make_tool",
    "run_quietly",
    "says",
    "scripted",
    "trace_of",
    "user",
    "wait_for_abort",
)

T = TypeVar("T")

ECHO_SCHEMA: JsonObject = {
    "type": "object",
    "properties": {"v": {"type": "string"}},
    "required": ["v"],
    "additionalProperties": False,
}

Execute = Callable[[JsonObject, ToolContext], Awaitable[ToolResult]]


class CustomMessage(Wire, tag_field="role", tag="custom"):
    """A message that only a host knows."""

    role: ClassVar[Literal["custom"]] = "custom"
    content: str


class NoticeMessage(Wire, tag_field="role", tag="notification"):
    """Another one."""

    role: ClassVar[Literal["notification"]] = "notification"
    content: str


# --- making things ----------------------------------------------------------------------------


def user(text: str) -> UserMessage:
    return UserMessage([TextContent(text)])


def call(call_id: str, name: str = "echo", **arguments: object) -> ToolCall:
    return ToolCall(call_id, name, arguments or {"v": "x"})


def says(*content: str | AssistantContent, stop_reason: Any = None) -> AssistantMessage:
    """A scripted answer: texts and blocks."""
    blocks = [TextContent(item) if isinstance(item, str) else item for item in content]
    return faux_message(blocks, stop_reason=stop_reason, error_message=None)


async def _echo(args: JsonObject, _ctx: ToolContext) -> ToolResult:
    return ToolResult([TextContent(f"ok:{args['v']}")], details={"v": args["v"]})


def make_tool(name: str, execute: Execute = _echo, **fields: Any) -> AgentTool:
    fields = {"description": name.capitalize(), "parameters": ECHO_SCHEMA} | fields
    return AgentTool(name=name, execute=execute, **fields)


def echo_tool(**fields: Any) -> AgentTool:
    return make_tool("echo", **fields)


class Bench:
    """An agent on a scripted provider, with its events recorded.

    Every tool of `tools` is there beside `echo`. `on(...)` acts at an event. `ended` says when a
    call has come to its end.
    """

    def __init__(
        self,
        responses: Sequence[FauxStep] = (),
        *,
        tools: Sequence[AgentTool] | None = None,
        executes: dict[str, Execute] | None = None,
        **options: Any,
    ) -> None:
        self.provider = FauxProvider(responses, seed=1)
        self.events: list[AgentEvent | str] = []
        self._actions: list[tuple[Callable[[AgentEvent], bool], Callable[[], Any]]] = []
        self._ended: dict[str, asyncio.Event] = {}
        if tools is None:
            tools = [make_tool(name, execute) for name, execute in (executes or {}).items()]
            if "echo" not in (executes or {}):
                tools.insert(0, echo_tool())
        options = {"model": self.provider.model, "models": self.provider.models} | options
        self.agent = Agent(tools=tools, **options)
        self.agent.subscribe(self._see)

    async def _see(self, event: AgentEvent) -> None:
        self.events.append(event)
        if isinstance(event, ToolExecutionEndEvent):
            self.ended(event.tool_call_id).set()
        for matches, action in self._actions:
            if matches(event):
                done = action()
                if isinstance(done, Awaitable):
                    await done

    def ended(self, call_id: str) -> asyncio.Event:
        return self._ended.setdefault(call_id, asyncio.Event())

    def on(
        self,
        kind: type[AgentEvent],
        action: Callable[[], Any],
        *,
        where: Callable[[Any], bool] = lambda _event: True,
        nth: int = 1,
    ) -> None:
        """Call `action` at the nth event of a kind for which `where` holds."""
        seen = 0

        def matches(event: AgentEvent) -> bool:
            nonlocal seen
            if isinstance(event, kind) and where(event):
                seen += 1
                return seen == nth
            return False

        self._actions.append((matches, action))

    def note(self, text: str) -> None:
        self.events.append(text)

    @property
    def trace(self) -> str:
        return trace_of(self.events)

    @property
    def messages(self) -> list[AgentMessage]:
        return self.agent.state.messages

    @property
    def assistants(self) -> list[AssistantMessage]:
        return [m for m in self.messages if isinstance(m, AssistantMessage)]

    @property
    def results(self) -> list[ToolResultMessage]:
        return [m for m in self.messages if isinstance(m, ToolResultMessage)]

    def of(self, kind: type[T]) -> list[T]:
        """The recorded events of a kind."""
        return [event for event in self.events if isinstance(event, kind)]

    def prompt(self, prompt: Any = "q") -> AssistantMessage | None:
        return run_quietly(self.agent.prompt(prompt))


def scripted(
    play: Callable[[MessageBuilder], AsyncGenerator[Sequence[AssistantEvent], None]],
) -> Callable[[Model, Context, StreamOptions], AssistantStream]:
    """A stream function whose every answer is what `play` makes with a builder."""

    def ask(model: Model, _context: Context, options: StreamOptions) -> AssistantStream:
        builder = MessageBuilder(model)
        return AssistantStream(builder, play(builder), options.get("signal"))

    return ask


async def wait_for_abort(_args: JsonObject, ctx: ToolContext) -> ToolResult:
    """A tool that runs until it is told to stop, and says so."""
    loop = asyncio.get_running_loop()
    aborted = asyncio.Event()
    ctx.signal.add_listener(lambda: loop.call_soon_threadsafe(aborted.set))
    await aborted.wait()
    raise ToolError("Operation aborted")


# --- running ----------------------------------------------------------------------------------


def run_quietly(work: Coroutine[Any, Any, T], seconds: float = 5) -> T:
    """The value of `work`; fails on a hang, a task left behind, or an error nobody looked at."""

    async def main() -> T:
        complaints: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, told: complaints.append(told))
        async with asyncio.timeout(seconds):
            value = await work
        assert await loose_ends() == []
        assert complaints == []
        return value

    return asyncio.run(main(), debug=True)


async def loose_ends() -> list[asyncio.Task[Any]]:
    """Tasks that are still pending although the loop has had time to let them finish."""
    for _ in range(5):
        await asyncio.sleep(0)
    return [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]


# --- writing down -----------------------------------------------------------------------------

_BLOCKS = {"text": "T", "thinking": "K", "toolcall": "C"}
_ROLES = {"system": "s", "user": "u", "assistant": "a", "toolResult": "t", "custom": "c"}


def trace_of(events: Sequence[AgentEvent | str]) -> str:
    """The trace of a run; a start or an end of a message without its other half shows."""
    words: list[str] = []
    updates: list[str] = []
    opened: AgentMessage | None = None
    for event in events:
        match event:
            case MessageStartEvent(message) if isinstance(message, AssistantMessage):
                updates = []
                words.append("A<")
            case MessageUpdateEvent(update):
                updates.append(update.type)
            case MessageEndEvent(message) if isinstance(message, AssistantMessage):
                words[-1] += _inside(updates) + f">{message.stop_reason}"
            case MessageStartEvent(message):
                opened = message
            case MessageEndEvent(message):
                words.append(_message(message) if message is opened else f"?{_message(message)}")
                opened = None
            case _:
                words.append(event if isinstance(event, str) else _word(event))
    return " ".join([*words, *([f"{_message(opened)}?"] if opened is not None else [])])


def _word(event: AgentEvent) -> str:
    match event:
        case AgentStartEvent():
            return "AS"
        case AgentEndEvent(messages):
            return f"AE[{''.join(_ROLES.get(_role(m), '?') for m in messages)}]"
        case TurnStartEvent():
            return "TS"
        case TurnEndEvent(message, results):
            ids = ",".join(f"{r.tool_call_id}{'!' if r.is_error else ''}" for r in results)
            return f"TE({message.stop_reason}{'|' if ids else ''}{ids})"
        case ToolExecutionStartEvent(call_id):
            return f"x+{call_id}"
        case ToolExecutionUpdateEvent(call_id):
            return f"x~{call_id}"
        case ToolExecutionEndEvent(call_id):
            failed = "!" if event.is_error else ""
            return f"x-{call_id}{failed}{'' if isinstance(event.duration_ms, int) else '°'}"
        case _:
            raise AssertionError(event)


def _role(message: AgentMessage) -> str:
    return str(getattr(message, "role", "?"))


def _message(message: AgentMessage) -> str:
    match message:
        case UserMessage(content):
            if isinstance(content, str):
                return f"U({content})"
            return f"U({''.join(b.text for b in content if isinstance(b, TextContent))})"
        case ToolResultMessage(call_id):
            return f"R({call_id})"
        case SystemMessage():
            return "SYS"
        case _:
            return "CUS"


def _inside(updates: Sequence[str]) -> str:
    """Whole blocks as one letter; of others the names of their events."""
    words: list[str] = []
    rest = list(updates)
    while rest:
        kind = rest[0].split("_")[0]
        end = f"{kind}_end"
        length = rest.index(end) + 1 if end in rest else 0
        block = rest[:length]
        if length > 2 and block == [f"{kind}_start", *[f"{kind}_delta"] * (length - 2), end]:
            words.append(_BLOCKS[kind])
            del rest[:length]
        else:
            words.append(rest.pop(0))
    return " ".join(words)
