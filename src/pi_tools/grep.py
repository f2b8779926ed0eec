"""The `grep` tool: lines that match a pattern. Source: tools spec, section 8."""

from __future__ import annotations

import math
import os
import stat

import msgspec
from msgspec import Struct

from pi_agent.types import AgentTool, ToolContext, ToolError, ToolResult
from pi_ai import AbortError, JsonObject, abort_scope
from pi_tools.arguments import read_arguments
from pi_tools.encoding import well_formed
from pi_tools.line_report import LineReport, result_limit, shown_path
from pi_tools.match_lines import FoundLine, MatchReader
from pi_tools.paths import absolute_cwd, resolve_to_cwd, working_directory
from pi_tools.ripgrep import ContentSearch, content_search_command
from pi_tools.search_operations import GrepOperations, LocalSearchOperations
from pi_tools.search_program import SearchEngine, program_argument, run_search_program
from pi_tools.truncate import DEFAULT_MAX_BYTES, truncate_line
from pi_tools.uninterrupted import in_thread

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
            "description": "How many lines to show before and after each match; default: 0",
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
    operations: GrepOperations | None = None,
    bin_dir: str | os.PathLike[str] | None = None,
    engine: SearchEngine = "auto",
) -> AgentTool:
    """The `grep` tool for paths relative to `cwd`.

    `bin_dir` is where ripgrep is looked for first. `engine` says who may search: see
    `SearchEngine`.
    """
    tool = _GrepTool(
        cwd=absolute_cwd(cwd),
        operations=LocalSearchOperations() if operations is None else operations,
        bin_dir=None if bin_dir is None else absolute_cwd(bin_dir),
        engine=engine,
    )
    return AgentTool(
        name="grep",
        description=_DESCRIPTION,
        parameters=_PARAMETERS,
        execute=tool.execute,
        prompt_snippet="Search files' contents for a pattern (respects .gitignore)",
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
    operations: GrepOperations
    bin_dir: str | None
    engine: SearchEngine

    async def execute(self, arguments: JsonObject, ctx: ToolContext) -> ToolResult:
        request = read_arguments(arguments, _Arguments)
        try:
            with abort_scope(ctx.signal):
                return await self._search(request, working_directory(ctx.host_cwd, self.cwd))
        except AbortError:
            raise ToolError("Operation aborted") from None

    async def _search(self, request: _Arguments, cwd: str) -> ToolResult:
        path = resolve_to_cwd(request.path or "", cwd)
        file = None if await self._is_directory(path) else path
        directory = path if file is None else os.path.dirname(file)
        context = _context_lines(request.context)
        command = await content_search_command(
            ContentSearch(
                pattern=program_argument("pattern", request.pattern),
                file=file,
                glob=_rooted_glob(program_argument("glob", request.glob or "")),
                ignore_case=bool(request.ignore_case),
                literal=bool(request.literal),
                context=context,
            ),
            engine=self.engine,
            bin_dir=self.bin_dir,
        )
        matches = _Matches(
            limit=result_limit(request.limit, _DEFAULT_LIMIT),
            context=context,
            name=None if file is None else os.path.basename(file),
        )
        end = await run_search_program(command, cwd=directory, take=matches.take)
        if end.exit_code not in (0, 1) and not matches.count:
            raise ToolError(end.errors or f"{command.name} exited with code {end.exit_code}")
        return matches.result(end.errors if end.exit_code else "")

    async def _is_directory(self, path: str) -> bool:
        """Whether `path` is one; else it is a regular file. Raises ToolError."""
        try:
            is_directory = await self.operations.is_directory(path)
        except Exception as error:
            raise ToolError(f"Path not found: {well_formed(path)}") from error
        if not is_directory:
            await in_thread(_check_file, path)
        return is_directory


class _Matches:
    """Takes a program's output and makes the answer of it, until there is enough."""

    def __init__(self, *, limit: int, context: int, name: str | None) -> None:
        self.count = 0
        self._limit = limit
        self._context = context
        self._name = None if name is None else shown_path(name)
        self._reader = MatchReader()
        self._report = LineReport()
        self._last: FoundLine | None = None
        self._more = False
        self._lines_cut = False

    def take(self, data: bytes) -> bool:
        """Take a piece of output. False if no more is needed."""
        return all(self._take(line) for line in self._reader.feed(data))

    def _take(self, line: FoundLine) -> bool:
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
        path = line.path if self._name is None else self._name
        self._report.add(f"{path}{sign}{line.number}{sign} {text}")

    def result(self, missed: str) -> ToolResult:
        """The answer; `missed` is what the program could not search."""
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
        if missed:
            after.append(f"Not everything could be searched: {missed.partition(chr(10))[0]}")
        return self._report.result(details, before=before, after=after)


def _check_file(path: str) -> None:
    """Raise ToolError for what is missing, and for pipes and devices, which may never end."""
    try:
        regular = stat.S_ISREG(os.stat(path).st_mode)
    except OSError as error:
        raise ToolError(f"Path not found: {well_formed(path)}") from error
    if not regular:
        raise ToolError(f"Not a regular file: {well_formed(path)}")


def _rooted_glob(glob: str) -> str | None:
    """`glob` without a leading `./`, which the programs would take for a directory's name."""
    sign, glob = ("!", glob[1:]) if glob.startswith("!") else ("", glob)
    return f"{sign}{glob.removeprefix('./')}" or None


def _context_lines(context: float | None) -> int:
    if context is None or math.isnan(context) or context <= 0:
        return 0
    return math.floor(min(context, _MAX_CONTEXT_LINES))
