"""Starting a program for an `asyncio.SubprocessProtocol`.

asyncio's own way hangs when it is cancelled between the fork and the first read, as it is when an
event loop shuts down at that moment (CPython issue 103847). This one kills and reaps the program.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import IO, cast

if sys.platform == "linux":
    import fcntl

__all__ = ("spawn",)

_REAP_SECONDS = 1.0
_PIPE_BYTES = 256 * 1024
"""As much as asyncio reads at once."""


async def spawn(
    protocol: asyncio.SubprocessProtocol,
    argv: Sequence[str],
    *,
    cwd: str | None,
    env: Mapping[str, str],
    stdin: bool,
) -> None:
    """Start `argv` in a session of its own and tell `protocol` of its output and its end.

    `stdin`: its standard input is a pipe, else it is empty. Raises OSError and ValueError as
    `subprocess.Popen` does. Cancelled, it leaves no process behind.
    """
    loop = asyncio.get_running_loop()
    source = subprocess.PIPE if stdin else subprocess.DEVNULL
    if sys.platform == "win32":
        await loop.subprocess_exec(
            lambda: protocol, *argv, stdin=source, cwd=cwd, env=env, start_new_session=True
        )
        return
    started = subprocess.Popen(  # noqa: ASYNC220  # asyncio forks in the loop's thread too
        argv,
        stdin=source,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        cwd=cwd,
        env=env,
        start_new_session=True,
    )
    child = _Child(loop, started, protocol)
    try:
        await child.connect()
    except BaseException:
        child.discard()
        raise


class _Child(asyncio.SubprocessTransport):
    """A started program: its pipes, and a watch for its end."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        started: subprocess.Popen[bytes],
        protocol: asyncio.SubprocessProtocol,
    ) -> None:
        super().__init__()
        self._loop = loop
        self._started = started
        self._protocol = protocol
        self._returncode: int | None = None
        files = (started.stdin, started.stdout, started.stderr)
        self._files: dict[int, IO[bytes]] = {n: f for n, f in enumerate(files) if f is not None}
        self._pipes: dict[int, asyncio.BaseTransport] = {}
        self._watch: int | None = None
        self._lost = False

    async def connect(self) -> None:
        """Tell the protocol of the program and begin to pass on what comes."""
        self._protocol.connection_made(self)
        self._watch_for_exit()
        for number, file in tuple(self._files.items()):
            pipe = _Pipe(self, number)
            _widen(file)
            if number:
                await self._loop.connect_read_pipe(lambda pipe=pipe: pipe, file)
            else:
                await self._loop.connect_write_pipe(lambda pipe=pipe: pipe, file)

    def discard(self) -> None:
        """Kill and reap a program that nobody will wait for."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._started.pid, signal.SIGKILL)
        self.close()
        try:
            self._started.wait(_REAP_SECONDS)  # killed, so it is over at once
        except subprocess.TimeoutExpired:
            return  # stuck in the kernel; the watch goes on
        self._exited()

    # --- asyncio.SubprocessTransport ----------------------------------------------------------

    def get_pid(self) -> int:
        return self._started.pid

    def get_returncode(self) -> int | None:
        return self._returncode

    def get_pipe_transport(self, fd: int) -> asyncio.BaseTransport | None:
        return self._pipes.get(fd)

    def close(self) -> None:
        """Close the pipes, and kill the program if it still runs."""
        for number, file in tuple(self._files.items()):
            pipe = self._pipes.get(number)
            if pipe is not None:
                pipe.close()  # its protocol is told a little later
            else:
                file.close()
                self.pipe_lost(number, None)
        if self._returncode is None:
            self._started.kill()

    # --- pipes --------------------------------------------------------------------------------

    def pipe_made(self, number: int, pipe: asyncio.BaseTransport) -> None:
        """A pipe is connected."""
        self._pipes[number] = pipe

    def pipe_data(self, number: int, data: bytes) -> None:
        """Output has come."""
        self._protocol.pipe_data_received(number, data)

    def pipe_lost(self, number: int, error: Exception | None) -> None:
        """A pipe is closed, by either side."""
        if self._files.pop(number, None) is not None:
            self._protocol.pipe_connection_lost(number, error)
            self._tell_if_lost()

    # --- the end ------------------------------------------------------------------------------

    def _watch_for_exit(self) -> None:
        if sys.platform == "linux":
            with suppress(OSError):  # an old kernel, or no descriptor left
                self._watch = os.pidfd_open(self._started.pid)
                self._loop.add_reader(self._watch, self._exited)
                return
        threading.Thread(target=self._wait_in_thread, name="wait", daemon=True).start()

    def _wait_in_thread(self) -> None:
        self._started.wait()
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._exited)

    def _exited(self) -> None:
        if self._watch is not None:
            self._loop.remove_reader(self._watch)
            os.close(self._watch)
            self._watch = None
        if self._returncode is None:
            self._returncode = self._started.wait()
            self._protocol.process_exited()
            self._tell_if_lost()

    def _tell_if_lost(self) -> None:
        if self._returncode is not None and not self._files and not self._lost:
            self._lost = True
            self._protocol.connection_lost(None)


def _widen(pipe: IO[bytes]) -> None:
    """Let a program write more before it has to wait for us, where the system offers that."""
    if sys.platform == "linux":
        with suppress(OSError):  # this user has too much in pipes already
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)


class _Pipe(asyncio.Protocol):
    """One end of a pipe to the program."""

    def __init__(self, child: _Child, number: int) -> None:
        self._child = child
        self._number = number

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._child.pipe_made(self._number, cast("asyncio.ReadTransport", transport))

    def data_received(self, data: bytes) -> None:
        self._child.pipe_data(self._number, data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._child.pipe_lost(self._number, exc)
