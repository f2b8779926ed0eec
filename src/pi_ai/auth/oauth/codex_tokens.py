"""The tokens of a ChatGPT Plus or Pro subscription, for the Codex backend.

Source: auth spec, section 3.4.
"""

from __future__ import annotations

import base64
import binascii
from typing import cast

from pi_ai.abort import AbortSignal, abort_scope
from pi_ai.auth.oauth.token_endpoint import EndpointTokens, TokenAnswer, read_grant
from pi_ai.auth.types import OAuthCredential
from pi_ai.errors import OAuthError
from pi_ai.json_text import parse_json
from pi_ai.types import JsonObject, JsonValue

__all__ = ("CLIENT_ID", "TOKEN_URL", "CodexTokens", "read_account_id")

CLIENT_ID = "app_EMoamEEZ73f0CkXaXp7hrann"
TOKEN_URL = "https://auth.openai.com/oauth/token"
_CLAIM = "https://api.openai.com/auth"


class CodexTokens(EndpointTokens):
    """Refreshes the tokens of a login and sends them; see `OAuthHandler`."""

    id = "openai-codex"
    name = "OpenAI (ChatGPT Plus/Pro)"
    is_subscription = True
    default_url = TOKEN_URL

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
        grant = read_grant(answer, f"{what} response missing fields: ", refresh=refresh)
        account = {"accountId": read_account_id(grant.access)}
        return OAuthCredential(grant.access, grant.refresh, self._expires(grant), extra=account)


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
