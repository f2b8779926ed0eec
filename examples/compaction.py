"""A long session made short again: its older part is summarised, here by a scripted model."""

from __future__ import annotations

import asyncio

from pi_ai import (
    AssistantMessage,
    Context,
    StreamOptions,
    TextContent,
    ToolCall,
    ToolResultMessage,
    UserMessage,
)
from pi_ai.testing import FauxProvider, faux_message
from pi_session import CompactionSettings, SessionManager, Summarizer, compact_session

# The cut goes through a turn, so there are two summaries: of all before it, and of its beginning.
HISTORY = faux_message("## Goal\nRead ten files.")
TURN = faux_message("## Original Request\nWhat is in notes/8.txt?")
provider = FauxProvider([HISTORY, TURN])


async def ask(system_prompt: str, text: str, options: StreamOptions) -> AssistantMessage:
    """Any model will do: `pi_ai.complete` in place of the scripted one."""
    context = Context([UserMessage(text)], system_prompt)
    return await provider.models.complete(provider.model, context, **options)


def work(session: SessionManager) -> None:
    for number in range(10):
        path = f"notes/{number}.txt"
        session.append_message(UserMessage(f"What is in {path}?"))
        call = ToolCall(f"call_{number}", "read", {"path": path})
        session.append_message(AssistantMessage([call], stop_reason="toolUse"))
        content = [TextContent("A line of the file.\n" * 200)]
        session.append_message(ToolResultMessage(call.id, call.name, content))
        session.append_message(AssistantMessage([TextContent("Lines, all the same.")]))


async def main() -> None:
    with SessionManager.in_memory() as session:
        work(session)
        result = await compact_session(
            session,
            Summarizer(ask=ask, model=provider.model),
            settings=CompactionSettings(keep_recent_tokens=2000),
        )
        print(result.summary)
        print(f"{result.tokens_before} -> {result.estimated_tokens_after} tokens")
        print([message.role for message in session.build_session_context().messages])


if __name__ == "__main__":
    asyncio.run(main())
