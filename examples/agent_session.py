"""A conversation that goes on: a retry, a command of the user, a compaction, another branch."""

from __future__ import annotations

import asyncio

from pi_ai.retry import RetryPolicy
from pi_ai.testing import FauxProvider, faux_message
from pi_sdk import (
    AutoRetryStartEvent,
    CompactionEndEvent,
    SessionEvent,
    SessionSettings,
    create_agent,
)
from pi_session import CompactionSettings, SessionManager

SETTINGS = SessionSettings(
    retry=RetryPolicy(max_retries=3, base_delay_ms=50),
    compaction=CompactionSettings(keep_recent_tokens=8),
)
ANSWERS = [
    faux_message("", stop_reason="error", error_message="503 overloaded"),
    faux_message("Three files changed: " + "a line of the report. " * 40),
    faux_message("All of them are."),
    faux_message("## Goal\nReview three files."),  # the summary
    faux_message("Then we start with the smallest."),
]


def show(event: SessionEvent) -> None:
    match event:
        case AutoRetryStartEvent():
            print(f"again in {event.delay_ms} ms: {event.error_message}")
        case CompactionEndEvent(result=result) if result is not None:
            print(f"compacted {result.tokens_before} tokens")


async def main() -> None:
    provider = FauxProvider(ANSWERS)  # a scripted model stands in for a real one
    async with create_agent(
        model=provider.model,
        models=provider.models,
        session_manager=SessionManager.in_memory(),
        session_settings=SETTINGS,
    ) as session:
        session.subscribe(show)
        await session.prompt("What changed?")
        await session.execute_bash("git status --short", exclude_from_context=True)
        await session.prompt("Is it tested?")
        await session.compact("Keep the names of the files.")
        moved = await session.navigate_tree(session.get_user_messages_for_forking()[1].entry_id)
        print(f"asked in another way: {moved.editor_text}")
        await session.prompt("Where do we start?")
        print(session.last_assistant_text())


if __name__ == "__main__":
    asyncio.run(main())
