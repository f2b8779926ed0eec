"""The tokens of a ChatGPT Plus or Pro subscription, for the Codex backend.

Source: auth spec, section 3.4.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import cast

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
from pi_ai.json_text import parse_json
from pi_ai.types import JsonObject, JsonValue, now_ms

__all__ = ("CLIENT_ID", "TOKEN_URL", "CodexTokens", "read_account_id")

CLIENT_ID = "app_EMoamEEZ73f0CkXaXp7hrann"
TOKEN_URL = "https://auth.openai.com/oauth/token"
_CLAIM = "https://api.openai.com/auth"


class CodexTokens:
    """Refreshes the tokens of a login and sends them; see `OAuthHandler`."""

    id = "openai-codex"
    name = "OpenAI (ChatGPT Plus/Pro)"
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
        fields = {
            "grant_type": "refresh_token",
            "refresh_token": credential.refresh,
            "client_id": CLIENT_ID,
        }
        try:
            with abort_scope(signal):
                answer = await self._endpoint.post(fields, encoding="form")
        except OAuthError as error:
            text = f"OpenAI Codex token refresh error: {error}"
            raise OAuthError(text, retryable=error.retryable) from None
        return self.read(answer, "OpenAI Codex token refresh", refresh=credential.refresh)

    def read(self, answer: TokenAnswer, what: str, *, refresh: str | None) -> OAuthCredential:
        """The credential of an answer; `refresh` is the token to keep if it brings none.

        Raises `OAuthError`, whose text begins with `what`, such as `OpenAI Codex token exchange`.
        """
        if not answer.ok:
            reason = f": {answer.reason}" if answer.reason else ""
            raise answer.failure(f"{what} failed ({answer.status}){reason}")
        access, expires_in = read_token(answer, "access_token"), read_expires_in(answer)
        refresh = read_token(answer, "refresh_token") or refresh
        if access is None or expires_in is None or refresh is None:
            names = {
                "access_token": access,
                "refresh_token": refresh,
                "expires_in": expires_in,
            }
            missing = ", ".join(name for name, value in names.items() if value is None)
            raise OAuthError(f"{what} response missing fields: {missing}", status=answer.status)
        return OAuthCredential(
            access,
            refresh,
            self._clock_ms() + expires_in * 1000,
            extra={"accountId": read_account_id(access)},
        )

    async def to_auth(self, credential: OAuthCredential) -> ModelAuth:
        """See `OAuthHandler.to_auth`."""
        return ModelAuth(api_key=credential.access)


def read_account_id(token: str) -> str:
    """The ChatGPT account that an access token is for.

    The token is read, not verified: the account is only told to the server that made the token.
    Raises `OAuthError` for a token without one.
    """
    parts = token.split(".")
    payload = parts[1] if len(parts) == 3 else ""
    padded = payload + "=" * (-len(payload) % 4)
    try:
        claims = parse_json(base64.urlsafe_b64decode(padded))  # takes the plain alphabet too
    except (binascii.Error, ValueError):
        claims = None
    about = _member(claims, _CLAIM)
    account = _member(about, "chatgpt_account_id")
    # It becomes a header, which must not be able to begin another.
    if not isinstance(account, str) or not account or not account.isprintable():
        raise OAuthError("Failed to extract accountId from token")
    return account


def _member(value: JsonValue, name: str) -> JsonValue:
    return cast("JsonObject", value).get(name) if isinstance(value, dict) else None
