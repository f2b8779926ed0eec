"""File operations that refuse paths outside given directories, here and in other places."""

from __future__ import annotations

import asyncio
import errno
import os
import stat
from collections.abc import AsyncGenerator, AsyncIterator, Sequence

from pi_agent.types import ToolError
from pi_ai import AbortSignal
from pi_tools.confine import Confinement, PathOutsideRootsError, is_inside
from pi_tools.confined_search import ResolvesPaths, exists_inside
from pi_tools.file_page import FilePage
from pi_tools.operations import FileOperations, LocalFileOperations, PagesFiles
from pi_tools.paths import home_directory, paths_of
from pi_tools.settled import settled

__all__ = ("ConfinedFileOperations", "ConfinedOperations", "ConfinedPaths")


class ConfinedFileOperations(LocalFileOperations):
    """Files of this machine inside a `Confinement`; safe against links swapped in meanwhile.

    `writable`: `access` also asks for permission to write. Raises NotImplementedError on systems
    without openat, such as Windows.
    """

    def __init__(self, confinement: Confinement, *, writable: bool = False) -> None:
        super().__init__(writable=writable)
        if os.open not in os.supports_dir_fd:
            raise NotImplementedError("Confining local files needs openat, which is missing here")
        self._confinement = confinement

    async def real_path(self, path: str) -> str:
        """See `Confinement.check`."""
        return await asyncio.to_thread(self._confinement.check, path)

    def exists(self, path: str) -> bool:
        """Whether there is anything inside of that name; what is outside is not told."""
        try:
            self._stat(path)
        except (OSError, ToolError):
            return False
        return True

    def home_directory(self) -> str:
        """The home directory of this process, which may be outside."""
        return home_directory()

    def _open(self, path: str, flags: int) -> int:
        return self._confinement.reach(
            path,
            lambda name, folder: os.open(name, flags | os.O_NOFOLLOW, 0o666, dir_fd=folder),
        )

    def _stat(self, path: str) -> os.stat_result:
        def look(name: str, folder: int) -> os.stat_result:
            info = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if stat.S_ISLNK(info.st_mode):
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
            return info

        return self._confinement.reach(path, look)

    def _permitted(self, path: str, mode: int) -> bool:
        return self._confinement.reach(
            path, lambda name, folder: os.access(name, mode, dir_fd=folder)
        )

    def _make_directories(self, path: str) -> None:
        self._confinement.make_directories(path)


class ConfinedOperations:
    """Any file operations, held inside directories of their own place.

    Every path is resolved by the operations themselves, checked, and used in its resolved form.
    Somebody over there who swaps a directory for a link in between can lead a call outside.
    Raises ValueError for no root, or for one that is not absolute.
    """

    def __init__(self, operations: FileOperations, roots: Sequence[str]) -> None:
        self._operations = operations
        self._paths = ConfinedPaths(operations, roots)

    async def access(self, path: str) -> None:
        """Raise if the file is outside, or cannot be used."""
        await self._operations.access(await self.real_path(path))

    async def read_file(self, path: str) -> bytes:
        """The whole file."""
        return await self._operations.read_file(await self.real_path(path))

    async def detect_image_mime_type(self, path: str) -> str | None:
        """The MIME type if the file is an image, else None."""
        return await self._operations.detect_image_mime_type(await self.real_path(path))

    async def create_read_stream(self, path: str, signal: AbortSignal) -> AsyncIterator[bytes]:
        """The file in pieces."""
        stream = self._operations.create_read_stream(await self.real_path(path), signal)
        try:
            async for data in stream:
                yield data
        finally:
            if isinstance(stream, AsyncGenerator):
                await stream.aclose()

    async def read_page(self, path: str, start: int, limit: int | None) -> FilePage | bytes | None:
        """The chosen lines, if the operations can cut them."""
        if not isinstance(self._operations, PagesFiles):
            return None
        return await settled(self._operations.read_page(await self.real_path(path), start, limit))

    async def file_size(self, path: str) -> int | None:
        """The size in bytes."""
        return await self._operations.file_size(await self.real_path(path))

    async def mkdir(self, path: str) -> None:
        """Make the directory and its parents."""
        await self._operations.mkdir(await self.real_path(path))

    async def write_file(self, path: str, data: bytes) -> None:
        """Replace the file's content, or make the file."""
        await self._operations.write_file(await self.real_path(path), data)

    async def real_path(self, path: str) -> str:
        """The real path behind `path`. Raises PathOutsideRootsError."""
        return await self._paths.real_path(path)

    async def exists(self, path: str) -> bool:
        """Whether there is anything inside of that name; what is outside is not told."""
        return await exists_inside(path, self._paths, self._operations)

    async def home_directory(self) -> str:
        """The home directory of the place, which may be outside."""
        return await settled(paths_of(self._operations).home_directory())


class ConfinedPaths:
    """Real paths inside directories of the place that `operations` knows.

    Raises ValueError for no root, or for one that is not absolute.
    """

    def __init__(self, operations: ResolvesPaths, roots: Sequence[str]) -> None:
        if isinstance(roots, str) or not roots:
            raise ValueError(f"roots: expected at least one directory in a list, got {roots!r}")
        for root in roots:
            if not root.startswith("/"):
                raise ValueError(f"roots: expected an absolute path of the other place: {root!r}")
        self._operations = operations
        self._roots = tuple(roots)
        self._real_roots: tuple[str, ...] | None = None

    async def real_path(self, path: str) -> str:
        """The real path behind `path`. Raises PathOutsideRootsError."""
        if self._real_roots is None:
            self._real_roots = tuple(
                [await self._operations.real_path(root) for root in self._roots]
            )
        real = await self._operations.real_path(path)
        if any(is_inside(real, root) for root in self._real_roots):
            return real
        raise PathOutsideRootsError(path, self._roots)
