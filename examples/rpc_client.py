"""An agent in a process of its own, driven with RpcClient. Without a key a script stands in."""

from __future__ import annotations

import asyncio
import json
import tempfile
from pathlib import Path

from pi_ai import ToolCall
from pi_ai.models import default_models
from pi_ai.testing import ScriptedServer, faux_message
from pi_sdk import RpcClient

SCRIPT = [
    faux_message([ToolCall("t1", "read", {"path": "note.txt"})]),
    faux_message("The note says: remember the milk."),
    faux_message("As I said: the milk."),
]


async def drive(client: RpcClient) -> None:
    print("model:", (await client.get_state()).model)
    events = client.events()
    await client.prompt("What does note.txt say?")  # returns when it is accepted
    async for event in events:
        if event.type == "message_update" and event.assistant_message_event.type == "text_delta":
            print(event.assistant_message_event.delta, end="", flush=True)
        elif event.type == "tool_execution_start":
            print(f"[{event.tool_name} {event.args}]")
        elif event.type == "agent_settled":
            break
    await client.prompt_and_wait("Say it again.")  # the same, without looking at the events
    print("\nagain:", await client.get_last_assistant_text())


def write_files(project: str, url: str) -> None:
    """A note to read, and a model that the scripted server serves."""
    provider = {"baseUrl": url, "api": "anthropic-messages", "apiKey": "none"}
    models = {"providers": {"scripted": provider | {"models": [{"id": "m"}]}}}
    Path(project, "models.json").write_text(json.dumps(models))
    Path(project, "note.txt").write_text("remember the milk\n")


async def main() -> None:
    with tempfile.TemporaryDirectory() as project:
        async with ScriptedServer(SCRIPT) as server:
            write_files(project, server.url)
            env, name = {"PI_CODING_AGENT_DIR": project}, "scripted/m"
            if available := default_models.get_available():
                env, name = {}, f"{available[0].provider}/{available[0].id}"
            async with RpcClient(model=name, cwd=project, env=env) as client:
                await drive(client)


if __name__ == "__main__":
    asyncio.run(main())
