"""Finding files by name: fd's command line, or Python code that prints the same.

Source: tools spec, sections 9 and 14, rows 8, 9, 10 and 16.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from pi_agent.types import ToolError
from pi_tools.fallback.launch import find_command
from pi_tools.line_report import shown_path
from pi_tools.programs import find_fd
from pi_tools.search_program import SearchCommand, SearchEngine, run_search_program
from pi_tools.uninterrupted import in_thread

__all__ = (
    "NO_REQUIRE_GIT",
    "FdFlags",
    "NamePattern",
    "NameReader",
    "fd_argv",
    "name_search_command",
)

NO_REQUIRE_GIT = "--no-require-git"
"""The option of fd 8.7 and newer to honour .gitignore files outside repositories."""

_MAX_HELP_BYTES = 256 * 1024
_MAX_PATH_BYTES = 64 * 1024


class FdFlags:
    """Asks each fd once whether it can honour .gitignore files outside repositories."""

    def __init__(self) -> None:
        self._known: dict[str, bool] = {}

    async def has_no_require_git(self, program: str) -> bool:
        """Whether the fd at this path takes `--no-require-git`."""
        if program not in self._known:
            text = bytearray()

            def take(data: bytes) -> bool:
                text.extend(data)
                return len(text) < _MAX_HELP_BYTES

            await run_search_program(
                SearchCommand("fd", [program, "--help"]), cwd=os.sep, take=take
            )
            self._known[program] = NO_REQUIRE_GIT.encode() in text
        return self._known[program]


async def name_search_command(
    pattern: str,
    directory: str,
    *,
    limit: int,
    engine: SearchEngine,
    bin_dir: str | None,
    flags: FdFlags,
) -> SearchCommand:
    """The program that finds up to `limit` paths; it prints what `NameReader` reads.

    Raises ToolError if `engine` wants fd and there is none.
    """
    wanted = NamePattern.of(pattern)
    program = None if engine == "python" else await in_thread(find_fd, bin_dir)
    if program is not None:
        in_repository = await in_thread(_in_repository, directory)
        if in_repository or await flags.has_no_require_git(program):
            more = () if in_repository else (NO_REQUIRE_GIT,)
            return SearchCommand("fd", fd_argv(program, wanted, directory, limit=limit, more=more))
    if engine == "program":
        raise ToolError(
            "fd is not available and could not be downloaded"
            if program is None
            else f"fd is too old to search outside a git repository: it has no {NO_REQUIRE_GIT}"
        )
    argv = find_command(wanted.glob, directory, full_path=wanted.full_path, limit=limit)
    return SearchCommand("the Python search", argv)


class NamePattern(NamedTuple):
    """A glob as fd takes it: for whole paths, or for names at any depth."""

    glob: str
    full_path: bool

    @staticmethod
    def of(pattern: str) -> NamePattern:
        """What the model means by `pattern`: with `/` it is for whole paths."""
        glob = pattern.removeprefix("./")
        full_path = "/" in glob
        if full_path and not glob.startswith(("/", "**/")):
            glob = f"**/{glob}"
        return NamePattern(glob, full_path)


def fd_argv(
    program: str, pattern: NamePattern, directory: str, *, limit: int, more: Sequence[str] = ()
) -> list[str]:
    """fd's words to find up to `limit` paths below `directory`; `more` are further options."""
    return [
        program,
        *("--color=never", "--hidden", "--print0", "--glob", "--exclude", ".git", *more),
        *(("--full-path",) if pattern.full_path else ()),
        *("--max-results", str(limit), "--", pattern.glob, directory),
    ]


def _in_repository(directory: str) -> bool:
    while not os.path.lexists(os.path.join(directory, ".git")):
        parent = os.path.dirname(directory)
        if parent == directory:
            return False
        directory = parent
    return True


class NameReader:
    """Reads paths that end with NUL, piece by piece; gives them relative to `directory`.

    `accepts` chooses among them; it does not get the `/` that directories end with.
    """

    def __init__(self, directory: str, accepts: Callable[[str], bool] | None = None) -> None:
        self._prefix = os.fsencode(directory.rstrip(os.sep) + os.sep)
        self._accepts = accepts
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[str]:
        """The paths that are complete with this piece, as the model reads them."""
        *paths, self._rest = (self._rest + data).split(b"\0")
        if len(self._rest) > _MAX_PATH_BYTES:
            raise ToolError("The search printed what is no path")
        for path in paths:
            relative = path.removeprefix(self._prefix)
            if self._accepts is not None and not self._accepts(os.fsdecode(relative.rstrip(b"/"))):
                continue
            text = relative.decode("utf-8", "replace")
            if os.sep != "/":
                text = text.replace(os.sep, "/")
            yield shown_path(text)
