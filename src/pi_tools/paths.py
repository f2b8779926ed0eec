"""Paths as models write them, made absolute in the place where the tools work.

Source: tools spec, section 3.3 and section 14, row 7.
"""

from __future__ import annotations

import os
import re
import sys
import unicodedata
from pathlib import Path
from typing import Protocol, runtime_checkable
from urllib.parse import unquote, urlsplit

from pi_agent.types import MaybeAwaitable, ToolError
from pi_tools.settled import settled

__all__ = (
    "KnowsPaths",
    "absolute_cwd",
    "home_directory",
    "paths_of",
    "resolve_read_path",
    "resolve_to_cwd",
    "resolve_write_path",
    "working_directory",
)

_SPACES = re.compile("[\u00a0\u2000-\u200a\u202f\u205f\u3000]")
_MERIDIEM = re.compile(r" (?=[AaPp][Mm]\.)")
_DRIVE = re.compile(r"/(?:mnt/|cygdrive/)?([A-Za-z])(?:/(.*))?", re.DOTALL)
# What URLs are written with around them.
_URL_MARGIN = "".join(map(chr, range(0x21)))
_SEPARATORS = re.compile(r"[/\\]" if os.name == "nt" else "/")


@runtime_checkable
class KnowsPaths(Protocol):
    """Optional for every tool's operations; without it paths are looked up on this machine."""

    def exists(self, path: str) -> MaybeAwaitable[bool]:
        """Whether the absolute `path` is taken, if only by a broken link."""
        ...

    def home_directory(self) -> MaybeAwaitable[str]:
        """What `~` stands for, absolute. Raises ToolError if that is not known."""
        ...


class _Here:
    """Paths of this machine. Not in a thread: the order of calls decides who writes first."""

    def exists(self, path: str) -> bool:
        # lexists: a broken link is a name that is taken.
        try:
            return os.path.lexists(path)
        except ValueError:
            return False

    def home_directory(self) -> str:
        return home_directory()


_HERE = _Here()


def home_directory() -> str:
    """The home directory of this process."""
    return os.path.expanduser("~")


def paths_of(operations: object) -> KnowsPaths:
    """Who knows the paths that `operations` work on."""
    return operations if isinstance(operations, KnowsPaths) else _HERE


async def resolve_to_cwd(path: str, cwd: str, place: KnowsPaths = _HERE) -> str:
    """The absolute form of `path`, relative to `cwd`.

    Odd spaces become plain ones and one leading `@` goes, unless a file has the very name.
    Raises ToolError for a file URL that names no local path.
    """
    plain = _plain(path)
    if plain != path:
        literal = await _resolve(path, cwd, place)
        if await settled(place.exists(literal)):
            return literal
    return await _resolve(plain, cwd, place)


async def resolve_write_path(path: str, cwd: str, place: KnowsPaths = _HERE) -> str:
    """`resolve_to_cwd` for a file that need not exist yet.

    `@` and odd spaces stay if the first directory whose name they would change exists.
    """
    plain = _plain(path)
    if plain != path:
        taken = await _resolve(_first_changed(path), cwd, place)
        if await settled(place.exists(taken)):
            return await _resolve(path, cwd, place)
    return await _resolve(plain, cwd, place)


async def resolve_read_path(path: str, cwd: str, place: KnowsPaths = _HERE) -> str:
    """`resolve_to_cwd`, or a file whose name differs only as screenshots and macOS spell it."""
    resolved = await resolve_to_cwd(path, cwd, place)
    decomposed = unicodedata.normalize("NFD", resolved)
    spellings = dict.fromkeys(
        (
            resolved,
            _MERIDIEM.sub("\u202f", resolved),
            decomposed,
            resolved.replace("'", "\u2019"),
            decomposed.replace("'", "\u2019"),
        )
    )
    # Most names have one spelling, and a look may take a round trip.
    if len(spellings) > 1:
        for spelling in spellings:
            if await settled(place.exists(spelling)):
                return spelling
    return resolved


def absolute_cwd(cwd: str | os.PathLike[str]) -> str:
    """A working directory made absolute against the process's own; `~` is the home directory."""
    path = os.fspath(cwd)
    if _is_at_home(path):
        path = _at_home(path, home_directory())
    # The process's own directory may have been deleted; it matters for relative paths only.
    return _lexical(path, "" if os.path.isabs(_lexical(path, "")) else os.getcwd())


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


def _is_at_home(path: str) -> bool:
    return path == "~" or path.startswith("~/") or (os.name == "nt" and path.startswith("~\\"))


def _at_home(path: str, home: str) -> str:
    # Not os.path.join: ~//x is at home too.
    return f"{home}{os.sep}{path[2:]}"


async def _resolve(path: str, cwd: str, place: KnowsPaths) -> str:
    if _is_at_home(path):
        path = _at_home(path, await settled(place.home_directory()))
    return _lexical(path, cwd)


def _lexical(path: str, cwd: str) -> str:
    """`path`, which has no `~` to resolve, made absolute without a look at any disk."""
    if sys.platform == "win32" and (drive := _DRIVE.fullmatch(path)):
        path = f"{drive[1].upper()}:\\{(drive[2] or '').replace('/', os.sep)}"
    elif path.startswith("file://"):
        path = _file_url_path(path)
    if "\0" in path:
        raise ToolError("A path cannot contain a NUL character")
    try:
        os.fsencode(path)
    except UnicodeEncodeError as error:
        raise ToolError(f"A path cannot contain U+{ord(path[error.start]):04X}") from error
    resolved = os.path.normpath(os.path.join(cwd, path))
    # POSIX lets a leading // stand for something else; here it is a slip.
    return resolved[1:] if os.name != "nt" and resolved.startswith("//") else resolved


def _file_url_path(url: str) -> str:
    try:
        parts = urlsplit(url.rstrip(_URL_MARGIN))
    except ValueError as error:
        raise ToolError(f"Invalid file URL: {error}") from error
    if parts.netloc.lower() not in ("", "localhost"):
        raise ToolError(f'File URL host must be "localhost" or empty on {sys.platform}')
    if "%2f" in parts.path.lower():
        raise ToolError("File URL path must not include encoded / characters")
    path = unquote(parts.path)
    # /C:/x is how a URL holds a Windows path.
    return path[1:] if os.name == "nt" and re.match(r"/[A-Za-z]:", path) else path or "/"
