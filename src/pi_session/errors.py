"""What pi_session raises. I/O failures are the operating system's own OSError.

* SessionError (PiError)
  * SessionFormatError      the file is not a session (also ValueError)
  * SessionLockedError      another manager has the file open for writing
  * SessionConflictError    the open file was replaced, deleted or cut short
  * SessionReadOnlyError    an append to a session that may not be written, or is closed
  * EntryNotFoundError      no entry has this id (also LookupError)
  * ContextEditError        the edit's target or replacement does not fit (also ValueError)
  * SessionIdError          an id that cannot be part of a file name (also ValueError)
  * SessionMovedError       the branch changed while a summary of it was written
  * CompactionError         there is nothing to compact
  * SummaryError            the model gave no summary that can be used
  * CompactionSettingsError  a setting is not what it should be (also ValueError)
"""

from __future__ import annotations

from pathlib import Path

from pi_ai.errors import PiError

__all__ = (
    "CompactionError",
    "CompactionSettingsError",
    "ContextEditError",
    "EntryNotFoundError",
    "SessionConflictError",
    "SessionError",
    "SessionFormatError",
    "SessionIdError",
    "SessionLockedError",
    "SessionMovedError",
    "SessionReadOnlyError",
    "SummaryError",
)


class SessionError(PiError):
    """Base of every session error."""


class SessionFormatError(SessionError, ValueError):
    """The file has content, but no valid session header. It was not touched."""


class SessionLockedError(SessionError):
    """Another manager, here or in another process, has the file open for writing.

    `pid` is the process that holds the lock, None where the system does not tell. Reading is
    always possible: `SessionManager.open(path, read_only=True)`.
    """

    def __init__(self, path: Path, pid: int | None) -> None:
        holder = "another process" if pid is None else f"process {pid}"
        super().__init__(f"Session file is open for writing in {holder}: {path}")
        self.path = path
        self.pid = pid


class SessionConflictError(SessionError):
    """The open session file was replaced, deleted or cut short by someone else.

    Everything stays readable in memory; `create_branched_session` saves the branch to a new file.
    """


class SessionReadOnlyError(SessionError):
    """The session was opened for reading, has a newer format, may not be written or is closed."""


class EntryNotFoundError(SessionError, LookupError):
    """No entry of the session has the id `entry_id`."""

    def __init__(self, entry_id: str) -> None:
        super().__init__(f"Entry {entry_id} not found")
        self.entry_id = entry_id


class ContextEditError(SessionError, ValueError):
    """The target cannot be edited, or the replacement has the wrong shape."""


class SessionIdError(SessionError, ValueError):
    """A caller's session id has characters that a file name should not have."""

    def __init__(self) -> None:
        super().__init__(
            "Session id must be non-empty, contain only alphanumeric characters, '-', '_', and "
            "'.', and start and end with an alphanumeric character"
        )


class SessionMovedError(SessionError):
    """The branch was left or compacted while a summary of it was written. Nothing was appended."""


class CompactionError(SessionError):
    """There is nothing to compact."""


class SummaryError(SessionError):
    """A summary failed, was cut short or is empty. Nothing was appended."""


class CompactionSettingsError(SessionError, ValueError):
    """The setting `field` has the wrong value."""

    def __init__(self, field: str, found: str, expected: str) -> None:
        super().__init__(f"Invalid {field} setting: {found}. Expected {expected}.")
        self.field = field
