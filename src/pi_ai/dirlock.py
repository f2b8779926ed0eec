"""The lock on a file that upstream's processes respect: an empty directory beside it.

Whoever makes `<file>.lock` holds it and keeps its modification time fresh; one that has not been
refreshed for long is a dead process's and is taken over. Source: auth spec, section 5.1.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
import time
from collections.abc import AsyncGenerator, Generator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import TypeAlias

from pi_ai.errors import LockHeldError, LockLostError
from pi_ai.turns import Turns

__all__ = (
    "STALE_SECONDS",
    "WAIT_SECONDS",
    "DirectoryLock",
    "directory_lock",
    "directory_lock_sync",
    "lock_path",
)

STALE_SECONDS = 30.0
"""How old a lock must be to count as a dead process's."""

WAIT_SECONDS = 35.0
"""How long to wait for a lock: a dead process's may be dated a second ahead."""

# Upstream's start-up takes a lock that is 10 s old for a dead process's.
_HEARTBEAT_SECONDS = 4.0
_RETRY_SECONDS = 1.0

_log = logging.getLogger("pi_ai")
_turns = Turns()

_Stamp: TypeAlias = tuple[int, int]
"""Inode and modification time in ns: what tells our directory from another's in its place."""


def lock_path(file: str | os.PathLike[str]) -> Path:
    """The directory that locks `file`, whose symbolic links are followed."""
    return Path(os.path.realpath(file) + ".lock")


class DirectoryLock:
    """A lock that is held; given by `directory_lock` and `directory_lock_sync`.

    A thread keeps it fresh, so that a busy event loop does not lose it.
    """

    def __init__(self, path: Path, *, stale_seconds: float) -> None:
        """Takes up a directory that was just made; `path` is the directory."""
        self.path = path
        self._stale_seconds = stale_seconds
        self._stamp = _stamp_of(path)
        self._lost = False
        self._guard = threading.Lock()
        self._released = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"lock {path.name}", daemon=True)
        self._thread.start()

    def __repr__(self) -> str:
        return f"<DirectoryLock {self.path}{', lost' if self._lost else ''}>"

    def check(self) -> None:
        """Call this right before writing. Raises `LockLostError` if the lock is another's now."""
        with self._guard:
            if self._lost or not self._is_ours():
                self._lost = True
                raise LockLostError(
                    f"Lost the lock {self.path}: another process took it. Nothing was written."
                )

    def release(self) -> None:
        """Give the lock up. One that is another's is left alone; a second call does nothing."""
        if self._released.is_set():
            return
        self._released.set()
        self._thread.join()
        if self._lost or not self._is_ours():
            _log.warning("The lock %s was taken away while it was held", self.path)
            return
        with suppress(FileNotFoundError):
            self.path.rmdir()

    def _is_ours(self) -> bool:
        try:
            return _stamp_of(self.path) == self._stamp
        except FileNotFoundError:
            return False

    def _beat(self) -> None:
        """Keep the directory's time fresh until it is released or lost."""
        pause = _HEARTBEAT_SECONDS
        fresh_until = time.monotonic() + self._stale_seconds
        while not self._released.wait(pause):
            try:
                with self._guard:
                    if self._lost or not self._refresh():
                        self._lost = True
                        return
            except OSError:  # the disk may come back before the lock counts as dead
                if time.monotonic() >= fresh_until:
                    self._lost = True
                    return
                pause = _RETRY_SECONDS
            else:
                pause = _HEARTBEAT_SECONDS
                fresh_until = time.monotonic() + self._stale_seconds

    def _refresh(self) -> bool:
        if not self._is_ours():
            return False
        os.utime(self.path)
        self._stamp = _stamp_of(self.path)
        return True


@asynccontextmanager
async def directory_lock(
    file: str | os.PathLike[str],
    *,
    stale_seconds: float = STALE_SECONDS,
    wait_seconds: float = WAIT_SECONDS,
) -> AsyncGenerator[DirectoryLock]:
    """Hold the lock on `file` for the block; the waiting can be cancelled.

    Tasks of this process get it in the order they asked. `file` need not be there, its directory
    must. Raises `LockHeldError` after `wait_seconds`, OSError if there can be no lock.
    """
    path = lock_path(file)
    deadline = time.monotonic() + wait_seconds
    waiting = asyncio.timeout(wait_seconds)
    try:
        async with waiting, _turns.take(str(path)):
            waiting.reschedule(None)
            lock = _try_lock(path, stale_seconds)
            delays = _growing_delays()
            while lock is None:
                await asyncio.sleep(_left(path, deadline, next(delays)))
                lock = _try_lock(path, stale_seconds)
            try:
                yield lock
            finally:
                lock.release()
    except TimeoutError as error:
        if waiting.expired():
            raise _held(path) from error
        raise


@contextmanager
def directory_lock_sync(
    file: str | os.PathLike[str],
    *,
    stale_seconds: float = STALE_SECONDS,
    wait_seconds: float = WAIT_SECONDS,
) -> Generator[DirectoryLock]:
    """`directory_lock` for code that is not async. It blocks its thread, and stands in no line."""
    path = lock_path(file)
    deadline = time.monotonic() + wait_seconds
    delays = _growing_delays()
    while (lock := _try_lock(path, stale_seconds)) is None:
        time.sleep(_left(path, deadline, next(delays)))
    try:
        yield lock
    finally:
        lock.release()


# --- taking it --------------------------------------------------------------------------------


def _growing_delays() -> Iterator[float]:
    """Seconds between two tries."""
    delay = 0.01
    while True:
        yield delay * (1 + os.urandom(1)[0] / 255)
        delay = min(delay * 2, 1.0)


def _left(path: Path, deadline: float, delay: float) -> float:
    """`delay`, or the time left if that is less. Raises `LockHeldError` when there is none."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise _held(path)
    return min(delay, left)


def _held(path: Path) -> LockHeldError:
    return LockHeldError(
        f"Lock file is already being held: {path}. Wait for the program that holds it, or remove "
        "the directory if none does."
    )


def _try_lock(path: Path, stale_seconds: float) -> DirectoryLock | None:
    """The lock, or None while it is another's. Raises OSError for what cannot be a lock."""
    made = _make(path)
    if not made:
        try:
            found = _stamp_of(path)
        except FileNotFoundError:
            made = _make(path)
        else:
            if _is_stale(found, stale_seconds):
                made = _take_over(path, found)
    if not made:
        return None
    try:
        return DirectoryLock(path, stale_seconds=stale_seconds)
    except FileNotFoundError:
        return None  # another took it for a dead process's
    except BaseException:
        with suppress(OSError):
            path.rmdir()
        raise


def _make(path: Path) -> bool:
    # Windows refuses for a moment after the directory was removed.
    tries_left = 5 if sys.platform == "win32" else 1
    while True:
        tries_left -= 1
        try:
            path.mkdir()
        except FileExistsError:
            return False
        except PermissionError:
            if not tries_left:
                raise
        else:
            return True


def _take_over(path: Path, found: _Stamp) -> bool:
    """Put our lock in the place of a dead process's, unless another is there by now."""
    with suppress(FileNotFoundError):
        if _stamp_of(path) != found:
            return False
        path.rmdir()
    return _make(path)


def _is_stale(stamp: _Stamp, stale_seconds: float) -> bool:
    return stamp[1] < time.time_ns() - stale_seconds * 1e9


def _stamp_of(path: Path) -> _Stamp:
    status = os.stat(path, follow_symlinks=False)
    return status.st_ino, status.st_mtime_ns
