"""What a derived session or an export consists of: lines made from the lines of another one.

Pure; the manager and the caller decide where the lines go. Source: session spec, section 11.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence

from pi_ai.types import JsonObject
from pi_session.codec import patch_line
from pi_session.entries import CompactionEntry, Entry, LabelEntry
from pi_session.tree import Label

__all__ = ("branched_entries", "linear_entries")


def branched_entries(
    path: Sequence[Entry],
    labels: Mapping[str, Label],
    new_id: Callable[[Container[str]], str],
) -> list[Entry]:
    """The entries of a session that starts as a copy of `path`.

    Label entries are dropped, what follows them is chained to what precedes them, and the labels
    that are still set are made anew at the end, with their times.
    """
    stands_for: dict[str, str | None] = {}  # dropped label -> what to be a child of instead
    next_kept: dict[str, str] = {}  # dropped label -> the first entry kept after it
    waiting: list[str] = []
    for entry in path:
        if entry.type == "label":
            stands_for[entry.id] = _surviving_parent(entry, stands_for)
            waiting.append(entry.id)
        else:
            next_kept.update(dict.fromkeys(waiting, entry.id))
            waiting.clear()
    copied = [
        _rechained(entry, _surviving_parent(entry, stands_for), next_kept)
        for entry in path
        if entry.type != "label"
    ]
    taken = {entry.id for entry in copied}
    parent = copied[-1].id if copied else None
    for target, label in [item for item in labels.items() if item[0] in taken]:
        view = LabelEntry(
            id=new_id(taken),
            parent_id=parent,
            timestamp=label.timestamp,
            target_id=target,
            label=label.text,
        )
        taken.add(view.id)
        copied.append(Entry.of(view))
        parent = view.id
    return copied


def _surviving_parent(entry: Entry, stands_for: Mapping[str, str | None]) -> str | None:
    # Labels are met root first, so what stands for one is never a label itself.
    parent = entry.parent_id
    return stands_for.get(parent, parent) if parent is not None else None


def _rechained(entry: Entry, parent: str | None, next_kept: Mapping[str, str]) -> Entry:
    changes: JsonObject = {}
    if parent != entry.parent_id:
        changes["parentId"] = parent
    if entry.type == "compaction" and isinstance(view := entry.view, CompactionEntry):
        kept = next_kept.get(view.first_kept_entry_id or "")
        if kept is not None:
            changes["firstKeptEntryId"] = kept
    return patch_line(entry, changes) if changes else entry


def linear_entries(path: Sequence[Entry]) -> list[Entry]:
    """The path as a file of its own: each entry, labels included, the child of the one before."""
    chained: list[Entry] = []
    parent: str | None = None
    for entry in path:
        same = entry.parent_id == parent
        chained.append(entry if same else patch_line(entry, {"parentId": parent}))
        parent = entry.id
    return chained
