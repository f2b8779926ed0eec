"""Ask before bash runs more than harmless commands. Without a key a scripted server answers."""

from __future__ import annotations

import asyncio
import shlex
import sys

from pi_agent import Agent, BeforeToolCall, Hooks, ToolDecision
from pi_ai import AbortSignal, Model, ToolCall
from pi_ai.models import default_models
from pi_ai.testing import ScriptedServer, faux_message
from pi_tools import create_bash_tool

HARMLESS = {"date", "echo", "ls", "pwd"}
SHELL_SYNTAX = set(";&|<>$`\n")


async def gate(asked: BeforeToolCall, _signal: AbortSignal) -> ToolDecision | None:
    """Allow (None), change (`args`), or deny with a reason that the model reads."""
    if asked.tool_call.name != "bash":
        return None
    command = str(asked.args["command"])
    if not SHELL_SYNTAX & set(command) and shlex.split(command)[0] in HARMLESS:
        return ToolDecision(args={**asked.args, "timeout": 10})
    if not sys.stdin.isatty():
        return ToolDecision(block=True, reason="Nobody is here to allow it. Do without.")
    answer = await asyncio.to_thread(input, f"Run {command!r}? [y/N] ")
    return None if answer == "y" else ToolDecision(block=True, reason="The user said no.")


async def ask(model: Model) -> None:
    agent = Agent(
        model=model,
        tools=[create_bash_tool(".")],
        hooks=Hooks(before_tool_call=gate, before_tool_call_timeout=60),  # silence denies
    )
    async for event in agent.run("What day is it? Then delete everything here."):
        if event.type == "tool_execution_end":
            verdict = "refused or failed" if event.is_error else "ran"
            print(f"{event.tool_name} {verdict}: {event.result.content[0].text.strip()}")
    print(agent.state.messages[-1].text)


async def main() -> None:
    if available := default_models.get_available():
        await ask(available[0])
        return
    commands = ["date +%A", "rm -rf ./*"]
    calls = [ToolCall(f"c{i}", "bash", {"command": c}) for i, c in enumerate(commands)]
    async with ScriptedServer([faux_message(calls), faux_message("I kept the files.")]) as server:
        await ask(server.model())


if __name__ == "__main__":
    asyncio.run(main())
