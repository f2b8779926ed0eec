"""The tokens of a Claude Pro or Max subscription. Source: auth spec, section 3.2."""

from __future__ import annotations

from collections.abc import Callable

from pi_ai.abort import AbortSignal, abort_scope
from pi_ai.auth.oauth.token_endpoint import (
    TokenAnswer,
    TokenEndpoint,
    read_expires_in,
    read_token,
)
from pi_ai.auth.types import ModelAuth, OAuthCredential
from pi_ai.errors import OAuthError
from pi_ai.http.transport import Transport
from pi_ai.types import now_ms

__all__ = ("CLIENT_ID", "TOKEN_URL", "AnthropicTokens", "describe_failure")

CLIENT_ID = "9d1c250a-e61b-44d9-88ed-5944d1962f5e"
TOKEN_URL = "https://platform.claude.com/v1/oauth/token"
_MARGIN_MS = 300_000


class AnthropicTokens:
    """Refreshes the tokens of a login and sends them; see `OAuthHandler`."""

    id = "anthropic"
    name = "Anthropic (Claude Pro/Max)"
    is_subscription = True

    def __init__(
        self,
        *,
        token_url: str = TOKEN_URL,
        transport: Transport | None = None,
        clock_ms: Callable[[], float] = now_ms,
    ) -> None:
        self._endpoint = TokenEndpoint(token_url, transport)
        self._clock_ms = clock_ms

    async def refresh(
        self, credential: OAuthCredential, signal: AbortSignal | None = None
    ) -> OAuthCredential:
        """See `OAuthHandler.refresh`."""
        url = self._endpoint.url
        # A scope would make the server refuse.
        fields = {
            "grant_type": "refresh_token",
            "client_id": CLIENT_ID,
            "refresh_token": credential.refresh,
        }
        failed = f"Anthropic token refresh request failed. url={url}; details="
        try:
            with abort_scope(signal):
                answer = await self._endpoint.post(fields, encoding="json")
        except OAuthError as error:
            raise OAuthError(f"{failed}{error}", retryable=error.retryable) from None
        if not answer.ok:
            raise answer.failure(f"{failed}{describe_failure(url, answer)}")
        if answer.fields is None:
            raise OAuthError(f"Anthropic token refresh returned invalid JSON. url={url}")
        return self.read(answer, failed, refresh=credential.refresh)

    def read(self, answer: TokenAnswer, failed: str, *, refresh: str | None) -> OAuthCredential:
        """The credential of a granted answer; `refresh` is the token to keep if it brings none.

        Raises `OAuthError`, whose text begins with `failed`.
        """
        access, expires_in = read_token(answer, "access_token"), read_expires_in(answer)
        refresh = read_token(answer, "refresh_token") or refresh
        if access is None or expires_in is None or refresh is None:
            names = {
                "access_token": access,
                "refresh_token": refresh,
                "expires_in": expires_in,
            }
            missing = ", ".join(name for name, value in names.items() if value is None)
            raise OAuthError(f"{failed}response missing fields: {missing}", status=answer.status)
        expires = self._clock_ms() + expires_in * 1000 - _MARGIN_MS
        return OAuthCredential(access, refresh, expires)

    async def to_auth(self, credential: OAuthCredential) -> ModelAuth:
        """See `OAuthHandler.to_auth`."""
        return ModelAuth(api_key=credential.access)


def describe_failure(url: str, answer: TokenAnswer) -> str:
    """What the errors say of an answer that is not granted."""
    told = f"; {answer.reason}" if answer.reason else ""
    return f"HTTP request failed. status={answer.status}; url={url}{told}"
