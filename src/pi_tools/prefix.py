"""Short shell scripts run through a command prefix, such as `docker exec -i box` or `ssh host`.

The other side needs a POSIX `sh`. What it prints before a script's first word is dropped, so a
talkative login shell does no harm.
"""

from __future__ import annotations

import asyncio
import os
import shlex
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from functools import partial

from msgspec import Struct

from pi_agent.types import ToolError
from pi_tools.operations import check_timeout
from pi_tools.os_errors import FileSystemError
from pi_tools.process import CommandProcess, CommandTimeoutError, OnData, run_process
from pi_tools.uninterrupted import finish

__all__ = ("CommandPrefix", "Script", "run_script", "stream_script", "time_limit")

_MARK = b"\x1epi-stack\n"
_FIRST_FAILURE, _SECOND_FAILURE, _SPECIAL_FILE, _INCOMPLETE = 121, 122, 123, 124
_PROLOGUE = """\
LC_ALL=C
export LC_ALL
begin() { printf '\\036pi-stack\\n'; }
fail_as() { printf '%s\\n' "$1" >&2; exit "${2:-121}"; }
"""
_MESSAGE_BYTES = 4096
_HIGH_WATER_BYTES = 1024 * 1024
# What the C libraries of Linux (glibc, musl) and macOS say in the C locale.
_CODES = {
    "No such file or directory": "ENOENT",
    "Permission denied": "EACCES",
    "Is a directory": "EISDIR",
    "Not a directory": "ENOTDIR",
    "File exists": "EEXIST",
    "Operation not permitted": "EPERM",
    "No space left on device": "ENOSPC",
    "Disk quota exceeded": "EDQUOT",
    "Read-only file system": "EROFS",
    "Too many levels of symbolic links": "ELOOP",
    "Symbolic link loop": "ELOOP",
    "File name too long": "ENAMETOOLONG",
    "Filename too long": "ENAMETOOLONG",
    "Text file busy": "ETXTBSY",
    "File too large": "EFBIG",
    "Input/output error": "EIO",
    "I/O error": "EIO",
}


class CommandPrefix(Struct, frozen=True):
    """The words that run a program in another place when they stand before it.

    `shell_string`: the prefix joins what follows to one line for a shell over there, as ssh does,
    so that everything has to be quoted; otherwise the words arrive as they are, as with
    `docker exec`. Raises ValueError for a prefix that is empty or no sequence of words.
    """

    argv: Sequence[str]
    shell_string: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.argv, str) or not self.argv or not all(self.argv):
            raise ValueError(
                f"Command prefix: expected a sequence of words, got {self.argv!r}. "
                'Pass one such as ["docker", "exec", "-i", "box"].'
            )

    def command(self, script: str, *arguments: str) -> list[str]:
        """The local program and its arguments that run `script` there, with $1 and so on."""
        words = ["sh", "-c", script, "sh", *arguments]
        return [*self.argv, *([shlex.join(words)] if self.shell_string else words)]

    @property
    def name(self) -> str:
        """The prefix as one would type it."""
        return shlex.join(self.argv)


class Script(Struct, frozen=True):
    """A script, and the names of what it does for error texts.

    It calls `begin` before it prints its result. When a command fails it exits with 121 for the
    operation `first`, whose error shows the path, or with 122 for `second`, whose error does not;
    the command's own words, or `fail_as CODE`, tell which error it was.
    """

    text: str
    first: str
    second: str = ""


def time_limit(timeout: float | None) -> float | None:
    """`timeout` in seconds, where 0 is no limit, as None is. Raises ValueError for what is none."""
    if not timeout:
        return None
    try:
        check_timeout(timeout)
    except ToolError as error:
        raise ValueError(
            f"timeout: expected seconds, or 0 or None for no limit, got {timeout!r}. {error}"
        ) from error
    return timeout


async def run_script(
    prefix: CommandPrefix,
    script: Script,
    path: str,
    *more: str,
    stdin: bytes,
    timeout: float | None,
) -> bytes:
    """What `script` prints when $1 is `path` and $2 and so on are `more`.

    Raises FileSystemError when it fails on the file, and ToolError when it could not be run or
    took more than `timeout` seconds.
    """
    printed = bytearray()
    await _run(prefix, script, [path, *more], on_data=printed.extend, stdin=stdin, timeout=timeout)
    return bytes(printed)


async def stream_script(
    prefix: CommandPrefix, script: Script, path: str, *, timeout: float | None
) -> AsyncGenerator[bytes]:
    """`run_script`'s result in pieces; no more is read ahead than a megabyte."""
    pieces = _Pieces()
    running = asyncio.ensure_future(
        _run(prefix, script, [path], on_data=pieces.add, stdin=b"", timeout=timeout)
    )
    running.add_done_callback(pieces.end)
    try:
        async with aclosing(pieces.all()) as arrived:
            async for data in arrived:
                yield data
        await running
    finally:
        running.cancel()
        pieces.make_room()
        await finish(asyncio.wait({running}))
        if not running.cancelled():
            running.exception()  # Seen, so that asyncio does not report it as lost.


async def _run(
    prefix: CommandPrefix,
    script: Script,
    arguments: Sequence[str],
    *,
    on_data: OnData,
    stdin: bytes,
    timeout: float | None,
) -> None:
    path = arguments[0]
    if "\0" in path:
        raise FileSystemError("EINVAL", script.first, path)
    said = bytearray()
    try:
        code = await run_process(
            prefix.command(_PROLOGUE + script.text, *arguments),
            cwd=None,
            env=os.environ,
            on_data=on_data,
            timeout=timeout,
            stdin=stdin,
            watch=partial(_ScriptProcess, said=said),
        )
    except CommandTimeoutError as error:
        raise ToolError(f"No answer from {prefix.name} within {error.seconds:g} seconds") from error
    if code:
        message = said.decode("utf-8", "replace").strip()
        raise _error(prefix, script, path, code=code, message=message)


def _error(
    prefix: CommandPrefix, script: Script, path: str, *, code: int, message: str
) -> ToolError:
    if code in (_FIRST_FAILURE, _SECOND_FAILURE):
        last = message.rpartition("\n")[2]
        ending = next((text for text in _CODES if last.endswith(text)), "")
        known = _CODES.get(ending, last if last.isalpha() and last.isupper() else "")
        if known and code == _FIRST_FAILURE:
            return FileSystemError(known, script.first, path)
        if known:
            return FileSystemError(known, script.second)
        return ToolError(f"{script.first} '{path}' failed: {last or 'no reason was given'}")
    if code == _SPECIAL_FILE:
        return ToolError(f"Not a regular file: {path}")
    if code == _INCOMPLETE:
        return ToolError(
            f"The content did not arrive whole and nothing was changed: {path}. Standard input "
            f"must go through {prefix.name} (docker exec needs -i)."
        )
    reason = f": {message}" if message else ""
    return ToolError(f"{prefix.name} failed with exit code {code}{reason}")


class _ScriptProcess(CommandProcess):
    """Passes on what a script prints after its mark, and keeps the end of its messages."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, on_data: OnData, *, said: bytearray
    ) -> None:
        super().__init__(loop, on_data)
        self._said = said
        self._before: bytearray | None = bytearray()

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if fd == 2:
            self._said += data
            del self._said[:-_MESSAGE_BYTES]
            return
        if self._before is not None:
            self._before += data
            at = self._before.find(_MARK)
            if at < 0:
                del self._before[: -len(_MARK)]
                return
            data = bytes(self._before[at + len(_MARK) :])
            self._before = None
        if data:
            self._pass_on(data, self._on_data)


class _Pieces:
    """Between a program that prints and a reader that takes its time."""

    def __init__(self) -> None:
        self._arrived: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._ended = False
        self._news = asyncio.Event()
        self._room: asyncio.Future[None] | None = None

    def add(self, data: bytes) -> asyncio.Future[None] | None:
        self._arrived.append(data)
        self._waiting_bytes += len(data)
        self._news.set()
        if self._waiting_bytes < _HIGH_WATER_BYTES:
            return None
        if self._room is None:
            self._room = asyncio.get_running_loop().create_future()
        return self._room

    def end(self, _: asyncio.Future[None]) -> None:
        self._ended = True
        self._news.set()

    async def all(self) -> AsyncGenerator[bytes]:
        while True:
            while self._arrived:
                data = self._arrived.popleft()
                self._waiting_bytes -= len(data)
                yield data
            self.make_room()
            if self._ended:
                return
            self._news.clear()
            await self._news.wait()

    def make_room(self) -> None:
        if self._room is not None and not self._room.done():
            self._room.set_result(None)
        self._room = None
