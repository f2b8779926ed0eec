"""The system prompt: named sections in a fixed order, and what changes between two of them.

Source: sdk spec, section 6.3. The wording is ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pi_agent import AgentTool
from pi_ai import SystemMessage
from pi_sdk.resources import ContextFile

__all__ = ("build_sections", "patch_sections", "render_sections")

_PREAMBLE = (
    "You are a coding agent working in a user's project through the tools you are given. "
    "Look before you change things, make the smallest change that solves the task, and check "
    "that it works."
)
_LOOK_WITH_BASH = "Use bash to list and search files (ls, find, grep or rg)."
_CLOSING_RULES = (
    "Be concise: say what you did and what you found, without filler.",
    "Name files by their paths.",
)
_MORE_TOOLS = "The host may offer further tools; use each as its description says."


def build_sections(
    *,
    tools: Sequence[AgentTool],
    cwd: str,
    context_files: Sequence[ContextFile] = (),
    custom: str | None = None,
    append: Sequence[str] = (),
) -> dict[str, str]:
    """The sections by name, in order; all but `preamble` are wrapped in a tag of their name.

    `custom` takes the place of preamble, tool list and rules.
    """
    sections = {"preamble": custom if custom is not None else _PREAMBLE}
    if custom is None:
        sections["tools"] = _tools(tools)
        sections["rules"] = _rules(tools)
    addendum = "\n\n".join(part for part in append if part)
    if addendum:
        sections["addendum"] = addendum
    if context_files:
        sections["project_context"] = _project_context(context_files)
    sections["cwd"] = cwd.replace("\\", "/")
    return {
        name: text if name == "preamble" else f"<{name}>\n{text}\n</{name}>"
        for name, text in sections.items()
    }


def render_sections(sections: Mapping[str, str]) -> str:
    """The prompt as the model reads it."""
    return "\n\n".join(text for text in sections.values() if text)


def patch_sections(
    current: Mapping[str, str | None] | None, wanted: Mapping[str, str]
) -> SystemMessage | None:
    """The system message that turns `current` into `wanted`, None if nothing differs."""
    before = {name: text for name, text in (current or {}).items() if text is not None}
    changes: dict[str, str | None] = {
        name: text for name, text in wanted.items() if before.get(name) != text
    }
    changes |= {name: None for name in before if name not in wanted}
    return SystemMessage("", sections=changes) if changes else None


def _tools(tools: Sequence[AgentTool]) -> str:
    lines = [
        f"- {tool.name}: {' '.join(tool.prompt_snippet.split())}"
        for tool in tools
        if tool.prompt_snippet
    ]
    return "\n".join(lines or ["(none)"]) + f"\n\n{_MORE_TOOLS}"


def _rules(tools: Sequence[AgentTool]) -> str:
    names = {tool.name for tool in tools}
    rules: list[str] = []
    if "bash" in names and not names & {"grep", "find", "ls"}:
        rules.append(_LOOK_WITH_BASH)
    for tool in tools:
        rules += tool.prompt_guidelines
    rules += _CLOSING_RULES
    trimmed = dict.fromkeys(rule.strip() for rule in rules)
    return "\n".join(f"- {rule}" for rule in trimmed if rule)


def _project_context(files: Sequence[ContextFile]) -> str:
    parts = ["Instructions for this project and this user:"]
    parts += [
        f'<project_instructions path="{file.path}">\n{file.content}\n</project_instructions>'
        for file in files
    ]
    return "\n\n".join(parts)
