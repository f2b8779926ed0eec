"""The tokens of "Sign in with ChatGPT", a subscription on api.openai.com.

Source: auth spec, section 3.5.
"""

from __future__ import annotations

from pi_ai.abort import AbortSignal, abort_scope
from pi_ai.auth.oauth.token_endpoint import EndpointTokens, TokenAnswer, read_grant, read_token
from pi_ai.auth.types import OAuthCredential
from pi_ai.errors import OAuthError
from pi_ai.types import JsonValue

__all__ = ("RESOURCE", "TOKEN_URL", "ChatGptTokens")

RESOURCE = "https://api.openai.com/v1"
TOKEN_URL = "https://auth.openai.com/api/accounts/oauth/token"
_MARGIN_MS = 180_000
_NEEDED_SCOPE = "chatgpt.tokens.use.direct"


class ChatGptTokens(EndpointTokens):
    """Refreshes the tokens of a login and sends them; see `OAuthHandler`."""

    id = "openai"
    name = "OpenAI (ChatGPT subscription)"
    is_subscription = True
    default_url = TOKEN_URL

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
        failed = "OpenAI OAuth token response has invalid "
        grant, scope = read_grant(answer, failed, refresh=refresh), read_token(answer, "scope")
        if scope is None:
            raise OAuthError(f"{failed}scope", status=answer.status)
        scopes = [str(word) for word in scope.split()]
        if _NEEDED_SCOPE not in scopes:
            raise OAuthError(f"OpenAI OAuth grant did not include {_NEEDED_SCOPE}")
        return OAuthCredential(
            grant.access,
            grant.refresh,
            self._expires(grant, _MARGIN_MS),
            extra={"clientId": client_id, "scopes": scopes},
        )
