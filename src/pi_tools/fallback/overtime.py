"""A limit on how long a pattern may take: some take longer than anybody lives."""

from __future__ import annotations

import signal
import sys
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

__all__ = ("Overtime", "TooSlowError")


class TooSlowError(Exception):
    """The pattern took longer than it may."""


class Overtime:
    """Ends matching that takes longer than `seconds`, by a timer of the process.

    Regular expressions look for signals while they match. Where there are no such timers, as on
    Windows, there is no limit but the caller's abort.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        if sys.platform != "win32":
            signal.signal(signal.SIGALRM, _expire)

    @contextmanager
    def limit(self, what: str) -> Generator[None]:
        """Raise TooSlowError, which names `what` is searched, if the block takes too long."""
        if sys.platform == "win32":
            yield
            return
        signal.setitimer(signal.ITIMER_REAL, self._seconds)
        try:
            yield
        except _Expired:
            raise TooSlowError(
                f"The pattern takes more than {self._seconds:g} seconds on {what}: simplify it"
            ) from None
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)


class _Expired(Exception):
    """The timer rang."""


def _expire(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise _Expired
