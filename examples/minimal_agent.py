"""The smallest agent: a model and a question. Without a key a scripted server stands in."""

from __future__ import annotations

import asyncio

from pi_agent import Agent
from pi_ai import Model
from pi_ai.models import default_models
from pi_ai.testing import ScriptedServer, faux_message


async def ask(model: Model) -> None:
    agent = Agent(model=model, system_prompt="Be brief.")
    async for event in agent.run("Why is the sky blue?"):
        if event.type == "message_update" and event.assistant_message_event.type == "text_delta":
            print(event.assistant_message_event.delta, end="", flush=True)
    print()
    answer = await agent.prompt("And at sunset?")  # the same conversation, without the events
    print(answer.text if answer else "no answer")


async def main() -> None:
    if available := default_models.get_available():
        await ask(available[0])
        return
    answers = ["Air scatters blue light most.", "The light comes a longer way: red is left."]
    async with ScriptedServer(faux_message(text) for text in answers) as server:
        await ask(server.model())


if __name__ == "__main__":
    asyncio.run(main())
