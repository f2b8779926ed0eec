"""Stopping a run: every way, at every point.

Whatever happens, what was received is kept, every call has its one result, nothing is left
running, and the agent answers the next prompt.
"""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import pytest

from pi_agent import (
    AgentStartEvent,
    Hooks,
    MessageEndEvent,
    MessageUpdateEvent,
    ToolContext,
    ToolExecutionEndEvent,
    ToolExecutionUpdateEvent,
    ToolResult,
    TurnEndEvent,
)
from pi_ai import AssistantMessage, ThinkingContent, ToolCall, ToolResultMessage
from pi_ai.replay import NO_RESULT_TEXT, transform_messages
from support.agent_traces import Bench, call, loose_ends, says, wait_for_abort

GRACE_SECONDS = 0.03


class Stage:
    """An agent whose run comes to a point where `trigger` is called, once."""

    def __init__(self, point: str) -> None:
        self.point = point
        self.trigger: Callable[[], object] = lambda: None
        self.reached = False
        self.tools_ended = 0
        first = says(
            ThinkingContent("thinking about it " * 2),
            "some long text " * 2,
            call("t1", "subject", v="some long argument"),
            call("t2"),
        )
        hooks = Hooks(before_tool_call=self._before, finish_turn=self._finish_turn)
        self.bench = Bench(
            [first, says("done")],
            executes={"subject": self._execute},
            hooks=hooks,
            tool_grace_seconds=GRACE_SECONDS,
        )
        self.agent = self.bench.agent
        self._listen()

    def reach(self, point: str) -> None:
        if point == self.point and not self.reached:
            self.reached = True
            self.trigger()

    def _listen(self) -> None:
        updates = {"in_text": "text", "in_thinking": "thinking", "in_tool_call": "toolcall"}
        events: dict[str, Any] = {
            "agent_start": AgentStartEvent,
            "message_end": MessageEndEvent,
            "slow_listener": MessageEndEvent,
            "tool_update": ToolExecutionUpdateEvent,
            "tool_end": ToolExecutionEndEvent,
            "turn_end": TurnEndEvent,
            "steering_queued": TurnEndEvent,
        }

        async def listener(event: Any) -> None:
            wanted = events.get(self.point)
            if self.point in updates:
                delta = f"{updates[self.point]}_delta"
                at = isinstance(event, MessageUpdateEvent)
                at = at and event.assistant_message_event.type == delta
            else:
                at = wanted is not None and isinstance(event, wanted)
            if isinstance(event, MessageEndEvent):
                at = at and isinstance(event.message, AssistantMessage)
            if at:
                self.reach(self.point)
                if self.point == "slow_listener":
                    await asyncio.sleep(0.02)

        self.agent.subscribe(listener)

    async def _before(self, asked: Any, _signal: object) -> None:
        if asked.tool_call.id == "t1":
            self.reach("before_hook")
        await asyncio.sleep(0)

    async def _finish_turn(self, _turn: object, _signal: object) -> None:
        self.reach("finish_turn")
        await asyncio.sleep(0)

    async def _execute(self, args: Any, ctx: ToolContext) -> ToolResult:
        try:
            if self.point == "steering_queued":
                self.agent.steer("S")
            if self.point.startswith(("in_tool_running", "in_tool_ignoring", "tool_update")):
                ctx.on_update(ToolResult.text("half"))
                self.reach("in_tool_running")
                self.reach("in_tool_ignoring")
                if self.point == "in_tool_ignoring":
                    await asyncio.sleep(60)
                return await wait_for_abort(args, ctx)
            await asyncio.sleep(0)
            return ToolResult.text("ok")
        finally:
            self.tools_ended += 1

    # --- afterwards ---------------------------------------------------------------------------

    def check_transcript(self) -> None:
        agent, messages = self.agent, self.bench.messages
        assert self.reached
        assert (agent.signal, agent.state.is_streaming) == (None, False)
        assert agent.state.pending_tool_calls == frozenset()
        assert agent.state.streaming_message is None
        calls = [
            block.id
            for m in self.bench.assistants
            if m.stop_reason not in {"error", "aborted"}
            for block in m.tool_calls
        ]
        assert [result.tool_call_id for result in self.bench.results] == calls
        sent = transform_messages(messages, self.bench.provider.model)
        kept = [m for m in sent if isinstance(m, ToolResultMessage)]
        assert [id(m) for m in kept] == [id(m) for m in self.bench.results]
        assert all(NO_RESULT_TEXT not in str(m.content) for m in kept)

    def check_what_was_received(self) -> None:
        first = self.bench.assistants[0]
        if self.point in {"in_thinking", "in_text", "in_tool_call"}:
            assert first.stop_reason == "aborted"
            block = first.content[{"in_thinking": 0, "in_text": 1, "in_tool_call": 2}[self.point]]
            match block:
                case ThinkingContent(thinking):
                    assert thinking.startswith("thinking ")
                case ToolCall():
                    assert block.name == "subject"
                case _:
                    assert block.text.startswith("some long ")
        elif self.point == "agent_start":
            assert [m.stop_reason for m in self.bench.assistants] == ["aborted"]
        else:
            assert first.stop_reason == "toolUse"
            assert [block.id for block in first.tool_calls] == ["t1", "t2"]
            assert len(self.bench.results) == 2

    async def check_next_prompt(self) -> None:
        self.bench.provider.responses = [says("fine"), says("fine")]
        self.bench.events.clear()
        last = await self.agent.prompt("next")
        assert last is not None
        assert (last.text, last.stop_reason) == ("fine", "stop")
        assert self.bench.trace.startswith("AS TS U(next)")
        steered = [m for m in self.bench.messages if "'S'" in str(m)]
        assert len(steered) == (1 if self.point == "steering_queued" else 0)
        self.check_transcript()


POINTS = [
    "agent_start",
    "in_thinking",
    "in_text",
    "in_tool_call",
    "message_end",
    "slow_listener",
    "before_hook",
    "in_tool_running",
    "in_tool_ignoring",
    "tool_update",
    "tool_end",
    "finish_turn",
    "turn_end",
    "steering_queued",
]

Way = Callable[[Stage], Coroutine[Any, Any, None]]


async def by_abort(stage: Stage) -> None:
    stage.trigger = stage.agent.abort
    await stage.agent.prompt("q")


async def by_abort_in_a_thread(stage: Stage) -> None:
    def abort() -> None:
        subject = asyncio.get_running_loop().run_in_executor(None, stage.agent.abort)
        subject.add_done_callback(lambda _: None)

    stage.trigger = abort
    await stage.agent.prompt("q")


async def by_cancelling_the_waiter(stage: Stage) -> None:
    task = asyncio.create_task(stage.agent.prompt("q"))
    stage.trigger = task.cancel
    with pytest.raises(asyncio.CancelledError):
        await task


async def by_timeout(stage: Stage) -> None:
    loop = asyncio.get_running_loop()
    limit = asyncio.timeout(None)
    stage.trigger = lambda: limit.reschedule(loop.time())
    with pytest.raises(TimeoutError):
        async with limit:
            await stage.agent.prompt("q")


async def by_cancelling_the_consumer(stage: Stage) -> None:
    async def consume() -> None:
        async for _ in stage.agent.run("q"):
            pass

    task = asyncio.create_task(consume())
    stage.trigger = task.cancel
    with pytest.raises(asyncio.CancelledError):
        await task


async def by_leaving(stage: Stage) -> None:
    async for _ in stage.agent.run("q"):
        if stage.reached:
            break
    await stage.agent.wait_for_idle()


async def by_aclose(stage: Stage) -> None:
    events = stage.agent.run("q")
    async for _ in events:
        if stage.reached:
            break
    await events.aclose()


WAYS: dict[str, Way] = {
    "abort": by_abort,
    "cancel": by_cancelling_the_waiter,
    "timeout": by_timeout,
    "cancel_consumer": by_cancelling_the_consumer,
    "leave": by_leaving,
    "aclose": by_aclose,
}


class Loop:
    """Runs coroutines in an event loop of its own, in debug mode; what goes wrong is noted."""

    def __init__(self) -> None:
        self.complaints: list[object] = []

    def run(self, main: Callable[[], Coroutine[Any, Any, None]]) -> None:
        async def noting() -> None:
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(lambda _, told: self.complaints.append(told))
            async with asyncio.timeout(5):
                await main()

        asyncio.run(noting(), debug=True)
        assert self.complaints == []


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("way", WAYS)
def test_stop(way: str, point: str):
    stage = Stage(point)

    async def main() -> None:
        started = time.monotonic()
        await WAYS[way](stage)
        # twice the grace for a tool that ignores the signal, and time for a busy machine
        assert time.monotonic() - started < 2 * GRACE_SECONDS + 1
        assert await loose_ends() == []
        stage.check_transcript()
        stage.check_what_was_received()
        await stage.check_next_prompt()
        assert await loose_ends() == []

    Loop().run(main)


@pytest.mark.parametrize("point", POINTS)
def test_stop_from_another_thread(point: str):
    """An abort from a thread takes effect a little later, but always within the run or after it."""
    stage = Stage(point)

    async def main() -> None:
        await by_abort_in_a_thread(stage)
        stage.check_transcript()
        await stage.check_next_prompt()

    Loop().run(main)


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("consumer", ["prompt", "run"])
def test_closing_the_event_loop_around_a_run(point: str, consumer: str):
    """What asyncio.run does when its coroutine ends, or when the user presses Ctrl-C."""
    stage = Stage(point)
    loop = Loop()

    async def follow() -> None:
        if consumer == "prompt":
            await stage.agent.prompt("q")
        else:
            async for _ in stage.agent.run("q"):
                pass

    async def main() -> None:
        reached = asyncio.Event()
        stage.trigger = reached.set
        running = asyncio.create_task(follow())
        await reached.wait()
        assert not running.done()
        # the run goes on; asyncio.run now cancels every task at once

    loop.run(main)
    stage.check_transcript()
    if point != "agent_start":
        stage.check_what_was_received()
    loop.run(stage.check_next_prompt)


@pytest.fixture
def quick_cleanup(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("pi_agent.failure.CLEANUP_SECONDS", 0.1)


@pytest.mark.usefixtures("quick_cleanup")
def test_a_listener_that_never_returns_does_not_keep_the_event_loop_open():
    stage = Stage("message_end")
    loop = Loop()

    async def main() -> None:
        reached = asyncio.Event()
        stage.trigger = reached.set
        running = asyncio.create_task(stage.agent.prompt("q"))
        await reached.wait()
        stage.agent.subscribe(lambda _event: asyncio.Event().wait())
        await asyncio.sleep(0.01)
        assert not running.done()

    started = time.monotonic()
    loop.run(main)
    assert time.monotonic() - started < 1
    assert not stage.agent.state.is_streaming


@pytest.mark.usefixtures("quick_cleanup")
def test_a_listener_that_never_returns_cannot_hold_a_cancelled_waiter():
    stage = Stage("message_end")

    async def main() -> None:
        task = asyncio.create_task(stage.agent.prompt("q"))

        async def hang(event: object) -> None:
            if isinstance(event, MessageEndEvent):
                task.cancel()
                await asyncio.Event().wait()

        unsubscribe = stage.agent.subscribe(hang)
        with pytest.raises(asyncio.CancelledError):
            await task
        unsubscribe()
        assert await loose_ends() == []
        assert not stage.agent.state.is_streaming
        await stage.check_next_prompt()

    stage.reached = True
    Loop().run(main)


def test_cancelling_twice_changes_nothing():
    stage = Stage("in_tool_ignoring")

    async def main() -> None:
        task = asyncio.create_task(stage.agent.prompt("q"))
        loop = asyncio.get_running_loop()

        def cancel() -> None:
            for delay in (0, 0.005, 0.01):
                loop.call_later(delay, task.cancel)

        stage.trigger = cancel
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await loose_ends() == []
        stage.check_transcript()
        await stage.check_next_prompt()

    Loop().run(main)


def test_a_run_cancelled_before_its_first_step_leaves_the_agent_usable():
    stage = Stage("none")
    stage.reached = True

    async def main() -> None:
        stage.agent.steer("S")
        task = asyncio.create_task(stage.agent.prompt("q"))
        await asyncio.sleep(0)
        for other in asyncio.all_tasks() - {asyncio.current_task(), task}:
            other.cancel()
        with suppress(asyncio.CancelledError):
            await task
        assert len(stage.agent.steering_queue) == 1
        stage.agent.clear_all_queues()
        await stage.check_next_prompt()

    Loop().run(main)


SCRIPT = """
    import asyncio, sys
    from pi_agent import Agent, ToolContext, tool
    from pi_ai.testing import FauxProvider, faux_message, faux_tool_call

    @tool
    async def forever(ctx: ToolContext) -> str:
        "Never ends."
        print("running", flush=True)
        await asyncio.sleep(60)
        return "no"

    provider = FauxProvider([faux_message(faux_tool_call("forever", {}, call_id="t1"))])
    agent = Agent(model=provider.model, models=provider.models, tools=[forever],
                  tool_grace_seconds=0.05)
    try:
        asyncio.run(agent.prompt("q"))
    except KeyboardInterrupt:
        print([getattr(m, "stop_reason", m.role) for m in agent.state.messages], flush=True)
        print(agent.state.messages[3].content[0].text, flush=True)
        sys.exit(7)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")
def test_ctrl_c_leaves_a_whole_transcript():
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(SCRIPT)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "running\n"
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=10)
    # in Python's development mode asyncio reports slow steps, which a busy machine has
    assert [line for line in errors.splitlines() if not line.startswith("Executing ")] == []
    assert output == ("['system', 'user', 'toolUse', 'toolResult', 'aborted']\nOperation aborted\n")
    assert process.returncode == 7
