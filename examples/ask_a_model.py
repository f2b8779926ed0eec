"""Stream one answer, print its cost. Without a key a scripted server stands in."""

from __future__ import annotations

import asyncio

from pi_ai import Context, Model, UserMessage, stream
from pi_ai.models import default_models
from pi_ai.testing import ScriptedServer, faux_message


async def ask(model: Model) -> None:
    context = Context(system_prompt="Be brief.", messages=[UserMessage("What is a monad?")])
    async with stream(model, context) as events:
        async for event in events:
            if event.type == "text_delta":
                print(event.delta, end="", flush=True)
        message = await events.result()
    print(f"\n{message.stop_reason}, {message.usage.total_tokens} tokens", end=", ")
    print(f"${message.usage.cost.total:.6f}")


async def main() -> None:
    if available := default_models.get_available():
        await ask(available[0])
        return
    async with ScriptedServer(
        [faux_message("A monoid in the category of endofunctors.")]
    ) as server:
        await ask(server.model())


if __name__ == "__main__":
    asyncio.run(main())
