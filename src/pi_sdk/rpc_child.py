"""The process of an RPC server as its client sees it: lines in and out, standard error, the end.

Source: rpc spec, sections 3 and 11.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import pairwise
from typing import Protocol, cast

from pi_tools.spawn import spawn

__all__ = ("ChildOwner", "ChildProcess", "find_secrets")

_MAX_LINE_BYTES = 1 << 28
"""A server that sends more than this without a line end is killed."""
_MAX_UNSENT_BYTES = 1 << 28
_STDERR_BYTES = 1 << 16
_PIPE_SECONDS = 1.0
"""How long the output of a process that has exited is waited for, and the other way round."""

_SECRET_NAME = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?)\Z", re.IGNORECASE)
_MIN_SECRET_CHARS = 8
_MASK = "***"


def find_secrets(environment: Mapping[str, str], arguments: Sequence[str]) -> tuple[str, ...]:
    """What must not be shown: values of variables named like a secret, and of `--api-key`."""
    found = {value for name, value in environment.items() if _SECRET_NAME.search(name)}
    for flag, value in pairwise([*arguments, ""]):
        if flag == "--api-key":
            found.add(value)
        elif flag.startswith("--api-key="):
            found.add(flag.partition("=")[2])
    kept = (value for value in found if len(value) >= _MIN_SECRET_CHARS)
    return tuple(sorted(kept, key=len, reverse=True))  # one may be part of another


class ChildOwner(Protocol):
    """Is told what a child does, in the event loop's thread; must not raise."""

    def line_received(self, line: bytes) -> None:
        """A line of its standard output, without its end."""
        ...

    def stderr_received(self, line: str) -> None:
        """A line of its standard error, secrets masked."""
        ...

    def child_ended(self) -> None:
        """It will send no more lines."""
        ...


class ChildProcess(asyncio.SubprocessProtocol):
    """A started program. Standard output is read as it comes, so it never waits for a reader."""

    def __init__(self, owner: ChildOwner, secrets: Sequence[str]) -> None:
        self.ended = False
        self.exit_code: int | None = None
        self.signal: str | None = None
        self._owner = owner
        self._secrets = secrets
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.SubprocessTransport | None = None
        self._open = {1, 2}
        self._pieces: list[bytes] = []
        self._line_bytes = 0
        self._stderr = bytearray()
        self._stderr_line = b""
        self._gone = asyncio.Event()
        self._over = asyncio.Event()
        self._late: asyncio.TimerHandle | None = None

    @classmethod
    async def start(
        cls,
        argv: Sequence[str],
        owner: ChildOwner,
        *,
        cwd: str | None,
        env: Mapping[str, str],
        secrets: Sequence[str],
    ) -> ChildProcess:
        """Start a program in a session of its own. Raises OSError and ValueError as Popen does."""
        child = cls(owner, secrets)
        await spawn(child, argv, cwd=cwd, env=env, stdin=True)
        return child

    # --- what the client does -----------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Send bytes without waiting. Raises BrokenPipeError if the child reads no more."""
        pipe = self._stdin
        if pipe is None or pipe.is_closing():
            raise BrokenPipeError("it has closed its input")
        if pipe.get_write_buffer_size() > _MAX_UNSENT_BYTES:
            raise BrokenPipeError("it does not read its input")
        pipe.write(data)

    def close_input(self) -> None:
        """Let the child see the end of its input."""
        if self._stdin is not None:
            self._stdin.close()

    def terminate(self) -> None:
        """Ask the child to end."""
        self._send_signal("SIGTERM")

    def kill(self) -> None:
        """End the child, and what it has started and not put into a session of its own."""
        self._send_signal("SIGKILL")

    async def wait(self, seconds: float) -> bool:
        """Whether the child exits within the time."""
        return await _happens(self._gone, seconds)

    def finish(self) -> None:
        """Take no more of its output, and kill the child if it still runs."""
        self.kill()
        if self._transport is not None:
            self._transport.close()

    async def wait_for_end(self, seconds: float) -> bool:
        """Whether the owner is told of the end within the time."""
        return await _happens(self._over, seconds)

    @property
    def stderr(self) -> str:
        """The end of the child's standard error, secrets masked."""
        data = bytes(self._stderr)
        if len(data) >= _STDERR_BYTES:  # a secret may have been cut in two
            data = data[-_STDERR_BYTES:].partition(b"\n")[2]
        return self._masked(data)

    @property
    def _stdin(self) -> asyncio.WriteTransport | None:
        pipe = self._transport.get_pipe_transport(0) if self._transport else None
        return cast("asyncio.WriteTransport | None", pipe)

    def _send_signal(self, name: str) -> None:
        if self._transport is None or self._transport.get_returncode() is not None:
            return
        if sys.platform == "win32":
            self._transport.kill()
            return
        pid = self._transport.get_pid()
        with suppress(ProcessLookupError, PermissionError):
            if name == "SIGKILL":
                os.killpg(pid, signal.SIGKILL)
            else:
                os.kill(pid, getattr(signal, name))

    # --- what asyncio tells -------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.SubprocessTransport", transport)

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if self.ended:
            return
        if fd == 1:
            self._split(data)
        else:
            self._collect_stderr(data)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        if fd == 1 and self._pieces and not self.ended:
            self._split(b"\n")  # a last line without its end counts
        self._open.discard(fd)
        self._look_for_end()

    def process_exited(self) -> None:
        assert self._transport is not None  # it was started
        status = self._transport.get_returncode()
        if status is not None and status < 0:
            names = {int(known): known.name for known in signal.Signals}
            self.signal = names.get(-status, f"signal {-status}")
        else:
            self.exit_code = status
        self._gone.set()
        self._look_for_end()

    def _look_for_end(self) -> None:
        """Over when the process has exited and its output is complete, or one of both for long."""
        if self.ended or not (self._gone.is_set() or 1 not in self._open):
            return
        if self._gone.is_set() and not self._open:
            self._end()
        elif self._late is None:
            self._late = self._loop.call_later(_PIPE_SECONDS, self._end_late)

    def _end_late(self) -> None:
        if self._gone.is_set():
            self._end()
        else:
            self.finish()  # what cannot answer any more must not stay; its exit is the end

    def _end(self) -> None:
        if self._late is not None:
            self._late.cancel()
        if self.ended:
            return
        if self._stderr_line:
            self._owner.stderr_received(self._masked(self._stderr_line))
        self.ended = True
        self._over.set()
        if self._transport is not None:
            self._transport.close()  # somebody else may hold the other ends
        self._owner.child_ended()

    # --- output -------------------------------------------------------------------------------

    def _split(self, data: bytes) -> None:
        *lines, rest = data.split(b"\n")
        if lines:
            lines[0] = b"".join([*self._pieces, lines[0]])
            self._pieces = []
            self._line_bytes = 0
            for line in lines:
                self._owner.line_received(line.removesuffix(b"\r"))
        if rest:
            self._pieces.append(rest)
            self._line_bytes += len(rest)
            if self._line_bytes > _MAX_LINE_BYTES:
                note = f"Killed: a line of more than {_MAX_LINE_BYTES} bytes\n".encode()
                self._collect_stderr(note)
                self._pieces = []
                self.kill()

    def _collect_stderr(self, data: bytes) -> None:
        self._stderr += data
        if len(self._stderr) > 2 * _STDERR_BYTES:
            del self._stderr[:-_STDERR_BYTES]
        *lines, self._stderr_line = (self._stderr_line + data).split(b"\n")
        if len(self._stderr_line) > _STDERR_BYTES:
            lines.append(self._stderr_line)
            self._stderr_line = b""
        for line in lines:
            self._owner.stderr_received(self._masked(line))

    def _masked(self, data: bytes) -> str:
        text = data.decode("utf-8", "replace")
        for secret in self._secrets:
            text = text.replace(secret, _MASK)
        return text


async def _happens(event: asyncio.Event, seconds: float) -> bool:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    return event.is_set()
