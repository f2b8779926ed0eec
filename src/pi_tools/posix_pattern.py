"""Regular expressions as models write them, in the extended form of POSIX that `grep -E` reads.

For telling whether a line matches, which needs no groups and no laziness.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from pi_agent.types import ToolError

__all__ = ("PosixPattern", "posix_pattern")

_CLASSES = {"d": "0-9", "w": "[:alnum:]_", "s": "[:space:]"}
_CHARACTERS = {"t": "\t", "r": "\r", "f": "\f", "v": "\v", "a": "\a", "e": "\x1b", "0": "\0"}
_ANCHORS = {"A": "^", "z": "$", "Z": "$"}
_SPECIAL = frozenset(".[]\\()*+?{}|^$")
_HEX = re.compile(r"x([0-9A-Fa-f]{2})|x\{([0-9A-Fa-f]{1,6})\}|u([0-9A-Fa-f]{4})")
_COUNT = re.compile(r"\{(\d*)(,?)(\d*)\}")
_GROUP = re.compile(r"\(\?(?::|P?<[A-Za-z_]\w*>)")
_NAMED_CLASS = re.compile(r"\[:\^?[a-z]+:\]")


class PosixPattern(NamedTuple):
    """An expression for `grep -E`. `word_edges`: it has a `\\b`, which not every grep knows."""

    text: str
    word_edges: bool


def posix_pattern(pattern: str) -> PosixPattern:
    """`pattern` for `grep -E`. Raises ToolError, which says what there is no form for."""
    if "\n" in pattern:
        raise ToolError("A pattern cannot hold a line break: lines are searched one by one")
    return _Translator(pattern).run()


class _Translator:
    """Goes through one pattern."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._at = 0
        self._word_edges = False

    def run(self) -> PosixPattern:
        parts: list[str] = []
        while self._at < len(self._pattern):
            parts.append(self._next())
        return PosixPattern("".join(parts), self._word_edges)

    def _next(self) -> str:
        char = self._pattern[self._at]
        self._at += 1
        match char:
            case "\\":
                return self._escape()
            case "[":
                return self._class()
            case "(":
                return self._group()
            case "*" | "+" | "?":
                return self._repeated(char)
            case "{":
                return self._count()
            case "}":
                return "\\}"
            case _:
                return char

    def _escape(self) -> str:
        char = self._take()
        if char in "bB":
            self._word_edges = True
            return f"\\{char}"
        if char in _ANCHORS:
            return _ANCHORS[char]
        if char.lower() in _CLASSES:
            return f"[{'^' if char.isupper() else ''}{_CLASSES[char.lower()]}]"
        return _literal(self._character(char))

    def _character(self, char: str) -> str:
        """The one character that a backslash and `char` mean."""
        if found := _HEX.match(self._pattern, self._at - 1):
            self._at = found.end()
            code = int(next(filter(None, found.groups())), 16)
            if code in (0, 10) or code > 0x10FFFF or 0xD800 <= code < 0xE000:
                raise self._unknown(found[0])
            return chr(code)
        if char in _CHARACTERS and char != "0":
            return _CHARACTERS[char]
        if char.isascii() and char.isalnum():
            raise self._unknown(f"\\{char}")
        return char

    def _group(self) -> str:
        if found := _GROUP.match(self._pattern, self._at - 1):
            self._at = found.end()
        elif self._pattern.startswith("?", self._at):
            raise self._unknown(self._pattern[self._at - 1 : self._at + 3])
        return "("

    def _repeated(self, times: str) -> str:
        if self._pattern.startswith("?", self._at):
            self._at += 1
        elif self._pattern.startswith("+", self._at):
            raise self._unknown(f"{times}+")
        return times

    def _count(self) -> str:
        found = _COUNT.match(self._pattern, self._at - 1)
        if found is None or not (found[1] or found[3]):
            return "\\{"
        self._at = found.end()
        return self._repeated(f"{{{found[1] or 0}{found[2]}{found[3]}}}")

    def _class(self) -> str:
        negated = self._pattern.startswith("^", self._at)
        self._at += negated
        members: list[str] = []
        while not (members and self._pattern.startswith("]", self._at)):
            members.append(self._member(first=not members))
        self._at += 1
        return _bracket(members, negated=negated)

    def _member(self, *, first: bool) -> str:
        """A character, a range or a named class, as it stands between brackets."""
        if found := _NAMED_CLASS.match(self._pattern, self._at):
            if "^" in found[0]:
                raise self._unknown(found[0])
            self._at = found.end()
            return found[0]
        if self._pattern.startswith(("&&", "--", "~~"), self._at) and not first:
            raise self._unknown(self._pattern[self._at : self._at + 2])
        if self._pattern.startswith("[", self._at):
            raise self._unknown("[ within [...]; write \\[")
        start = self._one()
        is_range = self._pattern.startswith("-", self._at) and not self._pattern.startswith(
            "-]", self._at
        )
        if len(start) > 1 or not is_range:
            return start
        self._at += 1
        end = self._one()
        if len(end) > 1 or end < start:
            raise ToolError(f"regex parse error: bad range {start}-{end}")
        if {start, end} & set("]\\-^["):
            # An end that means something else between brackets.
            return "".join(map(chr, range(ord(start), ord(end) + 1))) if end < "\x7f" else start
        return f"{start}-{end}"

    def _one(self) -> str:
        """One character of a class, or the members that an escape such as `\\d` stands for."""
        char = self._take()
        if char != "\\":
            return char
        char = self._take()
        if char in _CLASSES:
            return _CLASSES[char]
        return "\b" if char == "b" else self._character(char)

    def _take(self) -> str:
        if self._at >= len(self._pattern):
            raise ToolError("regex parse error: the pattern ends too early")
        self._at += 1
        return self._pattern[self._at - 1]

    @staticmethod
    def _unknown(what: str) -> ToolError:
        return ToolError(
            f"regex parse error: without ripgrep, patterns are those of grep -E, which does not "
            f"know {what}. Use a simpler pattern, or install ripgrep (rg) there"
        )


def _literal(char: str) -> str:
    return f"\\{char}" if char in _SPECIAL else char


def _bracket(members: list[str], *, negated: bool) -> str:
    """A bracket expression: nothing can be escaped in it, so the place decides."""
    singles = {char for member in members if _is_plain(member) for char in member}
    others = [member for member in members if not _is_plain(member)]
    plain = "".join(sorted(singles - set("]^-[")))
    if not negated and not others and singles == {"^"}:
        return "\\^"
    body = "".join(
        [
            "]" if "]" in singles else "",
            plain,
            *others,
            "[" if "[" in singles else "",
            "^" if "^" in singles else "",
            "-" if "-" in singles else "",
        ]
    )
    if body.startswith("^") and not negated:
        body = f"{body[1:-1]}^-" if body.endswith("-") else f"{body[1:]}^"
    return f"[{'^' if negated else ''}{body}]"


def _is_plain(member: str) -> bool:
    return not (len(member) == 3 and member[1] == "-") and "[:" not in member
