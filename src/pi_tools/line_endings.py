"""Edits made on text with `\\n` line breaks, carried over to the original line breaks.

Everything outside the edits stays as it is, mixed line breaks included.
Source: tools spec, section 6.4.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

__all__ = ("Replacement", "splice", "splice_original", "to_lf")


class Replacement(NamedTuple):
    """`text` in place of the characters `start` to `end` of a text with `\\n` line breaks."""

    start: int
    end: int
    text: str


def to_lf(text: str) -> str:
    """`text` with every `\\r\\n` and `\\r` as `\\n`."""
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def splice(text: str, replacements: Iterable[Replacement]) -> str:
    """`text` with the replacements, which are in order and do not overlap, made."""
    pieces: list[str] = []
    at = 0
    for start, end, new in replacements:
        pieces += (text[at:start], new)
        at = end
    pieces.append(text[at:])
    return "".join(pieces)


def splice_original(original: str, replacements: Iterable[Replacement]) -> str:
    """`original` with replacements made whose offsets count in `to_lf(original)`.

    A replacement's line breaks become those of the line it starts in.
    """
    if "\r" not in original:
        return splice(original, replacements)
    offsets = _Offsets(original)
    joined = _Joined()
    at = 0
    for start, end, new in replacements:
        first, last = offsets.original(start), offsets.original(end)
        joined.add(original[at:first])
        joined.add(new.replace("\n", _line_break_at(original, first)))
        at = last
    joined.add(original[at:])
    return "".join(joined.pieces)


class _Offsets:
    """Maps ascending offsets of the `\\n` text to the original text."""

    def __init__(self, original: str) -> None:
        self._original = original
        self._pairs = 0
        self._next = original.find("\r\n")

    def original(self, offset: int) -> int:
        # The pair at original index i has its LF at i - (pairs before it) in the other text.
        while self._next >= 0 and self._next - self._pairs < offset:
            self._pairs += 1
            self._next = self._original.find("\r\n", self._next + 2)
        return offset + self._pairs


class _Joined:
    """Pieces of text, kept apart where two line breaks would become one."""

    def __init__(self) -> None:
        self.pieces: list[str] = []

    def add(self, piece: str) -> None:
        if not piece:
            return
        if piece.startswith("\n") and self.pieces and self.pieces[-1].endswith("\r"):
            self.pieces.append("\n")
        self.pieces.append(piece)


def _line_break_at(original: str, offset: int) -> str:
    at = original.find("\n", offset)
    if at < 0:
        at = original.rfind("\n", 0, offset + 1)
    if at < 0:
        return "\r"
    return "\r\n" if at > 0 and original[at - 1] == "\r" else "\n"
