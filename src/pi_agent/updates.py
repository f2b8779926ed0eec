"""The partial results of one tool call, on their way from any thread to the listeners."""

from __future__ import annotations

import asyncio
import threading
from collections import deque

from pi_agent.events import ToolExecutionUpdateEvent
from pi_agent.run import Emit
from pi_agent.types import ToolResult
from pi_ai import ToolCall

__all__ = ("Updates",)


class Updates:
    """Emits what `report` is given, one after another, while the tool runs on.

    Made in the event loop's thread; a task exists only while something waits to be emitted.
    """

    def __init__(self, emit: Emit, call: ToolCall) -> None:
        self._emit = emit
        self._call = call
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._waiting: deque[ToolResult] = deque()
        self._pump: asyncio.Task[None] | None = None
        self._open = True

    def report(self, partial: ToolResult) -> None:
        """What the tool calls; does nothing once the tool has finished."""
        if not self._open:
            return
        self._waiting.append(partial)
        if threading.get_ident() == self._thread:
            self._wake()
        else:
            self._loop.call_soon_threadsafe(self._wake)

    async def finish(self) -> Exception | None:
        """Emit what still waits. Returns what a listener raised, which ends the updates."""
        self._open = False
        self._wake()
        if self._pump is None:
            return None
        try:
            await self._pump
        except Exception as error:  # noqa: BLE001  # the caller raises it when the call has ended
            return error
        return None

    def cancel(self) -> None:
        """Emit nothing more."""
        self._open = False
        self._waiting.clear()
        if self._pump is not None:
            self._pump.cancel()

    def _wake(self) -> None:
        if self._waiting and (self._pump is None or _went_well(self._pump)):
            self._pump = self._loop.create_task(self._emit_waiting())

    async def _emit_waiting(self) -> None:
        call = self._call
        while self._waiting:
            partial = self._waiting.popleft()
            await self._emit(ToolExecutionUpdateEvent(call.id, call.name, call.arguments, partial))


def _went_well(task: asyncio.Task[None]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is None
