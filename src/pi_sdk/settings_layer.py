"""One layer of the settings: a file, what was read of it, and what is to be changed in it.

Source: sdk spec, sections 4.1 and 4.3.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TypeAlias, cast

from pi_ai import JsonObject, JsonValue
from pi_ai.errors import LockHeldError, LockLostError
from pi_ai.json_text import js_json
from pi_sdk.json_file import change_json_object, read_json_object

__all__ = ("SettingPath", "SettingsLayer")

SettingPath: TypeAlias = tuple[str, ...]
"""The keys that lead to a setting, outermost first."""


class SettingsLayer:
    """A settings file, or settings without one. `values` is all of it, unknown keys included."""

    def __init__(
        self, path: Path | None, *, persist: bool = True, directory_mode: int = 0o777
    ) -> None:
        """Holds nothing until it is loaded. Without `path` or `persist` no file is written."""
        self.path = path
        self.values: JsonObject = {}
        self._persist = persist
        self._directory_mode = directory_mode
        self._unwritten: dict[SettingPath, JsonValue] = {}

    def load(self) -> str | None:
        """Read the file, keeping what is not in it yet. Gives what went wrong, if anything."""
        failure: str | None = None
        if self.path is not None:
            self.values = {}
            try:
                self.values = read_json_object(self.path)
            except (OSError, ValueError) as error:
                failure = str(error)
        _put_all(self._unwritten, self.values)
        return failure

    def set(self, path: SettingPath, value: JsonValue) -> None:
        """Change `values`, and the file at the next flush. Objects are merged, None removes."""
        if isinstance(value, dict):
            for name, part in cast("JsonObject", value).items():
                self.set((*path, name), part)
            return
        _put(self.values, path, value)
        if self.path is not None:
            self._unwritten.pop(path, None)  # the last change goes behind the others
            self._unwritten[path] = value

    async def flush(self) -> str | None:
        """Write what was set, and nothing else, into the file as it is now.

        Gives what went wrong, if anything: then it is tried again at the next flush.
        """
        if self.path is None or not self._persist or not self._unwritten:
            return None
        sent = {**self._unwritten}
        try:
            await change_json_object(
                self.path,
                partial(_put_all, sent),
                partial(js_json, indent=2),
                directory_mode=self._directory_mode,
            )
        except (OSError, ValueError, LockHeldError, LockLostError) as error:
            return str(error)
        for path, value in sent.items():
            if path in self._unwritten and self._unwritten[path] is value:
                del self._unwritten[path]
        return None


def _put_all(changes: dict[SettingPath, JsonValue], values: JsonObject) -> None:
    for path, value in changes.items():
        _put(values, path, value)


def _put(values: JsonObject, path: SettingPath, value: JsonValue) -> None:
    *groups, name = path
    for group in groups:
        inner: JsonValue = values.get(group)
        if not isinstance(inner, dict):
            if value is None:
                return
            inner = values[group] = {}
        values = cast("JsonObject", inner)
    if value is None:
        values.pop(name, None)
    else:
        values[name] = value
