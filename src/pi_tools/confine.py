"""Keeping paths inside chosen directories of this machine, links and races included.

What is opened is reached from a root's own descriptor, one directory after the other, and no step
follows a link. So a directory that is swapped for a link between the check and the use leads
nowhere.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from typing import NamedTuple, TypeVar

from pi_agent.types import ToolError
from pi_tools.os_errors import file_system_errors

__all__ = ("Confinement", "PathOutsideRootsError", "is_inside")

T = TypeVar("T")

_TRIES = 8
# O_PATH passes through directories that may be entered but not listed.
_FOLDER_FLAGS = (
    getattr(os, "O_PATH", os.O_RDONLY)
    | getattr(os, "O_DIRECTORY", 0)
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_CLOEXEC", 0)
)


class PathOutsideRootsError(ToolError):
    """A path, or what its links lead to, is not in one of the allowed directories."""

    def __init__(self, path: str, roots: Sequence[str]) -> None:
        super().__init__(
            f"Path is outside the allowed directories: {path}. Allowed: {', '.join(roots)}"
        )


class Confinement:
    """Directories of this machine, and whether paths stay inside them.

    `roots` are resolved now: where a root is a link, what it leads to now is allowed. Raises
    ValueError for no root, or for one that is no directory.
    """

    def __init__(self, roots: Sequence[str | os.PathLike[str]]) -> None:
        if isinstance(roots, str | os.PathLike) or not roots:
            raise ValueError(f"roots: expected at least one directory in a list, got {roots!r}")
        self.roots = tuple(os.path.realpath(root) for root in roots)
        for root in self.roots:
            if not os.path.isdir(root):
                raise ValueError(f"roots: not a directory: {root}. Make it, or name another one.")

    def check(self, path: str) -> str:
        """The real path behind the absolute `path`, which need not exist.

        Raises PathOutsideRootsError if that is not inside a root. Says nothing of what happens
        to the path afterwards: use `reach` to open it.
        """
        found = self._locate(path)
        return os.path.join(found.root, *found.parts)

    def reach(self, path: str, use: Callable[[str, int], T]) -> T:
        """`use(name, dir_fd)` for the file behind `path`, in a directory that is inside a root.

        `use` must not follow links: with O_NOFOLLOW, or `follow_symlinks=False`. It is called
        again when the path has come to lead elsewhere meanwhile. Raises PathOutsideRootsError,
        and OSError for a directory on the way.
        """
        for tried in range(1, _TRIES + 1):
            found = self._locate(path)
            *parents, name = found.parts or ("", ".")
            try:
                with _folder(found.root, [part for part in parents if part]) as folder:
                    return use(name, folder)
            except OSError as error:
                swapped = error.errno in (errno.ELOOP, errno.ENOTDIR, errno.ENOENT)
                if not swapped or tried == _TRIES or self._locate(path) == found:
                    raise
        raise AssertionError("unreachable")

    def make_directories(self, path: str) -> None:
        """Make the directory and its parents inside the roots. Raises as `reach` does."""
        found = self._locate(path)
        with _folder(found.root, found.parts, make=True):
            pass

    def _locate(self, path: str) -> _Place:
        with file_system_errors("realpath", path):
            real = os.path.realpath(path)
        for root in self.roots:
            if is_inside(real, root):
                relative = os.path.relpath(real, root)
                return _Place(root, () if relative == "." else tuple(relative.split(os.sep)))
        raise PathOutsideRootsError(path, self.roots)


class _Place(NamedTuple):
    """A real path: a root and the names on the way from it."""

    root: str
    parts: tuple[str, ...]


def is_inside(real_path: str, real_root: str) -> bool:
    """Whether a path without links and `..` is the root or beneath it."""
    path, root = os.path.normcase(real_path), os.path.normcase(real_root)
    return path == root or path.startswith(root.rstrip(os.sep) + os.sep)


@contextmanager
def _folder(root: str, parts: Sequence[str], *, make: bool = False) -> Generator[int]:
    """A descriptor of the directory, reached without following a link."""
    descriptor = os.open(root, _FOLDER_FLAGS)
    try:
        for index, part in enumerate(parts):
            try:
                inner = _enter(part, descriptor, make=make)
            except NotADirectoryError as error:
                if make and index == len(parts) - 1:
                    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from error
                raise
            os.close(descriptor)
            descriptor = inner
        yield descriptor
    finally:
        os.close(descriptor)


def _enter(name: str, folder: int, *, make: bool) -> int:
    try:
        return os.open(name, _FOLDER_FLAGS, dir_fd=folder)
    except FileNotFoundError:
        if not make:
            raise
    # If somebody else was faster, entering it tells what it is.
    with suppress(FileExistsError):
        os.mkdir(name, dir_fd=folder)
    return os.open(name, _FOLDER_FLAGS, dir_fd=folder)
