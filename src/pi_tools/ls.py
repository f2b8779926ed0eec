"""The `ls` tool: what is in a directory. Source: tools spec, section 10."""

from __future__ import annotations

import os

import msgspec
from msgspec import Struct

from pi_agent.types import AgentTool, ToolContext, ToolError, ToolResult
from pi_ai import JsonObject
from pi_tools.arguments import read_arguments
from pi_tools.encoding import well_formed
from pi_tools.line_report import LineReport, result_limit, shown_path
from pi_tools.local_search import LocalSearchOperations
from pi_tools.os_errors import FileSystemError, tool_errors
from pi_tools.paths import absolute_cwd, paths_of, resolve_to_cwd, working_directory
from pi_tools.search_operations import DirectoryEntry, ListsDirectories, LsOperations
from pi_tools.settled import settled
from pi_tools.truncate import DEFAULT_MAX_BYTES
from pi_tools.uninterrupted import abortable

__all__ = ("create_ls_tool",)

_DEFAULT_LIMIT = 500
_DESCRIPTION = (
    "List a directory: its entries in alphabetical order, with / after directories; names that "
    f"begin with a dot are among them. Shows {_DEFAULT_LIMIT} entries at most, unless limit says "
    f"otherwise, and {DEFAULT_MAX_BYTES // 1024}KB in all."
)
_PARAMETERS: JsonObject = {
    "type": "object",
    "properties": {
        "path": {
            "type": "string",
            "description": "The directory, relative or absolute; default: the working one",
        },
        "limit": {
            "type": "number",
            "description": f"How many entries to show at most; default: {_DEFAULT_LIMIT}",
        },
    },
}


def create_ls_tool(
    cwd: str | os.PathLike[str], *, operations: LsOperations | ListsDirectories | None = None
) -> AgentTool:
    """The `ls` tool for paths relative to `cwd`."""
    tool = _LsTool(
        cwd=absolute_cwd(cwd),
        operations=LocalSearchOperations() if operations is None else operations,
    )
    return AgentTool(
        name="ls",
        description=_DESCRIPTION,
        parameters=_PARAMETERS,
        execute=tool.execute,
        prompt_snippet="List the entries of a directory",
    )


class _Arguments(msgspec.Struct):
    path: str | None = None
    limit: int | float | None = None


class _LsTool(Struct, frozen=True, kw_only=True):
    cwd: str
    operations: LsOperations | ListsDirectories

    async def execute(self, arguments: JsonObject, ctx: ToolContext) -> ToolResult:
        request = read_arguments(arguments, _Arguments)
        limit = result_limit(request.limit, _DEFAULT_LIMIT)
        with abortable(ctx.signal), tool_errors():
            cwd = working_directory(ctx.host_cwd, self.cwd)
            place = paths_of(self.operations)
            return await self._list(await resolve_to_cwd(request.path or "", cwd, place), limit)

    async def _list(self, directory: str, limit: int) -> ToolResult:
        report = LineReport()
        entries = await _entries(self.operations, directory)
        for entry in sorted(entries, key=lambda entry: (entry.name.lower(), entry.name)):
            if report.lines == limit:
                return report.result(
                    {"entryLimitReached": limit},
                    before=(f"{limit} entries limit reached. Use limit={2 * limit} for more",),
                )
            is_directory = entry.is_directory
            if is_directory is None and not isinstance(self.operations, ListsDirectories):
                is_directory = await _is_directory(
                    self.operations, os.path.join(directory, entry.name)
                )
            if is_directory is not None:
                report.add(shown_path(entry.name) + ("/" if is_directory else ""))
        return report.result({}) if report.lines else ToolResult.text("(empty directory)")


async def _entries(
    operations: LsOperations | ListsDirectories, directory: str
) -> list[DirectoryEntry]:
    """The entries, of which plain `LsOperations` know the names only. Raises ToolError."""
    if isinstance(operations, ListsDirectories):
        try:
            return await operations.list_directory(directory)
        except FileSystemError as error:
            if error.code == "ENOENT":
                raise ToolError(f"Path not found: {well_formed(directory)}") from error
            if error.code == "ENOTDIR":
                raise ToolError(f"Not a directory: {well_formed(directory)}") from error
            raise ToolError(f"Cannot read directory: {error}") from error
    if not await settled(operations.exists(directory)):
        raise ToolError(f"Path not found: {well_formed(directory)}")
    if not await settled(operations.is_directory(directory)):
        raise ToolError(f"Not a directory: {well_formed(directory)}")
    try:
        return [DirectoryEntry(name, None) for name in await settled(operations.readdir(directory))]
    except Exception as error:
        raise ToolError(f"Cannot read directory: {error}") from error


async def _is_directory(operations: LsOperations, path: str) -> bool | None:
    try:
        return await settled(operations.is_directory(path))
    except Exception:  # noqa: BLE001
        return None  # A broken link, or gone since.
