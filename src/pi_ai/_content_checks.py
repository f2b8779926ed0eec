"""Checks the messages and tools of a context, block by block."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import cast

from pi_ai.json_text import find_unwritable
from pi_ai.types import (
    AssistantMessage,
    ImageContent,
    JsonObject,
    SystemMessage,
    TextContent,
    ThinkingContent,
    Tool,
    ToolCall,
    ToolResultMessage,
    UserMessage,
)

__all__ = ("check_messages", "check_tools")

_IMAGE_TYPES = ("image/jpeg", "image/png", "image/gif", "image/webp")

# What the content of a message may hold, and whether it may be a plain string.
_CONTENT: dict[type, tuple[tuple[type, ...], bool]] = {
    SystemMessage: ((TextContent,), True),
    UserMessage: ((TextContent, ImageContent), True),
    AssistantMessage: ((TextContent, ThinkingContent, ToolCall), False),
    ToolResultMessage: ((TextContent, ImageContent), False),
}


def check_messages(messages: Sequence[object], first: int = 0) -> None:
    """Raise TypeError or ValueError for the first message, from `first` on, that cannot be sent."""
    for i in range(first, len(messages)):
        message = messages[i]
        place = f"context.messages[{i}]"
        allowed = _CONTENT.get(type(message))
        if allowed is None:
            raise TypeError(
                f"{place}: expected a SystemMessage, UserMessage, AssistantMessage "
                f"or ToolResultMessage, found {_kind(message)}"
            )
        _check_content(f"{place}.content", cast("UserMessage", message).content, *allowed)
        if isinstance(message, SystemMessage) and message.tools_added is not None:
            check_tools(f"{place}.tools_added", message.tools_added)


def _check_content(place: str, content: object, kinds: tuple[type, ...], may_be_text: bool) -> None:
    if isinstance(content, str) and may_be_text:
        return
    if not isinstance(content, list):
        wanted = "a str or a list of blocks" if may_be_text else "a list of blocks"
        raise TypeError(f"{place}: expected {wanted}, found {_kind(content)}")
    for i, block in enumerate(cast("list[object]", content)):
        if not isinstance(block, kinds):
            names = " or ".join(kind.__name__ for kind in kinds)
            raise TypeError(f"{place}[{i}]: expected {names}, found {_kind(block)}")
        _check_block(f"{place}[{i}]", block)


def _check_block(place: str, block: object) -> None:
    match block:
        case TextContent():
            _require(place, "text", block.text, str)
        case ThinkingContent():
            _require(place, "thinking", block.thinking, str)
        case ToolCall():
            _require(place, "id", block.id, str)
            _require(place, "name", block.name, str)
            _require(place, "arguments", block.arguments, dict)
            if fault := find_unwritable(block.arguments):
                raise TypeError(f"{place}.arguments{fault}")
        case ImageContent():
            _require(place, "data", block.data, str)
            _require(place, "mime_type", block.mime_type, str)
            if block.mime_type.lower() not in _IMAGE_TYPES:
                raise ValueError(
                    f"{place}.mime_type: expected {', '.join(_IMAGE_TYPES)}, "
                    f"found {block.mime_type!r}. Convert the image first."
                )
        case _:
            pass


def check_tools(place: str, tools: Iterable[object]) -> None:
    """Raise TypeError or ValueError for the first tool that could not be declared."""
    for i, tool in enumerate(tools):
        here = f"{place}[{i}]"
        if not isinstance(tool, Tool):
            raise TypeError(f"{here}: expected a Tool, found {_kind(tool)}")
        _require(here, "name", tool.name, str)
        _require(here, "description", tool.description, str)
        _require(here, "parameters", tool.parameters, dict)
        if not tool.name:
            raise ValueError(f"{here}.name: expected a name, found an empty string")
        _check_schema(f"{here}.parameters", tool.parameters)


_TYPES = {"array", "boolean", "integer", "null", "number", "object", "string"}


def _check_schema(place: str, schema: JsonObject) -> None:
    """What every provider would refuse of a schema; the rest is for the validator to judge."""
    kind: object = schema.get("type", "object")
    if kind != "object":
        raise ValueError(f'{place}.type: expected "object", found {kind!r}')
    if fault := _schema_fault(schema):
        raise ValueError(f"{place}{fault}")


def _schema_fault(schema: JsonObject) -> str | None:
    """What is wrong with a schema or one inside it, behind its place; None if it reads well."""
    kind: object = schema.get("type", "object")
    kinds = cast("list[object]", kind) if isinstance(kind, list) else [kind]
    if unknown := [each for each in kinds if each not in _TYPES]:
        return f".type: expected one of {', '.join(sorted(_TYPES))}, found {unknown[0]!r}"
    required: object = schema.get("required", [])
    if not isinstance(required, list) or not all(
        isinstance(name, str) for name in cast("list[object]", required)
    ):
        return f".required: expected a list of names, found {required!r}"
    properties: object = schema.get("properties", {})
    if not isinstance(properties, dict):
        return f".properties: expected an object, found {_kind(properties)}"
    inner = {f".properties.{name}": each for name, each in cast("JsonObject", properties).items()}
    if "items" in schema and not isinstance(schema["items"], list):
        inner[".items"] = schema["items"]
    for place, each in inner.items():
        if isinstance(each, bool):
            continue
        if not isinstance(each, dict):
            return f"{place}: expected a schema, found {_kind(each)}"
        if fault := _schema_fault(cast("JsonObject", each)):
            return f"{place}{fault}"
    return None


def _require(place: str, name: str, value: object, kind: type) -> None:
    if not isinstance(value, kind):
        raise TypeError(f"{place}.{name}: expected {kind.__name__}, found {_kind(value)}")


def _kind(value: object) -> str:
    return type(value).__name__
