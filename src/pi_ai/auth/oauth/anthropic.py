"""Logging in to Claude Pro/Max. Source: auth spec, section 3.2."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

from pi_ai.auth.oauth.anthropic_tokens import CLIENT_ID, AnthropicTokens, describe_failure
from pi_ai.auth.oauth.browser_login import callback_server, receive_code, take_code
from pi_ai.auth.oauth.endpoints import AnthropicEndpoints
from pi_ai.auth.oauth.interaction import choose_method, login_scope
from pi_ai.auth.oauth.pasted_code import read_pasted_code
from pi_ai.auth.oauth.pkce import Pkce, create_pkce, random_token
from pi_ai.auth.oauth.runtime import OAuthRuntime
from pi_ai.auth.types import (
    AuthUrlEvent,
    LoginInteraction,
    LoginOptions,
    ManualCodePrompt,
    OAuthCredential,
    OAuthProvider,
    ProgressEvent,
    SelectOption,
)
from pi_ai.errors import OAuthError
from pi_ai.secrets import Masked, Secret

__all__ = ("AnthropicOAuth",)

_PROVIDER = "Anthropic"
_CHOICES = (
    SelectOption("browser", "Browser login (default)"),
    SelectOption("copy_code", "Copy code login (headless)"),
)


class _Attempt(Masked, frozen=True, kw_only=True):
    """The secrets of one login."""

    pkce: Pkce
    state: Secret

    def __repr__(self) -> str:
        return "<attempt>"


class AnthropicOAuth(AnthropicTokens):
    """The login of Claude Pro/Max, and its tokens. `endpoints` and `runtime` are for tests."""

    login_label: str | None = None

    def __init__(
        self,
        endpoints: AnthropicEndpoints | None = None,
        runtime: OAuthRuntime | None = None,
    ) -> None:
        self._login_endpoints = endpoints or AnthropicEndpoints()
        self._runtime = runtime or OAuthRuntime()
        super().__init__(
            token_url=self._login_endpoints.token_url,
            transport=self._runtime.transport,
            clock_ms=self._runtime.clock_ms,
        )

    async def login(self, interaction: LoginInteraction, options: LoginOptions) -> OAuthCredential:
        """See `OAuthProvider.login`; methods `browser` and `copy_code`."""
        with login_scope(interaction.signal):
            text = "Select Anthropic login method:"
            match await choose_method(interaction, options, text, choices=_CHOICES):
                case "browser":
                    return await self._login_by_browser(interaction)
                case "copy_code":
                    return await self._login_by_copied_code(interaction)
                case method:
                    raise OAuthError(f"Unknown Anthropic login method: {method}")

    # --- the ways in --------------------------------------------------------------------------

    async def _login_by_browser(self, interaction: LoginInteraction) -> OAuthCredential:
        from pi_ai.auth.oauth.callback_server import ExpectedCallback

        attempt, endpoints = self._attempt(), self._login_endpoints
        expected = ExpectedCallback(
            provider=_PROVIDER, path=endpoints.callback_path, state=attempt.state
        )
        ports = (endpoints.callback_port, 0)
        async with callback_server(expected, interaction, ports, also_ipv6=True) as server:
            port = endpoints.callback_port if server is None else server.port
            redirect_uri = endpoints.redirect_uri(port)
            url = self._authorize_url(redirect_uri, attempt)
            code = await receive_code(
                server,
                interaction,
                self._runtime,
                url=url,
                provider=_PROVIDER,
                message="Paste the code, or the address that the browser ended at:",
                placeholder=redirect_uri,
                from_callback=take_code,
                from_paste=lambda text: _read_code(text, attempt.state),
            )
        return await self._exchange(interaction, code, redirect_uri, attempt=attempt)

    async def _login_by_copied_code(self, interaction: LoginInteraction) -> OAuthCredential:
        attempt, redirect_uri = self._attempt(), self._login_endpoints.copy_code_redirect_uri
        url = self._authorize_url(redirect_uri, attempt)
        instructions = "Log in, then copy the code that is shown, and paste it."
        interaction.notify(AuthUrlEvent(str(url), instructions=instructions))
        prompt = ManualCodePrompt(
            message="Paste the code:", placeholder="code#state", signal=interaction.signal
        )
        code = _read_code(await interaction.prompt(prompt), attempt.state)
        return await self._exchange(interaction, code, redirect_uri, attempt=attempt)

    # --- their steps --------------------------------------------------------------------------

    def _attempt(self) -> _Attempt:
        pkce = create_pkce(self._runtime.random_bytes)
        if self._login_endpoints.state_is_verifier:
            return _Attempt(pkce=pkce, state=pkce.verifier)
        return _Attempt(pkce=pkce, state=random_token(self._runtime.random_bytes))

    def _authorize_url(self, redirect_uri: str, attempt: _Attempt) -> Secret:
        parameters = {
            "code": "true",
            "client_id": CLIENT_ID,
            "response_type": "code",
            "redirect_uri": redirect_uri,
            "scope": self._login_endpoints.scope,
            "code_challenge": attempt.pkce.challenge,
            "code_challenge_method": "S256",
            "state": attempt.state,
        }
        return Secret(f"{self._login_endpoints.authorize_url}?{urlencode(parameters)}")

    async def _exchange(
        self,
        interaction: LoginInteraction,
        code: Secret,
        redirect_uri: str,
        *,
        attempt: _Attempt,
    ) -> OAuthCredential:
        interaction.notify(ProgressEvent("Exchanging authorization code for tokens..."))
        fields = {
            "grant_type": "authorization_code",
            "client_id": CLIENT_ID,
            "code": code,
            "state": attempt.state,
            "redirect_uri": redirect_uri,
            "code_verifier": attempt.pkce.verifier,
        }
        url = self._login_endpoints.token_url
        failed = (
            f"Token exchange request failed. url={url}; redirect_uri={redirect_uri}; "
            "response_type=authorization_code; details="
        )
        try:
            answer = await self._endpoint.post(
                fields,
                encoding="json",
                timeout_seconds=self._runtime.request_timeout_seconds,
            )
        except OAuthError as error:
            raise OAuthError(f"{failed}{error}", retryable=error.retryable) from None
        if not answer.ok:
            raise answer.failure(f"{failed}{describe_failure(url, answer)}")
        if answer.fields is None:
            raise answer.failure(f"Token exchange returned invalid JSON. url={url}")
        return self.read(answer, failed, refresh=None)


def _read_code(text: str, state: Secret) -> Secret:
    pasted = read_pasted_code(text)
    return pasted.require(state, provider=_PROVIDER, mismatch="OAuth state mismatch")


if TYPE_CHECKING:
    _: OAuthProvider = AnthropicOAuth()
