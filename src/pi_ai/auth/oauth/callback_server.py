"""The server on this machine that a browser is sent to at the end of a login.

It lives for one login and takes one callback. Source: auth spec, section 4, D-7 and D-8.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Mapping
from contextlib import suppress

from msgspec import Struct

from pi_ai.auth.oauth.callback_page import render_page
from pi_ai.auth.oauth.callback_request import (
    MAX_HEAD_BYTES,
    CallbackRequest,
    RefusedRequestError,
    read_request,
)
from pi_ai.auth.oauth.foreign_text import clean_text
from pi_ai.auth.oauth.pasted_code import MISSING_CODE
from pi_ai.auth.oauth.pkce import same_secret
from pi_ai.secrets import Masked, Secret

__all__ = ("Callback", "CallbackServer", "ExpectedCallback")

_READ_SECONDS = 10.0
_MAX_CONNECTIONS = 32
# How long the end of a login may wait for a page that is being sent.
_GRACE_SECONDS = 1.0
# What a client sent and nobody reads: closing over it would reset the connection, page and all.
_LINGER_SECONDS = 0.5
_LINGER_BYTES = 64 << 10


class ExpectedCallback(Masked, frozen=True, kw_only=True):
    """Which callback a login waits for.

    `provider` is the name on the pages. `required` are parameters beside the code that must not be
    blank, each with the text for when one is.
    """

    provider: str
    path: str
    state: Secret
    required: Mapping[str, str] = {}


class Callback:
    """The callback that was taken: its `query`, or the reason why there is none.

    The browser waits until `answer` is called, or the server is closed.
    """

    def __init__(self, query: Mapping[str, str], denied: str | None = None) -> None:
        self.query = query
        self.denied = denied
        self._failure: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()

    def __repr__(self) -> str:  # the query holds the code
        return "<Callback>"

    def answer(self, failure: str | None = None) -> None:
        """Tell the browser that the login succeeded, or why it failed."""
        if not self._failure.done():
            self._failure.set_result(failure)

    async def failure(self) -> str | None:
        """What `answer` was told."""
        return await self._failure


class _Connection(Struct, eq=False):
    """`owed`: a request was read, and its page is not sent yet."""

    writer: asyncio.StreamWriter
    owed: bool = False
    task: asyncio.Task[None] | None = None


class CallbackServer:
    """Waits for one callback; `received` completes with it and never fails.

    Made by `start`. Whoever starts it closes it.
    """

    def __init__(self, expected: ExpectedCallback, own_host: str) -> None:
        self.received: asyncio.Future[Callback] = asyncio.get_running_loop().create_future()
        self._expected = expected
        self._own_hosts = (f"[{own_host}]" if ":" in own_host else own_host.lower(),)
        self._servers: list[asyncio.Server] = []
        self._connections: list[_Connection] = []  # oldest first
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    @classmethod
    async def start(
        cls, expected: ExpectedCallback, host: str, port: int, *, also_ipv6: bool = False
    ) -> CallbackServer:
        """Listen on `host`; port 0 is any free one. `also_ipv6`: on `::1` too, where possible.

        Raises OSError when the port is taken.
        """
        server = cls(expected, host)
        try:
            await server._listen(host, port)
            if also_ipv6:
                with suppress(OSError):  # no IPv6, or somebody else's: the code alone is of no use
                    await server._listen("::1", server.port)
        except BaseException:
            await server.aclose()
            raise
        return server

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._servers[0].sockets[0].getsockname()[1]

    async def aclose(self) -> None:
        """Stop listening, drop who has not asked yet, and let a page that is being sent arrive."""
        if self._closed:
            return
        self._closed = True
        for server in self._servers:
            server.close()
        if self.received.done():
            self.received.result().answer("The login was cancelled.")
        else:
            self.received.cancel()
        for connection in self._connections:
            if not connection.owed:
                _drop(connection)
        if not self._tasks:
            return
        try:
            await asyncio.wait(self._tasks, timeout=_GRACE_SECONDS)
        finally:
            for connection in self._connections:
                _drop(connection)
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _listen(self, host: str, port: int) -> None:
        loop = asyncio.get_running_loop()
        [found, *_] = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        family, _, _, _, address = found
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            if os.name == "nt":
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
            else:  # an earlier login's closed connections do not hold the port
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind(address)
            server = await asyncio.start_server(
                self._connected, sock=listener, limit=MAX_HEAD_BYTES, start_serving=False
            )
        except BaseException:
            listener.close()
            raise
        self._servers.append(server)  # before anything else is awaited: it is to be closed
        await server.start_serving()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._closed:  # it was on its way in
            writer.transport.abort()
            return
        if len(self._connections) >= _MAX_CONNECTIONS:
            oldest = next((each for each in self._connections if not each.owed), None)
            if oldest is None:
                writer.transport.abort()
                return
            _drop(oldest)
            self._connections.remove(oldest)
        connection = _Connection(writer)
        self._connections.append(connection)
        connection.task = asyncio.create_task(self._serve(connection, reader))
        self._tasks.add(connection.task)
        connection.task.add_done_callback(self._tasks.discard)

    async def _serve(self, connection: _Connection, reader: asyncio.StreamReader) -> None:
        writer = connection.writer
        try:
            page = await self._answer(connection, reader)
            if page is not None:
                writer.write(page)
                await writer.drain()
                if writer.can_write_eof():
                    writer.write_eof()
                connection.owed = False
                await _linger(reader)
        except OSError:
            pass  # the browser left
        finally:
            writer.close()
            if connection in self._connections:
                self._connections.remove(connection)

    async def _answer(self, connection: _Connection, reader: asyncio.StreamReader) -> bytes | None:
        """The response to the one request of a connection; None if none came."""
        try:
            async with asyncio.timeout(_READ_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
        except (TimeoutError, asyncio.IncompleteReadError):
            return None
        except asyncio.LimitOverrunError:
            connection.owed = True
            return render_page(431, "The request is too long.")
        connection.owed = True
        try:
            request = read_request(head, self._own_hosts)
        except RefusedRequestError as error:
            return render_page(error.status, str(error))
        if request.method != "GET" or request.path != self._expected.path:
            return render_page(404, "Not found.", with_body=request.method != "HEAD")
        return await self._take(request)

    async def _take(self, request: CallbackRequest) -> bytes:
        """The response to a request at the callback's path."""
        expected, query = self._expected, request.query
        if not same_secret(query.get("state", ""), expected.state):
            return render_page(400, "State mismatch.")
        if self.received.done():
            return render_page(409, "This sign-in has already been handled.")
        if error := query.get("error_description") or query.get("error"):
            reason = (
                f"{expected.provider} authorization failed: {clean_text(error, [expected.state])}"
            )
            self.received.set_result(Callback({}, denied=reason))
            return render_page(400, reason)
        if not query.get("code", "").strip():
            return render_page(400, f"{MISSING_CODE}.")
        for name, text in expected.required.items():
            if not query.get(name, "").strip():
                return render_page(400, f"{text}.")
        callback = Callback(query)
        self.received.set_result(callback)
        if (failure := await callback.failure()) is not None:
            return render_page(502, failure)
        signed_in = f"Signed in to {expected.provider}. You may now close this page."
        return render_page(200, signed_in)


def _drop(connection: _Connection) -> None:
    """End a connection now; its task ends as if the client had left."""
    connection.writer.transport.abort()
    if connection.task is not None:
        connection.task.cancel()


async def _linger(reader: asyncio.StreamReader) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(_LINGER_SECONDS):
            left = _LINGER_BYTES
            while left > 0 and (piece := await reader.read(left)):
                left -= len(piece)
