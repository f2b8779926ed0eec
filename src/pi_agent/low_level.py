"""The loop without an `Agent`: for hosts that keep transcript, queues and listeners themselves.

Source: agent spec, sections 3, 6.6 and 10.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pi_agent.active import ActiveRun, RunEvents
from pi_agent.declarations import model_messages
from pi_agent.errors import AgentStateError
from pi_agent.events import AgentEvent, ToolExecutionUpdateEvent
from pi_agent.execution import execute_call, prepare_call
from pi_agent.loop import run_loop
from pi_agent.run import Emit, LoopConfig, OpenCall, Run, ToolCallOutcome
from pi_agent.turnstile import Turnstile
from pi_agent.types import AgentMessage, Hooks, RunContext, ToolResult
from pi_ai import (
    AbortController,
    AbortSignal,
    AssistantMessage,
    AssistantStream,
    Context,
    Model,
    StreamOptions,
    ToolCall,
)

__all__ = (
    "agent_loop",
    "agent_loop_continue",
    "run_agent_loop",
    "run_agent_loop_continue",
    "run_tool_call",
)


def agent_loop(
    prompts: Sequence[AgentMessage],
    context: RunContext,
    config: LoopConfig,
    *,
    signal: AbortSignal | None = None,
) -> RunEvents:
    """The events of a run that answers `prompts` after the messages of `context`.

    `await events.result()` gives the messages that the run added; `context` stays as it is. The
    run waits for the consumer, and leaving the `async for` aborts it. What a hook or the stream
    function raises is raised to the consumer.
    """
    return _events(list(prompts), context, config, signal)


def agent_loop_continue(
    context: RunContext, config: LoopConfig, *, signal: AbortSignal | None = None
) -> RunEvents:
    """As `agent_loop`, from the transcript alone.

    Raises `AgentStateError` at once if there are no messages or the last is the model's own.
    """
    _require_something_to_answer(context)
    return _events(None, context, config, signal)


async def run_agent_loop(
    prompts: Sequence[AgentMessage],
    context: RunContext,
    config: LoopConfig,
    *,
    emit: Emit,
    signal: AbortSignal | None = None,
) -> list[AgentMessage]:
    """Answer `prompts`, telling every event to `emit`; the messages that were added.

    The loop goes on when `emit` returns. Raises what it, a hook or the stream function raises.
    """
    run = _new_run(context, config, _one_at_a_time(emit), signal)
    await run_loop(run, list(prompts))
    return run.new_messages


async def run_agent_loop_continue(
    context: RunContext, config: LoopConfig, *, emit: Emit, signal: AbortSignal | None = None
) -> list[AgentMessage]:
    """As `run_agent_loop`, from the transcript alone; see `agent_loop_continue`."""
    _require_something_to_answer(context)
    run = _new_run(context, config, _one_at_a_time(emit), signal)
    await run_loop(run, None)
    return run.new_messages


async def run_tool_call(
    tool_call: ToolCall,
    assistant_message: AssistantMessage,
    context: RunContext,
    *,
    hooks: Hooks | None = None,
    signal: AbortSignal | None = None,
    on_update: Callable[[ToolResult], object] | None = None,
    model: Model | None = None,
) -> ToolCallOutcome:
    """Validate and run one call of `assistant_message` with the tools of `context`.

    No event is emitted and no message made. What goes wrong with the call is its outcome; only
    what `on_update` raises is raised. `model` is told to the tool, by default one of which no
    more is known than the message says.
    """
    made_by = assistant_message
    model = model or Model(id=made_by.model, api=made_by.api, provider=made_by.provider)
    config = LoopConfig(
        model=model,
        stream=_no_stream,
        convert_to_llm=model_messages,
        hooks=hooks or Hooks(),
    )

    async def emit(event: AgentEvent) -> None:
        if on_update is not None and isinstance(event, ToolExecutionUpdateEvent):
            on_update(event.partial_result)

    run = _new_run(context, config, emit, signal)
    item = OpenCall(assistant_message, tool_call)
    ready = await prepare_call(run, item)
    if ready is not None:
        await execute_call(run, ready)
    assert item.outcome is not None  # either of the two gave it one
    return item.outcome


def _one_at_a_time(emit: Emit) -> Emit:
    turnstile = Turnstile()

    async def emit_in_turn(event: AgentEvent) -> None:
        if turnstile.busy:
            await turnstile.wait()
        else:
            turnstile.busy = True
        try:
            await emit(event)
        finally:
            turnstile.leave()

    return emit_in_turn


def _no_stream(_model: Model, _context: Context, _options: StreamOptions) -> AssistantStream:
    raise AgentStateError("A single tool call asks no model")


def _events(
    prompts: list[AgentMessage] | None,
    context: RunContext,
    config: LoopConfig,
    signal: AbortSignal | None,
) -> RunEvents:
    async def start(sink: Emit) -> ActiveRun:
        controller = AbortController()
        forget = signal.add_listener(controller.abort) if signal is not None else None
        run = _new_run(context, config, _one_at_a_time(sink), controller.signal)

        def done() -> None:
            if forget is not None:
                forget()

        return ActiveRun(run, controller, run_loop(run, prompts), done)

    return RunEvents(start)


def _new_run(
    context: RunContext, config: LoopConfig, emit: Emit, signal: AbortSignal | None
) -> Run:
    return Run(
        config=config,
        signal=signal or AbortController().signal,
        emit=emit,
        messages=list(context.messages),
        tools=context.tools,
        model=config.model,
        thinking_level=config.thinking_level,
    )


def _require_something_to_answer(context: RunContext) -> None:
    if not context.messages:
        raise AgentStateError("Cannot continue: no messages in context")
    if isinstance(context.messages[-1], AssistantMessage):
        raise AgentStateError("Cannot continue from message role: assistant")
