"""`Agent`: a transcript, its tools and queues, and one run at a time over them.

Source: agent spec, section 8, with section 16.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from msgspec.structs import replace

from pi_agent.active import ActiveRun, RunEvents
from pi_agent.blocking import run_blocking
from pi_agent.declarations import leading_system_message, model_messages
from pi_agent.errors import AgentBusyError, AgentStateError
from pi_agent.events import AgentEvent
from pi_agent.failure import run_to_its_end
from pi_agent.listeners import Listener, Listeners
from pi_agent.queues import MessageQueue, QueueReader
from pi_agent.run import Emit, LoopConfig, Run
from pi_agent.state import AgentState
from pi_agent.turnstile import Turnstile
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
from pi_ai.transcript import get_current_system_message

__all__ = ("Agent", "Prompt")

Prompt: TypeAlias = str | AgentMessage | Sequence[AgentMessage]
"""What a run starts from: text, a message, or several."""

_PROMPT_BUSY = (
    "Agent is already processing a prompt. Use steer() or followUp() to queue messages, "
    "or wait for completion."
)


class Agent:
    """Answers prompts with a model and tools.

        agent = Agent(model=model, system_prompt="...", tools=[word_count])
        async for event in agent.run("How many words has README.md?"):
            ...

    `models` is the collection that makes requests, the default one unless given; `stream`
    replaces it by a function. `stream_options` go with every request. `cwd` and `session_id` are
    what tools and providers are told. Attributes may be changed; a run reads them when it starts.
    After an abort, tools and hooks that do not stop are cancelled after `tool_grace_seconds`; one
    that swallows even that is left behind after as long again.
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
            messages=transcript, tools=tools, model=model, thinking_level=thinking_level
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
        self._listeners = Listeners()
        self._active: ActiveRun | None = None

    def __repr__(self) -> str:
        state = "running" if self._active is not None else "idle"
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
        await self._wait_for_left_run()
        return await self._finish(self._start(_prompts(prompt, images), self._reader()))

    def run(self, prompt: Prompt, images: Sequence[ImageContent] = ()) -> RunEvents:
        """As `prompt`, but hands out the events; leaving the `async for` early aborts the run.

        The run waits for the consumer at every event, so nothing happens behind its back; in
        return the consumer must not wait for the run. Use it as `async with agent.run(...) as
        events` to have the run settled when the block is left.
        """

        async def start(sink: Emit) -> ActiveRun:
            await self._wait_for_left_run()
            return self._start(_prompts(prompt, images), self._reader(), sink)

        return RunEvents(start)

    def run_sync(
        self, prompt: Prompt, images: Sequence[ImageContent] = ()
    ) -> AssistantMessage | None:
        """As `prompt`, for code that is not async; waits until the run is over.

        The run has an event loop and a thread of its own, so this works in a script, in any
        thread, and where an event loop runs already, as in a notebook cell. Listeners, hooks and
        async tools are called in that thread. Each call has a new loop: what a tool keeps from one
        call to the next must not belong to a loop. Ctrl-C aborts the run, waits until it has
        settled, and is raised then.
        """
        return run_blocking(lambda: self.prompt(prompt, images))

    async def continue_(self) -> AssistantMessage | None:
        """Go on from the transcript without a new prompt, or with what is queued.

        Raises `AgentStateError` when there is nothing to go on from.
        """
        await self._wait_for_left_run()
        if self._running is not None:
            raise AgentBusyError(
                "Agent is already processing. Wait for completion before continuing."
            )
        tail = next((m for m in reversed(self.state.messages) if not _is_system(m)), None)
        if tail is None:
            raise AgentStateError("No messages to continue from")
        prompts: Sequence[AgentMessage] | None = None
        reader = self._reader()
        if isinstance(tail, AssistantMessage):
            prompts = reader.take_prompts()
            if not prompts:
                raise AgentStateError("Cannot continue from message role: assistant")
        return await self._finish(self._start(prompts, reader))

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
        if (active := self._running) is not None:
            active.abort()

    @property
    def signal(self) -> AbortSignal | None:
        """The abort signal of the active run."""
        active = self._running
        return active.run.signal if active is not None else None

    @property
    def run_error(self) -> Exception | None:
        """What broke the active run, else the latest one: `state.error` before the run is over."""
        active = self._running
        return active.run.error if active is not None else self.state.error

    async def wait_for_idle(self) -> None:
        """Wait until the active run and its listeners are done.

        Raises `AgentStateError` in a listener or hook, where it would wait for itself.
        """
        while (active := self._running) is not None:
            if asyncio.current_task() is active.task:
                raise AgentStateError("wait_for_idle() was called from inside the run")
            await active.wait()

    def reset(self) -> None:
        """Forget the conversation and the queues; prompt and tools stay.

        Raises `AgentBusyError` during a run.
        """
        if self._running is not None:
            raise AgentBusyError(
                "Agent is already processing. Wait for completion before resetting."
            )
        system = get_current_system_message(model_messages(self.state.messages))
        self.state.messages = [system] if system is not None else []
        self.state.error_message = self.state.error = None
        self.clear_all_queues()

    # --- listening ----------------------------------------------------------------------------

    def subscribe(self, listener: Listener) -> Callable[[], bool]:
        """Call `listener` with every event; returns the unsubscriber, True the first time.

        Listeners are awaited in order before the run goes on. One that raises ends the run.
        """
        return self._listeners.add(listener)

    # --- one run ------------------------------------------------------------------------------

    @property
    def _running(self) -> ActiveRun | None:
        """The active run, if there is something that drives it."""
        active = self._active
        if active is not None and active.is_lost:
            active.bury(self.state.apply)
        return self._active

    def _reader(self) -> QueueReader:
        return QueueReader(self.steering_queue, self.follow_up_queue)

    def _start(
        self,
        prompts: Sequence[AgentMessage] | None,
        reader: QueueReader,
        sink: Emit | None = None,
    ) -> ActiveRun:
        if self._running is not None:
            raise AgentBusyError(_PROMPT_BUSY)
        state = self.state
        state.error_message = state.error = None
        state.is_streaming = True
        controller = AbortController()
        run = Run(
            config=self._config(reader),
            signal=controller.signal,
            emit=self._emitter(sink),
            messages=list(state.messages),
            tools=list(state.tools),
            model=state.model,
            thinking_level=state.thinking_level,
            owed=len(prompts or ()),
        )

        def done() -> None:
            reader.put_back(run.owed)
            self._active = None
            state.error = run.error
            state.settle()

        work = run_to_its_end(run, prompts, controller)
        self._active = ActiveRun(run, controller, work, done)
        return self._active

    async def _finish(self, active: ActiveRun) -> AssistantMessage | None:
        await active.settle()
        added = reversed(active.run.new_messages)
        return next((m for m in added if isinstance(m, AssistantMessage)), None)

    async def _wait_for_left_run(self) -> None:
        """A run whose `async for` was left is about to end; nobody asked to wait for it yet."""
        active = self._running
        if active is not None and active.is_left:
            await self.wait_for_idle()

    def _config(self, reader: QueueReader) -> LoopConfig:
        options = StreamOptions(**self.stream_options)
        if self.session_id is not None:
            options.setdefault("session_id", self.session_id)
        return LoopConfig(
            model=self.state.model,
            thinking_level=self.state.thinking_level,
            stream=self.stream,
            stream_options=options,
            convert_to_llm=self.convert_to_llm,
            hooks=replace(self.hooks),
            tool_execution=self.tool_execution,
            tool_grace_seconds=self.tool_grace_seconds,
            make_tool_context=self._tool_context,
            get_steering_messages=reader.poll_steering,
            get_follow_up_messages=reader.poll_follow_up,
        )

    def _tool_context(
        self, call: ToolCall, signal: AbortSignal, on_update: Callable[[ToolResult], None]
    ) -> ToolContext:
        return ToolContext(
            tool_call_id=call.id,
            signal=signal,
            on_update=on_update,
            host_cwd=self.cwd,
            session_id=self.session_id,
            session_file=self.session_file,
        )

    def _emitter(self, sink: Emit | None) -> Emit:
        state, listeners = self.state, self._listeners

        turnstile = Turnstile()  # tools run side by side; their events come one at a time

        async def emit(event: AgentEvent) -> None:
            if turnstile.busy:
                await turnstile.wait()
            else:
                turnstile.busy = True
            try:
                state.apply(event)
                await listeners.tell(event)
                if sink is not None:
                    await sink(event)
            finally:
                turnstile.leave()

        return emit


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


def _is_system(message: AgentMessage) -> bool:
    return isinstance(message, SystemMessage)
