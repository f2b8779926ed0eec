"""The benchmark's model server, a process of its own: plain asyncio sockets, bytes built ahead.

It prints its port on standard output and serves until its standard input closes. `GET /held` tells
how many responses it holds open.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import resource
import sys

from wire_bodies import Case, Wire, response_records

PAUSE_SECONDS = 0.04
_HELD_CAPACITY = 4096
_BULK_CHUNK_BYTES = 16_384
_SPREAD = 100
_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)
_END = b"0\r\n\r\n"
_UPGRADED = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: %b\r\n\r\n"
)
_SOCKET_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3
_CASE = re.compile(rb"case=([0-9a-z-]+)")
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_SOCKET_KEY = re.compile(rb"sec-websocket-key: *([^\r]+)", re.IGNORECASE)
_PATHS: dict[bytes, Wire] = {b"/messages": "anthropic", b"/responses": "responses"}


class Server:
    """Answers every POST, and every frame of a WebSocket, with the case that its prompt names."""

    def __init__(self) -> None:
        self.held = 0
        self._paced = 0

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until the client leaves."""
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = _LENGTH.search(head)
                body = await reader.readexactly(int(length[1])) if length else b""
                if head.startswith(b"GET /held"):
                    text = b"%d" % self.held
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(text))
                    writer.write(text)
                    continue
                if key := _SOCKET_KEY.search(head):
                    await self._talk(reader, writer, key[1])
                    return
                path = head.split(b" ", 2)[1]
                wire = next((name for part, name in _PATHS.items() if part in path), "openai")
                await self._answer(reader, writer, wire, _case(body))
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    async def _answer(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        wire: Wire,
        case: Case,
    ) -> None:
        records = response_records(wire, case)
        writer.write(_HEAD)
        if case.delivery == "paced":
            await self._write_paced(writer, records)
        elif case.delivery == "held":
            writer.write(_framed(b"".join(records[: case.deltas + 1])))
            self.held += 1
            try:
                await reader.read(1)
            finally:
                self.held -= 1
            return
        else:
            body = b"".join(records)
            for start in range(0, len(body), _BULK_CHUNK_BYTES):
                writer.write(_framed(body[start : start + _BULK_CHUNK_BYTES]))
                await writer.drain()
        writer.write(_END)
        await writer.drain()

    async def _talk(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, key: bytes
    ) -> None:
        """Serve a WebSocket until the client leaves: a frame asks, frames answer."""
        digest = hashlib.sha1(key.strip() + _SOCKET_GUID, usedforsecurity=False).digest()
        writer.write(_UPGRADED % base64.b64encode(digest))
        while (asked := await _read_frame(reader)) is not None:
            case = _case(asked)
            frames = response_records("codex", case)
            if case.delivery == "paced":
                await self._write_paced(writer, frames, framed=False)
                continue
            body = b"".join(frames)
            for start in range(0, len(body), _BULK_CHUNK_BYTES):
                writer.write(body[start : start + _BULK_CHUNK_BYTES])
                await writer.drain()
        writer.write(b"\x88\x02\x03\xe8")  # goodbye, 1000

    async def _write_paced(
        self, writer: asyncio.StreamWriter, records: list[bytes], *, framed: bool = True
    ) -> None:
        """One write per event, on a fixed schedule; streams are spread evenly over the pause."""
        self._paced += 1
        loop = asyncio.get_running_loop()
        due = loop.time() + PAUSE_SECONDS * (1 + self._paced % _SPREAD / _SPREAD)
        for record in records:
            await asyncio.sleep(due - loop.time())
            writer.write(_framed(record) if framed else record)
            due += PAUSE_SECONDS


def _framed(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _case(body: bytes) -> Case:
    found = _CASE.search(body)
    assert found, "the prompt names no case"
    return Case.parse(found[1])


async def _read_frame(reader: asyncio.StreamReader) -> bytes | None:
    """The text of the next frame of a client, which masks it; None for a goodbye."""
    kind, size = await reader.readexactly(2)
    size &= 0x7F
    if size > 125:
        size = int.from_bytes(await reader.readexactly(2 if size == 126 else 8), "big")
    mask = await reader.readexactly(4)
    data = await reader.readexactly(size)
    if kind & 0x0F == 8:
        return None
    return bytes(byte ^ mask[at % 4] for at, byte in enumerate(data))


async def main() -> None:
    """Serve until standard input closes."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, _HELD_CAPACITY), hard))
    serving = await asyncio.start_server(Server().connected, "127.0.0.1", 0, backlog=2048)
    print(serving.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
