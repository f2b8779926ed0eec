"""A small HTTP/1.1 server on loopback, over plain asyncio sockets, for tests and demonstrations.

It serves one handler, streams bodies in chunks and can break off as a failing server would.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from types import TracebackType
from typing import TypeAlias

from pi_ai.json_text import parse_json
from pi_ai.types import JsonValue

__all__ = ("Handler", "LoopbackRequest", "LoopbackResponse", "LoopbackServer")


@dataclass(frozen=True)
class LoopbackRequest:
    """A request as it came in; header names are lower-case, `path` holds the query too."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> JsonValue:
        """The body, read as JSON."""
        return parse_json(self.body)


@dataclass(frozen=True)
class LoopbackResponse:
    """What to answer. `body` is sent piece by piece.

    `abort`: reset the connection after the body instead of ending it properly.
    """

    body: bytes | AsyncIterable[bytes] = b""
    status: int = 200
    headers: Mapping[str, str] = field(
        default_factory=lambda: {"Content-Type": "text/event-stream; charset=utf-8"}
    )
    abort: bool = False


_PHRASES = {status.value: status.phrase for status in HTTPStatus}

Handler: TypeAlias = Callable[[LoopbackRequest], LoopbackResponse | Awaitable[LoopbackResponse]]


class LoopbackServer:
    """Serves `handler` on 127.0.0.1 at a free port, inside an `async with` block.

    `requests` holds every request that came in.
    """

    def __init__(self, handler: Handler) -> None:
        self.requests: list[LoopbackRequest] = []
        self._handler = handler
        self._server: asyncio.Server | None = None
        self._connections: dict[asyncio.StreamWriter, asyncio.StreamReader] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> LoopbackServer:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    @property
    def url(self) -> str:
        """The origin, such as `http://127.0.0.1:40123`."""
        if self._server is None:
            raise RuntimeError("The server is not running; use it in `async with`")
        host, port = self._server.sockets[0].getsockname()[:2]
        return f"http://{host}:{port}"

    @property
    def open_connections(self) -> int:
        """How many clients are connected now, those that left during an answer aside."""
        return sum(
            not reader.at_eof() and reader.exception() is None
            for reader in self._connections.values()
        )

    async def aclose(self) -> None:
        """Close every connection and stop listening."""
        if self._server is None:
            return
        self._server.close()
        for task in self._tasks:
            task.cancel()
        for writer in list(self._connections):
            writer.transport.abort()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()
        self._server = None

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # asyncio runs each connection in a task
        self._tasks.add(task)
        self._connections[writer] = reader
        try:
            while (request := await _read_request(reader)) is not None:
                self.requests.append(request)
                answer = self._handler(request)
                if isinstance(answer, Awaitable):
                    answer = await answer
                if not await _write_response(writer, answer):
                    return
        except (ConnectionError, asyncio.IncompleteReadError):
            return  # the client left
        except asyncio.CancelledError:
            return  # asyncio's own callback would report the cancellation as an error
        finally:
            self._tasks.discard(task)
            del self._connections[writer]
            writer.close()
            with suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()


async def _read_request(reader: asyncio.StreamReader) -> LoopbackRequest | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.IncompleteReadError:
        return None
    start, *lines = head.rstrip("\r\n").split("\r\n")
    method, path, _version = start.split(" ", 2)
    pairs = (line.partition(":") for line in lines)
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return LoopbackRequest(method, path, headers, body)


async def _write_response(writer: asyncio.StreamWriter, response: LoopbackResponse) -> bool:
    """Send an answer; True if the connection can be used again."""
    status = response.status
    bodiless = status in {HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED}
    headers = response.headers if bodiless else {**response.headers, "Transfer-Encoding": "chunked"}
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    writer.write(f"HTTP/1.1 {status} {_PHRASES.get(status, '')}\r\n{head}\r\n".encode("latin-1"))
    if bodiless:
        await writer.drain()
        return True
    async for piece in _pieces(response.body):
        if piece:
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            await writer.drain()
    if response.abort:
        writer.transport.abort()
        return False
    writer.write(b"0\r\n\r\n")
    await writer.drain()
    return True


async def _pieces(body: bytes | AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    if isinstance(body, bytes):
        yield body
        return
    async for piece in body:
        yield piece
