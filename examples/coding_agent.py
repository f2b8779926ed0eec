"""create_agent in a directory, then the same session again. A scripted server is the model."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from pi_ai import ToolCall
from pi_ai.testing import ScriptedServer, faux_message
from pi_sdk import SessionEvent, create_agent
from pi_session import SessionManager

SCRIPT = [
    faux_message(ToolCall("call_1", "write", {"path": "hello.txt", "content": "hello\n"})),
    faux_message(ToolCall("call_2", "bash", {"command": "cat hello.txt | tr a-z A-Z"})),
    faux_message("I wrote hello.txt; in capitals it says HELLO."),
    faux_message("It was hello.txt."),
]


def show(event: SessionEvent) -> None:
    match event.type:
        case "tool_execution_start":
            print(f"{event.tool_name} {event.args}")
        case "message_update" if event.assistant_message_event.type == "text_end":
            print(event.assistant_message_event.content)


async def main() -> None:
    async with ScriptedServer(SCRIPT) as server:
        with tempfile.TemporaryDirectory() as directory:
            model, cwd = server.model(), Path(directory)
            async with create_agent(model=model, cwd=cwd, agent_dir=cwd / "agent") as agent:
                agent.subscribe(show)
                await agent.prompt("Write hello.txt and show it in capitals")
                file = agent.session_file
            assert file is not None
            session = SessionManager.open(file)
            async with create_agent(model=model, session_manager=session) as agent:
                await agent.prompt("Which file did you write?")
                print(agent.last_assistant_text())


if __name__ == "__main__":
    asyncio.run(main())
