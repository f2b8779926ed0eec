"""Searching this machine: ripgrep and fd, or Python code of this package, and directories.

Source: tools spec, sections 8 to 10.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable

from pi_agent.types import ToolError
from pi_tools.encoding import well_formed
from pi_tools.fd import FdFlags, NameReader, name_search_command
from pi_tools.line_report import shown_path
from pi_tools.match_lines import MatchReader
from pi_tools.os_errors import file_system_errors
from pi_tools.paths import absolute_cwd
from pi_tools.ripgrep import content_search_command
from pi_tools.search_operations import ContentSearch, DirectoryEntry, FoundLine, SearchEnd
from pi_tools.search_program import SearchEngine, run_search_program
from pi_tools.uninterrupted import in_thread

__all__ = ("LocalSearchOperations",)


class LocalSearchOperations:
    """What grep, find and ls need, on this machine.

    `bin_dir` is where ripgrep and fd are looked for first; `engine` says who may search.
    """

    def __init__(
        self,
        *,
        bin_dir: str | os.PathLike[str] | None = None,
        engine: SearchEngine = "auto",
    ) -> None:
        self._bin_dir = None if bin_dir is None else absolute_cwd(bin_dir)
        self._engine: SearchEngine = engine
        self._flags = FdFlags()

    async def search_contents(
        self, path: str, search: ContentSearch, *, take: Callable[[FoundLine], bool]
    ) -> SearchEnd:
        """See `SearchesContents`. Raises ToolError too for what is neither file nor directory."""
        mode = await _mode(path)
        if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
            raise ToolError(f"Not a regular file: {well_formed(path)}")
        file = None if stat.S_ISDIR(mode) else path
        command = await content_search_command(
            search, file, engine=self._engine, bin_dir=self._bin_dir
        )
        reader = MatchReader(name=None if file is None else shown_path(os.path.basename(file)))
        end = await run_search_program(
            command,
            cwd=path if file is None else os.path.dirname(file),
            take=lambda data: all(map(take, reader.feed(data))),
        )
        if end.exit_code in (0, 1):
            return SearchEnd()
        return SearchEnd(end.errors or f"{command.name} exited with code {end.exit_code}")

    async def search_names(
        self, pattern: str, directory: str, *, limit: int, take: Callable[[str], bool]
    ) -> SearchEnd:
        """See `SearchesNames`."""
        if not stat.S_ISDIR(await _mode(directory)):
            raise ToolError(f"Not a directory: {well_formed(directory)}")
        command = await name_search_command(
            pattern,
            directory,
            limit=limit,
            engine=self._engine,
            bin_dir=self._bin_dir,
            flags=self._flags,
        )
        reader = NameReader(directory)
        end = await run_search_program(
            command, cwd=directory, take=lambda data: all(map(take, reader.feed(data)))
        )
        # fd gives 1 both for no results and for what it could not look at.
        if not end.exit_code or (end.exit_code == 1 and not end.errors):
            return SearchEnd()
        return SearchEnd(end.errors or f"{command.name} exited with code {end.exit_code}")

    async def list_directory(self, path: str) -> list[DirectoryEntry]:
        """See `ListsDirectories`."""
        return await in_thread(_list_directory, path)

    async def real_path(self, path: str) -> str:
        """`path` with every link in it resolved; it need not exist."""
        return await in_thread(os.path.realpath, path)


async def _mode(path: str) -> int:
    try:
        return (await in_thread(os.stat, path)).st_mode
    except (OSError, ValueError) as error:
        raise ToolError(f"Path not found: {well_formed(path)}") from error


def _list_directory(path: str) -> list[DirectoryEntry]:
    with file_system_errors("scandir", path):
        if not os.path.exists(path):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        with os.scandir(path) as entries:
            return [
                DirectoryEntry(each.name, _is_directory(each), each.is_symlink())
                for each in entries
            ]


def _is_directory(entry: os.DirEntry[str]) -> bool | None:
    try:
        if entry.is_dir():
            return True
        return False if not entry.is_symlink() or os.path.exists(entry.path) else None
    except OSError:
        return None
