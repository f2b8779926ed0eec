"""Abort signals: the public way to stop work from outside, from any thread.

`abort_scope` turns a signal into task cancellation inside a block, and back into an `AbortError`
outside it, so that code in between needs no checks of its own.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from types import TracebackType

from pi_ai.errors import AbortError

__all__ = ("AbortController", "AbortSignal", "abort_scope")


class AbortSignal:
    """Tells whether, and why, work was aborted. Made by an `AbortController`."""

    __slots__ = ("_aborted", "_listeners", "_lock", "_reason")

    def __init__(self) -> None:
        self._aborted = False
        self._reason: object = None
        self._listeners: list[Callable[[], object]] = []
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

    def add_listener(self, listener: Callable[[], object]) -> Callable[[], None]:
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

    def _remove(self, listener: Callable[[], object]) -> None:
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
        self.signal._abort(reason)  # pyright: ignore[reportPrivateUsage]  # nobody else may


class abort_scope:  # used like a function: `with abort_scope(signal):`
    """Cancel the current task's work in a `with` block when `signal` is set.

    Leaves the block with `AbortError` if the signal ended it, or was set before. A cancellation
    that came from elsewhere stays a `CancelledError`. With None it does nothing.
    """

    __slots__ = ("_before", "_cancelled", "_open", "_remove", "_signal", "_task")

    def __init__(self, signal: AbortSignal | None) -> None:
        self._signal = signal
        self._task: asyncio.Task[object] | None = None
        self._remove: Callable[[], None] | None = None
        self._open = False
        self._cancelled = False
        self._before = 0

    def __enter__(self) -> None:
        if self._signal is None:
            return
        self._signal.throw_if_aborted()
        self._task = asyncio.current_task()
        if self._task is None:
            raise RuntimeError("abort_scope needs a running asyncio task")
        # A task that caught a cancellation and went on keeps counting it.
        self._before = self._task.cancelling()
        self._open = True
        self._remove = self._signal.add_listener(self._on_abort)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._open = False
        if self._remove is not None:
            self._remove()
        if not self._cancelled or self._task is None:
            return
        others = self._task.uncancel() > self._before
        if kind is not None and issubclass(kind, asyncio.CancelledError) and not others:
            raise AbortError from None

    def _on_abort(self) -> None:
        if self._task is not None:
            self._task.get_loop().call_soon_threadsafe(self._cancel)

    def _cancel(self) -> None:
        if self._open and self._task is not None:
            self._cancelled = True
            self._task.cancel()
