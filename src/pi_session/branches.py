"""The branches of a session: which there are, what each has cost, how two of them differ."""

from __future__ import annotations

from msgspec import Struct

from pi_ai.types import Usage
from pi_session.entries import Entry
from pi_session.errors import EntryNotFoundError
from pi_session.messages import SessionMessage
from pi_session.plain_text import counted, usd
from pi_session.projection import build_transcript
from pi_session.stats import SessionStats, read_billed, session_stats, total_usage
from pi_session.tree import SessionTree, TreeNode

__all__ = ("Branch", "BranchDiff", "diff_branches", "list_branches")


class Branch(Struct):
    """The way from a root to an entry without children.

    `leaf_id` is its last entry and `timestamp` the time of that; `fork_id` is the last entry that
    it shares with another branch, None if there is none. `entries` counts the whole way,
    `own_entries` what lies behind the fork; `usage` and `own_usage` are what these used and cost.
    `active`: the session's leaf is the last entry, so that the next append goes here.
    """

    leaf_id: str
    fork_id: str | None
    active: bool
    timestamp: str
    entries: int
    own_entries: int
    usage: Usage
    own_usage: Usage

    def __repr__(self) -> str:
        active = "active, " if self.active else ""
        counts = counted(self.entries, "entry", "entries")
        return f"<Branch {self.leaf_id}, {active}{counts}, {usd(self.usage.cost.total)}>"


class BranchDiff(Struct):
    """What two branches do not share, root first; a and b are their last entries.

    `common_ancestor_id` is the last entry on both, None if they share none. `stats_a` and
    `stats_b` count `only_a` and `only_b`.
    """

    a: str
    b: str
    common_ancestor_id: str | None
    only_a: list[Entry]
    only_b: list[Entry]
    stats_a: SessionStats
    stats_b: SessionStats

    @property
    def messages_a(self) -> list[SessionMessage]:
        """The messages of `only_a` as they were stored."""
        return build_transcript(self.only_a)

    @property
    def messages_b(self) -> list[SessionMessage]:
        """The messages of `only_b` as they were stored."""
        return build_transcript(self.only_b)

    def __repr__(self) -> str:
        sizes = f"{len(self.only_a)} and {len(self.only_b)} entries"
        return f"<BranchDiff {self.a} {self.b}, common {self.common_ancestor_id}, {sizes}>"

    def __str__(self) -> str:
        from pi_session.text_view import diff_text

        return diff_text(self)


class _Stretch(Struct):
    """Where entries without a fork among them start, and what there is on the way to them."""

    start: TreeNode
    fork_id: str | None
    entries_before: int
    usage_before: Usage


def list_branches(session: SessionTree) -> list[Branch]:
    """Every branch, the one that ends last in the file last. Each entry is read once."""
    branches: list[Branch] = []
    pending = [_Stretch(root, None, 0, Usage()) for root in session.get_tree()]
    while pending:
        stretch = pending.pop()
        node, entries = stretch.start, [stretch.start.entry]
        while len(node.children) == 1:
            node = node.children[0]
            entries.append(node.entry)
        billed = [found for found in map(read_billed, entries) if found is not None]
        own_usage = total_usage(found.usage for found in billed)
        usage = total_usage([stretch.usage_before, own_usage])
        count = stretch.entries_before + len(entries)
        last = node.entry
        if node.children:
            pending.extend(_Stretch(child, last.id, count, usage) for child in node.children)
            continue
        branches.append(
            Branch(
                leaf_id=last.id,
                fork_id=stretch.fork_id,
                active=last.id == session.leaf_id,
                timestamp=last.timestamp,
                entries=count,
                own_entries=len(entries),
                usage=usage,
                own_usage=own_usage,
            )
        )
    order = {entry.id: index for index, entry in enumerate(session.get_entries())}
    return sorted(branches, key=lambda branch: order[branch.leaf_id])


def diff_branches(session: SessionTree, a: str, b: str) -> BranchDiff:
    """What the branches that end at entries `a` and `b` do not share.

    Raises `EntryNotFoundError`.
    """
    path_a, path_b = _path(session, a), _path(session, b)
    at_a = {entry.id: index for index, entry in enumerate(path_a)}
    at_b = len(path_b) - 1
    while at_b >= 0 and path_b[at_b].id not in at_a:
        at_b -= 1
    common = path_b[at_b].id if at_b >= 0 else None
    only_a = path_a[at_a[common] + 1 :] if common is not None else path_a
    only_b = path_b[at_b + 1 :]
    return BranchDiff(a, b, common, only_a, only_b, session_stats(only_a), session_stats(only_b))


def _path(session: SessionTree, entry_id: str) -> list[Entry]:
    path = session.get_branch(entry_id)
    if not path:
        raise EntryNotFoundError(entry_id)
    return path
