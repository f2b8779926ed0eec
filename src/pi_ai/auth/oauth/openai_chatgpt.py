"""Sign in with ChatGPT: subscription tokens for api.openai.com. Source: auth spec, section 3.5."""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, cast
from urllib.parse import urlencode

from pi_ai.auth.oauth.browser_login import callback_server, receive_code
from pi_ai.auth.oauth.chatgpt_callback import (
    NO_CLIENT_ID,
    PROVIDER,
    IssuedCode,
    read_callback,
    read_pasted_url,
)
from pi_ai.auth.oauth.chatgpt_tokens import RESOURCE, ChatGptTokens
from pi_ai.auth.oauth.endpoints import ChatGptEndpoints
from pi_ai.auth.oauth.interaction import login_scope
from pi_ai.auth.oauth.pkce import Pkce, create_pkce, random_token
from pi_ai.auth.oauth.runtime import OAuthRuntime
from pi_ai.auth.oauth.token_endpoint import read_token
from pi_ai.auth.types import (
    LoginInteraction,
    LoginOptions,
    OAuthCredential,
    OAuthProvider,
    ProgressEvent,
)
from pi_ai.errors import OAuthError
from pi_ai.secrets import Secret

if TYPE_CHECKING:
    from pi_ai.auth.oauth.callback_server import CallbackServer

__all__ = ("ChatGptOAuth",)

_AGENT_NAME = "Pi"
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_NO_DEVICE_ID = "Sign in with ChatGPT requires a device ID (UUID) for this installation"


class ChatGptOAuth(ChatGptTokens):
    """The ChatGPT login for OpenAI's API, and its tokens. `endpoints`, `runtime`: for tests."""

    login_label: str | None = "Sign in with ChatGPT"

    def __init__(
        self, endpoints: ChatGptEndpoints | None = None, runtime: OAuthRuntime | None = None
    ) -> None:
        self._login_endpoints = endpoints or ChatGptEndpoints()
        self._runtime = runtime or OAuthRuntime()
        super().__init__(
            token_url=self._login_endpoints.token_url,
            transport=self._runtime.transport,
            clock_ms=self._runtime.clock_ms,
        )

    async def login(self, interaction: LoginInteraction, options: LoginOptions) -> OAuthCredential:
        """See `OAuthProvider.login`; `options.get_device_id` is needed."""
        with login_scope(interaction.signal):
            if options.method not in (None, "browser"):
                raise OAuthError(f"Unknown Sign in with ChatGPT login method: {options.method}")
            device_id = await _device_id(options)
            pkce = create_pkce(self._runtime.random_bytes)
            state = random_token(self._runtime.random_bytes)
            url = self._authorize_url(
                pkce, state, device_id=device_id, agent_name=options.agent_name or _AGENT_NAME
            )
            return await self._login(interaction, url, pkce=pkce, state=state)

    # --- the steps of a login -----------------------------------------------------------------

    async def _login(
        self, interaction: LoginInteraction, url: Secret, *, pkce: Pkce, state: Secret
    ) -> OAuthCredential:
        from pi_ai.auth.oauth.callback_server import ExpectedCallback

        endpoints = self._login_endpoints
        expected = ExpectedCallback(
            provider=PROVIDER,
            path=endpoints.callback_path,
            state=state,
            required={"client_id": NO_CLIENT_ID},
        )
        ports = (endpoints.callback_port,)
        async with callback_server(expected, interaction, ports, also_ipv6=False) as server:
            if server is None:
                raise OAuthError(_port_text(endpoints.callback_port))
            issued = await self._receive(server, interaction, url, state=state)
            if issued.callback is not None:  # its browser is told how the exchange went
                try:
                    credential = await self._exchange(interaction, issued, pkce)
                except OAuthError as error:
                    issued.callback.answer(str(error))
                    raise
                issued.callback.answer()
                return credential
        return await self._exchange(interaction, issued, pkce)

    async def _receive(
        self, server: CallbackServer, interaction: LoginInteraction, url: Secret, *, state: Secret
    ) -> IssuedCode:
        redirect_uri = self._login_endpoints.redirect_uri
        return await receive_code(
            server,
            interaction,
            self._runtime,
            url=url,
            provider=PROVIDER,
            message="Paste the whole address that the browser ended at:",
            placeholder=redirect_uri,
            from_callback=read_callback,
            from_paste=lambda text: read_pasted_url(text, redirect_uri, state),
        )

    def _authorize_url(
        self, pkce: Pkce, state: Secret, *, device_id: str, agent_name: str
    ) -> Secret:
        parameters = {
            "client_id": self._login_endpoints.client_id,
            "agent_name_hint": agent_name,
            "ext_agent_host_id": f"urn:uuid:{device_id}",
            "response_type": "code",
            "redirect_uri": self._login_endpoints.redirect_uri,
            "resource": RESOURCE,
            "scope": self._login_endpoints.scope,
            "state": state,
            "code_challenge": pkce.challenge,
            "code_challenge_method": "S256",
            "nonce": random_token(self._runtime.random_bytes),
        }
        return Secret(f"{self._login_endpoints.authorize_url}?{urlencode(parameters)}")

    async def _exchange(
        self, interaction: LoginInteraction, issued: IssuedCode, pkce: Pkce
    ) -> OAuthCredential:
        interaction.notify(ProgressEvent("Exchanging authorization code for tokens..."))
        fields = {
            "grant_type": "authorization_code",
            "client_id": issued.client_id,
            "code": issued.code,
            "code_verifier": pkce.verifier,
            "redirect_uri": self._login_endpoints.redirect_uri,
            "resource": RESOURCE,
        }
        try:
            answer = await self._endpoint.post(
                fields,
                encoding="form",
                timeout_seconds=self._runtime.request_timeout_seconds,
            )
        except OAuthError as error:
            text = f"OpenAI OAuth token request failed: {error}"
            raise OAuthError(text, retryable=error.retryable) from None
        credential = self.read(answer, issued.client_id, refresh=None)
        if read_token(answer, "id_token") is None:
            raise OAuthError("OpenAI OAuth token response did not contain an ID token")
        return credential


async def _device_id(options: LoginOptions) -> str:
    if options.get_device_id is None:
        raise OAuthError(_NO_DEVICE_ID)
    told = options.get_device_id()
    # A host's function: what it really gives is not known until it is looked at.
    device_id = cast("object", await told if inspect.isawaitable(told) else told)
    if not isinstance(device_id, str) or not _UUID.fullmatch(device_id):
        raise OAuthError(_NO_DEVICE_ID)
    return device_id.lower()


def _port_text(port: int) -> str:
    return (
        f"Port {port} is in use, probably by an unfinished login in another pi session or by the "
        "Codex CLI. Cancel that login and try again."
    )


if TYPE_CHECKING:
    _: OAuthProvider = ChatGptOAuth()
