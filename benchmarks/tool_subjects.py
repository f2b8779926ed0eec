"""Whose tools are measured, and the programs that search for them."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from peers import ENVIRONMENTS, HERE, InstallError, _find_node, _run, child_environment

from pi_tools.programs import find_fd, find_ripgrep

__all__ = ("ToolSubject", "link_programs", "tool_subjects")

_UPSTREAM = "@earendil-works/pi-coding-agent"
_UPSTREAM_VERSIONS = ("1.5.2", "0.87.1")
"""The version this project is compatible with, and one whose dependencies were all published."""


@dataclass(frozen=True)
class ToolSubject:
    """A column: how its script is run, and who is to search, if it can choose."""

    name: str
    command: tuple[str, ...]
    engine: str | None = None


def tool_subjects(wanted: list[str] | None) -> tuple[list[ToolSubject], list[str]]:
    """Those that can be measured, and a line for each of the others."""
    ours = (sys.executable, str(HERE / "subjects" / "tools_ours.py"))
    subjects = [ToolSubject("ours", ours), ToolSubject("ours in Python", ours, "python")]
    missing: list[str] = []
    try:
        subjects.append(_prepare_upstream())
    except InstallError as error:
        missing.append(f"- upstream: not measured: {error}")
    return [s for s in subjects if wanted is None or s.name.split()[0] in wanted], missing


def _prepare_upstream() -> ToolSubject:
    node = _find_node()
    home = ENVIRONMENTS / "upstream-tools"
    mark = home / ".requirement"
    if not mark.exists():
        mark.write_text(_install(home), encoding="utf-8")
    script = shutil.copy(HERE / "subjects" / "tools_upstream.mjs", home)
    return ToolSubject(f"upstream {mark.read_text(encoding='utf-8')}", (node, str(script)))


def _install(home: Path) -> str:
    npm = shutil.which("npm")
    if npm is None:
        raise InstallError("npm is not installed")
    print(f"installing {_UPSTREAM}", file=sys.stderr)
    home.mkdir(parents=True, exist_ok=True)
    (home / "package.json").write_text('{"private": true}', encoding="utf-8")
    failures: list[str] = []
    for version in _UPSTREAM_VERSIONS:
        wanted = f"{_UPSTREAM}@{version}"
        try:
            _run([npm, "install", "--ignore-scripts", "--no-audit", "--no-fund", wanted], home)
        except InstallError as error:
            failures.append(str(error))
        else:
            return version
    raise InstallError(failures[0])


def link_programs(folder: Path) -> tuple[dict[str, str], dict[str, str]]:
    """ripgrep and fd under their own names in `folder`: their paths, and an environment for it."""
    folder.mkdir()
    programs: dict[str, str] = {}
    for name, path in (("rg", find_ripgrep(None)), ("fd", find_fd(None))):
        if path is not None:
            (folder / name).symlink_to(path)
            programs[name] = str(folder / name)
    environment = child_environment()
    environment["PATH"] = f"{folder}:{environment['PATH']}"
    return programs, environment
