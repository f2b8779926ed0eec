"""`RpcClient`: starts an RPC server, ours or upstream's, and drives it.

Source: rpc spec, section 11.
"""

from __future__ import annotations

import asyncio
import os
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import TypeAlias

from pi_ai import ImageContent, JsonObject
from pi_sdk.errors import RpcTimeoutError
from pi_sdk.rpc_commands import RpcCommands
from pi_sdk.rpc_connection import RpcConnection
from pi_sdk.rpc_dialogs import DialogHandler, Dialogs
from pi_sdk.rpc_events import Response, RpcEvent
from pi_sdk.rpc_subscriptions import RpcEvents, RpcListener, Subscriptions

__all__ = ("RpcClient",)

PathLike: TypeAlias = str | os.PathLike[str]

_REQUEST_SECONDS = 30.0
_RUN_SECONDS = 60.0
_MAX_WAITING = 10_000


class RpcClient(RpcCommands):
    """Drives an agent in a process of its own.

        async with RpcClient(model="anthropic/claude-sonnet-4-5", cwd="project") as client:
            events = client.events()
            await client.prompt("Fix the failing test")
            async for event in events:
                if event.type == "agent_settled":
                    break
            print(await client.get_last_assistant_text())

    `command` is the program to start, this library's server unless given; `["pi"]` is upstream's.
    It gets `--mode rpc`, `provider` and `model`, then `args`; `env` is added to this process's
    environment. `request_timeout` is in seconds, None or 0 for no limit. `on_stderr` gets each line
    of the server's standard error; `on_dialog` answers what upstream's extensions ask, which is
    cancelled otherwise.

    Events are those that an `AgentSession` tells, and a few that only a client meets. Use a client
    in one event loop.
    """

    def __init__(
        self,
        command: Sequence[str] | None = None,
        *,
        provider: str | None = None,
        model: str | None = None,
        args: Sequence[str] = (),
        cwd: PathLike | None = None,
        env: Mapping[str, str] | None = None,
        request_timeout: float | None = _REQUEST_SECONDS,
        on_stderr: Callable[[str], object] | None = None,
        on_dialog: DialogHandler | None = None,
    ) -> None:
        self._connection: RpcConnection | None = None  # first: `__del__` looks at it
        self._open = False
        if isinstance(command, str) or (command is not None and not command):
            raise ValueError(f"command: expected a program and its arguments, found {command!r}")
        # -P: the directory that the agent works in must not lend the server its modules.
        start = [sys.executable, "-P", "-m", "pi_sdk.rpc"] if command is None else list(command)
        start += ["--mode", "rpc"]
        if provider is not None:
            start += ["--provider", provider]
        if model is not None:
            start += ["--model", model]
        self._argv = [*start, *args]
        self._cwd = None if cwd is None else os.fspath(cwd)
        self._env = dict(env or {})
        self._request_timeout = request_timeout
        self._on_stderr = on_stderr
        self._on_dialog = on_dialog
        self._subscriptions = Subscriptions()
        self._dialogs: Dialogs | None = None

    # --- starting and ending ------------------------------------------------------------------

    async def start(self) -> None:
        """Start the server and wait until it answers.

        Raises `RpcProcessError` with what it wrote to standard error if it cannot start, and
        `RpcTimeoutError`; nothing is left of it then.
        """
        if self._open:
            raise RuntimeError("Client already started")
        dialogs = Dialogs(self._on_dialog, lambda record: connection.send(record))
        connection = RpcConnection(
            self._subscriptions, on_stderr=self._on_stderr, on_dialog=dialogs.open
        )
        self._connection, self._dialogs = connection, dialogs
        self._open = True
        try:
            await connection.open(self._argv, cwd=self._cwd, env={**os.environ, **self._env})
            await self.get_state()
        except BaseException:
            await self._close(at_once=True)
            raise

    async def aclose(self) -> None:
        """End the server: its input ends; SIGTERM after 5 seconds, SIGKILL after 5 more.

        A run is aborted, and what it had answered is in its session. Commands that still wait
        raise `RpcProcessError`. A second call does nothing.
        """
        await self._close()

    async def _close(self, *, at_once: bool = False) -> None:
        self._open = False
        try:
            if self._dialogs is not None:
                await self._dialogs.aclose()
        finally:
            if self._connection is not None:
                await self._connection.aclose(at_once=at_once)

    async def __aenter__(self) -> RpcClient:
        await self.start()
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __del__(self) -> None:
        connection = self._connection
        if connection is not None and connection.is_running:
            warnings.warn(f"{self!r} was not closed", ResourceWarning, stacklevel=2, source=self)
            with suppress(RuntimeError):  # the event loop is closed; the server is killed by now
                connection.discard()

    def __repr__(self) -> str:
        running = self._connection is not None and self._connection.is_running
        return f"<RpcClient {self._argv[0]}, {'running' if running else 'not running'}>"

    def get_stderr(self) -> str:
        """The last 64 KB of the server's standard error.

        Values of environment variables that are named like secrets, and of `--api-key`, are masked.
        """
        return "" if self._connection is None else self._connection.stderr

    # --- events -------------------------------------------------------------------------------

    def events(self, *, max_waiting: int = _MAX_WAITING) -> RpcEvents:
        """An iterator over all events from now on.

        It holds `max_waiting` events that were not read yet; beyond that the oldest are dropped and
        an `EventsLostEvent` tells how many. It ends when the client is closed, and raises
        `RpcProcessError` when the server ended by itself.
        """
        return self._subscriptions.iterate(max(1, max_waiting))

    def on_event(self, listener: RpcListener) -> Callable[[], None]:
        """Have `listener` called with every event; returns what ends that."""
        return self._subscriptions.add(listener)

    async def wait_for_idle(self, timeout: float | None = _RUN_SECONDS) -> None:
        """Wait until nothing runs; returns at once if nothing does. `timeout` is in seconds."""
        connection = self._running()
        events = self._subscriptions.iterate(None)
        try:
            async with asyncio.timeout(timeout or None):
                ends = {"agent_settled"}
                if not connection.run_is_open:
                    state = await self.get_state()
                    if not state.is_streaming and not state.is_compacting:
                        return
                    if not state.is_streaming:
                        ends.add("compaction_end")
                async for event in events:
                    if event.type in ends:
                        return
                raise connection.ended_error()
        except TimeoutError as error:
            raise _timed_out(connection, error) from None

    async def collect_events(self, timeout: float | None = _RUN_SECONDS) -> list[RpcEvent]:
        """The events from now on until the session has settled. `timeout` is in seconds.

        Raises `RpcTimeoutError` and `RpcProcessError`.
        """
        connection = self._running()
        events = self._subscriptions.iterate(None)
        try:
            async with asyncio.timeout(timeout or None):
                return await _until_settled(events, connection)
        except TimeoutError as error:
            raise _timed_out(connection, error) from None

    async def prompt_and_wait(
        self,
        message: str,
        images: Sequence[ImageContent] = (),
        *,
        timeout: float | None = _RUN_SECONDS,
    ) -> list[RpcEvent]:
        """Send a message and give all events until the session has settled.

        `timeout` is in seconds, None for no limit; the run goes on after it, and `abort` stops
        it. Raises `RpcError` if the message is refused.
        """
        connection = self._running()
        events = self._subscriptions.iterate(None)
        try:
            async with asyncio.timeout(timeout or None):
                if await self.prompt(message, images) != "started":
                    return []
                return await _until_settled(events, connection, after="agent_start")
        except TimeoutError as error:
            raise _timed_out(connection, error) from None

    # --- sending ------------------------------------------------------------------------------

    def _running(self) -> RpcConnection:
        if self._connection is None or not self._open:
            raise RuntimeError("Client not started")
        return self._connection

    async def _request(
        self,
        command: str,
        fields: JsonObject,
        *,
        timed: bool,
        on_output: Callable[[str], object] | None = None,
    ) -> Response:
        timeout = self._request_timeout if timed else None
        return await self._running().request(command, fields, timeout=timeout, on_output=on_output)


async def _until_settled(
    events: RpcEvents, connection: RpcConnection, *, after: str | None = None
) -> list[RpcEvent]:
    """The events up to `agent_settled`, of which one before an `after` is that of an earlier run.

    Raises `RpcProcessError` if it does not come.
    """
    found: list[RpcEvent] = []
    begun = after is None
    async for event in events:
        found.append(event)
        begun = begun or event.type == after
        if begun and event.type == "agent_settled":
            return found
    raise connection.ended_error()


def _timed_out(connection: RpcConnection, error: TimeoutError) -> RpcTimeoutError:
    """The error of a wait that took too long; a command that took too long has one already."""
    if isinstance(error, RpcTimeoutError):
        return error
    return connection.timeout_error("the agent to settle")
