"""A server on loopback that does with each connection exactly what a script says."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from types import TracebackType

OK_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
CHUNKED = OK_HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


def piece(body: bytes) -> bytes:
    """`body` as one chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(body), body)


class Peer:
    """One connection, after its request was read."""

    def __init__(self, writer: asyncio.StreamWriter, number: int) -> None:
        self.number = number
        self.gone = asyncio.Event()
        self._writer = writer

    async def send(self, *pieces: bytes) -> None:
        self._writer.write(b"".join(pieces))
        await self._writer.drain()

    async def stall(self) -> None:
        """Say nothing until the client leaves."""
        await self.gone.wait()

    def reset(self) -> None:
        """Break the connection off with a TCP reset."""
        raw = self._writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()


Script = Callable[[Peer], Awaitable[None]]


class RawServer:
    """Runs `script` for every connection; a connection is closed when its script returns."""

    def __init__(self, script: Script) -> None:
        self.open = 0
        self.requests: list[bytes] = []
        self._script = script
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> RawServer:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        host, port = self._server.sockets[0].getsockname()[:2]
        return f"http://{host}:{port}"

    async def all_closed(self) -> None:
        """Wait until no client is connected any more."""
        while self.open:
            await asyncio.sleep(0.005)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.open += 1
        watch: asyncio.Task[None] | None = None
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            lines = head.lower().split(b"\r\n")
            size = next(int(line[15:]) for line in lines if line.startswith(b"content-length:"))
            self.requests.append(head + await reader.readexactly(size))
            peer = Peer(writer, len(self.requests))
            watch = asyncio.create_task(_watch(reader, peer))
            await self._script(peer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client left, or the server is closing
        finally:
            if watch is not None:
                watch.cancel()
            self.open -= 1
            writer.close()


async def _watch(reader: asyncio.StreamReader, peer: Peer) -> None:
    try:
        while await reader.read(4096):
            pass
    except ConnectionError:
        pass
    finally:
        peer.gone.set()
