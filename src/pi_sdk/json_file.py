"""JSON objects in files that several programs change: settings.json and trust.json.

Reading takes no lock; changing one reads it again under the lock that upstream respects.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

from pi_ai import JsonObject, JsonValue
from pi_ai.dirlock import directory_lock, lock_path
from pi_ai.json_text import parse_json
from pi_ai.replace_file import replace_file

__all__ = ("change_json_object", "read_json_object")

_STALE_SECONDS = 10.0
_WAIT_SECONDS = 0.5
_READ_TRIES = 10
_READ_PAUSE_SECONDS = 0.02


def read_json_object(path: Path) -> JsonObject:
    """The object in a file; empty if there is no file, or nothing in it.

    Waits up to 0.2 s for a writer that is in the middle of a file that cannot be read otherwise.
    Raises OSError, and ValueError for what is no JSON object.
    """
    for _ in range(_READ_TRIES):
        if not path.exists() or _is_whole(path) or not lock_path(path).exists():
            break
        time.sleep(_READ_PAUSE_SECONDS)
    return _read(path)


async def change_json_object(
    path: Path,
    change: Callable[[JsonObject], object],
    to_text: Callable[[JsonObject], str],
    *,
    directory_mode: int = 0o777,
) -> None:
    """Let `change` alter what the file holds now, and write it; missing directories are made.

    Raises OSError, ValueError for what is no JSON object, which is left as it is, `LockHeldError`
    and `LockLostError`.
    """
    _make_directory(path.parent, directory_mode)
    async with directory_lock(
        path, stale_seconds=_STALE_SECONDS, wait_seconds=_WAIT_SECONDS
    ) as lock:
        value = _read(path)
        change(value)
        data = to_text(value).encode()
        lock.check()
        replace_file(path, data, new_mode=0o666)


def _is_whole(path: Path) -> bool:
    """Whether it holds an object with something in it; one who writes in place empties it first."""
    try:
        return bool(_read(path))
    except ValueError:
        return False


def _read(path: Path) -> JsonObject:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return {}
    text = data.decode("utf-8", "replace").removeprefix("\ufeff")
    value: JsonValue = parse_json(text) if text.strip() else {}
    if not isinstance(value, dict):
        raise ValueError("expected an object")
    return cast("JsonObject", value)


def _make_directory(directory: Path, mode: int) -> None:
    if directory.is_dir():
        return
    _make_directory(directory.parent, mode)
    directory.mkdir(mode, exist_ok=True)
