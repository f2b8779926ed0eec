"""The permission seam: a hook that allows, changes, denies, or waits for a person."""

from __future__ import annotations

import asyncio
import traceback
from typing import Any

import pytest

from pi_agent import (
    AfterToolCall,
    BeforeToolCall,
    Hooks,
    ToolContext,
    ToolDecision,
    ToolExecutionEndEvent,
    ToolResult,
    tool,
)
from pi_ai import AbortSignal, TextContent, encode
from support.agent_traces import Bench, call, echo_tool, run_quietly, says


def texts(bench: Bench) -> list[str]:
    return [b.text for m in bench.results for b in m.content if isinstance(b, TextContent)]


def deciding(decide: Any, *calls: Any, **options: Any) -> Bench:
    """A bench after one batch of calls about which `decide` was asked."""
    hooks = Hooks(before_tool_call=decide, before_tool_call_timeout=options.pop("timeout", None))
    bench = Bench([says(*(calls or (call("t1"),))), says("done")], hooks=hooks, **options)
    bench.prompt()
    return bench


def test_none_and_an_empty_decision_allow():
    def decide(asked: BeforeToolCall, _signal: AbortSignal) -> ToolDecision | None:
        return ToolDecision() if asked.tool_call.id == "t1" else None

    bench = deciding(decide, call("t1"), call("t2"))
    assert texts(bench) == ["ok:x", "ok:x"]


def test_changed_arguments_are_validated_and_coerced_like_the_models():
    def decide(_asked: BeforeToolCall, _signal: AbortSignal) -> ToolDecision:
        return ToolDecision(args={"v": 5})

    bench = deciding(decide)
    assert texts(bench) == ["ok:5"]
    assert bench.assistants[0].tool_calls[0].arguments == {"v": "x"}


@pytest.mark.parametrize("raw", [True, False], ids=["schema", "function"])
def test_changed_arguments_that_do_not_fit_deny(raw: bool):
    ran: list[object] = []

    @tool
    async def echo(v: str) -> str:
        """Say it again."""
        ran.append(v)
        return v

    def decide(_asked: BeforeToolCall, _signal: AbortSignal) -> ToolDecision:
        return ToolDecision(args={"w": 1})

    bench = deciding(decide, tools=[echo_tool() if raw else echo])
    (text,) = texts(bench)
    assert text.startswith(
        'Tool execution was blocked: Validation failed for tool "echo":\n  - v: missing\n'
    )
    assert bench.results[0].is_error
    assert ran == []


def test_changed_arguments_do_not_open_a_blocked_call():
    def decide(_asked: BeforeToolCall, _signal: AbortSignal) -> ToolDecision:
        return ToolDecision(block=True, reason="no", args={"v": "y"})

    assert texts(deciding(decide)) == ["no"]


@pytest.mark.parametrize(
    ("error", "text"),
    [
        pytest.param(ValueError("policy server down"), "policy server down", id="error"),
        pytest.param(ValueError(), "ValueError", id="error-without-text"),
        pytest.param(TimeoutError("its own"), "its own", id="timeout-of-its-own"),
        pytest.param(asyncio.CancelledError(), "A hook was cancelled", id="cancelled"),
    ],
)
@pytest.mark.parametrize("timeout", [None, 5.0])
def test_a_hook_that_raises_denies(error: BaseException, text: str, timeout: float | None):
    async def decide(_asked: BeforeToolCall, _signal: AbortSignal) -> None:
        await asyncio.sleep(0)
        raise error

    bench = deciding(decide, timeout=timeout)
    assert texts(bench) == [text]
    assert bench.results[0].is_error
    assert bench.results[0].duration_ms is None
    assert bench.assistants[-1].text == "done"


def test_a_hook_that_takes_too_long_denies():
    async def decide(_asked: BeforeToolCall, _signal: AbortSignal) -> None:
        await asyncio.Event().wait()

    bench = deciding(decide, timeout=0.02)
    assert texts(bench) == ["Tool execution was blocked: no decision within 0.02 s"]


@pytest.mark.parametrize(
    ("mode", "order"),
    [
        ("parallel", ["ask t1", "ask t2", "run", "run"]),
        ("sequential", ["ask t1", "run", "ask t2", "run"]),
    ],
)
def test_a_person_is_waited_for_before_anything_runs(mode: Any, order: list[str]):
    seen: list[str] = []

    async def execute(_args: Any, _ctx: ToolContext) -> ToolResult:
        seen.append("run")
        return ToolResult.text("ok")

    async def main() -> None:
        answered = asyncio.Event()

        async def decide(asked: BeforeToolCall, _signal: AbortSignal) -> None:
            seen.append(f"ask {asked.tool_call.id}")
            await answered.wait()

        bench = Bench(
            [says(call("t1"), call("t2")), says("done")],
            executes={"echo": execute},
            hooks=Hooks(before_tool_call=decide),
            tool_execution=mode,
        )
        asking = asyncio.create_task(bench.agent.prompt("q"))
        while not seen:
            await asyncio.sleep(0)
        for _ in range(20):
            await asyncio.sleep(0)
        assert seen == ["ask t1"]
        answered.set()
        await asking

    run_quietly(main())
    assert seen == order


def test_an_abort_ends_the_wait_for_a_person():
    async def main() -> None:
        async def decide(_asked: BeforeToolCall, signal: AbortSignal) -> None:
            asyncio.get_running_loop().call_soon(bench.agent.abort)
            await asyncio.Event().wait()

        bench = Bench(
            [says(call("t1"), call("t2"))],
            hooks=Hooks(before_tool_call=decide),
            tool_grace_seconds=0.01,
        )
        await bench.agent.prompt("q")
        assert texts(bench) == ["Operation aborted"] * 2

    run_quietly(main())


# --- the traceback ----------------------------------------------------------------------------


def explode() -> None:
    raise LookupError("deep inside")


async def exploding(_args: Any, _ctx: ToolContext) -> ToolResult:
    explode()
    raise AssertionError


@tool(name="echo")
def exploding_in_a_thread(v: str) -> str:
    """Fail."""
    explode()
    return v


@pytest.mark.parametrize("plain", [False, True], ids=["async", "thread"])
def test_the_traceback_of_a_tool_is_for_the_embedder_and_not_for_the_model(plain: bool):
    asked: list[AfterToolCall] = []
    hooks = Hooks(after_tool_call=lambda after, _signal: asked.append(after))
    given: Any = {"tools": [exploding_in_a_thread]} if plain else {"executes": {"echo": exploding}}
    bench = Bench([says(call("t1")), says("done")], hooks=hooks, **given)
    bench.prompt()
    assert texts(bench) == ["deep inside"]
    (event,) = bench.of(ToolExecutionEndEvent)
    assert isinstance(event.error, LookupError)
    assert asked[0].error is event.error
    assert "explode()" in "".join(traceback.format_exception(event.error))
    assert b"explode" not in encode(event) + encode(bench.messages)


def test_a_call_that_went_well_has_no_error():
    bench = Bench([says(call("t1")), says("done")])
    bench.prompt()
    assert [event.error for event in bench.of(ToolExecutionEndEvent)] == [None]
