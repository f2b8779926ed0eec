"""How a run ends when something other than the provider breaks it: a hook, a listener, the host.

What was committed stays; an open response is closed with what had arrived, every call gets a
result, and one last message says what happened. Source: agent spec, sections 7.2 and 16 (6).
"""

from __future__ import annotations

import asyncio

import msgspec

from pi_agent.events import MessageStartEvent, TurnEndEvent
from pi_agent.loop import begin_turn, end_run
from pi_agent.run import Run
from pi_agent.tool_calls import answer_call
from pi_ai import AbortError, AssistantMessage, TextContent

__all__ = ("end_broken_run",)


async def end_broken_run(run: Run, error: BaseException) -> None:
    """Close what is open, message, calls and turn, and emit the end. Raises what listeners do."""
    if run.adding is not None:
        await run.commit(run.adding)
    for item in run.calls:
        await answer_call(run, item)
    run.calls = []
    if not run.turn_open:
        await begin_turn(run)
    message = _failure(run, error)
    if run.open_message is None:
        await run.emit(MessageStartEvent(message))
    run.open_message = None
    await run.commit(message)
    run.turn_open = False
    await run.emit(TurnEndEvent(message, []))
    await end_run(run)


def _failure(run: Run, error: BaseException) -> AssistantMessage:
    message = run.open_message
    if message is None:
        model = run.model
        message = AssistantMessage([TextContent("")], model.api, model.provider, model.id)
    if isinstance(error, asyncio.CancelledError):
        error = AbortError()
    return msgspec.structs.replace(
        message,
        stop_reason="aborted" if run.signal.aborted else "error",
        error_message=str(error) or type(error).__name__,
    )
