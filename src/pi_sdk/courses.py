"""One prompt at a time, from its arrival until `agent_settled` has been told.

Source: sdk spec, sections 10.1, 10.4 and 16 (1, 8).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from msgspec import Struct

from pi_agent import AgentMessage
from pi_ai import AssistantMessage
from pi_sdk.events import AgentSettledEvent
from pi_sdk.listeners import SessionListeners

__all__ = ("Course", "Courses")

_log = logging.getLogger(__name__)


class Course(Struct, eq=False):
    """One prompt and all that follows from it.

    `aborted` may be set before anything runs. `failure` is what ended it that is no matter of the
    provider: a message could not be stored, a hook raised.
    """

    message: AgentMessage
    settled: asyncio.Event
    on_accepted: Callable[[], object] | None = None
    accepted: bool = False
    aborted: bool = False
    failure: Exception | None = None

    def accept(self) -> None:
        """From here on the prompt will be answered. Raises what `on_accepted` raises."""
        if self.on_accepted is not None:
            self.on_accepted()
        self.accepted = True


class Courses:
    """Lets one course run at a time and tells its end; `run` does the work."""

    def __init__(
        self,
        listeners: SessionListeners,
        run: Callable[[Course], Awaitable[AssistantMessage | None]],
    ) -> None:
        self.current: Course | None = None
        self._listeners = listeners
        self._run = run
        self._latest: Course | None = None  # the current one, or the last that was
        self._deferred: Course | None = None  # what a listener of `agent_settled` asked for
        self._told = asyncio.Event()  # clear while `agent_settled` is on its way
        self._told.set()

    def reserve(
        self, message: AgentMessage, on_accepted: Callable[[], object] | None = None
    ) -> Course:
        """Make a prompt the current course; there must be none."""
        course = Course(message, asyncio.Event(), on_accepted)
        self.current = self._latest = course
        return course

    def give_up(self, course: Course) -> None:
        """End a course that never began: there is nothing to tell of it."""
        self.current = None
        course.settled.set()

    async def see_through(self, course: Course) -> AssistantMessage | None:
        """Run the course, tell its end, and then do what a listener of that asked for.

        In such a listener it gives None at once: whoever waits for the course before waits for
        this one too. Raises what `run` raises, when the end has been told.
        """
        if self._listeners.inside and not self._told.is_set():
            self._deferred = course
            return None
        try:
            await self._told.wait()
        except BaseException:
            self.give_up(course)
            raise
        try:
            answer = await self._settle(course)
        except Exception:
            await self._settle_deferred()
            raise
        except BaseException:  # cancelled: nothing else starts
            self._drop_deferred()
            raise
        await self._settle_deferred()
        return answer

    @property
    def is_settled(self) -> bool:
        """Whether the end of every course has been told."""
        return self._latest is None or self._latest.settled.is_set()

    async def wait_for_latest(self) -> None:
        """Wait until the current course, or the one whose end is being told, has settled."""
        if self._latest is not None:
            await self._latest.settled.wait()

    async def wait_for_all(self) -> None:
        """Wait until there is nothing to settle."""
        while self._latest is not None and not self._latest.settled.is_set():
            await self._latest.settled.wait()

    async def _settle(self, course: Course) -> AssistantMessage | None:
        try:
            return await self._run(course)
        except asyncio.CancelledError:
            course.aborted = True
            raise
        finally:
            self.current = None
            self._told.clear()
            try:
                if course.accepted:  # else nobody knows of it
                    await self._listeners.tell(AgentSettledEvent(course.aborted))
            finally:
                self._told.set()
                course.settled.set()

    async def _settle_deferred(self) -> None:
        try:
            while self._deferred is not None:
                course, self._deferred = self._deferred, None
                await self._settle(course)
        finally:
            self._drop_deferred()

    def _drop_deferred(self) -> None:
        course, self._deferred = self._deferred, None
        if course is not None:
            _log.warning("A prompt made in a listener of agent_settled was dropped")
            self.give_up(course)
