"""Everything below the current directory, in the order of the paths, without what is ignored."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple

from pi_tools.fallback.globs import GlobFilter
from pi_tools.fallback.ignore_rules import IgnoreRules
from pi_tools.fallback.problems import Problems

__all__ = ("Entry", "walk")


class Entry(NamedTuple):
    """A path relative to the root, with `/`. A link is neither a directory nor a file."""

    path: str
    name: str
    is_directory: bool
    is_file: bool


def walk(rules: IgnoreRules, chosen: GlobFilter | None, problems: Problems) -> Iterator[Entry]:
    """Entries below the current directory; links are not followed, and `.git` is left out.

    `chosen` comes before ignore files.
    """
    stack = [_entries("", rules, chosen, problems)]
    while stack:
        for entry, inner in stack[-1]:
            yield entry
            if entry.is_directory:
                stack.append(_entries(entry.path, inner, chosen, problems))
                break
        else:
            stack.pop()


def _entries(
    folder: str, rules: IgnoreRules, chosen: GlobFilter | None, problems: Problems
) -> Iterator[tuple[Entry, IgnoreRules]]:
    prefix = f"{folder}/" if folder else ""
    try:
        with os.scandir(folder or ".") as found:
            entries = [
                Entry(
                    prefix + item.name,
                    item.name,
                    item.is_dir(follow_symlinks=False),
                    item.is_file(follow_symlinks=False),
                )
                for item in found
            ]
    except OSError as error:
        problems.unreadable(folder, error)
        return
    rules = rules.enter(folder, {entry.name for entry in entries})
    # As whole paths compare: what is in `a` comes after `a.txt`.
    entries.sort(key=lambda entry: f"{entry.name}/" if entry.is_directory else entry.name)
    for entry in entries:
        if entry.name == ".git":
            continue
        verdict = None if chosen is None else chosen.verdict(entry.path, entry.is_directory)
        if verdict is None:
            verdict = not rules.ignore(entry.path, entry.is_directory)
        if verdict:
            yield entry, rules
