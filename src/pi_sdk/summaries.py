"""Summaries on behalf of a session: who is asked, and what is told of attempts that fail."""

from __future__ import annotations

from functools import partial
from typing import Literal

from pi_ai import Model
from pi_ai.retry import RetryCallbacks
from pi_sdk.events import (
    CompactionReason,
    SummarizationRetryAttemptStartEvent,
    SummarizationRetryFinishedEvent,
    SummarizationRetryScheduledEvent,
)
from pi_sdk.session_core import SessionCore
from pi_session import Summarizer

__all__ = ("session_summarizer",)


def session_summarizer(
    core: SessionCore,
    model: Model,
    source: Literal["compaction", "branchSummary"],
    *,
    reason: CompactionReason | None = None,
) -> Summarizer:
    """Asks `model` as the session's agent would, and tells the session's listeners of retries."""
    tell = core.listeners.tell

    async def scheduled(attempt: int, most: int, delay_ms: float, error: str) -> None:
        await tell(SummarizationRetryScheduledEvent(attempt, most, round(delay_ms), error))

    async def attempt_start() -> None:
        await tell(SummarizationRetryAttemptStartEvent(source, reason))

    async def finished(_success: bool, _attempt: int, _error: str | None) -> None:
        await tell(SummarizationRetryFinishedEvent())

    return Summarizer(
        ask=partial(core.ask, model),
        model=model,
        thinking_level=core.agent.state.thinking_level,
        retry=core.settings.retry,
        callbacks=RetryCallbacks(
            on_retry_scheduled=scheduled,
            on_retry_attempt_start=attempt_start,
            on_retry_finished=finished,
        ),
    )
