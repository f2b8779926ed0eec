"""The loop and single tool calls without an `Agent`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from pi_agent import (
    AgentEvent,
    AgentMessage,
    AgentStateError,
    BeforeToolCall,
    Hooks,
    LoopConfig,
    RunContext,
    RunEvents,
    ToolContext,
    ToolDecision,
    ToolResult,
    ToolRevision,
    agent_loop,
    agent_loop_continue,
    run_agent_loop,
    run_agent_loop_continue,
    run_tool_call,
)
from pi_agent.declarations import model_messages
from pi_ai import AbortController, AbortSignal, AssistantMessage, TextContent
from pi_ai.testing import FauxProvider
from pi_ai.types import Identity
from support.agent_traces import (
    call,
    echo_tool,
    make_tool,
    run_quietly,
    says,
    trace_of,
    user,
    wait_for_abort,
)

EMPTY = RunContext([], [])


def config_of(*responses: Any, **options: Any) -> LoopConfig:
    provider = FauxProvider(responses, seed=1)
    return LoopConfig(
        **{
            "model": provider.model,
            "stream": lambda model, context, asked: provider.models.stream(model, context, **asked),
            "convert_to_llm": model_messages,
        }
        | options
    )


def roles(messages: Sequence[AgentMessage]) -> list[str]:
    return [str(getattr(message, "role", "?")) for message in messages]


async def iterate(events: RunEvents) -> list[AgentEvent]:
    return [event async for event in events]


def test_agent_check_40_agent_loop_yields_events_and_a_result():
    async def main() -> None:
        context = RunContext([user("before"), says("yes")], [])
        events = agent_loop([user("q")], context, config_of(says("hi")))
        assert trace_of(await iterate(events)) == "AS TS U(q) A<T>stop TE(stop) AE[ua]"
        assert roles(await events.result()) == ["user", "assistant"]
        assert roles(context.messages) == ["user", "assistant"]

    run_quietly(main())


def test_agent_check_40_agent_loop_continue_goes_on_from_the_transcript():
    async def main() -> None:
        context = RunContext([user("q")], [])
        events = agent_loop_continue(context, config_of(says("hi")))
        assert roles(await events.result()) == ["assistant"]
        assert roles(context.messages) == ["user"]

    run_quietly(main())


@pytest.mark.parametrize(
    ("context", "text"),
    [
        pytest.param(EMPTY, "Cannot continue: no messages in context", id="empty"),
        pytest.param(
            RunContext([user("q"), says("a")], []),
            "Cannot continue from message role: assistant",
            id="assistant",
        ),
    ],
)
def test_agent_check_40_there_must_be_something_to_continue_from(context: RunContext, text: str):
    async def emit(_event: AgentEvent) -> None: ...

    with pytest.raises(AgentStateError) as caught:
        agent_loop_continue(context, config_of())
    assert str(caught.value) == text
    with pytest.raises(AgentStateError):
        run_quietly(run_agent_loop_continue(context, config_of(), emit=emit))


@pytest.mark.parametrize("way", ["iterate", "result"])
def test_agent_check_40_what_breaks_the_loop_reaches_the_consumer(way: str):
    def convert(_messages: Sequence[AgentMessage]) -> Any:
        raise ValueError("cannot convert")

    async def main() -> None:
        events = agent_loop([user("q")], EMPTY, config_of(convert_to_llm=convert))
        consume = events.result() if way == "result" else iterate(events)
        with pytest.raises(ValueError, match="cannot convert"):
            await consume
        with pytest.raises(ValueError, match="cannot convert"):
            await events.result()

    run_quietly(main())


def test_the_loop_waits_for_what_it_emits_to():
    seen: list[str] = []

    async def emit(event: AgentEvent) -> None:
        seen.append(f"+{event.type}")
        await asyncio.sleep(0)
        seen.append(f"-{event.type}")

    context = RunContext([], [echo_tool()])
    config = config_of(says(call("t1"), call("t2")), says("done"))
    added = run_quietly(run_agent_loop([user("q")], context, config, emit=emit))
    assert roles(added) == ["system", "user", "assistant", "toolResult", "toolResult", "assistant"]
    assert all(a[1:] == b[1:] for a, b in zip(seen[::2], seen[1::2], strict=True))


def test_what_emit_raises_comes_out():
    async def emit(event: AgentEvent) -> None:
        if event.type == "turn_end":
            raise ValueError("full")

    with pytest.raises(ValueError, match="full"):
        run_quietly(run_agent_loop([user("q")], EMPTY, config_of(says("hi")), emit=emit))


@pytest.mark.parametrize("how", ["signal", "leave"])
def test_the_loop_stops_on_its_signal_and_when_left(how: str):
    async def main() -> None:
        controller = AbortController()
        tools = [make_tool("echo", wait_for_abort)]
        events = agent_loop(
            [user("q")],
            RunContext([], tools),
            config_of(says(call("t1"))),
            signal=controller.signal,
        )
        async with events:
            async for event in events:
                if event.type == "tool_execution_start":
                    if how == "leave":
                        break
                    controller.abort()
        added = await events.result()
        last = added[-1]
        assert isinstance(last, AssistantMessage)
        assert last.stop_reason == "aborted"
        assert roles(added) == ["system", "user", "assistant", "toolResult", "assistant"]

    run_quietly(main())


def test_a_signal_is_not_held_on_to():
    async def main() -> None:
        signal = AbortController().signal
        events = agent_loop([user("q")], EMPTY, config_of(says("hi")), signal=signal)
        await events.result()
        assert signal._listeners == []

    run_quietly(main())


@pytest.mark.parametrize(
    "identity",
    [
        pytest.param(None, id="none"),
        pytest.param(Identity(name="mine", url="https://mine.test"), id="own"),
        pytest.param(Identity(user_agent="short"), id="user-agent"),
    ],
)
def test_agent_check_45_identity_is_the_callers_or_none(identity: Identity | None):
    """No attribution unless the caller asks for it."""
    seen: list[Any] = []
    provider = FauxProvider([says("hi")])

    def ask(model: Any, context: Any, options: Any) -> Any:
        seen.append(options.get("identity"))
        return provider.models.stream(model, context, **options)

    options: dict[str, Any] = {"stream": ask, "model": provider.model}
    if identity is not None:
        options["stream_options"] = {"identity": identity}
    run_quietly(agent_loop([user("q")], EMPTY, config_of(**options)).result())
    assert seen == [identity]


# --- one call ---------------------------------------------------------------------------------


def one_call(item: Any, **options: Any) -> Any:
    tools = options.pop("tools", [echo_tool()])
    message = says(item)
    message.model = "the-model"
    return run_quietly(run_tool_call(item, message, RunContext([], tools), **options))


def text_of(result: ToolResult) -> str:
    return "".join(block.text for block in result.content if isinstance(block, TextContent))


def test_agent_check_41_a_call_that_succeeds():
    outcome = one_call(call("t1"))
    assert (text_of(outcome.result), outcome.is_error) == ("ok:x", False)
    assert isinstance(outcome.duration_ms, int)
    assert outcome.error is None


def test_agent_check_41_an_unknown_tool():
    outcome = one_call(call("t1", "nope"))
    assert (text_of(outcome.result), outcome.is_error) == ("Tool nope not found", True)
    assert not isinstance(outcome.duration_ms, int)


def test_agent_check_41_a_blocked_call():
    def decide(_asked: BeforeToolCall, _signal: AbortSignal) -> ToolDecision:
        return ToolDecision(block=True, reason="R", terminate=True)

    outcome = one_call(call("t1"), hooks=Hooks(before_tool_call=decide))
    assert (text_of(outcome.result), outcome.is_error) == ("R", True)
    assert outcome.result.terminate
    assert not isinstance(outcome.duration_ms, int)


def test_a_single_call_is_revised_and_reports_what_comes_in_between():
    updates: list[str] = []

    async def execute(_args: Any, ctx: ToolContext) -> ToolResult:
        ctx.on_update(ToolResult.text("half"))
        assert ctx.model is not None
        assert ctx.model.id == "the-model"
        return ToolResult.text("whole")

    outcome = one_call(
        call("t1"),
        tools=[make_tool("echo", execute)],
        hooks=Hooks(after_tool_call=lambda _after, _signal: ToolRevision(is_error=True)),
        on_update=lambda partial: updates.append(text_of(partial)),
    )
    assert updates == ["half"]
    assert (text_of(outcome.result), outcome.is_error) == ("whole", True)


def test_a_single_call_stops_on_its_signal():
    controller = AbortController()

    async def execute(args: Any, ctx: ToolContext) -> ToolResult:
        asyncio.get_running_loop().call_soon(controller.abort)
        return await wait_for_abort(args, ctx)

    outcome = one_call(call("t1"), tools=[make_tool("echo", execute)], signal=controller.signal)
    assert (text_of(outcome.result), outcome.is_error) == ("Operation aborted", True)
