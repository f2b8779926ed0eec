"""Which shell runs a command. Windows is played with files whose names look like its paths."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from pi_agent.types import ToolError
from pi_tools import create_bash_tool
from pi_tools.shell import Shell, find_shell

if TYPE_CHECKING:
    from tests.pi_tools.conftest import Calls


def program(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only directory of PATH."""
    folder = tmp_path / "on-path"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def test_tools_spec_7_2_bash_of_the_system_then_of_the_path_then_sh(
    on_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {"/bin/bash": True}
    exists = os.path.exists
    monkeypatch.setattr(os.path, "exists", lambda path: found.get(path, exists(path)))
    assert find_shell() == Shell("/bin/bash")
    found["/bin/bash"] = False
    assert find_shell() == Shell("sh")
    bash = program(on_path / "bash")
    assert find_shell() == Shell(bash)


def test_a_chosen_shell_runs_the_command(calls: Calls, tmp_path: Path) -> None:
    tool = create_bash_tool(tmp_path, shell_path="/bin/sh")
    assert calls.text(tool, {"command": "echo $0"}) == "/bin/sh\n"


@pytest.mark.parametrize("folder", ["System32", "SYSNATIVE"])
def test_tools_spec_7_2_the_launcher_of_windows_reads_the_command(
    folder: str, calls: Calls, tmp_path: Path
) -> None:
    launcher = tmp_path / f"C:\\Windows\\{folder}\\bash.exe"
    launcher.symlink_to("/bin/sh")
    assert find_shell(str(launcher)).argv("x") == [str(launcher), "-s"]
    tool = create_bash_tool(tmp_path, shell_path=str(launcher))
    shown = calls.text(tool, {"command": "printf '%s\\n' 'a  b' \"$0\""})
    assert shown == f"a  b\n{launcher}\n"


def test_tools_spec_7_2_where_bash_is_on_windows(
    on_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pi_tools.shell.sys", SimpleNamespace(platform="win32"))
    monkeypatch.setenv("ProgramFiles", f"{tmp_path}/Files")
    monkeypatch.setenv("ProgramFiles(x86)", f"{tmp_path}/Files86")
    with pytest.raises(ToolError) as caught:
        find_shell()
    assert str(caught.value) == (
        "No bash shell found. Install Git for Windows, put bash.exe on PATH, or set a shell path. "
        f"Looked on PATH and at:\n  {tmp_path}/Files/Git/bin/bash.exe\n"
        f"  {tmp_path}/Files86/Git/bin/bash.exe"
    )
    # Each is preferred to those before it.
    for folder in (on_path, tmp_path / "Files86/Git/bin", tmp_path / "Files/Git/bin"):
        bash = program(folder / "bash.exe")
        assert find_shell() == Shell(bash)
