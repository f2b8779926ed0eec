"""Which tools a session starts with.

Source: sdk spec, section 7.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Literal

from pi_agent import AgentTool
from pi_sdk.errors import SdkError
from pi_tools import CODING_TOOL_NAMES

__all__ = ("apply_changes", "are_changes", "register_tools", "select_tools")


def select_tools(
    built_in: Sequence[AgentTool],
    custom: Sequence[AgentTool],
    *,
    tools: Sequence[str] | None = None,
    no_tools: Literal["builtin", "all"] | None = None,
    exclude_tools: Sequence[str] = (),
    default_tools: Sequence[str] | None = None,
) -> list[AgentTool]:
    """The active tools, built-in ones first; a custom tool takes the place of its namesake.

    `tools` is a list of names and patterns to use, or of `+name` and `-name` changes to the
    default ones; `exclude_tools` is applied last. `default_tools` is the setting: names in place
    of the usual defaults, and changes to them; names that no tool has are passed over there.
    Raises `SdkError` for a `tools` that mixes both kinds or has a name to use that no tool has.
    """
    by_name = {tool.name: tool for tool in (*built_in, *custom)}
    defaults = [] if no_tools else _defaults(default_tools)
    names = [*defaults, *(tool.name for tool in custom if tool.name not in defaults)]
    if no_tools == "all":
        names = []
    if tools is not None:
        names = _changed(by_name, names, tools) if are_changes(tools) else _listed(by_name, tools)
    return [
        by_name[name]
        for name in names
        if name in by_name and not any(fnmatchcase(name, pattern) for pattern in exclude_tools)
    ]


def _defaults(setting: Sequence[str] | None) -> list[str]:
    """The names that the setting asks for, in order."""
    if setting is None:
        return list(CODING_TOOL_NAMES)
    plain = [entry for entry in setting if entry[:1] not in {"+", "-"}]
    # A list of changes alone changes the usual ones; an empty one asks for none.
    names = plain if plain or not setting else list[str](CODING_TOOL_NAMES)
    changes = [entry for entry in setting if entry[:1] in {"+", "-"}]
    return apply_changes(list(dict.fromkeys(names)), changes)


def apply_changes(names: Sequence[str], changes: Sequence[str]) -> list[str]:
    """`names` after `+name` and `-name`, in their order; what is added comes last, once."""
    changed = list(names)
    for entry in changes:
        name = entry[1:]
        if entry[0] == "-":
            changed = [other for other in changed if other != name]
        elif name not in changed:
            changed.append(name)
    return changed


def register_tools(
    built_in: Sequence[AgentTool],
    custom: Sequence[AgentTool],
    *,
    tools: Sequence[str] | None = None,
    no_tools: Literal["builtin", "all"] | None = None,
    exclude_tools: Sequence[str] = (),
) -> list[AgentTool]:
    """The tools that can be made active in mid-session: all, or those that `tools` lists.

    With `no_tools` "all" there are none but those. Raises as `select_tools` does.
    """
    by_name = {tool.name: tool for tool in (*built_in, *custom)}
    names = [] if no_tools == "all" else list(by_name)
    if tools is not None and not are_changes(tools):
        names = _listed(by_name, tools)
    return [
        by_name[name]
        for name in names
        if not any(fnmatchcase(name, pattern) for pattern in exclude_tools)
    ]


def are_changes(tools: Sequence[str]) -> bool:
    """Whether the list changes the default tools. Raises `SdkError` if only a part of it does."""
    changes = [entry for entry in tools if entry[:1] in {"+", "-"}]
    if changes and len(changes) != len(tools):
        raise SdkError(
            "Invalid tools option: tool names cannot be mixed with +name or -name entries"
        )
    for entry in changes:
        if any(sign in entry for sign in "*?["):
            raise SdkError(
                "Invalid tools option: +name and -name entries take exact tool names, "
                f"not patterns: {entry}"
            )
    return bool(changes)


def _changed(by_name: dict[str, AgentTool], names: list[str], changes: Sequence[str]) -> list[str]:
    for entry in changes:
        if entry[0] == "+":
            _require_known(by_name, entry[1:])
    return apply_changes(names, changes)


def _listed(by_name: dict[str, AgentTool], tools: Sequence[str]) -> list[str]:
    for entry in tools:
        if not any(sign in entry for sign in "*?["):
            _require_known(by_name, entry)
    return [name for name in by_name if any(fnmatchcase(name, entry) for entry in tools)]


def _require_known(by_name: dict[str, AgentTool], name: str) -> None:
    if name not in by_name:
        raise SdkError(f"Unknown tool: {name}. Available: {', '.join(by_name)}")
