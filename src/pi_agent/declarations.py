"""Tells the model about tools: changes between what can run and what is declared become system
messages.

Source: agent spec, section 4.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from pi_agent.types import AgentMessage, AgentTool
from pi_ai.transcript import (
    ToolStateChanges,
    get_current_tools,
    get_tool_state_changes,
    to_tool_declaration,
)
from pi_ai.types import (
    AssistantMessage,
    Message,
    SystemMessage,
    Tool,
    ToolResultMessage,
    UserMessage,
)

__all__ = ("MODEL_MESSAGES", "declare_tool_changes", "leading_system_message", "model_messages")

MODEL_MESSAGES = (AssistantMessage, ToolResultMessage, UserMessage, SystemMessage)
"""The types of `Message`."""


def model_messages(messages: Sequence[AgentMessage]) -> list[Message]:
    """The messages that a model can read, without those only the host knows."""
    return [message for message in messages if isinstance(message, MODEL_MESSAGES)]


def leading_system_message(prompt: str, tools: Sequence[AgentTool]) -> SystemMessage | None:
    """The message a new transcript starts with, None without a prompt and tools."""
    if not prompt and not tools:
        return None
    declared = [_declaration(tool) for tool in _by_name(tools).values()]
    return SystemMessage(prompt, tools_added=declared or None, timestamp=0)


def declare_tool_changes(
    told: Sequence[SystemMessage],
    pending: Sequence[AgentMessage],
    tools: Sequence[AgentTool],
) -> list[AgentMessage]:
    """`pending` with a system message that declares what changed, if anything did.

    `told` are the system messages of the transcript so far. The last pending system message
    carries the change if there is one: what it says of tools is only a wish and is replaced.
    Without one, a message of our own goes first.
    """
    pending_told = [message for message in pending if isinstance(message, SystemMessage)]
    carrier = pending_told[-1] if pending_told else None
    changes = _changes(get_current_tools([*told, *pending_told[:-1]]), tools)
    added = list(changes.tools_added) or None
    removed = list(changes.tools_removed) or None
    if carrier is None:
        if added is None and removed is None:
            return list(pending)
        return [SystemMessage("", tools_added=added, tools_removed=removed), *pending]
    if (carrier.tools_added, carrier.tools_removed) == (added, removed) == (None, None):
        return list(pending)
    changed = replace(carrier, tools_added=added, tools_removed=removed)
    return [changed if message is carrier else message for message in pending]


def _declaration(tool: AgentTool) -> Tool:
    """What a model is told of `tool`: one object for all the agents that have it."""
    known = tool.declaration
    if known is None or not _is_told(known, {tool.name: tool}):
        known = tool.declaration = to_tool_declaration(tool)
    return known


def _by_name(tools: Sequence[AgentTool]) -> dict[str, AgentTool]:
    """One tool per name: of several the first runs, so it is declared."""
    found: dict[str, AgentTool] = {}
    for tool in tools:
        found.setdefault(tool.name, tool)
    return found


def _changes(declared: Sequence[Tool], tools: Sequence[AgentTool]) -> ToolStateChanges:
    current = _by_name(tools)
    if len(declared) == len(current) and all(_is_told(tool, current) for tool in declared):
        return ToolStateChanges([], [])  # at almost every request, so worth a short way
    return get_tool_state_changes(declared, list(current.values()))


def _is_told(declared: Tool, current: dict[str, AgentTool]) -> bool:
    tool = current.get(declared.name)
    return (
        tool is not None
        and tool.description == declared.description
        and tool.constrained_sampling == declared.constrained_sampling
        and tool.parameters == declared.parameters
    )
