"""Which paths the .gitignore files around them leave out, directory by directory.

`pathspec` reads the patterns; it is loaded with the first of them.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Collection, Sequence
from typing import NamedTuple, Protocol, cast

__all__ = ("IgnoreRules", "open_regular")

_FILE_NAME = ".gitignore"
# What pathspec has no patterns of its own for, since it looks at whole paths: every directory,
# and every directory below one, which it takes for that one.
_EVERY_DIRECTORY = re.compile(r"(!?)(?:\*|/?\*\*)/")
_ANY_DIRECTORY = re.compile(r".*(?P<ps_d>/)", re.DOTALL)
_MAX_RULES_BYTES = 1024 * 1024
_OPEN_FLAGS = (
    getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)


class _Pattern(Protocol):
    """What is used of pathspec's patterns."""

    regex: re.Pattern[str] | None
    include: bool | None


class _Rule(NamedTuple):
    """One pattern. `parents`: it also matches what is below what it means, marked by `ps_d`."""

    regex: re.Pattern[str]
    ignores: bool
    parents: bool

    def matches(self, path: str, is_directory: bool) -> bool:
        if not self.parents:
            return self.regex.match(path) is not None
        subject = f"{path}/" if is_directory else path
        found = self.regex.match(subject)
        return found is not None and found.end("ps_d") in (-1, len(subject))


class _Level(NamedTuple):
    """The rules of one file, the last first. A path gets `prefix`, or loses `skip` characters."""

    rules: tuple[_Rule, ...]
    prefix: str = ""
    skip: int = 0

    def verdict(self, path: str, is_directory: bool) -> bool | None:
        path = self.prefix + path[self.skip :]
        for rule in self.rules:
            if rule.matches(path, is_directory):
                return rule.ignores
        return None


class IgnoreRules(NamedTuple):
    """The rules for the entries of one directory; paths are relative to the search's root.

    `require_repository`: .gitignore files count inside git repositories only.
    """

    levels: tuple[_Level, ...]
    in_repository: bool
    require_repository: bool

    @staticmethod
    def above(root: str, *, require_repository: bool) -> IgnoreRules:
        """The rules that come from the directories above the absolute path `root`."""
        levels: list[_Level] = []
        folder, below = root, ""
        in_repository = False
        while not in_repository and (parent := os.path.dirname(folder)) != folder:
            below = f"{os.path.basename(folder)}/{below}"
            folder = parent
            if rules := _read_rules(os.path.join(folder, _FILE_NAME)):
                levels.insert(0, _Level(rules, prefix=below))
            in_repository = os.path.lexists(os.path.join(folder, ".git"))
        if require_repository and not in_repository:
            levels.clear()
        return IgnoreRules(tuple(levels), in_repository, require_repository)

    def enter(self, path: str, names: Collection[str]) -> IgnoreRules:
        """The rules inside the directory `path`, `""` for the root, which has these entries."""
        rules = self
        if ".git" in names:
            rules = self._replace(levels=(), in_repository=True)
        if _FILE_NAME in names and (rules.in_repository or not rules.require_repository):
            own = _read_rules(os.path.join(path, _FILE_NAME))
            if own:
                level = _Level(own, skip=len(path) + 1 if path else 0)
                rules = rules._replace(levels=(*rules.levels, level))
        return rules

    def ignore(self, path: str, is_directory: bool) -> bool:
        """Whether the entry `path` of this directory is left out."""
        for level in reversed(self.levels):
            verdict = level.verdict(path, is_directory)
            if verdict is not None:
                return verdict
        return False


def open_regular(path: str) -> int | None:
    """A descriptor of a regular file; None for anything else, which could keep a reader waiting.

    Links are not followed. Raises OSError.
    """
    descriptor = os.open(path, os.O_RDONLY | _OPEN_FLAGS)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    return None


def _read_rules(path: str) -> tuple[_Rule, ...]:
    try:
        descriptor = open_regular(path)
    except OSError:
        return ()
    if descriptor is None:
        return ()
    with open(descriptor, "rb") as file:
        text = file.read(_MAX_RULES_BYTES).decode("utf-8", "replace").removeprefix("\ufeff")
    rules: list[_Rule] = []
    for line in reversed(text.split("\n")):
        rule = _rule(line.removesuffix("\r"))
        if rule is not None:
            rules.append(rule)
    return tuple(rules)


def _rule(line: str) -> _Rule | None:
    if not line.strip() or line.startswith("#"):
        return None
    from pathspec import GitIgnoreSpec

    if every := _EVERY_DIRECTORY.fullmatch(line.rstrip(" ")):
        return _Rule(_ANY_DIRECTORY, not every[1], parents=True)
    if line.endswith("/**/"):
        line = f"{line}*/"
    try:
        (pattern,) = cast(Sequence[_Pattern], GitIgnoreSpec.from_lines([line]).patterns)
    except ValueError:
        return None  # git, too, passes over what it cannot read.
    if pattern.regex is None or pattern.include is None:
        return None
    return _Rule(pattern.regex, pattern.include, "ps_d" in pattern.regex.groupindex)
