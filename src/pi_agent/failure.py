"""How a run ends when something other than the provider breaks it: a hook, a listener, the host.

What was committed stays; an open response is closed with what had arrived, every call gets a
result, and one last message says what happened. Source: agent spec, sections 7.2 and 16 (6).
"""

from __future__ import annotations

from pi_agent.events import AgentEndEvent, MessageStartEvent, TurnEndEvent
from pi_agent.run import Run
from pi_ai import AssistantMessage, TextContent, ToolResultMessage

__all__ = ("end_broken_run",)


async def end_broken_run(run: Run, error: BaseException) -> None:
    """Close the run's open message, calls and turn, and emit its end. Raises what listeners do."""
    results = await _answer_open_calls(run)
    message = _failure(run, error)
    if run.open_message is None:
        await run.emit(MessageStartEvent(message))
    run.open_message = None
    await run.commit(message)
    run.turn_open = False
    await run.emit(TurnEndEvent(message, results))
    await run.emit(AgentEndEvent(list(run.new_messages)))


def _failure(run: Run, error: BaseException) -> AssistantMessage:
    received = run.open_message.content if run.open_message is not None else []
    aborted = run.signal.aborted
    text = str(error) or type(error).__name__
    return AssistantMessage(
        received or [TextContent("")],
        run.model.api,
        run.model.provider,
        run.model.id,
        stop_reason="aborted" if aborted else "error",
        error_message="Request was aborted" if aborted else text,
    )


async def _answer_open_calls(run: Run) -> list[ToolResultMessage]:
    """A result for each call of the last response that has none, so that the transcript holds."""
    answered: set[str] = set()
    for message in reversed(run.new_messages):
        if isinstance(message, ToolResultMessage):
            answered.add(message.tool_call_id)
        elif isinstance(message, AssistantMessage):
            if message.stop_reason in {"error", "aborted"}:
                return []
            missing = [call for call in message.tool_calls if call.id not in answered]
            break
    else:
        return []
    results = [
        ToolResultMessage(
            call.id, call.name, [TextContent("Operation aborted")], details={}, is_error=True
        )
        for call in missing
    ]
    for result in results:
        await run.add(result)
    return results
