"""A stretch of the lines of a long file that somebody else has counted and cut.

Source: tools spec, section 4.1.
"""

from __future__ import annotations

import codecs

import msgspec

from pi_tools.truncate import DEFAULT_MAX_BYTES, TruncationResult, truncate_head_prefix

__all__ = ("PAGE_BYTES", "FilePage")

PAGE_BYTES = DEFAULT_MAX_BYTES + 8
"""How much of the chosen lines a `FilePage` needs: what can be shown, and a character more."""


class FilePage(msgspec.Struct, frozen=True, kw_only=True):
    """What a reader of `limit` lines from line `start`, counted from 0, has to know of a file.

    `head` is the file's beginning. `line_breaks` counts those of the whole file. The `selected_`
    numbers are those of the chosen lines, without the last one's line break if `limit` ended
    them; `data` is their first `PAGE_BYTES`, `ends_in_line` tells that they end in no line break,
    `first_line_bytes` is the size of the first of them. Source: `LineWindow`, which is the same
    for a file that is at hand.
    """

    start: int
    limit: int | None
    head: bytes
    data: bytes
    line_breaks: int
    selected_bytes: int
    selected_line_breaks: int
    ends_in_line: bool
    first_line_bytes: int

    def finish(self) -> TruncationResult:
        """The chosen lines, capped."""
        complete = len(self.data) >= self.selected_bytes
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        kept = decoder.decode(self.data, final=complete).encode()
        lines = self.selected_line_breaks + self.ends_in_line
        return truncate_head_prefix(kept, lines, len(kept) if complete else self.selected_bytes)

    @property
    def total_lines(self) -> int:
        """How many lines the file has, an empty last one included."""
        return self.line_breaks + 1

    @property
    def remaining_lines(self) -> int:
        """How many lines follow the chosen ones; negative if `start` is past the end."""
        left = self.total_lines - self.start
        return left if left < 0 else left - min(left, left if self.limit is None else self.limit)
