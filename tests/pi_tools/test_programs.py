from __future__ import annotations

from importlib import metadata
from pathlib import Path, PurePosixPath

import pytest

from pi_tools.programs import find_fd, find_ripgrep


def program(folder: Path, name: str) -> str:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text("#!/bin/sh\n")
    (folder / name).chmod(0o755)
    return str(folder / name)


@pytest.fixture
def on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty directory that is all of PATH."""
    folder = tmp_path / "path"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def test_the_bin_directory_comes_before_the_path(on_path: Path, tmp_path: Path) -> None:
    there = program(on_path, "rg")
    assert find_ripgrep(str(tmp_path / "bin")) == there
    own = program(tmp_path / "bin", "rg")
    assert find_ripgrep(str(tmp_path / "bin")) == own
    assert find_ripgrep(None) == there


def test_fd_has_two_names(on_path: Path, tmp_path: Path) -> None:
    assert find_fd(str(tmp_path)) is None
    debian = program(on_path, "fdfind")
    assert find_fd(None) == debian
    assert find_fd(None) != program(on_path, "fd")
    assert find_fd(None) == str(on_path / "fd")


class InstalledFile(PurePosixPath):
    """A file of a distribution, as importlib.metadata tells it."""

    def locate(self) -> Path:
        return Path(self)


@pytest.mark.usefixtures("on_path")
def test_the_wheel_is_the_last_resort(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = program(tmp_path / "scripts", "rg")
    files = [InstalledFile(tmp_path / "missing" / "rg"), InstalledFile(own)]
    monkeypatch.setattr(metadata, "files", {"ripgrep": files}.get)
    assert find_ripgrep(None) == own


@pytest.mark.usefixtures("on_path")
def test_without_the_wheel_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "files", missing)
    assert find_ripgrep(None) is None
