"""An agent with tools made from functions. Without a key a scripted server stands in."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from pi_agent import Agent, ToolContext, ToolError, tool
from pi_ai import Model, TextContent, ToolCall
from pi_ai.models import default_models
from pi_ai.testing import ScriptedServer, faux_message


@tool
async def word_count(path: str, ctx: ToolContext, unique: bool = False) -> str:
    """Count the words of a text file.

    Args:
        path: File, relative to the working directory.
        unique: Count each word once.
    """
    try:
        text = await asyncio.to_thread((ctx.cwd / path).read_text, encoding="utf-8")
    except FileNotFoundError as error:
        raise ToolError(f"No such file: {path!r}") from error
    words = text.split()
    return str(len(set(words)) if unique else len(words))


@tool(timeout=5)
def reading_time(words: Annotated[int, Meta(ge=0)]) -> dict[str, float]:
    """How long it takes to read that many words. A plain function runs in a thread."""
    return {"minutes": round(words / 240, 2)}


async def ask(model: Model) -> None:
    here = Path(__file__)
    agent = Agent(model=model, tools=[word_count, reading_time], cwd=here.parent)
    async for event in agent.run(f"How long does one read {here.name}?"):
        if event.type == "tool_execution_end":
            texts = [b.text for b in event.result.content if isinstance(b, TextContent)]
            print(f"{event.tool_name} -> {' '.join(texts)}")
    print(agent.state.messages[-1].text)


async def main() -> None:
    if available := default_models.get_available():
        return await ask(available[0])
    count = ToolCall("c1", "word_count", {"path": Path(__file__).name})
    time = ToolCall("c2", "reading_time", {"words": 230})
    async with ScriptedServer(map(faux_message, [[count], [time], "A minute."])) as server:
        await ask(server.model())


if __name__ == "__main__":
    asyncio.run(main())
