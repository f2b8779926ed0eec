"""A part of a branch as the entries of a session of its own.

Pure; the manager decides where they go.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence

from pi_ai.types import AssistantMessage, ToolResultMessage
from pi_session.codec import patch_line
from pi_session.derive import branched_entries, linear_entries
from pi_session.entries import CompactionEntry, Entry
from pi_session.errors import EntryNotFoundError, SessionError
from pi_session.tree import Label, SessionTree

__all__ = ("sliced_entries",)


def sliced_entries(
    session: SessionTree,
    first_id: str | None,
    last_id: str | None,
    *,
    labels: dict[str, Label],
    new_id: Callable[[Container[str]], str],
) -> list[Entry]:
    """Copies of the entries from `first_id` to `last_id`, by default from root to leaf.

    The first has no parent any more. The range grows where it would part tool calls from their
    results: back to the calls, and on over the results. Labels on what is copied are made anew at
    the end. A compaction that kept entries from before the range keeps those in it.

    Raises `EntryNotFoundError`, or `SessionError` if the first is not on the branch to the last.
    """
    for entry_id in (first_id, last_id):
        if entry_id is not None and session.get_entry(entry_id) is None:
            raise EntryNotFoundError(entry_id)
    path = session.get_branch(last_id)
    start = 0
    if first_id is not None:
        ids = [entry.id for entry in path]
        if first_id not in ids:
            raise SessionError(f"Entry {first_id} is not on the branch to {last_id or 'the leaf'}")
        start = _before_calls(path, ids.index(first_id))
    path += _missing_results(session, path[start:])
    entries = _with_kept_entries(linear_entries(path[start:]), path[:start])
    return branched_entries(entries, labels, new_id)


def _with_kept_entries(entries: list[Entry], cut_off: Sequence[Entry]) -> list[Entry]:
    outside = {entry.id for entry in cut_off}
    first = next((entry.id for entry in entries if entry.type != "label"), None)
    for index, entry in enumerate(entries):
        view = entry.view if entry.type == "compaction" else None
        if isinstance(view, CompactionEntry) and view.first_kept_entry_id in outside:
            entries[index] = patch_line(entry, {"firstKeptEntryId": first})
    return entries


# --- tool calls and their results ---------------------------------------------------------------


def _before_calls(path: Sequence[Entry], start: int) -> int:
    """Where to start so that each result has its call; calls are looked for in the same turn."""
    wanted: set[str] = set()
    before: set[str] = set()  # results in front of `start`, which count once it is in front of them
    for index in range(len(path) - 1, -1, -1):
        if index < start and not wanted:
            break
        match path[index].message:
            case ToolResultMessage(tool_call_id=call_id):
                (wanted if index >= start else before).add(call_id)
            case AssistantMessage() as message:
                calls = {call.id for call in message.tool_calls}
                if index < start and wanted & calls:
                    start = index
                    wanted |= before
                    before = set()
                wanted -= calls
                before -= calls
            case message if message is not None and message.role == "user":
                wanted.clear()
            case _:
                pass
    return start


def _missing_results(session: SessionTree, entries: Sequence[Entry]) -> list[Entry]:
    """What follows `entries` up to the last result of a call that is open at their end."""
    open_calls = _open_calls(entries)
    active = {entry.id for entry in session.get_branch()}
    passed = {entry.id for entry in entries}
    found: list[Entry] = []
    walked: list[Entry] = []
    entry = entries[-1] if entries else None
    while entry is not None and open_calls:
        children = [child for child in session.get_children(entry.id) if child.id not in passed]
        entry = next((child for child in children if child.id in active), None)
        if entry is None and children:
            entry = next((child for child in children if _answers(child, open_calls)), children[-1])
        if entry is None:
            break
        passed.add(entry.id)
        walked.append(entry)
        message = entry.message
        if isinstance(message, ToolResultMessage):
            if message.tool_call_id in open_calls:
                open_calls.remove(message.tool_call_id)
                found += walked
                walked = []
        elif message is not None:
            break
    return found


def _open_calls(entries: Sequence[Entry]) -> set[str]:
    answered: set[str] = set()
    for entry in reversed(entries):
        match entry.message:
            case ToolResultMessage(tool_call_id=call_id):
                answered.add(call_id)
            case AssistantMessage() as message:
                return {call.id for call in message.tool_calls} - answered
            case None:
                pass
            case _:
                break
    return set()


def _answers(entry: Entry, calls: Container[str]) -> bool:
    message = entry.message
    return isinstance(message, ToolResultMessage) and message.tool_call_id in calls
