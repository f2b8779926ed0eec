"""What an abort or a cancellation may tear apart, and what it must not, such as a file write.

What must not is seen to its end first; the interruption follows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

from pi_agent.types import MaybeAwaitable, ToolError
from pi_ai import AbortError, AbortSignal, abort_scope
from pi_tools.settled import settled

__all__ = ("abortable", "abortable_step", "check_abort", "finish", "in_thread")

P = ParamSpec("P")
T = TypeVar("T")

_ABORTED = "Operation aborted"


async def finish(call: Awaitable[T]) -> T:
    """The result of `call`, which runs to its end even if this task is cancelled meanwhile.

    Raises what `call` raises, or the CancelledError once `call` has ended.
    """
    future = asyncio.ensure_future(call)
    cancelled: asyncio.CancelledError | None = None
    while not future.done():
        try:
            await asyncio.wait({future})
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is None:
        return future.result()
    if not future.cancelled():
        future.exception()  # Seen, so that asyncio does not report it as lost.
    raise cancelled


async def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """`function(...)` run in a thread and always to its end; see `finish`."""
    return await finish(asyncio.to_thread(function, *args, **kwargs))


async def abortable_step(call: MaybeAwaitable[T], signal: AbortSignal) -> T:
    """`finish(call)`, then `check_abort`: the step is done even if an abort is reported."""
    result = await finish(settled(call))
    check_abort(signal)
    return result


@contextmanager
def abortable(signal: AbortSignal) -> Generator[None]:
    """Cancel what a block waits for when `signal` is set, with the tools' abort error."""
    try:
        with abort_scope(signal):
            yield
    except AbortError:
        raise ToolError(_ABORTED) from None


def check_abort(signal: AbortSignal) -> None:
    """Raise the tools' abort error when `signal` is set."""
    if signal.aborted:
        raise ToolError(_ABORTED)
