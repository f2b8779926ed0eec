"""The search program: reads its task from an argument, prints results, tells what it missed.

The exit code is that of grep: 0 with results, 1 without, 2 if something could not be searched.
"""

from __future__ import annotations

import json
import os
import sys
from typing import TypedDict, cast

from pi_tools.fallback.content import PatternError, search_contents
from pi_tools.fallback.globs import GlobError
from pi_tools.fallback.names import search_names
from pi_tools.fallback.overtime import TooSlowError
from pi_tools.fallback.problems import Problems

__all__ = ("Task", "main")


class Task(TypedDict):
    """What `launch` asks for; `pattern_seconds` to `context` for grep, the rest for find."""

    search: str
    pattern: str
    import_path: list[str]
    pattern_seconds: float
    file: str | None
    glob: str | None
    ignore_case: bool
    literal: bool
    context: int
    root: str
    full_path: bool
    limit: int


def main(text: str) -> None:
    """Do the task and end the process."""
    task = cast(Task, json.loads(text))
    sys.path[:] = task["import_path"]
    problems = Problems(sys.stderr)
    found = False
    try:
        found = _search(task, problems)
        sys.stdout.flush()
    except (GlobError, PatternError, TooSlowError) as error:
        sys.stdout.flush()
        problems.add(str(error))
    except BrokenPipeError:
        # Nobody reads any more. Keep the interpreter from flushing into the same pipe.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    except Exception as error:  # noqa: BLE001  # the interpreter's own exit code means no results
        problems.add(f"The search failed: {type(error).__name__}: {error}")
    sys.exit(2 if problems.count else 0 if found else 1)


def _search(task: Task, problems: Problems) -> bool:
    if task["search"] == "find":
        return search_names(
            task["pattern"],
            task["root"],
            full_path=task["full_path"],
            limit=task["limit"],
            out=sys.stdout.buffer,
            problems=problems,
        )
    return search_contents(
        task["pattern"],
        task["file"],
        glob=task["glob"],
        ignore_case=task["ignore_case"],
        literal=task["literal"],
        context=task["context"],
        pattern_seconds=task["pattern_seconds"],
        out=sys.stdout.buffer,
        problems=problems,
    )
