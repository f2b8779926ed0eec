"""The scripted model of our subjects: an adapter like those of the vendors' wire formats.

After the start, the whole answer comes as of one network read.
"""

import asyncio

from agent_harness import Script
from msgspec import Struct

from pi_ai import AssistantEvent, Model, Models, ProviderSpec
from pi_ai.provider import Call
from pi_ai.stream import EventBatches

__all__ = ("MODEL", "scripted_models")

MODEL = Model(
    id="scripted",
    api="scripted",
    provider="scripted",
    base_url="http://localhost:0",
    context_window=100_000_000,
    max_tokens=16_000,
)


def scripted_models(script: Script) -> Models:
    """A collection with one model, which answers what `script` says."""

    async def adapter(call: Call[Struct], /) -> EventBatches:
        message = call.message
        yield [message.start()]
        await asyncio.sleep(0)
        events: list[AssistantEvent] = [message.text_start()]
        events += [message.text(0, piece) for piece in script.text]
        events.append(message.end(0))
        call_id = script.next_call()
        if call_id is not None:
            events.append(message.tool_call_start(call_id, "look_up"))
            events += [message.tool_call(1, piece) for piece in script.arguments]
            events.append(message.end(1))
        message.stop("stop" if call_id is None else "toolUse")
        yield events

    models = Models(())
    models.set_provider(
        ProviderSpec("scripted", needs_key=False, apis={"scripted": adapter}), [MODEL]
    )
    return models
