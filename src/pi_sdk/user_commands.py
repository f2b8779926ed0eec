"""Commands that the user runs beside the conversation, and how the model comes to know of them.

Source: sdk spec, section 14.1.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from msgspec import UnsetType

from pi_agent.types import MaybeAwaitable
from pi_ai import AbortController, AbortSignal, JsonValue
from pi_sdk.events import BashExecutionUpdateEvent
from pi_sdk.session_core import SessionCore
from pi_session import BashExecutionMessage
from pi_tools import BashOperations, LocalBashOperations, OnData
from pi_tools.user_bash import UserBashResult, execute_bash

__all__ = ("UserCommands",)

_MOST_WAITING_CHARACTERS = 256 * 1024


class UserCommands:
    """The commands that run, and those that wait to be noted in the session.

    `operations` run them; by default this machine does, in the shell that the settings name.
    """

    __slots__ = ("_core", "_ended", "_operations", "_running", "_waiting")

    def __init__(self, core: SessionCore, operations: BashOperations | None = None) -> None:
        self._core = core
        self._operations = operations
        self._running: set[AbortController] = set()
        self._ended: asyncio.Event | None = None  # for whoever waits for the last one
        self._waiting: list[BashExecutionMessage] = []

    @property
    def is_running(self) -> bool:
        """Whether a command runs."""
        return bool(self._running)

    @property
    def has_waiting(self) -> bool:
        """Whether a command has ended that is not yet noted in the session."""
        return bool(self._waiting)

    def abort(self) -> None:
        """Stop every command."""
        for controller in tuple(self._running):
            controller.abort()

    async def wait(self) -> None:
        """Wait until no command runs."""
        while self._running:
            self._ended = self._ended or asyncio.Event()
            await self._ended.wait()

    async def run(
        self,
        command: str,
        on_chunk: Callable[[str], None] | None,
        command_id: JsonValue | UnsetType,
    ) -> UserBashResult:
        """Run `command` in the session's directory and tell what it prints as it comes.

        A command whose listeners lag behind is held back. Raises what `on_chunk` and the
        operations raise.
        """
        settings = self._core.settings
        prefix = settings.shell_command_prefix
        operations = self._operations or LocalBashOperations(settings.shell_path)
        controller = AbortController()
        chunks = _Chunks(self._core, command_id)
        telling = asyncio.create_task(chunks.tell())

        def take(text: str) -> None:
            if on_chunk is not None:
                on_chunk(text)
            chunks.put(text)

        self._running.add(controller)
        try:
            return await execute_bash(
                f"{prefix}\n{command}" if prefix else command,
                self._core.session_manager.cwd,
                _HeldBack(operations, chunks),
                on_chunk=take,
                signal=controller.signal,
            )
        except BaseException:
            telling.cancel()
            raise
        finally:
            chunks.close()
            try:
                await asyncio.wait([telling])
            finally:
                telling.cancel()
                self._running.discard(controller)
                if not self._running and self._ended is not None:
                    self._ended.set()
                    self._ended = None

    def record(
        self, command: str, result: UserBashResult, *, exclude_from_context: bool, at_once: bool
    ) -> None:
        """Note a command in the session, now or when `flush` is called.

        Raises as the append methods of the session do.
        """
        self._waiting.append(
            BashExecutionMessage(
                command=command,
                output=result.output,
                exit_code=result.exit_code,
                cancelled=result.cancelled,
                truncated=result.truncated,
                full_output_path=result.full_output_path,
                exclude_from_context=exclude_from_context or None,
            )
        )
        if at_once:
            self.flush()

    def flush(self) -> None:
        """Note what waits, in the order in which the commands ended."""
        while self._waiting:
            self._core.session_manager.append_message(self._waiting[0])
            del self._waiting[0]


class _Chunks:
    """Tells the output of one command in order, as many chunks at a time as have come."""

    def __init__(self, core: SessionCore, command_id: JsonValue | UnsetType) -> None:
        self._core = core
        self._id = command_id
        self._waiting: list[str] = []
        self._size = 0
        self._changed = asyncio.Event()
        self._closed = False
        self._room: asyncio.Future[None] | None = None

    def put(self, text: str) -> None:
        """Take a chunk."""
        self._waiting.append(text)
        self._size += len(text)
        self._changed.set()

    def room(self) -> asyncio.Future[None] | None:
        """What to wait for before more is taken; None if there is room."""
        if self._size <= _MOST_WAITING_CHARACTERS:
            return None
        if self._room is None:
            self._room = asyncio.get_running_loop().create_future()
        return self._room

    def close(self) -> None:
        """No more chunks come."""
        self._closed = True
        self._changed.set()

    async def tell(self) -> None:
        """Tell the listeners until all is told and nothing more comes."""
        while self._waiting or not self._closed:
            await self._changed.wait()
            self._changed.clear()
            while self._waiting:
                waiting, self._waiting, self._size = self._waiting, [], 0
                for text in waiting:
                    await self._core.listeners.tell(BashExecutionUpdateEvent(text, self._id))
            if self._room is not None:
                if not self._room.done():
                    self._room.set_result(None)
                self._room = None


class _HeldBack:
    """Operations that wait while there is too much to tell."""

    def __init__(self, operations: BashOperations, chunks: _Chunks) -> None:
        self._operations = operations
        self._chunks = chunks

    def exec(
        self,
        command: str,
        cwd: str,
        *,
        on_data: OnData,
        signal: AbortSignal,
        timeout: float | None,
        env: Mapping[str, str],
    ) -> MaybeAwaitable[int | None]:
        """See `BashOperations.exec`."""

        def held_back(data: bytes) -> asyncio.Future[None] | None:
            room = on_data(data)
            return self._chunks.room() or room

        return self._operations.exec(
            command, cwd, on_data=held_back, signal=signal, timeout=timeout, env=env
        )
