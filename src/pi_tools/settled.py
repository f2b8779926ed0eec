"""Answers of operations that may be asynchronous or not."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable
from typing import TypeVar, cast

from pi_agent.types import MaybeAwaitable

__all__ = ("settled",)

T = TypeVar("T")


async def settled(answer: MaybeAwaitable[T]) -> T:
    """The answer itself, awaited if it has to be."""
    if inspect.isawaitable(answer):
        return await cast("Awaitable[T]", answer)
    return answer
