"""Options for tools that are held inside given directories, here or in another place.

Commands cannot be held this way: `bash` is refused where files are confined, unless the caller
wants it all the same.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from pi_agent.types import ToolError
from pi_ai import AbortSignal
from pi_tools.confine import Confinement
from pi_tools.confined_files import ConfinedFileOperations, ConfinedOperations, ConfinedPaths
from pi_tools.confined_search import ConfinedSearchOperations
from pi_tools.factory import ToolOptions
from pi_tools.local_search import LocalSearchOperations
from pi_tools.operations import FileOperations
from pi_tools.process import OnData
from pi_tools.search_operations import SearchOperations
from pi_tools.search_program import SearchEngine

__all__ = ("confined_to",)


def confined_to(
    roots: Sequence[str | os.PathLike[str]],
    options: ToolOptions | None = None,
    *,
    allow_bash: bool = False,
) -> ToolOptions:
    """Options for tools that stay inside `roots`.

    Without operations in `options` they are of this machine. Otherwise those of `options`, such
    as `over_prefix` gives, are wrapped, and `roots` are directories of their place. `bash` refuses
    every command unless `allow_bash`: a command goes wherever its user may. Raises ValueError for
    roots that cannot be, and TypeError for operations that are neither `FileOperations` nor
    `SearchOperations`.
    """
    given = options or ToolOptions()
    read, write, edit = given.get("read", {}), given.get("write", {}), given.get("edit", {})
    grep, find, ls = given.get("grep", {}), given.get("find", {}), given.get("ls", {})
    confined: ToolOptions = {**given}
    confined["read"] = {**read, "operations": _files("read", read.get("operations"), roots)}
    confined["write"] = {**write, "operations": _files("write", write.get("operations"), roots)}
    confined["edit"] = {**edit, "operations": _files("edit", edit.get("operations"), roots)}
    confined["grep"] = {
        **grep,
        "operations": _searches(
            "grep",
            grep.get("operations"),
            roots,
            bin_dir=grep.get("bin_dir"),
            engine=grep.get("engine", "auto"),
        ),
    }
    confined["find"] = {
        **find,
        "operations": _searches(
            "find",
            find.get("operations"),
            roots,
            bin_dir=find.get("bin_dir"),
            engine=find.get("engine", "auto"),
        ),
    }
    confined["ls"] = {**ls, "operations": _searches("ls", ls.get("operations"), roots)}
    if not allow_bash:
        confined["bash"] = {**given.get("bash", {}), "operations": _RefusedBash()}
    return confined


def _files(
    tool: str, operations: object, roots: Sequence[str | os.PathLike[str]]
) -> FileOperations:
    if operations is None:
        return ConfinedFileOperations(Confinement(roots), writable=tool == "edit")
    if not isinstance(operations, FileOperations):
        raise _unfit(tool, operations, "FileOperations")
    return ConfinedOperations(operations, _there(roots))


def _searches(
    tool: str,
    operations: object,
    roots: Sequence[str | os.PathLike[str]],
    *,
    bin_dir: str | os.PathLike[str] | None = None,
    engine: SearchEngine = "auto",
) -> SearchOperations:
    if operations is None:
        local = LocalSearchOperations(bin_dir=bin_dir, engine=engine)
        return ConfinedSearchOperations(local, ConfinedFileOperations(Confinement(roots)))
    if not isinstance(operations, SearchOperations):
        raise _unfit(tool, operations, "SearchOperations")
    return ConfinedSearchOperations(operations, ConfinedPaths(operations, _there(roots)))


def _there(roots: Sequence[str | os.PathLike[str]]) -> Sequence[str]:
    return roots if isinstance(roots, str) else [os.fspath(root) for root in roots]


def _unfit(tool: str, operations: object, protocol: str) -> TypeError:
    return TypeError(
        f"{tool}: {type(operations).__name__} cannot be confined. It needs every method of "
        f"{protocol}, real_path above all."
    )


class _RefusedBash:
    """Commands where there are to be none."""

    async def exec(
        self,
        command: str,
        cwd: str,
        *,
        on_data: OnData,
        signal: AbortSignal,
        timeout: float | None,
        env: Mapping[str, str],
    ) -> int | None:
        raise ToolError(
            "Commands are not available: files are confined to some directories here, and a "
            "command could go anywhere. Use the other tools."
        )
