"""What people do with a session: walk it, count it, compare branches, print it, export it.

Each method is a short way to a function of another module.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TextIO

from pi_ai.types import Message
from pi_session.branches import Branch, BranchDiff, diff_branches, list_branches
from pi_session.codec import dump_entries, dump_header
from pi_session.convert import convert_to_llm
from pi_session.entries import Entry
from pi_session.messages import SessionMessage
from pi_session.projection import build_projection, build_transcript
from pi_session.stats import SessionStats, session_stats
from pi_session.tree import SessionTree

__all__ = ("SessionViews",)


class SessionViews(SessionTree):
    """Iterating gives every entry of every branch in file order; `len` is how many there are.

    A session is true even when it is empty. An `entry_id` names the end of a branch; unknown ones
    raise `EntryNotFoundError`.
    """

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.get_entries())

    def __len__(self) -> int:
        return len(self._entries)

    def __bool__(self) -> bool:
        return True

    # --- counting ---------------------------------------------------------------------------

    def stats(self, entry_id: str | None = None) -> SessionStats:
        """Messages, tokens and costs by model: of all branches, or of the one to `entry_id`."""
        return session_stats(self._entries if entry_id is None else self._branch_to(entry_id))

    def branches(self) -> list[Branch]:
        """Every branch with its costs, the one that ends last in the file last."""
        return list_branches(self)

    def diff(self, a: str, b: str | None = None) -> BranchDiff:
        """What the branches that end at `a` and `b`, by default the leaf, do not share."""
        b = self.leaf_id if b is None else b
        if b is None:
            raise ValueError("The session has no current entry: name the end of the second branch")
        return diff_branches(self, a, b)

    # --- messages ---------------------------------------------------------------------------

    def messages(self, entry_id: str | None = None) -> list[Message]:
        """What a model would see at `entry_id`, by default the leaf, in plain roles only.

        Compactions, context edits and summaries are resolved.
        """
        if entry_id is None:
            return convert_to_llm(self.build_session_context().messages)
        return convert_to_llm(build_projection(self._branch_to(entry_id)).messages)

    def transcript(self, entry_id: str | None = None) -> list[SessionMessage]:
        """Every message up to `entry_id`, by default the leaf, as it was stored.

        What was compacted or edited later is there as it was said.
        """
        return build_transcript(self._branch_to(entry_id))

    # --- showing ----------------------------------------------------------------------------

    def tree_text(self, *, newest: int | None = None, width: int = 100) -> str:
        """The tree, a line per entry; `text_view.tree_text` says what is in it."""
        from pi_session.text_view import tree_text

        return tree_text(self, newest=newest, width=width)

    def print_tree(
        self, *, newest: int | None = None, width: int = 100, file: TextIO | None = None
    ) -> None:
        """Print the tree, by default to standard output. See `tree_text`."""
        out = sys.stdout if file is None else file
        encoding = out.encoding or "utf-8"  # a StringIO has none
        text = f"{self.tree_text(newest=newest, width=width)}\n"
        out.write(text.encode(encoding, "backslashreplace").decode(encoding))

    def _repr_html_(self) -> str:
        from pi_session.html_view import session_html

        return session_html(self)

    # --- exporting --------------------------------------------------------------------------

    def to_json(self) -> str:
        """A JSON array of the header and all entries, each on a line of its own as it is stored.

        `SessionManager.in_memory(entries=json.loads(text))` makes a session of it again.
        """
        lines = dump_header(self.get_header()) + dump_entries(self._entries)
        items = lines.decode("utf-8", "replace").rstrip("\n").split("\n")
        return "[\n" + ",\n".join(item.rstrip("\r") for item in items) + "\n]"

    def _branch_to(self, entry_id: str | None) -> list[Entry]:
        if entry_id is not None:
            self._require(entry_id)
        return self.get_branch(entry_id)
