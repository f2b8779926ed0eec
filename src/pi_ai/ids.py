"""Identifiers: time-ordered UUIDs and upstream's short text hash."""

from __future__ import annotations

import os
import threading
import time

__all__ = ("short_hash", "uuid7")

_MAX_TIMESTAMP = (1 << 48) - 1
_BASE36 = "0123456789abcdefghijklmnopqrstuvwxyz"


class _Sequence:
    """The process-wide part of `uuid7`: a clock that never runs back and a counter."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last_ms = 0
        self._counter: int | None = None

    def next(self, timestamp_ms: int | None) -> tuple[int, int]:
        with self._lock:
            if self._counter is None:
                self._counter = _random_bits(40)
            self._counter = (self._counter + 1) & ((1 << 41) - 1)
            if timestamp_ms is None:
                timestamp_ms = max(self._last_ms, time.time_ns() // 1_000_000)
                self._last_ms = timestamp_ms
            return timestamp_ms, self._counter


def _random_bits(count: int) -> int:
    return int.from_bytes(os.urandom(8), "big") >> (64 - count)


_sequence = _Sequence()


def uuid7(timestamp_ms: int | None = None) -> str:
    """A lower-case RFC 9562 version 7 UUID; ids of one process sort in creation order.

    Raises ValueError for a timestamp outside 48 bits. Source: ai-core spec, section 18.
    """
    if timestamp_ms is not None and not 0 <= timestamp_ms <= _MAX_TIMESTAMP:
        raise ValueError(f"UUIDv7 timestamp must be an integer between 0 and {_MAX_TIMESTAMP}")
    ms, counter = _sequence.next(timestamp_ms)
    # 74 bits follow version and variant: 41 of the counter, 33 of chance.
    tail = (counter << 33) | _random_bits(33)
    value = (ms << 80) | (0x7 << 76) | ((tail >> 62) << 64) | (0b10 << 62) | (tail & (1 << 62) - 1)
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def short_hash(text: str) -> str:
    """Upstream's hash of a text over its UTF-16 code units, in base 36.

    Source: ai-core spec, section 18; `short_hash("abc") == "y0biex7f9bbh"`.
    """
    mask = 0xFFFFFFFF
    h1, h2 = 0xDEADBEEF, 0x41C6CE57
    units = text.encode("utf-16-le", "surrogatepass")
    for low, high in zip(units[::2], units[1::2], strict=True):
        unit = low | high << 8
        h1 = ((h1 ^ unit) * 2654435761) & mask
        h2 = ((h2 ^ unit) * 1597334677) & mask
    h1 = ((h1 ^ h1 >> 16) * 2246822507 & mask) ^ ((h2 ^ h2 >> 13) * 3266489909 & mask)
    h2 = ((h2 ^ h2 >> 16) * 2246822507 & mask) ^ ((h1 ^ h1 >> 13) * 3266489909 & mask)
    return _base36(h2) + _base36(h1)


def _base36(number: int) -> str:
    digits = ""
    while True:
        number, digit = divmod(number, 36)
        digits = _BASE36[digit] + digits
        if not number:
            return digits
