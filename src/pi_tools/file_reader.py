"""Reading a file of this machine piece by piece. Blocks, so it is for threads."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable

from pi_agent.types import ToolError
from pi_tools.os_errors import file_system_errors

__all__ = ("FileReader", "check_kind")

_CHUNK_BYTES = 512 * 1024


def check_kind(info: os.stat_result, path: str) -> None:
    """Raise ToolError for what is neither a file nor a directory, such as a pipe or a device."""
    if not stat.S_ISREG(info.st_mode) and not stat.S_ISDIR(info.st_mode):
        raise ToolError(f"Not a regular file: {path}")


class FileReader:
    """A file, opened by the first `read`. Close it in the end."""

    def __init__(self, path: str, opener: Callable[[str, int], int]) -> None:
        self.at_end = False
        self._path = path
        self._opener = opener
        self._descriptor: int | None = None
        self._left: int | None = None

    def read(self, size: int = _CHUNK_BYTES) -> bytes:
        """The next piece; b"" at the end. Blocks."""
        if self._descriptor is None:
            self._descriptor = self._open()
        if self._left is not None:
            size = min(size, self._left)
        with file_system_errors("read"):
            data = os.read(self._descriptor, size)
        if self._left is not None:
            self._left -= len(data)
        self.at_end = not data or self._left == 0
        return data

    def _open(self) -> int:
        with file_system_errors("open", self._path):
            descriptor = self._opener(self._path, os.O_RDONLY)
            info = os.fstat(descriptor)
        # A file in /proc says 0 and has content all the same.
        if stat.S_ISREG(info.st_mode) and info.st_size:
            self._left = info.st_size
        return descriptor

    def close(self) -> None:
        """Give the descriptor back, if there is one."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
