"""Many agents in one process share connections and nothing else."""

from __future__ import annotations

import asyncio
from typing import Any

from pi_agent import Agent, ToolContext, ToolResult, tool
from pi_ai import Models
from pi_ai.testing import LoopbackRequest, LoopbackResponse, LoopbackServer, faux_message
from pi_ai.testing.scripted_server import anthropic_events
from pi_ai.types import Model, ToolCall
from support.agent_traces import run_quietly

AGENTS = 200


def test_two_hundred_agents_at_once():
    """Each asks twice over HTTP, calls its own tool, and ends with its own transcript."""
    together = 0
    most = 0

    async def answer(request: LoopbackRequest) -> LoopbackResponse:
        body: Any = request.json()
        name: str = body["model"]
        if len(body["messages"]) == 1:
            call = ToolCall(f"call_{name}", "remember", {"word": name})
            return LoopbackResponse(b"".join(anthropic_events(faux_message([call]))))
        assert body["messages"][2]["content"][0]["content"] == f"{name} at agent {name}"
        return LoopbackResponse(b"".join(anthropic_events(faux_message(f"done {name}"))))

    def make(models: Models, url: str, number: int) -> Agent:
        own = str(number)

        @tool
        async def remember(word: str, ctx: ToolContext) -> str:
            """Remember a word."""
            nonlocal together, most
            together += 1
            most = max(most, together)
            ctx.on_update(ToolResult.text(word))
            while most < AGENTS:  # none goes on before all of them are here
                await asyncio.sleep(0.001)
            together -= 1
            return f"{word} at agent {own}"

        model = Model(
            id=own,
            api="anthropic-messages",
            provider="scripted",
            base_url=url,
            context_window=9_999,
            max_tokens=99,
        )
        return Agent(
            model=model, models=models, tools=[remember], stream_options={"api_key": f"key {own}"}
        )

    async def main() -> None:
        async with LoopbackServer(answer) as server:
            models = Models()
            agents = [make(models, server.url, number) for number in range(AGENTS)]
            answers = await asyncio.gather(*(agent.prompt("q") for agent in agents))
            for number, (agent, last) in enumerate(zip(agents, answers, strict=True)):
                assert last is not None
                assert last.text == f"done {number}"
                roles = [m.role for m in agent.state.messages]
                assert roles == ["system", "user", "assistant", "toolResult", "assistant"]
            assert {request.headers["x-api-key"] for request in server.requests} == {
                f"key {number}" for number in range(AGENTS)
            }
            await models.aclose()

    run_quietly(main(), seconds=15)
    assert most == AGENTS
