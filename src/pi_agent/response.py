"""One request of a run: shape the transcript, ask the model, pass its events on.

Source: agent spec, section 5.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence

from pi_agent.declarations import model_messages
from pi_agent.events import MessageStartEvent, MessageUpdateEvent
from pi_agent.run import OpenCall, Run
from pi_ai import (
    AbortError,
    AssistantMessage,
    AssistantStream,
    Message,
    StartEvent,
    StreamOptions,
    UpdateEvent,
)
from pi_ai.check import CheckedContext, check_messages

__all__ = ("aborted_response", "stream_response")


async def stream_response(run: Run) -> AssistantMessage:
    """Ask the model with the run's transcript and commit its answer.

    A failed or aborted answer is committed too; see its `stop_reason`. Raises what hooks,
    listeners and the stream function raise.
    """
    context = _checked(run, await _outgoing(run))
    stream = run.config.stream(run.model, context, await _options(run))
    run.open_stream = stream  # what had arrived goes into the failure, if there is one
    async with stream:
        await _pass_on(run, stream)
        message = await stream.result()
    message.thinking_level = run.thinking_level
    return await _commit(run, message)


async def aborted_response(run: Run) -> AssistantMessage:
    """Commit the empty answer of a request that was aborted before it was made."""
    message = AssistantMessage(
        [],
        run.model.api,
        run.model.provider,
        run.model.id,
        stop_reason="aborted",
        error_message=str(AbortError()),
        thinking_level=run.thinking_level,
    )
    return await _commit(run, message)


async def _pass_on(run: Run, stream: AssistantStream) -> None:
    emit = run.emit
    async for event in stream:
        if not isinstance(event, UpdateEvent):
            continue  # the terminal event: its message is the stream's result
        if run.open_message is not None:
            await emit(MessageUpdateEvent(event))
        elif isinstance(event, StartEvent):  # nothing is shown before the start
            run.open_message = event.partial
            await emit(MessageStartEvent(run.open_message))


async def _commit(run: Run, message: AssistantMessage) -> AssistantMessage:
    if run.open_message is None:
        run.open_message = message
        await run.emit(MessageStartEvent(message))
    run.open_message = run.open_stream = None
    if message.stop_reason not in {"error", "aborted"}:
        run.calls = [OpenCall(message, call) for call in message.tool_calls]
    await run.commit(message)
    return message


async def _outgoing(run: Run) -> Sequence[Message]:
    messages, convert = run.messages, run.config.convert_to_llm
    transform = run.config.hooks.transform_context
    if transform is None:
        known = convert is model_messages
        return run.model_messages if known else await run.ask(convert(messages))
    shaped = await run.ask(transform(list(messages), run.signal))
    return await run.ask(convert(shaped))


def _checked(run: Run, messages: Sequence[Message]) -> CheckedContext:
    """The context of the request. Raises TypeError and ValueError for what cannot be sent.

    What the request before began with was checked then.
    """
    known = run.checked_count
    if messages is not run.checked and (
        len(messages) < known or not all(map(operator.is_, run.checked[:known], messages))
    ):
        known = 0
    check_messages(messages, known)
    run.checked, run.checked_count = messages, len(messages)
    return CheckedContext(list(messages))


async def _options(run: Run) -> StreamOptions:
    options = StreamOptions(**run.config.stream_options)
    options["signal"] = run.signal
    if run.thinking_level != "off":
        options["reasoning"] = run.thinking_level
    if run.config.hooks.get_api_key is not None:
        key = await run.ask(run.config.hooks.get_api_key(run.model.provider))
        if key:
            options["api_key"] = key
    return options
