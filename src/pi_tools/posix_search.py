"""Searching with what every POSIX place has, where ripgrep and fd are missing: `find` and `grep`.

They know nothing of .gitignore. Globs are matched here, so that they mean the same everywhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TypeVar

from pi_agent.types import ToolError
from pi_tools.fallback.globs import GlobError, GlobFilter, compile_glob
from pi_tools.fd import NamePattern
from pi_tools.line_report import shown_path
from pi_tools.search_operations import FoundLine

__all__ = ("GREP", "NAMES", "GroupReader", "file_filter", "find_name", "name_filter")

# The search is in variables of the shell around it. `grep -l` names each file on a line of its own,
# so files with a line break in their path are looked at one by one. Only grep gets a UTF-8 locale:
# in it, the others stumble over bytes that are none. -a is for lines that are none; busybox needs
# neither and has no -a.
GREP = """\
if [ -n "$word_edges" ]; then
printf 'ab a\\n' | grep -q 'a\\b' && ! printf 'ab\\n' | grep -q 'a\\b' || return 105
fi
if printf 'x\\n' | grep -qa x 2>/dev/null; then flags="$flags -a"; fi
export flags posix context token
each='
match() { LC_ALL=C.UTF-8 grep $flags "$@"; }
show() {
printf "\\0%s%s\\0" "$token" "$1"
match -n $context -e "$posix" -- "$1" | cut -b 1-4096
}
text() { [ "$(head -c 8192 <"$1" | tr -dc "\\0" | wc -c)" -eq 0 ]; }
'
if [ -f "$path" ]; then sh -c "$each"'show "$1"' sh "$path"; return 0; fi
nl='
'
if [ -n "$name" ]; then set -- -name "$name"; else set --; fi
find . -name .git -prune -o -type f "$@" \\( -path "*$nl*" -exec sh -c "$each"'
if match -q -e "$posix" -- "$1" && text "$1"; then show "$1"; fi' sh {} \\; -o \\
-exec sh -c "$each"'
match -l -e "$posix" -- "$@" |
while IFS= read -r file; do if text "$file"; then show "$file"; fi; done' sh {} + \\)
return 0
"""
"""Prints, for each file with matches, NUL, the token, the path, NUL, and the lines of `grep -n`."""

NAMES = """\
find . -name .git -prune -o ! -name . \\( -type d -exec printf '%s/\\0' {} + -o -print0 \\)
return 0
"""
"""Prints every path below the current directory, with `/` after directories, and NUL."""

T = TypeVar("T")

_LINE = re.compile(rb"(\d+)([:-])([^\n]*)\n")
_ANY_LINE = re.compile(rb"[^\n]*\n")
_SIMPLE_NAME = re.compile(r"[A-Za-z0-9_.*?-]+")
_MAX_REST_BYTES = 64 * 1024


class GroupReader:
    """Takes the output of `GREP` piece by piece.

    `accepts` chooses among paths; `name` is shown in place of the path of a single file.
    """

    def __init__(
        self, token: str, *, accepts: Callable[[str], bool] | None, name: str | None
    ) -> None:
        self._head = re.compile(rb"\x00" + token.encode() + rb"([^\x00]*)\x00")
        self._accepts = accepts
        self._name = name
        self._path: str | None = None
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[FoundLine]:
        """The lines that are complete with this piece."""
        data = self._rest + data
        position = 0
        while position < len(data):
            if found := self._head.match(data, position):
                self._enter(found[1])
            elif data[position] == 0 and b"\0" not in data[position + 1 :]:
                break
            elif found := _LINE.match(data, position):
                if self._path is not None:
                    text = found[3].removesuffix(b"\r").decode("utf-8", "replace")
                    yield FoundLine(self._path, int(found[1]), found[2] == b":", text)
            elif not (found := _ANY_LINE.match(data, position)):
                break
            position = found.end()
        self._rest = data[position:]
        if len(self._rest) > _MAX_REST_BYTES:
            raise ToolError("The search printed what is no match")

    def _enter(self, path: bytes) -> None:
        relative = path.removeprefix(b"./")
        text = relative.decode("utf-8", "surrogateescape")
        if self._name is not None:
            self._path = self._name
        elif self._accepts is not None and not self._accepts(text):
            self._path = None
        else:
            self._path = shown_path(relative.decode("utf-8", "replace"))


def file_filter(glob: str | None) -> Callable[[str], bool] | None:
    """Which files, by relative path, `glob` chooses. Raises ToolError for a broken glob."""
    if glob is None:
        return None
    chosen = _read(GlobFilter, glob)

    def accepts(path: str) -> bool:
        parts = path.split("/")
        folders = ("/".join(parts[:count]) for count in range(1, len(parts)))
        return chosen.verdict(path, False) is not False and not any(
            chosen.verdict(folder, True) is False for folder in folders
        )

    return accepts


def find_name(glob: str | None) -> str:
    """`glob` where `find -name` reads it the same way, so that other files are not even opened."""
    return glob if glob is not None and _SIMPLE_NAME.fullmatch(glob) else ""


def name_filter(pattern: NamePattern, directory: str) -> Callable[[str], bool]:
    """Which paths, relative to `directory`, fd would find. Raises ToolError for a broken glob."""
    ignore_case = not any(char.isupper() for char in pattern.glob)
    regex = _read(lambda glob: compile_glob(glob, ignore_case=ignore_case), pattern.glob or "*")
    root = directory.rstrip("/")

    def accepts(path: str) -> bool:
        subject = f"{root}/{path}" if pattern.full_path else path.rpartition("/")[2]
        return regex.fullmatch(subject) is not None

    return accepts


def _read(reader: Callable[[str], T], glob: str) -> T:
    try:
        return reader(glob)
    except GlobError as error:
        raise ToolError(str(error)) from error
