"""Lines of bytes in and out: framing, order and back-pressure of the RPC server.

Source: rpc spec, sections 3 and 8.
"""

from __future__ import annotations

import asyncio
import os
import stat
import sys
import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from io import FileIO
from typing import Protocol

__all__ = (
    "FileLines",
    "LineReader",
    "LineWriter",
    "StreamLines",
    "WriterLines",
    "open_standard_streams",
)

_CHUNK_BYTES = 1 << 16


class LineReader(Protocol):
    """Gives the lines of a client."""

    async def read_line(self) -> bytes | None:
        """The next line without its end, None when the client has closed its side."""
        ...


class LineWriter(Protocol):
    """Takes lines for a client, in order."""

    def put_line(self, line: bytes) -> None:
        """Send a line without waiting."""
        ...

    async def write_line(self, line: bytes) -> None:
        """Send a line, and wait while the client is too far behind."""
        ...


class StreamLines:
    """Lines of an asyncio stream, of any length, split at line feeds only."""

    def __init__(self, stream: asyncio.StreamReader) -> None:
        self._stream = stream
        self._ready: list[bytes] = []
        self._partial: list[bytes] = []
        self._ended = False

    async def read_line(self) -> bytes | None:
        """See `LineReader`. A last line without its end counts."""
        while not self._ready and not self._ended:
            chunk = await self._stream.read(_CHUNK_BYTES)
            if not chunk:
                self._ended = True
                rest = b"".join(self._partial)
                return rest.removesuffix(b"\r") if rest else None
            *lines, rest = chunk.split(b"\n")
            if lines:
                lines[0] = b"".join([*self._partial, lines[0]])
                self._partial = []
                self._ready = lines[::-1]
            if rest:
                self._partial.append(rest)
        return self._ready.pop().removesuffix(b"\r") if self._ready else None


class WriterLines:
    """Lines for an asyncio stream; a client that does not read makes `write_line` wait."""

    def __init__(self, stream: asyncio.StreamWriter) -> None:
        self._stream = stream

    def put_line(self, line: bytes) -> None:
        """See `LineWriter`."""
        self._stream.write(line + b"\n")

    async def write_line(self, line: bytes) -> None:
        """See `LineWriter`. Raises ConnectionError when the client is gone."""
        self.put_line(line)
        await self._stream.drain()

    async def aclose(self) -> None:
        """Send what is waiting and close."""
        self._stream.close()
        with suppress(ConnectionError):  # the client left first
            await self._stream.wait_closed()


class FileLines:
    """Lines for a file or a terminal, which take what they are given."""

    def __init__(self, file: FileIO) -> None:
        self._file = file

    def put_line(self, line: bytes) -> None:
        """See `LineWriter`."""
        rest = memoryview(line + b"\n")
        while rest:
            rest = rest[self._file.write(rest) or 0 :]

    async def write_line(self, line: bytes) -> None:
        """See `LineWriter`."""
        self.put_line(line)

    async def aclose(self) -> None:
        """Close the file."""
        self._file.close()


@asynccontextmanager
async def open_standard_streams() -> AsyncGenerator[tuple[LineReader, LineWriter], None]:
    """Standard input and output as lines.

    From here on file descriptor 1 is standard error, so that nothing a tool or a library prints
    gets between the records.
    """
    sys.stdout.flush()
    output = FileIO(os.dup(1), "wb")
    os.dup2(2, 1)
    stream, source = await _read_from(FileIO(os.dup(0), "rb"))
    writer = await _write_to(output)
    try:
        yield StreamLines(stream), writer
    finally:
        if source is not None:
            source.close()
        await writer.aclose()


def _is_pipe(file: FileIO) -> bool:
    mode = os.fstat(file.fileno()).st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


async def _read_from(file: FileIO) -> tuple[asyncio.StreamReader, asyncio.BaseTransport | None]:
    loop = asyncio.get_running_loop()
    stream = asyncio.StreamReader()
    if _is_pipe(file):
        protocol = asyncio.StreamReaderProtocol(stream)
        source, _ = await loop.connect_read_pipe(lambda: protocol, file)
        return stream, source

    def read_all() -> None:
        # Files and terminals cannot be waited for by the event loop. The thread is a daemon: a
        # terminal that nobody types at must not keep the process.
        with file, suppress(RuntimeError):  # the loop is closed: nobody listens any more
            while chunk := file.read(_CHUNK_BYTES):
                loop.call_soon_threadsafe(stream.feed_data, chunk)
            loop.call_soon_threadsafe(stream.feed_eof)

    threading.Thread(target=read_all, name="rpc-input", daemon=True).start()
    return stream, None


async def _write_to(file: FileIO) -> WriterLines | FileLines:
    if not _is_pipe(file):
        return FileLines(file)
    loop = asyncio.get_running_loop()
    # The only protocol of asyncio's that both holds writers back and can be waited for.
    protocol = asyncio.StreamReaderProtocol(asyncio.StreamReader())
    sink, _ = await loop.connect_write_pipe(lambda: protocol, file)
    return WriterLines(asyncio.StreamWriter(sink, protocol, None, loop))
