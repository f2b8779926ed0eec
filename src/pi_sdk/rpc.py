"""The RPC server: JSON lines in, responses and events out. `python -m pi_sdk.rpc`.

Standard output carries records only; whatever else is printed goes to standard error. Source: rpc
spec.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Collection, Coroutine, Sequence
from contextlib import suppress

from msgspec import UnsetType

from pi_ai import JsonValue, PiError
from pi_sdk.agent_session import AgentSession
from pi_sdk.errors import SessionCwdError
from pi_sdk.events import SessionEvent
from pi_sdk.rpc_call import Call, Handlers
from pi_sdk.rpc_options import RpcOptions, StartupError, parse_arguments, tell_user
from pi_sdk.rpc_requests import Command
from pi_sdk.rpc_run_commands import RUN_HANDLERS
from pi_sdk.rpc_session_commands import REPLACING_COMMANDS, SESSION_HANDLERS
from pi_sdk.rpc_setting_commands import SETTING_HANDLERS
from pi_sdk.rpc_start import open_runtime
from pi_sdk.rpc_streams import (
    LineReader,
    LineWriter,
    open_missing_streams,
    open_standard_streams,
)
from pi_sdk.rpc_types import (
    CommandError,
    encode_event,
    encode_response,
    read_command,
)
from pi_sdk.runtime import AgentSessionRuntime

__all__ = ("HANDLERS", "RpcServer", "main")

_LAST_RESPONSES_SECONDS = 1.0
_READ_AHEAD_LINES = 1000
"""How many commands may wait for a client that does not read; the end of input is seen behind."""

HANDLERS: Handlers = {**RUN_HANDLERS, **SETTING_HANDLERS, **SESSION_HANDLERS}


class RpcServer:
    """Serves the current session of a runtime over a pair of byte streams.

    Commands are taken up in the order of their lines and run side by side; every one gets exactly
    one response. What stands behind a command that replaces the session waits for the new one. A
    client that stops reading stalls the run and is not listened to.
    """

    def __init__(
        self, runtime: AgentSessionRuntime, reader: LineReader, writer: LineWriter
    ) -> None:
        self._runtime = runtime
        self._reader = reader
        self._writer = writer
        self._lines: asyncio.Queue[bytes | None] = asyncio.Queue(_READ_AHEAD_LINES)
        self._tasks: set[asyncio.Task[None]] = set()
        self._lost: asyncio.Future[None] | None = None
        self._unsubscribe: Callable[[], object] | None = None

    async def serve(self) -> None:
        """Serve until the client closes its side, then stop what runs. The runtime stays open.

        Raises OSError when responses and events reach the client no more.
        """
        self._lost = asyncio.get_running_loop().create_future()
        self._listen_to(self._runtime.session)
        self._runtime.on_replace = self._listen_to
        reading = asyncio.create_task(self._read())
        taking_up = asyncio.create_task(self._take_up())
        try:
            ends = [reading, taking_up, self._lost]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await self._finish(reading, taking_up)
            self._lost.cancel()
        if not self._lost.cancelled():
            self._lost.result()
        for task in (reading, taking_up):
            if not task.cancelled():
                task.result()

    def _listen_to(self, session: AgentSession) -> None:
        self._stop_listening()
        self._unsubscribe = session.subscribe(self._tell)

    def _stop_listening(self) -> None:
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None

    # --- in -----------------------------------------------------------------------------------

    async def _read(self) -> None:
        line: bytes | None = b""
        while line is not None:
            line = await self._reader.read_line()
            await self._lines.put(line)

    async def _take_up(self) -> None:
        # Lines that are there are taken up without a pause, so that what stands behind a prompt is
        # known when its run begins.
        while (line := await self._lines.get()) is not None:
            await self._writer.wait_writable()
            try:
                command = read_command(line)
            except CommandError as error:
                self._start(self._fail(error.command, error.record_id, error))
                continue
            if command is None:
                continue
            task = self._start(self._run(command))
            if isinstance(command, REPLACING_COMMANDS):
                await asyncio.wait([task])

    def _start(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _run(self, command: Command) -> None:
        def answer(data: object) -> None:
            self._writer.put_line(encode_response(command.type, command.id, data=data))

        await self._writer.wait_writable()  # else answers to many lines would pile up
        call = Call(self._runtime, answer)
        try:
            data = await HANDLERS[type(command)](call, command)
            if not call.answered:
                await self._send(encode_response(command.type, command.id, data=data))
        except Exception as error:  # noqa: BLE001  # no command ends the server
            if not call.answered:
                await self._fail(command.type, command.id, error)

    async def _fail(self, command: str, record_id: JsonValue | UnsetType, error: Exception) -> None:
        text = str(error) or type(error).__name__
        await self._send(encode_response(command, record_id, error=text))

    # --- out ----------------------------------------------------------------------------------

    async def _tell(self, event: SessionEvent) -> None:
        await self._send(encode_event(event))

    async def _send(self, record: bytes) -> None:
        """Write a record. That the client is gone ends the server, not the run it happens in."""
        try:
            await self._writer.write_line(record)
        except OSError as error:
            if self._lost is not None and not self._lost.done():
                self._lost.set_exception(error)

    # --- the end ------------------------------------------------------------------------------

    async def _finish(self, reading: asyncio.Task[None], taking_up: asyncio.Task[None]) -> None:
        """Tell no more events, take up what was read, stop what runs, let the last responses out.

        What takes longer is cancelled.
        """
        self._stop_listening()
        self._runtime.on_replace = None
        self._writer.stop_waiting()  # a run that waits for the client could not end
        if not reading.done():
            reading.cancel()
            taking_up.cancel()
        await _settle({reading, taking_up})
        self._runtime.session.abort_bash()
        await self._runtime.session.abort()
        await _settle(self._tasks)


async def _settle(tasks: Collection[asyncio.Task[None]]) -> None:
    """Wait for tasks a while, then cancel them."""
    if not tasks:
        return
    _, late = await asyncio.wait(tasks, timeout=_LAST_RESPONSES_SECONDS)
    for task in late:
        task.cancel()
    if late:
        await asyncio.wait(late)


# --- the process ------------------------------------------------------------------------------

_SIGNALS = {"SIGTERM": 143, "SIGHUP": 129, "SIGINT": 130}
"""What ends the server in good order, and the exit status that tells so."""


async def _serve(options: RpcOptions) -> int:
    """Serve standard input and output until the client leaves or a signal comes."""
    loop = asyncio.get_running_loop()
    stopped: asyncio.Future[int] = loop.create_future()
    for name, status in _SIGNALS.items():
        if hasattr(signal, name):
            with suppress(NotImplementedError):  # event loops on Windows take no handlers
                loop.add_signal_handler(getattr(signal, name), _stop, stopped, status)
    os.environ["PI_CODING_AGENT"] = "true"
    os.environ["AI_AGENT"] = "pi"
    async with (
        open_standard_streams() as (reader, writer),
        await open_runtime(options) as runtime,
    ):
        _use_proxy(runtime.session.settings.current.http_proxy)
        server = asyncio.create_task(RpcServer(runtime, reader, writer).serve())
        await asyncio.wait([server, stopped], return_when=asyncio.FIRST_COMPLETED)
        if not server.done():
            server.cancel()
            await asyncio.wait([server])
            return stopped.result()
        server.result()
    return 0


def _use_proxy(proxy: str | None) -> None:
    """Let requests and commands go through the proxy of the settings, unless another is set."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY"):
        if proxy and not os.environ.get(name):
            os.environ[name] = proxy


def _stop(stopped: asyncio.Future[int], status: int) -> None:
    if stopped.done():
        os._exit(status)  # asked twice: the client does not want to wait
    stopped.set_result(status)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the server; returns the exit status. Failures to start are one line on stderr."""
    open_missing_streams()
    try:
        if sys.__stdout__ is None:
            raise StartupError("Error: Standard output is closed: nobody could read the answers")
        options = parse_arguments(sys.argv[1:] if arguments is None else arguments)
        return asyncio.run(_serve(options))
    except (StartupError, SessionCwdError) as error:
        tell_user(str(error))
    except (PiError, OSError) as error:
        tell_user(f"Error: {error}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
