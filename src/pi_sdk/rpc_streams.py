"""Lines of bytes in and out: framing, order and back-pressure of the RPC server.

Source: rpc spec, sections 3 and 8.
"""

from __future__ import annotations

import asyncio
import errno
import os
import stat
import sys
import threading
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from io import FileIO
from typing import Protocol

__all__ = (
    "FileLines",
    "LineReader",
    "LineWriter",
    "PipeLines",
    "StreamLines",
    "open_missing_streams",
    "open_standard_streams",
)

_CHUNK_BYTES = 1 << 16
_FLUSH_SECONDS = 2.0
"""How long the end of the output may take to reach a client that has stopped reading."""
_RETRY_SECONDS = 0.01


class LineReader(Protocol):
    """Gives the lines of a client."""

    async def read_line(self) -> bytes | None:
        """The next line without its end, None when the client has closed its side."""
        ...


class LineWriter(Protocol):
    """Takes lines for a client, in order. Both ways of writing raise OSError if it is gone."""

    def put_line(self, line: bytes) -> None:
        """Send a line without waiting."""
        ...

    async def write_line(self, line: bytes) -> None:
        """Send a line, and wait while the client is too far behind."""
        ...

    async def wait_writable(self) -> None:
        """Wait while the client is too far behind."""
        ...

    def stop_waiting(self) -> None:
        """From here on, and for those who wait now, nothing waits for the client."""
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


class PipeLines(asyncio.BaseProtocol):
    """Lines for a pipe or a socket; a client that does not read makes `write_line` wait."""

    def __init__(self) -> None:
        self._transport: asyncio.WriteTransport | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._closed = asyncio.Event()
        self._waits = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """For the event loop: the pipe is there."""
        assert isinstance(transport, asyncio.WriteTransport)  # the loop made it for writing
        self._transport = transport

    def pause_writing(self) -> None:
        """For the event loop: the client is behind."""
        if self._waits:
            self._writable.clear()

    def resume_writing(self) -> None:
        """For the event loop: the client has caught up."""
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """For the event loop: nobody reads any more, or everything has been sent."""
        self._closed.set()
        self._writable.set()

    def put_line(self, line: bytes) -> None:
        """See `LineWriter`."""
        if self._transport is None or self._closed.is_set():
            raise BrokenPipeError(errno.EPIPE, "The client has closed its side")
        self._transport.write(line + b"\n")

    async def write_line(self, line: bytes) -> None:
        """See `LineWriter`."""
        self.put_line(line)
        await self.wait_writable()

    async def wait_writable(self) -> None:
        """See `LineWriter`."""
        while not self._writable.is_set():  # others who waited may have filled it again
            await self._writable.wait()

    def stop_waiting(self) -> None:
        """See `LineWriter`."""
        self._waits = False
        self._writable.set()

    async def aclose(self) -> None:
        """Send what is left and close; a client that does not read it in time does not get it."""
        if self._transport is None:
            return
        self._transport.close()
        try:
            async with asyncio.timeout(_FLUSH_SECONDS):
                await self._closed.wait()
        except TimeoutError:
            self._transport.abort()


class FileLines:
    """Lines for a file or a terminal, which take what they are given."""

    def __init__(self, file: FileIO) -> None:
        self._file = file

    def put_line(self, line: bytes) -> None:
        """See `LineWriter`."""
        rest = memoryview(line + b"\n")
        while rest:
            written = self._file.write(rest)
            if written is None:  # a terminal that somebody made non-blocking
                time.sleep(_RETRY_SECONDS)
            rest = rest[written or 0 :]

    async def write_line(self, line: bytes) -> None:
        """See `LineWriter`."""
        self.put_line(line)

    async def wait_writable(self) -> None:
        """See `LineWriter`."""

    def stop_waiting(self) -> None:
        """See `LineWriter`."""

    async def aclose(self) -> None:
        """Close the file."""
        self._file.close()


def open_missing_streams() -> None:
    """Put the null device in the place of standard streams that the parent has closed.

    Else the next files to be opened would get their numbers.
    """
    streams = (sys.__stdin__, sys.__stdout__, sys.__stderr__)
    for number, stream in enumerate(streams):
        if stream is None:
            null = os.open(os.devnull, os.O_RDWR)
            if null != number:
                os.dup2(null, number)
                os.close(null)
            os.set_inheritable(number, True)  # as the others are
            if number:
                text = os.fdopen(number, "w", encoding="utf-8", closefd=False)
                setattr(sys, ("stdin", "stdout", "stderr")[number], text)


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
    """Whether the event loop can wait for the file; on Windows it cannot for standard streams."""
    if sys.platform == "win32":
        return False
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
            with suppress(OSError):  # a terminal that is gone has nothing more to say
                while chunk := file.read(_CHUNK_BYTES):
                    loop.call_soon_threadsafe(stream.feed_data, chunk)
            loop.call_soon_threadsafe(stream.feed_eof)

    threading.Thread(target=read_all, name="rpc-input", daemon=True).start()
    return stream, None


async def _write_to(file: FileIO) -> PipeLines | FileLines:
    if not _is_pipe(file):
        return FileLines(file)
    loop = asyncio.get_running_loop()
    _, writer = await loop.connect_write_pipe(PipeLines, file)
    return writer
