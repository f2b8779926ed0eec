"""A token endpoint on loopback whose refresh tokens work once, and a handler that asks it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from pi_ai.abort import AbortSignal
from pi_ai.auth.oauth.token_endpoint import TokenEndpoint, read_expires_in, read_token
from pi_ai.auth.types import ModelAuth, OAuthCredential
from pi_ai.testing import LoopbackRequest, LoopbackResponse, LoopbackServer
from pi_ai.types import now_ms

JSON = {"Content-Type": "application/json"}


class TokenServer:
    """Gives tokens for `R0`, then for the refresh token that it gave last.

    `hold` keeps the answers until it is set; `answers` come first, a status and a body each;
    `fields` change what is granted (None leaves a field out).
    """

    def __init__(self) -> None:
        self.granted = 0
        self.seen: list[dict[str, Any]] = []
        self.hold: asyncio.Event | None = None
        self.asked = asyncio.Event()
        self.answers: list[tuple[int, Any]] = []
        self.fields: dict[str, Any] = {}

    async def __aenter__(self) -> TokenServer:
        self.server = LoopbackServer(self._answer)
        await self.server.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.server.aclose()

    @property
    def url(self) -> str:
        return f"{self.server.url}/token"

    async def _answer(self, request: LoopbackRequest) -> LoopbackResponse:
        asked = request.json()
        self.seen.append(asked)
        self.asked.set()
        if self.hold is not None:
            await self.hold.wait()
        if self.answers:
            return _response(*self.answers.pop(0))
        if asked["refresh_token"] != f"R{self.granted}":
            return _response(400, {"error": "invalid_grant", "error_description": "spent"})
        self.granted += 1
        fields = {
            "access_token": f"A{self.granted}",
            "refresh_token": f"R{self.granted}",
            "expires_in": 3600,
            **self.fields,
        }
        return _response(200, {name: value for name, value in fields.items() if value is not None})


def _response(status: int, body: Any) -> LoopbackResponse:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {**JSON, "Location": "/elsewhere"} if status == 302 else JSON
    return LoopbackResponse(data, status=status, headers=headers)


class ServerTokens:
    """The tokens of provider `own`, from a token server."""

    id = "own"
    name = "Own"
    is_subscription = True

    def __init__(self, url: str) -> None:
        self._endpoint = TokenEndpoint(url)

    async def refresh(
        self, credential: OAuthCredential, signal: AbortSignal | None = None
    ) -> OAuthCredential:
        answer = await self._endpoint.post({"refresh_token": credential.refresh}, encoding="json")
        if not answer.ok:
            raise answer.failure(f"refused ({answer.status}) {answer.reason}")
        access = read_token(answer, "access_token")
        assert access is not None
        refresh = read_token(answer, "refresh_token") or ""
        return OAuthCredential(access, refresh, now_ms() + 1000 * (read_expires_in(answer) or 0))

    async def to_auth(self, credential: OAuthCredential) -> ModelAuth:
        return ModelAuth(api_key=credential.access)
