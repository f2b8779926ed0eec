"""The advisory lock that makes one manager the writer of a session file.

Programs that do not lock, upstream among them, are not kept out; the store notices what they do.
"""

from __future__ import annotations

import errno
import logging
import os
import sys
from pathlib import Path

from pi_session.errors import SessionLockedError

__all__ = ("lock_file",)

_log = logging.getLogger("pi_session")
_HELD = {errno.EACCES, errno.EAGAIN, errno.EDEADLK}
_UNSUPPORTED = {errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL}

if sys.platform == "win32":
    import msvcrt

    # Windows locks keep readers out of what is locked, so lock a byte far behind the end.
    _LOCKED_BYTE = 1 << 40

    def _take(descriptor: int) -> None:
        os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _take(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def lock_file(descriptor: int, path: Path) -> None:
    """Lock an open file until its descriptor is closed.

    Raises `SessionLockedError` if another descriptor holds the lock, in this process or another.
    On a file system without locks it only logs a warning.
    """
    try:
        _take(descriptor)
    except OSError as error:
        if error.errno in _HELD:
            raise SessionLockedError(path, _holder_pid(descriptor)) from None
        if error.errno not in _UNSUPPORTED:
            raise
        _log.warning("No lock on %s: %s", path, error)


def _holder_pid(descriptor: int) -> int | None:
    """The process that holds the lock, where the kernel lists locks (Linux)."""
    try:
        lines = Path("/proc/locks").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return None
    status = os.fstat(descriptor)
    exact = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    found: int | None = None
    for line in lines:
        # 1: FLOCK  ADVISORY  WRITE 4711 fd:01:394756 0 EOF
        fields = line.split()
        if len(fields) < 6 or fields[1] != "FLOCK" or not fields[4].isdigit():
            continue
        if fields[5] == exact:
            return int(fields[4]) or None
        # Overlay file systems list another device than stat gives.
        if fields[5].rpartition(":")[2] == str(status.st_ino):
            found = int(fields[4]) or None
    return found
