"""Declares tools to a Chat Completions server: plain, strict, or with a grammar. Pure.

Source: providers spec, sections 3.6 and 4.5.
"""

from __future__ import annotations

from pi_ai.api._completions_compat import CompletionsCompat
from pi_ai.api._grammar import resolve_grammar
from pi_ai.api._surrogates import sanitize_tool
from pi_ai.strict_schema import resolve_strict_schema
from pi_ai.types import JsonObject, Tool

__all__ = ("declare_tool",)

_NO_PARAMETERS: JsonObject = {"type": "object", "properties": {}}
"""Instead of {}, which OpenAI rejects."""


def declare_tool(tool: Tool, compat: CompletionsCompat) -> JsonObject:
    """A tool as the server wants it declared.

    Raises ValueError for constrained sampling that the tool requires and cannot have.
    """
    tool = sanitize_tool(tool)
    grammar = resolve_grammar(tool) if compat.grammar_tools else None
    if grammar is not None:
        definition = {"syntax": grammar.syntax, "definition": grammar.definition}
        custom: JsonObject = {
            "name": tool.name,
            "description": tool.description,
            "format": {"type": "grammar", "grammar": definition},
        }
        return {"type": "custom", "custom": custom}
    strict = resolve_strict_schema(tool, supported=compat.strict_mode)
    function: JsonObject = {
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters or _NO_PARAMETERS if strict is None else strict,
    }
    if compat.strict_mode:
        function["strict"] = strict is not None
    return {"type": "function", "function": function}
