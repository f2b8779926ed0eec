"""Which tools are active in mid-session: what the host sets, and what a transcript says.

Source: sdk spec, sections 7.2 and 7.3.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from pi_agent import AgentTool
from pi_ai import SystemMessage
from pi_session import Entry

__all__ = ("choose_active", "recorded_loadout")


def choose_active(
    registered: Sequence[AgentTool], active: Sequence[AgentTool], names: Iterable[str]
) -> list[AgentTool]:
    """The registered tools of these names; what stays active keeps its place, the rest follows.

    Names that no tool has are passed over.
    """
    wanted = dict.fromkeys(names)
    by_name = {tool.name: tool for tool in registered}
    kept = [tool for tool in active if tool.name in wanted and tool.name in by_name]
    there = {tool.name for tool in kept}
    return [*kept, *(by_name[name] for name in wanted if name in by_name and name not in there)]


def recorded_loadout(branch: Iterable[Entry], custom: Collection[str]) -> list[str] | None:
    """The tools that a branch ends with, and custom ones that it never mentions.

    None for a branch that says nothing of a prompt or tools.
    """
    names: dict[str, None] = {}
    mentioned: set[str] = set()
    told = False
    for entry in branch:
        may_tell = entry.type == "message" and b'"system"' in entry.line  # nearly none does
        message = entry.message if may_tell else None
        if not isinstance(message, SystemMessage):
            continue
        told = True
        for tool in message.tools_removed or ():
            names.pop(tool.name, None)
            mentioned.add(tool.name)
        for tool in message.tools_added or ():
            names[tool.name] = None
            mentioned.add(tool.name)
    if not told:
        return None
    return [*names, *(name for name in custom if name not in mentioned)]
