"""A session's numbers, in the shape that programs of upstream read.

Source: sdk spec, section 14.3.
"""

from __future__ import annotations

from msgspec import field

from pi_ai import Model, Wire
from pi_session import ContextUsage, SessionManager, get_context_usage

__all__ = ("SessionTotals", "TokenTotals", "context_usage", "session_totals")


class TokenTotals(Wire):
    """Tokens by kind; `total` is the sum of the four."""

    input: int = field(default_factory=int)
    output: int = field(default_factory=int)
    cache_read: int = field(default_factory=int)
    cache_write: int = field(default_factory=int)
    total: int = field(default_factory=int)


class SessionTotals(Wire, kw_only=True):
    """Counts, tokens and cost, in USD, of all branches of a session.

    `total_messages` counts every message, those of the system and shell commands included.
    `context_usage` is about the active branch, None if the window is unknown.
    """

    session_file: str | None = None
    session_id: str
    user_messages: int
    assistant_messages: int
    tool_calls: int
    tool_results: int
    total_messages: int
    tokens: TokenTotals
    cost: float
    context_usage: ContextUsage | None = None


def session_totals(session: SessionManager, model: Model | None) -> SessionTotals:
    """The numbers of `session`, whose context `model` has to hold."""
    stats = session.stats()
    usage = stats.usage
    counts = (usage.input, usage.output, usage.cache_read, usage.cache_write)
    return SessionTotals(
        session_file=None if session.session_file is None else str(session.session_file),
        session_id=session.session_id,
        user_messages=stats.user_messages,
        assistant_messages=stats.assistant_messages,
        tool_calls=stats.tool_calls,
        tool_results=stats.tool_results,
        total_messages=stats.total_messages,
        tokens=TokenTotals(*counts, sum(counts)),
        cost=usage.cost.total,
        context_usage=context_usage(session, model),
    )


def context_usage(session: SessionManager, model: Model | None) -> ContextUsage | None:
    """How full the window of `model` is; None without a model, or if its window is unknown."""
    if model is None or model.context_window <= 0:
        return None
    return get_context_usage(session.build_projection(), session.get_branch(), model.context_window)
