"""Tool calls: what is run, with which arguments, and what becomes of the result."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import msgspec
import pytest

from pi_agent import (
    CLEAR,
    Hooks,
    ToolContext,
    ToolDecision,
    ToolError,
    ToolExecutionEndEvent,
    ToolExecutionStartEvent,
    ToolExecutionUpdateEvent,
    ToolResult,
    ToolRevision,
    tool,
)
from pi_ai import AbortError, AssistantEvent, TextContent, ToolCall, Usage, encode
from pi_ai.builder import MessageBuilder
from support.agent_traces import (
    ECHO_SCHEMA,
    Bench,
    call,
    echo_tool,
    make_tool,
    run_quietly,
    says,
    scripted,
    wait_for_abort,
)


def result_text(bench: Bench, index: int = 0) -> str:
    (block,) = bench.results[index].content
    assert isinstance(block, TextContent)
    return block.text


def one_call(*calls: ToolCall, **options: Any) -> Bench:
    """A bench after one batch of calls and an answer."""
    bench = Bench([says(*calls), says("done")], **options)
    bench.prompt()
    return bench


def returning(result: Any) -> Any:
    async def execute(_args: Any, _ctx: ToolContext) -> Any:
        return result

    return execute


def raising(error: BaseException) -> Any:
    async def execute(_args: Any, _ctx: ToolContext) -> Any:
        raise error

    return execute


def test_agent_check_04_stored_result():
    bench = one_call(call("t1"))
    stored = json.loads(encode(bench.results[0]))
    assert stored.pop("timestamp") > 0
    assert stored.pop("durationMs") >= 0
    assert stored == {
        "role": "toolResult",
        "toolCallId": "t1",
        "toolName": "echo",
        "content": [{"type": "text", "text": "ok:x"}],
        "details": {"v": "x"},
        "isError": False,
    }


def test_agent_check_10_events_and_transcript_keep_the_raw_arguments():
    seen: list[Any] = []

    async def execute(args: Any, ctx: ToolContext) -> ToolResult:
        seen.append(dict(args))
        args["v"] = "mutated"
        ctx.on_update(ToolResult.text("half"))
        return ToolResult.text("ok")

    made = make_tool("echo", execute, prepare_arguments=lambda raw: {"v": raw["old"]})
    bench = one_call(call("t1", old="y"), tools=[made])
    assert seen == [{"v": "y"}]
    (start,) = bench.of(ToolExecutionStartEvent)
    (update,) = bench.of(ToolExecutionUpdateEvent)
    assert start.args == update.args == {"old": "y"}
    assert bench.assistants[0].tool_calls[0].arguments == {"old": "y"}


@pytest.mark.parametrize(
    ("error", "text"),
    [
        pytest.param(ToolError("boom"), "boom", id="text"),
        pytest.param(KeyError(), "KeyError", id="no-text"),
        pytest.param(asyncio.CancelledError(), "Tool echo was cancelled", id="cancelled-itself"),
        pytest.param(AbortError(), "Request was aborted", id="abort-of-its-own"),
    ],
)
def test_agent_check_11_a_tool_that_raises(error: BaseException, text: str):
    bench = one_call(call("t1"), executes={"echo": raising(error)})
    (result,) = bench.results
    assert result_text(bench) == text
    assert result.details == {}
    assert result.is_error
    assert result.duration_ms is not None
    assert bench.assistants[-1].text == "done"


def test_agent_check_12_an_error_result_is_kept_whole():
    given = ToolResult(
        [TextContent("bad")], details={"a": 1}, structured_content={"s": 1}, is_error=True
    )
    bench = one_call(call("t1"), executes={"echo": returning(given)})
    stored = json.loads(encode(bench.results[0]))
    assert (stored["isError"], stored["details"]) == (True, {"a": 1})
    assert "structuredContent" not in stored
    assert "terminate" not in stored
    (end,) = bench.of(ToolExecutionEndEvent)
    assert end.result.structured_content == {"s": 1}


def test_agent_check_13_unknown_tool():
    bench = one_call(call("t1", "nope"))
    assert result_text(bench) == "Tool nope not found"
    (end,) = bench.of(ToolExecutionEndEvent)
    assert b"durationMs" not in encode(end)
    assert b"durationMs" not in encode(bench.results[0])


def test_agent_check_14_arguments_that_do_not_fit():
    assert result_text(one_call(call("t1", w=1))) == (
        'Validation failed for tool "echo":\n  - v: missing\n  - w: unknown field\n\n'
        'Received arguments:\n{\n  "w": 1\n}'
    )


def test_agent_check_15_arguments_that_could_not_be_read():
    def before(_asked: object, _signal: object) -> None:
        raise AssertionError

    async def answer(builder: MessageBuilder) -> AsyncGenerator[Sequence[AssistantEvent], None]:
        yield [builder.start()]
        if len(bench.assistants) == 0:
            yield [builder.tool_call_start("t1", "echo"), builder.tool_call(0, '{"v": ')]
            yield [builder.end(0)]
        builder.stop("stop")

    bench = Bench(stream=scripted(answer), hooks=Hooks(before_tool_call=before))
    bench.prompt()
    (sent,) = bench.assistants[0].tool_calls
    assert sent.arguments_error
    assert result_text(bench) == f'Invalid arguments for tool "echo": {sent.arguments_error}'


def test_agent_check_16_lossless_coercion():
    seen: list[Any] = []

    async def execute(args: Any, _ctx: ToolContext) -> ToolResult:
        seen.append(args)
        return ToolResult.text("ok")

    schema = {
        "type": "object",
        "properties": {
            "n": {"type": "number"},
            "b": {"type": "boolean"},
            "a": {"type": "array", "items": {"type": "string"}},
            "o": {"type": "string"},
        },
        "required": ["n", "b", "a"],
    }
    raw = {"n": "42", "b": "true", "a": '["one"]', "o": None}
    bench = one_call(call("t1", **raw), tools=[make_tool("echo", execute, parameters=schema)])
    assert seen == [{"n": 42, "b": True, "a": ["one"]}]
    assert bench.assistants[0].tool_calls[0].arguments == raw


@pytest.mark.parametrize(
    ("decision", "text"),
    [
        pytest.param(ToolDecision(block=True), "Tool execution was blocked", id="no-reason"),
        pytest.param(
            ToolDecision(block=True, reason=""), "Tool execution was blocked", id="empty-reason"
        ),
        pytest.param(ToolDecision(block=True, reason="R"), "R", id="reason"),
        pytest.param(ToolDecision(terminate=True), "ok:x", id="terminate-alone-changes-nothing"),
        pytest.param(ToolDecision(reason="R"), "ok:x", id="reason-alone-changes-nothing"),
        pytest.param(None, "ok:x", id="no-decision"),
    ],
)
def test_agent_check_17_blocking(decision: ToolDecision | None, text: str):
    bench = one_call(call("t1"), hooks=Hooks(before_tool_call=lambda _asked, _signal: decision))
    assert result_text(bench) == text
    assert len(bench.assistants) == 2


def test_agent_check_18_the_hook_may_change_arguments_which_are_not_validated_again():
    async def before(asked: Any, _signal: object) -> None:
        asked.args["v"] = "changed"
        asked.args["extra"] = 1

    bench = one_call(call("t1"), hooks=Hooks(before_tool_call=before))
    assert result_text(bench) == "ok:changed"
    assert bench.assistants[0].tool_calls[0].arguments == {"v": "x"}


FULL = ToolResult(
    [TextContent("old")], details={"d": 1}, structured_content={"s": 1}, usage=Usage(input=3)
)
NEW = [TextContent("NEW")]


@pytest.mark.parametrize(
    ("revision", "changes"),
    [
        pytest.param(None, {}, id="none"),
        pytest.param(ToolRevision(details=None), {}, id="none-keeps"),
        pytest.param(
            ToolRevision(content=list(NEW)),
            {"content": NEW, "structured_content": msgspec.UNSET},
            id="content-drops-structured",
        ),
        pytest.param(
            ToolRevision(content=list(NEW), structured_content=[1]),
            {"content": NEW, "structured_content": [1]},
            id="content-and-structured",
        ),
        pytest.param(ToolRevision(details={"e": 2}), {"details": {"e": 2}}, id="details"),
        pytest.param(ToolRevision(details=CLEAR), {"details": msgspec.UNSET}, id="clear-details"),
        pytest.param(
            ToolRevision(structured_content=CLEAR),
            {"structured_content": msgspec.UNSET},
            id="clear-structured",
        ),
        pytest.param(ToolRevision(usage=CLEAR), {"usage": None}, id="clear-usage"),
        pytest.param(ToolRevision(usage=Usage(input=9)), {"usage": Usage(input=9)}, id="usage"),
        pytest.param(ToolRevision(terminate=True), {"terminate": True}, id="terminate"),
    ],
)
def test_agent_check_19_revising(revision: ToolRevision | None, changes: dict[str, Any]):
    bench = one_call(
        call("t1"),
        executes={"echo": returning(FULL)},
        hooks=Hooks(after_tool_call=lambda _asked, _signal: revision),
    )
    expected = msgspec.structs.replace(FULL, **changes)
    (end,) = bench.of(ToolExecutionEndEvent)
    assert (end.result, end.is_error) == (expected, False)
    stored = bench.results[0]
    assert (stored.content, stored.details, stored.usage) == (
        expected.content,
        expected.details,
        expected.usage,
    )
    assert FULL.content == [TextContent("old")]
    assert len(bench.assistants) == (1 if expected.terminate else 2)


@pytest.mark.parametrize(("given", "wanted"), [(False, True), (True, False)])
def test_agent_check_19_revising_the_error_flag(given: bool, wanted: bool):
    result = ToolResult([TextContent("x")], is_error=given)
    seen: list[bool] = []

    async def after(asked: Any, _signal: object) -> ToolRevision:
        seen.append(asked.is_error)
        return ToolRevision(is_error=wanted)

    bench = one_call(
        call("t1"), executes={"echo": returning(result)}, hooks=Hooks(after_tool_call=after)
    )
    assert (seen, bench.results[0].is_error) == ([given], wanted)


def test_agent_check_19_an_after_hook_that_raises_fails_its_call_only():
    asked_for: list[str] = []

    def after(asked: Any, _signal: object) -> None:
        asked_for.append(asked.tool_call.id)
        if asked.tool_call.id == "t1":
            raise ValueError("after")

    calls = [call("t1"), call("t2"), call("t3", "unknown")]
    bench = one_call(*calls, hooks=Hooks(after_tool_call=after))
    assert sorted(asked_for) == ["t1", "t2"]
    first, second, _ = bench.results
    assert (result_text(bench), first.details, first.is_error) == ("after", {}, True)
    assert first.duration_ms is not None
    assert not second.is_error


def test_agent_check_20_steering_goes_on_after_terminate():
    async def execute(_args: Any, _ctx: ToolContext) -> ToolResult:
        bench.agent.steer("S")
        return msgspec.structs.replace(ToolResult.text("ok"), terminate=True)

    bench = Bench([says(call("t1")), says("done")], executes={"echo": execute})
    bench.prompt()
    assert bench.trace.endswith("TE(toolUse|t1) TS U(S) A<T>stop TE(stop) AE[uatua]")


def test_agent_check_21_truncated_calls_are_refused():
    def before(_asked: object, _signal: object) -> None:
        raise AssertionError

    first = says("a", call("t1"), call("t2", "unknown"), stop_reason="length")
    bench = Bench([first, says("b")], hooks=Hooks(before_tool_call=before))
    bench.prompt()
    assert [result_text(bench, i) for i in (0, 1)] == [
        f'Tool call "{name}" was not executed: the response hit the output token limit, so its '
        "arguments may be truncated. Re-issue the tool call with complete arguments."
        for name in ("echo", "unknown")
    ]


def test_agent_check_23_sequential_calls_all_run_before_steering():
    async def execute(_args: Any, ctx: ToolContext) -> ToolResult:
        if ctx.tool_call_id == "t1":
            bench.agent.steer("S")
        return ToolResult.text("ok")

    bench = Bench(
        [says(call("t1"), call("t2")), says("b")],
        executes={"echo": execute},
        tool_execution="sequential",
    )
    bench.prompt()
    assert "x+t2 x-t2 R(t2) TE(toolUse|t1,t2) TS U(S)" in bench.trace


def test_agent_check_36_updates_come_before_the_end_and_never_after():
    late: list[ToolContext] = []

    async def execute(_args: Any, ctx: ToolContext) -> ToolResult:
        late.append(ctx)
        ctx.on_update(ToolResult.text("1"))
        ctx.on_update(ToolResult.text("2"))
        return ToolResult.text("ok")

    bench = Bench([says(call("t1")), says("b")], executes={"echo": execute})

    async def slow(event: object) -> None:
        if isinstance(event, ToolExecutionUpdateEvent):
            await asyncio.sleep(0.01)
            bench.note("told")

    bench.agent.subscribe(slow)
    bench.on(ToolExecutionEndEvent, lambda: late[0].on_update(ToolResult.text("late")))
    bench.prompt()
    assert "x+t1 x~t1 told x~t1 told x-t1 R(t1)" in bench.trace
    assert bench.trace.count("x~") == 2


# --- beyond the checks ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("returned", "text"),
    [
        (None, "Tool echo returned no result"),
        ("text", "Tool echo returned str, not a ToolResult"),
    ],
)
def test_a_tool_that_returns_something_else(returned: object, text: str):
    assert result_text(one_call(call("t1"), executes={"echo": returning(returned)})) == text


def test_a_plain_function_works_as_a_tool():
    def execute(args: Any, _ctx: ToolContext) -> ToolResult:
        return ToolResult.text(f"plain:{args['v']}")

    made: Any = execute
    assert result_text(one_call(call("t1"), executes={"echo": made})) == "plain:x"


def test_prepared_arguments_must_be_an_object():
    prepare: Any = lambda _raw: ["v"]  # noqa: E731
    bench = one_call(call("t1"), tools=[echo_tool(prepare_arguments=prepare)])
    assert (
        result_text(bench) == 'Invalid arguments for tool "echo": prepared as list, not an object'
    )


def test_the_first_of_two_tools_of_a_name_runs():
    first = make_tool("echo", returning(ToolResult.text("first")))
    second = make_tool("echo", returning(ToolResult.text("second")), execution_mode="sequential")
    bench = one_call(call("t1"), call("t2"), tools=[first, second])
    assert result_text(bench) == "first"
    assert "x+t1 x+t2" in bench.trace  # the second tool's mode does not count


def test_repeated_call_ids_get_a_result_each():
    bench = one_call(call("t1", v="a"), call("t1", v="b"))
    assert [result_text(bench, i) for i in (0, 1)] == ["ok:a", "ok:b"]


def test_a_schema_is_compiled_once(monkeypatch: pytest.MonkeyPatch):
    from pi_ai import tool_args

    compiled: list[object] = []
    original = tool_args.ParameterSchema

    def counting(schema: Any) -> Any:
        compiled.append(schema)
        return original(schema)

    monkeypatch.setattr(tool_args, "ParameterSchema", counting)
    made = echo_tool(parameters=dict(ECHO_SCHEMA))
    bench = Bench([*[says(call("t1")) for _ in range(5)], says("b")], tools=[made])
    bench.prompt()
    assert len(bench.results) == 5
    assert len(compiled) == 1


def test_a_tool_context_tells_of_the_run():
    seen: list[ToolContext] = []

    async def execute(_args: Any, ctx: ToolContext) -> ToolResult:
        seen.append(ctx)
        return ToolResult.text("ok")

    bench = Bench(
        [says(call("t1")), says("b")],
        executes={"echo": execute},
        thinking_level="low",
        cwd="/tmp",
        session_id="s1",
    )
    bench.prompt()
    (ctx,) = seen
    assert (ctx.tool_call_id, ctx.thinking_level, ctx.session_id) == ("t1", "low", "s1")
    assert (str(ctx.cwd), ctx.model) == ("/tmp", bench.provider.model)


def test_updates_from_a_thread_are_all_told_in_order():
    @tool
    def count(ctx: ToolContext) -> str:
        """Count."""
        for number in range(50):
            ctx.on_update(ToolResult.text(str(number)))
        return threading.current_thread().name

    bench = Bench([says(ToolCall("t1", "count", {})), says("b")], tools=[count])
    bench.prompt()
    told = [event.partial_result for event in bench.of(ToolExecutionUpdateEvent)]
    assert told == [ToolResult.text(str(number)) for number in range(50)]
    assert result_text(bench) == "tool-count"


def test_a_tool_that_ignores_an_abort_is_cancelled_after_the_grace():
    ended: list[str] = []

    async def stubborn(_args: Any, _ctx: ToolContext) -> ToolResult:
        bench.agent.abort()
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("cancelled")
        return ToolResult.text("never")

    bench = Bench([says(call("t1"))], executes={"echo": stubborn}, tool_grace_seconds=0.02)
    bench.prompt()
    assert ended == ["cancelled"]
    assert result_text(bench) == "Operation aborted"
    assert bench.results[0].duration_ms is not None
    assert bench.trace.endswith("x-t1! R(t1) TE(toolUse|t1!) TS A<>aborted TE(aborted) AE[uata]")


def test_a_tool_that_swallows_its_cancellation_is_left_behind():
    released = asyncio.Event()

    async def deaf(_args: Any, _ctx: ToolContext) -> ToolResult:
        bench.agent.abort()
        while not released.is_set():
            try:
                await released.wait()
            except asyncio.CancelledError:
                bench.note("deaf")
        raise ToolError("too late")

    bench = Bench([says(call("t1"))], executes={"echo": deaf}, tool_grace_seconds=0.02)

    async def main() -> None:
        await bench.agent.prompt("q")
        assert bench.agent.signal is None
        released.set()

    run_quietly(main())
    assert result_text(bench) == "Operation aborted"
    assert bench.trace.count("deaf") == 1


def test_a_tool_that_finishes_within_the_grace_keeps_its_result():
    async def tidy(_args: Any, _ctx: ToolContext) -> ToolResult:
        bench.agent.abort()
        await asyncio.sleep(0.01)
        return ToolResult.text("saved")

    bench = Bench([says(call("t1"))], executes={"echo": tidy})
    bench.prompt()
    assert result_text(bench) == "saved"


@pytest.mark.parametrize("which", ["before", "after"])
def test_a_tool_hook_that_ignores_an_abort_is_cancelled(which: str):
    async def stuck(_asked: object, _signal: object) -> None:
        bench.agent.abort()
        await asyncio.sleep(60)

    hooks = Hooks(before_tool_call=stuck) if which == "before" else Hooks(after_tool_call=stuck)
    bench = Bench([says(call("t1"))], hooks=hooks, tool_grace_seconds=0.02)
    bench.prompt()
    assert result_text(bench) == "Operation aborted"
    assert (bench.results[0].duration_ms is not None) is (which == "after")


def test_an_abort_from_another_thread_stops_a_tool():
    async def execute(args: Any, ctx: ToolContext) -> ToolResult:
        threading.Timer(0.01, bench.agent.abort).start()
        return await wait_for_abort(args, ctx)

    bench = Bench([says(call("t1"))], executes={"echo": execute})
    bench.prompt()
    assert result_text(bench) == "Operation aborted"


def test_the_batch_comes_to_its_end_when_a_listener_fails():
    """A listener that raises at one call's end keeps no other call from ending."""

    def fail(event: object) -> None:
        if isinstance(event, ToolExecutionEndEvent) and not failed:
            failed.append(event.tool_call_id)
            raise ValueError("listener")

    failed: list[str] = []
    bench = Bench([says(call("t1"), call("t2"))])
    bench.agent.subscribe(fail)
    bench.prompt()
    assert failed == ["t1"]
    assert [result_text(bench, i) for i in (0, 1)] == ["ok:x", "ok:x"]
    assert bench.trace == (
        "AS TS U(q) A<C C>toolUse x+t1 x+t2 x-t1 x-t2 R(t1) R(t2) A<>error TE(error) AE[uatta]"
    )


def test_a_call_keeps_its_revised_result_when_a_listener_of_its_updates_fails():
    async def execute(_args: Any, ctx: ToolContext) -> ToolResult:
        ctx.on_update(ToolResult.text("half"))
        return ToolResult.text("secret")

    def fail(event: object) -> None:
        if isinstance(event, ToolExecutionUpdateEvent):
            raise ValueError("listener")

    revision = ToolRevision(content=[TextContent("redacted")])
    bench = Bench(
        [says(call("t1"))],
        executes={"echo": execute},
        hooks=Hooks(after_tool_call=lambda _asked, _signal: revision),
    )
    bench.agent.subscribe(fail)
    bench.prompt()
    assert result_text(bench) == "redacted"
    assert bench.trace.endswith("x+t1 x~t1 x-t1 R(t1) A<>error TE(error) AE[uata]")
    assert bench.agent.state.error_message == "listener"
