"""Settings: the user's file, the project's on top of it, and what the host overrides.

What can be set is in `settings_types`. Source: sdk spec, section 4.
"""

from __future__ import annotations

import os
from copy import deepcopy
from pathlib import Path
from typing import Literal, TypeAlias

from msgspec import Struct

from pi_ai import JsonObject, JsonValue
from pi_ai.wire import from_json_value
from pi_sdk.errors import SdkError
from pi_sdk.settings_check import check_settings, find_unknown_key, merge_settings
from pi_sdk.settings_layer import SettingsLayer
from pi_sdk.settings_types import Settings
from pi_session import resolve_agent_dir
from pi_session.locations import resolve_path

__all__ = ("SettingsManager", "SettingsProblem", "SettingsScope")

SettingsScope: TypeAlias = Literal["global", "project"]
"""Whose file: `<agent_dir>/settings.json`, or `<cwd>/.pi/settings.json`."""


class SettingsProblem(Struct, frozen=True):
    """A file that could not be read or written, or a setting in it that cannot be used."""

    scope: SettingsScope
    path: Path | None
    text: str

    def __str__(self) -> str:
        return self.text


class SettingsManager:
    """Settings in layers; `current` is what they say together.

    Made by `create` or `in_memory`. One manager may serve many sessions of one event loop.
    """

    def __init__(
        self, layers: dict[SettingsScope, SettingsLayer], *, project_trusted: bool
    ) -> None:
        """For the class methods; the later layer wins."""
        self._layers = layers
        self._project_trusted = project_trusted
        self._overrides: JsonObject = {}
        self._problems: list[SettingsProblem] = []
        self._current: Settings | None = None

    @classmethod
    def create(
        cls,
        cwd: str | os.PathLike[str] = ".",
        agent_dir: str | os.PathLike[str] | None = None,
        *,
        project_trusted: bool = False,
        persist: bool = True,
    ) -> SettingsManager:
        """The settings of the user, and of the project in `cwd` if that is trusted.

        A project's settings can run programs (`shellPath`, `shellCommandPrefix`), so trust it only
        if its user does; see `decide_project_trust`. Without `persist`, changes stay in memory.
        Never fails: what is wrong is in `drain_errors`, and counts as not said.
        """
        user = SettingsLayer(
            resolve_agent_dir(agent_dir).absolute() / "settings.json",
            directory_mode=0o700,
            persist=persist,
        )
        layers: dict[SettingsScope, SettingsLayer] = {"global": user}
        if project_trusted:
            path = Path(resolve_path(cwd)) / ".pi" / "settings.json"
            layers["project"] = SettingsLayer(path, persist=persist)
        manager = cls(layers, project_trusted=project_trusted)
        manager.reload()
        return manager

    @classmethod
    def in_memory(cls, values: JsonObject | None = None) -> SettingsManager:
        """Settings that no file holds, with the keys of settings.json.

        Raises `SdkError` for a value that cannot be used.
        """
        layer = SettingsLayer(None)
        layer.values = _usable(values or {}, "settings")
        return cls({"global": layer}, project_trusted=False)

    def __repr__(self) -> str:
        files = [str(layer.path) for layer in self._layers.values() if layer.path is not None]
        return f"<SettingsManager {', '.join(files) or 'in memory'}>"

    @property
    def current(self) -> Settings:
        """What is in effect now; a new object after every change."""
        if self._current is None:
            merged: JsonObject = {}
            for scope, layer in self._layers.items():
                checked = check_settings(layer.values, project=scope == "project")
                merged = merge_settings(merged, checked.values)
            merged = merge_settings(merged, self._overrides)
            self._current = from_json_value(merged, Settings)
        return self._current

    @property
    def project_trusted(self) -> bool:
        """Whether the project's own settings and prompt files count."""
        return self._project_trusted

    def layer(self, scope: SettingsScope) -> JsonObject:
        """A copy of what one file says, unknown keys included, with what was set since."""
        layer = self._layers.get(scope)
        return deepcopy(layer.values) if layer else {}

    def reload(self) -> None:
        """Read the files again. Overrides are dropped; what is not written yet is kept."""
        self._overrides = {}
        self._current = None
        for scope, layer in self._layers.items():
            failure = layer.load()
            if failure is not None:
                text = f"Invalid settings file {layer.path}: {failure}"
                self._problems.append(SettingsProblem(scope, layer.path, text))
            for fault in check_settings(layer.values, project=scope == "project").problems:
                text = f"Invalid setting in {layer.path}: {fault}. It is ignored."
                self._problems.append(SettingsProblem(scope, layer.path, text))

    def apply_overrides(self, values: JsonObject) -> None:
        """Put `values` on top of every file, in memory only, until the next `reload`.

        Raises `SdkError` for a value that cannot be used.
        """
        self._overrides = merge_settings(self._overrides, _usable(values, "overrides"))
        self._current = None

    def set(
        self, key: str | tuple[str, ...], value: JsonValue, *, scope: SettingsScope = "global"
    ) -> None:
        """Change one setting: at once here, in the file at the next `flush`.

        `key` is the path in the file, as `"compaction.enabled"` or, where names hold dots,
        `("modelThinkingLevels", "acme/m-1.5")`. An object is merged, None removes. A project's
        setting and an override still win over the user's. Raises `SdkError` for an unknown key, a
        value that cannot be used, and a project that is not trusted.
        """
        path = tuple(key.split(".")) if isinstance(key, str) else key
        fault = find_unknown_key(path)
        if fault is not None:
            raise SdkError(f"Invalid setting: {fault}")
        told: JsonValue = value
        for name in reversed(path):
            told = {name: told}
        for fault in check_settings(told, project=scope == "project").problems:
            raise SdkError(f"Invalid setting: {fault}")
        layer = self._layers.get(scope)
        if layer is None:
            raise SdkError("Project is not trusted; refusing to write project settings")
        layer.set(path, value)
        self._current = None

    async def flush(self) -> list[SettingsProblem]:
        """Write what was set; what could not be written goes out with the next flush.

        Gives what went wrong, which `drain_errors` tells too.
        """
        problems: list[SettingsProblem] = []
        for scope, layer in self._layers.items():
            failure = await layer.flush()
            if failure is not None:
                text = f"Could not write settings file {layer.path}: {failure}"
                problems.append(SettingsProblem(scope, layer.path, text))
        self._problems += problems
        return problems

    def drain_errors(self) -> list[SettingsProblem]:
        """What went wrong since the last call."""
        problems, self._problems = self._problems, []
        return problems


def _usable(values: JsonObject, where: str) -> JsonObject:
    checked = check_settings(values)
    for fault in checked.problems:
        raise SdkError(f"Invalid {where}: {fault}")
    return checked.values
