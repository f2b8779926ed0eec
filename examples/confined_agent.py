"""An agent that edits in one directory of another place, cannot look out of it, and is scripted."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from pi_ai import ToolCall
from pi_ai.testing import ScriptedServer, faux_message
from pi_sdk import SessionEvent, create_agent
from pi_session import SessionManager
from pi_tools import ALL_TOOL_NAMES, confined_to, over_prefix

CALLS = [
    ("grep", {"pattern": r"sum\(", "glob": "*.py"}),
    ("edit", {"path": "shop.py", "edits": [{"oldText": "prices)", "newText": "prices, 0.0)"}]}),
    ("read", {"path": "shop.py"}),
    ("read", {"path": "../secret.txt"}),
    ("ls", {"path": "notes"}),
    ("bash", {"command": "cat ../secret.txt"}),
]
SCRIPT = [
    *(faux_message(ToolCall(f"call_{n}", *call)) for n, call in enumerate(CALLS)),
    faux_message("The sum is a float now. What is outside is none of my business."),
]


def show(event: SessionEvent) -> None:
    if event.type == "tool_execution_end":
        print(event.tool_name, [block.text for block in event.result.content])


async def work(root: Path) -> None:
    options = confined_to([root], over_prefix(["env", "PLACE=there"]))
    async with (
        ScriptedServer(SCRIPT) as server,
        create_agent(
            model=server.model(),
            cwd=root,
            tool_options=options,
            context_files=False,
            session_manager=SessionManager.in_memory(root),
            tools=ALL_TOOL_NAMES,
        ) as agent,
    ):
        agent.subscribe(show)
        await agent.prompt("Make the total a float, then look around")
        print(agent.last_assistant_text())


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder).resolve() / "project"
        project.mkdir()
        (project / "shop.py").write_text("total = sum(prices)\n")
        (project / "notes").symlink_to("/etc")
        (project.parent / "secret.txt").write_text("outside\n")
        asyncio.run(work(project))
