"""Reading the lines a search program prints: path, NUL, line number, `:` or `-`, text.

Memory is bounded whatever the program sends: of a long line only the beginning is kept.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from pi_agent.types import ToolError
from pi_tools.line_report import shown_path
from pi_tools.search_operations import FoundLine

__all__ = ("MatchReader",)

_HEAD = re.compile(rb"([^\0]*)\0(\d+)([:-])")
# ripgrep says so between the lines it found, and begins no record with it.
_WARNING = re.compile(rb"(?:[^\0\n]*WARNING: stopped searching binary file[^\0\n]*\n)+")
_MAX_HEAD_BYTES = 64 * 1024
_KEPT_LINE_BYTES = 4096


class MatchReader:
    """Takes the output piece by piece. `name` is shown in place of the path of a single file."""

    def __init__(self, name: str | None = None) -> None:
        self._name = name
        self._rest: bytes = b""
        self._in_skipped_line = False
        self._path = b""
        self._shown_path = ""

    def feed(self, data: bytes) -> Iterator[FoundLine]:
        """The lines that are complete, or long enough to be shown, with this piece."""
        start = 0
        if self._in_skipped_line:
            start = data.find(b"\n") + 1
            if not start:
                return
            self._in_skipped_line = False
        data = b"".join((self._rest, data[start:]))
        position = 0
        while head := _HEAD.match(data, position):
            text = head.end()
            end = data.find(b"\n", text)
            if end < 0:
                end = len(data)
                if end - text <= _KEPT_LINE_BYTES:
                    break
                self._in_skipped_line = True
            yield self._line(head, data[text : min(end, text + _KEPT_LINE_BYTES)])
            position = end + 1
        self._rest = data[position:]
        if len(self._rest) > _MAX_HEAD_BYTES:
            raise ToolError("The search printed what is no match")

    def _line(self, head: re.Match[bytes], text: bytes) -> FoundLine:
        path, number, sign = head.groups()
        if path != self._path:
            self._path = path
            self._shown_path = _shown(path) if self._name is None else self._name
        return FoundLine(
            self._shown_path,
            int(number),
            sign == b":",
            text.removesuffix(b"\r").decode("utf-8", "replace"),
        )


def _shown(path: bytes) -> str:
    if warning := _WARNING.match(path):
        path = path[warning.end() :]
    text = path.decode("utf-8", "replace")
    if os.sep != "/":
        text = text.replace(os.sep, "/")
    return shown_path(text.removeprefix("./"))
