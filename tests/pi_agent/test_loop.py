"""Turns: what is asked of hooks and models, in which order, and what changes between requests."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pi_agent import (
    AgentEndEvent,
    AgentStartEvent,
    Hooks,
    MessageEndEvent,
    MessageStartEvent,
    MessageUpdateEvent,
    Prepared,
    RunContext,
    ToolContext,
    ToolResult,
    Turn,
    TurnEndEvent,
    TurnStartEvent,
)
from pi_ai import (
    AssistantMessage,
    Context,
    SystemMessage,
    TextContent,
    ToolResultMessage,
)
from support.agent_traces import (
    Bench,
    NoticeMessage,
    call,
    echo_tool,
    make_tool,
    says,
    user,
)


def test_agent_check_08_what_a_request_is_made_of():
    seen: list[tuple[Context, Any]] = []
    keys = iter(["k1", ""])
    bench = Bench(
        [says("a"), says("b")],
        system_prompt="SP",
        stream_options={"api_key": "fallback", "max_tokens": 7},
        hooks=Hooks(get_api_key=lambda _provider: next(keys)),
    )
    ask = bench.agent.stream

    def spying(model: Any, context: Context, options: Any) -> Any:
        seen.append((context, dict(options)))
        return ask(model, context, options)

    bench.agent.stream = spying
    bench.prompt()
    bench.agent.state.thinking_level = "low"
    bench.prompt()
    (context, first), (_, second) = seen
    assert (context.system_prompt, context.tools) == (None, None)
    assert isinstance(context.messages[0], SystemMessage)
    assert first.get("reasoning") is None
    assert second["reasoning"] == "low"
    assert (first["api_key"], second["api_key"]) == ("k1", "fallback")
    assert (first["max_tokens"], bench.agent.stream_options) == (
        7,
        {"api_key": "fallback", "max_tokens": 7},
    )


@pytest.mark.parametrize(
    "events",
    [
        (AgentStartEvent, 1),
        (TurnStartEvent, 1),
        (MessageStartEvent, 1),
        (MessageEndEvent, 1),
        (MessageStartEvent, 2),
        (MessageEndEvent, 2),
        (TurnEndEvent, 1),
    ],
    ids=lambda pair: f"{pair[0].__name__}-{pair[1]}",
)
def test_agent_check_26_a_listener_that_raises_once_ends_the_run(events: tuple[Any, int]):
    def fail() -> None:
        raise ValueError("listener")

    bench = Bench([says("a"), says("b")])
    kind, nth = events
    bench.on(kind, fail, nth=nth)
    last = bench.prompt()
    assert last is bench.messages[-1]
    assert last is not None
    assert (last.stop_reason, last.error_message) == ("error", "listener")
    (end,) = bench.of(AgentEndEvent)
    assert end.messages == bench.messages[1:]
    assert [type(e) for e in bench.events].count(TurnStartEvent) == len(bench.of(TurnEndEvent))
    assert not bench.agent.state.is_streaming
    assert bench.prompt() is not None
    assert bench.trace.endswith("A<T>stop TE(stop) AE[ua]")


def test_agent_check_26_a_listener_that_always_raises():
    def fail(event: object) -> None:
        if isinstance(event, MessageStartEvent):
            raise ValueError("listener")

    bench = Bench([says("a")])
    bench.agent.subscribe(fail)
    with pytest.raises(ValueError, match="listener"):
        bench.prompt()
    assert not bench.agent.state.is_streaming
    assert bench.agent.signal is None


def test_a_listener_that_raises_at_the_end_makes_prompt_raise():
    def fail() -> None:
        raise ValueError("listener")

    bench = Bench([says("a")])
    bench.on(AgentEndEvent, fail)
    with pytest.raises(ValueError, match="listener"):
        bench.prompt()
    assert bench.trace == "AS TS U(q) A<T>stop TE(stop) AE[ua]"
    assert not bench.agent.state.is_streaming


def test_agent_check_25_an_abort_before_the_raise_makes_the_end_aborted():
    def fail(*_: object) -> None:
        bench.agent.abort()
        raise ValueError("no")

    bench = Bench(convert_to_llm=fail)
    last = bench.prompt()
    assert last is not None
    assert (last.stop_reason, last.error_message) == ("aborted", "no")


@pytest.mark.parametrize(
    "hook",
    ["transform_context", "get_api_key", "finish_turn", "prepare_request", "prepare_next_turn"],
)
def test_a_hook_that_ignores_an_abort_is_cancelled(hook: str):
    async def stuck(*_: object) -> None:
        bench.agent.abort()
        await asyncio.sleep(60)

    hooks = Hooks(**{hook: stuck})
    bench = Bench([says(call("t1")), says("b")], hooks=hooks, tool_grace_seconds=0.02)
    last = bench.prompt()
    assert last is not None
    assert (last.stop_reason, last.error_message) == ("aborted", "Request was aborted")


def test_agent_check_27_a_prepared_level_holds_for_the_run():
    level = Prepared(thinking_level="high")
    hooks = Hooks(prepare_next_turn=lambda _turn, _signal: level)
    bench = Bench([says(call("t1")), says(call("t2")), says("b"), says("c")], hooks=hooks)
    bench.prompt()
    bench.prompt()
    assert [m.thinking_level for m in bench.assistants] == ["off", "high", "high", "off"]
    assert [r.options.get("reasoning") for r in bench.provider.requests[:2]] == [None, "high"]
    assert bench.agent.state.thinking_level == "off"


def test_agent_check_27_a_prepared_context_replaces_messages_and_tools():
    other = make_tool("other")

    def prepare(asked: Any, _signal: object) -> Prepared:
        return Prepared(context=RunContext([user("only")], [other]))

    bench = Bench([says(call("t1", "other")), says("b")], hooks=Hooks(prepare_request=prepare))
    bench.prompt()
    assert [m.role for m in bench.provider.requests[0].messages] == ["user"]
    assert not bench.results[0].is_error
    assert [m.role for m in bench.messages][:3] == ["system", "user", "assistant"]


def test_agent_check_28_order_of_callbacks():
    """Two turns; the order of the spec's section 3."""

    def noting(name: str, value: Any = None) -> Any:
        def hook(*_: object) -> Any:
            bench.note(name)
            return value

        return hook

    async def execute(_args: Any, _ctx: ToolContext) -> ToolResult:
        bench.note("execute")
        return ToolResult.text("ok")

    def prepare_arguments(raw: Any) -> Any:
        bench.note("prepare_arguments")
        return raw

    def convert(messages: Any) -> Any:
        bench.note("convert_to_llm")
        return messages

    def transform(messages: Any, _signal: object) -> Any:
        bench.note("transform_context")
        return messages

    bench = Bench(
        [says(call("t1")), says("b")],
        tools=[make_tool("echo", execute, prepare_arguments=prepare_arguments)],
        convert_to_llm=convert,
        hooks=Hooks(
            transform_context=transform,
            get_api_key=noting("get_api_key"),
            before_tool_call=noting("before"),
            after_tool_call=noting("after"),
            finish_turn=noting("finish_turn"),
            prepare_request=noting("prepare_request"),
            prepare_next_turn=noting("prepare_next_turn"),
        ),
    )
    ask = bench.agent.stream

    def stream(*request: Any) -> Any:
        bench.note("stream")
        return ask(*request)

    bench.agent.stream = stream
    poll = bench.agent.steering_queue.drain

    def drain() -> Any:
        bench.note("poll")
        return poll()

    bench.agent.steering_queue.drain = drain
    bench.prompt()
    request = "prepare_request transform_context convert_to_llm get_api_key stream"
    assert bench.trace == (
        f"AS TS U(q) poll {request} A<C>toolUse x+t1 prepare_arguments before execute after x-t1 "
        "R(t1) finish_turn TE(toolUse|t1) poll prepare_next_turn poll TS "
        f"{request} A<T>stop finish_turn TE(stop) poll AE[uata]"
    )


def test_agent_check_35_identity_of_messages():
    bench = Bench([says("a", call("t1")), says("b")])
    bench.prompt()
    ends = [event.message for event in bench.of(MessageEndEvent)]
    (end,) = bench.of(AgentEndEvent)
    stored = bench.messages[1:]
    assert list(map(id, ends)) == list(map(id, stored)) == list(map(id, end.messages))
    turn, last = bench.of(TurnEndEvent)
    assert turn.message is stored[1]
    assert turn.tool_results[0] is stored[2]
    assert last.message is stored[3]
    for start, ended in zip(bench.of(MessageStartEvent), ends, strict=True):
        same = start.message is ended
        assert same is not isinstance(ended, AssistantMessage)
    first = bench.of(MessageStartEvent)[1].message
    assert isinstance(first, AssistantMessage)
    assert (first.stop_reason, first.content) == ("pending", [])


def test_agent_check_37_changes_in_a_run_wait_for_the_next():
    blocked: list[str] = []

    async def execute(_args: Any, _ctx: ToolContext) -> ToolResult:
        state = bench.agent.state
        state.thinking_level = "low"
        state.tools = [make_tool("other")]
        bench.agent.hooks.before_tool_call = lambda asked, _signal: blocked.append(
            asked.tool_call.id
        )
        return ToolResult.text("ok")

    first = [says(call("t1")), says(call("t2")), says("b")]
    bench = Bench([*first, says(call("t3", "other")), says("d")], executes={"echo": execute})
    bench.prompt()
    assert [m.thinking_level for m in bench.assistants] == ["off", "off", "off"]
    assert [r.is_error for r in bench.results] == [False, False]
    assert blocked == []
    bench.prompt()
    assert bench.assistants[-1].thinking_level == "low"
    assert blocked == ["t3"]
    assert not bench.results[-1].is_error


def test_agent_check_38_what_is_sent_is_not_what_is_stored():
    converted: list[int] = []

    def transform(messages: Any, _signal: object) -> Any:
        messages.append(user("extra"))
        return messages

    def convert(messages: Any) -> Any:
        converted.append(len(messages))
        return [m for m in messages if not isinstance(m, NoticeMessage)]

    hooks = Hooks(transform_context=transform)
    bench = Bench([says("a")], hooks=hooks, tools=[], convert_to_llm=convert)
    bench.prompt([NoticeMessage("n"), user("q")])
    assert converted == [3]
    assert [m.role for m in bench.messages] == ["notification", "user", "assistant"]
    assert [m.role for m in bench.provider.requests[0].messages] == ["user", "user"]


def test_agent_check_38_the_default_converter_drops_custom_roles():
    bench = Bench([says("a")], tools=[])
    bench.prompt([NoticeMessage("n"), user("q")])
    assert [m.role for m in bench.provider.requests[0].messages] == ["user"]


def test_a_converter_that_lets_a_custom_message_through_is_told():
    bench = Bench([says("a")], tools=[], convert_to_llm=lambda messages: messages)
    last = bench.prompt([NoticeMessage("n")])
    assert last is not None
    assert last.error_message is not None
    assert "NoticeMessage" in last.error_message


def test_finish_turn_sees_the_turn():
    turns: list[Turn] = []
    hooks = Hooks(finish_turn=lambda turn, _signal: turns.append(turn))
    bench = Bench([says(call("t1")), says("b", stop_reason="error")], hooks=hooks)
    bench.prompt()
    assert [t.message for t in turns] == bench.assistants
    assert [len(t.tool_results) for t in turns] == [1, 0]
    assert isinstance(turns[0].tool_results[0], ToolResultMessage)


def test_messages_that_could_not_be_delivered_go_back_to_their_queue():
    """A run that breaks between taking from a queue and committing loses nothing."""

    def fail(*_: object) -> None:
        raise ValueError("no")

    async def execute(_args: Any, _ctx: ToolContext) -> ToolResult:
        bench.agent.steer("S1")
        bench.agent.steer("S2")
        return ToolResult.text("ok")

    bench = Bench(
        [says(call("t1")), says("b")],
        executes={"echo": execute},
        hooks=Hooks(prepare_next_turn=fail),
        steering_mode="all",
    )
    bench.prompt()
    assert [m.content[0].text for m in bench.agent.steering_queue] == ["S1", "S2"]
    bench.agent.hooks.prepare_next_turn = None
    bench.prompt([])
    assert bench.trace.endswith("AS TS U(S1) U(S2) A<T>stop TE(stop) AE[uua]")


def test_an_abort_while_preparing_leaves_the_steering_queued():
    async def execute(_args: Any, _ctx: ToolContext) -> ToolResult:
        bench.agent.steer("S")
        return ToolResult.text("ok")

    hooks = Hooks(prepare_next_turn=lambda _turn, _signal: bench.agent.abort())
    bench = Bench([says(call("t1"))], executes={"echo": execute}, hooks=hooks)
    bench.prompt()
    assert bench.trace.endswith("TE(toolUse|t1) TS A<>aborted TE(aborted) AE[uata]")
    assert len(bench.agent.steering_queue) == 1


@pytest.mark.parametrize("nth", [1, 2])
def test_a_listener_that_fails_at_an_injected_message_keeps_it_once(nth: int):
    """What was shown is committed, what was not goes back; nothing is in both places."""

    def fail() -> None:
        raise ValueError("listener")

    bench = Bench([says("a"), says("b")], tools=[], steering_mode="all")
    bench.agent.steer("S1")
    bench.agent.steer("S2")
    bench.on(MessageStartEvent, fail, nth=1 + nth)
    bench.prompt()
    assert len(bench.agent.steering_queue) == 2 - nth
    bench.prompt("again")
    texts = [m.content[0].text for m in bench.messages if m.role == "user"]
    assert sorted(texts) == ["S1", "S2", "again", "q"]


def test_messages_taken_by_continue_are_not_lost_either():
    def fail() -> None:
        raise ValueError("listener")

    bench = Bench([says("a")], tools=[], messages=[user("q"), says("z")])
    bench.agent.follow_up("F")
    bench.on(AgentStartEvent, fail)
    asyncio.run(bench.agent.continue_())
    assert len(bench.agent.follow_up_queue) == 1
    assert bench.messages[-1].error_message == "listener"


def test_a_partial_answer_is_kept_when_a_listener_breaks_the_run():
    def fail() -> None:
        raise ValueError("listener")

    bench = Bench([says("a long text " * 10)])
    bench.on(MessageUpdateEvent, fail, nth=4)
    last = bench.prompt()
    assert last is not None
    (block,) = last.content
    assert isinstance(block, TextContent)
    assert block.text.startswith("a long text a long ")
    assert last.usage.input > 0
    assert bench.trace.startswith("AS TS U(q) A<text_start text_delta")
    assert bench.trace.endswith(">error TE(error) AE[ua]")


def test_the_same_tools_are_not_declared_again_at_each_request():
    bench = Bench([says(call("t1")), says(call("t2")), says("b")], tools=[echo_tool()])
    bench.prompt()
    assert "SYS" not in bench.trace


@pytest.mark.parametrize(
    ("kind", "trace"),
    [
        (AgentStartEvent, "AS TS U(q) A<>aborted TE(aborted) AE[ua]"),
        (TurnEndEvent, "AS TS U(q) A<T>stop TE(stop) AE[ua]"),
    ],
    ids=["before-the-first-request", "after-the-last-turn"],
)
def test_an_abort_leaves_the_queues_alone(kind: Any, trace: str):
    bench = Bench([says("a"), says("b")], tools=[])

    def stop() -> None:
        bench.agent.steer("S")
        bench.agent.follow_up("F")
        bench.agent.abort()

    bench.on(kind, stop)
    bench.prompt()
    assert bench.trace == trace
    assert (len(bench.agent.steering_queue), len(bench.agent.follow_up_queue)) == (1, 1)
