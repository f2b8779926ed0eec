"""Trees to search, and who can search them here."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pi_tools import SearchEngine
from pi_tools.programs import find_fd, find_ripgrep

GREP_ENGINES: tuple[SearchEngine, ...] = (
    ("python", "program") if find_ripgrep(None) else ("python",)
)
"""Python code always, ripgrep where it is installed."""

FIND_ENGINES: tuple[SearchEngine, ...] = ("python", "auto") if find_fd(None) else ("python",)
"""With fd `auto`, since an old one cannot search outside a repository."""


def write_tree(root: Path, files: Mapping[str, str | bytes]) -> Path:
    """Make the files; a name that ends with `/` is a directory. Gives `root`."""
    for name, content in files.items():
        path = root / name
        if name.endswith("/"):
            path.mkdir(parents=True, exist_ok=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return root
