"""Declares tools to a server of the Messages API, and their changes inside a conversation. Pure.

Source: providers spec, section 5.5.
"""

from __future__ import annotations

from collections.abc import Sequence

from pi_ai.api._anthropic_compat import AnthropicCompat
from pi_ai.api._surrogates import sanitize_tool
from pi_ai.strict_schema import resolve_strict_schema
from pi_ai.subscription import ClaudeSubscription
from pi_ai.transcript import get_current_tools, get_initial_system_message
from pi_ai.types import JsonObject, Message, SystemMessage, Tool

__all__ = ("ToolWriter", "resolve_initial_tools")


def resolve_initial_tools(transcript: Sequence[Message], compat: AnthropicCompat) -> list[Tool]:
    """The tools the conversation began with, where later changes are sent in their place.

    Empty where every request lists the tools in force.
    """
    initial = get_initial_system_message(transcript)
    return get_current_tools([initial]) if initial and compat.tools_in_place else []


class ToolWriter:
    """Writes the tools of one request.

    `subscription`: whose names for tools are used; None for an API key. `prefers_strict` False:
    only tools that require strict sampling get it. `in_place`: changes of the request's list of
    tools stand in the conversation.
    """

    def __init__(
        self,
        compat: AnthropicCompat,
        subscription: ClaudeSubscription | None,
        *,
        prefers_strict: bool,
        in_place: bool,
    ) -> None:
        self.in_place = in_place
        self.relaxable = False
        """Whether a tool was written strict that need not be."""
        self._compat = compat
        self._subscription = subscription
        self._prefers_strict = prefers_strict

    def name(self, name: str) -> str:
        """A tool's name as it is sent."""
        return self._subscription.tool_name(name) if self._subscription else name

    def tools(self, tools: Sequence[Tool], marker: JsonObject | None) -> list[JsonObject]:
        """The request's list of tools, the last of them marked for caching."""
        declared = [self.declaration(tool) for tool in tools]
        if declared and marker and self._compat.cache_on_tools:
            declared[-1]["cache_control"] = marker
        return [*declared, _placeholder()] if self.in_place else declared

    def changes(self, message: SystemMessage) -> list[JsonObject]:
        """The blocks that take tools away and add tools where `message` stands, if any."""
        if not self.in_place:
            return []
        added = message.tools_added or []
        redefined = {tool.name for tool in added}
        blocks: list[JsonObject] = []
        for gone in message.tools_removed or ():
            if gone.name not in redefined:
                reference = {"type": "tool_reference", "name": self.name(gone.name)}
                blocks.append({"type": "tool_removal", "tool": reference})
        for tool in added:
            definition = {"type": "tool_definition", "definition": self.declaration(tool)}
            blocks.append({"type": "tool_addition", "tool": definition})
        return blocks

    def declaration(self, tool: Tool) -> JsonObject:
        """One tool; of a schema's root only what the API reads.

        Raises ValueError for strict sampling that the tool requires and cannot have.
        """
        tool = sanitize_tool(tool)
        declared: JsonObject = {"name": self.name(tool.name), "description": tool.description}
        if self._compat.eager_tool_input:
            declared["eager_input_streaming"] = True
        strict = self._strict_schema(tool)
        if strict is None:
            declared["input_schema"] = _input_schema(tool.parameters)
        else:
            declared["strict"] = True
            declared["input_schema"] = strict
        return declared

    def _strict_schema(self, tool: Tool) -> JsonObject | None:
        required = (tool.constrained_sampling or {}).get("strict") == "require"
        if not (required or self._prefers_strict):
            return None
        schema = resolve_strict_schema(tool, supported=self._compat.strict_tools, anthropic=True)
        self.relaxable |= schema is not None and not required
        return schema


def _placeholder() -> JsonObject:
    """Lets the server take further tools in the conversation, even when none is deferred yet."""
    return {
        "name": "__pi_deferred_placeholder__",
        "description": "Reserved placeholder. Never available. Never call this.",
        "input_schema": {"type": "object", "properties": {}, "required": []},
        "defer_loading": True,
    }


def _input_schema(schema: JsonObject) -> JsonObject:
    sent: JsonObject = {
        "type": "object",
        "properties": schema.get("properties") or {},
        "required": schema.get("required") or [],
    }
    for key in ("$defs", "definitions"):
        if key in schema:
            sent[key] = schema[key]
    return sent
