"""Searches that are held inside given directories.

A search runs in the real path of what was named, and no engine follows links below it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from pi_tools.search_operations import (
    ContentSearch,
    DirectoryEntry,
    FoundLine,
    SearchEnd,
    SearchOperations,
)

__all__ = ("ConfinedSearchOperations", "ResolvesPaths")


class ResolvesPaths(Protocol):
    """Knows where paths lead, and which of these places are allowed."""

    async def real_path(self, path: str) -> str:
        """The real path behind `path`. Raises PathOutsideRootsError."""
        ...


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
