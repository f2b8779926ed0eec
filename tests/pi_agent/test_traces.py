"""Every trace of the agent spec, section 14, as a table of runs and what they look like.

31 to 37 are as section 16 changes them. In short: an aborted batch answers every call (31 to 33),
an abort leaves the queues alone (34), and the end of a broken run lists all that the run added
(35 to 37) and is a turn of its own where none is open (37).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pytest

from pi_agent import (
    AgentStartEvent,
    Hooks,
    MessageEndEvent,
    MessageUpdateEvent,
    Prepared,
    ToolDecision,
    ToolError,
    ToolResult,
)
from pi_ai import (
    AssistantEvent,
    AssistantMessage,
    ProviderError,
    TextContent,
    ThinkingContent,
    Usage,
)
from pi_ai.builder import MessageBuilder
from support.agent_traces import (
    Bench,
    CustomMessage,
    call,
    echo_tool,
    make_tool,
    run_quietly,
    says,
    scripted,
    user,
    wait_for_abort,
)

Runner = Coroutine[Any, Any, object]


@dataclass
class Case:
    """A bench, what is done with it, and what then is left in the queues."""

    bench: Bench
    run: Callable[[Bench], Runner] = lambda bench: bench.agent.prompt("q")
    steering: int = 0
    follow_ups: int = 0


CASES: dict[str, tuple[Callable[[], Case], str]] = {}


def trace(name: str, expected: str) -> Callable[[Callable[[], Case]], Callable[[], Case]]:
    def register(make: Callable[[], Case]) -> Callable[[], Case]:
        assert name not in CASES
        CASES[name] = (make, expected)
        return make

    return register


def text_result(text: str = "ok", *, terminate: bool = False) -> ToolResult:
    result = ToolResult.text(text)
    result.terminate = terminate
    return result


async def stop_the_run(_args: Any, _ctx: Any) -> ToolResult:
    return text_result(terminate=True)


# --- answers ----------------------------------------------------------------------------------


@trace("01_text", "AS TS U(q) A<T>stop TE(stop) AE[ua]")
def _() -> Case:
    return Case(Bench([says("hi")]))


@trace("02_thinking_and_text", "AS TS U(q) A<K T>stop TE(stop) AE[ua]")
def _() -> Case:
    return Case(Bench([says(ThinkingContent("hm"), "hi")]))


@trace("03_empty", "AS TS U(q) A<>stop TE(stop) AE[ua]")
def _() -> Case:
    return Case(Bench([says()]))


CALLED = "AS TS U(q) A<T C>toolUse"
ANSWER = "TS A<T>stop TE(stop)"


@trace("04_one_call", f"{CALLED} x+t1 x-t1 R(t1) TE(toolUse|t1) {ANSWER} AE[uata]")
def _() -> Case:
    return Case(Bench([says("a", call("t1")), says("b")], system_prompt="SP"))


@trace("05_tools_assigned_later", "AS TS SYS U(q) A<T>stop TE(stop) AE[sua]")
def _() -> Case:
    bench = Bench([says("b")], tools=[])
    bench.agent.state.tools = [echo_tool()]
    return Case(bench)


# --- order of calls ---------------------------------------------------------------------------

BATCH = "AS TS U(q) A<C C C>toolUse"


def slow_fast_unknown(**options: Any) -> Bench:
    """t1 sends an update and, if t2 runs beside it, waits for that and sends another."""

    async def slow(_args: Any, ctx: Any) -> ToolResult:
        ctx.on_update(text_result("1"))
        if bench.agent.tool_execution == "parallel":
            await bench.ended("t2").wait()
            ctx.on_update(text_result("2"))
        return text_result()

    calls = [call("t1", "slow"), call("t2"), call("t3", "unknown")]
    bench = Bench([says(*calls), says("b")], executes={"slow": slow}, **options)
    return bench


@trace(
    "06_parallel",
    f"{BATCH} x+t1 x+t2 x+t3 x-t3!° x~t1 x-t2 x~t1 x-t1 R(t1) R(t2) R(t3) "
    f"TE(toolUse|t1,t2,t3!) {ANSWER} AE[uattta]",
)
def _() -> Case:
    return Case(slow_fast_unknown())


@trace(
    "07_sequential",
    f"{BATCH} x+t1 x~t1 x-t1 R(t1) x+t2 x-t2 R(t2) x+t3 x-t3!° R(t3) "
    f"TE(toolUse|t1,t2,t3!) {ANSWER} AE[uattta]",
)
def _() -> Case:
    return Case(slow_fast_unknown(tool_execution="sequential"))


@trace(
    "08_one_tool_is_sequential",
    f"AS TS U(q) A<C C>toolUse x+t1 x-t1 R(t1) x+t2 x-t2 R(t2) TE(toolUse|t1,t2) {ANSWER} "
    "AE[uatta]",
)
def _() -> Case:
    tools = [echo_tool(), make_tool("alone", execution_mode="sequential")]
    return Case(Bench([says(call("t1"), call("t2", "alone")), says("b")], tools=tools))


@trace(
    "09_completed_in_reverse",
    f"{BATCH} x+t1 x+t2 x+t3 x-t3 x-t2 x-t1 R(t1) R(t2) R(t3) TE(toolUse|t1,t2,t3) {ANSWER} "
    "AE[uattta]",
)
def _() -> Case:
    async def after(args: Any, _ctx: Any) -> ToolResult:
        if args["v"]:
            await bench.ended(args["v"]).wait()
        return text_result()

    calls = [call("t1", "after", v="t2"), call("t2", "after", v="t3"), call("t3", "after", v="")]
    bench = Bench([says(*calls), says("b")], executes={"after": after})
    return Case(bench)


# --- results ----------------------------------------------------------------------------------


@trace("10_tool_raises", f"{CALLED} x+t1 x-t1! R(t1) TE(toolUse|t1!) {ANSWER} AE[uata]")
def _() -> Case:
    async def boom(_args: Any, _ctx: Any) -> ToolResult:
        raise ToolError("boom")

    return Case(Bench([says("a", call("t1")), says("b")], executes={"echo": boom}))


NOT_EXECUTED = f"{CALLED} x+t1 x-t1!° R(t1) TE(toolUse|t1!) {ANSWER} AE[uata]"


def raises(_argument: object, *_more: object) -> Any:
    raise ValueError("no")


@trace("11_unknown_tool", NOT_EXECUTED)
def _() -> Case:
    return Case(Bench([says("a", call("t1", "nope")), says("b")]))


@trace("11_invalid_arguments", NOT_EXECUTED)
def _() -> Case:
    return Case(Bench([says("a", call("t1", w=1)), says("b")]))


@trace("11_blocked", NOT_EXECUTED)
def _() -> Case:
    hooks = Hooks(before_tool_call=lambda _asked, _signal: ToolDecision(block=True))
    return Case(Bench([says("a", call("t1")), says("b")], hooks=hooks))


@trace("11_prepare_arguments_raises", NOT_EXECUTED)
def _() -> Case:
    tools = [echo_tool(prepare_arguments=raises)]
    return Case(Bench([says("a", call("t1")), says("b")], tools=tools))


@trace("11_before_hook_raises", NOT_EXECUTED)
def _() -> Case:
    return Case(Bench([says("a", call("t1")), says("b")], hooks=Hooks(before_tool_call=raises)))


@trace("12_blocked_with_terminate", f"{CALLED} x+t1 x-t1!° R(t1) TE(toolUse|t1!) AE[uat]")
def _() -> Case:
    decision = ToolDecision(block=True, terminate=True)
    hooks = Hooks(before_tool_call=lambda _asked, _signal: decision)
    return Case(Bench([says("a", call("t1"))], hooks=hooks))


TERMINATED = "AS TS U(q) A<C C>toolUse x+t1 x+t2 x-t1 x-t2 R(t1) R(t2) TE(toolUse|t1,t2)"


@trace("13_all_terminate", f"{TERMINATED} AE[uatt]")
def _() -> Case:
    calls = [call("t1", "end"), call("t2", "end")]
    return Case(Bench([says(*calls)], executes={"end": stop_the_run}))


@trace("14_some_terminate", f"{TERMINATED} {ANSWER} AE[uatta]")
def _() -> Case:
    calls = [call("t1", "end"), call("t2")]
    return Case(Bench([says(*calls), says("b")], executes={"end": stop_the_run}))


@trace(
    "15_terminate_and_follow_up",
    "AS TS U(q) A<C>toolUse x+t1 x-t1 R(t1) TE(toolUse|t1) TS U(F) A<T>stop TE(stop) AE[uatua]",
)
def _() -> Case:
    bench = Bench([says(call("t1", "end")), says("b")], executes={"end": stop_the_run})
    bench.agent.follow_up("F")
    return Case(bench)


@trace(
    "16_length_with_calls",
    "AS TS U(q) A<T C C>length x+t1 x-t1!° R(t1) x+t2 x-t2!° R(t2) TE(length|t1!,t2!) "
    f"{ANSWER} AE[uatta]",
)
def _() -> Case:
    first = says("a", call("t1"), call("t2", "unknown"), stop_reason="length")
    return Case(Bench([first, says("b")]))


@trace("17_length_of_text", "AS TS U(q) A<T>length TE(length) AE[ua]")
def _() -> Case:
    return Case(Bench([says("a", stop_reason="length")]))


@trace(
    "18_stop_with_a_call",
    f"AS TS U(q) A<C>stop x+t1 x-t1 R(t1) TE(stop|t1) {ANSWER} AE[uata]",
)
def _() -> Case:
    return Case(Bench([says(call("t1"), stop_reason="stop"), says("b")]))


# --- provider errors --------------------------------------------------------------------------


def fails(_request: object) -> AssistantMessage:
    raise ProviderError("503 overloaded")


@trace("19_error_before_start", "AS TS U(q) A<>error TE(error) AE[ua]")
def _() -> Case:
    return Case(Bench([fails]))


@trace("20_error_in_text", "AS TS U(q) A<text_start text_delta>error TE(error) AE[ua]")
def _() -> Case:
    async def answer(builder: MessageBuilder) -> AsyncGenerator[Sequence[AssistantEvent], None]:
        yield [builder.start()]
        yield [builder.text_start(), builder.text(0, "par")]
        raise ProviderError("reset")

    return Case(Bench(stream=scripted(answer)))


@trace("21_error_with_a_call", "AS TS U(q) U(S) A<C>error TE(error) AE[uua]")
def _() -> Case:
    bench = Bench([says(call("t1"), stop_reason="error")])
    bench.agent.steer("S")
    bench.agent.follow_up("F1")
    bench.agent.follow_up("F2")
    return Case(bench, follow_ups=2)


# --- queues -----------------------------------------------------------------------------------


def steered_in_tools(mode: Literal["all", "one-at-a-time"]) -> Bench:
    async def steering(_args: Any, _ctx: Any) -> ToolResult:
        bench.agent.steer("S1")
        bench.agent.steer("S2")
        return text_result()

    answers = [says(call("t1", "steering"), call("t2")), says("b"), says("c")]
    bench = Bench(answers, executes={"steering": steering}, steering_mode=mode)
    return bench


STEERED = "AS TS U(q) A<C C>toolUse x+t1 x+t2 x-t1 x-t2 R(t1) R(t2) TE(toolUse|t1,t2)"


@trace(
    "22_steered_one_at_a_time",
    f"{STEERED} TS U(S1) A<T>stop TE(stop) TS U(S2) A<T>stop TE(stop) AE[uattuaua]",
)
def _() -> Case:
    return Case(steered_in_tools("one-at-a-time"))


@trace("23_steered_all", f"{STEERED} TS U(S1) U(S2) A<T>stop TE(stop) AE[uattuua]")
def _() -> Case:
    return Case(steered_in_tools("all"))


@trace(
    "24_steered_before_the_prompt",
    "AS TS U(q) U(S1) A<T>stop TE(stop) TS U(S2) A<T>stop TE(stop) AE[uuaua]",
)
def _() -> Case:
    bench = Bench([says("a"), says("b")])
    bench.agent.steer("S1")
    bench.agent.steer("S2")
    return Case(bench)


def followed_up(mode: Literal["all", "one-at-a-time"], answers: int) -> Bench:
    bench = Bench([says("a") for _ in range(answers)], follow_up_mode=mode)
    bench.agent.follow_up("F1")
    bench.agent.follow_up("F2")
    return bench


@trace(
    "25_follow_ups_one_at_a_time",
    "AS TS U(q) A<T>stop TE(stop) TS U(F1) A<T>stop TE(stop) TS U(F2) A<T>stop TE(stop) AE[uauaua]",
)
def _() -> Case:
    return Case(followed_up("one-at-a-time", 3))


@trace(
    "26_follow_ups_all",
    "AS TS U(q) A<T>stop TE(stop) TS U(F1) U(F2) A<T>stop TE(stop) AE[uauua]",
)
def _() -> Case:
    return Case(followed_up("all", 2))


# --- aborts -----------------------------------------------------------------------------------

ABORTED_TURN = "TS A<>aborted TE(aborted)"


@trace("27_abort_at_start", "AS TS U(q) A<>aborted TE(aborted) AE[ua]")
def _() -> Case:
    bench = Bench([says("a")])
    bench.on(AgentStartEvent, bench.agent.abort)
    return Case(bench)


@trace(
    "28_abort_in_text",
    "AS TS U(q) A<text_start text_delta text_delta>aborted TE(aborted) AE[ua]",
)
def _() -> Case:
    bench = Bench([says("a long text " * 10)])
    deltas = lambda event: event.assistant_message_event.type == "text_delta"  # noqa: E731
    bench.on(MessageUpdateEvent, bench.agent.abort, where=deltas, nth=2)
    return Case(bench)


@trace(
    "29_abort_at_message_end",
    f"{CALLED} x+t1 x-t1!° R(t1) TE(toolUse|t1!) {ABORTED_TURN} AE[uata]",
)
def _() -> Case:
    bench = Bench([says("a", call("t1"))])
    answers = lambda event: isinstance(event.message, AssistantMessage)  # noqa: E731
    bench.on(MessageEndEvent, bench.agent.abort, where=answers)
    return Case(bench)


def aborting_tool(waits_for: Sequence[str] = ()) -> Bench:
    """t1 of three calls aborts the run, and stops as told."""

    async def aborting(args: Any, ctx: Any) -> ToolResult:
        for call_id in waits_for:
            await bench.ended(call_id).wait()
        bench.agent.abort()
        return await wait_for_abort(args, ctx)

    calls = [call("t1", "aborting"), call("t2"), call("t3")]
    mode = "parallel" if waits_for else "sequential"
    bench = Bench([says(*calls)], executes={"aborting": aborting}, tool_execution=mode)
    return bench


@trace(
    "30_abort_in_t1_parallel",
    f"{BATCH} x+t1 x+t2 x+t3 x-t2 x-t3 x-t1! R(t1) R(t2) R(t3) TE(toolUse|t1!,t2,t3) "
    f"{ABORTED_TURN} AE[uattta]",
)
def _() -> Case:
    return Case(aborting_tool(["t2", "t3"]))


@trace(
    "31_abort_in_t1_sequential",
    # upstream: t2 and t3 get neither events nor results
    f"{BATCH} x+t1 x-t1! R(t1) x+t2 x-t2!° R(t2) x+t3 x-t3!° R(t3) TE(toolUse|t1!,t2!,t3!) "
    f"{ABORTED_TURN} AE[uattta]",
)
def _() -> Case:
    return Case(aborting_tool())


def abort_in_hook(mode: Literal["sequential", "parallel"]) -> Bench:
    def before(asked: Any, _signal: object) -> None:
        if asked.tool_call.id == "t2":
            bench.agent.abort()

    calls = [call("t1"), call("t2"), call("t3")]
    hooks = Hooks(before_tool_call=before)
    bench = Bench([says(*calls)], hooks=hooks, tool_execution=mode)
    return bench


@trace(
    "32_abort_in_hook_parallel",
    # upstream: t3 gets neither events nor a result
    f"{BATCH} x+t1 x+t2 x-t2!° x+t3 x-t3!° x-t1!° R(t1) R(t2) R(t3) TE(toolUse|t1!,t2!,t3!) "
    f"{ABORTED_TURN} AE[uattta]",
)
def _() -> Case:
    return Case(abort_in_hook("parallel"))


@trace(
    "33_abort_in_hook_sequential",
    # upstream: t3 gets neither events nor a result
    f"{BATCH} x+t1 x-t1 R(t1) x+t2 x-t2!° R(t2) x+t3 x-t3!° R(t3) TE(toolUse|t1,t2!,t3!) "
    f"{ABORTED_TURN} AE[uattta]",
)
def _() -> Case:
    return Case(abort_in_hook("sequential"))


@trace(
    "34_abort_with_steering",
    # upstream: S is taken from the queue and committed before the aborted answer
    f"AS TS U(q) A<C>toolUse x+t1 x-t1 R(t1) TE(toolUse|t1) {ABORTED_TURN} AE[uata]",
)
def _() -> Case:
    async def aborting(_args: Any, _ctx: Any) -> ToolResult:
        bench.agent.steer("S")
        bench.agent.abort()
        return text_result()

    bench = Bench([says(call("t1", "aborting"))], executes={"aborting": aborting})
    return Case(bench, steering=1)


# --- broken runs ------------------------------------------------------------------------------

BROKEN = "AS TS U(q) A<>error TE(error) AE[ua]"  # upstream: AE[a]


@trace("35_stream_function_raises", BROKEN)
def _() -> Case:
    return Case(Bench(stream=raises))


@trace("35_convert_to_llm_raises", BROKEN)
def _() -> Case:
    return Case(Bench(convert_to_llm=raises))


@trace("35_get_api_key_raises", BROKEN)
def _() -> Case:
    return Case(Bench(hooks=Hooks(get_api_key=raises)))


@trace("35_prepare_request_raises", BROKEN)
def _() -> Case:
    return Case(Bench(hooks=Hooks(prepare_request=raises)))


CALLED_ONCE = "AS TS U(q) A<C>toolUse x+t1 x-t1 R(t1)"


@trace(
    "36_finish_turn_raises",
    f"{CALLED_ONCE} A<>error TE(error) AE[uata]",  # upstream: AE[a]
)
def _() -> Case:
    return Case(Bench([says(call("t1"))], hooks=Hooks(finish_turn=raises)))


@trace(
    "37_prepare_next_turn_raises",
    # upstream: no TS, AE[a]
    f"{CALLED_ONCE} TE(toolUse|t1) TS A<>error TE(error) AE[uata]",
)
def _() -> Case:
    return Case(Bench([says(call("t1"))], hooks=Hooks(prepare_next_turn=raises)))


# --- what hooks decide ------------------------------------------------------------------------


def once(decision: Literal["continue", "end"]) -> Hooks:
    decisions = iter([decision])
    return Hooks(finish_turn=lambda _turn, _signal: next(decisions, None))


@trace("38_end_after_tools", f"{CALLED_ONCE} TE(toolUse|t1) AE[uat]")
def _() -> Case:
    bench = Bench([says(call("t1"))], hooks=once("end"))
    bench.agent.follow_up("F")
    return Case(bench, follow_ups=1)


@trace("39_continue_after_text", f"AS TS U(q) A<T>stop TE(stop) {ANSWER} AE[uaa]")
def _() -> Case:
    return Case(Bench([says("a"), says("b")], hooks=once("continue")))


@trace("40_continue_with_tools", f"{CALLED_ONCE} TE(toolUse|t1) {ANSWER} AE[uata]")
def _() -> Case:
    return Case(Bench([says(call("t1")), says("b")], hooks=once("continue")))


@trace(
    "40_continue_with_a_follow_up",
    "AS TS U(q) A<T>stop TE(stop) TS U(F) A<T>stop TE(stop) AE[uaua]",
)
def _() -> Case:
    bench = Bench([says("a"), says("b")], hooks=once("continue"))
    bench.agent.follow_up("F")
    return Case(bench)


@trace(
    "41_prepared_messages",
    f"{CALLED_ONCE} TE(toolUse|t1) TS CUS U(P2) A<T>stop TE(stop) AE[uatcua]",
)
def _() -> Case:
    prepared = Prepared(messages=[CustomMessage("P1"), user("P2")])
    hooks = Hooks(prepare_next_turn=lambda _turn, _signal: prepared)
    return Case(Bench([says(call("t1")), says("b")], hooks=hooks))


@trace(
    "42_steered_while_preparing",
    f"{CALLED_ONCE} TE(toolUse|t1) TS U(S1) A<T>stop TE(stop) TS U(S2) A<T>stop TE(stop) "
    "AE[uatuaua]",
)
def _() -> Case:
    async def steering(_args: Any, _ctx: Any) -> ToolResult:
        bench.agent.steer("S1")
        return text_result()

    second = iter(["S2"])

    def prepare(_turn: object, _signal: object) -> None:
        for text in second:
            bench.agent.steer(text)

    bench = Bench(
        [says(call("t1", "steering")), says("b"), says("c")],
        executes={"steering": steering},
        hooks=Hooks(prepare_next_turn=prepare),
        steering_mode="all",
    )
    return Case(bench)


# --- continuing -------------------------------------------------------------------------------


@trace(
    "43_continue_from_user",
    "AS TS U(S) A<T>stop TE(stop) TS U(F) A<T>stop TE(stop) AE[uaua]",
)
def _() -> Case:
    bench = Bench([says("a"), says("b")], tools=[], messages=[user("q")])
    bench.agent.steer("S")
    bench.agent.follow_up("F")
    return Case(bench, lambda bench: bench.agent.continue_())


@trace(
    "44_continue_from_assistant",
    "AS TS U(S1) A<T>stop TE(stop) TS U(S2) A<T>stop TE(stop) TS U(F) A<T>stop TE(stop) AE[uauaua]",
)
def _() -> Case:
    answers = [says("a"), says("b"), says("c")]
    bench = Bench(answers, tools=[], messages=[user("q"), says("z")])
    bench.agent.steer("S1")
    bench.agent.steer("S2")
    bench.agent.follow_up("F")
    return Case(bench, lambda bench: bench.agent.continue_())


@trace("45_no_prompt", "AS TS A<T>stop TE(stop) AE[a]")
def _() -> Case:
    bench = Bench([says("a")], tools=[], messages=[user("q")])
    return Case(bench, lambda bench: bench.agent.prompt([]))


@trace(
    "46_parallel_hooks",
    "AS TS U(q) A<C C>toolUse x+t1 before(t1) x+t2 before(t2) exec+t1 exec+t2 exec-t2 after(t2) "
    f"x-t2 exec-t1 after(t1) x-t1 R(t1) R(t2) TE(toolUse|t1,t2) {ANSWER} AE[uatta]",
)
def _() -> Case:
    async def noting(_args: Any, ctx: Any) -> ToolResult:
        bench.note(f"exec+{ctx.tool_call_id}")
        await (bench.ended("t2").wait() if ctx.tool_call_id == "t1" else asyncio.sleep(0.001))
        bench.note(f"exec-{ctx.tool_call_id}")
        return text_result()

    hooks = Hooks(
        before_tool_call=lambda asked, _signal: bench.note(f"before({asked.tool_call.id})"),
        after_tool_call=lambda asked, _signal: bench.note(f"after({asked.tool_call.id})"),
    )
    answers = [says(call("t1", "noting"), call("t2", "noting")), says("b")]
    bench = Bench(answers, executes={"noting": noting}, hooks=hooks)
    return Case(bench)


def play(name: str) -> Bench:
    """Run a case, compare its trace and its queues."""
    make, expected = CASES[name]
    case = make()
    run_quietly(case.run(case.bench))
    assert case.bench.trace == expected
    queues = case.bench.agent.steering_queue, case.bench.agent.follow_up_queue
    assert tuple(map(len, queues)) == (case.steering, case.follow_ups)
    return case.bench


@pytest.mark.parametrize("name", CASES)
def test_trace(name: str):
    play(name)


def test_every_trace_of_the_spec_is_here():
    assert {int(name[:2]) for name in CASES} == set(range(1, 47))


def numbered(*numbers: int) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("name", [n for n in CASES if int(n[:2]) in numbers])


# --- the acceptance checks that are about traces ----------------------------------------------


@numbered(6, 7, 8, 9)
def test_agent_check_09_order_of_a_batch(name: str):
    play(name)


@numbered(13, 14, 15)
def test_agent_check_20_terminate(name: str):
    play(name)


@numbered(19, 20, 21)
def test_agent_check_22_provider_errors_do_not_raise(name: str):
    agent = play(name).agent
    last = agent.state.messages[-1]
    assert isinstance(last, AssistantMessage)
    assert last.error_message
    assert agent.state.error_message == last.error_message
    if name.startswith("20"):
        assert last.text == "par"
    if name.startswith("21"):
        assert agent.peek_queued_messages() == list(agent.follow_up_queue)[:1]


@numbered(22, 23, 24, 25, 26)
def test_agent_check_23_queues(name: str):
    play(name)


@numbered(27, 28, 29, 30, 31, 32, 33, 34)
def test_agent_check_24_aborts(name: str):
    bench = play(name)
    last = bench.assistants[-1]
    assert (last.stop_reason, last.error_message) == ("aborted", "Request was aborted")
    if name.startswith("28"):
        assert ("a long text " * 10).startswith(last.text)
        assert len(last.text) > 12


@numbered(35, 36, 37)
def test_agent_check_25_broken_runs_end_with_a_message(name: str):
    bench = play(name)
    last = bench.assistants[-1]
    assert last.content == [TextContent("")]
    assert last.usage == Usage()
    assert last.thinking_level is None
    assert (last.stop_reason, last.error_message) == ("error", "no")
    assert bench.agent.state.error_message == "no"


@numbered(38, 39, 40, 41, 42)
def test_agent_check_27_decisions_of_hooks(name: str):
    play(name)


@numbered(43, 44, 45)
def test_agent_check_30_continuing(name: str):
    play(name)
