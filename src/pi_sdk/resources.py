"""Context files: what a user or a project tells every agent, in AGENTS.md and its kin.

Source: sdk spec, section 6.1.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ("CONTEXT_FILE_NAMES", "ContextFile", "read_context_files")

CONTEXT_FILE_NAMES = ("AGENTS.override.md", "AGENTS.md", "AGENTS.MD", "CLAUDE.md", "CLAUDE.MD")
"""Looked for in this order; the first one in a directory counts."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ContextFile:
    """A file of instructions and what it says."""

    path: Path
    content: str


def read_context_files(cwd: Path, agent_dir: Path) -> list[ContextFile]:
    """The agent directory's file, then those of the directories from the root down to `cwd`.

    One that cannot be read is passed over with a warning.
    """
    directories = [agent_dir, *reversed([cwd, *cwd.parents])]
    found: dict[Path, ContextFile] = {}
    for directory in directories:
        file = _first_in(directory)
        if file is not None:
            found.setdefault(file.path, file)
    return list(found.values())


def _first_in(directory: Path) -> ContextFile | None:
    for path in _candidates(directory):
        try:
            return ContextFile(path, path.read_text(encoding="utf-8-sig", errors="replace"))
        except OSError as error:
            _log.warning("Could not read context file %s: %s", path, error)
    return None


def _candidates(directory: Path) -> Sequence[Path]:
    return [path for name in CONTEXT_FILE_NAMES if (path := directory / name).is_file()]
