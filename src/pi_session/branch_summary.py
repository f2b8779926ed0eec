"""Branch summaries: what happened on a branch, for when the conversation goes on elsewhere.

Source: session spec, section 15.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from pi_ai.abort import AbortSignal
from pi_ai.types import SystemMessage, ToolResultMessage, Usage
from pi_session.compaction_prompts import BRANCH_PREAMBLE, branch_request
from pi_session.compaction_settings import BRANCH_SUMMARY_RESERVE_TOKENS
from pi_session.convert import conversation_parts, convert_to_llm
from pi_session.cut_points import project_each
from pi_session.entries import BranchSummaryEntry, Entry
from pi_session.estimation import estimate_tokens
from pi_session.file_tracking import (
    FileLists,
    FileOperations,
    collect_file_operations,
    format_file_lists,
    list_files,
)
from pi_session.messages import SessionMessage
from pi_session.summarizing import Summarizer, SummaryRequest, request_summary
from pi_session.tree import SessionTree

__all__ = (
    "BranchEntries",
    "BranchPreparation",
    "BranchSummary",
    "collect_entries_for_branch_summary",
    "generate_branch_summary",
    "prepare_branch_entries",
)

_DEFAULT_WINDOW_TOKENS = 128_000
_SUMMARY_SHARE = 0.9
"""A summary that exceeds the budget is still taken while less than this of it is used."""


class BranchEntries(Struct, frozen=True):
    """What only the branch that is left has, oldest first, and the last entry both have."""

    entries: list[Entry]
    common_ancestor: str | None


class BranchPreparation(Struct, frozen=True):
    """Messages to summarise, oldest first, about how many tokens they take, and their files."""

    messages: list[SessionMessage]
    file_ops: FileOperations
    total_tokens: int


class BranchSummary(Struct, kw_only=True):
    """The text for `SessionManager.branch_with_summary`; `files` are its details."""

    summary: str
    usage: Usage
    files: FileLists


def collect_entries_for_branch_summary(
    session: SessionTree, old_leaf: str | None, target: str | None
) -> BranchEntries:
    """What is left behind when the leaf moves from `old_leaf` to `target`."""
    if old_leaf is None:
        return BranchEntries([], None)
    left = session.get_branch(old_leaf)
    kept = session.get_branch(target) if target is not None else []
    kept_ids = {entry.id for entry in kept}
    at = len(left)
    while at and left[at - 1].id not in kept_ids:
        at -= 1
    return BranchEntries(left[at:], left[at - 1].id if at else None)


def prepare_branch_entries(entries: Sequence[Entry], token_budget: int = 0) -> BranchPreparation:
    """The newest messages of `entries` that fit `token_budget`; 0 is no limit.

    Tool results and system messages are left out, context edits among the entries honoured.
    Files that earlier branch summaries list are carried on.
    """
    operations = FileOperations()
    for entry in entries:
        view = entry.view
        if isinstance(view, BranchSummaryEntry) and not view.from_hook:
            operations.add_details(view.details)
    messages: list[SessionMessage] = []
    total = 0
    for entry, message in reversed(_messages_of(entries)):
        collect_file_operations([message], operations)
        tokens = estimate_tokens(message)
        exceeds = 0 < token_budget < total + tokens
        is_summary = entry.type in {"branch_summary", "compaction"}
        if not exceeds or (is_summary and total < _SUMMARY_SHARE * token_budget):
            messages.append(message)
            total += tokens
        if exceeds:
            break
    messages.reverse()
    return BranchPreparation(messages, operations, total)


def _messages_of(entries: Sequence[Entry]) -> list[tuple[Entry, SessionMessage]]:
    return [
        (entry, message)
        for entry, messages in project_each(entries, edits=True)
        for message in messages
        if not isinstance(message, SystemMessage | ToolResultMessage)
    ]


async def generate_branch_summary(
    entries: Sequence[Entry],
    summarizer: Summarizer,
    *,
    reserve_tokens: int = BRANCH_SUMMARY_RESERVE_TOKENS,
    custom_instructions: str | None = None,
    replace_instructions: bool = False,
    signal: AbortSignal | None = None,
) -> BranchSummary | None:
    """A summary of `entries`; None, without asking the model, if they hold no text.

    The newest messages that fit the model's window are summarised; a newest one that is too long
    by itself, shortened. `custom_instructions` come on top of ours, or replace them. Raises
    `SummaryError`, `AbortError` and what the model call raises.
    """
    window = summarizer.model.context_window
    if window <= 0:
        window = _DEFAULT_WINDOW_TOKENS
    prepared = prepare_branch_entries(entries, window - min(reserve_tokens, window // 2))
    messages = prepared.messages
    if not messages:  # the newest alone exceeds the budget
        messages = prepare_branch_entries(entries).messages[-1:]
    parts = conversation_parts(convert_to_llm(messages))
    if not any(part.strip() for part in parts):
        return None

    def write(text: str, _: str | None) -> str:
        return branch_request(text, custom_instructions, replace_instructions=replace_instructions)

    request = SummaryRequest(
        label="Branch summarization",
        conversation=parts,
        write=write,
        reserve_tokens=reserve_tokens,
    )
    summary = await request_summary(request, summarizer, signal)
    files = list_files(prepared.file_ops)
    return BranchSummary(
        summary=BRANCH_PREAMBLE + summary.text + format_file_lists(files),
        usage=summary.usage,
        files=files,
    )
