"""The `find` tool: files by a pattern of their names. Source: tools spec, section 9."""

from __future__ import annotations

import os
from collections.abc import Sequence

import msgspec
from msgspec import Struct

from pi_agent.types import AgentTool, ToolContext, ToolError, ToolResult
from pi_ai import JsonObject
from pi_tools.arguments import read_arguments
from pi_tools.encoding import well_formed
from pi_tools.line_report import LineReport, end_notices, result_limit, shown_path
from pi_tools.local_search import LocalSearchOperations
from pi_tools.os_errors import tool_errors
from pi_tools.paths import absolute_cwd, paths_of, resolve_to_cwd, working_directory
from pi_tools.search_operations import FindOperations, SearchesNames
from pi_tools.search_program import SearchEngine, program_argument
from pi_tools.settled import settled
from pi_tools.truncate import DEFAULT_MAX_BYTES
from pi_tools.uninterrupted import abortable

__all__ = ("create_find_tool",)

_DEFAULT_LIMIT = 1000
_IGNORED = ("**/node_modules/**", "**/.git/**")
_DESCRIPTION = (
    "Find files and directories by a glob pattern. Gives paths relative to the directory searched, "
    "with / after directories. What .gitignore leaves out is not found. Shows "
    f"{_DEFAULT_LIMIT} results at most, unless limit says otherwise, and "
    f"{DEFAULT_MAX_BYTES // 1024}KB in all."
)
_PARAMETERS: JsonObject = {
    "type": "object",
    "required": ["pattern"],
    "properties": {
        "pattern": {
            "type": "string",
            "description": (
                "A glob, such as *.py or src/**/*.test.ts; without / it is for names at any depth"
            ),
        },
        "path": {
            "type": "string",
            "description": "The directory, relative or absolute; default: the working one",
        },
        "limit": {
            "type": "number",
            "description": f"How many results to show at most; default: {_DEFAULT_LIMIT}",
        },
    },
}


def create_find_tool(
    cwd: str | os.PathLike[str],
    *,
    operations: FindOperations | SearchesNames | None = None,
    bin_dir: str | os.PathLike[str] | None = None,
    engine: SearchEngine = "auto",
) -> AgentTool:
    """The `find` tool for paths relative to `cwd`.

    `operations` find in place of the programs here; without them `bin_dir` is where fd is looked
    for first, and `engine` says who may search: see `SearchEngine`.
    """
    if operations is None:
        operations = LocalSearchOperations(bin_dir=bin_dir, engine=engine)
    tool = _FindTool(cwd=absolute_cwd(cwd), operations=operations)
    return AgentTool(
        name="find",
        description=_DESCRIPTION,
        parameters=_PARAMETERS,
        execute=tool.execute,
        prompt_snippet="List paths that fit a glob; skips what .gitignore leaves out",
    )


class _Arguments(msgspec.Struct):
    pattern: str
    path: str | None = None
    limit: int | float | None = None


class _FindTool(Struct, frozen=True, kw_only=True):
    cwd: str
    operations: FindOperations | SearchesNames

    async def execute(self, arguments: JsonObject, ctx: ToolContext) -> ToolResult:
        request = read_arguments(arguments, _Arguments)
        limit = result_limit(request.limit, _DEFAULT_LIMIT)
        with abortable(ctx.signal), tool_errors():
            cwd = working_directory(ctx.host_cwd, self.cwd)
            place = paths_of(self.operations)
            directory = await resolve_to_cwd(request.path or "", cwd, place)
            if isinstance(self.operations, SearchesNames):
                return await _search(self.operations, request.pattern, directory, limit)
            return await _glob(self.operations, request.pattern, directory, limit)


async def _search(
    operations: SearchesNames, pattern: str, directory: str, limit: int
) -> ToolResult:
    found = _Found(limit)
    pattern = program_argument("pattern", pattern)
    end = await operations.search_names(pattern, directory, limit=limit + 1, take=found.take)
    if end.failure and not found.count:
        raise ToolError(end.failure)
    return found.result(
        f"{limit} results limit reached. Use limit={2 * limit} for more, or refine pattern",
        after=end_notices(end),
    )


async def _glob(operations: FindOperations, pattern: str, directory: str, limit: int) -> ToolResult:
    """What the host's own operations find."""
    if not await settled(operations.exists(directory)):
        raise ToolError(f"Path not found: {well_formed(directory)}")
    found = _Found(limit)
    paths = await settled(operations.glob(pattern, directory, ignore=_IGNORED, limit=limit + 1))
    for path in paths:
        if not found.take(shown_path(_relative(path, directory))):
            break
    return found.result(f"{limit} results limit reached")


class _Found:
    """Collects paths up to `limit`, and knows whether there are more."""

    def __init__(self, limit: int) -> None:
        self.count = 0
        self._limit = limit
        self._report = LineReport()

    def take(self, path: str) -> bool:
        """Take a path. False if no more is needed."""
        self.count += 1
        if self.count > self._limit:
            return False
        self._report.add(path)
        return True

    def result(self, limit_notice: str, after: Sequence[str] = ()) -> ToolResult:
        """The answer; `after` is what else is to be known."""
        if not self.count:
            return ToolResult.text("No files found matching pattern")
        more = self.count > self._limit
        details: JsonObject = {"resultLimitReached": self._limit} if more else {}
        return self._report.result(details, before=(limit_notice,) if more else (), after=after)


def _relative(path: str, directory: str) -> str:
    """`path` relative to `directory` if it is absolute, with `/`; a final `/` stays."""
    if os.path.isabs(path):
        end = "/" if path.endswith(("/", os.sep)) else ""
        path = os.path.relpath(path, directory) + end
    return path.replace(os.sep, "/")
