"""Check the arguments of a tool call against the tool's schema, and mend what can be mended.

The transcript's call is never modified. Source: ai-core spec, section 9; conversions are lossless
only.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager

from pi_ai._coercion import coerce
from pi_ai._schema import InvalidSchemaError, ParameterSchema
from pi_ai._schema_errors import Problem, find_problems
from pi_ai.errors import ToolArgumentsError
from pi_ai.json_text import js_json
from pi_ai.types import JsonObject, Tool, ToolCall

__all__ = (
    "Problem",
    "coerce_tool_arguments",
    "find_argument_problems",
    "tool_arguments_error",
    "validate_tool_arguments",
    "validate_tool_call",
)

_MAX_SCHEMAS = 512

# By identity of the schema; the entry holds the schema, so that its id stays its own.
_schemas: dict[int, tuple[JsonObject, ParameterSchema]] = {}


def validate_tool_call(tools: Sequence[Tool], call: ToolCall) -> JsonObject:
    """The arguments to run `call` with: a private copy, converted where nothing is lost.

    Raises `ToolArgumentsError` for an unknown tool and for arguments that do not fit.
    """
    for tool in tools:
        if tool.name == call.name:
            return validate_tool_arguments(tool, call)
    raise ToolArgumentsError(f'Tool "{call.name}" not found')


def validate_tool_arguments(tool: Tool, call: ToolCall) -> JsonObject:
    """`validate_tool_call` for a known tool.

    Raises `ToolArgumentsError`, whose text lists every fault for the model, and ValueError if the
    tool's own schema is invalid.
    """
    arguments = coerce_tool_arguments(tool, call)
    problems = find_argument_problems(tool, arguments)
    if problems:
        raise tool_arguments_error(tool.name, problems, call.arguments)
    return arguments


def coerce_tool_arguments(tool: Tool, call: ToolCall) -> JsonObject:
    """The arguments of `call` with all lossless conversions, not validated; a private copy.

    Raises `ToolArgumentsError` if the call's arguments could not be read at all, and ValueError
    for an invalid schema.
    """
    if call.arguments_error is not None:
        raise ToolArgumentsError(
            f'Invalid arguments for tool "{tool.name}": {call.arguments_error}'
        )
    with _schema_faults(tool):
        return coerce(call.arguments, _schema_of(tool))


def find_argument_problems(tool: Tool, arguments: JsonObject) -> list[Problem]:
    """What is wrong with `arguments`, in the order of the tool's schema; empty if they are valid.

    Raises ValueError for an invalid schema.
    """
    with _schema_faults(tool):
        schema = _schema_of(tool)
        return [] if schema.accepts(arguments) else find_problems(arguments, schema)


def tool_arguments_error(
    tool_name: str, problems: Sequence[Problem], received: JsonObject
) -> ToolArgumentsError:
    """The error a model reads: each fault with its path, then the arguments as it sent them."""
    lines = "\n".join(
        f"  - {'.'.join(map(str, problem.path)) or 'root'}: {problem.message}"
        for problem in problems
    )
    try:
        shown = js_json(received, indent=2)
    except RecursionError:
        shown = "(nested too deeply to be shown)"
    return ToolArgumentsError(
        f'Validation failed for tool "{tool_name}":\n{lines}\n\nReceived arguments:\n{shown}'
    )


def _schema_of(tool: Tool) -> ParameterSchema:
    key = id(tool.parameters)
    found = _schemas.get(key)
    if found is None:
        while len(_schemas) >= _MAX_SCHEMAS:
            _schemas.pop(next(iter(_schemas)), None)
        found = _schemas[key] = (tool.parameters, ParameterSchema(tool.parameters))
    return found[1]


@contextmanager
def _schema_faults(tool: Tool) -> Generator[None]:
    """Name the tool in errors that are not about one value in the arguments."""
    try:
        yield
    except InvalidSchemaError as error:
        raise ValueError(f'Tool "{tool.name}" has an invalid parameter schema: {error}') from error
    except RecursionError:
        raise _unreadable(tool, "they are nested too deeply") from None
    except ValueError as error:  # the validator's own: its recursion limit, a value that is no JSON
        raise _unreadable(tool, str(error)) from error


def _unreadable(tool: Tool, reason: str) -> ToolArgumentsError:
    return ToolArgumentsError(f'Invalid arguments for tool "{tool.name}": {reason}')
