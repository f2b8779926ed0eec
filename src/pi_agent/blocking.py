"""Runs a coroutine for a caller that is not one: a script, a thread, a notebook cell, a test.

Source: agent spec, section 8; the ways in are the agent's own.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from typing import TypeVar

__all__ = ("run_blocking",)

T = TypeVar("T")


def run_blocking(main: Callable[[], Coroutine[object, object, T]]) -> T:
    """The value of `main()`, run in an event loop and a thread of its own, with the caller's
    context variables.

    Both are gone when it returns, so that nothing is left to inherit by a fork and a running
    event loop in the caller's thread does not matter. What interrupts the caller, as Ctrl-C does,
    cancels `main()`; it is raised again once that has come to its end, or when the caller is
    interrupted once more.
    """
    outcome: Future[T] = Future()
    running: Future[Callable[[], object]] = Future()

    async def work() -> T:
        task = asyncio.current_task()
        assert task is not None  # asyncio.run makes one
        loop = asyncio.get_running_loop()
        running.set_result(lambda: loop.call_soon_threadsafe(task.cancel))
        return await main()

    def run() -> None:
        try:
            outcome.set_result(asyncio.run(work()))
        except BaseException as error:  # noqa: BLE001  # raised where the caller waits
            outcome.set_exception(error)

    context = contextvars.copy_context()
    thread = threading.Thread(target=context.run, args=(run,), name="run-sync", daemon=True)
    thread.start()
    try:
        return outcome.result()
    except BaseException:
        if not outcome.done():  # the caller was interrupted
            with suppress(RuntimeError):  # the loop was closed just now
                running.result()()
        raise
    finally:
        thread.join()
