"""Tools held inside one directory of another machine: python tools_over_ssh.py HOST DIRECTORY

Without a host they go through a shell of this machine to a temporary directory. A scripted provider
is the model.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from pi_agent import Agent
from pi_ai import ToolCall
from pi_ai.testing import FauxProvider, faux_message
from pi_tools import confined_to, create_coding_tools, over_prefix

SCRIPT = [
    faux_message(ToolCall("call_1", "write", {"path": "notes/a.txt", "content": "one\n"})),
    faux_message(ToolCall("call_2", "read", {"path": "notes/a.txt"})),
    faux_message(ToolCall("call_3", "read", {"path": "/etc/hostname"})),
    faux_message("I can work in this directory and nowhere else."),
]


async def work(prefix: list[str], directory: str) -> None:
    there = over_prefix(prefix, shell_string=True)
    tools = create_coding_tools(directory, confined_to([directory], there))
    faux = FauxProvider(SCRIPT)
    agent = Agent(model=faux.model, models=faux.models, tools=tools)
    async for event in agent.run("Where can you work?"):
        if event.type == "tool_execution_end":
            print(event.tool_name, event.result.content)


def main() -> None:
    if len(sys.argv) == 3:
        host, directory = sys.argv[1:]
        # BatchMode: fail rather than ask for a password.
        asyncio.run(work(["ssh", "-o", "BatchMode=yes", host], directory))
        return
    print("No host was named: working in a temporary directory of this machine.")
    with tempfile.TemporaryDirectory() as directory:
        line_shell = ["sh", "-c", 'exec sh -c "$*"', "sh"]
        asyncio.run(work(line_shell, str(Path(directory).resolve())))


if __name__ == "__main__":
    main()
