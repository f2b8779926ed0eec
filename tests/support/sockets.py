"""A server on loopback that answers over WebSocket and over HTTP as a script says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from aiohttp import WSMsgType, web


@dataclass
class Handshake:
    """One connection: its headers, the frames that came in, and how it was closed."""

    number: int
    path: str
    headers: Mapping[str, str]
    frames: list[Any] = field(default_factory=list[Any])
    closed: tuple[int | None, str] | None = None


Say = Callable[["Peer", Any], Awaitable[None]]


class Peer:
    """The server's end of a connection."""

    def __init__(
        self, socket: web.WebSocketResponse, handshake: Handshake, request: web.Request
    ) -> None:
        self.socket = socket
        self.handshake = handshake
        self._request = request

    async def send(self, *values: Any) -> None:
        """Each value as a frame of JSON text; bytes are a stream of records, a frame each."""
        for value in values:
            if not isinstance(value, bytes):
                await self.socket.send_str(json.dumps(value))
                continue
            for line in value.split(b"\n"):
                if line.startswith(b"data: "):
                    await self.socket.send_str(line[6:].decode())

    async def close(self, code: int, reason: str = "") -> None:
        await self.socket.close(code=code, message=reason.encode())

    def cut(self) -> None:
        """End the connection without a word."""
        transport = self._request.transport
        assert transport is not None
        transport.abort()


class SocketServer:
    """Calls `say` for each frame that comes in, and `answer` for each HTTP request.

    `refuse` is the status of handshakes that are turned down, None for none; `location` is where
    such a server sends them instead. `seen` counts all requests of any kind.
    """

    def __init__(
        self,
        say: Say,
        *,
        answer: bytes = b"",
        refuse: int | None = None,
        location: str | None = None,
        before: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.handshakes: list[Handshake] = []
        self.posts: list[web.Request] = []
        self.bodies: list[bytes] = []
        self.refused = 0
        self.seen = 0
        self._say = say
        self._answer = answer
        self._refuse = refuse
        self._location = location
        self._before = before
        self._changed = asyncio.Condition()

    async def __aenter__(self) -> SocketServer:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        await self._runner.cleanup()

    @property
    def url(self) -> str:
        host, port = self._runner.addresses[0][:2]
        return f"http://{host}:{port}"

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until connections and frames are as asked for."""
        async with asyncio.timeout(5):
            async with self._changed:
                await self._changed.wait_for(holds)

    async def all_closed(self) -> None:
        """Wait until no connection is open any more."""
        await self.until(lambda: all(one.closed is not None for one in self.handshakes))

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.seen += 1
        if request.method == "POST":
            self.posts.append(request)
            self.bodies.append(await request.read())
            return web.Response(body=self._answer, content_type="text/event-stream")
        if self._before is not None:
            await self._before()
        if self._refuse is not None:
            self.refused += 1
            headers = {"Location": self._location} if self._location else None
            return web.Response(status=self._refuse, headers=headers)
        return await self._talk(request)

    async def _talk(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(max_msg_size=0, autoclose=True)
        headers = {name.lower(): value for name, value in request.headers.items()}
        handshake = Handshake(len(self.handshakes) + 1, request.path, headers)
        self.handshakes.append(handshake)
        await socket.prepare(request)
        peer = Peer(socket, handshake, request)
        try:
            async for message in socket_messages(socket, handshake):
                handshake.frames.append(json.loads(message))
                await self._tell()
                await self._say(peer, handshake.frames[-1])
        except ConnectionError:
            pass  # the client left
        finally:
            if handshake.closed is None:
                handshake.closed = (socket.close_code, "")
            await self._tell()
        return socket


async def socket_messages(socket: web.WebSocketResponse, handshake: Handshake) -> Any:
    """The text frames, until the connection is closed; notes how."""
    while True:
        message = await socket.receive()
        if message.type is WSMsgType.TEXT:
            yield message.data
            continue
        if message.type is WSMsgType.CLOSE:
            handshake.closed = (message.data, message.extra or "")
        return
