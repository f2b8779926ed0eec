"""Ours: `SessionManager` and `list_sessions`, of the tree that this file is in."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "src"))

from session_harness import Subject, measure

from pi_ai.types import UserMessage
from pi_session import SessionManager, list_sessions


def open_session(path: str) -> tuple[SessionManager, int]:
    """Opened for writing, with its lock, as an agent does."""
    session = SessionManager.open(path)
    return session, session.get_entry_count()


def context(session: SessionManager) -> int:
    """How many messages the model would see."""
    return len(session.build_session_context().messages)


def append(session: SessionManager, text: str) -> object:
    """One user message."""
    return session.append_message(UserMessage(text))


def list_all(directory: str, cwd: str) -> int:
    """The sessions of a directory, with name, counts and texts."""
    return len(list_sessions(cwd, directory))


if __name__ == "__main__":
    measure(Subject(open_session, context, append, list_all))
