"""Searching names, as fd does: a glob over base names or over absolute paths."""

from __future__ import annotations

import os
from typing import BinaryIO

from pi_tools.fallback.globs import compile_glob
from pi_tools.fallback.ignore_rules import IgnoreRules
from pi_tools.fallback.problems import Problems
from pi_tools.fallback.walk import walk

__all__ = ("search_names",)


def search_names(
    pattern: str,
    root: str,
    *,
    full_path: bool,
    limit: int,
    out: BinaryIO,
    problems: Problems,
) -> bool:
    """Write the absolute paths below `root` that match, each with a NUL; whether there are any.

    A pattern without capitals matches both cases, an empty one everything. `root` is the current
    directory. Raises GlobError.
    """
    glob = compile_glob(pattern or "*", ignore_case=not any(char.isupper() for char in pattern))
    root = root.rstrip("/")
    rules = IgnoreRules.above(os.getcwd(), require_repository=False)
    found = 0
    for entry in walk(rules, None, problems):
        path = f"{root}/{entry.path}"
        if glob.fullmatch(path if full_path else entry.name):
            end = b"/\0" if entry.is_directory else b"\0"
            out.write(os.fsencode(path) + end)
            found += 1
            if found == limit:
                break
    return found > 0
