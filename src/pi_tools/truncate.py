"""Caps on what a model gets to see: head, tail and single lines, and sizes in words.

Works on UTF-8 bytes inside, so that a reader of a stream can use it on the part it kept.
Source: tools spec, sections 2.4, 3.4 and 3.5.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from pi_ai import JsonObject

__all__ = (
    "DEFAULT_MAX_BYTES",
    "DEFAULT_MAX_LINES",
    "TruncationResult",
    "count_lines",
    "format_size",
    "truncate_head",
    "truncate_head_prefix",
    "truncate_line",
    "truncate_tail",
    "truncate_tail_suffix",
)

DEFAULT_MAX_LINES = 2000
DEFAULT_MAX_BYTES = 51200


class TruncationResult(msgspec.Struct, rename="camel", frozen=True, kw_only=True):
    """What is left of a text, and of how much.

    A final newline counts as a byte of `total_bytes` but makes no line of its own.
    `last_line_partial`: the tail had to be cut inside one huge line. `first_line_exceeds_limit`:
    nothing is shown since the first line alone is over `max_bytes`.
    """

    content: str
    truncated: bool
    truncated_by: Literal["lines", "bytes"] | None
    total_lines: int
    total_bytes: int
    output_lines: int
    output_bytes: int
    last_line_partial: bool = False
    first_line_exceeds_limit: bool = False
    max_lines: int
    max_bytes: int

    def stored(self) -> JsonObject:
        """The JSON form for a result's details: without `content`, which the result holds."""
        value: JsonObject = msgspec.to_builtins(self)
        del value["content"]
        return value


def format_size(size_bytes: int) -> str:
    """A size in words: `512B`, `1.5KB`, `1.0MB`; halves are rounded up."""
    if size_bytes < 1024:
        return f"{size_bytes}B"
    unit, name = (1024, "KB") if size_bytes < 1024 * 1024 else (1024 * 1024, "MB")
    tenths = (size_bytes * 20 + unit) // (2 * unit)
    return f"{tenths // 10}.{tenths % 10}{name}"


def truncate_line(line: str, max_characters: int) -> str:
    """`line`, or its first `max_characters` and a mark."""
    if len(line) <= max_characters:
        return line
    return f"{line[:max_characters]}... [truncated]"


def truncate_head(
    text: str, max_lines: int = DEFAULT_MAX_LINES, max_bytes: int = DEFAULT_MAX_BYTES
) -> TruncationResult:
    """The first whole lines of `text` within both caps."""
    data = text.encode("utf-8", "surrogatepass")
    return truncate_head_prefix(
        data, count_lines(data), len(data), max_lines=max_lines, max_bytes=max_bytes
    )


def truncate_tail(
    text: str, max_lines: int = DEFAULT_MAX_LINES, max_bytes: int = DEFAULT_MAX_BYTES
) -> TruncationResult:
    """The last whole lines of `text` within both caps; the end of the last line if it is huge."""
    data = text.encode("utf-8", "surrogatepass")
    return truncate_tail_suffix(
        data, count_lines(data), len(data), max_lines=max_lines, max_bytes=max_bytes
    )


def count_lines(data: bytes) -> int:
    """The number of lines; a final newline ends a line and starts none."""
    return data.count(b"\n") + (not data.endswith(b"\n") and len(data) > 0)


def truncate_head_prefix(
    prefix: bytes,
    total_lines: int,
    total_bytes: int,
    *,
    max_lines: int = DEFAULT_MAX_LINES,
    max_bytes: int = DEFAULT_MAX_BYTES,
) -> TruncationResult:
    """`truncate_head` of a UTF-8 text of which only the beginning is at hand.

    `prefix` is the whole text, or at least its first `max_bytes` + 1 bytes; the totals are those
    of the whole text.
    """
    if total_lines <= max_lines and total_bytes <= max_bytes:
        return _result(prefix, None, total_lines, total_bytes, total_lines, max_lines, max_bytes)
    body = prefix.removesuffix(b"\n") if len(prefix) == total_bytes else prefix
    if len(body) > max_bytes:
        end = body.rfind(b"\n", 0, max_bytes + 1)
        if end < 0:
            return _result(
                b"", "bytes", total_lines, total_bytes, 0, max_lines, max_bytes, too_long=True
            )
        body = body[:end]
    lines = body.split(b"\n")[:max_lines]
    by = "lines" if len(lines) in (max_lines, total_lines) else "bytes"
    kept = b"\n".join(lines)
    return _result(kept, by, total_lines, total_bytes, len(lines), max_lines, max_bytes)


def truncate_tail_suffix(
    suffix: bytes,
    total_lines: int,
    total_bytes: int,
    *,
    max_lines: int = DEFAULT_MAX_LINES,
    max_bytes: int = DEFAULT_MAX_BYTES,
) -> TruncationResult:
    """`truncate_tail` of a UTF-8 text of which only the end is at hand.

    `suffix` is the whole text, or at least its last `max_bytes` + 2 bytes; the totals are those
    of the whole text.
    """
    if total_lines <= max_lines and total_bytes <= max_bytes:
        return _result(suffix, None, total_lines, total_bytes, total_lines, max_lines, max_bytes)
    body = suffix.removesuffix(b"\n")
    if len(body) > max_bytes:
        start = body.find(b"\n", len(body) - max_bytes - 1)
        if start < 0:
            end = _skip_continuation(body[len(body) - max_bytes :])
            return _result(
                end, "bytes", total_lines, total_bytes, 1, max_lines, max_bytes, partial=True
            )
        body = body[start + 1 :]
    lines = body.split(b"\n")
    lines = lines[max(0, len(lines) - max_lines) :]
    by = "lines" if len(lines) in (max_lines, total_lines) else "bytes"
    kept = b"\n".join(lines)
    return _result(kept, by, total_lines, total_bytes, len(lines), max_lines, max_bytes)


def _skip_continuation(data: bytes) -> bytes:
    start = 0
    while start < len(data) and data[start] & 0xC0 == 0x80:
        start += 1
    return data[start:]


def _result(
    kept: bytes,
    by: Literal["lines", "bytes"] | None,
    total_lines: int,
    total_bytes: int,
    output_lines: int,
    max_lines: int,
    max_bytes: int,
    *,
    partial: bool = False,
    too_long: bool = False,
) -> TruncationResult:
    return TruncationResult(
        content=kept.decode("utf-8", "surrogatepass"),
        truncated=by is not None,
        truncated_by=by,
        total_lines=total_lines,
        total_bytes=total_bytes,
        output_lines=output_lines,
        output_bytes=len(kept),
        last_line_partial=partial,
        first_line_exceeds_limit=too_long,
        max_lines=max_lines,
        max_bytes=max_bytes,
    )
