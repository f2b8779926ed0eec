"""Running a command: its own process group, its output as it comes, and its end.

A command has ended when its shell has exited and its output is complete: both pipes closed, or
silent for a moment while background processes hold them. Source: tools spec, sections 7.2, 7.3
and 7.6.
"""

from __future__ import annotations

import asyncio
import os
import signal as signals
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TypeAlias, cast

from pi_agent.types import ToolError
from pi_ai import AbortSignal, PiError
from pi_tools.os_errors import error_code
from pi_tools.spawn import spawn
from pi_tools.uninterrupted import finish

__all__ = (
    "CommandAbortedError",
    "CommandProcess",
    "CommandTimeoutError",
    "OnData",
    "kill_running_commands",
    "run_process",
)

OnData: TypeAlias = Callable[[bytes], "asyncio.Future[None] | None"]
"""Takes a piece of output, in the event loop's thread.

The future it may return is done when more is welcome; a producer that can wait should.
"""

_IDLE_SECONDS = 0.1
_CLEAN_UP_SECONDS = 5.0


class CommandAbortedError(PiError):
    """The command was killed since its signal was set."""

    def __init__(self) -> None:
        super().__init__("aborted")


class CommandTimeoutError(PiError):
    """The command was killed after `seconds`.

    `exit_code` and `exited_after` are set if the shell itself had exited by then, that many
    seconds after its start, and only background processes were still writing.
    """

    def __init__(
        self, seconds: float, exit_code: int | None = None, exited_after: float | None = None
    ) -> None:
        super().__init__(f"timeout:{seconds}")
        self.seconds = seconds
        self.exit_code = exit_code
        self.exited_after = exited_after


class _Running:
    """The process groups whose shell runs, for an embedder that shuts down."""

    def __init__(self) -> None:
        self.groups: set[int] = set()


_running = _Running()


def kill_running_commands() -> None:
    """Kill every command that runs now, whichever event loop or agent started it."""
    for group in tuple(_running.groups):
        _kill_group(group)


async def run_process(
    argv: Sequence[str],
    *,
    cwd: str | None,
    env: Mapping[str, str],
    on_data: OnData,
    on_error_data: OnData | None = None,
    signal: AbortSignal | None = None,
    timeout: float | None = None,
    stdin: bytes | None = None,
    watch: Callable[[asyncio.AbstractEventLoop, OnData], CommandProcess] | None = None,
) -> int:
    """Run a program to its end; its exit code, or 128 plus the signal that killed it.

    `on_data` takes what it prints, and its stderr too unless `on_error_data` does. `cwd` None is
    the process's own directory; `timeout` is in seconds. `watch` makes what watches the program, a
    `CommandProcess` by default. Raises CommandAbortedError, CommandTimeoutError, ToolError if the
    program cannot be started, and whatever `on_data` raises. In each of these cases, and when the
    task is cancelled, the whole process group is killed.
    """
    loop = asyncio.get_running_loop()
    process = watch(loop, on_data) if watch else CommandProcess(loop, on_data, on_error_data)
    await _start(process, argv, cwd, env=env, stdin=stdin)
    try:
        return await process.outcome(signal, timeout)
    except BaseException:
        process.kill()
        raise
    finally:
        await process.aclose()


async def _start(
    process: CommandProcess,
    argv: Sequence[str],
    cwd: str | None,
    *,
    env: Mapping[str, str],
    stdin: bytes | None,
) -> None:
    piped = stdin is not None or process.keeps_stdin
    try:
        await spawn(process, argv, cwd=cwd, env=env, stdin=piped)
    except OSError as error:
        raise ToolError(f"spawn {argv[0]} {error_code(error) or 'EIO'}") from error
    except ValueError as error:
        # A NUL in the command, its directory or its environment.
        raise ToolError(f"spawn {argv[0]} EINVAL: {error}") from error
    process.begin(stdin)


class CommandProcess(asyncio.SubprocessProtocol):
    """One running program: passes its output on, notices its end and can kill it.

    Made for one call of `run_process`. A subclass may treat stderr in another way, may know of the
    command's end before the program ends, and may end it in another way.
    """

    keeps_stdin = False
    """Whether standard input stays open while the program runs."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        on_data: OnData,
        on_error_data: OnData | None = None,
    ) -> None:
        self._loop = loop
        self._on_data = on_data
        self._on_error_data = on_error_data or on_data
        self._transport: asyncio.SubprocessTransport | None = None
        self._pid = 0
        self._started = time.monotonic()
        self._exit_code: int | None = None
        self._exited_after: float | None = None
        self._open_pipes = {1, 2}
        self._paused = 0
        self._timer: asyncio.TimerHandle | None = None
        self._ended: asyncio.Future[int] = loop.create_future()
        self._exited: asyncio.Future[None] = loop.create_future()
        self._closed: asyncio.Future[None] = loop.create_future()

    # --- called by asyncio --------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.SubprocessTransport, transport)
        self._pid = self._transport.get_pid()
        _running.groups.add(self._pid)

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """Output has come, from stdout (1) or stderr (2)."""
        self._pass_on(data, self._on_error_data if fd == 2 else self._on_data)

    def _pass_on(self, data: bytes, sink: OnData) -> None:
        if self._ended.done():
            return
        try:
            room = sink(data)
        except Exception as error:  # noqa: BLE001  # raised again by outcome()
            self._ended.set_exception(error)
            return
        if room is not None and not room.done():
            self._pause(room)
        if self._exit_code is not None:
            self._await_silence()

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        self._open_pipes.discard(fd)
        if self._exit_code is not None and not self._open_pipes:
            self._end()

    def process_exited(self) -> None:
        assert self._transport is not None
        code = self._transport.get_returncode()
        assert code is not None
        _running.groups.discard(self._pid)
        _settle(self._exited)
        self._command_exited(128 - code if code < 0 else code)

    def connection_lost(self, exc: Exception | None) -> None:
        _settle(self._closed)

    # --- the end ------------------------------------------------------------------------------

    def _command_exited(self, code: int) -> None:
        """The command is over with that exit code; the first to say so is right."""
        if self._exit_code is None:
            self._exit_code = code
            self._exited_after = time.monotonic() - self._started
        if self._open_pipes:
            self._await_silence()
        else:
            self._end()

    def _await_silence(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if not self._ended.done():
            self._timer = self._loop.call_later(_IDLE_SECONDS, self._silent)

    def _silent(self) -> None:
        if self._paused:
            self._await_silence()
        else:
            self._end()

    def _end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if not self._ended.done():
            assert self._exit_code is not None
            self._ended.set_result(self._exit_code)

    # --- slowing the program down -------------------------------------------------------------

    def _pause(self, room: asyncio.Future[None]) -> None:
        self._paused += 1
        for pipe in self._pipes():
            pipe.pause_reading()
        room.add_done_callback(self._resume)

    def _resume(self, _: asyncio.Future[None]) -> None:
        self._paused -= 1
        if not self._paused:
            for pipe in self._pipes():
                pipe.resume_reading()

    def _pipes(self) -> list[asyncio.ReadTransport]:
        assert self._transport is not None
        pipes = [self._transport.get_pipe_transport(fd) for fd in self._open_pipes]
        return [cast(asyncio.ReadTransport, pipe) for pipe in pipes if pipe is not None]

    # --- called by run_process ----------------------------------------------------------------

    def begin(self, stdin: bytes | None) -> None:
        """The program runs and its pipes are there: give it its whole standard input."""
        if stdin is not None:
            self.write(stdin)
            self.close_stdin()

    def write(self, data: bytes) -> None:
        """Write to the program's standard input, which is a pipe."""
        if (pipe := self._stdin()) is not None:
            pipe.write(data)

    def close_stdin(self) -> None:
        """End the program's standard input, if it has one."""
        if (pipe := self._stdin()) is not None:
            pipe.close()

    def _stdin(self) -> asyncio.WriteTransport | None:
        assert self._transport is not None
        return cast("asyncio.WriteTransport | None", self._transport.get_pipe_transport(0))

    async def outcome(self, signal: AbortSignal | None, timeout: float | None) -> int:
        """The exit code, once the command has ended; kills it on abort and timeout."""
        aborted: asyncio.Future[None] = self._loop.create_future()

        def abort() -> None:
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(_settle, aborted)

        remove = signal.add_listener(abort) if signal is not None else None
        try:
            await asyncio.wait(
                {self._ended, aborted}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            if remove is not None:
                remove()
        if self._ended.done():
            return self._ended.result()
        error = self._error(timeout, aborted=aborted.done())
        self.kill()
        # What the killed processes had written is still to be read.
        await asyncio.wait({self._ended}, timeout=_CLEAN_UP_SECONDS)
        raise error

    def _error(self, timeout: float | None, *, aborted: bool) -> PiError:
        if aborted or timeout is None:
            return CommandAbortedError()
        return CommandTimeoutError(timeout, self._exit_code, self._exited_after)

    def kill(self) -> None:
        """Kill the whole process group. Does nothing if it is gone."""
        if not self._closed.done() and self._pid:
            _kill_group(self._pid)

    async def aclose(self) -> None:
        """Close the pipes and see the program reaped; bounded in time."""
        assert self._transport is not None
        if self._timer is not None:
            self._timer.cancel()
        await finish(self._close(self._transport))
        if self._ended.done() and not self._ended.cancelled():
            self._ended.exception()  # Seen, so that asyncio does not report it as lost.
        else:
            self._ended.cancel()

    async def _close(self, transport: asyncio.SubprocessTransport) -> None:
        # An exit code can be asked for once: by the loop, and only then by the transport.
        await asyncio.wait({self._exited}, timeout=_CLEAN_UP_SECONDS)
        transport.close()
        await asyncio.wait({self._closed}, timeout=_CLEAN_UP_SECONDS)


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _kill_group(pid: int) -> None:
    if sys.platform == "win32":
        subprocess.run(["taskkill", "/F", "/T", "/PID", str(pid)], check=False, capture_output=True)
        return
    try:
        if sys.platform == "darwin":
            # A stopped group cannot fork its way out between two kills.
            os.killpg(pid, signals.SIGSTOP)
        os.killpg(pid, signals.SIGKILL)
    except ProcessLookupError:
        pass
    except PermissionError:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signals.SIGKILL)
