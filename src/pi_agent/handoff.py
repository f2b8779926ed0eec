"""Hands a run's events to an `async for`, one at a time.

The run waits until the consumer comes back for more, so that leaving at `tool_execution_start`
keeps the tool from running. Only text in flight may be a little ahead.
"""

from __future__ import annotations

import asyncio
from collections import deque

from pi_agent.events import AgentEvent, MessageUpdateEvent

__all__ = ("Handoff",)

_UPDATES_AHEAD = 64


class Handoff:
    """A meeting point of one run and one consumer."""

    def __init__(self) -> None:
        self._events: deque[AgentEvent] = deque()
        self._arrived = asyncio.Event()
        self._taken = asyncio.Event()
        self._open = True

    async def put(self, event: AgentEvent) -> None:
        """Offer an event; returns when the consumer has dealt with it."""
        if not self._open:
            return
        self._events.append(event)
        self._arrived.set()
        if isinstance(event, MessageUpdateEvent) and len(self._events) < _UPDATES_AHEAD:
            return
        self._taken.clear()
        await self._taken.wait()

    async def get(self) -> AgentEvent | None:
        """The next event, None when the run is over."""
        if not self._events:
            self._taken.set()
            if not self._open:
                return None
            self._arrived.clear()
            await self._arrived.wait()
        return self._events.popleft() if self._events else None

    def close(self) -> None:
        """No further events: the run is over, or the consumer left."""
        self._open = False
        self._arrived.set()
        self._taken.set()
