"""Keeps OAuth tokens fresh: one refresh among many tasks, and many processes.

A refresh that has begun is seen through, whoever stops waiting for it: the server may have taken
the old token back already. Source: auth spec, section 6.2.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from weakref import WeakKeyDictionary

from msgspec.structs import replace

from pi_ai.abort import AbortSignal, abort_scope
from pi_ai.auth.storage import CredentialStore
from pi_ai.auth.types import Credential, OAuthCredential, OAuthHandler
from pi_ai.errors import ModelsError, OAuthError, ProviderError

__all__ = ("TokenRefresher", "needs_refresh")

_log = logging.getLogger("pi_ai")

_MARGIN_MS = 300_000
_REFRESH_SECONDS = 15.0
_DEAD_CODES = {
    "invalid_grant",
    "refresh_token_expired",
    "refresh_token_invalidated",
    "refresh_token_reused",
}
"""What servers say of a refresh token that will never work again: RFC 6749, 5.2; OpenAI's words."""


def needs_refresh(
    credential: OAuthCredential, now_ms: float, min_validity_ms: float | None = None
) -> bool:
    """Whether the tokens expire within five minutes, or the validity asked for if that is more."""
    return now_ms + max(_MARGIN_MS, min_validity_ms or 0) >= credential.expires


class TokenRefresher:
    """Gives tokens that are valid for a while."""

    def __init__(
        self,
        store: CredentialStore,
        now_ms: Callable[[], float],
        *,
        refresh_seconds: float = _REFRESH_SECONDS,
    ) -> None:
        """`now_ms` is the time in milliseconds since 1970."""
        self._store = store
        self._now_ms = now_ms
        self._refresh_seconds = refresh_seconds
        self._running: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, _Refresh]] = (
            WeakKeyDictionary()
        )

    async def fresh(
        self,
        provider_id: str,
        handler: OAuthHandler,
        credential: OAuthCredential,
        *,
        min_validity_ms: float | None = None,
        signal: AbortSignal | None = None,
    ) -> OAuthCredential | None:
        """`credential`, or its successor from the store; None if there is no login any more.

        `signal` ends the waiting. Raises `ModelsError`; what is stored stays then.
        """
        if not needs_refresh(credential, self._now_ms(), min_validity_ms):
            return credential
        fresh = await self._shared(provider_id, handler, min_validity_ms, signal)
        if fresh is None or min_validity_ms is None:
            return fresh
        if self._now_ms() + min_validity_ms >= fresh.expires:
            raise ModelsError(
                f"OAuth refresh returned a token that expires too soon for {provider_id}",
                code="oauth",
            )
        return fresh

    async def settled(self) -> None:
        """Wait until every refresh of this event loop is stored, or has failed."""
        while running := self._of_this_loop():
            await asyncio.wait({refresh.task for refresh in running.values()})
            await asyncio.sleep(0)  # the callbacks that take them out

    def _of_this_loop(self) -> dict[str, _Refresh]:
        return self._running.setdefault(asyncio.get_running_loop(), {})

    async def _shared(
        self,
        provider_id: str,
        handler: OAuthHandler,
        min_validity_ms: float | None,
        signal: AbortSignal | None,
    ) -> OAuthCredential | None:
        """Wait for the refresh that runs, or for one that is started."""
        refreshes = self._of_this_loop()
        refresh = refreshes.get(provider_id)
        if refresh is None:
            refresh = _Refresh(
                self._store, provider_id, handler, self._now_ms, self._refresh_seconds
            )
            refresh.start(min_validity_ms)
            refreshes[provider_id] = refresh
            refresh.task.add_done_callback(lambda _: refreshes.pop(provider_id, None))
        refresh.waiting += 1
        try:
            with abort_scope(signal):
                return await asyncio.shield(refresh.task)
        finally:
            refresh.waiting -= 1
            refresh.give_up_unless_begun()


class _Refresh:
    """One refresh of one provider's tokens, in a task that those who wait share."""

    task: asyncio.Task[OAuthCredential | None]

    def __init__(
        self,
        store: CredentialStore,
        provider_id: str,
        handler: OAuthHandler,
        now_ms: Callable[[], float],
        limit_seconds: float,
    ) -> None:
        self.waiting = 0
        self._store = store
        self._provider_id = provider_id
        self._handler = handler
        self._now_ms = now_ms
        self._limit_seconds = limit_seconds
        self._min_validity_ms: float | None = None
        self._spent: OAuthCredential | None = None

    def start(self, min_validity_ms: float | None) -> None:
        """Begin, with tokens that expire within `min_validity_ms` or the usual margin."""
        self._min_validity_ms = min_validity_ms
        self.task = asyncio.create_task(self._run())
        self.task.add_done_callback(self._ended)

    def give_up_unless_begun(self) -> None:
        """Nobody waits any more: stop waiting for the lock, but not for the server."""
        if not self.waiting and self._spent is None:
            self.task.cancel()

    def _ended(self, task: asyncio.Task[OAuthCredential | None]) -> None:
        if not task.cancelled() and (error := task.exception()) and not self.waiting:
            _log.warning("Of a refresh that nobody waits for: %s", error)

    async def _run(self) -> OAuthCredential | None:
        try:
            stored = await self._store.modify(self._provider_id, self._change)
        except _RefreshError as failed:
            return await self._fall_back(failed)
        except Exception as error:
            raise ModelsError(
                f"Credential store modify failed for {self._provider_id}: {error}", code="auth"
            ) from error
        return stored if isinstance(stored, OAuthCredential) else None

    async def _change(self, current: Credential | None) -> Credential | None:
        if not isinstance(current, OAuthCredential):
            return None  # logged out meanwhile
        if not needs_refresh(current, self._now_ms(), self._min_validity_ms):
            return None  # somebody else refreshed them
        self._spent = current
        try:
            async with asyncio.timeout(self._limit_seconds):
                fresh = await self._handler.refresh(current)
        except TimeoutError:
            reason = f"no answer within {self._limit_seconds:g} s"
            raise _RefreshError(current, OAuthError(reason, retryable=True)) from None
        except Exception as error:
            raise _RefreshError(current, error) from error
        # A server need not repeat the refresh token, and does not know what else is stored.
        return replace(
            fresh,
            refresh=fresh.refresh or current.refresh,
            extra={**current.extra, **fresh.extra},
        )

    async def _fall_back(self, failed: _RefreshError) -> OAuthCredential:
        """What can be used although the refresh failed. Raises `ModelsError` if nothing can."""
        error = failed.error
        if isinstance(error, OAuthError) and not error.retryable:
            # Refused: somebody who respects no lock may have spent the token before.
            stored = await self._store.read(self._provider_id)
            if isinstance(stored, OAuthCredential) and stored.refresh != failed.spent.refresh:
                return stored
        text = f"OAuth refresh failed for {self._provider_id}: {error}"
        if isinstance(error, OAuthError) and error.code in _DEAD_CODES:
            text = f"{text.rstrip('.')}. Log in again."
        if _is_passing(error) and self._now_ms() < failed.spent.expires:
            _log.warning("%s; the old token is still valid", text)
            return failed.spent
        raise ModelsError(text, code="oauth") from error


class _RefreshError(Exception):
    """The provider refused, or could not be asked: `error` with the tokens that were `spent`."""

    def __init__(self, spent: OAuthCredential, error: Exception) -> None:
        super().__init__()
        self.spent = spent
        self.error = error


def _is_passing(error: Exception) -> bool:
    """Whether the same may succeed later."""
    if isinstance(error, OAuthError | ProviderError):
        return error.retryable
    return isinstance(error, OSError)
