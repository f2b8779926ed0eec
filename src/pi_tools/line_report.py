"""What grep, find and ls answer: one line per result, capped by bytes, and notices below.

Source: tools spec, sections 2.3 and 8 to 10.
"""

from __future__ import annotations

from collections.abc import Sequence

from pi_agent.types import ToolResult
from pi_ai import JsonObject, TextContent
from pi_tools.arguments import whole_number
from pi_tools.encoding import well_formed
from pi_tools.search_operations import SearchEnd
from pi_tools.truncate import DEFAULT_MAX_BYTES, format_size, truncate_head_prefix

__all__ = ("LineReport", "end_notices", "result_limit", "shown_path")

_NO_LINE_LIMIT = 2**53 - 1
"""The largest whole number that every JSON reader keeps."""


def result_limit(limit: float | None, default: int) -> int:
    """How many results to give: at least 1, `default` if nothing was asked for."""
    return default if limit is None else min(whole_number(limit), _NO_LINE_LIMIT)


def shown_path(path: str) -> str:
    """A path on one line of valid text: odd bytes as U+FFFD, line breaks as `\\n` and `\\r`."""
    return well_formed(path).replace("\n", "\\n").replace("\r", "\\r")


def end_notices(end: SearchEnd) -> list[str]:
    """What results come with: that something could not be searched, and the search's own note."""
    notices: list[str] = []
    if end.failure:
        reason = shown_path(end.failure.partition("\n")[0])
        notices.append(f"Not everything could be searched: {reason}")
    if end.note:
        notices.append(end.note)
    return notices


class LineReport:
    """Counts all lines, and keeps as many as can be shown."""

    def __init__(self) -> None:
        self.lines = 0
        self._kept = bytearray()
        self._bytes = 0

    def add(self, line: str) -> None:
        """Add a line, without its end."""
        data = (line if self.lines == 0 else f"\n{line}").encode()
        self.lines += 1
        self._bytes += len(data)
        room = DEFAULT_MAX_BYTES + 1 - len(self._kept)
        if room > 0:
            self._kept += data[:room]

    def result(
        self, details: JsonObject, *, before: Sequence[str] = (), after: Sequence[str] = ()
    ) -> ToolResult:
        """The lines within the cap; notices go before and after the one on the cap."""
        cut = truncate_head_prefix(
            bytes(self._kept), self.lines, self._bytes, max_lines=_NO_LINE_LIMIT
        )
        size: tuple[str, ...] = ()
        if cut.truncated:
            size = (f"{format_size(DEFAULT_MAX_BYTES)} limit reached",)
            details = {"truncation": cut.stored(), **details}
        notices = ". ".join((*before, *size, *after))
        text = f"{cut.content}\n\n[{notices}]" if notices else cut.content
        result = ToolResult([TextContent(text)])
        if details:
            result.details = details
        return result
