"""The session file: opened under a lock, appended to by whole lines, replaced atomically.

Knows bytes and lines, nothing of what they mean. Source: session spec, sections 6 and 16.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from pathlib import Path

from pi_session.codec import split_lines
from pi_session.errors import SessionConflictError
from pi_session.lock import lock_file

__all__ = ("SessionFile", "read_lines")

_BUFFER_BYTES = 1 << 20
_FLAGS = os.O_RDWR | os.O_APPEND | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


def read_lines(path: Path) -> list[bytes]:
    """Every line of a file with its end, read without a lock. Raises OSError."""
    with path.open("rb", buffering=_BUFFER_BYTES) as file:
        return file.readlines()


class SessionFile:
    """One open session file and its lock; `close()` gives both up.

    `size` is how many bytes of it are known. With `durable`, every write reaches the disk before
    it returns.
    """

    def __init__(self, path: Path, descriptor: int, *, durable: bool) -> None:
        self.path = path
        self.size = 0
        self._descriptor: int | None = descriptor
        self._durable = durable
        self._ends_line = True

    def __repr__(self) -> str:
        return f"<SessionFile {self.path.name} {self.size} bytes>"

    @classmethod
    def open(cls, path: Path, *, durable: bool = False) -> SessionFile:
        """Open and lock an existing file. Raises OSError or `SessionLockedError`."""
        for _ in range(100):
            descriptor = os.open(path, _FLAGS)
            try:
                lock_file(descriptor, path)
                if _is_file_at(descriptor, path):
                    return cls(path, descriptor, durable=durable)
            except BaseException:
                os.close(descriptor)
                raise
            # Replaced between opening and locking, as a migration does: lock the new one.
            os.close(descriptor)
        raise SessionConflictError(f"Session file is being replaced all the time: {path}")

    @classmethod
    def create(cls, path: Path, data: bytes, *, durable: bool = False) -> SessionFile:
        """Make a new, locked file with `data`, and its directory; no file is left on failure.

        Raises FileExistsError if something is there, OSError if it cannot be written.
        """
        directory = path.parent
        above = (directory, *directory.parents) if durable else ()
        missing = [each for each in above if not each.exists()]
        directory.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, _FLAGS | os.O_CREAT | os.O_EXCL, 0o666)
        file = cls(path, descriptor, durable=durable)
        try:
            lock_file(descriptor, path)
        except BaseException:  # somebody else opened and locked it first, so it is theirs
            file.close()
            raise
        try:
            file.append(data)
            if durable:
                for changed in (directory, *(each.parent for each in missing)):
                    _sync_directory(changed)
        except BaseException:
            file.close()
            path.unlink(missing_ok=True)
            raise
        return file

    def read_lines(self) -> list[bytes]:
        """All lines from the start; from here on `size` covers them."""
        descriptor = self._open_descriptor()
        os.lseek(descriptor, 0, os.SEEK_SET)
        with open(descriptor, "rb", buffering=_BUFFER_BYTES, closefd=False) as file:
            lines = file.readlines()
        self._advance(lines)
        return lines

    def read_new_lines(self) -> list[bytes]:
        """Whole lines that another program appended since; one it still writes is told by `append`.

        Raises `SessionConflictError` if the file is no longer the one that was opened, or is
        shorter than it was.
        """
        descriptor = self._open_descriptor()
        try:
            status = self.path.stat()
        except FileNotFoundError:
            raise SessionConflictError(f"Session file was deleted: {self.path}") from None
        if not os.path.samestat(status, os.fstat(descriptor)):
            raise SessionConflictError(f"Session file was replaced: {self.path}")
        if status.st_size < self.size:
            raise SessionConflictError(f"Session file was cut short: {self.path}")
        if status.st_size == self.size:
            return []
        lines = split_lines(_read_range(descriptor, self.size, status.st_size))
        unfinished = bool(lines) and not lines[-1].endswith(b"\n")
        if unfinished:
            lines.pop()
        self._advance(lines)
        self._ends_line = not unfinished
        return lines

    def append(self, data: bytes) -> list[bytes]:
        """Write whole lines at the end, in one write.

        Gives the lines that another program wrote just before, after `read_new_lines`: nearly
        always none. A last line without end is ended first. If writing fails the file is cut back
        to what it was and OSError is raised.
        """
        descriptor = self._open_descriptor()
        block = data if self._ends_line else b"\n" + data
        written = 0
        try:
            written = os.write(descriptor, block)
            if written != len(block):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
            if self._durable:
                _sync(descriptor)
        except OSError:
            _cut_back(descriptor, written)
            raise
        # After a write with O_APPEND the position is where the written bytes end.
        end = os.lseek(descriptor, 0, os.SEEK_CUR)
        foreign = _read_range(descriptor, self.size, end - written)
        self.size = end
        self._ends_line = True
        return split_lines(foreign)

    def replace(self, data: bytes, *, keep_backup: bool) -> None:
        """Put `data` in the file's place, atomically and without giving up the lock.

        `keep_backup` leaves the old file beside it as `<name>.bak`.
        """
        old = self._open_descriptor()
        target = self.path.resolve()  # a link stays a link
        backup = _free_backup_name(target) if keep_backup else None
        temporary = target.with_name(f".{target.name}.{os.urandom(4).hex()}.tmp")
        file = SessionFile.create(temporary, data, durable=True)
        try:
            if backup is not None:
                backup.write_bytes(target.read_bytes())
            temporary.chmod(stat.S_IMODE(target.stat().st_mode))
            if sys.platform == "win32":  # open files cannot be renamed there
                file.close()
                self.close()
            os.replace(temporary, target)
            backup = None
            _sync_directory(target.parent)
        except BaseException:
            file.close()
            for unfinished in filter(None, (temporary, backup)):
                unfinished.unlink(missing_ok=True)
            raise
        if sys.platform == "win32":
            file = SessionFile.open(self.path)
        else:
            os.close(old)
        self._descriptor = file.detach()
        self.size = len(data)
        self._ends_line = True

    def detach(self) -> int:
        """The descriptor, which the caller has to close from here on."""
        descriptor = self._open_descriptor()
        self._descriptor = None
        return descriptor

    @property
    def closed(self) -> bool:
        """Whether descriptor and lock are given up."""
        return self._descriptor is None

    def close(self) -> None:
        """Give up descriptor and lock; a second call does nothing."""
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            os.close(descriptor)

    def _open_descriptor(self) -> int:
        if self._descriptor is None:
            raise ValueError("The session file is closed")
        return self._descriptor

    def _advance(self, lines: list[bytes]) -> None:
        self.size += sum(map(len, lines))
        if lines:
            self._ends_line = lines[-1].endswith(b"\n")


def _is_file_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _read_range(descriptor: int, start: int, end: int) -> bytes:
    if start >= end:
        return b""
    os.lseek(descriptor, start, os.SEEK_SET)
    pieces: list[bytes] = []
    while start < end and (piece := os.read(descriptor, min(end - start, _BUFFER_BYTES))):
        pieces.append(piece)
        start += len(piece)
    return b"".join(pieces)


def _cut_back(descriptor: int, written: int) -> None:
    """Undo a write, unless another program has written after it."""
    end = os.lseek(descriptor, 0, os.SEEK_CUR)
    if written and os.fstat(descriptor).st_size == end:
        os.ftruncate(descriptor, end - written)


def _sync_directory(path: Path) -> None:
    """Make a new name in a directory durable, where directories can be opened."""
    if sys.platform != "win32":
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _sync(descriptor: int) -> None:
    if sys.platform == "linux":
        os.fdatasync(descriptor)
    else:
        os.fsync(descriptor)


def _free_backup_name(path: Path) -> Path:
    """`<name>.bak`, numbered if an earlier one is there."""
    candidate = path.with_name(f"{path.name}.bak")
    number = 0
    while candidate.exists():
        number += 1
        candidate = path.with_name(f"{path.name}.bak{number}")
    return candidate
