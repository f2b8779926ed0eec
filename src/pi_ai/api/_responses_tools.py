"""Declares tools to a server of the Responses API: plain, strict, or with a grammar. Pure.

Source: spec of openai-responses, section 4.
"""

from __future__ import annotations

from pi_ai.api._grammar import resolve_grammar
from pi_ai.api._responses_compat import ResponsesCompat
from pi_ai.api._surrogates import sanitize_tool
from pi_ai.strict_schema import resolve_strict_schema
from pi_ai.types import JsonObject, Tool

__all__ = ("declare_tool",)

_NO_PARAMETERS: JsonObject = {"type": "object", "properties": {}}
"""Instead of {}, which OpenAI rejects."""


def declare_tool(tool: Tool, compat: ResponsesCompat) -> JsonObject:
    """A tool as the server wants it declared.

    Raises ValueError for constrained sampling that the tool requires and cannot have.
    """
    tool = sanitize_tool(tool)
    grammar = resolve_grammar(tool) if compat.grammar_tools else None
    if grammar is not None:
        return {
            "type": "custom",
            "name": tool.name,
            "description": tool.description,
            "format": {
                "type": "grammar",
                "syntax": grammar.syntax,
                "definition": grammar.definition,
            },
        }
    strict = resolve_strict_schema(tool, supported=compat.strict_mode)
    function: JsonObject = {
        "type": "function",
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters or _NO_PARAMETERS if strict is None else strict,
    }
    if compat.strict_mode:
        function["strict"] = compat.strict_default if strict is None else True
    return function
