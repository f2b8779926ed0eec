"""Texts, counts and amounts made fit for one line of a terminal or a page.

Pure functions over strings; nothing is escaped for HTML here.
"""

from __future__ import annotations

import re
import unicodedata

__all__ = ("counted", "one_line", "usd")

_WHITE = re.compile(r"\s+")
_READ_PER_CHARACTER = 4
"""How much of a text is looked at for each character shown; the rest may be white space."""
_UNSAFE_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_JOINERS = "\u200c\u200d"
"""Format characters that only join letters or emoji."""


def one_line(text: str, limit: int) -> str:
    """The start of `text` in at most `limit` characters, white space made single spaces.

    Control characters, escape sequences, marks that change the direction of what follows and lone
    surrogates become U+FFFD, so that the text can neither act on a terminal nor reorder its line.
    The work does not depend on the length of `text`.
    """
    read = text[: limit * _READ_PER_CHARACTER]
    line = _WHITE.sub(" ", read).strip()
    if not (line.isascii() and line.isprintable()):
        line = "".join(map(_safe, line))
    if len(line) > limit or len(read) < len(text):
        line = line[: max(limit - 1, 0)].rstrip() + "…"
    return line


def counted(count: int, one: str, many: str = "") -> str:
    """A count with its noun; the plural is formed with `s` unless `many` is given."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def usd(amount: float) -> str:
    """An amount of money with as many digits as it needs."""
    digits = 2 if amount >= 100 or not amount else 4 if amount >= 0.01 else 6
    return f"${amount:,.{digits}f}"


def _safe(character: str) -> str:
    if unicodedata.category(character) in _UNSAFE_CATEGORIES and character not in _JOINERS:
        return "\ufffd"
    return character
