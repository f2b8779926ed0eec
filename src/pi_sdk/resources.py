"""Context files (AGENTS.md and its kin) and the user's system prompt files.

Source: sdk spec, sections 6.1 and 6.2.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from pi_sdk.worktrees import find_nested_worktree

__all__ = (
    "CONTEXT_FILE_NAMES",
    "ContextFile",
    "read_context_files",
    "read_first_prompt_file",
    "read_prompt_file",
)

CONTEXT_FILE_NAMES = ("AGENTS.override.md", "AGENTS.md", "AGENTS.MD", "CLAUDE.md", "CLAUDE.MD")
"""Looked for in this order; the first one in a directory counts."""

_log = logging.getLogger(__name__)


class ContextFile(Struct, frozen=True):
    """A file of instructions and what it says."""

    path: Path
    content: str


def read_context_files(cwd: Path, agent_dir: Path) -> list[ContextFile]:
    """The agent directory's file, then those of the directories from the root down to `cwd`.

    One that cannot be read is passed over with a warning. In a git worktree inside its main
    checkout, the checkout's file gives way to the worktree's own of that name.
    """
    directories = dict.fromkeys([agent_dir, *reversed([cwd, *cwd.parents])])
    found: dict[Path, ContextFile] = {}
    for directory in directories:
        file = _first_in(directory)
        if file is not None:
            found.setdefault(directory, file)
    _drop_doubled(found, cwd)
    return list(found.values())


def _drop_doubled(found: dict[Path, ContextFile], cwd: Path) -> None:
    worktree = find_nested_worktree(cwd)
    if worktree is None:
        return
    own, main = found.get(worktree.root), found.get(worktree.main)
    if own is not None and main is not None and own.path.name == main.path.name:
        del found[worktree.main]


def _first_in(directory: Path) -> ContextFile | None:
    for path in _candidates(directory):
        try:
            return ContextFile(path, _read(path))
        except OSError as error:
            _log.warning("Could not read context file %s: %s", path, error)
    return None


def read_first_prompt_file(name: str, directories: Sequence[Path]) -> str | None:
    """The text of the first file of that name which can be read; None without one."""
    texts = (read_prompt_file(directory / name) for directory in directories)
    return next((text for text in texts if text is not None), None)


def read_prompt_file(path: Path) -> str | None:
    """The text of `SYSTEM.md` or `APPEND_SYSTEM.md`; None without one.

    One that cannot be read counts as none, with a warning.
    """
    try:
        return _read(path) if path.is_file() else None
    except OSError as error:
        _log.warning("Could not read %s: %s", path, error)
        return None


def _read(path: Path) -> str:
    # Bytes, as reading text would change the line ends.
    return path.read_bytes().decode("utf-8", "replace").removeprefix("\ufeff")


def _candidates(directory: Path) -> Sequence[Path]:
    return [path for name in CONTEXT_FILE_NAMES if (path := directory / name).is_file()]
