"""How long a run waits, after an abort, for code that does not stop by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine
from typing import TypeVar

from pi_ai import AbortError, AbortSignal

__all__ = ("run_within_grace", "wait_within_grace")

T = TypeVar("T")


async def wait_within_grace(work: Awaitable[T], signal: AbortSignal, seconds: float) -> T:
    """The value of `work`, which is cancelled if it still runs `seconds` after an abort.

    Raises `AbortError` if that happens, else what `work` raises. `work` runs in this task: one
    that swallows its cancellation is waited for.
    """
    loop = asyncio.get_running_loop()
    limit = asyncio.timeout(None)
    waiting = True

    def arm() -> None:
        if waiting:
            limit.reschedule(loop.time() + seconds)

    try:
        async with limit:
            remove = signal.add_listener(lambda: loop.call_soon_threadsafe(arm))
            try:
                return await work
            finally:
                waiting = False
                remove()
    except TimeoutError as error:
        if limit.expired():
            raise AbortError from error
        raise


async def run_within_grace(
    work: Coroutine[object, object, T], signal: AbortSignal, seconds: float
) -> T:
    """As `wait_within_grace`, with `work` in a task of its own that can be left behind.

    Work that swallows its cancellation is given up after another `seconds`. Raises `AbortError`
    if `work` was stopped for an abort, and CancelledError if it was cancelled by anyone else.
    """
    loop = asyncio.get_running_loop()
    task = loop.create_task(work)
    over: asyncio.Future[None] = loop.create_future()
    timers: list[asyncio.TimerHandle] = []

    def finish(_task: object = None) -> None:
        if not over.done():
            over.set_result(None)

    def stop() -> None:
        task.cancel()
        timers.append(loop.call_later(seconds, finish))

    def arm() -> None:
        if not over.done():
            timers.append(loop.call_later(seconds, stop))

    task.add_done_callback(finish)
    remove = signal.add_listener(lambda: loop.call_soon_threadsafe(arm))
    try:
        await over
    except asyncio.CancelledError:
        task.cancel()
        await asyncio.wait([task], timeout=seconds)
        task.add_done_callback(_look_at)
        raise
    finally:
        remove()
        for timer in timers:
            timer.cancel()
    if not task.done() or (task.cancelled() and signal.aborted):
        task.add_done_callback(_look_at)
        raise AbortError
    return task.result()


def _look_at(task: asyncio.Task[T]) -> None:
    """Take note of a result nobody waits for, so that asyncio does not report it as lost."""
    if not task.cancelled():
        task.exception()
