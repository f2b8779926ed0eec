"""Tools whose input is text of a grammar, as OpenAI's formats take them. Pure.

Source: providers spec, section 3.6.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Literal, NamedTuple, cast

from pi_ai.types import JsonObject, JsonValue, Tool

__all__ = ("Grammar", "resolve_grammar", "resolve_grammar_inputs")

_VARIANTS: tuple[tuple[str, Literal["lark", "regex"]], ...] = (
    ("openai_lark", "lark"),
    ("openai_regex", "regex"),
)


class Grammar(NamedTuple):
    """A grammar, and the tool's parameter that takes the text."""

    syntax: Literal["lark", "regex"]
    definition: str
    parameter: str


def resolve_grammar(tool: Tool) -> Grammar | None:
    """The grammar of a tool; None for a tool that asks for none.

    Raises ValueError for a tool that asks for one and cannot have it.
    """
    sampling = tool.constrained_sampling or {}
    if sampling.get("type") != "grammar":
        return None
    variants: JsonValue = sampling.get("variants")
    told = cast("JsonObject", variants) if isinstance(variants, dict) else {}
    for name, syntax in _VARIANTS:
        definition: JsonValue = told.get(name)
        if isinstance(definition, str) and definition.strip():
            return Grammar(syntax, definition, _parameter(tool))
    raise _unusable(tool, "no supported grammar variant was provided")


def resolve_grammar_inputs(tools: Iterable[Tool], *, supported: bool) -> dict[str, str]:
    """For each tool that is declared with a grammar, the parameter that takes the text.

    `supported`: the server takes grammars. A tool whose grammar cannot be used is left out:
    declaring it says why.
    """
    inputs: dict[str, str] = {}
    for tool in tools if supported else ():
        with suppress(ValueError):
            if grammar := resolve_grammar(tool):
                inputs[tool.name] = grammar.parameter
    return inputs


def _parameter(tool: Tool) -> str:
    schema = tool.parameters
    if schema.get("type") != "object":
        raise _unusable(tool, "grammar constrained sampling requires an object parameter schema")
    required: JsonValue = schema.get("required")
    names = cast("list[JsonValue]", required) if isinstance(required, list) else []
    if len(names) != 1 or not isinstance(names[0], str):
        raise _unusable(
            tool, "grammar constrained sampling requires exactly one required string property"
        )
    name = names[0]
    properties: JsonValue = schema.get("properties")
    entry = cast("JsonObject", properties).get(name) if isinstance(properties, dict) else None
    if not isinstance(entry, dict):
        raise _unusable(
            tool, f"grammar constrained sampling requires a properties entry for {name}"
        )
    if cast("JsonObject", entry).get("type") != "string":
        raise _unusable(tool, f"grammar constrained sampling property {name} must have type string")
    return name


def _unusable(tool: Tool, reason: str) -> ValueError:
    return ValueError(f'Tool "{tool.name}" cannot use grammar constrained sampling: {reason}.')
