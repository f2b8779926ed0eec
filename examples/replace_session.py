"""One program, one session after another: a new one, a fork, and back to the first."""

from __future__ import annotations

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

from pi_ai.testing import FauxProvider, faux_message
from pi_sdk import AgentSession, AgentSessionRuntime, SessionEvent, create_agent
from pi_session import SessionManager


def show(event: SessionEvent) -> None:
    if event.type == "agent_settled":
        print("  answered")


async def main(directory: Path) -> None:
    provider = FauxProvider([faux_message(text) for text in ("Paris.", "Rome.", "Bern.", "Oslo.")])

    async def create(manager: SessionManager) -> AgentSession:
        return await create_agent(
            model=provider.model, models=provider.models, session_manager=manager
        )

    first = SessionManager.create(Path.cwd(), directory)
    async with AgentSessionRuntime(await create(first), create) as runtime:
        # Listeners belong to a session: each new one is followed from its beginning.
        runtime.on_replace = lambda session: session.subscribe(show)
        runtime.session.subscribe(show)
        await runtime.session.prompt("The capital of France?")
        await runtime.session.prompt("And of Italy?")

        asked = runtime.session.get_user_messages_for_forking()[1]
        text = await runtime.fork(asked.entry_id)
        print(f"before {text!r}: {len(runtime.session.messages)} messages")
        await runtime.session.prompt("And of Switzerland?")

        await runtime.new_session()
        print(f"new: {len(runtime.session.messages)} messages")
        await runtime.session.prompt("The capital of Norway?")

        assert first.session_file is not None
        await runtime.switch_session(first.session_file)
        print(f"the first again: {runtime.session.last_assistant_text()}")


if __name__ == "__main__":
    with TemporaryDirectory() as directory:
        asyncio.run(main(Path(directory)))
