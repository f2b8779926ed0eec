"""Who is told of an agent's events, in which order."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from pi_agent.events import AgentEvent

__all__ = ("Listener", "Listeners")

Listener: TypeAlias = Callable[[AgentEvent], object | Awaitable[object]]
"""Called with every event, one listener after another; awaited if it returns an awaitable."""


class Listeners:
    """An ordered set of listeners that may change while an event is delivered."""

    def __init__(self) -> None:
        # None stands for a listener removed while an event is on its way past it.
        self._all: list[Listener | None] = []
        self._telling = False
        self._has_holes = False

    def add(self, listener: Listener) -> Callable[[], bool]:
        """Add at the end, once; returns the remover, which is True the first time."""
        if listener not in self._all:
            self._all.append(listener)
        return lambda: self._remove(listener)

    async def tell(self, event: AgentEvent) -> None:
        """Call every listener, those added meanwhile too. Raises what one raises, and stops.

        Not to be called again before it is done.
        """
        self._telling = True
        try:
            for listener in self._all:  # a list iterator reaches what is appended meanwhile
                if listener is not None:
                    told = listener(event)
                    if told is not None and inspect.isawaitable(told):
                        await told
        finally:
            self._telling = False
            if self._has_holes:
                self._has_holes = False
                self._all = [listener for listener in self._all if listener is not None]

    def _remove(self, listener: Listener) -> bool:
        if listener not in self._all:
            return False
        if self._telling:
            self._all[self._all.index(listener)] = None
            self._has_holes = True
        else:
            self._all.remove(listener)
        return True
