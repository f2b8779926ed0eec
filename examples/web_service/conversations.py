"""An agent for each browser: found by a secret in its cookie, closed when there are too many."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable

from aiohttp import web
from run_stream import stream_prompt

from pi_sdk import AgentSession

COOKIE = "conversation"


class Conversations:
    """Handlers of a web application; `create` makes an agent."""

    def __init__(
        self, create: Callable[[], Awaitable[AgentSession]], *, most: int, heartbeat: float
    ) -> None:
        self._create = create
        self._most = most
        self._heartbeat = heartbeat
        self._agents: dict[str, AgentSession] = {}
        self._busy: set[str] = set()

    async def begin(self, request: web.Request) -> web.Response:
        """Give a browser an agent, if it has none."""
        response = web.Response(status=204)
        if request.cookies.get(COOKIE) not in self._agents:
            key = secrets.token_urlsafe()
            self._agents[key] = await self._create()
            response.set_cookie(COOKIE, key, httponly=True, samesite="Strict")
            idle = [key for key in self._agents if key not in self._busy]
            for oldest in idle[: max(0, len(self._agents) - self._most)]:
                await self._agents.pop(oldest).aclose()
        return response

    async def prompt(self, request: web.Request) -> web.StreamResponse:
        """Stream the answer to the text of the request."""
        key = request.cookies.get(COOKIE, "")
        if key not in self._agents:
            raise web.HTTPForbidden(text="No such conversation: begin one")
        if key in self._busy:
            raise web.HTTPConflict(text="The answer before this one is not finished")
        self._busy.add(key)
        try:
            return await stream_prompt(request, self._agents[key], heartbeat=self._heartbeat)
        finally:
            self._busy.discard(key)

    async def aclose(self, _app: web.Application) -> None:
        """Close all agents, which ends the answers that are being streamed."""
        for agent in self._agents.values():
            await agent.aclose()
