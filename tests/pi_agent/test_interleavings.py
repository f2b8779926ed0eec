"""Any order of prompting, queueing, aborting, tools that are slow or fail, and listeners that do.

Hypothesis makes up a plan; delays are turns of the event loop, so that a plan plays the same way
every time.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pi_agent import (
    AgentEndEvent,
    AgentEvent,
    AgentStartEvent,
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
from pi_ai import AssistantMessage, Context, TextContent, UserMessage
from support.agent_traces import Bench, call, loose_ends, says, wait_for_abort
from support.handover import ASKINGS, CLAUDE, GPT, ask

Action: TypeAlias = Literal["steer", "follow_up", "abort", "nothing"]
Ending: TypeAlias = Literal["ok", "raise", "terminate", "until_abort", "unknown"]


@dataclass(frozen=True)
class ToolPlan:
    """What one call does: wait, report, act, wait, end."""

    ticks: int
    updates: int
    action: Action
    ending: Ending


@dataclass(frozen=True)
class Plan:
    turns: list[list[ToolPlan]]
    actions: dict[int, Action] = field(default_factory=dict[int, Action])
    failing_listener_at: int | None = None
    slow_listener: bool = False
    leave_at: int | None = None
    sequential: bool = False
    steering_all: bool = False
    follow_up_all: bool = False


actions: st.SearchStrategy[Action] = st.sampled_from(["steer", "follow_up", "abort", "nothing"])
tool_plans = st.builds(
    ToolPlan,
    ticks=st.integers(0, 4),
    updates=st.integers(0, 2),
    action=st.sampled_from(["steer", "follow_up", "abort", "nothing", "nothing", "nothing"]),
    ending=st.sampled_from(["ok", "ok", "raise", "terminate", "until_abort", "unknown"]),
)
plans = st.builds(
    Plan,
    turns=st.lists(st.lists(tool_plans, max_size=3), min_size=1, max_size=3),
    actions=st.dictionaries(st.integers(0, 40), actions, max_size=5),
    failing_listener_at=st.none() | st.integers(0, 40),
    slow_listener=st.booleans(),
    leave_at=st.none() | st.integers(0, 40),
    sequential=st.booleans(),
    steering_all=st.booleans(),
    follow_up_all=st.booleans(),
)


class PlannedError(Exception):
    """Raised by a listener, as planned."""


class Player:
    """Plays a plan."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.queued: dict[str, list[str]] = {"steer": [], "follow_up": []}
        self.seen = 0
        answers = [
            says("text", *(self._call(turn, index) for index in range(len(calls))))
            for turn, calls in enumerate(plan.turns)
        ]
        self.bench = Bench(
            answers,
            executes={"planned": self._execute},
            tool_execution="sequential" if plan.sequential else "parallel",
            steering_mode="all" if plan.steering_all else "one-at-a-time",
            follow_up_mode="all" if plan.follow_up_all else "one-at-a-time",
            tool_grace_seconds=0.01,
        )
        self.agent = self.bench.agent
        self.agent.subscribe(self._listener)

    def _call(self, turn: int, index: int) -> Any:
        unknown = self.plan.turns[turn][index].ending == "unknown"
        return call(f"{turn}.{index}", "nope" if unknown else "planned")

    def act(self, action: Action) -> None:
        if action == "abort":
            self.agent.abort()
        elif action != "nothing":
            names = self.queued[action]
            names.append(f"{action}{len(names)}")
            (self.agent.steer if action == "steer" else self.agent.follow_up)(names[-1])

    async def _execute(self, args: Any, ctx: ToolContext) -> ToolResult:
        turn, index = map(int, ctx.tool_call_id.split("."))
        plan = self.plan.turns[turn][index]
        for number in range(plan.updates):
            ctx.on_update(ToolResult.text(str(number)))
        for _ in range(plan.ticks):
            await asyncio.sleep(0)
        self.act(plan.action)
        if plan.ending == "until_abort":
            asyncio.get_running_loop().call_later(0.002, self.agent.abort)
            return await wait_for_abort(args, ctx)
        if plan.ending == "raise":
            raise ToolError("planned")
        result = ToolResult.text("ok")
        result.terminate = plan.ending == "terminate"
        return result

    async def _listener(self, _event: AgentEvent) -> None:
        at, self.seen = self.seen, self.seen + 1
        self.act(self.plan.actions.get(at, "nothing"))
        if self.plan.slow_listener:
            await asyncio.sleep(0)
        if at == self.plan.failing_listener_at:
            raise PlannedError

    async def play(self) -> None:
        if self.plan.leave_at is None:
            await self._prompt("q")
        else:
            with suppress(PlannedError):  # a listener that fails at the last event
                async with self.agent.run("q") as events:
                    async for _ in events:
                        if self.seen > self.plan.leave_at:
                            break
        assert await loose_ends() == []
        for _ in range(30):
            if not self.agent.has_queued_messages():
                break
            self.bench.provider.responses = [says("more") for _ in range(30)]
            await self._prompt([])
        for model in (CLAUDE, GPT):  # any provider would take what has come of it
            messages: list[Any] = [*self.bench.messages, UserMessage("next")]
            await ask(model, Context(messages), ASKINGS["thinking-short"])
        assert await loose_ends() == []

    async def _prompt(self, prompt: Any) -> None:
        with suppress(PlannedError):
            await self.agent.prompt(prompt)
            return
        assert isinstance(self.bench.events[-1], AgentEndEvent)


# --- what always holds ------------------------------------------------------------------------


def check_nesting(events: list[Any]) -> None:
    """Every end has its start, nothing overlaps what it must not overlap."""
    in_run = in_turn = False
    message: Any = None
    running: set[str] = set()
    for event in events:
        match event:
            case AgentStartEvent():
                assert not in_run
                in_run = True
            case AgentEndEvent():
                assert in_run
                assert not in_turn
                in_run = False
            case TurnStartEvent():
                assert in_run
                assert not in_turn
                in_turn = True
            case TurnEndEvent():
                assert in_turn
                assert (message, running) == (None, set())
                in_turn = False
            case MessageStartEvent():
                assert in_turn
                assert message is None
                message = event.message
            case MessageUpdateEvent():
                assert isinstance(message, AssistantMessage)
            case MessageEndEvent():
                assert type(event.message) is type(message)
                message = None
            case ToolExecutionStartEvent(call_id):
                assert in_turn
                assert message is None
                assert call_id not in running
                running.add(call_id)
            case ToolExecutionUpdateEvent(call_id):
                assert call_id in running
            case ToolExecutionEndEvent(call_id):
                running.remove(call_id)
            case _:
                raise AssertionError(event)
    assert (in_run, in_turn, message, running) == (False, False, None, set())


def check_calls(player: Player) -> None:
    wanted = Counter(
        block.id
        for message in player.bench.assistants
        if message.stop_reason not in {"error", "aborted"}
        for block in message.tool_calls
    )
    assert Counter(result.tool_call_id for result in player.bench.results) == wanted
    ends = Counter(event.tool_call_id for event in player.bench.of(ToolExecutionEndEvent))
    assert ends == wanted


def check_queues(player: Player) -> None:
    """All that was queued was delivered, once and in order."""
    told = [
        block.text
        for message in player.bench.messages
        if isinstance(message, UserMessage) and isinstance(message.content, list)
        for block in message.content
        if isinstance(block, TextContent)
    ]
    for kind, names in player.queued.items():
        assert [text for text in told if text.startswith(kind)] == names
    assert told.count("q") <= 1


def check_messages(player: Player) -> None:
    """The transcript is what the events said, in their order."""
    ended = [event.message for event in player.bench.of(MessageEndEvent)]
    stored = player.bench.messages[1:]
    assert list(map(id, stored)) == list(map(id, ended))
    listed = [m for event in player.bench.of(AgentEndEvent) for m in event.messages]
    assert list(map(id, listed)) == list(map(id, ended))


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(plan=plans)
def test_any_interleaving_keeps_the_transcript_whole(plan: Plan):
    player = Player(plan)
    complaints: list[object] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, told: complaints.append(told))
        async with asyncio.timeout(5):
            await player.play()

    asyncio.run(main())
    assert complaints == []
    assert not player.agent.state.is_streaming
    assert not player.agent.has_queued_messages()
    check_nesting(player.bench.events)
    check_calls(player)
    check_queues(player)
    check_messages(player)
