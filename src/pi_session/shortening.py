"""Texts made to fit: the longest are shortened first, and keep their beginning and end.

Lengths are UTF-16 code units, as estimates count them; no pair is ever cut apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pi_ai.estimate import utf16_len

__all__ = ("fit_texts", "head_of", "level_to_fit", "shorten_middle")

_LEAST_LENGTH = 400
"""No text of many is made shorter than this; whole texts are left out instead."""
_LEAST_MARKED = 120
"""Below this length a marker would take too much of the room."""
_HEAD_SHARE = 2 / 3
_FIRST_TEXTS_SHARE = 1 / 4


def head_of(text: str, length: int) -> str:
    """The beginning of `text`, at most `length` long."""
    if text.isascii():
        return text[:length]
    units = text.encode("utf-16-le", "surrogatepass")[: 2 * length + 2]
    if len(units) <= 2 * length:
        return text
    end = 2 * length
    if end and 0xD8 <= units[end - 1] < 0xDC <= units[end + 1] < 0xE0:  # between two halves
        end -= 2
    return units[:end].decode("utf-16-le", "surrogatepass")


def _tail_of(text: str, length: int) -> str:
    if text.isascii():
        return text[len(text) - length :]
    units = text.encode("utf-16-le", "surrogatepass")
    start = max(0, len(units) - 2 * length)
    if start and 0xDC <= units[start + 1] < 0xE0 and 0xD8 <= units[start - 1] < 0xDC:
        start += 2  # the second half of a pair
    return units[start:].decode("utf-16-le", "surrogatepass")


def shorten_middle(text: str, length: int) -> str:
    """`text` if it is at most `length` long, else its beginning and end around a marker."""
    whole = utf16_len(text)
    if whole <= length:
        return text
    if length < _LEAST_MARKED:
        return head_of(text, length)
    room = length - len(_marker(whole))
    head = head_of(text, int(room * _HEAD_SHARE))
    tail = _tail_of(text, room - int(room * _HEAD_SHARE))
    return head + _marker(whole - utf16_len(head) - utf16_len(tail)) + tail


def _marker(left_out: int) -> str:
    return f"\n\n[... {left_out} characters left out ...]\n\n"


def level_to_fit(lengths: Iterable[int], limit: int) -> int | None:
    """The length to cut longer texts to, so that all take at most `limit`; None if they do."""
    ordered = sorted(lengths)
    left = limit
    for position, length in enumerate(ordered):
        share = left // (len(ordered) - position)
        if length > share:
            return max(0, share)
        left -= length
    return None


def fit_texts(texts: Sequence[str], limit: int, separator: str = "\n\n") -> str:
    """`texts` joined, at most `limit` long.

    The longest are shortened in the middle, all to the same length. Where that would leave too
    little of each, texts between the first and the last ones are left out. A `limit` too small
    for a single text is not kept.
    """
    lengths = [utf16_len(text) for text in texts]
    room = limit - len(separator) * (len(texts) - 1)
    level = level_to_fit(lengths, room)
    if level is None:
        return separator.join(texts)
    if level >= _LEAST_LENGTH or len(texts) == 1:
        return separator.join(shorten_middle(text, level) for text in texts)
    return separator.join(_without_middle(texts, lengths, limit, len(separator)))


def _without_middle(
    texts: Sequence[str], lengths: Sequence[int], limit: int, separator_length: int
) -> list[str]:
    """The first texts for a quarter of `limit`, the last ones for the rest, a marker between."""
    costs = [min(length, _LEAST_LENGTH) + separator_length for length in lengths]
    room = limit - len(_texts_marker(len(texts)))
    first = 0
    used = 0
    while first < len(texts) and used + costs[first] <= room * _FIRST_TEXTS_SHARE:
        used += costs[first]
        first += 1
    last = len(texts)
    while last > first and used + costs[last - 1] <= room:
        last -= 1
        used += costs[last]
    kept = [shorten_middle(text, _LEAST_LENGTH) for text in (*texts[:first], *texts[last:])]
    return [*kept[:first], _texts_marker(last - first), *kept[first:]]


def _texts_marker(count: int) -> str:
    return f"[... {count} messages left out ...]"
