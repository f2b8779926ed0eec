"""`Agent`: a transcript, its tools and queues, and one run at a time over them.

Source: agent spec, section 8, with section 16.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from pi_agent.declarations import leading_system_message, model_messages
from pi_agent.errors import AgentBusyError, AgentStateError
from pi_agent.events import (
    AgentEndEvent,
    AgentEvent,
    AgentStartEvent,
    MessageEndEvent,
    MessageStartEvent,
    MessageUpdateEvent,
    ToolExecutionEndEvent,
    ToolExecutionStartEvent,
    TurnEndEvent,
)
from pi_agent.failure import end_broken_run
from pi_agent.handoff import Handoff
from pi_agent.loop import run_loop
from pi_agent.queues import MessageQueue
from pi_agent.run import LoopConfig, Run
from pi_agent.types import (
    AgentMessage,
    AgentTool,
    ConvertToLlm,
    ExecutionMode,
    Hooks,
    QueueMode,
    StreamFunction,
    ToolContext,
    ToolResult,
)
from pi_ai import (
    AbortController,
    AbortSignal,
    AssistantMessage,
    AssistantStream,
    Context,
    ImageContent,
    Model,
    Models,
    StreamOptions,
    SystemMessage,
    TextContent,
    ThinkingLevel,
    ToolCall,
    UserMessage,
    stream,
)
from pi_ai.transcript import get_current_system_message, get_current_system_prompt

__all__ = ("Agent", "AgentState", "Listener", "Prompt")

Prompt: TypeAlias = str | AgentMessage | Sequence[AgentMessage]
"""What a run starts from: text, a message, or several."""

Listener: TypeAlias = Callable[[AgentEvent], object | Awaitable[object]]
"""Called with every event, one listener after another; awaited if it returns an awaitable."""

_PROMPT_BUSY = (
    "Agent is already processing a prompt. Use steer() or followUp() to queue messages, "
    "or wait for completion."
)


@dataclass(kw_only=True)
class AgentState:
    """What an agent is and knows. Model, level and tools take effect with the next run."""

    messages: list[AgentMessage]
    tools: list[AgentTool]
    model: Model
    thinking_level: ThinkingLevel
    is_streaming: bool = False
    pending_tool_calls: frozenset[str] = frozenset()
    error_message: str | None = None
    streaming: AgentEvent | None = field(default=None, repr=False)

    @property
    def system_prompt(self) -> str:
        """The prompt in force, from the transcript's system messages."""
        return get_current_system_prompt(model_messages(self.messages))

    @property
    def streaming_message(self) -> AgentMessage | None:
        """The message between its `message_start` and `message_end`."""
        if isinstance(self.streaming, MessageStartEvent | MessageUpdateEvent):
            return self.streaming.message
        return None


class Agent:
    """Answers prompts with a model and tools.

        agent = Agent(model=model, system_prompt="...", tools=[word_count])
        async for event in agent.run("How many words has README.md?"):
            ...

    `models` is the collection that makes requests, the default one unless given; `stream`
    replaces it by a function. `stream_options` go with every request. `cwd` and `session_id` are
    what tools and providers are told. Attributes may be changed; a run reads them when it starts.
    """

    def __init__(
        self,
        *,
        model: Model,
        system_prompt: str = "",
        tools: Sequence[AgentTool] = (),
        messages: Sequence[AgentMessage] = (),
        thinking_level: ThinkingLevel = "off",
        models: Models | None = None,
        stream: StreamFunction | None = None,
        stream_options: StreamOptions | None = None,
        hooks: Hooks | None = None,
        convert_to_llm: ConvertToLlm = model_messages,
        tool_execution: ExecutionMode = "parallel",
        steering_mode: QueueMode = "one-at-a-time",
        follow_up_mode: QueueMode = "one-at-a-time",
        tool_grace_seconds: float = 2.0,
        cwd: str | Path | None = None,
        session_id: str | None = None,
    ) -> None:
        transcript = list(messages)
        if not transcript or not isinstance(transcript[0], SystemMessage):
            leading = leading_system_message(system_prompt, tools)
            transcript[:0] = [leading] if leading is not None else []
        self.state = AgentState(
            messages=transcript, tools=list(tools), model=model, thinking_level=thinking_level
        )
        self.stream = stream or _stream_with(models)
        self.stream_options: StreamOptions = stream_options or StreamOptions()
        self.hooks = hooks or Hooks()
        self.convert_to_llm = convert_to_llm
        self.tool_execution: ExecutionMode = tool_execution
        self.tool_grace_seconds = tool_grace_seconds
        self.cwd = Path(cwd).expanduser().absolute() if cwd is not None else None
        self.session_id = session_id
        self.session_file: Path | None = None
        self.steering_queue = MessageQueue(steering_mode)
        self.follow_up_queue = MessageQueue(follow_up_mode)
        self._listeners: list[Listener] = []
        self._delivery = asyncio.Lock()
        self._active: _ActiveRun | None = None

    def __repr__(self) -> str:
        state = "running" if self._active else "idle"
        return f"<Agent {self.state.model.id}, {len(self.state.messages)} messages, {state}>"

    # --- running ------------------------------------------------------------------------------

    async def prompt(
        self, prompt: Prompt, images: Sequence[ImageContent] = ()
    ) -> AssistantMessage | None:
        """Run until the model is done; returns its last message.

        A provider's failure raises nothing: look at the message's `stop_reason`. Raises
        `AgentBusyError` while another run is active. Cancelling the caller aborts the run, waits
        until it has settled, and leaves a transcript that can be continued.
        """
        run = self._start(_prompts(prompt, images), poll_steering=True)
        await run.settle()
        return _last_assistant(run.run.new_messages)

    async def run(
        self, prompt: Prompt, images: Sequence[ImageContent] = ()
    ) -> AsyncGenerator[AgentEvent, None]:
        """As `prompt`, but hands out the events; leaving the `async for` early aborts the run.

        The run waits for the consumer at every event, so nothing happens behind its back.
        """
        handoff = Handoff()
        active = self._start(_prompts(prompt, images), poll_steering=True, sink=handoff.put)
        active.task.add_done_callback(lambda _task: handoff.close())
        try:
            while (event := await handoff.get()) is not None:
                yield event
        finally:
            handoff.close()
            if not active.task.done():
                active.abort()
            await active.settle()

    async def continue_(self) -> AssistantMessage | None:
        """Go on from the transcript without a new prompt, or with what is queued.

        Raises `AgentStateError` when there is nothing to go on from.
        """
        if self._active is not None:
            raise AgentBusyError(
                "Agent is already processing. Wait for completion before continuing."
            )
        tail = [m for m in self.state.messages if not isinstance(m, SystemMessage)]
        if not tail:
            raise AgentStateError("No messages to continue from")
        prompts: Sequence[AgentMessage] | None = None
        steered = False
        if isinstance(tail[-1], AssistantMessage):
            prompts = self.steering_queue.drain()
            steered = bool(prompts)
            prompts = prompts or self.follow_up_queue.drain()
            if not prompts:
                raise AgentStateError("Cannot continue from message role: assistant")
        run = self._start(prompts, poll_steering=not steered)
        await run.settle()
        return _last_assistant(run.run.new_messages)

    def steer(self, message: str | AgentMessage) -> None:
        """Queue a message for the next turn of the run, or of the next run."""
        self.steering_queue.put(_prompts(message, ())[0])

    def follow_up(self, message: str | AgentMessage) -> None:
        """Queue a message for when the run would otherwise end."""
        self.follow_up_queue.put(_prompts(message, ())[0])

    def clear_all_queues(self) -> None:
        """Drop everything that is queued."""
        self.steering_queue.clear()
        self.follow_up_queue.clear()

    def has_queued_messages(self) -> bool:
        """Whether anything is queued."""
        return bool(self.steering_queue) or bool(self.follow_up_queue)

    def peek_queued_messages(self) -> list[AgentMessage]:
        """What would be delivered next: steering before follow-ups."""
        return self.steering_queue.peek() or self.follow_up_queue.peek()

    def abort(self) -> None:
        """Stop the active run; what has arrived is kept. Does nothing when idle."""
        if self._active is not None:
            self._active.abort()

    @property
    def signal(self) -> AbortSignal | None:
        """The abort signal of the active run."""
        return self._active.run.signal if self._active is not None else None

    async def wait_for_idle(self) -> None:
        """Wait until the active run and its listeners are done. Not for use in a listener."""
        while self._active is not None:
            await asyncio.wait([self._active.task])

    def reset(self) -> None:
        """Forget the conversation and the queues; prompt and tools stay.

        Raises `AgentBusyError` during a run.
        """
        if self._active is not None:
            raise AgentBusyError(
                "Agent is already processing. Wait for completion before resetting."
            )
        system = get_current_system_message(model_messages(self.state.messages))
        self.state.messages = [system] if system is not None else []
        self.state.error_message = None
        self.clear_all_queues()

    # --- listening ----------------------------------------------------------------------------

    def subscribe(self, listener: Listener) -> Callable[[], bool]:
        """Call `listener` with every event; returns the unsubscriber, True the first time.

        Listeners are awaited in order before the run goes on. One that raises ends the run.
        """
        if listener not in self._listeners:
            self._listeners.append(listener)

        def unsubscribe() -> bool:
            if listener not in self._listeners:
                return False
            self._listeners.remove(listener)
            return True

        return unsubscribe

    # --- one run ------------------------------------------------------------------------------

    def _start(
        self,
        prompts: Sequence[AgentMessage] | None,
        *,
        poll_steering: bool,
        sink: Callable[[AgentEvent], Awaitable[None]] | None = None,
    ) -> _ActiveRun:
        if self._active is not None:
            raise AgentBusyError(_PROMPT_BUSY)
        self.state.error_message = None
        self.state.is_streaming = True
        controller = AbortController()
        run = Run(
            config=self._config(poll_steering),
            signal=controller.signal,
            emit=self._emitter(sink),
            messages=list(self.state.messages),
            tools=list(self.state.tools),
            model=self.state.model,
            thinking_level=self.state.thinking_level,
        )
        self._active = _ActiveRun(run, controller, prompts, self._done)
        return self._active

    def _config(self, poll_steering: bool) -> LoopConfig:
        options = StreamOptions(**self.stream_options)
        if self.session_id is not None:
            options.setdefault("session_id", self.session_id)
        skip = not poll_steering

        async def steering() -> Sequence[AgentMessage]:
            nonlocal skip
            if skip:  # this run's prompt is the steering that was due
                skip = False
                return ()
            return self.steering_queue.drain()

        async def follow_ups() -> Sequence[AgentMessage]:
            return self.follow_up_queue.drain()

        return LoopConfig(
            model=self.state.model,
            thinking_level=self.state.thinking_level,
            stream=self.stream,
            stream_options=options,
            convert_to_llm=self.convert_to_llm,
            hooks=self.hooks,
            tool_execution=self.tool_execution,
            tool_grace_seconds=self.tool_grace_seconds,
            make_tool_context=self._tool_context,
            get_steering_messages=steering,
            get_follow_up_messages=follow_ups,
        )

    def _tool_context(
        self, call: ToolCall, signal: AbortSignal, on_update: Callable[[ToolResult], None]
    ) -> ToolContext:
        return ToolContext(
            tool_call_id=call.id,
            signal=signal,
            on_update=on_update,
            host_cwd=self.cwd,
            model=self.state.model,
            thinking_level=self.state.thinking_level,
            session_id=self.session_id,
            session_file=self.session_file,
        )

    def _emitter(
        self, sink: Callable[[AgentEvent], Awaitable[None]] | None
    ) -> Callable[[AgentEvent], Awaitable[None]]:
        async def emit(event: AgentEvent) -> None:
            # Tools run side by side; their events still come one after another.
            async with self._delivery:
                _reduce(self.state, event)
                for listener in tuple(self._listeners):
                    told = listener(event)
                    if inspect.isawaitable(told):
                        await told
                if sink is not None:
                    await sink(event)

        return emit

    def _done(self) -> None:
        self._active = None
        self.state.is_streaming = False
        self.state.streaming = None
        self.state.pending_tool_calls = frozenset()


class _ActiveRun:
    """A run and the task that drives it.

    The task is the run's own: cancelling whoever waits for it aborts the run through its signal,
    so that the loop always comes to an orderly end.
    """

    def __init__(
        self,
        run: Run,
        controller: AbortController,
        prompts: Sequence[AgentMessage] | None,
        done: Callable[[], None],
    ) -> None:
        self.run = run
        self.task = asyncio.get_running_loop().create_task(self._drive(prompts))
        self._controller = controller
        self._done = done

    def abort(self) -> None:
        """Set the run's signal."""
        self._controller.abort()

    async def settle(self) -> None:
        """Wait for the end of the run. Raises what its failure path raised."""
        try:
            await asyncio.wait([self.task])
        except asyncio.CancelledError:
            self.abort()
            await _wait_uncancelled(self.task, self.run.config.tool_grace_seconds + 1)
            raise
        if not self.task.cancelled():
            self.task.result()

    async def _drive(self, prompts: Sequence[AgentMessage] | None) -> None:
        try:
            await run_loop(self.run, prompts)
        except asyncio.CancelledError as error:
            # The event loop is being closed around the run: note what there is, then go.
            self.abort()
            await end_broken_run(self.run, error)
            raise
        except Exception as error:  # noqa: BLE001  # it becomes the run's last message
            await end_broken_run(self.run, error)
        finally:
            self._done()


async def _wait_uncancelled(task: asyncio.Task[None], seconds: float) -> None:
    """Wait for a task although this one is being cancelled, at most so long."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not task.done() and (left := deadline - asyncio.get_running_loop().time()) > 0:
        with suppress(asyncio.CancelledError):
            await asyncio.wait([task], timeout=left)
    if not task.done():
        task.cancel()


def _reduce(state: AgentState, event: AgentEvent) -> None:
    """Bring the state up to an event, before listeners see it."""
    match event:
        case MessageStartEvent() | MessageUpdateEvent():
            state.streaming = event
        case MessageEndEvent():
            state.streaming = None
            state.messages.append(event.message)
        case ToolExecutionStartEvent():
            state.pending_tool_calls |= {event.tool_call_id}
        case ToolExecutionEndEvent():
            state.pending_tool_calls -= {event.tool_call_id}
        case TurnEndEvent():
            state.error_message = event.message.error_message or state.error_message
        case AgentEndEvent():
            state.streaming = None
        case AgentStartEvent() | _:
            pass


def _stream_with(models: Models | None) -> StreamFunction:
    def ask(model: Model, context: Context, options: StreamOptions) -> AssistantStream:
        if models is None:
            return stream(model, context, **options)
        return models.stream(model, context, **options)

    return ask


def _prompts(prompt: Prompt, images: Sequence[ImageContent]) -> list[AgentMessage]:
    if isinstance(prompt, str):
        return [UserMessage([TextContent(prompt), *images])]
    return list(prompt) if isinstance(prompt, Sequence) else [prompt]


def _last_assistant(messages: Sequence[AgentMessage]) -> AssistantMessage | None:
    return next((m for m in reversed(messages) if isinstance(m, AssistantMessage)), None)
