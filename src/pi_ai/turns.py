"""Turns: what must happen one after another, per name, in the order it was asked for.

For the tasks of one process, in any event loop and thread. Between processes there is `dirlock`.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator
from concurrent.futures import Future
from contextlib import asynccontextmanager, suppress

__all__ = ("Turns",)


class Turns:
    """Waiting lines by name; `len` is the number of names somebody holds or waits for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last: dict[str, Future[None]] = {}

    def __len__(self) -> int:
        return len(self._last)

    @asynccontextmanager
    async def take(self, name: str) -> AsyncGenerator[None]:
        """Hold `name` for the block, once all who asked before have left it."""
        turn, before = self._join(name)
        try:
            if before is not None:
                await _end_of(before)
            yield
        finally:
            if before is None or before.done():
                self._leave(name, turn)
            else:
                # Cancelled while waiting: those behind must still wait for the one before.
                before.add_done_callback(lambda _: self._leave(name, turn))

    def _join(self, name: str) -> tuple[Future[None], Future[None] | None]:
        """A new turn for `name`, and the turn before it, if any."""
        turn: Future[None] = Future()
        with self._lock:
            before = self._last.get(name)
            self._last[name] = turn
        return turn, before

    def _leave(self, name: str, turn: Future[None]) -> None:
        with self._lock:
            if self._last.get(name) is turn:
                del self._last[name]
        turn.set_result(None)


async def _end_of(turn: Future[None]) -> None:
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()

    def tell(_: Future[None]) -> None:
        with suppress(RuntimeError):  # the waiting loop is closed
            loop.call_soon_threadsafe(_settle, ended)

    turn.add_done_callback(tell)
    await ended


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
