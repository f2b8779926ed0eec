"""Where a context can be cut in two, so that the end stays and the rest is summarised.

A cut never parts a tool call from its result. Source: session spec, section 14.3.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from pi_session.entries import ContextEditEntry, Entry
from pi_session.estimation import sum_estimates
from pi_session.projection import ProjectedEntry, build_projection

__all__ = ("CutPoint", "find_cut_point", "find_projected_cut_point", "project_each")

_TURN_STARTS = frozenset({"user", "bashExecution", "custom", "branchSummary", "compactionSummary"})
_CUT_ROLES = _TURN_STARTS | {"assistant"}


class CutPoint(Struct, frozen=True):
    """The first entry that stays, by position.

    `turn_start_index` is where the turn that is cut in two begins, -1 if none is.
    """

    first_kept_entry_index: int
    turn_start_index: int = -1

    @property
    def is_split_turn(self) -> bool:
        """Whether the cut goes through a turn."""
        return self.turn_start_index >= 0


def find_cut_point(
    entries: Sequence[Entry], start: int, end: int, *, keep_recent_tokens: int
) -> CutPoint:
    """Where to cut `entries[start:end]`, without regard to context edits.

    At `start` if there is no place to cut.
    """
    items = project_each(entries[:end])
    candidates = _find_candidates(items, start)
    if not candidates:
        return CutPoint(start)
    cut, _ = _cut_by_budget(items, candidates, start, keep_recent_tokens)
    return _finished(items, start, cut)


def find_projected_cut_point(
    items: Sequence[ProjectedEntry], start: int, keep_recent_tokens: int
) -> CutPoint | None:
    """Where to cut what the model sees, from position `start` on; None if nowhere."""
    candidates = _find_candidates(items, start)
    if not candidates:
        return None
    cut, reached = _cut_by_budget(items, candidates, start, keep_recent_tokens)
    if reached and _is_failed_attempt(items[cut + 1 :]):
        cut += 1
    return _finished(items, start, cut)


def project_each(entries: Sequence[Entry], *, edits: bool = False) -> list[ProjectedEntry]:
    """What each entry contributes, whatever compactions replace; `edits` says if edits count."""
    left_out = {"compaction"} if edits else {"compaction", "context_edit"}
    projected = iter(build_projection([e for e in entries if e.type not in left_out]).entries)
    items: list[ProjectedEntry] = []
    for entry in entries:
        if entry.type not in left_out:
            items.append(next(projected))
        else:
            items.extend(build_projection([entry]).entries)
    return items


def _find_candidates(items: Sequence[ProjectedEntry], start: int) -> list[int]:
    return [index for index in range(start, len(items)) if _has_role(items[index], _CUT_ROLES)]


def _has_role(item: ProjectedEntry, roles: frozenset[str]) -> bool:
    return item.entry.type != "compaction" and any(each.role in roles for each in item.messages)


def _cut_by_budget(
    items: Sequence[ProjectedEntry], candidates: Sequence[int], start: int, keep_recent_tokens: int
) -> tuple[int, bool]:
    """The cut that keeps about so many tokens, and whether there are that many."""
    kept = 0
    for index in range(len(items) - 1, start - 1, -1):
        tokens = sum_estimates(items[index].messages)
        kept += tokens
        if tokens and kept >= keep_recent_tokens:
            return next((at for at in candidates if at >= index), candidates[-1]), True
    return candidates[0], False


def _is_failed_attempt(suffix: Sequence[ProjectedEntry]) -> bool:
    """Whether `suffix` is an answer that was omitted, which the model is to give once more.

    What was asked before it is then too much to keep, and is summarised as well.
    """
    if any(item.messages or item.entry.type == "compaction" for item in suffix):
        return False
    edits = [item.entry.view for item in suffix if item.entry.type == "context_edit"]
    last = {edit.target_id: edit for edit in edits if isinstance(edit, ContextEditEntry)}
    omitted = {
        item.entry.id: item.entry.role
        for item in suffix
        if item.entry.id in last and last[item.entry.id].replacement is None
    }
    return "assistant" in omitted.values() and not any(
        isinstance(edit, ContextEditEntry)
        and edit.replacement is not None
        and edit.target_id not in omitted
        for edit in edits
    )


def _finished(items: Sequence[ProjectedEntry], start: int, cut: int) -> CutPoint:
    """The cut moved before what belongs to its entry, and the start of the turn it splits."""
    while cut > start and not items[cut - 1].messages and items[cut - 1].entry.type != "compaction":
        cut -= 1
    if cut < len(items) and not _has_role(items[cut], _TURN_STARTS):
        for index in range(cut - 1, start - 1, -1):
            if _has_role(items[index], _TURN_STARTS):
                return CutPoint(cut, index)
    return CutPoint(cut)
