"""Talk to an agent while it works, and stop it. Without a key a scripted server stands in."""

from __future__ import annotations

import asyncio

from pi_agent import Agent, tool
from pi_ai import Model, ToolCall
from pi_ai.models import default_models
from pi_ai.testing import ScriptedServer, faux_message
from pi_ai.transcript import content_text


@tool
async def search(topic: str) -> str:
    """Search the archive; takes a while."""
    await asyncio.sleep(0.2)
    return f"Three letters about {topic}."


async def user(agent: Agent) -> None:
    """Another task: it has second thoughts while the search runs."""
    await asyncio.sleep(0.1)
    agent.steer("Only letters from 1848, please.")  # read before the next request
    agent.follow_up("Thank you. Sum up in one sentence.")  # read when the agent would stop


async def ask(model: Model) -> None:
    agent = Agent(model=model, system_prompt="You keep an archive.", tools=[search])
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(user(agent))
        tasks.create_task(agent.prompt("What is there about railways?"))
    for message in agent.state.messages[1:]:
        print(f"{message.role}: {content_text(message.content)}")

    # Cancelling, timeouts, leaving the `async for` and abort() all leave a whole transcript.
    try:
        async with asyncio.timeout(0.1):
            await agent.prompt("Search for canals, too.")
    except TimeoutError:
        print(f"stopped: {agent.state.messages[-1].stop_reason}")


async def main() -> None:
    if available := default_models.get_available():
        await ask(available[0])
        return
    calls = [ToolCall(f"c{i}", "search", {"topic": t}) for i, t in enumerate(["trains", "canals"])]
    answers = [calls[:1], "One is from 1848.", "A merchant wrote of a new railway.", calls[1:]]
    async with ScriptedServer(faux_message(each) for each in answers) as server:
        await ask(server.model())


if __name__ == "__main__":
    asyncio.run(main())
