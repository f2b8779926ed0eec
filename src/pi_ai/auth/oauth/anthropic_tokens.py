"""The tokens of a Claude Pro or Max subscription. Source: auth spec, section 3.2."""

from __future__ import annotations

from pi_ai.abort import AbortSignal, abort_scope
from pi_ai.auth.oauth.token_endpoint import EndpointTokens, TokenAnswer, read_grant
from pi_ai.auth.types import OAuthCredential
from pi_ai.errors import OAuthError

__all__ = ("CLIENT_ID", "TOKEN_URL", "AnthropicTokens", "describe_failure")

CLIENT_ID = "9d1c250a-e61b-44d9-88ed-5944d1962f5e"
TOKEN_URL = "https://platform.claude.com/v1/oauth/token"
_MARGIN_MS = 300_000


class AnthropicTokens(EndpointTokens):
    """Refreshes the tokens of a login and sends them; see `OAuthHandler`."""

    id = "anthropic"
    name = "Anthropic (Claude Pro/Max)"
    is_subscription = True
    default_url = TOKEN_URL

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
        grant = read_grant(answer, f"{failed}response missing fields: ", refresh=refresh)
        return OAuthCredential(grant.access, grant.refresh, self._expires(grant, _MARGIN_MS))


def describe_failure(url: str, answer: TokenAnswer) -> str:
    """What the errors say of an answer that is not granted."""
    told = f"; {answer.reason}" if answer.reason else ""
    return f"HTTP request failed. status={answer.status}; url={url}{told}"
