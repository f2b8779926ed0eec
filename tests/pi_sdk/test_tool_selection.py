"""Which tools a session starts with: sdk spec, section 7.1."""

from __future__ import annotations

import pytest

from pi_agent import AgentTool, ToolContext
from pi_agent.types import ToolResult
from pi_sdk import SdkError
from pi_sdk.tool_selection import select_tools


async def _execute(_args: dict[str, object], _context: ToolContext) -> ToolResult:
    return ToolResult.text("")


def make(name: str, label: str = "") -> AgentTool:
    return AgentTool(
        name=name, description="", parameters={}, execute=_execute, label=label or name
    )


BUILT_IN = [make(name) for name in ("read", "bash", "edit", "write", "grep")]
CUSTOM = [make("mytool")]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ["read", "bash", "edit", "write", "mytool"]),
        ({"tools": ["read", "grep"]}, ["read", "grep"]),
        ({"tools": ["grep", "read"]}, ["read", "grep"]),
        ({"tools": ["my*"]}, ["mytool"]),
        ({"tools": []}, []),
        ({"tools": ["+grep", "-bash"]}, ["read", "edit", "write", "mytool", "grep"]),
        ({"tools": ["+read"]}, ["read", "bash", "edit", "write", "mytool"]),
        ({"tools": ["-nope"]}, ["read", "bash", "edit", "write", "mytool"]),
        ({"no_tools": "builtin"}, ["mytool"]),
        ({"no_tools": "builtin", "tools": ["+grep"]}, ["mytool", "grep"]),
        ({"no_tools": "all"}, []),
        ({"no_tools": "all", "tools": ["read"]}, ["read"]),
        ({"no_tools": "all", "tools": ["+read"]}, ["read"]),
        ({"exclude_tools": ["ba*", "mytool"]}, ["read", "edit", "write"]),
        ({"tools": ["read", "bash"], "exclude_tools": ["read"]}, ["bash"]),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_options_choose_the_tools(options, expected):
    assert [tool.name for tool in select_tools(BUILT_IN, CUSTOM, **options)] == expected


def test_a_custom_tool_takes_the_place_of_its_namesake():
    selected = select_tools(BUILT_IN, [make("bash", "my own")])
    assert [(tool.name, tool.label) for tool in selected] == [
        ("read", "read"),
        ("bash", "my own"),
        ("edit", "edit"),
        ("write", "write"),
    ]


@pytest.mark.parametrize(
    ("tools", "text"),
    [
        (
            ["+a", "b"],
            "Invalid tools option: tool names cannot be mixed with +name or -name entries",
        ),
        (
            ["+gr*"],
            "Invalid tools option: +name and -name entries take exact tool names, "
            "not patterns: +gr*",
        ),
        (["reed"], "Unknown tool: reed. Available: read, bash, edit, write, grep, mytool"),
        (["+find"], "Unknown tool: find. Available: read, bash, edit, write, grep, mytool"),
    ],
    ids=["sdk check 41: mixed", "pattern in a change", "unknown name", "unknown addition"],
)
def test_bad_lists_are_refused(tools, text):
    with pytest.raises(SdkError) as raised:
        select_tools(BUILT_IN, CUSTOM, tools=tools)
    assert str(raised.value) == text
