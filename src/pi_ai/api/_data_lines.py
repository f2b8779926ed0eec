"""Cuts the stream of a proxy into records: every line that begins with `data: ` is one. Pure.

Nearly server-sent events, but blank lines mean nothing. Source: agent spec, section 11.
"""

from __future__ import annotations

from pi_ai.http.sse import SseRecord

__all__ = ("DataLines",)


class DataLines:
    """Cuts a body into lines, however it is split into pieces. Linear in the size of the body."""

    __slots__ = ("_partial",)

    def __init__(self) -> None:
        self._partial: list[bytes] = []

    def feed(self, chunk: bytes) -> list[SseRecord]:
        """The records that `chunk` completes."""
        lines = chunk.split(b"\n")
        if len(lines) == 1:
            self._partial.append(chunk)
            return []
        lines[0] = b"".join([*self._partial, lines[0]])
        rest = lines.pop()
        self._partial = [rest] if rest else []
        return _records(lines)

    def end(self) -> list[SseRecord]:
        """The last record, if the body ended without a line feed behind it."""
        line = b"".join(self._partial)
        self._partial = []
        return _records([line])


def _records(lines: list[bytes]) -> list[SseRecord]:
    payloads = (line[6:].strip() for line in lines if line.startswith(b"data: "))
    return [SseRecord("", payload) for payload in payloads if payload]
