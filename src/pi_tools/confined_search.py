"""Searches that are held inside given directories.

A search runs in the real path of what was named, and no engine follows links below it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from pi_agent.types import ToolError
from pi_tools.paths import paths_of
from pi_tools.search_operations import (
    ContentSearch,
    DirectoryEntry,
    FoundLine,
    SearchEnd,
    SearchOperations,
)
from pi_tools.settled import settled

__all__ = ("ConfinedSearchOperations", "ResolvesPaths", "exists_inside")


class ResolvesPaths(Protocol):
    """Knows where paths lead, and which of these places are allowed."""

    async def real_path(self, path: str) -> str:
        """The real path behind `path`. Raises PathOutsideRootsError."""
        ...


async def exists_inside(path: str, paths: ResolvesPaths, operations: object) -> bool:
    """Whether `operations` know anything of that name; what `paths` refuse is not told."""
    try:
        real = await paths.real_path(path)
    except ToolError:
        return False
    return await settled(paths_of(operations).exists(real))


class ConfinedSearchOperations:
    """Any search operations, for the paths that `paths` lets through.

    Somebody who swaps a directory for a link while a search runs can lead it outside.
    """

    def __init__(self, operations: SearchOperations, paths: ResolvesPaths) -> None:
        self._operations = operations
        self._paths = paths

    async def search_contents(
        self, path: str, search: ContentSearch, *, take: Callable[[FoundLine], bool]
    ) -> SearchEnd:
        """See `SearchesContents`."""
        real = await self.real_path(path)
        return await self._operations.search_contents(real, search, take=take)

    async def search_names(
        self, pattern: str, directory: str, *, limit: int, take: Callable[[str], bool]
    ) -> SearchEnd:
        """See `SearchesNames`."""
        real = await self.real_path(directory)
        return await self._operations.search_names(pattern, real, limit=limit, take=take)

    async def list_directory(self, path: str) -> list[DirectoryEntry]:
        """The entries. What a link leads to is not told, since it may be outside."""
        entries = await self._operations.list_directory(await self.real_path(path))
        return [each._replace(is_directory=False) if each.is_link else each for each in entries]

    async def real_path(self, path: str) -> str:
        """The real path behind `path`. Raises PathOutsideRootsError."""
        return await self._paths.real_path(path)

    async def exists(self, path: str) -> bool:
        """Whether there is anything inside of that name; what is outside is not told."""
        return await exists_inside(path, self._paths, self._operations)

    async def home_directory(self) -> str:
        """The home directory of the place, which may be outside."""
        return await settled(paths_of(self._operations).home_directory())
