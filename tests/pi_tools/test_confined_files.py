from __future__ import annotations

import asyncio
import os
import shutil
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pi_agent.types import AgentTool, ToolError
from pi_ai import AbortController
from pi_tools import (
    ConfinedFileOperations,
    Confinement,
    confined_to,
    create_coding_tools,
    over_prefix,
)
from support.places import in_root, make_socket

if TYPE_CHECKING:
    from tests.pi_tools.conftest import Calls

EDITS = [{"oldText": "one", "newText": "two"}]


@pytest.fixture
def world(tmp_path: Path) -> Path:
    world = tmp_path.resolve()
    (world / "allowed/deep").mkdir(parents=True)
    (world / "outside").mkdir()
    for name in ("allowed/f", "allowed/deep/f", "outside/f"):
        (world / name).write_text("one\n")
    (world / "allowed/out").symlink_to("../outside")
    (world / "allowed/out-file").symlink_to(world / "outside/f")
    (world / "allowed/in").symlink_to("deep")
    return world


@pytest.fixture(params=["here", "over a prefix"])
def tools(request: pytest.FixtureRequest, world: Path) -> dict[str, AgentTool]:
    there = over_prefix(["env", "OVER_THERE=yes"]) if request.param != "here" else None
    options = confined_to([world / "allowed"], there)
    return {tool.name: tool for tool in create_coding_tools(world / "allowed", options)}


def outcome(calls: Calls, tool: AgentTool, arguments: dict[str, Any]) -> str:
    try:
        return calls.text(tool, arguments)
    except ToolError as error:
        return str(error)


@pytest.mark.parametrize("path", ["f", "in/f", "deep/../f", "new/deeper/f"])
def test_inside_everything_works(
    path: str, calls: Calls, tools: dict[str, AgentTool], world: Path
) -> None:
    written = calls.text(tools["write"], {"path": path, "content": "one\n2\n"})
    assert written == f"Successfully wrote to {path}"
    calls.text(tools["edit"], {"path": path, "edits": EDITS})
    assert calls.text(tools["read"], {"path": path}) == "two\n2\n"
    assert (world / "allowed" / path).resolve().read_text() == "two\n2\n"


@pytest.mark.parametrize("path", ["../outside/f", "out/f", "out-file", "{}/outside/f", "out/new/f"])
def test_outside_nothing_is_seen_or_changed(
    path: str, calls: Calls, tools: dict[str, AgentTool], world: Path
) -> None:
    path = path.format(world)
    resolved = os.path.normpath(world / "allowed" / path)
    refused = f"Path is outside the allowed directories: {resolved}. Allowed: {world / 'allowed'}"
    assert outcome(calls, tools["read"], {"path": path}) == refused
    assert outcome(calls, tools["edit"], {"path": path, "edits": EDITS}) == (
        f"Could not edit file: {path}. Error: {refused}."
    )
    writing = outcome(calls, tools["write"], {"path": path, "content": "x"})
    assert writing.startswith("Path is outside the allowed directories: ")
    assert (world / "outside/f").read_text() == "one\n"
    assert os.listdir(world / "outside") == ["f"]


def test_whether_a_file_outside_exists_is_not_told(
    calls: Calls, tools: dict[str, AgentTool], world: Path
) -> None:
    there = outcome(calls, tools["read"], {"path": "../outside/f"})
    missing = outcome(calls, tools["read"], {"path": "../outside/g"})
    assert there.replace("/f.", "/g.") == missing


@pytest.mark.parametrize(
    "path", ["@x/../../outside/{}", "../outside/d'{}", "\u00a0/../../outside/{}"]
)
def test_odd_spellings_tell_nothing_of_what_is_outside(
    path: str, calls: Calls, tools: dict[str, AgentTool], world: Path
) -> None:
    """The tool looks which spelling is there, and the answer names the one it chose."""
    (world / "outside/d\u2019f").write_text("one\n")
    more = {"read": {}, "edit": {"edits": EDITS}, "write": {"content": "x"}}
    for name, arguments in more.items():
        there, missing = (
            outcome(calls, tools[name], {"path": path.format(each), **arguments}) for each in "fg"
        )
        assert there.replace("f.", "g.") == missing


def test_odd_spellings_work_inside(calls: Calls, tools: dict[str, AgentTool], world: Path) -> None:
    (world / "allowed/@types").mkdir()
    (world / "allowed/d\u2019or").write_text("gold")
    calls.text(tools["write"], {"path": "@types/x", "content": "typed"})
    assert calls.text(tools["read"], {"path": "@types/x"}) == "typed"
    assert calls.text(tools["read"], {"path": "d'or"}) == "gold"
    assert "outside the allowed directories" in outcome(calls, tools["read"], {"path": "~/f"})


def test_commands_are_refused_unless_allowed(
    calls: Calls, tools: dict[str, AgentTool], world: Path
) -> None:
    assert outcome(calls, tools["bash"], {"command": "echo hi"}).startswith(
        "Commands are not available: files are confined to some directories here"
    )
    options = confined_to([world / "allowed"], {"bash": {"command_prefix": "x=1"}}, allow_bash=True)
    bash = create_coding_tools(world / "allowed", options)[1]
    assert calls.text(bash, {"command": "echo $x"}) == "1\n"


def test_errors_inside_are_the_usual_ones(calls: Calls, world: Path) -> None:
    root = world / "allowed"
    (root / "loop").symlink_to("loop")
    os.mkfifo(root / "pipe")
    tools = {tool.name: tool for tool in create_coding_tools(root, confined_to([root]))}
    plain = {tool.name: tool for tool in create_coding_tools(root)}
    for path in ("nope", "f/x", "loop", "deep", "n" * 300, "f/x/y", "pipe"):
        for name, more in (("read", {}), ("write", {"content": "x"}), ("edit", {"edits": EDITS})):
            arguments = {"path": path, **more}
            ours = outcome(calls, tools[name], arguments)
            assert ours == outcome(calls, plain[name], arguments), (name, path)


def test_directory_swapped_for_a_link_leads_nowhere(run: Callable[..., Any], world: Path) -> None:
    """Somebody keeps exchanging a directory with a link to the outside while we write and read."""
    root, outside = world / "allowed", world / "outside"
    (outside / "f").write_text("secret")
    operations = ConfinedFileOperations(Confinement([root]))
    over = threading.Event()

    def swap() -> None:
        deep, away = root / "deep", root / "away"
        while not over.is_set():
            # Any step may fail, since the tool makes the directory whenever it is missing.
            with suppress(OSError):
                os.rename(deep, away)
                os.symlink(outside, deep)
            if deep.is_symlink():
                deep.unlink()
            shutil.rmtree(deep, ignore_errors=True)
            with suppress(OSError):
                os.rename(away, deep)
            shutil.rmtree(away, ignore_errors=True)

    async def use() -> tuple[int, int]:
        done = refused = 0
        for _ in range(300):
            try:
                await operations.mkdir(f"{root}/deep/sub")
                await operations.write_file(f"{root}/deep/f", b"ours")
                assert await operations.read_file(f"{root}/deep/f") != b"secret"
                done += 1
            except ToolError:
                refused += 1
        # Its own descriptors are not to be taken for ones left behind.
        over.set()
        await asyncio.to_thread(swapper.join)
        return done, refused

    swapper = threading.Thread(target=swap)
    swapper.start()
    try:
        done, refused = run(use())
    finally:
        over.set()
        swapper.join()
    assert done + refused == 300
    assert (outside / "f").read_text() == "secret"
    assert os.listdir(outside) == ["f"]


class Swapping(Confinement):
    """Puts a link to the outside in place of a path once that has been looked up `looks` times."""

    def __init__(self, root: Path, swapped: str, target: Path, looks: int) -> None:
        super().__init__([root])
        self._path, self._target = root / swapped, target
        self.looks_left = looks

    def _locate(self, path: str) -> Any:
        found = super()._locate(path)
        self.looks_left -= 1
        if self.looks_left == 0:
            self._path.rename(f"{self._path}.away")
            self._path.symlink_to(self._target)
        return found


@pytest.mark.parametrize("swapped", ["deep/f", "deep"])
@pytest.mark.parametrize(
    ("name", "looks"),
    [
        *(("access", 1), ("size", 1), ("mkdir", 1)),
        *(("read", 1), ("read", 2), ("stream", 1), ("stream", 2), ("write", 1), ("write", 2)),
        *(("image", 1), ("image", 2), ("image", 3)),
    ],
)
def test_link_put_in_place_between_check_and_use_leads_nowhere(
    name: str, looks: int, swapped: str, run: Callable[..., Any], world: Path
) -> None:
    """The first looks of a call are for what kind of file it is, the last one is for opening it."""
    root, outside = world / "allowed", world / "outside"
    (outside / "f").write_bytes(b"GIF89a secret")
    target = outside / "f" if swapped == "deep/f" else outside
    confinement = Swapping(root, swapped, target, looks)
    operations = ConfinedFileOperations(confinement, writable=True)
    path = f"{root}/deep/f"

    async def stream() -> bytes:
        pieces = operations.create_read_stream(path, AbortController().signal)
        return b"".join([piece async for piece in pieces])

    use = {
        "access": lambda: operations.access(path),
        "read": lambda: operations.read_file(path),
        "stream": stream,
        "size": lambda: operations.file_size(path),
        "image": lambda: operations.detect_image_mime_type(path),
        "write": lambda: operations.write_file(path, b"ours"),
        "mkdir": lambda: operations.mkdir(f"{root}/deep/new" if swapped == "deep" else path),
    }[name]
    with pytest.raises(ToolError):
        run(use())
    assert confinement.looks_left == 0
    assert os.listdir(outside) == ["f"]
    assert (outside / "f").read_bytes() == b"GIF89a secret"


def test_link_put_in_place_after_the_check_is_not_followed(world: Path) -> None:
    confinement = Confinement([world / "allowed"])
    tried: list[str] = []

    def swap_then_open(name: str, folder: int) -> int:
        if not tried:
            (world / "allowed/f").unlink()
            (world / "allowed/f").symlink_to(world / "outside/f")
        tried.append(name)
        return os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=folder)

    with pytest.raises(ToolError, match="outside the allowed directories"):
        confinement.reach(f"{world}/allowed/f", swap_then_open)
    assert tried == ["f"]


def test_special_files_inside_do_not_hang(calls: Calls, world: Path) -> None:
    root = world / "allowed"
    make_socket(root, "s")
    read = create_coding_tools(root, confined_to([root]))[0]
    assert outcome(calls, read, {"path": "s"}) == f"Not a regular file: {root}/s"


def test_operations_that_cannot_resolve_are_refused(world: Path) -> None:
    class Bare:
        async def access(self, path: str) -> None: ...
        async def read_file(self, path: str) -> bytes:
            return b""

    with pytest.raises(TypeError, match=r"^read: Bare cannot be confined\. It needs every method"):
        confined_to([world], {"read": {"operations": Bare()}})


@pytest.mark.parametrize("roots", [[], ["work"], "/work"], ids=str)
def test_roots_of_another_place_that_cannot_be(roots: Any) -> None:
    with pytest.raises(ValueError, match=r"^roots: expected "):
        confined_to(roots, over_prefix(["env", "X=1"]))


def test_agent_in_another_root_edits_there_and_sees_nothing_outside(
    calls: Calls, world: Path
) -> None:
    prefix = in_root(world / "jail") or ["env", "-C", "/"]
    work = "/work" if prefix[0] == "unshare" else str(world / "allowed")
    options = confined_to([work], over_prefix(prefix))
    read, bash, edit, write = create_coding_tools(work, options)
    calls.text(write, {"path": "d/f", "content": "one\n"})
    calls.text(edit, {"path": "d/f", "edits": EDITS})
    assert calls.text(read, {"path": f"{work}/d/f"}) == "two\n"
    around = str(Path("/proc", "self", "root", "etc", "passwd"))
    for path in ("/etc/passwd", "../etc/passwd", around):
        assert "outside the allowed directories" in outcome(calls, read, {"path": path})
    assert "Commands are not available" in outcome(calls, bash, {"command": "cat /etc/passwd"})
