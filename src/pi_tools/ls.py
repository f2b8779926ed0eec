"""The `ls` tool: what is in a directory. Source: tools spec, section 10."""

from __future__ import annotations

import os

import msgspec
from msgspec import Struct

from pi_agent.types import AgentTool, ToolContext, ToolError, ToolResult
from pi_ai import AbortError, JsonObject, abort_scope
from pi_tools.arguments import read_arguments
from pi_tools.encoding import well_formed
from pi_tools.line_report import LineReport, result_limit, shown_path
from pi_tools.os_errors import tool_errors
from pi_tools.paths import absolute_cwd, resolve_to_cwd, working_directory
from pi_tools.search_operations import LocalSearchOperations, LsOperations
from pi_tools.truncate import DEFAULT_MAX_BYTES

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
    cwd: str | os.PathLike[str], *, operations: LsOperations | None = None
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
    operations: LsOperations

    async def execute(self, arguments: JsonObject, ctx: ToolContext) -> ToolResult:
        request = read_arguments(arguments, _Arguments)
        limit = result_limit(request.limit, _DEFAULT_LIMIT)
        try:
            with abort_scope(ctx.signal), tool_errors():
                cwd = working_directory(ctx.host_cwd, self.cwd)
                return await self._list(resolve_to_cwd(request.path or "", cwd), limit)
        except AbortError:
            raise ToolError("Operation aborted") from None

    async def _list(self, directory: str, limit: int) -> ToolResult:
        report = LineReport()
        for name in await self._names(directory):
            if report.lines == limit:
                return report.result(
                    {"entryLimitReached": limit},
                    before=(f"{limit} entries limit reached. Use limit={2 * limit} for more",),
                )
            try:
                is_directory = await self.operations.is_directory(os.path.join(directory, name))
            except Exception:  # noqa: BLE001
                continue  # A broken link, or gone since.
            report.add(shown_path(name) + ("/" if is_directory else ""))
        return report.result({}) if report.lines else ToolResult.text("(empty directory)")

    async def _names(self, directory: str) -> list[str]:
        """The entries, sorted. Raises ToolError."""
        if not await self.operations.exists(directory):
            raise ToolError(f"Path not found: {well_formed(directory)}")
        if not await self.operations.is_directory(directory):
            raise ToolError(f"Not a directory: {well_formed(directory)}")
        try:
            names = await self.operations.readdir(directory)
        except Exception as error:
            raise ToolError(f"Cannot read directory: {error}") from error
        return sorted(names, key=lambda name: (name.lower(), name))
