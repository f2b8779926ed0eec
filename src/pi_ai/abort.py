"""Abort signals: the public way to stop work from outside, from any thread.

`abort_scope` turns a signal into task cancellation inside a block, and back into an `AbortError`
outside it, so that code in between needs no checks of its own.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pi_ai.errors import AbortError

__all__ = ("AbortController", "AbortSignal", "abort_scope")


class AbortSignal:
    """Tells whether, and why, work was aborted. Made by an `AbortController`."""

    __slots__ = ("_aborted", "_listeners", "_lock", "_reason")

    def __init__(self) -> None:
        self._aborted = False
        self._reason: object = None
        self._listeners: list[Callable[[], None]] = []
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<AbortSignal {'aborted' if self._aborted else 'clear'}>"

    @property
    def aborted(self) -> bool:
        """True from the first `abort()` on."""
        return self._aborted

    @property
    def reason(self) -> object:
        """What was passed to `abort()`."""
        return self._reason

    def add_listener(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call `listener` once on abort, at once if that has happened; returns the remover.

        The listener runs in the thread that aborts and must neither block nor raise.
        """
        with self._lock:
            if not self._aborted:
                self._listeners.append(listener)
                return lambda: self._remove(listener)
        listener()
        return lambda: None

    def throw_if_aborted(self) -> None:
        """Raise `AbortError` when the signal is set."""
        if self._aborted:
            raise AbortError

    def _remove(self, listener: Callable[[], None]) -> None:
        with self._lock:
            if listener in self._listeners:
                self._listeners.remove(listener)

    def _abort(self, reason: object) -> None:
        with self._lock:
            if self._aborted:
                return
            self._aborted = True
            self._reason = reason
            listeners, self._listeners = self._listeners, []
        for listener in listeners:
            listener()


class AbortController:
    """Owns one `signal`; `abort()` sets it, once, from any thread."""

    __slots__ = ("signal",)

    def __init__(self) -> None:
        self.signal = AbortSignal()

    def abort(self, reason: object = None) -> None:
        """Set the signal and call its listeners. Later calls do nothing."""
        self.signal._abort(reason)  # pyright: ignore[reportPrivateUsage]  # one class in two faces


@contextmanager
def abort_scope(signal: AbortSignal | None) -> Iterator[None]:
    """Cancel the current task's work in this block when `signal` is set.

    Leaves the block with `AbortError` if the signal ended it. A cancellation that came from
    elsewhere stays a `CancelledError`.
    """
    if signal is None:
        yield
        return
    signal.throw_if_aborted()
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("abort_scope needs a running asyncio task")
    loop = task.get_loop()
    state = _Scope(task)
    remove = signal.add_listener(lambda: loop.call_soon_threadsafe(state.cancel))
    try:
        yield
    except asyncio.CancelledError:
        if state.left():
            raise AbortError from None
        raise
    finally:
        remove()
        state.open = False


class _Scope:
    """One cancellation of a task that `abort_scope` issued, and takes back."""

    __slots__ = ("cancelled", "open", "task")

    def __init__(self, task: asyncio.Task[object]) -> None:
        self.task = task
        self.open = True
        self.cancelled = False

    def cancel(self) -> None:
        if self.open:
            self.cancelled = True
            self.task.cancel()

    def left(self) -> bool:
        """Take our cancellation back; True if no other one is pending."""
        return self.cancelled and self.task.uncancel() == 0
