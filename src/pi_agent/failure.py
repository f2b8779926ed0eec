"""How a run ends when something other than the provider breaks it: a hook, a listener, the host.

What was committed stays; an open response is closed with what had arrived, every call gets a
result, and one last message says what happened. Source: agent spec, sections 7.2 and 16 (6).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

import msgspec

from pi_agent.events import MessageStartEvent, TurnEndEvent
from pi_agent.loop import begin_turn, end_run, run_loop
from pi_agent.run import Run
from pi_agent.tool_calls import answer_call
from pi_agent.types import AgentMessage
from pi_ai import AbortController, AbortError, AssistantMessage, TextContent

__all__ = ("CLEANUP_SECONDS", "end_broken_run", "run_to_its_end")

CLEANUP_SECONDS = 1.0
"""How long listeners may keep a run from ending whose event loop is being closed."""


async def run_to_its_end(
    run: Run, prompts: Sequence[AgentMessage] | None, controller: AbortController
) -> None:
    """As `run_loop`, but what it raises becomes the end of the run, and `run.error`.

    Raises only what listeners raise of the last events, and CancelledError.
    """
    try:
        await run_loop(run, prompts)
    except asyncio.CancelledError as error:
        # The event loop is being closed around the run: note what there is, then go.
        controller.abort()
        if not run.over:
            with suppress(TimeoutError):
                async with asyncio.timeout(CLEANUP_SECONDS):
                    await end_broken_run(run, error)
        raise
    except Exception as error:
        if not (isinstance(error, AbortError) and run.signal.aborted):
            run.error = error  # else a hook that had to be cancelled, as was asked for
        if run.over:
            raise  # a listener of the last event: there is nothing left to say it in
        await end_broken_run(run, error)


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
    elif run.open_stream is not None:
        message = run.open_stream.message  # what had arrived
    if isinstance(error, asyncio.CancelledError):
        error = AbortError()
    return msgspec.structs.replace(
        message,
        stop_reason="aborted" if run.signal.aborted else "error",
        error_message=str(error) or type(error).__name__,
    )
