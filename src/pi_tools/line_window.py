"""A stretch of the lines of a long stream of bytes, capped, in memory that does not grow.

Source: tools spec, section 4.1.
"""

from __future__ import annotations

import codecs

from pi_tools.truncate import (
    DEFAULT_MAX_BYTES,
    DEFAULT_MAX_LINES,
    TruncationResult,
    truncate_head_prefix,
)

__all__ = ("LineWindow",)


class LineWindow:
    """Takes a file piece by piece; keeps what `truncate_head` leaves of the chosen lines.

    `start` is the first line, from 0; `limit` the number of lines, None for all. Lines are what
    lies between `\\n`, so a final `\\n` is followed by one more, empty line.
    """

    def __init__(
        self,
        start: int,
        limit: int | None,
        *,
        max_lines: int = DEFAULT_MAX_LINES,
        max_bytes: int = DEFAULT_MAX_BYTES,
    ) -> None:
        self._start = start
        self._limit = limit
        self._to_skip = start
        self._to_take = limit
        self._line_breaks = 0
        self._selection = _Selection(max_lines, max_bytes)

    def feed(self, data: bytes) -> None:
        """Take the next piece of the file."""
        line_breaks = data.count(b"\n")
        self._line_breaks += line_breaks
        if self._to_skip:
            if line_breaks < self._to_skip:
                self._to_skip -= line_breaks
                return
            data = data.split(b"\n", self._to_skip)[-1]
            line_breaks -= self._to_skip
            self._to_skip = 0
        if self._to_take is None:
            self._selection.feed(data)
        elif self._to_take:
            if line_breaks >= self._to_take:
                rest = data.split(b"\n", self._to_take)[-1]
                data = data[: len(data) - len(rest) - 1]
                self._to_take = 0
            else:
                self._to_take -= line_breaks
            self._selection.feed(data)

    def finish(self) -> TruncationResult:
        """The chosen lines, capped. Call it once, after the last piece."""
        return self._selection.finish()

    @property
    def total_lines(self) -> int:
        """How many lines the file has, an empty last one included."""
        return self._line_breaks + 1

    @property
    def remaining_lines(self) -> int:
        """How many lines follow the chosen ones; negative if `start` is past the end."""
        left = self.total_lines - self._start
        return left if left < 0 else left - min(left, left if self._limit is None else self._limit)

    @property
    def first_line_bytes(self) -> int:
        """The size of the first chosen line."""
        return self._selection.first_line_bytes


class _Selection:
    """Decodes the chosen lines and keeps no more of them than can be shown."""

    def __init__(self, max_lines: int, max_bytes: int) -> None:
        self.first_line_bytes = 0
        self._max_lines = max_lines
        self._max_bytes = max_bytes
        self._in_first_line = True
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._kept = bytearray()
        self._bytes = 0
        self._line_breaks = 0
        self._ends_in_line = False

    def feed(self, data: bytes) -> None:
        self._take(self._decoder.decode(data))

    def finish(self) -> TruncationResult:
        self._take(self._decoder.decode(b"", final=True))
        total_lines = self._line_breaks + self._ends_in_line
        return truncate_head_prefix(
            bytes(self._kept),
            total_lines,
            self._bytes,
            max_lines=self._max_lines,
            max_bytes=self._max_bytes,
        )

    def _take(self, text: str) -> None:
        data = text.encode()
        if not data:
            return
        self._bytes += len(data)
        self._line_breaks += data.count(b"\n")
        self._ends_in_line = not data.endswith(b"\n")
        if self._in_first_line:
            end = data.find(b"\n")
            self.first_line_bytes += len(data) if end < 0 else end
            self._in_first_line = end < 0
        room = self._max_bytes + 1 - len(self._kept)
        if room > 0:
            self._kept += data[:room]
