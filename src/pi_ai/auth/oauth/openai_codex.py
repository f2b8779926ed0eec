"""Logging in to ChatGPT Plus/Pro for the Codex backend. Source: auth spec, section 3.4."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

from pi_ai.auth.oauth.browser_login import callback_server, receive_code, take_code
from pi_ai.auth.oauth.codex_device import request_device_code, wait_for_device
from pi_ai.auth.oauth.codex_tokens import CLIENT_ID, CodexTokens
from pi_ai.auth.oauth.endpoints import CodexEndpoints
from pi_ai.auth.oauth.interaction import choose_method, login_scope
from pi_ai.auth.oauth.pasted_code import read_pasted_code
from pi_ai.auth.oauth.pkce import create_pkce
from pi_ai.auth.oauth.runtime import OAuthRuntime
from pi_ai.auth.types import (
    LoginInteraction,
    LoginOptions,
    OAuthCredential,
    OAuthProvider,
    SelectOption,
)
from pi_ai.errors import OAuthError
from pi_ai.secrets import Secret

__all__ = ("CodexOAuth",)

_PROVIDER = "OpenAI"
_ORIGINATOR = "pi"
_CHOICES = (
    SelectOption("browser", "Browser login (default)"),
    SelectOption("device_code", "Device code login (headless)"),
)


class CodexOAuth(CodexTokens):
    """The login of ChatGPT Plus/Pro, and its tokens. `endpoints` and `runtime` are for tests."""

    login_label: str | None = None

    def __init__(
        self, endpoints: CodexEndpoints | None = None, runtime: OAuthRuntime | None = None
    ) -> None:
        self._login_endpoints = endpoints or CodexEndpoints()
        self._runtime = runtime or OAuthRuntime()
        super().__init__(
            token_url=self._login_endpoints.token_url,
            transport=self._runtime.transport,
            clock_ms=self._runtime.clock_ms,
        )

    async def login(self, interaction: LoginInteraction, options: LoginOptions) -> OAuthCredential:
        """See `OAuthProvider.login`; methods `browser` and `device_code`."""
        with login_scope(interaction.signal):
            text = "Select OpenAI Codex login method:"
            match await choose_method(interaction, options, text, choices=_CHOICES):
                case "browser":
                    return await self._login_by_browser(
                        interaction, options.agent_name or _ORIGINATOR
                    )
                case "device_code":
                    return await self._login_by_device(interaction)
                case method:
                    raise OAuthError(f"Unknown OpenAI Codex login method: {method}")

    # --- the ways in --------------------------------------------------------------------------

    async def _login_by_browser(
        self, interaction: LoginInteraction, originator: str
    ) -> OAuthCredential:
        from pi_ai.auth.oauth.callback_server import ExpectedCallback

        endpoints, pkce = self._login_endpoints, create_pkce(self._runtime.random_bytes)
        state = Secret(self._runtime.random_bytes(16).hex())
        expected = ExpectedCallback(provider=_PROVIDER, path=endpoints.callback_path, state=state)
        ports = (endpoints.callback_port,)
        async with callback_server(expected, interaction, ports, also_ipv6=True) as server:
            url = self._authorize_url(pkce.challenge, state, originator)
            code = await receive_code(
                server,
                interaction,
                self._runtime,
                url=url,
                provider=_PROVIDER,
                message="Paste the code, or the address that the browser ended at:",
                placeholder=endpoints.redirect_uri,
                from_callback=take_code,
                from_paste=lambda text: read_pasted_code(text).require(
                    state, provider=_PROVIDER, mismatch="State mismatch"
                ),
            )
        return await self._exchange(code, pkce.verifier, endpoints.redirect_uri)

    async def _login_by_device(self, interaction: LoginInteraction) -> OAuthCredential:
        device = await request_device_code(self._runtime, self._login_endpoints)
        interaction.notify(device.event(self._login_endpoints.device_verification_uri))
        confirmed = await wait_for_device(self._runtime, self._login_endpoints, device)
        redirect_uri = self._login_endpoints.device_redirect_uri
        return await self._exchange(confirmed.code, confirmed.verifier, redirect_uri)

    # --- their steps --------------------------------------------------------------------------

    def _authorize_url(self, challenge: str, state: Secret, originator: str) -> Secret:
        parameters = {
            "response_type": "code",
            "client_id": CLIENT_ID,
            "redirect_uri": self._login_endpoints.redirect_uri,
            "scope": self._login_endpoints.scope,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
            "state": state,
            "id_token_add_organizations": "true",
            "codex_cli_simplified_flow": "true",
            "originator": originator,
        }
        return Secret(f"{self._login_endpoints.authorize_url}?{urlencode(parameters)}")

    async def _exchange(self, code: Secret, verifier: Secret, redirect_uri: str) -> OAuthCredential:
        fields = {
            "grant_type": "authorization_code",
            "client_id": CLIENT_ID,
            "code": code,
            "code_verifier": verifier,
            "redirect_uri": redirect_uri,
        }
        what = "OpenAI Codex token exchange"
        try:
            answer = await self._endpoint.post(
                fields,
                encoding="form",
                timeout_seconds=self._runtime.request_timeout_seconds,
            )
        except OAuthError as error:
            raise OAuthError(f"{what} error: {error}", retryable=error.retryable) from None
        return self.read(answer, what, refresh=None)


if TYPE_CHECKING:
    _: OAuthProvider = CodexOAuth()
