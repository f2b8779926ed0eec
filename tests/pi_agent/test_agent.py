"""`Agent`: prompting, continuing, queues, listeners, state."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pi_agent import (
    Agent,
    AgentBusyError,
    AgentEndEvent,
    AgentStartEvent,
    AgentStateError,
    MessageEndEvent,
    MessageStartEvent,
    ToolContext,
    ToolExecutionStartEvent,
    ToolResult,
)
from pi_ai import ImageContent, SystemMessage, TextContent, get_model
from pi_ai.testing import FauxProvider
from support.agent_traces import (
    Bench,
    CustomMessage,
    call,
    echo_tool,
    make_tool,
    run_quietly,
    says,
    user,
)

PROMPT_BUSY = (
    "Agent is already processing a prompt. Use steer() or followUp() to queue messages, or wait "
    "for completion."
)


def test_agent_check_01_text():
    bench = Bench([says("hi")], tools=[])
    last = bench.prompt()
    question, answer = bench.messages
    assert question.content == [TextContent("q")]
    assert answer is last
    assert last is not None
    assert last.thinking_level == "off"


def test_agent_check_02_text_with_images():
    bench = Bench([says("a"), says("b")], tools=[])
    image = ImageContent("aGk=", "image/png")
    asyncio.run(bench.agent.prompt("t", [image]))
    assert bench.messages[0].content == [TextContent("t"), image]
    asyncio.run(bench.agent.prompt(""))
    assert bench.messages[2].content == [TextContent("")]


def test_agent_check_29_misuse():
    async def main() -> None:
        agent = Agent(model=FauxProvider().model)
        agent.steer("S")
        for messages in ([], [SystemMessage("SP")]):
            agent.state.messages = messages
            with pytest.raises(AgentStateError, match=r"^No messages to continue from$"):
                await agent.continue_()
        assert len(agent.steering_queue) == 1
        agent.clear_all_queues()
        for tail in ([], [SystemMessage("late")]):
            agent.state.messages = [user("q"), says("a"), *tail]
            with pytest.raises(
                AgentStateError, match=r"^Cannot continue from message role: assistant$"
            ):
                await agent.continue_()
        assert not agent.state.is_streaming

    run_quietly(main())


def test_agent_check_29_misuse_while_running():
    async def main() -> None:
        told: list[str] = []

        async def misuse() -> None:
            for attempt in (agent.prompt("x"), agent.continue_()):
                with pytest.raises(AgentBusyError) as caught:
                    await attempt
                told.append(str(caught.value))
            with pytest.raises(AgentBusyError) as caught:
                await anext(agent.run("x"))
            told.append(str(caught.value))
            with pytest.raises(RuntimeError) as reset:
                agent.reset()
            told.append(str(reset.value))

        bench.on(AgentEndEvent, misuse)
        await agent.prompt("q")
        assert told == [
            PROMPT_BUSY,
            "Agent is already processing. Wait for completion before continuing.",
            PROMPT_BUSY,
            "Agent is already processing. Wait for completion before resetting.",
        ]

    bench = Bench([says("a")])
    agent = bench.agent
    run_quietly(main())
    assert bench.trace == "AS TS U(q) A<T>stop TE(stop) AE[ua]"


def test_agent_check_30_continuing_from_a_custom_message():
    bench = Bench([says("a")], tools=[], messages=[CustomMessage("c")])
    asyncio.run(bench.agent.continue_())
    assert bench.trace == "AS TS A<T>stop TE(stop) AE[a]"


def test_agent_check_30_continuing_with_changed_tools():
    bench = Bench([says("a")], tools=[], messages=[user("q")])
    bench.agent.state.tools = [echo_tool()]
    asyncio.run(bench.agent.continue_())
    assert bench.trace == "AS TS SYS A<T>stop TE(stop) AE[sa]"


def test_agent_check_31_reset():
    tools = [echo_tool()]
    agent = Agent(model=FauxProvider().model, system_prompt="SP", tools=tools)
    agent.state.messages.append(SystemMessage("more", sections={"a": "A"}))
    agent.state.messages.append(user("q"))
    agent.steer("S")
    agent.follow_up("F")
    agent.reset()
    (system,) = agent.state.messages
    assert isinstance(system, SystemMessage)
    assert (system.content, system.sections, system.timestamp) == ("SP\n\nmore", {"a": "A"}, 0)
    assert [tool.name for tool in system.tools_added or ()] == ["echo"]
    assert not agent.has_queued_messages()
    assert agent.state.system_prompt == "SP\n\nmore\n\nA"
    assert agent.state.error_message is None


def test_agent_check_31_the_system_prompt_is_read_only():
    agent = Agent(model=FauxProvider().model, system_prompt="SP")
    with pytest.raises(AttributeError):
        agent.state.system_prompt = "other"


def test_a_transcript_with_a_system_message_ignores_the_prompt():
    messages = [SystemMessage("own"), user("q")]
    agent = Agent(model=FauxProvider().model, system_prompt="SP", messages=messages)
    assert agent.state.system_prompt == "own"
    assert agent.state.messages == messages


def test_agent_check_32_a_listener_is_called_once():
    told: list[str] = []
    agent = Bench([says("a")]).agent

    def listener(event: Any) -> None:
        told.append(event.type)

    first, second = agent.subscribe(listener), agent.subscribe(listener)
    run_quietly(agent.prompt("q"))
    assert told.count("agent_start") == 1
    assert (first(), first(), second()) == (True, False, False)


def test_agent_check_32_listeners_are_awaited_one_after_another():
    told: list[str] = []
    agent = Bench([says("a")]).agent

    async def slow(event: Any) -> None:
        told.append("slow")
        await asyncio.sleep(0.001)
        told.append(event.type)

    def fast(event: Any) -> None:
        told.append(f"fast {event.type}")

    agent.subscribe(slow)
    agent.subscribe(fast)
    run_quietly(agent.prompt("q"))
    assert told[:3] == ["slow", "agent_start", "fast agent_start"]
    assert told[3:6] == ["slow", "turn_start", "fast turn_start"]


def test_agent_check_32_listeners_that_change_during_an_event():
    told: list[str] = []
    agent = Bench([says("a")]).agent

    def removed(event: Any) -> None:
        told.append(f"removed {event.type}")

    def added(event: Any) -> None:
        told.append(f"added {event.type}")

    def first(event: Any) -> None:
        if event.type == "agent_start":
            remove()
            agent.subscribe(added)
        told.append(f"first {event.type}")

    agent.subscribe(first)
    remove = agent.subscribe(removed)
    run_quietly(agent.prompt("q"))
    assert told[:2] == ["first agent_start", "added agent_start"]
    assert told[2:4] == ["first turn_start", "added turn_start"]
    assert not any(text.startswith("removed") for text in told)


def test_agent_check_33_the_agent_is_busy_until_the_last_listener_is_done():
    async def main() -> None:
        agent = bench.agent
        steps: list[str] = []

        async def last(event: Any) -> None:
            if isinstance(event, AgentEndEvent):
                await asyncio.sleep(0.01)
                assert agent.state.is_streaming
                agent.steer("late")
                steps.append("listener")

        async def wait() -> None:
            await agent.wait_for_idle()
            steps.append("idle")
            assert not agent.state.is_streaming
            await agent.prompt("next")

        agent.subscribe(last)
        prompting = asyncio.create_task(agent.prompt("q"))
        await asyncio.sleep(0)
        await wait()
        await prompting
        assert steps[:2] == ["listener", "idle"]
        await agent.wait_for_idle()

    bench = Bench([says("a"), says("b"), says("c")])
    run_quietly(main())
    assert bench.trace == (
        "AS TS U(q) A<T>stop TE(stop) AE[ua] AS TS U(next) U(late) A<T>stop TE(stop) AE[uua]"
    )


def test_waiting_for_idle_in_a_listener_raises_instead_of_waiting_for_ever():
    bench = Bench([says("a")])
    bench.on(AgentStartEvent, bench.agent.wait_for_idle)
    bench.prompt()
    assert bench.agent.state.error_message == "wait_for_idle() was called from inside the run"


def test_agent_check_34_state_in_listeners():
    async def slow(_args: Any, _ctx: ToolContext) -> ToolResult:
        await asyncio.sleep(0.001)
        return ToolResult.text("ok")

    bench = Bench([says(call("t1"), call("t2")), says("b")], executes={"echo": slow})
    state = bench.agent.state
    seen: list[Any] = []
    pending: list[frozenset[str]] = []

    def listener(event: Any) -> None:
        match event:
            case MessageStartEvent():
                seen.append(getattr(state.streaming_message, "role", None))
            case MessageEndEvent(message):
                assert state.messages[-1] is message
                assert state.streaming_message is None
            case ToolExecutionStartEvent():
                pending.append(state.pending_tool_calls)
            case _:
                pass

    bench.agent.subscribe(listener)
    bench.prompt()
    assert seen == ["user", "assistant", "toolResult", "toolResult", "assistant"]
    assert pending == [{"t1"}, {"t1", "t2"}]
    assert state.pending_tool_calls == frozenset()


def test_agent_check_39_defaults():
    agent = Agent(model=get_model("anthropic", "claude-sonnet-4-5"))
    assert agent.state.messages == agent.state.tools == []
    assert (agent.state.system_prompt, agent.state.thinking_level) == ("", "off")
    assert (agent.steering_queue.mode, agent.follow_up_queue.mode) == ("one-at-a-time",) * 2
    assert (agent.tool_execution, agent.tool_grace_seconds) == ("parallel", 2.0)
    assert (agent.signal, agent.state.is_streaming, agent.state.error_message) == (
        None,
        False,
        None,
    )
    agent.abort()
    run_quietly(agent.wait_for_idle())


def test_lists_given_to_the_state_are_copied():
    messages, tools = [user("q")], [echo_tool()]
    bench = Bench([says("a")], tools=tools, messages=messages)
    bench.agent.state.messages = messages
    bench.agent.state.tools = tools
    bench.prompt("x")
    assert (len(messages), len(tools)) == (1, 1)
    live = bench.agent.state.messages
    live.append(user("y"))
    assert bench.agent.state.messages is live


def test_queue_modes_are_read_when_used():
    bench = Bench([says("a"), says("b")], tools=[])
    bench.agent.steer("S1")
    bench.agent.steer("S2")
    assert len(bench.agent.peek_queued_messages()) == 1
    bench.agent.steering_queue.mode = "all"
    assert len(bench.agent.peek_queued_messages()) == 2
    bench.prompt()
    assert bench.trace == "AS TS U(q) U(S1) U(S2) A<T>stop TE(stop) AE[uuua]"


def test_queued_messages_keep_their_identity():
    bench = Bench([says("a"), says("b")], tools=[])
    steered, followed = user("S"), user("F")
    bench.agent.steer(steered)
    bench.agent.follow_up(followed)
    bench.prompt()
    assert bench.messages[1] is steered
    assert bench.messages[3] is followed


def test_an_agent_works_in_one_event_loop_after_another():
    """Nothing that a run contends for outlives the event loop it ran in."""

    async def slow(_args: Any, ctx: ToolContext) -> ToolResult:
        ctx.on_update(ToolResult.text("half"))
        return ToolResult.text("ok")

    batch = says(call("t1"), call("t2"), call("t3"))
    bench = Bench([batch, says("b"), batch, says("b")], executes={"echo": slow})

    async def listener(_event: object) -> None:
        await asyncio.sleep(0)

    bench.agent.subscribe(listener)
    for _ in range(2):
        bench.prompt()
        assert bench.agent.state.error_message is None
    assert len(bench.results) == 6


def test_listeners_are_never_re_entered():
    depth: list[int] = [0]
    deepest: list[int] = []

    async def busy(_args: Any, ctx: ToolContext) -> ToolResult:
        for number in range(5):
            ctx.on_update(ToolResult.text(str(number)))
            await asyncio.sleep(0)
        return ToolResult.text("ok")

    async def listener(_event: object) -> None:
        depth[0] += 1
        deepest.append(depth[0])
        await asyncio.sleep(0)
        depth[0] -= 1

    calls = [call(f"t{number}") for number in range(5)]
    bench = Bench([says(*calls), says("b")], executes={"echo": busy})
    bench.agent.subscribe(listener)
    bench.prompt()
    assert max(deepest) == 1
    assert bench.trace.count("x~") == 25


# --- run() ------------------------------------------------------------------------------------


def test_run_hands_out_every_event_in_step():
    bench = Bench([says("a", call("t1")), says("b")])

    async def main() -> list[Any]:
        return [event async for event in bench.agent.run("q")]

    assert run_quietly(main()) == bench.events
    assert bench.trace.endswith("AE[uata]")


@pytest.mark.parametrize("how", ["break", "aclose", "async-with", "raise", "cancel"])
def test_leaving_at_tool_execution_start_keeps_the_tool_from_running(how: str):
    ran: list[str] = []

    async def execute(_args: Any, _ctx: ToolContext) -> ToolResult:
        ran.append("tool")
        return ToolResult.text("ok")

    bench = Bench([says(call("t1"), call("t2")), says("next")], executes={"echo": execute})
    agent = bench.agent

    async def consume(events: Any) -> None:
        async for event in events:
            if isinstance(event, ToolExecutionStartEvent):
                if how == "raise":
                    raise LookupError
                break

    async def wait_inside() -> None:
        async for event in agent.run("q"):
            if isinstance(event, ToolExecutionStartEvent):
                await asyncio.Event().wait()

    async def main() -> None:
        if how == "break":
            async for event in agent.run("q"):
                if isinstance(event, ToolExecutionStartEvent):
                    break
        elif how == "aclose":
            events = agent.run("q")
            await consume(events)
            assert agent.state.is_streaming
            await events.aclose()
            await events.aclose()
            assert not agent.state.is_streaming
        elif how == "async-with":
            async with agent.run("q") as events:
                await consume(events)
            assert not agent.state.is_streaming
        elif how == "raise":
            with pytest.raises(LookupError):
                await consume(agent.run("q"))
        else:
            task = asyncio.create_task(wait_inside())
            while agent.state.pending_tool_calls == frozenset():
                await asyncio.sleep(0.001)
            await asyncio.sleep(0.005)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        # A run that was left is about to end; the next prompt waits for that by itself.
        last = await agent.prompt("again")
        assert last is not None
        assert last.text == "next"

    run_quietly(main())
    assert ran == []
    assert [r.is_error for r in bench.results] == [True, True]
    assert bench.trace.endswith("AS TS U(again) A<T>stop TE(stop) AE[ua]")


def test_a_run_that_is_never_iterated_never_starts():
    bench = Bench([says("a")])

    async def main() -> None:
        events = bench.agent.run("q")
        await events.aclose()
        assert [event async for event in events] == []
        await bench.agent.prompt("x")

    run_quietly(main())
    assert bench.trace.startswith("AS TS U(x)")


def test_run_raises_what_the_failure_path_raised():
    def fail(event: Any) -> None:
        if isinstance(event, MessageStartEvent):
            raise ValueError("listener")

    bench = Bench([says("a")])
    bench.agent.subscribe(fail)

    async def main() -> None:
        with pytest.raises(ValueError, match="listener"):
            async for _ in bench.agent.run("q"):
                pass

    run_quietly(main())
    assert not bench.agent.state.is_streaming


def test_a_slow_consumer_holds_the_run_back():
    """At every event but text in flight the run waits until the consumer asks for more."""
    bench = Bench([says("a", call("t1")), says("b")], tools=[make_tool("echo")])

    async def main() -> None:
        async for event in bench.agent.run("q"):
            if event.type != "message_update":
                await asyncio.sleep(0.001)
                assert bench.events[-1] is event

    run_quietly(main())
