"""Writing a file so that a reader, or a crash, sees the old content or the new, never a part.

Source: auth spec, section 5.2.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path

__all__ = ("replace_file",)

# What is mounted, or owned by another, cannot be replaced but perhaps written.
_IN_PLACE = {errno.EBUSY, errno.EACCES, errno.EPERM, errno.EXDEV}


def replace_file(path: str | os.PathLike[str], data: bytes, *, new_mode: int = 0o666) -> None:
    """Make `data` the content of a file; on the disk when it returns.

    Symbolic links stay: what they lead to is written. Mode, owner and extended attributes are
    kept; a new file gets `new_mode`, less the umask. A file with several names, or one that cannot
    be replaced, is written in place. Raises OSError.
    """
    target = Path(os.path.realpath(path))
    try:
        before = target.stat()
    except FileNotFoundError:
        before = None
    if before is not None and before.st_nlink > 1:
        _write_in_place(target, data)
        return
    try:
        _replace(target, data, before, new_mode)
    except OSError as error:
        if before is None or error.errno not in _IN_PLACE:
            raise
        _write_in_place(target, data)


def _replace(target: Path, data: bytes, before: os.stat_result | None, new_mode: int) -> None:
    beside = target.with_name(f".{target.name}.{os.urandom(6).hex()}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
    descriptor = os.open(beside, flags, new_mode if before is None else 0o600)
    try:
        _write(descriptor, data)
        if before is not None:
            _copy_attributes(target, beside, before)
        beside.replace(target)
    except BaseException:
        with suppress(OSError):
            beside.unlink()
        raise
    _sync_directory(target.parent)


def _write_in_place(path: Path, data: bytes) -> None:
    _write(os.open(path, os.O_WRONLY | os.O_TRUNC), data)


def _write(descriptor: int, data: bytes) -> None:
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(descriptor)


def _copy_attributes(source: Path, target: Path, status: os.stat_result) -> None:
    """Raises OSError if the owner cannot be kept."""
    if hasattr(os, "chown"):
        ours = target.stat()
        if (ours.st_uid, ours.st_gid) != (status.st_uid, status.st_gid):
            os.chown(target, status.st_uid, status.st_gid)
    if hasattr(os, "listxattr"):
        for name in os.listxattr(source):
            with suppress(OSError):  # some belong to the system
                os.setxattr(target, name, os.getxattr(source, name))
    target.chmod(stat.S_IMODE(status.st_mode))


def _sync_directory(directory: Path) -> None:
    if os.name == "nt":  # directories cannot be opened there
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        with suppress(OSError):  # some file systems sync no directories
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
