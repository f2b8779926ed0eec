"""Where sessions live: directories, file names, session ids, timestamps.

Nothing here touches a file. Source: session spec, section 2.
"""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pi_session.errors import SessionIdError

__all__ = (
    "check_session_id",
    "default_session_dir",
    "encode_cwd",
    "expand_path",
    "file_stamp",
    "format_timestamp",
    "parse_timestamp",
    "resolve_agent_dir",
    "resolve_path",
    "same_path",
    "session_file_name",
    "sessions_root",
)

_SESSION_ID = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_SEPARATORS = re.compile(r"[/\\:]")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


# --- paths ------------------------------------------------------------------------------------


def expand_path(path: str | os.PathLike[str]) -> str:
    """`path` with a leading `~` or `~/` expanded, or the path of a `file://` URL."""
    text = os.fspath(path)
    if text == "~" or text.startswith(("~/", "~\\")):
        return str(Path.home()) + text[1:]
    if text.startswith("file://"):
        path = unquote(urlsplit(text).path)
        return path.lstrip("/") if os.name == "nt" else path
    return text


def resolve_path(path: str | os.PathLike[str]) -> str:
    """An absolute, normalised path; symlinks are not resolved."""
    absolute = os.path.abspath(expand_path(path))  # pathlib would keep `..`
    # POSIX lets two leading slashes mean something else; here they do not.
    return "/" + absolute.lstrip("/") if absolute.startswith("//") else absolute


def same_path(first: str, second: str) -> bool:
    """Whether both resolve to one path; letter case counts except on Windows."""
    return os.path.normcase(resolve_path(first)) == os.path.normcase(resolve_path(second))


def resolve_agent_dir(agent_dir: str | os.PathLike[str] | None = None) -> Path:
    """The argument, else `PI_CODING_AGENT_DIR`, else `~/.pi/agent`; empty counts as not given."""
    chosen = os.fspath(agent_dir) if agent_dir is not None else ""
    chosen = chosen or os.environ.get("PI_CODING_AGENT_DIR", "")
    return Path(expand_path(chosen or "~/.pi/agent"))


def sessions_root(agent_dir: str | os.PathLike[str] | None = None) -> Path:
    """The directory that holds one directory of sessions per working directory."""
    return resolve_agent_dir(agent_dir) / "sessions"


def encode_cwd(path: str) -> str:
    """The directory name for an absolute path. Lossy: `/a/b` and `/a-b` share one."""
    relative = path[1:] if path.startswith(("/", "\\")) else path
    return f"--{_SEPARATORS.sub('-', relative)}--"


def default_session_dir(
    cwd: str | os.PathLike[str], agent_dir: str | os.PathLike[str] | None = None
) -> Path:
    """Where the sessions of `cwd` are kept unless the caller says otherwise."""
    return sessions_root(agent_dir) / encode_cwd(resolve_path(cwd))


# --- names and times --------------------------------------------------------------------------


def check_session_id(session_id: str) -> str:
    """`session_id` itself. Raises `SessionIdError` if it does not suit a file name."""
    if not _SESSION_ID.fullmatch(session_id):
        raise SessionIdError
    return session_id


def file_stamp(timestamp: str) -> str:
    """An ISO timestamp as part of a file name."""
    return re.sub(r"[:.]", "-", timestamp)


def session_file_name(timestamp: str, session_id: str) -> str:
    """`<stamp>_<session id>.jsonl`, from the header's timestamp."""
    return f"{file_stamp(timestamp)}_{session_id}.jsonl"


def format_timestamp(timestamp_ms: int) -> str:
    """UTC ISO 8601 with milliseconds and `Z`."""
    text = (_EPOCH + timestamp_ms * _MILLISECOND).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def parse_timestamp(text: str) -> int | None:
    """Milliseconds since 1970, None if `text` is no ISO 8601 time.

    As in JavaScript, a time without zone is local and a date alone is UTC.
    """
    try:
        time = datetime.fromisoformat(text)
        if time.tzinfo is None:
            time = time.replace(tzinfo=UTC) if len(text) <= 10 else time.astimezone()
        return (time - _EPOCH) // _MILLISECOND
    except (ValueError, OverflowError, OSError):
        return None
