"""A session file as entries in the current format, opened for writing or only read.

Source: session spec, sections 6 and 7.
"""

from __future__ import annotations

import errno
from pathlib import Path
from typing import NamedTuple

from pi_session.codec import (
    CURRENT_VERSION,
    dump_entries,
    format_version,
    migrate_entries,
    parse_lines,
    read_header,
)
from pi_session.entries import Entry, SessionHeader, new_entry_id
from pi_session.errors import SessionFormatError
from pi_session.store import SessionFile, read_lines

__all__ = ("LoadedSession", "load_session", "open_for_writing", "parse_session")

_NOT_WRITABLE = {errno.EACCES, errno.EPERM, errno.EROFS}


class LoadedSession(NamedTuple):
    """All lines of a session, header included, and what is known of them.

    `version` and `malformed` tell of the file before migration.
    """

    header: SessionHeader
    entries: list[Entry]
    version: float
    malformed: int

    @property
    def migrated(self) -> bool:
        """Whether the entries differ from the file's lines."""
        return self.version < CURRENT_VERSION


def parse_session(lines: list[bytes]) -> LoadedSession | None:
    """The session that `lines` are, in the current format; None if they are none."""
    entries, malformed = parse_lines(lines)
    header = read_header(entries[0]) if entries else None
    if header is None:
        return None
    version = format_version(header)
    if version < CURRENT_VERSION:
        entries = migrate_entries(entries, version, new_entry_id)
        header.version = CURRENT_VERSION
    return LoadedSession(header, entries, version, malformed)


def load_session(path: Path) -> LoadedSession | None:
    """Read a file and leave it as it is; None if it is empty.

    Raises OSError, or `SessionFormatError` if it is no session.
    """
    return _parse_file(read_lines(path), path)


def open_for_writing(
    path: Path, *, durable: bool
) -> tuple[SessionFile | None, LoadedSession | None]:
    """Lock and read a file; migrate it in place if it is of an older format.

    The first is None if the file may not be written, if it may not be replaced by its migrated
    form, or if its format is newer than ours; the second if it is empty. Raises OSError,
    `SessionLockedError` or `SessionFormatError`.
    """
    try:
        file = SessionFile.open(path, durable=durable)
    except OSError as error:
        if error.errno in _NOT_WRITABLE:
            return None, load_session(path)
        raise
    try:
        loaded = _parse_file(file.read_lines(), path)
        writable = loaded is None or loaded.version <= CURRENT_VERSION
        if loaded is not None and loaded.migrated:
            writable = _replace(file, loaded)
    except BaseException:
        file.close()
        raise
    if not writable:
        file.close()
    return file if writable else None, loaded


def _replace(file: SessionFile, loaded: LoadedSession) -> bool:
    """Write the migrated session; False if the directory may not be written."""
    try:
        file.replace(dump_entries(loaded.entries), keep_backup=loaded.malformed > 0)
    except OSError as error:
        if error.errno in _NOT_WRITABLE:
            return False
        raise
    return True


def _parse_file(lines: list[bytes], path: Path) -> LoadedSession | None:
    if not lines:
        return None
    loaded = parse_session(lines)
    if loaded is None:
        raise SessionFormatError(f"Session file is not a valid pi session: {path}")
    return loaded
