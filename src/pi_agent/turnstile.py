"""Lets events through one at a time, in the order they come; free while only one comes.

`asyncio.Lock` costs a coroutine for each event, and a run has thousands of them.
"""

from __future__ import annotations

import asyncio
from collections import deque

__all__ = ("Turnstile",)


class Turnstile:
    """Used as `if turnstile.busy: await turnstile.wait()`, else `busy` is set; then `leave`."""

    __slots__ = ("_waiting", "busy")

    def __init__(self) -> None:
        self.busy = False
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def wait(self) -> None:
        """Wait for one's turn; `busy` stays set in between."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.leave()  # it had come, and nobody takes it
            raise

    def leave(self) -> None:
        """Let the next one through."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self.busy = False
