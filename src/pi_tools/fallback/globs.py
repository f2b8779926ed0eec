"""Globs as ripgrep and fd read them: `*` and `?` stay within a name, `**` and `{a,b}` work.

Matching takes time in proportion to the path's length, whatever the glob: what a star took is
never tried again, since the first place that fits is as good as any later one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

__all__ = ("GlobError", "GlobFilter", "compile_glob")

_MAX_ALTERNATIVES = 256
# Tokens that stand for themselves; every other one is the expression of one character.
_ANY_NAME, _ANY_PATH = "*", "**"
_OPEN, _COMMA, _CLOSE = "{", "{,", "{}"


class GlobError(ValueError):
    """A glob that cannot be read."""


def compile_glob(glob: str, *, ignore_case: bool = False) -> re.Pattern[str]:
    """A pattern for `fullmatch` over a path with `/`. Raises GlobError."""
    flags = re.DOTALL | (re.IGNORECASE if ignore_case else 0)
    tokens = list(_Reader(glob).tokens())
    return re.compile("|".join(map(_path_regex, _alternatives(tokens, glob))), flags)


class GlobFilter:
    """A glob to choose files by, or with `!` to leave them out, as one line of a .gitignore."""

    def __init__(self, glob: str) -> None:
        self._leave_out = glob.startswith("!")
        glob = glob.removeprefix("!")
        self._directories_only = glob.endswith("/")
        glob = glob.removesuffix("/")
        self._names_only = "/" not in glob
        self._pattern = compile_glob(glob.removeprefix("/"))

    def verdict(self, path: str, is_directory: bool) -> bool | None:
        """True: take the path, whatever ignore files say. False: leave it. None: they decide."""
        subject = path.rpartition("/")[2] if self._names_only else path
        matches = (is_directory or not self._directories_only) and self._pattern.fullmatch(subject)
        if self._leave_out:
            return False if matches else None
        if matches:
            return True
        return None if is_directory else False


class _Reader:
    """Splits one glob into tokens."""

    def __init__(self, glob: str) -> None:
        self._glob = glob
        self._at = 0
        self._depth = 0

    def tokens(self) -> Iterator[str]:
        while self._at < len(self._glob):
            yield self._next()
        if self._depth:
            raise GlobError(f"{self._glob!r} is no glob: a {{ has no }}")

    def _next(self) -> str:
        char = self._glob[self._at]
        self._at += 1
        match char:
            case "*":
                return self._stars()
            case "?":
                return "[^/]"
            case "[":
                return self._class()
            case "{":
                self._depth += 1
                return _OPEN
            case "}" if self._depth:
                self._depth -= 1
                return _CLOSE
            case "," if self._depth:
                return _COMMA
            case "\\":
                return self._escaped()
            case _:
                return re.escape(char)

    def _stars(self) -> str:
        start = self._at - 1
        while self._glob[self._at : self._at + 1] == "*":
            self._at += 1
        return _ANY_PATH if self._at - start == 2 else _ANY_NAME

    def _class(self) -> str:
        end = self._glob.find(
            "]", self._at + (self._glob[self._at : self._at + 1] in ("!", "^")) + 1
        )
        if end < 0:
            raise GlobError(f"{self._glob!r} is no glob: a [ has no ]")
        body = self._glob[self._at : end]
        self._at = end + 1
        negated = body[0] in "!^"
        items = re.sub(r"([\\\[\]^&~|])", r"\\\1", body[1:] if negated else body)
        try:
            re.compile(f"[{items}]")
        except re.error as error:
            raise GlobError(f"{self._glob!r} is no glob: {error.msg}") from None
        return f"(?!/)[^{items}]" if negated else f"[{items}]"

    def _escaped(self) -> str:
        if self._at == len(self._glob):
            raise GlobError(f"{self._glob!r} is no glob: nothing follows the last \\")
        self._at += 1
        return re.escape(self._glob[self._at - 1])


def _alternatives(tokens: Sequence[str], glob: str) -> list[list[str]]:
    """The tokens with each choice of one part of every `{a,b}`."""
    found: list[list[str]] = [[]]
    # Of each `{` around the current token: what stood before it, and the parts read so far.
    around: list[tuple[list[list[str]], list[list[str]]]] = []
    for token in tokens:
        match token:
            case "{":
                around.append((found, []))
                found = [[]]
            case "{,":
                around[-1][1].extend(found)
                found = [[]]
            case "{}":
                before, parts = around.pop()
                parts += found
                if len(before) * len(parts) > _MAX_ALTERNATIVES:
                    raise GlobError(
                        f"{glob!r} means more than {_MAX_ALTERNATIVES} globs: use fewer braces"
                    )
                found = [[*start, *part] for start in before for part in parts]
            case _:
                for each in found:
                    each.append(token)
    return found


def _path_regex(tokens: Sequence[str]) -> str:
    segments: list[list[str]] = [[]]
    for token in tokens:
        if token == "/":
            segments.append([])
        else:
            segments[-1].append(token)
    last = len(segments) - 1
    groups = [""]
    for index, segment in enumerate(segments):
        if segment == [_ANY_PATH] and index < last:
            groups.append("")
        elif segment == [_ANY_PATH]:
            # The rest of the path: what is before it is as good at its first place as anywhere.
            groups.append(".+" if index else ".*")
            return _join(groups[:-1], closed=True) + groups[-1]
        else:
            groups[-1] += _name_regex(segment) + ("/" if index < last else "")
    return _join(groups, closed=False)


def _join(groups: Sequence[str], *, closed: bool) -> str:
    """The parts between one `**/` and the next; `closed` if the last one, too, has a `**` after."""
    first, *others = groups
    regex = first
    for number, group in enumerate(others, 1):
        if number < len(others) or closed:
            regex += f"(?>(?:[^/]*/)*?{group})"
        else:
            regex += f"(?:[^/]*/)*{group}"
    return regex


def _name_regex(tokens: Sequence[str]) -> str:
    runs = [""]
    for token in tokens:
        if token in (_ANY_NAME, _ANY_PATH):
            runs.append("")
        else:
            runs[-1] += token
    first, *others = runs
    if not others:
        return first
    return first + "".join(f"(?>[^/]*?{run})" for run in others[:-1]) + f"[^/]*{others[-1]}"
