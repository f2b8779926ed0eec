"""One writer per file: calls for the same file run one after another, in the order they came.

Process-wide, so that tools of different agents, event loops and threads respect each other.
Source: tools spec, section 3.7.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from pi_ai.turns import Turns

__all__ = ("file_turn", "with_file_mutation_queue")

T = TypeVar("T")

_queues = Turns()


async def with_file_mutation_queue(
    path: str | os.PathLike[str], change: Callable[[], Awaitable[T]]
) -> T:
    """`await change()`, alone among all changes of the file at the absolute `path`."""
    async with file_turn(path):
        return await change()


@asynccontextmanager
async def file_turn(path: str | os.PathLike[str]) -> AsyncGenerator[None]:
    """Hold the file at the absolute `path`, symbolic links followed, for the block."""
    # Not in a thread: the order of the calls decides the order of the turns.
    async with _queues.take(_key(path)):
        yield


def _key(path: str | os.PathLike[str]) -> str:
    return os.path.normcase(os.path.realpath(path))
