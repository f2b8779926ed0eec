"""What models point tools at and no text file is: each gets a clear answer, and none hangs."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pi_agent.types import AgentTool, ToolError
from pi_tools import (
    ToolOptions,
    confined_to,
    create_all_tools,
    create_coding_tools,
    create_tool,
    over_prefix,
)
from pi_tools.programs import find_fd
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
CLOSED = "EACCES: permission denied, chdir '{cwd}/closed'"
MISSING = "Path not found: {cwd}/{path}"
NO_DIRECTORY = "Not a directory: {cwd}/{path}"
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
    ("grep", "dir"): "No matches found",
    ("grep", "pipe"): SPECIAL,
    ("grep", "socket"): SPECIAL,
    ("grep", "/dev/zero"): DEVICE,
    ("grep", "closed"): CLOSED,
    ("grep", "closed/f"): MISSING,
    ("grep", "two\nlines"): "two\\nlines:1: old",
    ("grep", "caf\udce9"): "caf\ufffd:1: old",
    ("grep", "no\ud83d"): "A path cannot contain U+D83D",
    ("grep", "empty"): "No matches found",
    ("grep", "a\0b"): "A path cannot contain a NUL character",
    ("find", "dir"): "No files found matching pattern",
    ("find", "pipe"): NO_DIRECTORY,
    ("find", "socket"): NO_DIRECTORY,
    ("find", "/dev/zero"): "Not a directory: {path}",
    ("find", "closed"): CLOSED,
    ("find", "closed/f"): MISSING,
    ("find", "two\nlines"): NO_DIRECTORY,
    ("find", "caf\udce9"): "Not a directory: {cwd}/caf\ufffd",
    ("find", "no\ud83d"): "A path cannot contain U+D83D",
    ("find", "empty"): NO_DIRECTORY,
    ("find", "a\0b"): "A path cannot contain a NUL character",
    ("ls", "dir"): "(empty directory)",
    ("ls", "pipe"): NO_DIRECTORY,
    ("ls", "socket"): NO_DIRECTORY,
    ("ls", "/dev/zero"): "Not a directory: {path}",
    ("ls", "closed"): "Cannot read directory: EACCES: permission denied, scandir '{cwd}/closed'",
    ("ls", "closed/f"): MISSING,
    ("ls", "two\nlines"): NO_DIRECTORY,
    ("ls", "caf\udce9"): "Not a directory: {cwd}/caf\ufffd",
    ("ls", "no\ud83d"): "A path cannot contain U+D83D",
    ("ls", "empty"): NO_DIRECTORY,
    ("ls", "a\0b"): "A path cannot contain a NUL character",
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
    "grep": {"pattern": "old"},
    "find": {"pattern": "*"},
    "ls": {},
}
OUTSIDE = "Path is outside the allowed directories: {path}. Allowed: {cwd}"
NO_COMMANDS = (
    "Commands are not available: files are confined to some directories here, and a command could "
    "go anywhere. Use the other tools."
)
NO_ENTRY = "Cannot enter the working directory: {cwd}/{path}"


def options(place: str, world: Path) -> ToolOptions | None:
    over_there = over_prefix(["env", "OVER_THERE=yes"])
    return {
        "here": None,
        "confined": confined_to([world]),
        "over a prefix": over_there,
        "confined over a prefix": confined_to([world], over_there),
    }[place]


PLACES = ("here", "confined", "over a prefix", "confined over a prefix")


def expected(place: str, name: str, path: str) -> str:
    """The answer of `ANSWERS`, or what only this place says."""
    if place.startswith("confined"):
        if name == "bash":
            return NO_COMMANDS
        if path.startswith("/dev"):
            # write makes the parent directory first.
            outside = OUTSIDE.replace("{path}", "/dev") if name == "write" else OUTSIDE
            return (
                f"Could not edit file: {{path}}. Error: {outside}." if name == "edit" else outside
            )
    if place == "over a prefix" and name == "bash" and path in ("empty", "pipe", "closed"):
        return NO_ENTRY
    if place == "confined over a prefix" and path.startswith("closed"):
        # Where a closed directory would lead cannot be told.
        closed = f"EACCES: permission denied, realpath '{{cwd}}/{path}'"
        match name:
            case "edit":
                return ANSWERS[name, path]
            case "write":
                return "EACCES: permission denied, realpath '{cwd}/closed'"
            case "ls":
                return f"Cannot read directory: {closed}"
            case _:
                return closed
    return ANSWERS[name, path]


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


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    ("name", "path"), ANSWERS, ids=[f"{name}-{path!r}" for name, path in ANSWERS]
)
def test_answer_is_clear(name: str, path: str, place: str, calls: Calls, world: Path) -> None:
    if path == "large":
        with open(world / "large", "wb") as file:
            file.write(b"x" * 50_000_000)
        (world / "large").chmod(0o666)
    cwd = world / path if name == "bash" else world
    arguments = {"command": "true"} if name == "bash" else {"path": path, **MORE[name]}
    tool = create_tool(name, cwd, options(place, world))
    if path.startswith(("secret", "closed")):
        answer(calls, tool, arguments)  # Imports what the other user may not be able to import.
        with bound_by_permissions(world):
            shown = answer(calls, tool, arguments)
    else:
        shown = answer(calls, tool, arguments)
    (world / "closed").chmod(0o777)
    wanted = expected(place, name, path)
    assert shown == wanted.replace("{path}", path).replace("{cwd}", str(world))


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", ["grep", "find"])
def test_what_cannot_be_read_is_told_beside_the_rest(
    name: str, place: str, calls: Calls, world: Path
) -> None:
    (world / "closed").chmod(0o444)
    (world / ".git").mkdir()  # An old fd can search no other place.
    tool = create_tool(name, world, options(place, world))
    answer(calls, tool, {"path": "dir", **MORE[name]})
    with bound_by_permissions(world):
        if name == "find" and find_fd(None) is None and not place.endswith("prefix"):
            return  # The other user need not be able to run this Python.
        shown = answer(calls, tool, MORE[name])
    found, _, notices = shown.partition("\n\n[")
    assert any(line.startswith("two\\nlines") for line in found.split("\n"))
    if name == "grep":
        assert "Not everything could be searched: " in notices
        assert "ermission denied" in notices


@pytest.mark.parametrize("place", PLACES)
def test_pipe_whose_other_end_is_silent_is_answered_at_once(
    place: str, calls: Calls, world: Path
) -> None:
    end = os.open(world / "pipe", os.O_RDWR)
    os.write(end, b"old")
    try:
        for name in ("read", "edit", "write", "grep"):
            tool = create_tool(name, world, options(place, world))
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


@pytest.mark.parametrize("place", PLACES)
def test_every_tool_answers_in_a_deleted_directory(
    place: str, calls: Calls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "root").mkdir()
    gone = tmp_path / "root/gone"
    gone.mkdir()
    tools = create_all_tools(gone, options(place, tmp_path / "root"))
    monkeypatch.chdir(gone)
    gone.rmdir()
    answers = {
        name: answer(calls, tool, {"command": "true"} if name == "bash" else MORE[name])
        for name, tool in tools.items()
        if name not in ("read", "edit", "write")
    }
    missing = f"Path not found: {gone}"
    in_shell = f"Working directory does not exist: {gone}\nCannot execute bash commands."
    assert answers == {
        "bash": NO_COMMANDS if place.startswith("confined") else in_shell,
        "grep": missing,
        "find": missing,
        "ls": missing,
    }
    assert answer(calls, tools["read"], {"path": "f"}) == (
        f"ENOENT: no such file or directory, access '{gone}/f'"
    )
    edited = answer(calls, tools["edit"], {"path": "f", **MORE["edit"]})
    assert edited == "Could not edit file: f. Error code: ENOENT."
    written = answer(calls, tools["write"], {"path": "f", **MORE["write"]})
    assert written == "Successfully wrote to f"


@contextmanager
def removed(folder: Path) -> Iterator[None]:
    """Remove `folder` in the end, however deep it is: Python calls itself for every level."""
    try:
        yield
    finally:
        subprocess.run(["rm", "-rf", folder], check=True)


@pytest.mark.parametrize("place", PLACES)
def test_very_long_paths_are_answered(place: str, calls: Calls, world: Path) -> None:
    deep = "d/" * 2100 + "f"
    possible = ("ENAMETOOLONG", "ENOENT", "Path not found: ", "Successfully wrote")
    with removed(world / "d"):
        for name in ("read", "edit", "write", "grep", "find", "ls"):
            tool = create_tool(name, world, options(place, world))
            shown = answer(calls, tool, {"path": deep, **MORE[name]})
            assert any(text in shown for text in possible), shown[:200]


def test_a_thousand_new_directories_can_be_made(calls: Calls, tmp_path: Path) -> None:
    write = create_tool("write", "/", None)
    path = f"{tmp_path}/{'d/' * 1200}f"
    with removed(tmp_path / "d"):
        shown = answer(calls, write, {"path": path, "content": "x"})
    assert shown == f"Successfully wrote to {path}"


def test_file_swapped_for_a_directory_between_calls(calls: Calls, tmp_path: Path) -> None:
    read, _, edit, write = create_coding_tools(tmp_path)
    answer(calls, write, {"path": "f", "content": "old"})
    (tmp_path / "f").unlink()
    (tmp_path / "f").mkdir()
    for tool in (read, edit, write):
        shown = answer(calls, tool, {"path": "f", **MORE[tool.name]})
        assert shown.startswith(EISDIR)
