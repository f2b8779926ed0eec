"""One batch of tool calls: prepare, execute, finalize, in sequence or side by side.

Source: agent spec, section 6, with section 16 (4 and 5).
"""

from __future__ import annotations

import asyncio
import copy
import time
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from msgspec import UNSET, UnsetType

from pi_agent.events import (
    ToolExecutionEndEvent,
    ToolExecutionStartEvent,
    ToolExecutionUpdateEvent,
)
from pi_agent.run import Run, resolve
from pi_agent.types import (
    CLEAR,
    AfterToolCall,
    AgentTool,
    BeforeToolCall,
    ToolContext,
    ToolError,
    ToolResult,
    ToolRevision,
)
from pi_ai import (
    AssistantMessage,
    JsonObject,
    TextContent,
    ToolArgumentsError,
    ToolCall,
    ToolResultMessage,
)
from pi_ai.tool_args import validate_tool_arguments
from pi_ai.transcript import to_tool_declaration

__all__ = ("Batch", "execute_calls", "fail_truncated_calls")

_ABORTED = "Operation aborted"


@dataclass(frozen=True)
class Batch:
    """The results of all calls of a response; `terminate`: every one asked to end the run."""

    results: list[ToolResultMessage]
    terminate: bool


@dataclass(frozen=True)
class _Prepared:
    call: ToolCall
    tool: AgentTool
    args: JsonObject


@dataclass(frozen=True)
class _Outcome:
    call: ToolCall
    result: ToolResult
    is_error: bool
    duration_ms: int | UnsetType = UNSET


def _error(text: str) -> ToolResult:
    return ToolResult([TextContent(text)], details={})


def _failed(call: ToolCall, text: str, *, terminate: bool = False) -> _Outcome:
    result = _error(text)
    result.terminate = terminate
    return _Outcome(call, result, is_error=True)


def _text_of(error: BaseException) -> str:
    return str(error) or type(error).__name__


async def execute_calls(run: Run, message: AssistantMessage) -> Batch:
    """Run the calls of `message` and commit a result for each, whatever happens to it.

    Raises only what listeners raise.
    """
    calls = message.tool_calls
    modes = [tool.execution_mode for call in calls if (tool := _find(run, call.name))]
    if run.config.tool_execution == "sequential" or "sequential" in modes:
        settled = [await _run_one(run, message, call) for call in calls]
    else:
        outcomes = await _run_side_by_side(run, message, calls)
        settled = [(outcome, await _commit(run, outcome)) for outcome in outcomes]
    terminate = bool(settled) and all(outcome.result.terminate for outcome, _ in settled)
    return Batch([result for _, result in settled], terminate)


async def fail_truncated_calls(run: Run, message: AssistantMessage) -> Batch:
    """Refuse the calls of a response that hit the output limit: they may be incomplete."""
    results: list[ToolResultMessage] = []
    for call in message.tool_calls:
        await _announce(run, call)
        outcome = _failed(
            call,
            f'Tool call "{call.name}" was not executed: the response hit the output token limit, '
            "so its arguments may be truncated. Re-issue the tool call with complete arguments.",
        )
        await _end(run, outcome)
        results.append(await _commit(run, outcome))
    return Batch(results, terminate=False)


# --- order ------------------------------------------------------------------------------------


async def _run_one(
    run: Run, message: AssistantMessage, call: ToolCall
) -> tuple[_Outcome, ToolResultMessage]:
    await _announce(run, call)
    outcome = await _prepare(run, message, call)
    if isinstance(outcome, _Prepared):
        outcome = await _execute(run, message, outcome)
    await _end(run, outcome)
    return outcome, await _commit(run, outcome)


async def _run_side_by_side(
    run: Run, message: AssistantMessage, calls: Sequence[ToolCall]
) -> list[_Outcome]:
    outcomes: list[_Outcome | _Prepared] = []
    for call in calls:
        await _announce(run, call)
        prepared = await _prepare(run, message, call)
        if isinstance(prepared, _Outcome):
            await _end(run, prepared)
        outcomes.append(prepared)

    async def settle(item: _Outcome | _Prepared) -> _Outcome:
        if isinstance(item, _Outcome):
            return item
        outcome = await _execute(run, message, item)
        await _end(run, outcome)
        return outcome

    tasks = [asyncio.create_task(settle(item)) for item in outcomes]
    try:
        # A listener that raises fails the run, but only after every tool has come to its end.
        await asyncio.wait(tasks)
    except asyncio.CancelledError:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
    return [task.result() for task in tasks]


async def _announce(run: Run, call: ToolCall) -> None:
    await run.emit(ToolExecutionStartEvent(call.id, call.name, call.arguments))


async def _end(run: Run, outcome: _Outcome) -> None:
    await run.emit(
        ToolExecutionEndEvent(
            outcome.call.id,
            outcome.call.name,
            outcome.result,
            outcome.is_error,
            outcome.duration_ms,
        )
    )


async def _commit(run: Run, outcome: _Outcome) -> ToolResultMessage:
    result = outcome.result
    message = ToolResultMessage(
        outcome.call.id,
        outcome.call.name,
        result.content,
        details=result.details,
        usage=result.usage,
        is_error=outcome.is_error,
        duration_ms=None if outcome.duration_ms is UNSET else outcome.duration_ms,
    )
    await run.add(message)
    return message


# --- prepare ----------------------------------------------------------------------------------


def _find(run: Run, name: str) -> AgentTool | None:
    return next((tool for tool in run.tools if tool.name == name), None)


async def _prepare(run: Run, message: AssistantMessage, call: ToolCall) -> _Prepared | _Outcome:
    """Arguments ready to execute with, or why the call is not executed."""
    if run.signal.aborted:
        return _failed(call, _ABORTED)
    tool = _find(run, call.name)
    if tool is None:
        return _failed(call, f"Tool {call.name} not found")
    try:
        args = _arguments(tool, call)
        before = run.config.hooks.before_tool_call
        decision = None
        if before is not None:
            asked = BeforeToolCall(message, call, args, run.context)
            decision = await resolve(before(asked, run.signal))
    except Exception as error:  # noqa: BLE001  # whatever is wrong with a call, the model is told
        return _failed(call, _text_of(error))
    if run.signal.aborted:
        return _failed(call, _ABORTED)
    if decision is not None and decision.block:
        reason = decision.reason or "Tool execution was blocked"
        return _failed(call, reason, terminate=decision.terminate)
    return _Prepared(call, tool, args)


def _arguments(tool: AgentTool, call: ToolCall) -> JsonObject:
    if tool.prepare_arguments is not None:
        prepared = tool.prepare_arguments(copy.deepcopy(call.arguments))
        call = msgspec.structs.replace(call, arguments=prepared)
    if call.arguments_error is not None:
        raise ToolArgumentsError(
            f'Invalid arguments for tool "{tool.name}": {call.arguments_error}'
        )
    if tool.validate is not None:
        return tool.validate(call)
    return validate_tool_arguments(to_tool_declaration(tool), call)


# --- execute and finalize ---------------------------------------------------------------------


class _Updates:
    """Partial results of one call, from any thread, emitted one after another."""

    def __init__(self, run: Run, call: ToolCall) -> None:
        self._run = run
        self._call = call
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[ToolResult | None] = asyncio.Queue()
        self._pump: asyncio.Task[None] | None = None
        self._open = True

    def report(self, partial: ToolResult) -> None:
        """What the tool calls; nothing once it has finished."""
        if self._open:
            self._loop.call_soon_threadsafe(self._put, partial)

    def _put(self, partial: ToolResult) -> None:
        if not self._open:
            return
        self._queue.put_nowait(partial)
        if self._pump is None:
            self._pump = self._loop.create_task(self._emit_all())

    async def _emit_all(self) -> None:
        call = self._call
        while (partial := await self._queue.get()) is not None:
            await self._run.emit(
                ToolExecutionUpdateEvent(call.id, call.name, call.arguments, partial)
            )

    async def finish(self) -> None:
        """Emit what is still waiting. Raises what a listener raised."""
        await asyncio.sleep(0)  # reports that a thread made just before the tool returned
        self._open = False
        if self._pump is not None:
            self._queue.put_nowait(None)
            await self._pump


async def _execute(run: Run, message: AssistantMessage, prepared: _Prepared) -> _Outcome:
    call = prepared.call
    if run.signal.aborted:
        return _failed(call, _ABORTED)
    updates = _Updates(run, call)
    context = run.config.make_tool_context(call, run.signal, updates.report)
    started = time.monotonic()
    try:
        result = await _supervise(run, prepared, context)
        outcome = _judge(call, prepared.tool, result)
    except Exception as error:  # noqa: BLE001  # a tool's failure is a result for the model
        outcome = _Outcome(call, _error(_text_of(error)), is_error=True)
    elapsed = round((time.monotonic() - started) * 1000)
    outcome = _Outcome(call, outcome.result, outcome.is_error, elapsed)
    await updates.finish()
    return await _finalize(run, message, prepared, outcome)


async def _supervise(run: Run, prepared: _Prepared, context: ToolContext) -> ToolResult | None:
    """Run the tool in a task of its own; cancel it if it ignores an abort."""
    loop = asyncio.get_running_loop()
    task = loop.create_task(_as_coroutine(prepared.tool, prepared.args, context))
    grace = run.config.tool_grace_seconds
    timers: list[asyncio.TimerHandle] = []

    def aborted() -> None:
        if not task.done():
            timers.append(loop.call_later(grace, task.cancel))

    remove = run.signal.add_listener(lambda: loop.call_soon_threadsafe(aborted))
    try:
        await asyncio.wait([task])
    except asyncio.CancelledError:
        task.cancel()
        await asyncio.wait([task], timeout=grace)
        raise
    finally:
        remove()
        for timer in timers:
            timer.cancel()
    if task.cancelled():
        raise ToolError(_ABORTED if run.signal.aborted else f"Tool {prepared.tool.name} cancelled")
    return task.result()


async def _as_coroutine(
    tool: AgentTool, args: JsonObject, context: ToolContext
) -> ToolResult | None:
    return await tool.execute(args, context)


def _judge(call: ToolCall, tool: AgentTool, result: object) -> _Outcome:
    if not isinstance(result, ToolResult):
        text = f"Tool {tool.name} returned no result"
        if result is not None:
            text = f"Tool {tool.name} returned {type(result).__name__}, not a ToolResult"
        return _failed(call, text)
    return _Outcome(call, result, result.is_error)


async def _finalize(
    run: Run, message: AssistantMessage, prepared: _Prepared, outcome: _Outcome
) -> _Outcome:
    after = run.config.hooks.after_tool_call
    if after is None:
        return outcome
    call = prepared.call
    asked = AfterToolCall(
        message, call, prepared.args, outcome.result, outcome.is_error, run.context
    )
    try:
        revision = await resolve(after(asked, run.signal))
    except Exception as error:  # noqa: BLE001  # whatever is wrong with a call, the model is told
        return _Outcome(call, _error(_text_of(error)), True, outcome.duration_ms)
    if revision is None:
        return outcome
    is_error = outcome.is_error if revision.is_error is None else revision.is_error
    return _Outcome(call, _revised(outcome.result, revision), is_error, outcome.duration_ms)


def _revised(result: ToolResult, revision: ToolRevision) -> ToolResult:
    changed = msgspec.structs.replace(result)
    if revision.content is not None:
        changed.content = revision.content
        changed.structured_content = UNSET
    if revision.details is not None:
        changed.details = UNSET if revision.details is CLEAR else revision.details
    if revision.structured_content is not None:
        cleared = revision.structured_content is CLEAR
        changed.structured_content = UNSET if cleared else revision.structured_content
    if revision.usage is not None:
        changed.usage = None if revision.usage is CLEAR else revision.usage
    if revision.terminate is not None:
        changed.terminate = revision.terminate
    return changed
