"""Settings in layers: the user's, a trusted project's, and overrides. A scripted server answers."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from pi_ai import ToolCall
from pi_ai.testing import ScriptedServer, faux_message
from pi_ai.transcript import content_text
from pi_sdk import SettingsManager, create_agent

SCRIPT = [
    faux_message(ToolCall("call_1", "bash", {"command": "greet Ada"})),
    faux_message("The project's own command said hello."),
]
PROJECT = '{"shellCommandPrefix": "greet() { echo Hello, $1.; }", "transport": "pigeon"}'


async def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        project, agent_dir = Path(directory, "project"), Path(directory, "agent")
        (project / ".pi").mkdir(parents=True)
        (project / ".pi" / "settings.json").write_text(PROJECT)

        settings = SettingsManager.create(project, agent_dir)
        print("not trusted:", settings.current.shell_command_prefix)

        settings = SettingsManager.create(project, agent_dir, project_trusted=True)
        print("trusted:", settings.current.shell_command_prefix)
        for problem in settings.drain_errors():
            print(str(problem).partition("settings.json: ")[2])

        settings.set("images.blockImages", True)
        settings.apply_overrides({"defaultTools": ["bash"]})
        async with (
            ScriptedServer(SCRIPT) as server,
            create_agent(
                model=server.model(), cwd=project, agent_dir=agent_dir, settings=settings
            ) as agent,
        ):
            print("tools:", agent.get_active_tool_names())
            await agent.prompt("Greet Ada")
            (result,) = [m for m in agent.messages if m.role == "toolResult"]
            print("bash:", content_text(result.content).strip())
            print(agent.last_assistant_text())
        print((agent_dir / "settings.json").read_text())  # written when the agent was closed


if __name__ == "__main__":
    asyncio.run(main())
