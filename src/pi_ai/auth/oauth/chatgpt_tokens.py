"""The tokens of "Sign in with ChatGPT", a subscription on api.openai.com.

Source: auth spec, section 3.5.
"""

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
from pi_ai.types import JsonValue, now_ms

__all__ = ("RESOURCE", "TOKEN_URL", "ChatGptTokens")

RESOURCE = "https://api.openai.com/v1"
TOKEN_URL = "https://auth.openai.com/api/accounts/oauth/token"
_MARGIN_MS = 180_000
_NEEDED_SCOPE = "chatgpt.tokens.use.direct"


class ChatGptTokens:
    """Refreshes the tokens of a login and sends them; see `OAuthHandler`."""

    id = "openai"
    name = "OpenAI (ChatGPT subscription)"
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
        client_id: JsonValue = credential.extra.get("clientId")
        if not isinstance(client_id, str) or not client_id.strip():
            raise OAuthError(
                "Stored OpenAI OAuth credential does not contain an issued client ID; "
                "reconnect ChatGPT"
            )
        fields = {
            "grant_type": "refresh_token",
            "client_id": client_id,
            "refresh_token": credential.refresh,
            "resource": RESOURCE,
        }
        with abort_scope(signal):
            answer = await self._endpoint.post(fields, encoding="form")
        return self.read(answer, client_id, refresh=credential.refresh)

    def read(self, answer: TokenAnswer, client_id: str, *, refresh: str | None) -> OAuthCredential:
        """The credential of an answer; `refresh` is the token to keep if it brings none.

        Raises `OAuthError`.
        """
        if not answer.ok:
            reason = f": {answer.reason}" if answer.reason else ""
            raise answer.failure(f"OpenAI OAuth token request failed ({answer.status}){reason}")
        if answer.fields is None:
            raise OAuthError("OpenAI OAuth token response must be an object", status=answer.status)
        access = _required(read_token(answer, "access_token"), "access_token")
        refresh = _required(read_token(answer, "refresh_token") or refresh, "refresh_token")
        scope = _required(read_token(answer, "scope"), "scope")
        expires_in = read_expires_in(answer)
        if expires_in is None:
            raise OAuthError("OpenAI OAuth token response has invalid expires_in")
        scopes = [str(word) for word in scope.split()]
        if _NEEDED_SCOPE not in scopes:
            raise OAuthError(f"OpenAI OAuth grant did not include {_NEEDED_SCOPE}")
        return OAuthCredential(
            access,
            refresh,
            self._clock_ms() + expires_in * 1000 - _MARGIN_MS,
            extra={"clientId": client_id, "scopes": scopes},
        )

    async def to_auth(self, credential: OAuthCredential) -> ModelAuth:
        """See `OAuthHandler.to_auth`."""
        return ModelAuth(api_key=credential.access)


def _required(value: str | None, name: str) -> str:
    if value is None:
        raise OAuthError(f"OpenAI OAuth token response has invalid {name}")
    return value
