"""Whose tools are measured, and the programs that search for them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from peers import TOOL_SUBJECTS, child_environment, prepare_all

from pi_tools.programs import find_fd, find_ripgrep

__all__ = ("ToolSubject", "link_programs", "tool_subjects")


@dataclass(frozen=True)
class ToolSubject:
    """A column: how its script is run, and who is to search, if it can choose."""

    name: str
    command: tuple[str, ...]
    engine: str | None = None


def tool_subjects(wanted: list[str] | None) -> tuple[list[ToolSubject], list[str]]:
    """Those that can be measured, and a line for each of the others."""
    ready, missing = prepare_all(TOOL_SUBJECTS)
    subjects: list[ToolSubject] = []
    for subject, environment in ready.items():
        label = subject.name if not subject.requirement else f"{subject.name} {environment.version}"
        subjects.append(ToolSubject(label, environment.command))
        if not subject.requirement:
            subjects.append(ToolSubject(f"{label} in Python", environment.command, "python"))
    return [s for s in subjects if wanted is None or s.name.split()[0] in wanted], missing


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
