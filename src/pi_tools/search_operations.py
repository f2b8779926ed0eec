"""The search tools' way to the outside: protocols to replace, and the local file system.

All paths are absolute. A method may raise anything; the error's text reaches the model. What
searches files' contents is always a program of this machine: see ripgrep.py.
Source: tools spec, sections 8 to 10.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from typing import Protocol

from pi_tools.os_errors import file_system_errors
from pi_tools.uninterrupted import in_thread

__all__ = ("FindOperations", "GrepOperations", "LocalSearchOperations", "LsOperations")


class GrepOperations(Protocol):
    """What `grep` needs."""

    async def is_directory(self, path: str) -> bool:
        """Whether it is one, links followed. Raises if there is nothing of that name."""
        ...


class FindOperations(Protocol):
    """Finds files for `find`, in place of the local programs."""

    async def exists(self, path: str) -> bool:
        """Whether there is anything of that name."""
        ...

    async def glob(self, pattern: str, cwd: str, *, ignore: Sequence[str], limit: int) -> list[str]:
        """At most `limit` paths below `cwd` that match, relative to it or absolute.

        Those that match a pattern of `ignore` are left out. A directory may end with `/`.
        """
        ...


class LsOperations(Protocol):
    """What `ls` needs."""

    async def exists(self, path: str) -> bool:
        """Whether there is anything of that name, links followed."""
        ...

    async def is_directory(self, path: str) -> bool:
        """Whether it is one, links followed. Raises if it is missing, such as a broken link."""
        ...

    async def readdir(self, path: str) -> list[str]:
        """The names of a directory's entries, in any order."""
        ...


class LocalSearchOperations:
    """Directories of this machine: `GrepOperations` and `LsOperations`."""

    async def exists(self, path: str) -> bool:
        """Whether there is anything of that name, links followed."""
        return await in_thread(os.path.exists, path)

    async def is_directory(self, path: str) -> bool:
        """Whether it is one. Raises FileSystemError if it is missing or cannot be looked at."""
        return await in_thread(_is_directory, path)

    async def readdir(self, path: str) -> list[str]:
        """The names in a directory. Raises FileSystemError if it cannot be read."""
        return await in_thread(_readdir, path)


def _is_directory(path: str) -> bool:
    with file_system_errors("stat", path):
        return stat.S_ISDIR(os.stat(path).st_mode)


def _readdir(path: str) -> list[str]:
    with file_system_errors("scandir", path):
        return os.listdir(path)
