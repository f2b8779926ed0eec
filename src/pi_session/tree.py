"""The entries of a session as a tree, in memory: reads, moves of the leaf, the cached projection.

Writes nothing. Source: session spec, sections 8 to 10.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from msgspec import Struct

from pi_session.codec import CURRENT_VERSION
from pi_session.entries import Entry, LabelEntry, SessionHeader, SessionInfoEntry
from pi_session.errors import EntryNotFoundError
from pi_session.locations import parse_timestamp
from pi_session.projection import (
    Projection,
    ProjectionCache,
    SessionContext,
    build_context_entries,
    walk_path,
)

__all__ = ("Label", "SessionTree", "TreeNode")


class Label(NamedTuple):
    """A bookmark and when it was set."""

    text: str
    timestamp: str


class TreeNode(Struct, eq=False):
    """An entry, the entries below it by time, and its bookmark."""

    entry: Entry
    children: list[TreeNode]
    label: str | None = None
    label_timestamp: str | None = None

    def __repr__(self) -> str:
        return f"<TreeNode {self.entry.id} with {len(self.children)} children>"


class SessionTree:
    """Entries linked by parent, and the leaf: the entry that the next append goes under.

    Moves are not written: on reopening, the leaf is the last line of the file.
    """

    def __init__(self) -> None:
        self._header = SessionHeader(version=CURRENT_VERSION, id="")
        self._replace_entries(())

    # --- state ------------------------------------------------------------------------------

    def _replace_entries(self, entries: Iterable[Entry]) -> None:
        """Start over with these; headers and lines without id have no place in the tree."""
        self._entries = [entry for entry in entries if entry.id and entry.type != "session"]
        self._by_id = {entry.id: entry for entry in self._entries}
        self._children: dict[str | None, list[Entry]] | None = None
        self._label_lines = [entry for entry in self._entries if entry.type == "label"]
        self._labels: dict[str, Label] = {}
        names = (entry for entry in reversed(self._entries) if entry.type == "session_info")
        self._name_line = next(names, None)
        self._path: list[Entry] | None = None
        self._projection = ProjectionCache()
        self._leaf_id = self._entries[-1].id if self._entries else None

    def _add(self, entry: Entry) -> None:
        """Take in a line without moving the leaf."""
        if entry.type == "session" or not entry.id:
            return
        if entry.id in self._by_id:  # the later line counts, so what is cached may be wrong
            self._path = None
        self._entries.append(entry)
        self._by_id[entry.id] = entry
        if self._children is not None:
            self._children.setdefault(entry.parent_id, []).append(entry)
        if entry.type == "label":
            self._label_lines.append(entry)
        elif entry.type == "session_info":
            self._name_line = entry

    def _add_leaf(self, entry: Entry) -> None:
        """Take in a child of the leaf, which becomes the leaf."""
        path = self._path
        self._add(entry)
        if path is not None and self._path is path:
            path.append(entry)
        self._leaf_id = entry.id

    def _move_leaf(self, entry_id: str | None) -> None:
        if entry_id != self._leaf_id:
            self._leaf_id = entry_id
            self._path = None

    def _active_path(self) -> list[Entry]:
        if self._path is None:
            self._path = self._chain() or walk_path(self._by_id, self._leaf_id)
            self._projection.clear()
        return self._path

    def _chain(self) -> list[Entry] | None:
        """All entries, where each is the child of the one before and the leaf is the last.

        Most sessions are like that, and to see it takes a fifth of the time of a walk.
        """
        entries = self._entries
        if not entries or len(self._by_id) != len(entries) or self._leaf_id != entries[-1].id:
            return None
        parent: str | None = None
        for entry in entries:
            if entry.parent_id != parent:
                return None
            parent = entry.id
        return list(entries)

    def _require(self, entry_id: str) -> Entry:
        entry = self._by_id.get(entry_id)
        if entry is None:
            raise EntryNotFoundError(entry_id)
        return entry

    def _current_labels(self) -> dict[str, Label]:
        """Labels that are set, in the order they were first set."""
        for line in self._label_lines:
            view = line.view
            if not isinstance(view, LabelEntry):
                continue
            if view.label:
                self._labels[view.target_id] = Label(view.label, view.timestamp)
            else:
                self._labels.pop(view.target_id, None)
        self._label_lines.clear()
        return self._labels

    # --- reads ------------------------------------------------------------------------------

    @property
    def session_id(self) -> str:
        """The id in the header."""
        return self._header.id

    @property
    def leaf_id(self) -> str | None:
        """The entry that the next append goes under; None before the first."""
        return self._leaf_id

    def get_leaf_entry(self) -> Entry | None:
        """The entry of `leaf_id`."""
        return self._by_id.get(self._leaf_id) if self._leaf_id is not None else None

    def get_header(self) -> SessionHeader:
        """The first header of the file."""
        return self._header

    def get_entry(self, entry_id: str) -> Entry | None:
        """The entry with this id, the last one if several have it; None if unknown."""
        return self._by_id.get(entry_id)

    def get_entries(self) -> list[Entry]:
        """All entries of all branches, in file order."""
        return list(self._entries)

    def get_entry_count(self) -> int:
        """How many distinct ids there are."""
        return len(self._by_id)

    def get_children(self, parent_id: str | None) -> list[Entry]:
        """The entries directly below, in file order; for None the roots."""
        if self._children is None:
            self._children = {}
            for entry in self._entries:
                self._children.setdefault(entry.parent_id, []).append(entry)
        return list(self._children.get(parent_id, ()))

    def get_branch(self, from_id: str | None = None) -> list[Entry]:
        """Root to `from_id`, by default to the leaf; empty for an unknown id."""
        if from_id is None:
            return list(self._active_path())
        return walk_path(self._by_id, from_id)

    def get_label(self, entry_id: str) -> str | None:
        """The bookmark on an entry; the last line of the file counts, on any branch."""
        label = self._current_labels().get(entry_id)
        return label.text if label else None

    def get_session_name(self) -> str | None:
        """The display name; the last line of the file counts, on any branch."""
        view = self._name_line.view if self._name_line else None
        name = view.name if isinstance(view, SessionInfoEntry) else None
        return (name or "").strip() or None

    def get_tree(self) -> list[TreeNode]:
        """The roots in file order, children by time.

        Entries whose parent is unknown are roots too, and so is the first of a cycle.
        """
        labels = self._current_labels()
        nodes: dict[str, TreeNode] = {}
        for entry in self._entries:
            label = labels.get(entry.id) or (None, None)
            nodes[entry.id] = TreeNode(self._by_id[entry.id], [], *label)
        roots: list[TreeNode] = []
        for node in nodes.values():
            parent = nodes.get(node.entry.parent_id) if node.entry.parent_id is not None else None
            if parent is None or parent is node:
                roots.append(node)
            else:
                parent.children.append(node)
        _free_cycles(nodes, roots)
        for node in nodes.values():
            if len(node.children) > 1:
                node.children.sort(key=lambda child: parse_timestamp(child.entry.timestamp) or 0)
        return roots

    # --- what the model sees ----------------------------------------------------------------

    def build_context_entries(self) -> list[Entry]:
        """The entries that make up the context, compaction first."""
        return build_context_entries(self._active_path())

    def build_projection(self) -> Projection:
        """What the model sees at the leaf, entry by entry. The lists are the caller's."""
        return self._projection.projection(self._active_path())

    def build_session_context(self) -> SessionContext:
        """Messages, thinking level and model at the leaf. The list is the caller's.

        After an append only what is new is looked at.
        """
        found = self._projection.context(self._active_path())
        return SessionContext(list(found.messages), found.thinking_level, found.model)

    # --- moves ------------------------------------------------------------------------------

    def branch(self, entry_id: str) -> None:
        """Make `entry_id` the leaf. Raises `EntryNotFoundError`."""
        self._move_leaf(self._require(entry_id).id)

    def reset_leaf(self) -> None:
        """Go before the first entry: the next append is a new root."""
        self._move_leaf(None)


def _free_cycles(nodes: dict[str, TreeNode], roots: list[TreeNode]) -> None:
    """Make the first entry of each cycle a root, so that nothing is out of reach."""
    reached: set[str] = set()

    def reach(start: TreeNode) -> None:
        pending = [start]
        while pending:
            node = pending.pop()
            if node.entry.id not in reached:
                reached.add(node.entry.id)
                pending.extend(node.children)

    for root in roots:
        reach(root)
    for node in nodes.values():
        if node.entry.id in reached:
            continue
        # An entry that hangs below a cycle is reached once the cycle is open.
        walked: set[str] = set()
        root = node
        while root.entry.id not in walked:
            walked.add(root.entry.id)
            root = nodes[root.entry.parent_id or ""]
        nodes[root.entry.parent_id or ""].children.remove(root)
        roots.append(root)
        reach(root)
