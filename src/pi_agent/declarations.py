"""Tells the model about tools: changes between what can run and what is declared become system
messages.

Source: agent spec, section 4.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from pi_agent.types import AgentMessage, AgentTool
from pi_ai.transcript import get_current_tools, get_tool_state_changes, to_tool_declaration
from pi_ai.types import (
    AssistantMessage,
    Message,
    SystemMessage,
    Tool,
    ToolResultMessage,
    UserMessage,
)

__all__ = ("declare_tool_changes", "leading_system_message", "model_messages")


def model_messages(messages: Sequence[AgentMessage]) -> list[Message]:
    """The messages that a model can read, without those only the host knows."""
    known = (SystemMessage, UserMessage, AssistantMessage, ToolResultMessage)
    return [message for message in messages if isinstance(message, known)]


def _declarations(tools: Sequence[AgentTool]) -> list[Tool]:
    """One declaration per name; of several tools of a name the first runs, so it is declared."""
    by_name: dict[str, Tool] = {}
    for tool in tools:
        by_name.setdefault(tool.name, to_tool_declaration(tool))
    return list(by_name.values())


def leading_system_message(prompt: str, tools: Sequence[AgentTool]) -> SystemMessage | None:
    """The message a new transcript starts with, None without a prompt and tools."""
    if not prompt and not tools:
        return None
    return SystemMessage(prompt, tools_added=_declarations(tools) or None, timestamp=0)


def declare_tool_changes(
    messages: Sequence[AgentMessage],
    pending: Sequence[AgentMessage],
    tools: Sequence[AgentTool],
) -> list[AgentMessage]:
    """`pending` with a system message that declares what changed, if anything did.

    The last pending system message carries the change if there is one: what it says of tools is
    only a wish and is replaced.
    """
    carrier = next((m for m in reversed(pending) if isinstance(m, SystemMessage)), None)
    told = [
        msgspec.structs.replace(m, tools_added=None, tools_removed=None) if m is carrier else m
        for m in model_messages([*messages, *pending])
    ]
    changes = get_tool_state_changes(get_current_tools(told), _declarations(tools))
    added = list(changes.tools_added) or None
    removed = list(changes.tools_removed) or None
    if carrier is not None:
        if (carrier.tools_added, carrier.tools_removed) == (added, removed) == (None, None):
            return list(pending)
        changed = msgspec.structs.replace(carrier, tools_added=added, tools_removed=removed)
        return [changed if message is carrier else message for message in pending]
    if added is None and removed is None:
        return list(pending)
    at = next(
        (i for i, m in enumerate(pending) if not isinstance(m, SystemMessage)), len(pending)
    )
    news = SystemMessage("", tools_added=added, tools_removed=removed)
    return [*pending[:at], news, *pending[at:]]
