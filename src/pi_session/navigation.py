"""Moving to another entry of the tree: where the leaf goes, what comes back for editing.

Source: session spec, section 15.
"""

from __future__ import annotations

from msgspec import Struct

from pi_ai.abort import AbortSignal
from pi_ai.transcript import content_text
from pi_ai.types import UserMessage
from pi_ai.wire import to_json_value
from pi_session.branch_summary import (
    BranchSummary,
    collect_entries_for_branch_summary,
    generate_branch_summary,
)
from pi_session.compaction_settings import BRANCH_SUMMARY_RESERVE_TOKENS
from pi_session.entries import CustomMessageEntry, Entry, MessageEntry
from pi_session.errors import EntryNotFoundError
from pi_session.manager import SessionManager
from pi_session.summarizing import Summarizer, check_unmoved

__all__ = ("NavigationResult", "NavigationTarget", "navigate_session", "resolve_navigation")


class NavigationTarget(Struct, frozen=True):
    """The leaf to move to, None for before the first entry, and the text to edit, if any."""

    leaf_id: str | None
    editor_text: str | None


class NavigationResult(Struct, frozen=True):
    """What a move gave: text to edit, and the entry of the summary that was written."""

    editor_text: str | None
    summary_entry: Entry | None


def resolve_navigation(entry: Entry) -> NavigationTarget:
    """Where choosing `entry` leads.

    A message of the user is to be written anew: the leaf goes before it, its text is edited.
    """
    match entry.view:
        case MessageEntry(message=UserMessage(content=content)):
            return NavigationTarget(entry.parent_id, content_text(content, ""))
        case CustomMessageEntry(content=content):
            return NavigationTarget(entry.parent_id, content_text(content, ""))
        case _:
            return NavigationTarget(entry.id, None)


async def navigate_session(
    session: SessionManager,
    target_id: str,
    summarizer: Summarizer | None = None,
    *,
    reserve_tokens: int = BRANCH_SUMMARY_RESERVE_TOKENS,
    custom_instructions: str | None = None,
    replace_instructions: bool = False,
    label: str | None = None,
    signal: AbortSignal | None = None,
) -> NavigationResult:
    """Move the leaf to `target_id`, as `resolve_navigation` says.

    With a `summarizer`, what is left behind is summarised below the new leaf, if it holds text.
    `label` goes on the summary, else on the target. The leaf itself does nothing. Raises
    `EntryNotFoundError`, `SessionMovedError` if the leaf moved while a summary was written, and
    what `generate_branch_summary` and appending raise; the tree is unchanged then.
    """
    target = session.get_entry(target_id)
    if target is None:
        raise EntryNotFoundError(target_id)
    old_leaf = session.leaf_id
    if target_id == old_leaf:
        return NavigationResult(None, None)
    found = resolve_navigation(target)
    leaf_id = found.leaf_id
    if leaf_id is not None and session.get_entry(leaf_id) is None:
        leaf_id = None  # old files may lack the parent
    summary: BranchSummary | None = None
    if summarizer is not None:
        left = collect_entries_for_branch_summary(session, old_leaf, target_id)
        summary = await generate_branch_summary(
            left.entries,
            summarizer,
            reserve_tokens=reserve_tokens,
            custom_instructions=custom_instructions,
            replace_instructions=replace_instructions,
            signal=signal,
        )
        check_unmoved(session, old_leaf)
    entry = _move(session, target_id, leaf_id, summary=summary, label=label)
    return NavigationResult(found.editor_text, entry)


def _move(
    session: SessionManager,
    target_id: str,
    leaf_id: str | None,
    *,
    summary: BranchSummary | None,
    label: str | None,
) -> Entry | None:
    """Move the leaf and append summary and label; gives the summary's entry."""
    if summary is not None:
        target_id = session.branch_with_summary(
            leaf_id,
            summary.summary,
            details=to_json_value(summary.files),
            from_hook=False,
            usage=summary.usage,
        )
    elif leaf_id is None:
        session.reset_leaf()
    else:
        session.branch(leaf_id)
    if label:
        session.append_label_change(target_id, label)
    return None if summary is None else session.get_entry(target_id)
