"""A summarizer whose model is scripted."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from pi_ai import AssistantMessage, Context, StreamOptions, TextContent, UserMessage
from pi_ai.testing import FauxProvider, FauxRequest
from pi_session import Summarizer

__all__ = ("no_wait", "request_text", "scripted_summarizer")


async def no_wait(_seconds: float) -> None:
    """A sleep that takes no time."""


def scripted_summarizer(
    provider: FauxProvider, *, context_window: int | None = None, **fields: Any
) -> Summarizer:
    """Asks the scripted provider, without waiting between retries."""
    model = provider.model
    if context_window is not None:
        model = replace(model, context_window=context_window)

    async def ask(system_prompt: str, text: str, options: StreamOptions) -> AssistantMessage:
        context = Context([UserMessage([TextContent(text)])], system_prompt)
        return await provider.models.complete(model, context, **options)

    return Summarizer(**{"ask": ask, "model": model, "sleep": no_wait, **fields})


def request_text(request: FauxRequest) -> str:
    """The text of the one user message of a summary request."""
    system, user = request.messages
    assert (system.role, user.role) == ("system", "user")
    (block,) = user.content
    assert isinstance(block, TextContent)
    return block.text
