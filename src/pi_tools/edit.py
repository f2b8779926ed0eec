"""The `edit` tool: exact replacements in one file. Source: tools spec, section 6."""

from __future__ import annotations

import os
from typing import Any, NamedTuple, cast

import msgspec
from msgspec import Struct

from pi_agent.types import AgentTool, ToolContext, ToolError, ToolResult
from pi_ai import JsonObject, TextContent
from pi_ai.json_text import parse_json
from pi_tools.arguments import read_arguments
from pi_tools.diff import EditDetails, describe_change
from pi_tools.encoding import well_formed
from pi_tools.line_endings import splice, splice_original, to_lf
from pi_tools.matching import Edit, find_replacements
from pi_tools.mutation_queue import file_turn
from pi_tools.operations import EditOperations, LocalFileOperations
from pi_tools.os_errors import error_code, tool_errors
from pi_tools.paths import absolute_cwd, paths_of, resolve_to_cwd, working_directory
from pi_tools.settled import settled
from pi_tools.uninterrupted import abortable_step, check_abort, in_thread

__all__ = ("create_edit_tool", "prepare_edit_arguments")

_DESCRIPTION = (
    "Change parts of one file by exact replacement. Every oldText is looked up in the original "
    "file, not in the result of the other edits, and must occur there exactly once; the edits "
    "must not overlap. Changes close to each other belong in one edit. Do not pad an edit with "
    "large parts that stay unchanged."
)
_PARAMETERS: JsonObject = {
    "type": "object",
    "required": ["path", "edits"],
    "properties": {
        "path": {"type": "string", "description": "The file, relative or absolute"},
        "edits": {
            "type": "array",
            "description": "The replacements, in any order",
            "items": {
                "type": "object",
                "required": ["oldText", "newText"],
                "properties": {
                    "oldText": {
                        "type": "string",
                        "description": "Text of the original file: exact, and found only once",
                    },
                    "newText": {"type": "string", "description": "What takes its place"},
                },
            },
        },
    },
}
_GUIDELINES = (
    "Change parts of a file with edit, and all that is to change in it with one call.",
    "Keep each oldText exact, unique, short and apart from the others; merge neighbouring "
    "changes into one edit, without large unchanged parts in between.",
)
_BOM = "\ufeff"


def create_edit_tool(
    cwd: str | os.PathLike[str], *, operations: EditOperations | None = None
) -> AgentTool:
    """The `edit` tool for paths relative to `cwd`."""
    tool = _EditTool(
        cwd=absolute_cwd(cwd),
        operations=LocalFileOperations(writable=True) if operations is None else operations,
    )
    return AgentTool(
        name="edit",
        description=_DESCRIPTION,
        parameters=_PARAMETERS,
        execute=tool.execute,
        constrained_sampling={"type": "json_schema", "strict": "prefer"},
        prepare_arguments=prepare_edit_arguments,
        prompt_snippet="Replace exact pieces of a file's text",
        prompt_guidelines=_GUIDELINES,
    )


def prepare_edit_arguments(arguments: JsonObject) -> JsonObject:
    """Raw arguments with `edits` as a list, where models write it in another way.

    That is a JSON text, a single edit, or `oldText` and `newText` beside `path`. Whatever else
    there is stays as it is. Source: tools spec, section 6.1.
    """
    prepared = dict(arguments)
    edits: object = prepared.get("edits")
    if isinstance(edits, str):
        edits = _parsed_edits(edits)
    if _is_edit(edits):
        edits = [edits]
    if _is_edit(prepared):
        last = {"oldText": prepared.pop("oldText"), "newText": prepared.pop("newText")}
        edits = [*cast(list[object], edits), last] if isinstance(edits, list) else [last]
    if edits is not None:
        prepared["edits"] = edits
    return prepared


def _parsed_edits(text: str) -> object:
    try:
        value: object = parse_json(text)
    except ValueError:
        return text
    if isinstance(value, list):
        return cast(list[object], value)
    return value if _is_edit(value) else text


def _is_edit(value: object) -> bool:
    if not isinstance(value, dict):
        return False
    record = cast(dict[object, Any], value)
    return isinstance(record.get("oldText"), str) and isinstance(record.get("newText"), str)


class _EditArgument(msgspec.Struct, rename="camel"):
    old_text: str
    new_text: str


class _Arguments(msgspec.Struct):
    path: str
    edits: list[_EditArgument]


class _Change(NamedTuple):
    """The new content of a file, and what to say about it."""

    data: bytes
    details: EditDetails


class _EditTool(Struct, frozen=True, kw_only=True):
    cwd: str
    operations: EditOperations

    async def execute(self, arguments: JsonObject, ctx: ToolContext) -> ToolResult:
        edits_given: object = arguments.get("edits")
        if not isinstance(edits_given, list) or not edits_given:
            raise ToolError(
                "Edit tool input is invalid. edits must contain at least one replacement."
            )
        request = read_arguments(arguments, _Arguments)
        edits = [Edit(_lf(edit.old_text), _lf(edit.new_text)) for edit in request.edits]
        signal = ctx.signal
        check_abort(signal)
        with tool_errors():
            cwd = working_directory(ctx.host_cwd, self.cwd)
            path = await resolve_to_cwd(request.path, cwd, paths_of(self.operations))
            async with file_turn(path):
                check_abort(signal)
                await self._access(path, request.path)
                check_abort(signal)
                data = await abortable_step(self.operations.read_file(path), signal)
                change = await in_thread(_change, request.path, data, edits)
                check_abort(signal)
                await abortable_step(self.operations.write_file(path, change.data), signal)
        text = f"Successfully replaced {len(edits)} block(s) in {request.path}."
        return ToolResult([TextContent(text)], details=msgspec.to_builtins(change.details))

    async def _access(self, path: str, shown: str) -> None:
        try:
            await settled(self.operations.access(path))
        except Exception as error:
            code = error_code(error)
            reason = f"Error code: {code}." if code else f"Error: {error}."
            raise ToolError(f"Could not edit file: {shown}. {reason}") from error


def _lf(text: str) -> str:
    return to_lf(well_formed(text))


def _change(path: str, data: bytes, edits: list[Edit]) -> _Change:
    """Make the edits in a file's content. Slow for a large file or change. Raises ToolError."""
    # Bytes that are no UTF-8 become lone surrogates, and the same bytes again in the end.
    text = data.decode("utf-8", "surrogateescape")
    bom = _BOM if text.startswith(_BOM) else ""
    original = text.removeprefix(_BOM)
    normalized = to_lf(original)
    replacements = find_replacements(normalized, edits, path)
    if splice(normalized, replacements) == normalized:
        raise ToolError(_no_change(path, several=len(edits) > 1))
    details = describe_change(path, normalized, replacements)
    changed = bom + splice_original(original, replacements)
    return _Change(changed.encode("utf-8", "surrogateescape"), details)


def _no_change(path: str, *, several: bool) -> str:
    if several:
        return f"No changes made to {path}. The replacements produced identical content."
    return (
        f"No changes made to {path}. The replacement produced identical content. "
        "This might indicate an issue with special characters or the text not existing as "
        "expected."
    )
