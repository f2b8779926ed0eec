"""The command lines that start the search program. Nothing is loaded here but the names."""

from __future__ import annotations

import json
import os
import sys

from pi_agent.types import ToolError

__all__ = ("find_command", "grep_command")

_PATTERN_SECONDS = 10.0
# The program's own modules without the tools around them, which take longer to load than most
# searches take.
_START = """\
import sys, types
package = types.ModuleType("pi_tools")
package.__path__ = [sys.argv[1]]
sys.modules["pi_tools"] = package
from pi_tools.fallback.worker import main
main(sys.argv[2])
"""


def grep_command(
    pattern: str,
    file: str | None,
    *,
    glob: str | None,
    ignore_case: bool,
    literal: bool,
    context: int,
    pattern_seconds: float = _PATTERN_SECONDS,
) -> list[str]:
    """Prints the lines that match, in `file` or below the directory it is started in.

    `pattern_seconds` is how long the pattern may take on one piece of a file.
    """
    return _command(
        search="grep",
        pattern=pattern,
        file=file,
        glob=glob,
        ignore_case=ignore_case,
        literal=literal,
        context=context,
        pattern_seconds=pattern_seconds,
    )


def find_command(pattern: str, root: str, *, full_path: bool, limit: int) -> list[str]:
    """Prints what matches below `root`, the directory it is started in, as absolute paths."""
    return _command(search="find", pattern=pattern, root=root, full_path=full_path, limit=limit)


def _command(**request: str | float | None) -> list[str]:
    if not sys.executable or getattr(sys, "frozen", False):
        raise ToolError(
            "Neither ripgrep and fd nor a Python interpreter is there to search with. "
            "Install ripgrep (rg) and fd"
        )
    folder = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    options = ["-I", "-S", "-X", "utf8"]
    job = json.dumps({**request, "import_path": sys.path})
    return [sys.executable, *options, "-c", _START, folder, job]
