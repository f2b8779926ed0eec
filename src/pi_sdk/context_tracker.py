"""Where a session stands against the run that works on it, known without looking at all of it.

A session may grow to thousands of messages; what is asked at every request must not walk them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from pi_agent import AgentMessage
from pi_ai import AssistantMessage
from pi_ai.estimate import calculate_context_tokens, has_usage
from pi_sdk.recording import append_agent_message
from pi_session import (
    SessionManager,
    SessionMessage,
    estimate_projected_context_tokens,
    estimate_tokens,
)

__all__ = ("ContextTracker", "estimate_agent_messages")


class ContextTracker:
    """Counts the tokens of a session's context as it grows, and sees whether a run knows all of it.

    What else is appended to the session, or a move in its tree, is seen by its leaf.
    """

    __slots__ = ("_counted", "_counted_leaf", "_run_leaf", "_session", "_tokens")

    def __init__(self, session: SessionManager) -> None:
        self._session = session
        self._run_leaf: str | None = None
        self._counted = False
        self._counted_leaf: str | None = None
        self._tokens = 0

    def begin_run(self) -> None:
        """A run works on what the session holds now."""
        self._run_leaf = self._session.leaf_id

    @property
    def in_step(self) -> bool:
        """Whether the run has all that the session holds, and nothing else was changed."""
        return self._run_leaf == self._session.leaf_id

    def store(self, message: AgentMessage, *, of_run: bool = True) -> str | None:
        """Append a message, by default one that the run has made; gives the id of its entry.

        Raises as `append_agent_message` does.
        """
        before = self._session.leaf_id
        entry_id = append_agent_message(self._session, message)
        if entry_id is None:
            return None
        if of_run and self._run_leaf == before:
            self._run_leaf = entry_id
        if self._counted and self._counted_leaf == before:
            self._counted_leaf = entry_id
            if isinstance(message, AssistantMessage) and has_usage(message):
                self._tokens = calculate_context_tokens(message.usage)
            else:
                self._tokens += estimate_agent_messages((message,))
        return entry_id

    def tokens(self) -> int:
        """About how many tokens the context takes; counted anew only if something else changed it.

        Source: session spec, section 14.2.
        """
        leaf = self._session.leaf_id
        if not self._counted or self._counted_leaf != leaf:
            session = self._session
            found = estimate_projected_context_tokens(
                session.build_projection(), session.get_branch()
            )
            self._tokens, self._counted_leaf, self._counted = found.tokens, leaf, True
        return self._tokens


def estimate_agent_messages(messages: Iterable[AgentMessage]) -> int:
    """About how many tokens messages of an agent with a session take."""
    return sum(estimate_tokens(cast("SessionMessage", message)) for message in messages)
