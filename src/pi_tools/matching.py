"""Finding the texts that an edit replaces: exactly, or in a form that forgives typography.

Pure. Texts have `\\n` line breaks. Source: tools spec, section 6.3 and section 14, rows 1-3.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

from pi_agent.types import ToolError
from pi_tools.line_endings import Replacement, splice

__all__ = ("Edit", "find_replacements", "fuzzy_form")

# JavaScript's white space: not Python's, which has U+0085 and U+001C-1F but no U+FEFF.
_WHITE_SPACE = (
    "\t\v\f\r \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000\ufeff"
)
_FOLDED = {
    **dict.fromkeys(map(chr, range(0x2018, 0x201C)), "'"),
    **dict.fromkeys(map(chr, range(0x201C, 0x2020)), '"'),
    **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-"),
    **dict.fromkeys(map(chr, range(0x2002, 0x200B)), " "),
    **dict.fromkeys("\u00a0\u202f\u205f\u3000", " "),
}


class Edit(NamedTuple):
    """Replace `old`, which must occur once, by `new`."""

    old: str
    new: str


class _Match(NamedTuple):
    """Where the old text of edit number `edit` was found in the searched text."""

    start: int
    end: int
    edit: int


def fuzzy_form(text: str) -> str:
    """`text` with compatibility characters, trailing spaces, quotes, dashes and spaces folded.

    Has as many lines as `text`.
    """
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    form = "\n".join([line.rstrip(_WHITE_SPACE) for line in text.split("\n")])
    if not form.isascii():
        # Character by character, str.translate takes four times as long on a large text.
        for character, plain in _FOLDED.items():
            form = form.replace(character, plain)
    return form


def find_replacements(text: str, edits: Sequence[Edit], path: str) -> list[Replacement]:
    """The replacements that make all `edits` of `text`, in order of position.

    Every old text is looked up in `text` as it is, none in the result of another edit. Where one
    is only found in fuzzy form, the lines it touches are replaced whole. Raises ToolError, with
    `path` in its text, if an old text is empty, missing, ambiguous or overlaps another.
    """
    errors = _Errors(path, several=len(edits) > 1)
    for index, edit in enumerate(edits):
        if not edit.old:
            raise errors.empty(index)
    fuzzy = _fuzzy_if_needed(text, edits)
    matches = [
        _find_exact(text, edit.old, index, errors)
        if fuzzy is None
        else _find_fuzzy(fuzzy, edit.old, index, errors)
        for index, edit in enumerate(edits)
    ]
    matches.sort(key=lambda match: match.start)
    for one, other in pairwise(matches):
        if one.end > other.start:
            raise errors.overlap(one.edit, other.edit)
    found = [Replacement(match.start, match.end, edits[match.edit].new) for match in matches]
    return found if fuzzy is None else _widen(text, fuzzy, found)


def _fuzzy_if_needed(text: str, edits: Sequence[Edit]) -> str | None:
    """The fuzzy form of `text` if an edit is found there and not in `text` itself."""
    missing = [fuzzy_form(edit.old) for edit in edits if edit.old not in text]
    if not missing:
        return None
    fuzzy = fuzzy_form(text)
    return fuzzy if any(old and old in fuzzy for old in missing) else None


def _find_exact(text: str, old: str, index: int, errors: _Errors) -> _Match:
    start, count = text.find(old), text.count(old)
    if count == 0:
        raise errors.not_found(index)
    if count > 1:
        raise errors.duplicate(index, count)
    return _Match(start, start + len(old), index)


def _find_fuzzy(fuzzy: str, old: str, index: int, errors: _Errors) -> _Match:
    # A text of spaces only has no fuzzy form to look for.
    return _find_exact(fuzzy, old if old in fuzzy else fuzzy_form(old) or old, index, errors)


def _widen(text: str, fuzzy: str, found: Sequence[Replacement]) -> list[Replacement]:
    """Replacements in `fuzzy` as replacements of whole lines of `text`.

    The touched lines keep their fuzzy form, all others their own.
    """
    text_starts, fuzzy_starts = _line_starts(text), _line_starts(fuzzy)
    groups: list[tuple[int, int, list[Replacement]]] = []
    for replacement in found:
        first = bisect_right(fuzzy_starts, replacement.start, hi=len(fuzzy_starts) - 1) - 1
        after = bisect_left(fuzzy_starts, replacement.end, lo=first + 1)
        if groups and first < groups[-1][1]:
            start, end, members = groups[-1]
            groups[-1] = (start, max(end, after), [*members, replacement])
        else:
            groups.append((first, after, [replacement]))
    widened: list[Replacement] = []
    for first, after, members in groups:
        base = fuzzy_starts[first]
        lines = fuzzy[base : fuzzy_starts[after]]
        inner = [Replacement(start - base, end - base, new) for start, end, new in members]
        new = splice(lines, inner)
        widened.append(Replacement(text_starts[first], text_starts[after], new))
    return widened


def _line_starts(text: str) -> list[int]:
    """The offset of each line, and the end of the text as the start after the last."""
    starts = [0, *accumulate(len(line) + 1 for line in text.split("\n"))]
    starts[-1] = len(text)
    return starts


class _Errors:
    """The errors of one call, worded for one edit or for several."""

    def __init__(self, path: str, *, several: bool) -> None:
        self.path = path
        self.several = several

    def empty(self, index: int) -> ToolError:
        what = f"edits[{index}].oldText" if self.several else "oldText"
        return ToolError(f"{what} must not be empty in {self.path}.")

    def not_found(self, index: int) -> ToolError:
        if self.several:
            what, text = f"edits[{index}]", "oldText"
        else:
            what, text = "the exact text", "old text"
        return ToolError(
            f"Could not find {what} in {self.path}. "
            f"The {text} must match exactly including all whitespace and newlines."
        )

    def duplicate(self, index: int, count: int) -> ToolError:
        if self.several:
            what, text = f"edits[{index}]", "Each oldText"
        else:
            what, text = "the text", "The text"
        return ToolError(
            f"Found {count} occurrences of {what} in {self.path}. {text} must be unique. "
            "Please provide more context to make it unique."
        )

    def overlap(self, one: int, other: int) -> ToolError:
        return ToolError(
            f"edits[{one}] and edits[{other}] overlap in {self.path}. "
            "Merge them into one edit or target disjoint regions."
        )
