"""Takes halves of surrogate pairs out of JSON values: strict servers refuse them. Pure."""

from __future__ import annotations

from typing import cast

from msgspec.structs import replace

from pi_ai.json_text import sanitize_surrogates
from pi_ai.types import JsonObject, JsonValue, Tool

__all__ = ("sanitize_json", "sanitize_tool")


def sanitize_json(value: JsonValue) -> JsonValue:
    """A copy of `value` without unpaired surrogates in its texts and keys."""
    if isinstance(value, str):
        return sanitize_surrogates(value)
    if isinstance(value, dict):
        fields = cast("JsonObject", value).items()
        return {sanitize_surrogates(key): sanitize_json(item) for key, item in fields}
    if isinstance(value, list | tuple):
        return [sanitize_json(item) for item in cast("list[JsonValue]", value)]
    return value


def sanitize_tool(tool: Tool) -> Tool:
    """`tool` without unpaired surrogates in what a model is told of it."""
    description = sanitize_surrogates(tool.description)
    return replace(tool, description=description, parameters=sanitize_json(tool.parameters))
