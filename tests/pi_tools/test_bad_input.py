"""What models point tools at and no text file is: each gets a clear answer, and none hangs."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pi_agent.types import AgentTool, ToolError
from pi_tools import confined_to, create_coding_tools, over_prefix
from support.places import bound_by_permissions, make_socket

if TYPE_CHECKING:
    from tests.pi_tools.conftest import Calls

NOT_FOUND = (
    "Could not find the exact text in {path}. "
    "The old text must match exactly including all whitespace and newlines."
)
LARGE = "[Line 1 is 47.7MB, exceeds 50.0KB limit. Use bash: sed -n '1p' large | head -c 51200]"
ACCESS = "permission denied, access '{cwd}/secret'"
EISDIR = "EISDIR: illegal operation on a directory"
SPECIAL = "Not a regular file: {cwd}/{path}"
DEVICE = "Not a regular file: {path}"
WRITTEN = "Successfully wrote to {path}"
EDITED = "Successfully replaced 1 block(s) in {path}."

ANSWERS = {
    ("read", "dir"): f"{EISDIR}, read",
    ("read", "pipe"): SPECIAL,
    ("read", "socket"): SPECIAL,
    ("read", "/dev/zero"): DEVICE,
    ("read", "/dev/null"): DEVICE,
    ("read", "secret"): f"EACCES: {ACCESS}",
    ("read", "closed/f"): "EACCES: permission denied, access '{cwd}/closed/f'",
    ("read", "two\nlines"): "old",
    ("read", "caf\udce9"): "old",
    ("read", "no\ud83d"): "A path cannot contain U+D83D",
    ("read", "empty"): "",
    ("read", "large"): LARGE,
    ("read", ""): f"{EISDIR}, read",
    ("read", "a\0b"): "A path cannot contain a NUL character",
    ("edit", "dir"): f"{EISDIR}, read",
    ("edit", "pipe"): SPECIAL,
    ("edit", "socket"): SPECIAL,
    ("edit", "/dev/zero"): DEVICE,
    ("edit", "secret"): "Could not edit file: secret. Error code: EACCES.",
    ("edit", "closed/f"): "Could not edit file: closed/f. Error code: EACCES.",
    ("edit", "two\nlines"): EDITED,
    ("edit", "caf\udce9"): EDITED,
    ("edit", "no\ud83d"): "A path cannot contain U+D83D",
    ("edit", "empty"): NOT_FOUND,
    ("edit", "a\0b"): "A path cannot contain a NUL character",
    ("write", "dir"): f"{EISDIR}, open '{{cwd}}/dir'",
    ("write", "pipe"): SPECIAL,
    ("write", "socket"): SPECIAL,
    ("write", "/dev/full"): DEVICE,
    ("write", "/dev/null"): DEVICE,
    ("write", "secret"): "EACCES: permission denied, open '{cwd}/secret'",
    ("write", "closed/f"): "EACCES: permission denied, open '{cwd}/closed/f'",
    ("write", "two\nlines"): WRITTEN,
    ("write", "caf\udce9"): WRITTEN,
    ("write", "no\ud83d"): "A path cannot contain U+D83D",
    ("write", "empty"): WRITTEN,
    ("write", "a\0b"): "A path cannot contain a NUL character",
    ("bash", "dir"): "(no output)",
    ("bash", "two\nlines/sub"): "Working directory does not exist: {cwd}/{path}\n"
    "Cannot execute bash commands.",
    ("bash", "empty"): "spawn /bin/bash ENOTDIR",
    ("bash", "pipe"): "spawn /bin/bash ENOTDIR",
    ("bash", "closed"): "spawn /bin/bash EACCES",
}
MORE: dict[str, dict[str, Any]] = {
    "read": {},
    "edit": {"edits": [{"oldText": "old", "newText": "new"}]},
    "write": {"content": "new"},
}


@pytest.fixture
def world(tmp_path: Path) -> Path:
    folder = tmp_path / "world"
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    for name in ("dir", "closed"):
        (folder / name).mkdir()
    for name, data in (
        ("two\nlines", b"old"),
        (b"caf\xe9", b"old"),
        ("secret", b"old"),
        ("closed/f", b"old"),
        ("empty", b""),
    ):
        path = os.path.join(os.fsencode(folder), os.fsencode(name))
        Path(os.fsdecode(path)).write_bytes(data)
        os.chmod(path, 0o666)
    (folder / "secret").chmod(0)
    (folder / "closed").chmod(0)
    os.mkfifo(folder / "pipe")
    make_socket(folder, "socket")
    for name in ("pipe", "socket"):
        (folder / name).chmod(0o666)
    return folder


def answer(calls: Calls, tool: AgentTool, arguments: dict[str, Any]) -> str:
    try:
        return calls.text(tool, arguments)
    except ToolError as error:
        return str(error)


@pytest.mark.parametrize(
    ("name", "path"), ANSWERS, ids=[f"{name}-{path!r}" for name, path in ANSWERS]
)
def test_answer_is_clear(name: str, path: str, calls: Calls, world: Path) -> None:
    if path == "large":
        with open(world / "large", "wb") as file:
            file.write(b"x" * 50_000_000)
        (world / "large").chmod(0o666)
    cwd = world / path if name == "bash" else world
    arguments = {"command": "true"} if name == "bash" else {"path": path, **MORE[name]}
    tool = next(tool for tool in create_coding_tools(cwd) if tool.name == name)
    if path.startswith(("secret", "closed")):
        answer(calls, tool, arguments)  # Imports what the other user may not be able to import.
        with bound_by_permissions(world):
            shown = answer(calls, tool, arguments)
    else:
        shown = answer(calls, tool, arguments)
    (world / "closed").chmod(0o777)
    assert shown == ANSWERS[name, path].replace("{path}", path).replace("{cwd}", str(world))


@pytest.mark.parametrize("place", ["here", "confined", "over a prefix"])
def test_pipe_whose_other_end_is_silent_is_answered_at_once(
    place: str, calls: Calls, world: Path
) -> None:
    options = {
        "here": None,
        "confined": confined_to([world]),
        "over a prefix": over_prefix(["env", "OVER_THERE=yes"]),
    }[place]
    end = os.open(world / "pipe", os.O_RDWR)
    os.write(end, b"old")
    try:
        for tool in create_coding_tools(world, options):
            if tool.name != "bash":
                shown = answer(calls, tool, {"path": "pipe", **MORE[tool.name]})
                assert shown == f"Not a regular file: {world}/pipe"
        assert os.read(end, 9) == b"old"
    finally:
        os.close(end)


def test_large_line_printed_by_a_command_is_cut(calls: Calls, tmp_path: Path) -> None:
    bash = create_coding_tools(tmp_path)[1]
    shown = answer(calls, bash, {"command": "head -c 50000000 /dev/zero | tr '\\0' x"})
    assert shown.startswith("x" * 51200 + "\n\n[Showing last 50.0KB of line 1 (line is 47.7MB).")


def test_large_line_can_be_written_and_edited(calls: Calls, tmp_path: Path) -> None:
    _, _, edit, write = create_coding_tools(tmp_path)
    content = "x" * 1_000_000 + "old" + "y" * 1_000_000
    answer(calls, write, {"path": "f", "content": content})
    answer(calls, edit, {"path": "f", **MORE["edit"]})
    assert (tmp_path / "f").read_text() == content.replace("old", "new")


def test_directory_deleted_in_mid_run(
    calls: Calls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    read, bash, edit, write = create_coding_tools(folder)
    monkeypatch.chdir(folder)
    assert answer(calls, bash, {"command": "rm -r ../gone; echo done"}) == "done\n"
    assert answer(calls, bash, {"command": "true"}) == (
        f"Working directory does not exist: {folder}\nCannot execute bash commands."
    )
    assert answer(calls, read, {"path": "f"}) == (
        f"ENOENT: no such file or directory, access '{folder}/f'"
    )
    assert answer(calls, edit, {"path": "f", **MORE["edit"]}) == (
        "Could not edit file: f. Error code: ENOENT."
    )
    assert answer(calls, write, {"path": "f", "content": "x"}) == "Successfully wrote to f"
    assert (folder / "f").read_text() == "x"
    shutil.rmtree(folder)
    assert calls.text(bash, {"command": "pwd"}, host_cwd=tmp_path) == f"{tmp_path}\n"


def test_file_swapped_for_a_directory_between_calls(calls: Calls, tmp_path: Path) -> None:
    read, _, edit, write = create_coding_tools(tmp_path)
    answer(calls, write, {"path": "f", "content": "old"})
    (tmp_path / "f").unlink()
    (tmp_path / "f").mkdir()
    for tool in (read, edit, write):
        shown = answer(calls, tool, {"path": "f", **MORE[tool.name]})
        assert shown.startswith(EISDIR)
