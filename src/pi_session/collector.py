"""Bulk decoding without the garbage collector, which would go through all of it again and again."""

from __future__ import annotations

import gc
from collections.abc import Generator
from contextlib import contextmanager

__all__ = ("paused_collector",)


@contextmanager
def paused_collector() -> Generator[None]:
    """No automatic collections inside; for making many objects that all live on."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
