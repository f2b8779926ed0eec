"""What a command printed: the end of it for the model, all of it in a file if it is long.

Source: tools spec, sections 7.4 and 7.5.
"""

from __future__ import annotations

import asyncio
import codecs

import msgspec

from pi_ai import JsonObject
from pi_tools.spill import SpillFile
from pi_tools.truncate import (
    DEFAULT_MAX_BYTES,
    DEFAULT_MAX_LINES,
    TruncationResult,
    format_size,
    truncate_tail_suffix,
)

__all__ = ("CommandOutput", "OutputView")

_TAIL_BYTES = 102_400
_TAIL_HIGH_WATER_BYTES = 204_800
_NO_OUTPUT = "(no output)"


class OutputView(msgspec.Struct, frozen=True):
    """The output at one moment. `full_output` says where all of it is, in a notice's words."""

    truncation: TruncationResult
    last_line_bytes: int
    full_output_path: str | None
    full_output: str

    def details(self) -> JsonObject:
        """The stored details: empty unless something was cut."""
        if not self.truncation.truncated:
            return {}
        details: JsonObject = {"truncation": self.truncation.stored()}
        if self.full_output_path is not None:
            details["fullOutputPath"] = self.full_output_path
        return details

    def text(self, when_empty: str = _NO_OUTPUT) -> str:
        """What the model reads: the shown output, and a notice if something was cut."""
        shown = self.truncation.content or when_empty
        return f"{shown}\n\n{self._notice()}" if self.truncation.truncated else shown

    def _notice(self) -> str:
        cut = self.truncation
        total = cut.total_lines
        if cut.last_line_partial:
            what = (
                f"Showing last {format_size(cut.output_bytes)} of line {total} "
                f"(line is {format_size(self.last_line_bytes)})"
            )
        else:
            what = f"Showing lines {total - cut.output_lines + 1}-{total} of {total}"
            if cut.truncated_by == "bytes":
                what += f" ({format_size(cut.max_bytes)} limit)"
        return f"[{what}. {self.full_output}]"


class CommandOutput:
    """Takes output as it comes, in bounded memory. Close it with `aclose`."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._at_start = True
        self._raw = bytearray()
        self._spill: SpillFile | None = None
        self._tail = bytearray()
        self._bytes = 0
        self._line_breaks = 0
        self._open_line_bytes = 0
        self._ended_line_bytes = 0
        self._closed = False

    def feed(self, data: bytes) -> asyncio.Future[None] | None:
        """Take the next piece. Returns a future to wait for if the disk does not keep up."""
        if self._closed:
            return None
        if data.isascii() and not self._decoder.getstate()[0] and not self._at_start:
            self._take_bytes(data)  # as it is: nearly all output, and a third of the time
        else:
            self._take(self._decoder.decode(data))
        if self._spill is not None:
            return self._spill.write(data)
        self._raw += data
        return self._spill_if_long()

    async def aclose(self) -> None:
        """End the output: the file, if there is one, is complete and closed."""
        if not self._closed:
            self._closed = True
            self._take(self._decoder.decode(b"", final=True))
            self._spill_if_long()
        if self._spill is not None:
            await self._spill.aclose()

    def view(self) -> OutputView:
        """What there is to see now."""
        spill = self._spill
        path, full_output = None, ""
        if spill is not None and spill.error is None:
            path, full_output = spill.path, f"Full output: {spill.path}"
        elif spill is not None:
            full_output = f"Full output could not be saved: {spill.error}"
        return OutputView(
            truncation=truncate_tail_suffix(bytes(self._tail), self._lines, self._bytes),
            last_line_bytes=self._open_line_bytes or self._ended_line_bytes,
            full_output_path=path,
            full_output=full_output,
        )

    @property
    def _lines(self) -> int:
        return self._line_breaks + (self._open_line_bytes > 0)

    def _spill_if_long(self) -> asyncio.Future[None] | None:
        if self._spill is None and (
            self._bytes > DEFAULT_MAX_BYTES or self._lines > DEFAULT_MAX_LINES
        ):
            self._spill = SpillFile()
            room = self._spill.write(bytes(self._raw))
            self._raw.clear()
            return room
        return None

    def _take(self, text: str) -> None:
        if not text:
            return
        if self._at_start:
            self._at_start = False
            text = text.removeprefix("\ufeff")
        self._take_bytes(text.encode())

    def _take_bytes(self, data: bytes) -> None:
        self._bytes += len(data)
        self._count_lines(data)
        self._tail += data
        if len(self._tail) > _TAIL_HIGH_WATER_BYTES:
            start = len(self._tail) - _TAIL_BYTES
            while self._tail[start] & 0xC0 == 0x80:
                start -= 1
            del self._tail[:start]

    def _count_lines(self, data: bytes) -> None:
        last = data.rfind(b"\n")
        if last < 0:
            self._open_line_bytes += len(data)
            return
        self._line_breaks += data.count(b"\n")
        before = data.rfind(b"\n", 0, last)
        self._ended_line_bytes = last - before - 1 if before >= 0 else self._open_line_bytes + last
        self._open_line_bytes = len(data) - last - 1
