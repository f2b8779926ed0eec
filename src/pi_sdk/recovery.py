"""Auto-retry: an answer that failed for a reason that may pass is asked for again, after a while.

Source: sdk spec, section 11.
"""

from __future__ import annotations

import asyncio

from pi_ai import AbortController, AbortError, AssistantMessage
from pi_ai.abort import abort_scope
from pi_ai.overflow import is_context_overflow
from pi_ai.retry import is_retryable_assistant_error, retry_delay_ms
from pi_sdk.events import AutoRetryEndEvent, AutoRetryStartEvent
from pi_sdk.session_core import SessionCore

__all__ = ("AutoRetry",)

_CANCELLED = "Retry cancelled"


class AutoRetry:
    """Counts the attempts for one answer; `attempt` is 0 while there was no failure."""

    __slots__ = ("_core", "_waiting", "attempt")

    def __init__(self, core: SessionCore) -> None:
        self.attempt = 0
        self._core = core
        self._waiting: AbortController | None = None

    def expects(self, message: AssistantMessage) -> bool:
        """Whether the answer will be asked for again."""
        policy = self._core.settings.retry
        return (
            policy.enabled
            and self.attempt < policy.max_retries
            and is_retryable_assistant_error(message)
            and not is_context_overflow(message)
        )

    async def wait(self, message: AssistantMessage, entry_id: str) -> bool:
        """Take the failed answer out of the context and wait; False if somebody stops that."""
        policy = self._core.settings.retry
        self.attempt += 1
        delay_ms = retry_delay_ms(policy, self.attempt)
        self._waiting = AbortController()
        error = message.error_message or "Unknown error"
        try:
            await self._core.listeners.tell(
                AutoRetryStartEvent(self.attempt, policy.max_retries, round(delay_ms), error)
            )
            await self._core.edit_context(entry_id, None)
            with abort_scope(self._waiting.signal):
                await asyncio.sleep(delay_ms / 1000)
        except AbortError:
            await self.cancelled()
            return False
        except BaseException:  # cancelled, or the edit could not be stored
            await self.cancelled()
            raise
        finally:
            self._waiting = None
        return True

    def abort(self) -> bool:
        """Stop waiting; False if nothing waited."""
        if self._waiting is None:
            return False
        self._waiting.abort()
        return True

    async def succeeded(self) -> None:
        """An answer came."""
        await self._end(success=True)

    async def failed(self, message: AssistantMessage) -> None:
        """The last attempt failed too."""
        await self._end(success=False, error=message.error_message)

    async def cancelled(self) -> None:
        """Somebody stopped it."""
        await self._end(success=False, error=_CANCELLED)

    async def _end(self, *, success: bool, error: str | None = None) -> None:
        """Tell the end, if there was a start, and begin to count anew."""
        attempt, self.attempt = self.attempt, 0
        if attempt:
            await self._core.listeners.tell(AutoRetryEndEvent(success, attempt, error))
