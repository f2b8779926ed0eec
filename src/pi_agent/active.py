"""A run with the task that drives it, and the two ways to follow it: wait, or take its events.

Source: agent spec, section 7.3.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from types import TracebackType
from typing import TypeAlias

from pi_agent import failure
from pi_agent.events import AgentEvent
from pi_agent.failure import end_broken_run
from pi_agent.handoff import Handoff
from pi_agent.run import Emit, Run
from pi_agent.types import AgentMessage
from pi_ai import AbortController, AbortError

__all__ = ("ActiveRun", "RunEvents", "StartRun")


class ActiveRun:
    """A run in progress.

    `work` is driven by the run's own task: cancelling whoever waits for it aborts the run through
    its signal, so that the loop always comes to an orderly end. `done` is called when it has.
    """

    def __init__(
        self,
        run: Run,
        controller: AbortController,
        work: Coroutine[object, object, object],
        done: Callable[[], None],
    ) -> None:
        self.run = run
        self.task = asyncio.get_running_loop().create_task(work)
        self.task.add_done_callback(self._finish)
        self._controller = controller
        self._done: Callable[[], None] | None = done
        self._process = os.getpid()
        self.is_left = False

    @property
    def is_lost(self) -> bool:
        """Nothing drives the run any more: its event loop was closed, or stayed behind a fork."""
        lost = self.task.get_loop().is_closed() or self._process != os.getpid()
        return lost and not self.task.done()

    def abort(self) -> None:
        """Set the run's signal; may be called from any thread."""
        self._controller.abort()

    def leave(self) -> None:
        """Abort, and note that nobody follows the run any more."""
        self.is_left = True
        self.abort()

    def bury(self, apply: Callable[[AgentEvent], object]) -> None:
        """End a lost run with what there is; `apply` gets the events, which nobody waits for."""

        async def emit(event: AgentEvent) -> None:
            apply(event)

        with suppress(RuntimeError):  # who listens to the signal may want the closed loop
            self._controller.abort()
        self.run.emit = emit
        if not self.run.over:
            ending = end_broken_run(self.run, AbortError())
            with suppress(StopIteration):
                ending.send(None)  # nothing in it waits now
        self._finish()

    async def wait(self) -> None:
        """Wait for the end, in any event loop; raises nothing of the run."""
        loop, own = asyncio.get_running_loop(), self.task.get_loop()
        if loop is own:
            await asyncio.wait([self.task])
            return
        ended = asyncio.Event()

        def tell(_task: object) -> None:
            with suppress(RuntimeError):  # the waiting loop is closed
                loop.call_soon_threadsafe(ended.set)

        try:
            own.call_soon_threadsafe(self.task.add_done_callback, tell)
        except RuntimeError:
            return  # the run's loop is closed
        await ended.wait()

    async def settle(self) -> None:
        """Wait for the end of the run. Raises what its failure path raised.

        Cancelling the caller aborts the run, and lets it end before CancelledError is raised.
        """
        try:
            await asyncio.wait([self.task])
        except asyncio.CancelledError:
            await self.stop()
            raise
        self._finish()
        if not self.task.cancelled():
            self.task.result()

    async def stop(self) -> None:
        """Abort, and wait for the end although the caller is being cancelled; raises nothing.

        The run gets its tools' grace; after that its task is cancelled.
        """
        self.abort()
        await self._wait_firmly(2 * self.run.config.tool_grace_seconds + failure.CLEANUP_SECONDS)
        if not self.task.done():
            self.task.cancel()
            await self._wait_firmly(2 * failure.CLEANUP_SECONDS)
        if self.task.done():
            self._finish()
            if not self.task.cancelled():
                self.task.exception()  # seen, so that asyncio does not report it as lost

    def _finish(self, _task: object = None) -> None:
        """Say that the run is over, once; asyncio's own callback may come after those who wait."""
        done, self._done = self._done, None
        if done is not None:
            done()

    async def _wait_firmly(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while not self.task.done() and (left := deadline - loop.time()) > 0:
            with suppress(asyncio.CancelledError):  # the caller is being cancelled already
                await asyncio.wait([self.task], timeout=left)


StartRun: TypeAlias = Callable[[Emit], Awaitable[ActiveRun]]
"""Starts a run that also tells its events to the given function."""


class RunEvents:
    """The events of one run, for one `async for`.

    The run starts with the first event, and waits for the consumer at every event. Leaving the
    loop early aborts it; `await aclose()`, or `async with`, also waits until it has settled.
    """

    def __init__(self, start: StartRun) -> None:
        self._start = start
        self._active: ActiveRun | None = None
        self._handoff = Handoff()
        self._closed = False

    def __aiter__(self) -> RunEvents:
        return self

    async def __anext__(self) -> AgentEvent:
        if self._closed:
            raise StopAsyncIteration
        active = self._active
        if active is None:
            handoff = self._handoff
            active = self._active = await self._start(handoff.put)
            active.task.add_done_callback(lambda _task: handoff.close())
        try:
            event = await self._handoff.get()
        except asyncio.CancelledError:
            self._closed = True
            self._handoff.close()
            await active.stop()
            raise
        if event is None:
            self._closed = True
            await active.settle()
            raise StopAsyncIteration
        return event

    async def result(self) -> list[AgentMessage]:
        """Pass over the events that are left; the messages that the run added."""
        async for _ in self:
            pass
        if self._active is None:
            return []
        await self._active.settle()  # a run that failed raises it here too
        return list(self._active.run.new_messages)

    async def __aenter__(self) -> RunEvents:
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Abort the run, if it still runs, and wait until it has settled."""
        if self._closed:
            return
        self._closed = True
        self._handoff.close()
        if self._active is not None:
            if not self._active.task.done():
                self._active.leave()
            await self._active.settle()

    def __del__(self) -> None:
        # `break` in an `async for` tells nobody; dropping the iterator is the only sign.
        if self._active is None or self._closed or self._active.task.done():
            return
        self._active.leave()
        with suppress(RuntimeError):  # the event loop is closed, and the run with it
            self._active.task.get_loop().call_soon_threadsafe(self._handoff.close)
