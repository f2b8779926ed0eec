"""Where ripgrep and fd are on this machine. Nothing is ever downloaded.

Source: tools spec, sections 8, 9 and 14, rows 10 and 16.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

__all__ = ("find_fd", "find_ripgrep")


def find_ripgrep(bin_dir: str | None) -> str | None:
    """ripgrep's path: in `bin_dir`, on PATH, or from the installed `ripgrep` wheel. Blocks."""
    return _find(("rg",), bin_dir) or _find_in_wheel("ripgrep", "rg")


def find_fd(bin_dir: str | None) -> str | None:
    """fd's path: in `bin_dir` or on PATH, where Debian calls it fdfind. Blocks."""
    return _find(("fd", "fdfind"), bin_dir)


def _find(names: Sequence[str], bin_dir: str | None) -> str | None:
    import shutil  # here, as its import takes milliseconds

    folders = (None,) if bin_dir is None else (bin_dir, None)
    for folder in folders:
        for name in names:
            if found := shutil.which(name, path=folder):
                return os.path.abspath(found)
    return None


def _find_in_wheel(distribution: str, name: str) -> str | None:
    # Costs 50 ms of import, and only where the program is nowhere else.
    from importlib import metadata

    try:
        files = metadata.files(distribution) or ()
    except metadata.PackageNotFoundError:
        return None
    name = f"{name}.exe" if sys.platform == "win32" else name
    for file in files:
        path = os.path.abspath(str(file.locate()))
        if file.name == name and os.access(path, os.X_OK) and os.path.isfile(path):
            return path
    return None
