"""A server that lives long: 2,000 prompts leave nothing but what the session holds."""

from __future__ import annotations

import asyncio
import gc
from itertools import pairwise
from typing import Any

from pi_ai import Model, Models, ProviderSpec
from pi_sdk import AgentSession, AgentSessionRuntime, SessionSettings, create_agent
from pi_sdk.rpc import RpcServer
from pi_session import CompactionSettings, SessionManager
from support.rpc_wire import Wire

ROUNDS = 500
SETTINGS = SessionSettings(
    compaction=CompactionSettings(reserve_tokens=3000, keep_recent_tokens=500)
)

MODEL = Model(
    id="quick", api="quick", provider="quick", base_url="http://localhost:0", context_window=6000
)


async def quick(call: Any) -> Any:
    """Answers at once and remembers nothing."""
    message = call.message
    yield [message.start()]
    start = message.text_start()
    yield [start, message.text(start.content_index, "done"), message.end(start.content_index)]
    message.stop("stop")


def objects() -> int:
    """How many objects there are that can hold others, which the lines of a session cannot."""
    gc.collect()
    return len(gc.get_objects())


def test_two_thousand_prompts_through_a_server(project):
    models = Models(())
    models.set_provider(ProviderSpec("quick", needs_key=False, apis={"quick": quick}), [MODEL])

    async def create(manager: SessionManager) -> AgentSession:
        return await create_agent(
            session_manager=manager,
            models=models,
            model=MODEL,
            system_prompt="Be brief.",
            no_tools="all",
            context_files=False,
            session_settings=SETTINGS,
        )

    async def main() -> tuple[list[int], int]:
        held: list[int] = []
        compactions = 0
        wire = Wire()
        async with AgentSessionRuntime(
            await create(SessionManager.in_memory(project)), create
        ) as runtime:
            server = asyncio.create_task(RpcServer(runtime, wire, wire).serve())
            for number in range(4 * ROUNDS):
                wire.send("no command", {"type": "nope"}, {"type": "get_state"})
                await wire.ask("prompt", message=f"{number}: " + "word " * 20)
                await wire.saw("agent_settled")
                await wire.saw("response", 4)
                compactions += len(wire.of("compaction_end"))
                wire.records.clear()
                if number % ROUNDS == ROUNDS - 1:
                    held.append(objects())
            assert len(asyncio.all_tasks()) == 4  # this one, the server's, reading, taking up
            wire.close()
            await server
        return held, compactions

    held, compactions = asyncio.run(main())
    assert compactions > 10
    messages = 2 * ROUNDS  # the session keeps those of its lines
    assert max(later - earlier for earlier, later in pairwise(held)) < 1.1 * messages
