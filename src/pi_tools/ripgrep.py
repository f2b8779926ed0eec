"""Searching files' contents: ripgrep's command line, or Python code that prints the same.

Source: tools spec, sections 8 and 14, rows 8 and 10.
"""

from __future__ import annotations

from pi_agent.types import ToolError
from pi_tools.fallback.launch import grep_command
from pi_tools.programs import find_ripgrep
from pi_tools.search_operations import ContentSearch
from pi_tools.search_program import SearchCommand, SearchEngine
from pi_tools.uninterrupted import in_thread

__all__ = ("content_search_command", "ripgrep_argv")


async def content_search_command(
    search: ContentSearch, file: str | None, *, engine: SearchEngine, bin_dir: str | None
) -> SearchCommand:
    """The program for `search` in `file`, or in the directory it is started in.

    It prints what `MatchReader` reads. Raises ToolError if `engine` wants ripgrep and there is
    none.
    """
    if engine != "python":
        program = await in_thread(find_ripgrep, bin_dir)
        if program is not None:
            return SearchCommand("ripgrep", ripgrep_argv(program, search, file))
        if engine == "program":
            raise ToolError("ripgrep (rg) is not available and could not be downloaded")
    return SearchCommand(
        "the Python search",
        grep_command(
            search.pattern,
            file,
            glob=search.glob,
            ignore_case=search.ignore_case,
            literal=search.literal,
            context=search.context,
        ),
    )


def ripgrep_argv(program: str, search: ContentSearch, file: str | None) -> list[str]:
    """ripgrep's words for `search` in `file`, or in the directory it is started in."""
    # Not --json: it lists each hit of a line, 2.4 GB of memory for a 50 MB line of hits.
    argv = [
        program,
        *("--no-config", "--no-heading", "--with-filename", "--null", "--line-number"),
        *("--color=never", "--no-context-separator", "--hidden"),
        # A complaint about an ignore file quotes its lines, and the file may be a link to anywhere.
        "--no-ignore-messages",
    ]
    if search.ignore_case:
        argv.append("--ignore-case")
    if search.literal:
        argv.append("--fixed-strings")
    if search.context:
        argv += ["--context", str(search.context)]
    if file is not None:
        # As --json does: a file that was named is searched whatever it holds.
        return [*argv, "--text", "--", search.pattern, file]
    if search.glob:
        argv += ["--glob", search.glob]
    return [*argv, "--glob", "!.git", "--", search.pattern, "."]
