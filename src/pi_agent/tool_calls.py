"""One batch of tool calls, in sequence or side by side: the order of work, events and results.

Source: agent spec, sections 6.1 and 6.5, with section 16 (4).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from msgspec import UNSET, Struct

from pi_agent.events import ToolExecutionEndEvent, ToolExecutionStartEvent
from pi_agent.execution import ABORTED, ReadyCall, execute_call, failed, prepare_call
from pi_agent.run import OpenCall, Run, ToolCallOutcome
from pi_ai import ToolResultMessage

__all__ = ("Batch", "answer_call", "execute_calls", "fail_truncated_calls")


class Batch(Struct, frozen=True):
    """The results of all calls of a response; `terminate`: every one asked to end the run."""

    results: list[ToolResultMessage]
    terminate: bool


async def execute_calls(run: Run) -> Batch:
    """Run the calls of the latest response and commit a result for each, whatever happens to it.

    Raises only what listeners raise.
    """
    calls = run.calls
    if len(calls) > 1 and not _is_sequential(run):
        await _execute_side_by_side(run, calls)
        results = [await answer_call(run, item) for item in calls]
    else:
        results = [await _execute_and_answer(run, item) for item in calls]
    outcomes = [item.outcome for item in calls if item.outcome is not None]
    return Batch(results, all(outcome.result.terminate for outcome in outcomes))


async def fail_truncated_calls(run: Run) -> Batch:
    """Refuse the calls of a response that hit the output limit: they may be incomplete."""
    results: list[ToolResultMessage] = []
    for item in run.calls:
        item.outcome = failed(
            f'Tool call "{item.call.name}" was not executed: the response hit the output token '
            "limit, so its arguments may be truncated. Re-issue the tool call with complete "
            "arguments."
        )
        results.append(await answer_call(run, item))
    return Batch(results, terminate=False)


async def answer_call(run: Run, item: OpenCall) -> ToolResultMessage:
    """Take a call to its end: its start, its end and its result, as far as they are missing.

    A call without an outcome was aborted.
    """
    outcome = item.outcome = item.outcome or failed(ABORTED)
    await _announce(run, item)
    await _end(run, item)
    message = _result_message(item, outcome)
    if not item.answered:
        item.answered = True
        await run.add(message)
    return message


def _is_sequential(run: Run) -> bool:
    if run.config.tool_execution == "sequential":
        return True
    modes = {tool.name: tool.execution_mode for tool in reversed(run.tools)}  # the first wins
    return any(modes.get(item.call.name) == "sequential" for item in run.calls)


async def _execute_and_answer(run: Run, item: OpenCall) -> ToolResultMessage:
    await _announce(run, item)
    ready = await prepare_call(run, item)
    if ready is not None:
        await execute_call(run, ready)
    return await answer_call(run, item)


async def _execute_side_by_side(run: Run, calls: Sequence[OpenCall]) -> None:
    ready: list[ReadyCall] = []
    for item in calls:
        await _announce(run, item)
        prepared = await prepare_call(run, item)
        if prepared is None:
            await _end(run, item)
        else:
            ready.append(prepared)
    if not ready:
        return
    tasks = [asyncio.create_task(_execute_and_end(run, each)) for each in ready]
    try:
        # A listener that raises fails the run, but only after every tool has come to its end.
        await asyncio.wait(tasks)
    except asyncio.CancelledError:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
    for ended in await asyncio.gather(*tasks, return_exceptions=True):
        if ended is not None:
            raise ended


async def _execute_and_end(run: Run, ready: ReadyCall) -> None:
    await execute_call(run, ready)
    await _end(run, ready.item)


async def _announce(run: Run, item: OpenCall) -> None:
    if not item.announced:
        item.announced = True
        call = item.call
        await run.emit(ToolExecutionStartEvent(call.id, call.name, call.arguments))


async def _end(run: Run, item: OpenCall) -> None:
    if not item.ended and item.outcome is not None:
        item.ended = True
        call, outcome = item.call, item.outcome
        event = ToolExecutionEndEvent(
            call.id, call.name, outcome.result, outcome.is_error, outcome.duration_ms
        )
        await run.emit(event.with_error(outcome.error))


def _result_message(item: OpenCall, outcome: ToolCallOutcome) -> ToolResultMessage:
    result = outcome.result
    return ToolResultMessage(
        item.call.id,
        item.call.name,
        result.content,
        details=result.details,
        usage=result.usage,
        is_error=outcome.is_error,
        duration_ms=None if outcome.duration_ms is UNSET else outcome.duration_ms,
    )
