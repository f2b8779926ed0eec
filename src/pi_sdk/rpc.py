"""The RPC server: JSON lines in, responses and events out. `python -m pi_sdk.rpc`.

Standard output carries records only; whatever else is printed goes to standard error. Source: rpc
spec.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import assert_never

from msgspec import UNSET, UnsetType

from pi_ai import JsonObject, JsonValue, PiError
from pi_ai.wire import to_json_value
from pi_sdk.agent_session import AgentSession
from pi_sdk.errors import SessionCwdError
from pi_sdk.events import SessionEvent
from pi_sdk.rpc_options import RpcOptions, StartupError, open_agent, parse_arguments
from pi_sdk.rpc_streams import LineReader, LineWriter, open_standard_streams
from pi_sdk.rpc_types import (
    AbortCommand,
    ClearQueueCommand,
    Command,
    CommandError,
    FollowUpCommand,
    GetCommandsCommand,
    GetLastAssistantTextCommand,
    GetMessagesCommand,
    GetStateCommand,
    PromptCommand,
    SteerCommand,
    encode_event,
    encode_response,
    read_command,
)

__all__ = ("RpcServer", "main")

_LAST_RESPONSES_SECONDS = 1.0


class RpcServer:
    """Serves one session over a pair of byte streams.

    Commands are taken up in the order of their lines and run side by side; every one gets exactly
    one response. A client that stops reading stalls the run.
    """

    def __init__(self, session: AgentSession, reader: LineReader, writer: LineWriter) -> None:
        self._session = session
        self._reader = reader
        self._writer = writer
        self._tasks: set[asyncio.Task[None]] = set()
        self._lost: asyncio.Future[None] | None = None

    async def serve(self) -> None:
        """Serve until the client closes its side, then stop what runs.

        Raises OSError when responses and events reach the client no more.
        """
        self._lost = asyncio.get_running_loop().create_future()
        unsubscribe = self._session.subscribe(self._tell)
        reading = asyncio.create_task(self._read())
        try:
            await asyncio.wait([reading, self._lost], return_when=asyncio.FIRST_COMPLETED)
        finally:
            unsubscribe()
            self._writer.stop_waiting()  # a run that waits for the client could not end
            reading.cancel()
            await self._session.abort()
            await self._finish(reading)
            self._lost.cancel()
        if not self._lost.cancelled():
            self._lost.result()
        reading.result()

    async def _read(self) -> None:
        # Lines that are there are taken up without a pause, so that what stands behind a prompt is
        # known when its run begins.
        while (line := await self._reader.read_line()) is not None:
            task = asyncio.create_task(self._answer(line))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _finish(self, reading: asyncio.Task[None]) -> None:
        """Let the last responses out; what takes longer is cancelled."""
        tasks = {reading, *self._tasks}
        _, late = await asyncio.wait(tasks, timeout=_LAST_RESPONSES_SECONDS)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)

    async def _tell(self, event: SessionEvent) -> None:
        await self._send(encode_event(event))

    async def _send(self, record: bytes) -> None:
        """Write a record. That the client is gone ends the server, not the run it happens in."""
        try:
            await self._writer.write_line(record)
        except OSError as error:
            if self._lost is not None and not self._lost.done():
                self._lost.set_exception(error)

    async def _answer(self, line: bytes) -> None:
        name, record_id = "unknown", UNSET
        try:
            command = read_command(line)
            if command is None:
                return
            name, record_id = command.type, command.id
            await self._run(command)
        except CommandError as error:
            await self._fail(error.command, error.record_id, error)
        except Exception as error:  # noqa: BLE001  # no command ends the server
            await self._fail(name, record_id, error)

    async def _fail(self, command: str, record_id: JsonValue | UnsetType, error: Exception) -> None:
        text = str(error) or type(error).__name__
        await self._send(encode_response(command, record_id, error=text))

    async def _run(self, command: Command) -> None:
        session = self._session
        data: JsonValue | UnsetType = UNSET
        match command:
            case PromptCommand():
                await self._prompt(command)
                return
            case SteerCommand():
                await session.steer(command.message, command.images or ())
                data = {"disposition": "queued"}
            case FollowUpCommand():
                await session.follow_up(command.message, command.images or ())
                data = {"disposition": "queued"}
            case AbortCommand():
                await session.abort()
            case ClearQueueCommand():
                data = await session.clear_queue()
            case GetStateCommand():
                data = _state(session)
            case GetMessagesCommand():
                data = {"messages": to_json_value(session.messages)}
            case GetLastAssistantTextCommand():
                data = {"text": session.last_assistant_text()}
            case GetCommandsCommand():
                data = {"commands": []}
            case _:
                assert_never(command)
        await self._send(encode_response(command.type, command.id, data=data))

    async def _prompt(self, command: PromptCommand) -> None:
        """Answer when the prompt is accepted; a failure after that is told on standard error."""
        accepted = False

        def accept(disposition: str) -> None:
            nonlocal accepted
            accepted = True
            data: JsonObject = {"disposition": disposition}
            self._writer.put_line(encode_response(command.type, command.id, data=data))

        try:
            await self._session.prompt(
                command.message,
                images=command.images or (),
                streaming_behavior=command.streaming_behavior,
                on_accepted=accept,
            )
        except Exception as error:
            if not accepted:
                raise
            print(f"Error after the prompt was accepted: {error}", file=sys.stderr)  # noqa: T201


def _state(session: AgentSession) -> JsonObject:
    agent = session.agent
    state: JsonObject = {}
    if session.model is not None:
        state["model"] = {**to_json_value(session.model)}
        state["model"].pop("headers", None)
    state |= {
        "thinkingLevel": session.thinking_level,
        "isStreaming": session.is_streaming,
        "isCompacting": False,
        "steeringMode": agent.steering_queue.mode,
        "followUpMode": agent.follow_up_queue.mode,
    }
    if session.session_file is not None:
        state["sessionFile"] = str(session.session_file)
    state["sessionId"] = session.session_id
    if session.session_name is not None:
        state["sessionName"] = session.session_name
    state |= {
        "autoCompactionEnabled": False,
        "messageCount": len(session.messages),
        "pendingMessageCount": session.pending_message_count,
    }
    return state


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
        await open_agent(options) as session,
    ):
        _use_proxy(session.settings.current.http_proxy)
        server = asyncio.create_task(RpcServer(session, reader, writer).serve())
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
    try:
        options = parse_arguments(sys.argv[1:] if arguments is None else arguments)
        return asyncio.run(_serve(options))
    except (StartupError, SessionCwdError) as error:
        print(error, file=sys.stderr)  # noqa: T201
    except (PiError, OSError) as error:
        print(f"Error: {error}", file=sys.stderr)  # noqa: T201
    return 1


if __name__ == "__main__":
    sys.exit(main())
