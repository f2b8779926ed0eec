"""One writer per file: calls for the same file run one after another, in the order they came.

Process-wide, so that tools of different agents, event loops and threads respect each other.
Source: tools spec, section 3.7.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable
from concurrent.futures import Future
from contextlib import asynccontextmanager, suppress
from typing import TypeVar

__all__ = ("file_turn", "with_file_mutation_queue")

T = TypeVar("T")


class _Queues:
    """The last turn of each file that somebody is changing or waiting to change."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last: dict[str, Future[None]] = {}

    def __len__(self) -> int:
        return len(self._last)

    def join(self, key: str) -> tuple[Future[None], Future[None] | None]:
        """A new turn for `key`, and the turn before it, if any."""
        turn: Future[None] = Future()
        with self._lock:
            before = self._last.get(key)
            self._last[key] = turn
        return turn, before

    def leave(self, key: str, turn: Future[None]) -> None:
        with self._lock:
            if self._last.get(key) is turn:
                del self._last[key]
        turn.set_result(None)


_queues = _Queues()


async def with_file_mutation_queue(
    path: str | os.PathLike[str], change: Callable[[], Awaitable[T]]
) -> T:
    """`await change()`, alone among all changes of the file at the absolute `path`."""
    async with file_turn(path):
        return await change()


@asynccontextmanager
async def file_turn(path: str | os.PathLike[str]) -> AsyncGenerator[None]:
    """Hold the file at the absolute `path`, symbolic links followed, for the block."""
    # Not in a thread: the order of the calls decides the order of the turns.
    key = _key(path)
    turn, before = _queues.join(key)
    try:
        if before is not None:
            await _end_of(before)
        yield
    finally:
        if before is None or before.done():
            _queues.leave(key, turn)
        else:
            # Cancelled while waiting: those behind must still wait for the one before.
            before.add_done_callback(lambda _: _queues.leave(key, turn))


def _key(path: str | os.PathLike[str]) -> str:
    return os.path.normcase(os.path.realpath(path))


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
