"""An agent that looks at files and changes none. A scripted server is the model."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from pi_ai import ToolCall
from pi_ai.testing import ScriptedServer, faux_message
from pi_sdk import SessionEvent, create_agent
from pi_session import SessionManager
from pi_tools import READ_ONLY_TOOL_NAMES

SCRIPT = [
    faux_message(ToolCall("call_1", "find", {"pattern": "*.py"})),
    faux_message(ToolCall("call_2", "grep", {"pattern": "def \\w+", "glob": "*.py"})),
    faux_message("shop.py defines total; build/ is ignored."),
]


def show(event: SessionEvent) -> None:
    match event.type:
        case "tool_execution_end":
            print(event.tool_name, [block.text for block in event.result.content])


async def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        cwd = Path(directory)
        for folder in (".git", "build"):
            (cwd / folder).mkdir()
        (cwd / ".gitignore").write_text("build/\n")
        (cwd / "shop.py").write_text("def total(prices):\n    return sum(prices)\n")
        (cwd / "build" / "shop.py").write_text("def total(prices): ...\n")
        async with (
            ScriptedServer(SCRIPT) as server,
            create_agent(
                model=server.model(),
                cwd=cwd,
                agent_dir=cwd / "agent",
                session_manager=SessionManager.in_memory(cwd),
                tools=READ_ONLY_TOOL_NAMES,
            ) as agent,
        ):
            agent.subscribe(show)
            await agent.prompt("Which functions are there?")
            print(agent.last_assistant_text())


if __name__ == "__main__":
    asyncio.run(main())
