"""Searching the lines of files, as ripgrep does, with Python's regular expressions."""

from __future__ import annotations

import os
import re
import warnings
from collections import deque
from collections.abc import Iterator
from io import FileIO
from typing import BinaryIO

from pi_tools.fallback.globs import GlobFilter
from pi_tools.fallback.ignore_rules import IgnoreRules, open_regular
from pi_tools.fallback.overtime import Overtime
from pi_tools.fallback.problems import Problems
from pi_tools.fallback.walk import walk

__all__ = ("PatternError", "search_contents")

_BLOCK_BYTES = 256 * 1024
_MAX_LINE_BYTES = 1024 * 1024
_SHOWN_CHARACTERS = 1024
_BOM = b"\xef\xbb\xbf"


class PatternError(ValueError):
    """A regular expression that Python cannot read, or reads in another way than ripgrep."""


def search_contents(
    pattern: str,
    file: str | None,
    *,
    glob: str | None,
    ignore_case: bool,
    literal: bool,
    context: int,
    pattern_seconds: float,
    out: BinaryIO,
    problems: Problems,
) -> bool:
    """Write the lines that match, in `file` or in all files below the current directory.

    Says whether there are any. Raises GlobError, PatternError and TooSlowError.
    """
    regex = _compile(re.escape(pattern) if literal else pattern, ignore_case)
    search = _Search(regex, context, Overtime(pattern_seconds), out, problems)
    if file is not None:
        search.run(file, binary=True)
        return search.found
    chosen = GlobFilter(glob) if glob else None
    rules = IgnoreRules.above(os.getcwd(), require_repository=True)
    for entry in walk(rules, chosen, problems):
        if entry.is_file:
            search.run(entry.path, binary=False)
    return search.found


def _compile(pattern: str, ignore_case: bool) -> re.Pattern[str]:
    if "\n" in pattern:
        raise PatternError("A pattern cannot hold a line break: lines are searched one by one")
    try:
        with warnings.catch_warnings():
            # Where re warns, as of [[:alpha:]], it reads another pattern than was meant.
            warnings.simplefilter("error", FutureWarning)
            return re.compile(pattern, re.IGNORECASE if ignore_case else 0)
    except (re.error, FutureWarning, OverflowError, RecursionError) as error:
        raise PatternError(
            f"regex parse error: {error}. Without ripgrep, patterns are those of Python's re: "
            "flags such as (?i) come first, groups are named (?P<name>...), and "
            r"\p{...}, \z, [[:alpha:]] and classes with && or -- are not known"
        ) from None


class _Search:
    """Searches one file after another and writes what it finds."""

    def __init__(
        self,
        regex: re.Pattern[str],
        context: int,
        overtime: Overtime,
        out: BinaryIO,
        problems: Problems,
    ) -> None:
        self.found = False
        self._regex = regex
        self._context = context
        self._overtime = overtime
        self._out = out
        self._problems = problems
        self._block = memoryview(bytearray(_BLOCK_BYTES))

    def run(self, path: str, *, binary: bool) -> None:
        """Search one file; without `binary` only up to where it turns out to hold a NUL."""
        try:
            descriptor = open_regular(path) if not binary else os.open(path, os.O_RDONLY)
            if descriptor is None:
                return
            with FileIO(descriptor) as file:
                self._search(file, path, binary)
        except BrokenPipeError:
            raise  # Of the output, not of the file.
        except OSError as error:
            self._problems.unreadable(path, error)

    def _search(self, file: FileIO, path: str, binary: bool) -> None:
        name = os.fsencode(path)
        before: deque[tuple[int, str]] = deque(maxlen=self._context)
        show_until = number = 0
        for lines in self._blocks(file, path, binary):
            search = self._regex.search
            with self._overtime.limit(path):
                hits = {index for index, line in enumerate(lines) if search(line)}
            first = number + 1
            number += len(lines)
            if not hits and first > show_until:
                # The rule for nearly every block, so it must cost nothing per line.
                kept = min(self._context, len(lines))
                for at in range(len(lines) - kept, len(lines)):
                    before.append((first + at, lines[at][:_SHOWN_CHARACTERS]))
                continue
            for index, line in enumerate(lines):
                numbered = (first + index, line)
                if index in hits:
                    for earlier in before:
                        self._write(name, earlier, b"-")
                    before.clear()
                    self._write(name, numbered, b":")
                    show_until = first + index + self._context
                elif first + index <= show_until:
                    self._write(name, numbered, b"-")
                else:
                    before.append((first + index, line[:_SHOWN_CHARACTERS]))

    def _write(self, name: bytes, line: tuple[int, str], sign: bytes) -> None:
        self.found = True
        number, text = line
        data = text[:_SHOWN_CHARACTERS].encode("utf-8", "replace")
        self._out.write(b"%b\0%d%b%b\n" % (name, number, sign, data))

    def _blocks(self, file: FileIO, path: str, binary: bool) -> Iterator[list[str]]:
        """The lines of a file, some at a time."""
        rest = b""
        long_lines = 0
        at_start, skipping = True, False
        while count := file.readinto(self._block):
            data = bytes(self._block[:count])
            if at_start:
                at_start, data = False, data.removeprefix(_BOM)
            if not binary and b"\0" in data:
                return
            if skipping:
                _, found, data = data.partition(b"\n")
                if not found:
                    continue
                skipping = False
            whole, found, last = data.rpartition(b"\n")
            if found:
                yield (rest + whole).decode("utf-8", "replace").split("\n")
                rest = last
            else:
                rest += last
            if len(rest) > _MAX_LINE_BYTES:
                long_lines += 1
                skipping = True
                yield [rest.decode("utf-8", "replace")]
                rest = b""
        if rest:
            yield [rest.decode("utf-8", "replace")]
        if long_lines:
            self._problems.add(
                f"{path}: only the first 1.0MB of {long_lines} very long lines was searched"
            )
