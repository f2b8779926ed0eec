"""Entries and trees of a session as JSON, each entry as its line has it.

A session without branches is a tree as deep as it is long, so nothing here calls itself.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Raw

from pi_ai.wire import encode
from pi_session import TreeNode
from pi_session.entries import Entry

__all__ = ("entry_json", "tree_json")


def entry_json(entry: Entry) -> Raw:
    """The entry with all keys that are stored, unknown ones included."""
    try:
        entry.line.decode()
    except UnicodeDecodeError:  # another program's; what goes out has to be UTF-8
        return Raw(encode(entry.raw))
    return Raw(entry.line.strip())


def tree_json(roots: Sequence[TreeNode]) -> Raw:
    """A list of `{entry, children, label?, labelTimestamp?}`."""
    pieces: list[bytes] = [b"["]
    open_nodes: list[tuple[TreeNode | None, int]] = [(None, 0)]  # None is the list of roots
    while open_nodes:
        node, done = open_nodes.pop()
        children = roots if node is None else node.children
        if done == len(children):
            pieces.append(b"]" if node is None else _end(node))
            continue
        child = children[done]
        pieces.append(b"," if done else b"")
        pieces += (b'{"entry":', bytes(entry_json(child.entry)), b',"children":[')
        open_nodes += ((node, done + 1), (child, 0))
    return Raw(b"".join(pieces))


def _end(node: TreeNode) -> bytes:
    """What follows the children."""
    end = b"]"
    if node.label is not None:
        end += b',"label":' + encode(node.label)
    if node.label_timestamp is not None:
        end += b',"labelTimestamp":' + encode(node.label_timestamp)
    return end + b"}"
