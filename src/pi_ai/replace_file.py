"""Gives a small file new content, all of it or nothing, and keeps who may read it.

Blocks for as long as the disk takes. Source: auth spec, section 5.2.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path

__all__ = ("create_file", "replace_file")

_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
_BINARY = getattr(os, "O_BINARY", 0)
_NEW = os.O_CREAT | os.O_EXCL | os.O_WRONLY | _NO_FOLLOW | _BINARY
_CANNOT_REPLACE = {errno.EBUSY, errno.EXDEV, errno.EACCES, errno.EPERM, errno.EROFS}
_NAMES_TRIED = 10


def create_file(path: str | os.PathLike[str], data: bytes) -> bool:
    """Make a file, and the directories it lacks, that only their owner can use.

    False if it is there already; it is left as it is then. A symbolic link is followed: what it
    leads to is made. Raises OSError.
    """
    target = Path(os.path.realpath(path))
    _make_directories(target.parent)
    try:
        descriptor = os.open(target, _NEW, 0o600)
    except FileExistsError:
        return False
    try:
        _write(descriptor, data)
    finally:
        os.close(descriptor)
    return True


def _make_directories(path: Path) -> None:
    missing = [each for each in (path, *path.parents) if not each.exists()]
    for each in reversed(missing):
        with suppress(FileExistsError):  # made by another process meanwhile
            each.mkdir(0o700)


def replace_file(path: str | os.PathLike[str], data: bytes) -> None:
    """Put `data` in the place of an existing file's content; symbolic links are followed.

    Readers see the old content or the new, and so does who comes after a crash. Where the file
    cannot be replaced without losing its owner or its other names, or is mounted by itself, it is
    overwritten instead, which a crash can tear. Raises OSError.
    """
    target = Path(os.path.realpath(path))
    before = os.stat(target)
    if before.st_nlink > 1:
        _overwrite(target, data)
        return
    try:
        _replace(target, data, before)
    except OSError as error:
        if error.errno not in _CANNOT_REPLACE:
            raise
        _overwrite(target, data)


def _replace(target: Path, data: bytes, before: os.stat_result) -> None:
    temporary, descriptor = _open_temporary(target)
    try:
        try:
            _write(descriptor, data)
            _copy_access(target, descriptor, before)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(temporary, target)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    _sync_directory(target.parent)


def _open_temporary(target: Path) -> tuple[Path, int]:
    """A new file beside `target` that only its owner can read; a planted one is not used."""
    for left in reversed(range(_NAMES_TRIED)):
        temporary = target.with_name(f".{target.name}.{os.urandom(6).hex()}.tmp")
        try:
            return temporary, os.open(temporary, _NEW, 0o600)
        except FileExistsError:
            if not left:
                raise
    raise AssertionError


def _copy_access(target: Path, descriptor: int, before: os.stat_result) -> None:
    """Give the new file the owner, mode and access list of the old one."""
    if os.name == "nt":
        return
    now = os.fstat(descriptor)
    if (now.st_uid, now.st_gid) != (before.st_uid, before.st_gid):
        os.fchown(descriptor, before.st_uid, before.st_gid)  # not allowed: it is overwritten
    os.fchmod(descriptor, stat.S_IMODE(before.st_mode))
    if hasattr(os, "listxattr"):
        with suppress(OSError):  # a file system without access lists
            for name in os.listxattr(target):
                os.setxattr(descriptor, name, os.getxattr(target, name))


def _overwrite(target: Path, data: bytes) -> None:
    descriptor = os.open(target, os.O_WRONLY | _NO_FOLLOW | _BINARY)
    try:
        _write(descriptor, data)
        os.ftruncate(descriptor, len(data))  # last, so that at no time the file is empty
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _sync_directory(path: Path) -> None:
    if os.name == "nt":
        return  # directories cannot be opened there
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with suppress(OSError):  # some file systems have no such thing
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
