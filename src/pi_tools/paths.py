"""Paths as models write them, made absolute. Lexical, but for the two looks §14-7 and read take.

Source: tools spec, section 3.3 and section 14, row 7.
"""

from __future__ import annotations

import os
import re
import sys
import unicodedata
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pi_agent.types import ToolError

__all__ = (
    "absolute_cwd",
    "resolve_read_path",
    "resolve_to_cwd",
    "resolve_write_path",
    "working_directory",
)

_SPACES = re.compile("[\u00a0\u2000-\u200a\u202f\u205f\u3000]")
_MERIDIEM = re.compile(r" (?=[AaPp][Mm]\.)")
_DRIVE = re.compile(r"/(?:mnt/|cygdrive/)?([A-Za-z])(?:/(.*))?", re.DOTALL)
_SEPARATORS = re.compile(r"[/\\]" if os.name == "nt" else "/")


def resolve_to_cwd(path: str, cwd: str) -> str:
    """The absolute form of `path`, relative to `cwd`.

    Odd spaces become plain ones and one leading `@` goes, unless a file has the very name.
    Raises ToolError for a file URL that names no local path.
    """
    plain = _plain(path)
    if plain != path and _exists(_resolve(path, cwd)):
        return _resolve(path, cwd)
    return _resolve(plain, cwd)


def resolve_write_path(path: str, cwd: str) -> str:
    """`resolve_to_cwd` for a file that need not exist yet.

    `@` and odd spaces stay if the first directory whose name they would change exists.
    """
    plain = _plain(path)
    if plain != path and _exists(_resolve(_first_changed(path), cwd)):
        return _resolve(path, cwd)
    return _resolve(plain, cwd)


def resolve_read_path(path: str, cwd: str) -> str:
    """`resolve_to_cwd`, or a file whose name differs only as screenshots and macOS spell it."""
    resolved = resolve_to_cwd(path, cwd)
    if _exists(resolved):
        return resolved
    decomposed = unicodedata.normalize("NFD", resolved)
    variants = (
        _MERIDIEM.sub("\u202f", resolved),
        decomposed,
        resolved.replace("'", "\u2019"),
        decomposed.replace("'", "\u2019"),
    )
    return next(filter(_exists, variants), resolved)


def absolute_cwd(cwd: str | os.PathLike[str]) -> str:
    """A working directory made absolute against the process's own; `~` is the home directory."""
    path = os.fspath(cwd)
    # The process's own directory may have been deleted; it matters for relative paths only.
    return _resolve(path, "" if os.path.isabs(_resolve(path, "")) else os.getcwd())


def working_directory(host_cwd: Path | None, tool_cwd: str) -> str:
    """The directory of this call: the host's if it named one, else the tool's own."""
    return tool_cwd if host_cwd is None else absolute_cwd(host_cwd)


def _plain(path: str) -> str:
    return _SPACES.sub(" ", path).removeprefix("@")


def _first_changed(path: str) -> str:
    """`path` up to the end of its first component that `_plain` would change."""
    for separator in _SEPARATORS.finditer(path):
        head = path[: separator.start()]
        if _plain(head) != head:
            return head
    return path


def _exists(path: str) -> bool:
    # os.path.lexists, not exists: a broken link is a name that is taken.
    try:
        return os.path.lexists(path)
    except ValueError:
        return False


def _resolve(path: str, cwd: str) -> str:
    if "\0" in path:
        raise ToolError("A path cannot contain a NUL character")
    try:
        os.fsencode(path)
    except UnicodeEncodeError as error:
        raise ToolError(f"A path cannot contain U+{ord(path[error.start]):04X}") from error
    if sys.platform == "win32" and (drive := _DRIVE.fullmatch(path)):
        path = f"{drive[1].upper()}:\\{(drive[2] or '').replace('/', os.sep)}"
    if path == "~" or path.startswith("~/") or (os.name == "nt" and path.startswith("~\\")):
        path = os.path.join(os.path.expanduser("~"), path[2:])
    elif path.startswith("file://"):
        path = _file_url_path(path)
    resolved = os.path.normpath(os.path.join(cwd, path))
    # POSIX lets a leading // stand for something else; here it is a slip.
    return resolved[1:] if os.name != "nt" and resolved.startswith("//") else resolved


def _file_url_path(url: str) -> str:
    parts = urlsplit(url)
    if parts.netloc.lower() not in ("", "localhost"):
        raise ToolError(f'File URL host must be "localhost" or empty on {sys.platform}')
    if "%2f" in parts.path.lower():
        raise ToolError("File URL path must not include encoded / characters")
    path = unquote(parts.path)
    # /C:/x is how a URL holds a Windows path.
    return path[1:] if os.name == "nt" and re.match(r"/[A-Za-z]:", path) else path or "/"
