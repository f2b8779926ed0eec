"""An agent whose tools work in a container: python tools_in_docker.py CONTAINER DIRECTORY

Without a container it works in a temporary directory of this machine, through a prefix all the
same. A scripted server is the model.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from pi_ai import ToolCall
from pi_ai.testing import ScriptedServer, faux_message
from pi_sdk import SessionEvent, create_agent
from pi_session import SessionManager
from pi_tools import over_prefix

SCRIPT = [
    faux_message(ToolCall("call_1", "write", {"path": "hello.txt", "content": "hello\n"})),
    faux_message(ToolCall("call_2", "bash", {"command": "pwd; cat hello.txt; echo $0"})),
    faux_message("hello.txt is there."),
]


def show(event: SessionEvent) -> None:
    if event.type == "tool_execution_end":
        print(event.tool_name, event.result.content)


async def work(prefix: list[str], directory: str) -> None:
    async with (
        ScriptedServer(SCRIPT) as server,
        create_agent(
            model=server.model(),
            cwd=directory,
            tool_options=over_prefix(prefix),
            context_files=False,
            session_manager=SessionManager.in_memory(directory),
        ) as agent,
    ):
        agent.subscribe(show)
        await agent.prompt("Write hello.txt and look at it")
        print(agent.last_assistant_text())


def main() -> None:
    if len(sys.argv) == 3:
        container, directory = sys.argv[1:]
        asyncio.run(work(["docker", "exec", "-i", container], directory))
        return
    print("No container was named: working in a temporary directory of this machine.")
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(work(["env", "PLACE=local"], str(Path(directory).resolve())))


if __name__ == "__main__":
    main()
