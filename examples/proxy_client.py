"""An agent without keys: its tool runs here, its model is asked through `proxy_server.py`.

PROXY_URL and PROXY_TOKEN say where a server is; without, a scripted one runs in this process.
"""

from __future__ import annotations

import asyncio
import os

from aiohttp.test_utils import TestServer
from proxy_server import make_app

from pi_agent import Agent, stream_proxy, tool
from pi_ai import Model, get_model
from pi_ai.testing import FauxProvider, faux_message, faux_tool_call


@tool
async def multiply(a: int, b: int) -> str:
    """Multiply two numbers.

    Args:
        a: One number.
        b: The other.
    """
    return str(a * b)


async def ask(model: Model, url: str, token: str) -> None:
    agent = Agent(
        model=model,
        system_prompt="Be brief.",
        tools=[multiply],
        stream=stream_proxy(proxy_url=url, auth_token=token),
    )
    async for event in agent.run("What is 1234 times 5678?"):
        if event.type == "tool_execution_start":
            print(f"{event.tool_name}({event.args})")
    answer = agent.state.messages[-1]
    print(answer.text or answer.error_message)


async def main() -> None:
    if url := os.environ.get("PROXY_URL"):
        await ask(get_model("anthropic", "claude-sonnet-4-5"), url, os.environ["PROXY_TOKEN"])
        return
    provider = FauxProvider(
        [
            faux_message([faux_tool_call("multiply", {"a": 1234, "b": 5678})]),
            lambda request: faux_message(f"It is {request.messages[-1].content[0].text}."),
        ]
    )
    async with TestServer(make_app(provider.models, "demo")) as server:
        await ask(provider.model, str(server.make_url("/")), "demo")


if __name__ == "__main__":
    asyncio.run(main())
