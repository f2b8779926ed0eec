"""An agent with a tool made from a function, its model scripted inside the process."""

from __future__ import annotations

import asyncio
from pathlib import Path

from pi_agent import Agent, ToolContext, ToolError, tool
from pi_ai import TextContent, ToolCall
from pi_ai.testing import FauxProvider, faux_message


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


async def main() -> None:
    here = Path(__file__)
    provider = FauxProvider(
        [
            faux_message([ToolCall("call_1", "word_count", {"path": here.name})]),
            lambda request: faux_message(f"It has {request.messages[-1].content[0].text} words."),
        ]
    )
    agent = Agent(model=provider.model, models=provider.models, tools=[word_count], cwd=here.parent)
    async for event in agent.run(f"How many words has {here.name}?"):
        match event.type:
            case "tool_execution_start":
                print(f"{event.tool_name}({event.args})")
            case "tool_execution_end":
                texts = [b.text for b in event.result.content if isinstance(b, TextContent)]
                print(f"-> {' '.join(texts)}")
    print(agent.state.messages[-1].text)


if __name__ == "__main__":
    asyncio.run(main())
