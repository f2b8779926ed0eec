"""The sections of the system prompt and what changes between two of them: sdk spec, 6.3."""

from __future__ import annotations

from pathlib import Path

import pytest

from pi_agent import AgentTool, ToolContext
from pi_agent.types import ToolResult
from pi_sdk.resources import ContextFile
from pi_sdk.system_prompt import build_sections, patch_sections, render_sections


async def _execute(_args: dict[str, object], _context: ToolContext) -> ToolResult:
    return ToolResult.text("")


def make(name: str, snippet: str | None = None, *guidelines: str) -> AgentTool:
    return AgentTool(
        name=name,
        description="",
        parameters={},
        execute=_execute,
        prompt_snippet=snippet,
        prompt_guidelines=guidelines,
    )


def test_all_sections_in_their_order_and_wrapped():
    sections = build_sections(
        tools=[make("bash", "Run\n  a command", "Be careful", " Be careful ")],
        cwd="C:\\work",
        context_files=[ContextFile(Path("/p/AGENTS.md"), "Say hi.")],
        append=["one", "", "two"],
    )
    assert list(sections) == [
        "preamble",
        "tools",
        "rules",
        "addendum",
        "project_context",
        "cwd",
    ]
    for name, text in sections.items():
        if name != "preamble":
            assert text.startswith(f"<{name}>\n")
            assert text.endswith(f"\n</{name}>")
    assert "- bash: Run a command\n" in sections["tools"]
    assert sections["rules"].count("Be careful") == 1
    assert sections["addendum"] == "<addendum>\none\n\ntwo\n</addendum>"
    assert (
        '<project_instructions path="/p/AGENTS.md">\nSay hi.\n</project_instructions>'
        in sections["project_context"]
    )
    assert sections["cwd"] == "<cwd>\nC:/work\n</cwd>"


def test_a_custom_prompt_takes_the_place_of_preamble_tools_and_rules():
    sections = build_sections(tools=[make("bash", "x")], cwd="/w", custom="Mine")
    assert sections == {"preamble": "Mine", "cwd": "<cwd>\n/w\n</cwd>"}
    assert render_sections(sections) == "Mine\n\n<cwd>\n/w\n</cwd>"


def test_an_empty_custom_prompt_leaves_the_rest():
    sections = build_sections(tools=[], cwd="/w", custom="")
    assert render_sections(sections) == "<cwd>\n/w\n</cwd>"


def test_no_tool_with_a_snippet():
    sections = build_sections(tools=[make("quiet")], cwd="/w")
    assert sections["tools"].startswith("<tools>\n(none)\n")


@pytest.mark.parametrize(
    ("names", "hint"),
    [(["bash"], True), (["bash", "grep"], False), (["read"], False)],
    ids=["bash alone", "bash and grep", "no bash"],
)
def test_exploring_with_bash_is_suggested_where_nothing_better_is_there(names, hint):
    rules = build_sections(tools=[make(name) for name in names], cwd="/w")["rules"]
    assert ("ls, find" in rules) is hint


@pytest.mark.parametrize(
    ("current", "wanted", "patch"),
    [
        (None, {"a": "1"}, {"a": "1"}),
        ({"a": "1"}, {"a": "1"}, None),
        ({"a": "1", "b": "2"}, {"a": "1", "b": "3"}, {"b": "3"}),
        ({"a": "1", "b": "2"}, {"a": "1"}, {"b": None}),
        ({"a": "1", "b": None}, {"a": "1"}, None),
        ({}, {}, None),
    ],
    ids=["first", "same", "changed", "removed", "removed before", "nothing"],
)
def test_a_patch_says_only_what_differs(current, wanted, patch):
    message = patch_sections(current, wanted)
    if patch is None:
        assert message is None
    else:
        assert message is not None
        assert (message.content, message.sections) == ("", patch)
