"""Finding files by name: fd's command line, or Python code that prints the same.

Source: tools spec, sections 9 and 14, rows 8, 9, 10 and 16.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from pi_agent.types import ToolError
from pi_tools.fallback.launch import find_command
from pi_tools.line_report import shown_path
from pi_tools.programs import find_fd
from pi_tools.search_program import SearchCommand, SearchEngine, run_search_program
from pi_tools.uninterrupted import in_thread

__all__ = ("FdFlags", "NameReader", "name_search_command")

_NO_REQUIRE_GIT = "--no-require-git"
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
            self._known[program] = _NO_REQUIRE_GIT.encode() in text
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

    A pattern with `/` is for whole paths. Raises ToolError if `engine` wants fd and there is none.
    """
    pattern = pattern.removeprefix("./")
    full_path = "/" in pattern
    if full_path and not pattern.startswith(("/", "**/")):
        pattern = f"**/{pattern}"
    program = None if engine == "python" else await in_thread(find_fd, bin_dir)
    if program is not None:
        argv = [program, "--color=never", "--hidden", "--print0", "--glob", "--exclude", ".git"]
        in_repository = await in_thread(_in_repository, directory)
        if in_repository or await flags.has_no_require_git(program):
            argv += [] if in_repository else [_NO_REQUIRE_GIT]
            argv += ["--full-path"] if full_path else []
            argv += ["--max-results", str(limit), "--", pattern, directory]
            return SearchCommand("fd", argv)
    if engine == "program":
        raise ToolError(
            "fd is not available and could not be downloaded"
            if program is None
            else f"fd is too old to search outside a git repository: it has no {_NO_REQUIRE_GIT}"
        )
    argv = find_command(pattern, directory, full_path=full_path, limit=limit)
    return SearchCommand("the Python search", argv)


def _in_repository(directory: str) -> bool:
    while not os.path.lexists(os.path.join(directory, ".git")):
        parent = os.path.dirname(directory)
        if parent == directory:
            return False
        directory = parent
    return True


class NameReader:
    """Reads paths that end with NUL, piece by piece; gives them relative to `directory`."""

    def __init__(self, directory: str) -> None:
        self._prefix = os.fsencode(directory.rstrip(os.sep) + os.sep)
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[str]:
        """The paths that are complete with this piece, as the model reads them."""
        *paths, self._rest = (self._rest + data).split(b"\0")
        if len(self._rest) > _MAX_PATH_BYTES:
            raise ToolError("The search printed what is no path")
        for path in paths:
            text = path.removeprefix(self._prefix).decode("utf-8", "replace")
            if os.sep != "/":
                text = text.replace(os.sep, "/")
            yield shown_path(text)
