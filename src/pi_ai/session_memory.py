"""What adapters learn about sessions while they run, such as that a server refused a feature."""

from __future__ import annotations

import threading

__all__ = ("SessionMemory",)

_MOST_SESSIONS = 10_000


class SessionMemory:
    """Facts per session id, in memory only; safe to use from any thread.

    At most 10,000 sessions are kept: the one that learned nothing for the longest time goes.
    """

    def __init__(self) -> None:
        self._facts: dict[str, frozenset[str]] = {}
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<SessionMemory of {len(self._facts)} sessions>"

    def remember(self, session_id: str | None, fact: str) -> None:
        """Note a fact about a session; a request without a session leaves nothing behind."""
        if not session_id:
            return
        with self._lock:
            known = self._facts.pop(session_id, frozenset())
            self._facts[session_id] = known | {fact}
            if len(self._facts) > _MOST_SESSIONS:
                del self._facts[next(iter(self._facts))]

    def recalls(self, session_id: str | None, fact: str) -> bool:
        """Whether a fact was noted about a session."""
        return fact in self._facts.get(session_id or "", ())

    def forget(self, session_id: str) -> None:
        """Drop what is known of a session."""
        with self._lock:
            self._facts.pop(session_id, None)
