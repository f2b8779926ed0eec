"""Server-sent events: bytes in, records out. Pure; the one decoder for every provider.

Source: the HTML standard, "Server-sent events"; providers spec, section 4.7.
"""

from __future__ import annotations

from msgspec import Struct

__all__ = ("SseDecoder", "SseRecord")

_BOM = b"\xef\xbb\xbf"


class SseRecord(Struct, frozen=True, gc=False):
    """One event: its name, "" when it has none, and its data, lines joined by a line feed.

    `data` is what the server sent, byte for byte: it may be invalid UTF-8.
    """

    event: str
    data: bytes


class SseDecoder:
    """Cuts a body into records, however it is split into pieces.

    Lines end in LF, CR or CRLF. Comments and unknown fields are skipped, an event without data
    is none. Linear in the size of the body.
    """

    __slots__ = ("_after_cr", "_at_start", "_data", "_event", "_named", "_partial")

    def __init__(self) -> None:
        self._partial: list[bytes] = []
        self._data: list[bytes] = []
        self._event = ""
        self._named = (b"event:", "")  # the last event line: most of a body repeats one name
        self._after_cr = False
        self._at_start = True

    def feed(self, chunk: bytes) -> list[SseRecord]:
        """The records that `chunk` completes."""
        if self._at_start:
            joined = b"".join(self._partial) + chunk
            if len(joined) < len(_BOM) and _BOM.startswith(joined):
                self._partial = [joined]
                return []
            self._at_start = False
            self._partial = []
            chunk = joined.removeprefix(_BOM)
        if self._after_cr and chunk:
            chunk = chunk.removeprefix(b"\n")
            self._after_cr = False
        if b"\r" in chunk:
            self._after_cr = chunk.endswith(b"\r")
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        lines = chunk.split(b"\n")
        if len(lines) == 1:
            self._partial.append(chunk)
            return []
        if self._partial:
            lines[0] = b"".join(self._partial) + lines[0]
        rest = lines.pop()
        self._partial = [rest] if rest else []
        return self._read(lines)

    def end(self) -> list[SseRecord]:
        """The last record, if the body ended without the blank line behind it."""
        line = b"".join(self._partial)
        self._partial = []
        return self._read([line, b""])

    def _read(self, lines: list[bytes]) -> list[SseRecord]:
        records: list[SseRecord] = []
        for line in lines:
            if not line:
                if self._data:
                    data = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
                    records.append(SseRecord(self._event, data))
                    self._data.clear()
                self._event = ""
            elif line.startswith(b"data:"):
                self._data.append(line[6:] if line[5:6] == b" " else line[5:])
            elif line == self._named[0]:
                self._event = self._named[1]
            elif line.startswith(b"event:"):
                self._event = line[6:].removeprefix(b" ").decode("utf-8", "replace")
                self._named = (line, self._event)
            elif line == b"data":
                self._data.append(b"")
            elif line == b"event":
                self._event = ""
        return records
