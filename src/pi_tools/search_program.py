"""Running a program that searches: its output as it comes, killed when there is enough of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Literal, NamedTuple, TypeAlias

from pi_agent.types import ToolError
from pi_tools.encoding import encode_text, well_formed
from pi_tools.os_errors import FileSystemError
from pi_tools.process import run_process
from pi_tools.uninterrupted import in_thread

__all__ = (
    "ProgramEnd",
    "SearchCommand",
    "SearchEngine",
    "program_argument",
    "run_search_program",
)

SearchEngine: TypeAlias = Literal["auto", "program", "python"]
"""Who searches: ripgrep and fd or nobody (`program`), Python code of this package (`python`),
or the programs where they are installed and Python code elsewhere (`auto`)."""

_MAX_ARGUMENT_BYTES = 64 * 1024
_MAX_ERROR_BYTES = 8 * 1024


class SearchCommand(NamedTuple):
    """A program that searches: its name in errors, and how to run it."""

    name: str
    argv: list[str]


class ProgramEnd(NamedTuple):
    """How a program ended: its exit code, 0 if it was stopped, and what it complained of."""

    exit_code: int
    errors: str


class _Enough(Exception):
    """There is no use for more output."""


def program_argument(field: str, text: str) -> str:
    """`text` as a program can take it. Raises ToolError if there is no such form."""
    if "\0" in text:
        raise ToolError(f"{field} cannot contain a NUL character")
    size = len(encode_text(text))
    if size > _MAX_ARGUMENT_BYTES:
        raise ToolError(f"{field} has {size} bytes; at most {_MAX_ARGUMENT_BYTES} are possible")
    return well_formed(text)


async def run_search_program(
    command: SearchCommand, *, cwd: str, take: Callable[[bytes], bool]
) -> ProgramEnd:
    """Run a program in `cwd` until it ends, or until `take` says False of a piece of its output.

    It is killed when the task is cancelled. Raises ToolError
    if it cannot be started, and what `take` raises.
    """
    errors = bytearray()

    def on_data(data: bytes) -> None:
        if not take(data):
            raise _Enough

    def on_error_data(data: bytes) -> None:
        errors.extend(data[: _MAX_ERROR_BYTES - len(errors)])

    exit_code = 0
    try:
        exit_code = await run_process(
            command.argv, cwd=cwd, env=os.environ, on_data=on_data, on_error_data=on_error_data
        )
    except _Enough:
        pass
    except ToolError as error:
        if not await in_thread(os.path.isdir, cwd):
            raise ToolError(f"Path not found: {well_formed(cwd)}") from error
        if not await in_thread(os.access, cwd, os.X_OK):
            raise FileSystemError("EACCES", "chdir", well_formed(cwd)) from error
        raise ToolError(f"Failed to run {command.name}: {error}") from error
    return ProgramEnd(exit_code, errors.decode("utf-8", "replace").strip())
