"""Message roles that only sessions have, beside those of pi_ai.

A model never sees them as they are: `convert_to_llm` turns them into user messages.
Source: session spec, section 5.
"""

from __future__ import annotations

from typing import ClassVar, Literal, TypeAlias

from msgspec import UNSET, UnsetType, field

from pi_ai.types import JsonValue, Message, UserContent, Wire, now_ms

__all__ = (
    "BashExecutionMessage",
    "BranchSummaryMessage",
    "CompactionSummaryMessage",
    "CustomMessage",
    "SessionMessage",
    "no_content",
)


def no_content() -> list[UserContent]:
    """A factory, since `list` itself would leave empty content out of the line."""
    return []


class CustomMessage(Wire, tag_field="role", tag="custom", kw_only=True):
    """A message that a host injected; `display` says whether a user interface shows it."""

    role: ClassVar[Literal["custom"]] = "custom"
    custom_type: str
    content: str | list[UserContent] = field(default_factory=no_content)
    display: bool = field(default_factory=bool)
    details: JsonValue | UnsetType = UNSET
    timestamp: int = field(default_factory=now_ms)


class BashExecutionMessage(Wire, tag_field="role", tag="bashExecution", kw_only=True):
    """A shell command that the user ran. `exit_code` is None when it was killed.

    `full_output_path` is where the whole output is when `truncated`.
    """

    role: ClassVar[Literal["bashExecution"]] = "bashExecution"
    command: str
    output: str = field(default_factory=str)
    exit_code: int | None = None
    cancelled: bool = field(default_factory=bool)
    truncated: bool = field(default_factory=bool)
    full_output_path: str | None = None
    exclude_from_context: bool | None = None
    timestamp: int = field(default_factory=now_ms)


class BranchSummaryMessage(Wire, tag_field="role", tag="branchSummary", kw_only=True):
    """What happened on a branch that was left. Made from a `branch_summary` entry, never stored.

    `from_id` is informational: the leaf that was left, or `root`.
    """

    role: ClassVar[Literal["branchSummary"]] = "branchSummary"
    summary: str
    from_id: str = field(default_factory=str)
    timestamp: int = field(default_factory=int)


class CompactionSummaryMessage(Wire, tag_field="role", tag="compactionSummary", kw_only=True):
    """What stands for the history before a compaction. Made from its entry, never stored."""

    role: ClassVar[Literal["compactionSummary"]] = "compactionSummary"
    summary: str
    tokens_before: int | float = field(default_factory=int)
    timestamp: int = field(default_factory=int)


SessionMessage: TypeAlias = (
    Message | CustomMessage | BashExecutionMessage | BranchSummaryMessage | CompactionSummaryMessage
)
"""Anything that the transcript of an agent with a session may hold."""
