"""Agent sessions on the fake provider, and what was said in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pi_sdk import create_agent
from pi_session import SessionManager

BUSY = (
    "Agent is already processing. Specify streamingBehavior ('steer' or 'followUp') "
    "to queue the message."
)


def opened(fake: Any, project: Path, **options: Any) -> Any:
    """`create_agent` in memory, on the fake provider alone."""
    options.setdefault("session_manager", SessionManager.in_memory(project))
    return create_agent(cwd=project, models=fake.models, context_files=False, **options)


def said(messages: Any) -> list[tuple[str, str]]:
    """Role and text of every message but the system's."""
    found: list[tuple[str, str]] = []
    for message in messages:
        if message.role != "system":
            content = getattr(message, "content", ())
            text = content if isinstance(content, str) else ""
            blocks = [] if text else content
            found.append((message.role, text or "".join(getattr(b, "text", "") for b in blocks)))
    return found
