"""Globs as ripgrep and fd read them: `*` and `?` stay within a name, `**` and `{a,b}` work."""

from __future__ import annotations

import re

__all__ = ("GlobError", "GlobFilter", "compile_glob")


class GlobError(ValueError):
    """A glob that cannot be read."""


def compile_glob(glob: str, *, ignore_case: bool = False) -> re.Pattern[str]:
    """A pattern for `fullmatch` over a path with `/`. Raises GlobError."""
    flags = re.DOTALL | (re.IGNORECASE if ignore_case else 0)
    return re.compile(_Reader(glob).read(), flags)


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
    """Turns one glob into a regular expression."""

    def __init__(self, glob: str) -> None:
        self._glob = glob
        self._at = 0
        self._depth = 0

    def read(self) -> str:
        parts: list[str] = []
        while self._at < len(self._glob):
            parts.append(self._next())
        if self._depth:
            raise GlobError(f"{self._glob!r} is no glob: a {{ has no }}")
        return "".join(parts)

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
                return "(?:"
            case "}" if self._depth:
                self._depth -= 1
                return ")"
            case "," if self._depth:
                return "|"
            case "\\":
                return self._escaped()
            case _:
                return re.escape(char)

    def _stars(self) -> str:
        start = self._at - 1
        while self._glob[self._at : self._at + 1] == "*":
            self._at += 1
        before = self._glob[start - 1 : start]
        after = self._glob[self._at : self._at + 1]
        if self._at - start != 2 or before not in ("", "/") or after not in ("", "/"):
            return "[^/]*"
        if not after:
            return ".*" if not before else ".+"
        self._at += 1
        return "(?:.*/)?"

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
