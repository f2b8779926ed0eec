"""The `write` tool: a whole file. Source: tools spec, section 5."""

from __future__ import annotations

import os

import msgspec
from msgspec import Struct

from pi_agent.types import AgentTool, ToolContext, ToolResult
from pi_ai import JsonObject
from pi_tools.arguments import read_arguments
from pi_tools.encoding import encode_text
from pi_tools.mutation_queue import file_turn
from pi_tools.operations import LocalFileOperations, WriteOperations
from pi_tools.os_errors import tool_errors
from pi_tools.paths import absolute_cwd, paths_of, resolve_write_path, working_directory
from pi_tools.uninterrupted import abortable_step, check_abort

__all__ = ("create_write_tool",)

_DESCRIPTION = (
    "Write a file: makes it, or replaces all of its content. Missing parent directories are made."
)
_PARAMETERS: JsonObject = {
    "type": "object",
    "required": ["path", "content"],
    "properties": {
        "path": {"type": "string", "description": "The file, relative or absolute"},
        "content": {"type": "string", "description": "The whole new content"},
    },
}
_GUIDELINE = "Use write for new files and complete rewrites only."


def create_write_tool(
    cwd: str | os.PathLike[str], *, operations: WriteOperations | None = None
) -> AgentTool:
    """The `write` tool for paths relative to `cwd`."""
    tool = _WriteTool(
        cwd=absolute_cwd(cwd),
        operations=LocalFileOperations() if operations is None else operations,
    )
    return AgentTool(
        name="write",
        description=_DESCRIPTION,
        parameters=_PARAMETERS,
        execute=tool.execute,
        constrained_sampling={"type": "json_schema", "strict": "prefer"},
        prompt_snippet="Make a file, or replace all of it",
        prompt_guidelines=(_GUIDELINE,),
    )


class _Arguments(msgspec.Struct):
    path: str
    content: str


class _WriteTool(Struct, frozen=True, kw_only=True):
    cwd: str
    operations: WriteOperations

    async def execute(self, arguments: JsonObject, ctx: ToolContext) -> ToolResult:
        request = read_arguments(arguments, _Arguments)
        check_abort(ctx.signal)
        with tool_errors():
            cwd = working_directory(ctx.host_cwd, self.cwd)
            path = await resolve_write_path(request.path, cwd, paths_of(self.operations))
            async with file_turn(path):
                check_abort(ctx.signal)
                await abortable_step(self.operations.mkdir(os.path.dirname(path)), ctx.signal)
                data = encode_text(request.content)
                await abortable_step(self.operations.write_file(path, data), ctx.signal)
        return ToolResult.text(f"Successfully wrote to {request.path}")
