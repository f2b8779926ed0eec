"""Linked git worktrees inside their main checkout, told from the files that git writes."""

from __future__ import annotations

import os
import re
from pathlib import Path

from msgspec import Struct

__all__ = ("NestedWorktree", "find_nested_worktree")

_GITDIR = re.compile(r"gitdir:\s*(.+?)\s*\Z")
_BARE = re.compile(r"^\s*bare\s*=\s*true\s*$", re.MULTILINE | re.IGNORECASE)


class NestedWorktree(Struct, frozen=True):
    """The root of a worktree, and that of the checkout it lies in."""

    root: Path
    main: Path


def find_nested_worktree(cwd: Path) -> NestedWorktree | None:
    """The linked worktree that `cwd` is in, if that lies inside its main checkout.

    None in a main checkout, in a worktree beside it, in one of a bare repository, in a submodule,
    and where there is no git at all.
    """
    # Not Path.exists, which raises where a directory may not be looked into.
    root = next((path for path in (cwd, *cwd.parents) if os.path.exists(path / ".git")), None)
    if root is None or not os.path.isfile(root / ".git"):
        return None
    gitdir = _gitdir(root)
    # <main>/.git/worktrees/<name>
    if gitdir is None or gitdir.parent.name != "worktrees" or gitdir.parents[1].name != ".git":
        return None
    main = next((path for path in root.parents if path.resolve() == gitdir.parents[2]), None)
    if main is None or _is_bare(gitdir.parents[1]):
        return None
    return NestedWorktree(root, main)


def _gitdir(root: Path) -> Path | None:
    found = _GITDIR.match(_read(root / ".git"))
    return (root / found[1]).resolve() if found else None


def _is_bare(repository: Path) -> bool:
    return _BARE.search(_read(repository / "config")) is not None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
