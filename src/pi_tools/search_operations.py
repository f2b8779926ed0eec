"""The search tools' way to the outside: protocols to replace, and what they hand over.

All paths are absolute. A method may raise anything; the error's text reaches the model. The methods
of `GrepOperations`, `FindOperations` and `LsOperations` need not be asynchronous.
Source: tools spec, sections 8 to 10.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

from msgspec import Struct

from pi_agent.types import MaybeAwaitable

__all__ = (
    "ContentSearch",
    "DirectoryEntry",
    "FindOperations",
    "FoundLine",
    "GrepOperations",
    "ListsDirectories",
    "LsOperations",
    "SearchEnd",
    "SearchOperations",
    "SearchesContents",
    "SearchesNames",
)


class ContentSearch(Struct, frozen=True, kw_only=True):
    """What to look for in files. `context` is in lines; `glob` chooses files of a directory."""

    pattern: str
    glob: str | None = None
    ignore_case: bool = False
    literal: bool = False
    context: int = 0


class FoundLine(NamedTuple):
    """A line of a file, from its beginning: one that matches, or one near it.

    `path` is as the model reads it, relative to the directory searched, or a file's name.
    """

    path: str
    number: int
    is_match: bool
    text: str


class SearchEnd(NamedTuple):
    """How a search ended: why something could not be searched, and what else is to be known."""

    failure: str = ""
    note: str = ""


class DirectoryEntry(NamedTuple):
    """A name in a directory. `is_directory`, links followed, is None for a broken link."""

    name: str
    is_directory: bool | None
    is_link: bool = False


class GrepOperations(Protocol):
    """What `grep` needs. See also `SearchesContents`."""

    def is_directory(self, path: str) -> MaybeAwaitable[bool]:
        """Whether it is one, links followed. Raises if there is nothing of that name."""
        ...


@runtime_checkable
class SearchesContents(Protocol):
    """Optional for `grep`; without it a program of this machine searches."""

    async def search_contents(
        self, path: str, search: ContentSearch, *, take: Callable[[FoundLine], bool]
    ) -> SearchEnd:
        """Give `take` the lines that match in a file or below a directory, until it says False.

        Their paths are relative to the directory, or the file's name. Raises ToolError if the
        search cannot begin.
        """
        ...


class FindOperations(Protocol):
    """Finds files for `find`, in place of the local programs."""

    def exists(self, path: str) -> MaybeAwaitable[bool]:
        """Whether there is anything of that name."""
        ...

    def glob(
        self, pattern: str, cwd: str, *, ignore: Sequence[str], limit: int
    ) -> MaybeAwaitable[list[str]]:
        """At most `limit` paths below `cwd` that match, relative to it or absolute.

        Those that match a pattern of `ignore` are left out. A directory may end with `/`.
        """
        ...


@runtime_checkable
class SearchesNames(Protocol):
    """Finds files for `find` too, and tells what it could not search."""

    async def search_names(
        self, pattern: str, directory: str, *, limit: int, take: Callable[[str], bool]
    ) -> SearchEnd:
        """Give `take` at most `limit` matching paths below `directory`, until it says False.

        They are relative, as the model reads them; directories end with `/`. Raises ToolError if
        the search cannot begin.
        """
        ...


class LsOperations(Protocol):
    """What `ls` needs. See also `ListsDirectories`."""

    def exists(self, path: str) -> MaybeAwaitable[bool]:
        """Whether there is anything of that name, links followed."""
        ...

    def is_directory(self, path: str) -> MaybeAwaitable[bool]:
        """Whether it is one, links followed. Raises if it is missing, such as a broken link."""
        ...

    def readdir(self, path: str) -> MaybeAwaitable[list[str]]:
        """The names of a directory's entries, in any order."""
        ...


@runtime_checkable
class ListsDirectories(Protocol):
    """Enough for `ls`, in one call."""

    async def list_directory(self, path: str) -> list[DirectoryEntry]:
        """A directory's entries, in any order.

        Raises FileSystemError: ENOENT if there is nothing of that name, ENOTDIR if it is no
        directory, another code if it cannot be read.
        """
        ...


@runtime_checkable
class SearchOperations(Protocol):
    """All that grep, find and ls can use, in one: the local, prefixed and confined ones."""

    async def search_contents(
        self, path: str, search: ContentSearch, *, take: Callable[[FoundLine], bool]
    ) -> SearchEnd:
        """See `SearchesContents`."""
        ...

    async def search_names(
        self, pattern: str, directory: str, *, limit: int, take: Callable[[str], bool]
    ) -> SearchEnd:
        """See `SearchesNames`."""
        ...

    async def list_directory(self, path: str) -> list[DirectoryEntry]:
        """See `ListsDirectories`."""
        ...

    async def real_path(self, path: str) -> str:
        """`path` with every link in it resolved; it need not exist."""
        ...
