"""One request of a run: shape the transcript, ask the model, pass its events on.

Source: agent spec, section 5.
"""

from __future__ import annotations

import asyncio

from pi_agent.declarations import model_messages
from pi_agent.events import MessageStartEvent, MessageUpdateEvent
from pi_agent.run import Run, resolve
from pi_ai import (
    AssistantMessage,
    AssistantStream,
    Context,
    DoneEvent,
    ErrorEvent,
    StartEvent,
    StreamOptions,
)

__all__ = ("aborted_response", "stream_response")

_ABORTED = "Request was aborted"


async def stream_response(run: Run) -> AssistantMessage:
    """Ask the model with the run's transcript and commit its answer.

    A failed or aborted answer is committed too; see its `stop_reason`. Raises what hooks,
    listeners and the stream function raise.
    """
    context = Context(model_messages(await _outgoing(run)))
    stream = run.config.stream(run.model, context, await _options(run))
    async with stream:
        try:
            async for event in stream:
                match event:
                    case StartEvent():
                        run.open_message = event.partial
                        await run.emit(MessageStartEvent(run.open_message))
                    case DoneEvent() | ErrorEvent():
                        pass  # the result below
                    case _ if run.open_message is not None:
                        await run.emit(MessageUpdateEvent(event))
                    case _:
                        pass  # nothing is shown before the start
            message = await stream.result()
        except (Exception, asyncio.CancelledError):
            _keep_partial(run, stream)
            raise
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
        error_message=_ABORTED,
        thinking_level=run.thinking_level,
    )
    return await _commit(run, message)


async def _commit(run: Run, message: AssistantMessage) -> AssistantMessage:
    if run.open_message is None:
        await run.emit(MessageStartEvent(message))
    run.open_message = None
    await run.commit(message)
    return message


def _keep_partial(run: Run, stream: AssistantStream) -> None:
    """What had arrived when something else than the provider broke the response off."""
    if run.open_message is not None:
        run.open_message = stream.message


async def _outgoing(run: Run):
    messages = run.messages
    if run.config.hooks.transform_context is not None:
        messages = await resolve(run.config.hooks.transform_context(messages, run.signal))
    return await resolve(run.config.convert_to_llm(messages))


async def _options(run: Run) -> StreamOptions:
    options = StreamOptions(**run.config.stream_options)
    options["signal"] = run.signal
    if run.thinking_level != "off":
        options["reasoning"] = run.thinking_level
    if run.config.hooks.get_api_key is not None:
        key = await resolve(run.config.hooks.get_api_key(run.model.provider))
        if key:
            options["api_key"] = key
    return options
