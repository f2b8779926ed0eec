"""Finding sessions in directories, and telling what they are about without opening them.

Files that cannot be read, or are no sessions, are passed over. Source: session spec, section 12.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias, cast

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from pi_ai.abort import AbortSignal
from pi_ai.json_text import js_json_bytes, parse_json
from pi_ai.types import JsonObject, JsonValue
from pi_session.codec import parse_lines, read_header
from pi_session.entries import SessionHeader
from pi_session.locations import (
    default_session_dir,
    expand_path,
    parse_timestamp,
    same_path,
    sessions_root,
)
from pi_session.store import read_lines

__all__ = (
    "ListProgress",
    "SessionInfo",
    "find_most_recent_session",
    "find_session_by_id",
    "list_all_sessions",
    "list_sessions",
    "read_session_info",
)

PathLike: TypeAlias = str | os.PathLike[str]

_PROBE_BYTES = 1 << 20
"""How far into a file its header is looked for."""
_END_OF_TIME_MS = 8.64e15
"""The last moment that upstream's dates can hold."""


class SessionInfo(Struct):
    """What a list of sessions shows; counts and texts cover all branches.

    `created_ms` is None where the header has no valid time. `modified_ms` is the time of the last
    user or assistant message. `message_count` counts messages of every role.
    """

    path: Path
    id: str
    cwd: str
    name: str | None
    parent_session_path: str | None
    created_ms: int | None
    modified_ms: int
    message_count: int
    first_message: str
    all_messages_text: str


ListProgress: TypeAlias = Callable[[int, int, list[SessionInfo] | None], object]
"""Called with how many files are read, how many there are, and now and then what is known."""


# --- finding ----------------------------------------------------------------------------------


def find_most_recent_session(
    cwd: PathLike, session_dir: PathLike | None = None, *, agent_dir: PathLike | None = None
) -> Path | None:
    """The session file of `cwd` that was written to last; None if there is none."""
    directory = _directory(cwd, session_dir, agent_dir)
    for path in _newest_first(_session_files(directory)):
        header = _probe_header(path)
        if header is not None and _belongs(header.cwd, cwd, directory, agent_dir):
            return path
    return None


def find_session_by_id(
    cwd: PathLike,
    session_id: str,
    session_dir: PathLike | None = None,
    *,
    agent_dir: PathLike | None = None,
) -> Path | None:
    """The session file of `cwd` whose header has exactly this id; None if there is none."""
    directory = _directory(cwd, session_dir, agent_dir)
    for path in _session_files(directory):
        header = _probe_header(path)
        if (
            header is not None
            and header.id == session_id
            and _belongs(header.cwd, cwd, directory, agent_dir)
        ):
            return path
    return None


def list_sessions(
    cwd: PathLike,
    session_dir: PathLike | None = None,
    *,
    agent_dir: PathLike | None = None,
    on_progress: ListProgress | None = None,
    signal: AbortSignal | None = None,
) -> list[SessionInfo]:
    """The sessions of `cwd`, last modified first. Raises only `AbortError`."""
    directory = _directory(cwd, session_dir, agent_dir)
    files = _session_files(directory)

    def wanted(info: SessionInfo) -> bool:
        return _belongs(info.cwd, cwd, directory, agent_dir)

    return _read_infos(files, wanted, 10, on_progress, signal)


def list_all_sessions(
    session_dir: PathLike | None = None,
    *,
    agent_dir: PathLike | None = None,
    on_progress: ListProgress | None = None,
    signal: AbortSignal | None = None,
) -> list[SessionInfo]:
    """The sessions of every working directory, last modified first. Raises only `AbortError`.

    With `session_dir`, those in that directory.
    """
    if session_dir is not None:
        files = _session_files(Path(expand_path(session_dir)))
    else:
        try:
            folders = sorted(path for path in sessions_root(agent_dir).iterdir() if path.is_dir())
        except OSError:
            folders = []
        files = [path for folder in folders for path in _session_files(folder)]
    return _read_infos(_newest_first(files), lambda info: True, 100, on_progress, signal)


def _directory(cwd: PathLike, session_dir: PathLike | None, agent_dir: PathLike | None) -> Path:
    if session_dir is not None:
        return Path(expand_path(session_dir))
    return default_session_dir(cwd, agent_dir)


def _session_files(directory: Path) -> list[Path]:
    try:
        return sorted(path for path in directory.iterdir() if path.name.endswith(".jsonl"))
    except OSError:
        return []


def _newest_first(paths: Iterable[Path]) -> list[Path]:
    found: list[tuple[int, str, Path]] = []
    for path in paths:
        try:
            found.append((path.stat().st_mtime_ns, path.name, path))
        except OSError:
            continue
    return [path for *_, path in sorted(found, reverse=True)]


def _belongs(header_cwd: str, cwd: PathLike, directory: Path, agent_dir: PathLike | None) -> bool:
    """Whether a session found in `directory` is one of `cwd`.

    The default directory is shared by paths that are encoded alike, so only a header without cwd
    is taken on trust there.
    """
    if header_cwd:
        return same_path(header_cwd, os.fspath(cwd))
    return same_path(str(directory), str(default_session_dir(cwd, agent_dir)))


def _probe_header(path: Path) -> SessionHeader | None:
    """The header, if it ends within the first MiB."""
    try:
        with path.open("rb") as file:
            return _first_header(_lines_within(file, _PROBE_BYTES))
    except OSError:
        return None


def _lines_within(file: BinaryIO, left: int) -> Iterator[bytes]:
    while left > 0 and (line := file.readline(left)):
        left -= len(line)
        yield line


def _first_header(lines: Iterable[bytes]) -> SessionHeader | None:
    """The header that the first line with a JSON object is; None if it is none."""
    for line in lines:
        entries = parse_lines([line]).entries
        if entries:
            return read_header(entries[0])
    return None


def _read_infos(
    paths: list[Path],
    wanted: Callable[[SessionInfo], bool],
    every: int,
    on_progress: ListProgress | None,
    signal: AbortSignal | None,
) -> list[SessionInfo]:
    infos: list[SessionInfo] = []
    for count, path in enumerate(paths, start=1):
        if signal is not None:
            signal.throw_if_aborted()
        info = read_session_info(path)
        if info is not None and wanted(info):
            infos.append(info)
        if on_progress is not None:
            tell = count in (1, len(paths)) or count % every == 0
            on_progress(count, len(paths), _sorted(infos) if tell else None)
    return _sorted(infos)


def _sorted(infos: list[SessionInfo]) -> list[SessionInfo]:
    return sorted(infos, key=lambda info: (info.modified_ms, info.path.name), reverse=True)


# --- what a session is about ------------------------------------------------------------------


class _Block(Struct, gc=False):
    type: str = ""
    text: str = ""


_Content: TypeAlias = str | list[_Block] | None


class _Message(Struct, gc=False):
    role: str = ""
    content: Raw | UnsetType = UNSET
    timestamp: int | float | None = None


class _Line(Struct, gc=False):
    type: str = ""
    timestamp: str = ""
    name: str | None = None
    message: _Message | None = None


_read_line = msgspec.json.Decoder(_Line).decode
_read_content = msgspec.json.Decoder(_Content).decode


def read_session_info(path: Path) -> SessionInfo | None:
    """What the session in `path` is about; None if it is none or cannot be read."""
    try:
        mtime_ms = path.stat().st_mtime_ns // 1_000_000
        lines = read_lines(path)
    except OSError:
        return None
    header = _first_header(lines)
    if header is None:
        return None
    name: str | None = None
    count = 0
    modified: float = 0
    first = ""
    texts: list[str] = []
    for line in map(_listed, lines):
        if line.type == "session_info":
            name = line.name
        if line.type != "message":
            continue
        count += 1
        message = line.message
        if message is None or message.role not in {"user", "assistant"}:
            continue
        if message.content is UNSET:
            continue
        written = message.timestamp
        if written is None or not abs(written) < _END_OF_TIME_MS:
            written = parse_timestamp(line.timestamp) or 0
        modified = max(modified, written)
        text = _text(message.content)
        if text:
            texts.append(text)
            if not first and message.role == "user":
                first = text
    created = parse_timestamp(header.timestamp)
    return SessionInfo(
        path=path,
        id=header.id,
        cwd=header.cwd,
        name=(name or "").strip() or None,
        parent_session_path=header.parent_session,
        created_ms=created,
        modified_ms=int(modified) if modified > 0 else mtime_ms if created is None else created,
        message_count=count,
        first_message=first or "(no messages)",
        all_messages_text=" ".join(texts),
    )


def _listed(line: bytes) -> _Line:
    """What a list wants to know of a line; one without type if it is no JSON object."""
    try:
        return _read_line(line)
    except (ValueError, RecursionError):
        return _listed_leniently(line)


def _listed_leniently(line: bytes) -> _Line:
    """As above for lines with lone surrogates, or parts of another type than they should be."""
    entry = next(iter(parse_lines([line]).entries), None)
    if entry is None:
        return _Line()
    try:
        record = entry.raw
    except (ValueError, RecursionError):
        return _Line(entry.type)
    name: JsonValue = record.get("name")
    found = _Line(entry.type, entry.timestamp, name if isinstance(name, str) else None)
    message: JsonValue = record.get("message")
    if isinstance(message, dict):
        fields = cast("JsonObject", message)
        timestamp = fields.get("timestamp")
        found.message = _Message(
            str(fields.get("role")),
            Raw(js_json_bytes(fields["content"])) if "content" in fields else UNSET,
            timestamp if isinstance(timestamp, int | float) else None,
        )
    return found


def _text(content: Raw) -> str:
    """The text of a user's or an assistant's content, as far as it can be read."""
    try:
        read: _Content = _read_content(content)
    except (ValueError, RecursionError):
        try:
            read = _lenient_content(parse_json(bytes(content)))
        except (ValueError, RecursionError):
            return ""
    if isinstance(read, list):
        return " ".join(block.text for block in read if block.type == "text")
    return read or ""


def _lenient_content(content: JsonValue) -> _Content:
    if isinstance(content, str):
        return content
    blocks: list[_Block] = []
    for item in cast("list[Any]", content) if isinstance(content, list) else ():
        try:
            blocks.append(msgspec.convert(item, _Block))
        except ValueError:  # another type; or lone surrogates in a key
            continue
    return blocks
