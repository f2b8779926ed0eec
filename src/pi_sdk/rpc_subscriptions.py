"""Who is told of the events of an RPC server: listeners at once, iterators when they read.

Responses come through the same pipe as events. So a reader that is slow cannot stall the pipe;
it loses the oldest events instead, and is told how many.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import TypeAlias
from weakref import WeakSet

from pi_sdk.errors import RpcError
from pi_sdk.rpc_events import EventsLostEvent, RpcEvent

__all__ = ("RpcEvents", "RpcListener", "Subscriptions")

_log = logging.getLogger(__name__)

RpcListener: TypeAlias = Callable[[RpcEvent], object]
"""Called with every event, in order. It must not block; its errors are logged."""

_MAX_WAITING_BYTES = 1 << 26


class RpcEvents:
    """Iterates over events from the moment it was made.

    Ends when the client is closed, and raises `RpcProcessError` when the server ended by itself;
    either after the last event. Events that wait are held up to a number, and to 64 MB of their
    JSON; beyond that the oldest are dropped, and one `EventsLostEvent` stands in their place.
    """

    def __init__(self, max_waiting: int | None) -> None:
        self._max_waiting = max_waiting
        self._waiting: deque[tuple[RpcEvent, int]] = deque()
        self._bytes = 0
        self._lost = 0
        self._news = asyncio.Event()
        self._ended = False
        self._error: Callable[[], RpcError] | None = None

    def __aiter__(self) -> RpcEvents:
        return self

    async def __anext__(self) -> RpcEvent:
        while True:
            if self._lost:
                lost, self._lost = self._lost, 0
                return EventsLostEvent(lost)
            if self._waiting:
                event, size = self._waiting.popleft()
                self._bytes -= size
                return event
            if self._error is not None:
                raise self._error()
            if self._ended:
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()

    def put(self, event: RpcEvent, size: int) -> None:
        """Add an event whose record had `size` bytes; for the client."""
        if self._ended:
            return
        self._waiting.append((event, size))
        self._bytes += size
        if self._max_waiting is not None:
            self._shrink(self._max_waiting)
        self._news.set()

    def end(self, error: Callable[[], RpcError] | None) -> None:
        """Nothing more will come; `error` makes what is raised then. For the client."""
        if not self._ended:
            self._ended = True
            self._error = error
            self._news.set()

    def _shrink(self, most: int) -> None:
        waiting = self._waiting
        while len(waiting) > most or (self._bytes > _MAX_WAITING_BYTES and len(waiting) > 1):
            self._bytes -= waiting.popleft()[1]
            self._lost += 1


class Subscriptions:
    """Listeners and iterators. An iterator that nobody holds any more is forgotten."""

    def __init__(self) -> None:
        self._listeners: list[RpcListener] = []
        self._iterators: WeakSet[RpcEvents] = WeakSet()
        self._over: tuple[Callable[[], RpcError] | None] | None = None

    def add(self, listener: RpcListener) -> Callable[[], None]:
        """Add a listener at the end; returns its remover."""
        self._listeners.append(listener)

        def remove() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)

        return remove

    def iterate(self, max_waiting: int | None) -> RpcEvents:
        """A new iterator; without a number it holds whatever comes."""
        events = RpcEvents(max_waiting)
        if self._over is None:
            self._iterators.add(events)
        else:
            events.end(self._over[0])
        return events

    def tell(self, event: RpcEvent, size: int) -> None:
        """Pass an event on, whose record had `size` bytes."""
        for events in tuple(self._iterators):
            events.put(event, size)
        for listener in tuple(self._listeners):
            try:
                listener(event)
            except Exception:  # noqa: BLE001  # one listener's fault does not hide the event
                _log.exception("A listener failed on %s", event.type)

    def begin(self) -> None:
        """A server runs."""
        self._over = None

    def end(self, error: Callable[[], RpcError] | None) -> None:
        """No more events will come; `error` makes what readers are told then."""
        if self._over is None:
            self._over = (error,)
            for events in tuple(self._iterators):
                events.end(error)
            self._iterators.clear()
