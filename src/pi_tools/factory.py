"""Tools by name, and sets of them. Source: tools spec, section 11.1."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypedDict

from pi_agent.types import AgentTool
from pi_tools.bash import BashSpawn, create_bash_tool
from pi_tools.edit import create_edit_tool
from pi_tools.find import create_find_tool
from pi_tools.grep import create_grep_tool
from pi_tools.images import ImageResizeOptions
from pi_tools.ls import create_ls_tool
from pi_tools.operations import (
    BashOperations,
    EditOperations,
    ReadOperations,
    WriteOperations,
)
from pi_tools.read import create_read_tool
from pi_tools.search_operations import (
    FindOperations,
    GrepOperations,
    ListsDirectories,
    LsOperations,
    SearchesContents,
    SearchesNames,
)
from pi_tools.search_program import SearchEngine
from pi_tools.write import create_write_tool

__all__ = (
    "ALL_TOOL_NAMES",
    "CODING_TOOL_NAMES",
    "READ_ONLY_TOOL_NAMES",
    "BashToolOptions",
    "EditToolOptions",
    "FindToolOptions",
    "GrepToolOptions",
    "LsToolOptions",
    "ReadToolOptions",
    "ToolOptions",
    "WriteToolOptions",
    "create_all_tools",
    "create_coding_tools",
    "create_read_only_tools",
    "create_tool",
)

CODING_TOOL_NAMES = ("read", "bash", "edit", "write")
"""The tools of a coding agent, in the order a model gets them."""

READ_ONLY_TOOL_NAMES = ("read", "grep", "find", "ls")
"""The tools of an agent that looks and changes nothing."""

ALL_TOOL_NAMES = ("read", "bash", "edit", "write", "grep", "find", "ls")
"""Every built-in tool."""


class ReadToolOptions(TypedDict, total=False):
    """The keyword options of `create_read_tool`."""

    operations: ReadOperations | None
    auto_resize_images: bool
    resize_options: ImageResizeOptions | None


class WriteToolOptions(TypedDict, total=False):
    """The keyword options of `create_write_tool`."""

    operations: WriteOperations | None


class EditToolOptions(TypedDict, total=False):
    """The keyword options of `create_edit_tool`."""

    operations: EditOperations | None


class BashToolOptions(TypedDict, total=False):
    """The keyword options of `create_bash_tool`."""

    operations: BashOperations | None
    command_prefix: str | None
    shell_path: str | None
    expose_session_environment: bool
    spawn_hook: Callable[[BashSpawn], BashSpawn] | None
    bin_dir: str | os.PathLike[str] | None


class GrepToolOptions(TypedDict, total=False):
    """The keyword options of `create_grep_tool`."""

    operations: GrepOperations | SearchesContents | None
    bin_dir: str | os.PathLike[str] | None
    engine: SearchEngine


class FindToolOptions(TypedDict, total=False):
    """The keyword options of `create_find_tool`."""

    operations: FindOperations | SearchesNames | None
    bin_dir: str | os.PathLike[str] | None
    engine: SearchEngine


class LsToolOptions(TypedDict, total=False):
    """The keyword options of `create_ls_tool`."""

    operations: LsOperations | ListsDirectories | None


class ToolOptions(TypedDict, total=False):
    """Options of several tools, by tool name."""

    read: ReadToolOptions
    bash: BashToolOptions
    edit: EditToolOptions
    write: WriteToolOptions
    grep: GrepToolOptions
    find: FindToolOptions
    ls: LsToolOptions


def create_tool(
    name: str, cwd: str | os.PathLike[str], options: ToolOptions | None = None
) -> AgentTool:
    """The built-in tool of that name for `cwd`, with its part of `options`.

    Raises ValueError for an unknown name.
    """
    options = options or {}
    match name:
        case "read":
            return create_read_tool(cwd, **options.get("read", {}))
        case "bash":
            return create_bash_tool(cwd, **options.get("bash", {}))
        case "edit":
            return create_edit_tool(cwd, **options.get("edit", {}))
        case "write":
            return create_write_tool(cwd, **options.get("write", {}))
        case "grep":
            return create_grep_tool(cwd, **options.get("grep", {}))
        case "find":
            return create_find_tool(cwd, **options.get("find", {}))
        case "ls":
            return create_ls_tool(cwd, **options.get("ls", {}))
        case _:
            raise ValueError(f"Unknown tool name: {name}")


def create_coding_tools(
    cwd: str | os.PathLike[str], options: ToolOptions | None = None
) -> list[AgentTool]:
    """read, bash, edit and write, bound to `cwd`."""
    return [create_tool(name, cwd, options) for name in CODING_TOOL_NAMES]


def create_read_only_tools(
    cwd: str | os.PathLike[str], options: ToolOptions | None = None
) -> list[AgentTool]:
    """read, grep, find and ls, bound to `cwd`."""
    return [create_tool(name, cwd, options) for name in READ_ONLY_TOOL_NAMES]


def create_all_tools(
    cwd: str | os.PathLike[str], options: ToolOptions | None = None
) -> dict[str, AgentTool]:
    """Every built-in tool by its name, bound to `cwd`."""
    return {name: create_tool(name, cwd, options) for name in ALL_TOOL_NAMES}
