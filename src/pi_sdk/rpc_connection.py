"""Commands to an RPC server and their responses, matched by id; its events go to whoever asks.

Source: rpc spec, sections 4, 7 and 11.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct

from pi_ai import JsonObject
from pi_ai.wire import encode
from pi_sdk.errors import RpcError, RpcProcessError, RpcTimeoutError
from pi_sdk.events import AgentSettledEvent, BashExecutionUpdateEvent
from pi_sdk.rpc_child import ChildProcess, find_secrets
from pi_sdk.rpc_events import (
    EventReader,
    ExtensionUiRequestEvent,
    Response,
    UnknownEvent,
)
from pi_sdk.rpc_subscriptions import Subscriptions
from pi_tools.uninterrupted import finish

__all__ = ("RpcConnection",)

_log = logging.getLogger(__name__)

_END_SECONDS = 5.0
"""How long a server may take to end in good order, and then once more after SIGTERM."""
_SHOWN_STDERR_CHARS = 4000


class _Pending(Struct, eq=False):
    """A command that waits for its response; None stands for the end of the server."""

    command: str
    response: asyncio.Future[Response | None]
    on_output: Callable[[str], object] | None


class RpcConnection:
    """A running server. It reads by itself; what is not asked for does not pile up."""

    def __init__(
        self,
        subscriptions: Subscriptions,
        *,
        on_stderr: Callable[[str], object] | None,
        on_dialog: Callable[[ExtensionUiRequestEvent], None],
    ) -> None:
        self.run_is_open = False
        """Whether a prompt was accepted that has not settled yet."""
        self._subscriptions = subscriptions
        self._on_stderr = on_stderr
        self._on_dialog = on_dialog
        self._reader = EventReader()
        self._pending: dict[str, _Pending] = {}
        self._requests = 0
        self._child: ChildProcess | None = None
        self._closing = False

    async def open(self, argv: Sequence[str], *, cwd: str | None, env: Mapping[str, str]) -> None:
        """Start the server. Raises `RpcProcessError` if its program cannot be started."""
        secrets = find_secrets(env, argv)
        try:
            self._child = await ChildProcess.start(argv, self, cwd=cwd, env=env, secrets=secrets)
        except (OSError, ValueError) as error:
            raise RpcProcessError("", f"Cannot start {argv[0]!r}: {error}") from error
        self._subscriptions.begin()

    # --- commands -----------------------------------------------------------------------------

    async def request(
        self,
        command: str,
        fields: JsonObject,
        *,
        timeout: float | None,
        on_output: Callable[[str], object] | None = None,
    ) -> Response:
        """Send a command and wait for its response; `timeout` is in seconds, None or 0: no limit.

        `on_output` is called with the output of a `bash` command. Raises `RpcError` with what the
        server says if it fails, `RpcTimeoutError` and `RpcProcessError`. Cancelled, the command
        stays sent and its response is dropped.
        """
        self._requests += 1
        record_id = f"req_{self._requests}"
        future = asyncio.get_running_loop().create_future()
        self._pending[record_id] = _Pending(command, future, on_output)
        try:
            self.send({"id": record_id, "type": command, **fields}, command)
            async with asyncio.timeout(timeout or None):
                response = await future
        except TimeoutError:
            text = f"Timeout waiting for response to {command}. {self._shown_stderr()}"
            raise RpcTimeoutError(command, text) from None
        finally:
            del self._pending[record_id]
        if response is None:
            raise self.ended_error(command)
        if not response.success:
            raise RpcError(command, response.error or "The server gives no reason")
        return response

    def send(self, record: JsonObject, command: str = "") -> None:
        """Send a record without waiting. Raises `RpcProcessError` if nobody reads it."""
        child = self._child
        if child is None or child.ended:
            raise self.ended_error(command)
        try:
            child.write(encode(record) + b"\n")
        except BrokenPipeError as error:
            text = f"Cannot send to the agent process: {error}. {self._shown_stderr()}"
            raise RpcProcessError(command, text, stderr=child.stderr) from error

    # --- the end ------------------------------------------------------------------------------

    async def aclose(self, *, at_once: bool = False) -> None:
        """End the server in good order, or else by force; nothing is left of it.

        `at_once`: by force.
        """
        child = self._child
        if child is None:
            return
        self._closing = True
        try:
            child.close_input()
            if not at_once and not await child.wait(_END_SECONDS):
                child.terminate()
                await child.wait(_END_SECONDS)
        finally:
            child.finish()
            await finish(child.wait_for_end(_END_SECONDS))  # killed, so it is over at once

    def discard(self) -> None:
        """Kill the server without waiting for its end."""
        if self._child is not None:
            self._closing = True
            self._child.finish()

    @property
    def is_running(self) -> bool:
        """Whether the server has neither ended nor been closed."""
        return self._child is not None and not self._child.ended

    @property
    def stderr(self) -> str:
        """The end of the server's standard error, secrets masked."""
        return "" if self._child is None else self._child.stderr

    def ended_error(self, command: str = "") -> RpcProcessError:
        """What whoever waits for the server is told when it has ended."""
        child = self._child
        if child is None:
            return RpcProcessError(command, "Agent process was not started")
        code = "null" if child.exit_code is None else child.exit_code
        name = child.signal or "null"
        return RpcProcessError(
            command,
            f"Agent process exited (code={code} signal={name}). {self._shown_stderr()}",
            exit_code=child.exit_code,
            signal=child.signal,
            stderr=child.stderr,
        )

    def timeout_error(self, what: str) -> RpcTimeoutError:
        """What whoever waited too long for `what` is told."""
        return RpcTimeoutError("", f"Timeout waiting for {what}. {self._shown_stderr()}")

    def _shown_stderr(self) -> str:
        return f"Stderr: {self.stderr[-_SHOWN_STDERR_CHARS:]}"

    # --- what the child does ------------------------------------------------------------------

    def line_received(self, line: bytes) -> None:
        """See `ChildOwner`. Lines that are no records are passed over."""
        record = self._reader.read(line)
        match record:
            case None:
                if line.strip():
                    _log.debug("Ignored a line of %d bytes that is no record", len(line))
                return
            case Response():
                if self._settle(record):
                    return
                record = UnknownEvent("response", _as_json(record))
            case AgentSettledEvent():
                self.run_is_open = False
            case BashExecutionUpdateEvent(id=str(record_id), delta=delta):
                pending = self._pending.get(record_id)
                if pending is not None and pending.on_output is not None:
                    _call(pending.on_output, delta)
            case ExtensionUiRequestEvent():
                self._on_dialog(record)
            case _:
                pass
        self._subscriptions.tell(record, len(line))

    def stderr_received(self, line: str) -> None:
        """See `ChildOwner`."""
        if self._on_stderr is not None:
            _call(self._on_stderr, line)

    def child_ended(self) -> None:
        """See `ChildOwner`. Whoever waits is told."""
        self.run_is_open = False
        for pending in self._pending.values():
            if not pending.response.done():
                pending.response.set_result(None)
        self._subscriptions.end(None if self._closing else self.ended_error)

    def _settle(self, response: Response) -> bool:
        """Give a response to whoever waits for it; False if nobody does."""
        if (
            response.command == "prompt"
            and response.success
            and b'"started"' in bytes(response.data)
        ):
            self.run_is_open = True
        pending = self._pending.get(response.id) if isinstance(response.id, str) else None
        if pending is None:
            return False
        if not pending.response.done():
            pending.response.set_result(response)
        return True


def _as_json(response: Response) -> JsonObject:
    record: JsonObject = {"command": response.command, "success": response.success}
    if response.id is not None:
        record["id"] = response.id
    return record | ({"error": response.error} if response.error else {})


def _call(listener: Callable[[str], object], text: str) -> None:
    try:
        listener(text)
    except Exception:  # noqa: BLE001  # a listener's fault is not the connection's
        _log.exception("A listener failed on %d characters", len(text))
