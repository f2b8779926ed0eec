"""What an edit changed, to look at (`diff`) and to apply (`patch`).

Texts have `\\n` line breaks. Source: tools spec, section 6.5.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple

import msgspec

from pi_tools.encoding import utf8_length, well_formed
from pi_tools.line_endings import Replacement, splice
from pi_tools.myers import DEFAULT_MAX_STEPS, Run, RunKind, diff_lines, join_runs
from pi_tools.truncate import format_size

__all__ = ("EditDetails", "describe_change")

_CONTEXT_LINES = 4
_WINDOW_LINES = 32
_MAX_STORED_BYTES = 1024 * 1024


class EditDetails(msgspec.Struct, rename="camel", frozen=True):
    """An edit's details as they are stored. `first_changed_line` counts in the new file.

    A text of more than 1 MB ends with a line that says how much is left out.
    """

    diff: str
    patch: str
    first_changed_line: int


class _Line(NamedTuple):
    """A line of the change. `old` and `new`: lines before it in either text, from 0."""

    kind: RunKind
    old: int
    new: int
    text: str


class _Section(NamedTuple):
    """Changed lines and the context around them. `old` and `new` as in `_Line`."""

    old: int
    new: int
    lines: list[_Line]


def describe_change(
    path: str,
    old: str,
    replacements: Sequence[Replacement],
    max_steps: int = DEFAULT_MAX_STEPS,
) -> EditDetails:
    """The diff and patch of the change that `replacements`, in order, make to `old`.

    `path` is only shown. `max_steps` bounds the work as in `diff_lines`. Lone surrogates are
    shown as U+FFFD.
    """
    new = splice(old, replacements)
    old_lines, new_lines = _lines(old), _lines(new)
    runs = _runs(old, old_lines, new_lines, replacements, max_steps)
    sections = list(_sections(runs, old_lines, new_lines))
    first = next(line for section in sections for line in section.lines if line.kind != "=")
    width = len(str(max(old.count("\n"), new.count("\n")) + 1))
    return EditDetails(
        diff=_display(sections, width, len(old_lines)),
        patch=_patch(path, sections),
        first_changed_line=first.new + 1,
    )


def _lines(text: str) -> list[str]:
    """The lines with their `\\n`, which the last one may lack."""
    lines = [line + "\n" for line in text.split("\n")]
    lines[-1] = lines[-1][:-1]
    if not lines[-1]:
        lines.pop()
    return lines


def _runs(
    old: str,
    old_lines: Sequence[str],
    new_lines: Sequence[str],
    replacements: Sequence[Replacement],
    max_steps: int,
) -> list[Run]:
    """The line diff of both whole texts, compared only near the replacements."""
    starts = [0, *accumulate(map(len, old_lines))]
    runs: list[Run] = []
    old_done = new_done = 0
    for first, after, members in _windows(starts, replacements):
        base = starts[first]
        inner = [Replacement(start - base, end - base, new) for start, end, new in members]
        new_first = new_done + first - old_done
        new_after = new_first + len(_lines(splice(old[base : starts[after]], inner)))
        runs.append(Run("=", first - old_done))
        runs += diff_lines(old_lines[first:after], new_lines[new_first:new_after], max_steps)
        old_done, new_done = after, new_after
    runs.append(Run("=", len(old_lines) - old_done))
    return join_runs(runs)


def _windows(
    starts: Sequence[int], replacements: Sequence[Replacement]
) -> list[tuple[int, int, list[Replacement]]]:
    """First line, line after the last, and replacements of each stretch to compare."""
    count = len(starts) - 1
    windows: list[tuple[int, int, list[Replacement]]] = []
    for replacement in replacements:
        touched = bisect_right(starts, replacement.start) - 1
        end = bisect_left(starts, replacement.end, lo=min(touched + 1, count))
        first, after = max(0, touched - _WINDOW_LINES), min(count, end + _WINDOW_LINES)
        if windows and first <= windows[-1][1]:
            start, _, members = windows[-1]
            windows[-1] = (start, after, [*members, replacement])
        else:
            windows.append((first, after, [replacement]))
    return windows


def _sections(
    runs: Sequence[Run], old_lines: Sequence[str], new_lines: Sequence[str]
) -> Iterator[_Section]:
    """The changes with their context; changes that share context make one section."""
    lines: list[_Line] = []
    old = new = 0
    changed = False
    for number, (kind, count) in enumerate(runs):
        source, start = (new_lines, new) if kind == "+" else (old_lines, old)
        old_step, new_step = kind != "+", kind != "-"
        shown = [
            _Line(kind, old + at * old_step, new + at * new_step, source[start + at])
            for at in (range(count) if kind != "=" else _context(count))
        ]
        if kind != "=":
            lines += shown
            changed = True
        elif number == len(runs) - 1:
            lines += shown[:_CONTEXT_LINES]
        elif changed and count <= 2 * _CONTEXT_LINES:
            lines += shown
        else:
            if changed:
                yield _section([*lines, *shown[:_CONTEXT_LINES]])
            lines, changed = shown[-_CONTEXT_LINES:], False
        old += count * old_step
        new += count * new_step
    if changed:
        yield _section(lines)


def _context(count: int) -> Sequence[int]:
    """Which of `count` kept lines may be shown: those next to a change."""
    if count <= 2 * _CONTEXT_LINES:
        return range(count)
    return [*range(_CONTEXT_LINES), *range(count - _CONTEXT_LINES, count)]


def _section(lines: list[_Line]) -> _Section:
    return _Section(lines[0].old, lines[0].new, lines)


def _display(sections: Sequence[_Section], width: int, old_count: int) -> str:
    marker = f" {' ' * width} ..."
    shown = _Stored()
    for number, section in enumerate(sections):
        if number > 0 or section.old > 0:
            shown.add(f"{marker}\n")
        for kind, old, new, text in section.lines:
            sign = " " if kind == "=" else kind
            line_number = (new if kind == "+" else old) + 1
            shown.add(f"{sign}{line_number:>{width}} ", text.removesuffix("\n"), "\n")
    last = sections[-1].lines[-1]
    if last.old + (last.kind != "+") < old_count:
        shown.add(f"{marker}\n")
    return shown.text(f"{marker} {{}} of the diff left out").removesuffix("\n")


def _patch(path: str, sections: Sequence[_Section]) -> str:
    stored = _Stored()
    stored.add(f"--- {path}\n+++ {path}\n")
    for section in sections:
        old_count = sum(line.kind != "+" for line in section.lines)
        new_count = sum(line.kind != "-" for line in section.lines)
        stored.add(
            f"@@ -{section.old + (old_count > 0)},{old_count} "
            f"+{section.new + (new_count > 0)},{new_count} @@\n"
        )
        for line in section.lines:
            sign = " " if line.kind == "=" else line.kind
            end = "" if line.text.endswith("\n") else "\n\\ No newline at end of file\n"
            stored.add(sign, line.text, end)
    # What reads patches passes over such a line, as over "No newline at end of file".
    return stored.text("\\ {} of the patch left out\n")


class _Stored:
    """A text as it is stored: of a very large one only the beginning."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._bytes = 0
        self._left_out_bytes = 0

    def add(self, *pieces: str) -> None:
        for piece in map(well_formed, pieces):
            size = utf8_length(piece)
            room = 0 if self._left_out_bytes else _MAX_STORED_BYTES - self._bytes
            if size > room:
                # Each character has a byte at least.
                piece = piece[:room].encode()[:room].decode("utf-8", "ignore")
                self._left_out_bytes += size - utf8_length(piece)
            if piece:
                self._pieces.append(piece)
                self._bytes += size

    def text(self, marker: str) -> str:
        """All of it, or the beginning and a line made of `marker` and the size of the rest."""
        text = "".join(self._pieces)
        if not self._left_out_bytes:
            return text
        line_end = "" if text.endswith("\n") else "\n"
        return f"{text}{line_end}{marker.format(format_size(self._left_out_bytes))}"
