"""The login servers of Anthropic and OpenAI, on loopback: they check every field of a login.

For tests and demonstrations of programs that offer logins.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import secrets
import socket
from collections.abc import Callable
from types import TracebackType
from urllib.parse import urlencode, urlsplit

from pi_ai.auth.oauth.anthropic import AnthropicOAuth
from pi_ai.auth.oauth.chatgpt_tokens import RESOURCE
from pi_ai.auth.oauth.codex_tokens import CLIENT_ID
from pi_ai.auth.oauth.endpoints import AnthropicEndpoints, ChatGptEndpoints, CodexEndpoints
from pi_ai.auth.oauth.openai_chatgpt import ChatGptOAuth
from pi_ai.auth.oauth.openai_codex import CodexOAuth
from pi_ai.auth.oauth.runtime import OAuthRuntime
from pi_ai.testing._login_rules import (
    AuthorizationRules,
    Grant,
    RefusedLoginError,
    account_token,
    read_fields,
)
from pi_ai.testing.loopback import LoopbackRequest, LoopbackResponse, LoopbackServer
from pi_ai.types import JsonObject

__all__ = ("LoginServer", "free_port", "get_page")

_ISSUED_CLIENT_ID = "issued_client_1"
_SCOPES = "openid chatgpt.tokens.use.direct"
_REFRESH = ("grant_type", "client_id", "refresh_token")
_EXCHANGE = ("grant_type", "client_id", "code", "redirect_uri", "code_verifier")


class LoginServer:
    """Serves the logins of `anthropic`, `codex` and `chatgpt`, inside an `async with` block.

    `visit` plays the user and the browser, `confirm_device` the user at another device. Tokens are
    valid for `expires_in` seconds; each refresh token works once. `account_id` is the account of
    Codex tokens. `requests` holds every request that came in.
    """

    def __init__(self, *, expires_in: int = 28_800, account_id: str = "account-1") -> None:
        self.account_id = account_id
        self._expires_in = expires_in
        self._server = LoopbackServer(self._answer)
        self._grants: dict[str, Grant] = {}
        self._refresh_tokens: set[str] = set()
        self._devices: dict[str, str] = {}
        self._confirmed: set[str] = set()

    async def __aenter__(self) -> LoginServer:
        await self._server.__aenter__()
        url = self._server.url
        self.anthropic_endpoints = AnthropicEndpoints(
            authorize_url=f"{url}/claude/authorize",
            token_url=f"{url}/claude/token",
            copy_code_redirect_uri=f"{url}/claude/code",
            callback_port=free_port(),
        )
        self.codex_endpoints = CodexEndpoints(
            authorize_url=f"{url}/codex/authorize",
            token_url=f"{url}/codex/token",
            device_code_url=f"{url}/codex/usercode",
            device_token_url=f"{url}/codex/devicetoken",
            device_verification_uri=f"{url}/codex/device",
            device_redirect_uri=f"{url}/codex/deviceauth",
            callback_port=free_port(),
        )
        self.chatgpt_endpoints = ChatGptEndpoints(
            authorize_url=f"{url}/chatgpt/authorize",
            token_url=f"{url}/chatgpt/token",
            callback_port=free_port(),
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._server.__aexit__(kind, error, traceback)

    @property
    def requests(self) -> list[LoopbackRequest]:
        """Every request that came in."""
        return self._server.requests

    def anthropic(self, runtime: OAuthRuntime | None = None) -> AnthropicOAuth:
        """The Claude Pro/Max login at this server."""
        return AnthropicOAuth(self.anthropic_endpoints, runtime)

    def codex(self, runtime: OAuthRuntime | None = None) -> CodexOAuth:
        """The ChatGPT Plus/Pro login at this server."""
        return CodexOAuth(self.codex_endpoints, runtime)

    def chatgpt(self, runtime: OAuthRuntime | None = None) -> ChatGptOAuth:
        """Sign in with ChatGPT at this server."""
        return ChatGptOAuth(self.chatgpt_endpoints, runtime)

    # --- the user and the browser -------------------------------------------------------------

    def authorize(self, url: str, *, error: str | None = None, description: str = "") -> str:
        """The address that the browser is sent to when the user agrees, or with `error` refuses.

        Raises `RefusedLoginError` for an authorization URL that the provider would not take.
        """
        provider = urlsplit(url).path.split("/")[1]
        rules = {
            "claude": AuthorizationRules.anthropic(self.anthropic_endpoints),
            "codex": AuthorizationRules.codex(self.codex_endpoints),
            "chatgpt": AuthorizationRules.chatgpt(self.chatgpt_endpoints),
        }
        asked = rules[provider].read(url)
        redirect_uri, state = asked["redirect_uri"], asked["state"]
        if error is not None:
            refusal = {"error": error, "error_description": description, "state": state}
            return f"{redirect_uri}?{urlencode(refusal)}"
        code = secrets.token_urlsafe(24)
        told = {"code": code, "state": state}
        client_id = asked["client_id"]
        if provider == "chatgpt":
            client_id = told["client_id"] = _ISSUED_CLIENT_ID
        self._grants[code] = Grant(client_id, redirect_uri, asked["code_challenge"], state)
        return f"{redirect_uri}?{urlencode(told)}"

    async def visit(
        self, url: str, *, error: str | None = None, description: str = ""
    ) -> tuple[int, str]:
        """Agree, or with `error` refuse; status and text of the page that the browser ends at."""
        return await get_page(self.authorize(url, error=error, description=description))

    def copied_code(self, url: str) -> str:
        """What the page of a copy-code login shows: `code#state`."""
        target = self.authorize(url)
        code, state = (part.partition("=")[2] for part in urlsplit(target).query.split("&"))
        return f"{code}#{state}"

    def confirm_device(self, user_code: str) -> None:
        """Enter a device code and agree. Raises KeyError for an unknown one."""
        self._confirmed.add(self._devices[user_code])

    # --- the endpoints ------------------------------------------------------------------------

    def _answer(self, request: LoopbackRequest) -> LoopbackResponse:
        routes: dict[str, Callable[[LoopbackRequest], tuple[int, JsonObject]]] = {
            "/claude/token": self._claude_token,
            "/codex/token": self._codex_token,
            "/codex/usercode": self._user_code,
            "/codex/devicetoken": self._device_token,
            "/chatgpt/token": self._chatgpt_token,
        }
        route = routes.get(request.path)
        try:
            status, told = route(request) if route else (404, {"error": "not_found"})
        except RefusedLoginError as error:
            status, told = 400, {"error": error.code, "error_description": str(error)}
        headers = {"Content-Type": "application/json", "Cache-Control": "no-store"}
        return LoopbackResponse(json.dumps(told).encode(), status, headers)

    def _claude_token(self, request: LoopbackRequest) -> tuple[int, JsonObject]:
        allowed = {"authorization_code": (*_EXCHANGE, "state"), "refresh_token": _REFRESH}
        self._check(read_fields(request, "json", allowed))
        return 200, {"token_type": "Bearer", **self._tokens("sk-ant-oat01-", "sk-ant-ort01-")}

    def _codex_token(self, request: LoopbackRequest) -> tuple[int, JsonObject]:
        allowed = {"authorization_code": _EXCHANGE, "refresh_token": _REFRESH}
        self._check(read_fields(request, "form", allowed))
        tokens = self._tokens("", "rt_")
        return 200, {**tokens, "access_token": account_token(self.account_id)}

    def _chatgpt_token(self, request: LoopbackRequest) -> tuple[int, JsonObject]:
        allowed = {
            "authorization_code": (*_EXCHANGE, "resource"),
            "refresh_token": (*_REFRESH, "resource"),
        }
        fields = read_fields(request, "form", allowed)
        if fields["resource"] != RESOURCE:
            raise RefusedLoginError("unknown resource", "invalid_target")
        if fields["client_id"] != _ISSUED_CLIENT_ID:
            raise RefusedLoginError("unknown client", "invalid_client")
        self._check(fields)
        more = {"id_token": "id", "scope": _SCOPES}
        return 200, {**self._tokens("chatgpt-", "rt_"), **more}

    def _user_code(self, request: LoopbackRequest) -> tuple[int, JsonObject]:
        if json.loads(request.body) != {"client_id": CLIENT_ID}:
            raise RefusedLoginError("expected the client id alone")
        device, user_code = secrets.token_urlsafe(24), secrets.token_hex(4).upper()
        self._devices[user_code] = device
        return 200, {"device_auth_id": device, "user_code": user_code, "interval": "1"}

    def _device_token(self, request: LoopbackRequest) -> tuple[int, JsonObject]:
        fields = json.loads(request.body)
        device = self._devices.get(fields["user_code"])
        if fields != {"device_auth_id": device, "user_code": fields["user_code"]}:
            raise RefusedLoginError("no such device code")
        if device not in self._confirmed:
            return 403, {"error": {"code": "deviceauth_authorization_pending"}}
        code, verifier = secrets.token_urlsafe(24), secrets.token_urlsafe(32)
        digest = hashlib.sha256(verifier.encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        redirect_uri = self.codex_endpoints.device_redirect_uri
        self._grants[code] = Grant(CLIENT_ID, redirect_uri, challenge, "")
        return 200, {"authorization_code": code, "code_verifier": verifier}

    def _check(self, fields: dict[str, str]) -> None:
        """Take the code or the refresh token of a token request; each is good for one."""
        if fields["grant_type"] == "authorization_code":
            grant = self._grants.pop(fields["code"], None)
            if grant is None:
                raise RefusedLoginError("unknown or used code", "invalid_grant")
            grant.check(fields)
        elif fields["refresh_token"] not in self._refresh_tokens:
            raise RefusedLoginError("unknown or used refresh token", "invalid_grant")
        else:
            self._refresh_tokens.remove(fields["refresh_token"])

    def _tokens(self, access: str, refresh: str) -> JsonObject:
        refresh_token = refresh + secrets.token_urlsafe(24)
        self._refresh_tokens.add(refresh_token)
        return {
            "access_token": access + secrets.token_urlsafe(24),
            "refresh_token": refresh_token,
            "expires_in": self._expires_in,
        }


def free_port() -> int:
    """A port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def get_page(url: str) -> tuple[int, str]:
    """Status and body of a page, as a browser would ask for it at the end of a login."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        target = f"{parts.path}?{parts.query}"
        writer.write(f"GET {target} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode("ascii"))
        answer = await reader.read()
    finally:
        writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split(b" ")[1]), body.decode()
