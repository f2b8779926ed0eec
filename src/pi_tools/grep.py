"""The `grep` tool: lines that match a pattern. Source: tools spec, section 8."""

from __future__ import annotations

import math
import os

import msgspec
from msgspec import Struct

from pi_agent.types import AgentTool, ToolContext, ToolError, ToolResult
from pi_ai import JsonObject
from pi_tools.arguments import read_arguments
from pi_tools.encoding import well_formed
from pi_tools.line_report import LineReport, end_notices, result_limit
from pi_tools.local_search import LocalSearchOperations
from pi_tools.os_errors import tool_errors
from pi_tools.paths import absolute_cwd, paths_of, resolve_to_cwd, working_directory
from pi_tools.search_operations import (
    ContentSearch,
    FoundLine,
    GrepOperations,
    SearchEnd,
    SearchesContents,
)
from pi_tools.search_program import SearchEngine, program_argument
from pi_tools.settled import settled
from pi_tools.truncate import DEFAULT_MAX_BYTES, truncate_line
from pi_tools.uninterrupted import abortable

__all__ = ("create_grep_tool",)

_DEFAULT_LIMIT = 100
_MAX_LINE_CHARACTERS = 500
# More lines than this around a match are never shown: each takes a byte of the answer's cap.
_MAX_CONTEXT_LINES = DEFAULT_MAX_BYTES
_DESCRIPTION = (
    "Search the contents of files. Gives each matching line with its path and line number. Files "
    f"that .gitignore leaves out are not searched. Shows {_DEFAULT_LIMIT} matches at most, unless "
    f"limit says otherwise, and {DEFAULT_MAX_BYTES // 1024}KB in all; a line is cut after "
    f"{_MAX_LINE_CHARACTERS} characters."
)
_PARAMETERS: JsonObject = {
    "type": "object",
    "required": ["pattern"],
    "properties": {
        "pattern": {"type": "string", "description": "A regular expression, or text if literal"},
        "path": {
            "type": "string",
            "description": "A directory or file, relative or absolute; default: the working one",
        },
        "glob": {
            "type": "string",
            "description": (
                "Search only files this matches, such as *.py or src/**/*.ts, or with ! all "
                "others. Relative to path; without / it is for names at any depth"
            ),
        },
        "ignoreCase": {
            "type": "boolean",
            "description": "Take capitals and small letters for the same; default: false",
        },
        "literal": {
            "type": "boolean",
            "description": "Look for pattern as it stands, not as an expression; default: false",
        },
        "context": {
            "type": "number",
            "description": "How many lines around each match to show, on either side; default: 0",
        },
        "limit": {
            "type": "number",
            "description": f"How many matches to show at most; default: {_DEFAULT_LIMIT}",
        },
    },
}


def create_grep_tool(
    cwd: str | os.PathLike[str],
    *,
    operations: GrepOperations | SearchesContents | None = None,
    bin_dir: str | os.PathLike[str] | None = None,
    engine: SearchEngine = "auto",
) -> AgentTool:
    """The `grep` tool for paths relative to `cwd`.

    `operations` that search do so in place of the programs here. Otherwise `bin_dir` is where
    ripgrep is looked for first, and `engine` says who may search: see `SearchEngine`.
    """
    local = LocalSearchOperations(bin_dir=bin_dir, engine=engine)
    if isinstance(operations, SearchesContents):
        tool = _GrepTool(cwd=absolute_cwd(cwd), searches=operations, looks=None)
    else:
        tool = _GrepTool(cwd=absolute_cwd(cwd), searches=local, looks=operations)
    return AgentTool(
        name="grep",
        description=_DESCRIPTION,
        parameters=_PARAMETERS,
        execute=tool.execute,
        prompt_snippet="Look for a pattern in files; skips what .gitignore leaves out",
    )


class _Arguments(msgspec.Struct, rename="camel"):
    pattern: str
    path: str | None = None
    glob: str | None = None
    ignore_case: bool | None = None
    literal: bool | None = None
    context: int | float | None = None
    limit: int | float | None = None


class _GrepTool(Struct, frozen=True, kw_only=True):
    cwd: str
    searches: SearchesContents
    looks: GrepOperations | None
    """Asked whether the path is there before `searches` is."""

    async def execute(self, arguments: JsonObject, ctx: ToolContext) -> ToolResult:
        request = read_arguments(arguments, _Arguments)
        with abortable(ctx.signal), tool_errors():
            return await self._search(request, working_directory(ctx.host_cwd, self.cwd))

    async def _search(self, request: _Arguments, cwd: str) -> ToolResult:
        place = paths_of(self.searches if self.looks is None else self.looks)
        path = await resolve_to_cwd(request.path or "", cwd, place)
        if self.looks is not None:
            try:
                await settled(self.looks.is_directory(path))
            except Exception as error:
                raise ToolError(f"Path not found: {well_formed(path)}") from error
        search = ContentSearch(
            pattern=program_argument("pattern", request.pattern),
            glob=_rooted_glob(program_argument("glob", request.glob or "")),
            ignore_case=bool(request.ignore_case),
            literal=bool(request.literal),
            context=_context_lines(request.context),
        )
        matches = _Matches(result_limit(request.limit, _DEFAULT_LIMIT), search.context)
        end = await self.searches.search_contents(path, search, take=matches.take)
        if end.failure and not matches.count:
            raise ToolError(end.failure)
        return matches.result(end)


class _Matches:
    """Makes the answer of the lines that are found, until there is enough."""

    def __init__(self, limit: int, context: int) -> None:
        self.count = 0
        self._limit = limit
        self._context = context
        self._report = LineReport()
        self._last: FoundLine | None = None
        self._more = False
        self._lines_cut = False

    def take(self, line: FoundLine) -> bool:
        """Take a line. False if no more is needed."""
        last = self._last
        if last is None:
            self._show(line, is_match=line.is_match)
            self.count += line.is_match
            if self.count == self._limit:
                self._last = line
            return True
        self._more |= line.is_match
        distance = line.number - last.number
        near = line.path == last.path and 0 < distance <= self._context
        if near:
            # A further match among them is one of the lines around the last.
            self._show(line, is_match=False)
        return not self._more or (near and distance < self._context)

    def _show(self, line: FoundLine, *, is_match: bool) -> None:
        text = truncate_line(line.text, _MAX_LINE_CHARACTERS)
        self._lines_cut |= text is not line.text
        sign = ":" if is_match else "-"
        self._report.add(f"{line.path}{sign}{line.number}{sign} {text}")

    def result(self, end: SearchEnd) -> ToolResult:
        """The answer, with what is to be known of the search's `end`."""
        if not self.count:
            return ToolResult.text("No matches found")
        details: JsonObject = {}
        before: list[str] = []
        after: list[str] = []
        if self._more:
            details["matchLimitReached"] = self._limit
            before.append(
                f"{self._limit} matches limit reached. Use limit={2 * self._limit} for more, "
                "or refine pattern"
            )
        if self._lines_cut:
            details["linesTruncated"] = True
            after.append(
                f"Some lines truncated to {_MAX_LINE_CHARACTERS} chars. "
                "Use read tool to see full lines"
            )
        after += end_notices(end)
        return self._report.result(details, before=before, after=after)


def _rooted_glob(glob: str) -> str | None:
    """`glob` without a leading `./`, which the programs would take for a directory's name."""
    sign, glob = ("!", glob[1:]) if glob.startswith("!") else ("", glob)
    return f"{sign}{glob.removeprefix('./')}" or None


def _context_lines(context: float | None) -> int:
    if context is None or math.isnan(context) or context <= 0:
        return 0
    return math.floor(min(context, _MAX_CONTEXT_LINES))
