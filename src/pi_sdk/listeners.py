"""Who is told of a session's events: one event after another, and nobody's fault is the run's."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import TypeAlias

from pi_agent.turnstile import Turnstile
from pi_sdk.events import SessionEvent

__all__ = ("SessionListener", "SessionListeners")

_log = logging.getLogger(__name__)

SessionListener: TypeAlias = Callable[[SessionEvent], object | Awaitable[object]]
"""Called with every event, in order; awaited if it returns an awaitable. Its errors are logged."""


class SessionListeners:
    """An ordered set of listeners, and the way an event takes through them."""

    def __init__(self) -> None:
        self._all: list[SessionListener] = []
        self._turnstile = Turnstile()

    def add(self, listener: SessionListener) -> Callable[[], bool]:
        """Add at the end, once; returns the remover, which is True the first time."""
        if listener not in self._all:
            self._all.append(listener)
        return lambda: self._remove(listener)

    def clear(self) -> None:
        """Tell nobody any more."""
        self._all.clear()

    @property
    def inside(self) -> bool:
        """Whether the caller is a listener at work, or a task that one has started meanwhile.

        Whoever it is must not wait for what waits for the listener.
        """
        delivery = _active(_delivery.get())
        while delivery is not None:
            if delivery.owner is self:
                return True
            delivery = _active(delivery.outer)
        return False

    async def tell(self, event: SessionEvent) -> None:
        """Call every listener; an event told by a listener itself goes ahead of the rest."""
        if not self._all:
            return
        if self.inside:
            await self._deliver(event)
            return
        if self._turnstile.busy:
            await self._turnstile.wait()
        else:
            self._turnstile.busy = True
        try:
            await self._deliver(event)
        finally:
            self._turnstile.leave()

    async def _deliver(self, event: SessionEvent) -> None:
        delivery = _Delivery(self, _active(_delivery.get()))
        token = _delivery.set(delivery)
        try:
            for listener in tuple(self._all):
                if listener in self._all:  # else it was removed by one before it
                    await _call(listener, event)
        finally:
            delivery.active = False
            _delivery.reset(token)

    def _remove(self, listener: SessionListener) -> bool:
        if listener not in self._all:
            return False
        self._all.remove(listener)
        return True


async def _call(listener: SessionListener, event: SessionEvent) -> None:
    try:
        told = listener(event)
        if inspect.isawaitable(told):
            await told
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        # Nobody cancels this task: the listener waited for something else that was cancelled.
        _log.exception("A session listener failed on %s", event.type)
    except Exception:  # noqa: BLE001  # one listener's fault is not the run's
        _log.exception("A session listener failed on %s", event.type)


class _Delivery:
    """One event on its way through the listeners, and the delivery that it is part of."""

    __slots__ = ("active", "outer", "owner")

    def __init__(self, owner: SessionListeners, outer: _Delivery | None) -> None:
        self.owner = owner
        self.outer = outer
        self.active = True


def _active(delivery: _Delivery | None) -> _Delivery | None:
    """The delivery, or the innermost one around it, that is not over."""
    while delivery is not None and not delivery.active:
        delivery = delivery.outer
    return delivery


_delivery: ContextVar[_Delivery | None] = ContextVar("pi_sdk_delivery", default=None)
