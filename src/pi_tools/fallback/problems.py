"""What a search could not look at, for whoever asked."""

from __future__ import annotations

from typing import TextIO

__all__ = ("Problems",)

_MAX_TOLD = 20


class Problems:
    """Counts problems and writes the first ones, a line each."""

    def __init__(self, out: TextIO) -> None:
        self.count = 0
        self._out = out

    def add(self, text: str) -> None:
        """Tell a problem in words."""
        self.count += 1
        if self.count <= _MAX_TOLD:
            line = text.encode("utf-8", "replace").decode()
            self._out.write(f"{line}\n")
            self._out.flush()

    def unreadable(self, path: str, error: OSError) -> None:
        """Tell that a path below the search's directory cannot be read."""
        self.add(f"{path or '.'}: {error.strerror}")
