from __future__ import annotations

import asyncio
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pi_agent.types import AgentTool, ToolError
from pi_ai import AbortController
from pi_tools import (
    CommandPrefix,
    PrefixedFileOperations,
    create_all_tools,
    create_coding_tools,
    over_prefix,
)
from support.places import bound_by_permissions, in_root, make_socket

if TYPE_CHECKING:
    from tests.pi_tools.conftest import Calls

WORDS = ["env", "OVER_THERE=yes"]
LINE = ["sh", "-c", 'echo welcome; exec sh -c "$*"', "sh"]
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000" + "1f15c4890000000d49444154"
)
ODD_NAMES = ['it\'s $HOME `x` \\ "q"', "two\nlines", "ends in newline\n", "-n", " ", "é€😀", "*"]


@pytest.fixture(params=["words", "line"])
def tools(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, AgentTool]:
    line = request.param == "line"
    options = over_prefix(LINE if line else WORDS, shell_string=line)
    return {tool.name: tool for tool in create_coding_tools(tmp_path, options)}


def files(**options: Any) -> PrefixedFileOperations:
    return PrefixedFileOperations(CommandPrefix(WORDS), **options)


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names_go_through(
    name: str, calls: Calls, tools: dict[str, AgentTool], tmp_path: Path
) -> None:
    path = f"d/{name}/{name}"
    calls.text(tools["write"], {"path": path, "content": "one\ntwo\n"})
    edits = [{"oldText": "two", "newText": "2"}]
    calls.text(tools["edit"], {"path": path, "edits": edits})
    assert calls.text(tools["read"], {"path": path}) == "one\n2\n"
    assert (tmp_path / "d" / name / name).read_bytes() == b"one\n2\n"
    assert os.listdir(tmp_path / "d" / name) == [name]


@given(st.binary(max_size=300))
@settings(max_examples=15, suppress_health_check=list(HealthCheck))
def test_bytes_go_through_unchanged(tmp_path: Path, data: bytes) -> None:
    path = str(tmp_path / "f")

    async def there_and_back() -> bytes:
        await files().write_file(path, data)
        return await files().read_file(path)

    assert asyncio.run(there_and_back()) == data


def test_large_file_is_streamed_and_can_be_left(run: Callable[..., Any], tmp_path: Path) -> None:
    size = 30_000_000
    with open(tmp_path / "big", "wb") as file:
        file.truncate(size)
    signal = AbortController().signal

    async def read(stop_after: int) -> int:
        total = 0
        stream = files().create_read_stream(str(tmp_path / "big"), signal)
        async for data in stream:
            total += len(data)
            if total > stop_after:
                await stream.aclose()
                break
        return total

    assert run(read(size)) == size
    assert 0 < run(read(0)) < 1_000_000


def test_image_is_recognized(calls: Calls, tools: dict[str, AgentTool], tmp_path: Path) -> None:
    (tmp_path / "small.txt").write_bytes(PNG)
    (tmp_path / "fake.png").write_text("text")
    assert calls.text(tools["read"], {"path": "small.txt"}).startswith(
        "Read image file [image/png]"
    )
    assert calls.text(tools["read"], {"path": "fake.png"}) == "text"


def test_binary_file_is_named_with_its_size(
    calls: Calls, tools: dict[str, AgentTool], tmp_path: Path
) -> None:
    (tmp_path / "f").write_bytes(b"\x7fELF\0" * 1000)
    assert calls.text(tools["read"], {"path": "f"}) == (
        "[Binary file (ELF executable or library, 4.9KB): content not shown. "
        "Use bash with a program for this type.]"
    )


READ_ERRORS = {
    "nope": "ENOENT: no such file or directory, access '{}/nope'",
    "file/x": "ENOTDIR: not a directory, access '{}/file/x'",
    "loop": "ELOOP: too many symbolic links encountered, access '{}/loop'",
    "dir": "EISDIR: illegal operation on a directory, read",
    "pipe": "Not a regular file: {}/pipe",
    "socket": "Not a regular file: {}/socket",
    "/dev/zero": "Not a regular file: /dev/zero",
    "n" * 300: "ENAMETOOLONG: name too long, access '{}/" + "n" * 300 + "'",
}
WRITE_ERRORS = {
    "dir": "EISDIR: illegal operation on a directory, open '{}/dir'",
    "file/x": "EEXIST: file already exists, mkdir '{}/file'",
    "file/x/y": "ENOTDIR: not a directory, mkdir '{}/file/x'",
    "loop": "ELOOP: too many symbolic links encountered, open '{}/loop'",
    "pipe": "Not a regular file: {}/pipe",
    "/dev/stdin": "Not a regular file: /dev/stdin",
    "/dev/null": "Not a regular file: /dev/null",
    "n" * 300: "ENAMETOOLONG: name too long, open '{}/" + "n" * 300 + "'",
}


def make_oddities(folder: Path) -> None:
    (folder / "dir").mkdir()
    (folder / "file").write_text("x")
    (folder / "loop").symlink_to(folder / "loop")
    os.mkfifo(folder / "pipe")
    make_socket(folder, "socket")


def short(path: str) -> str:
    return path[:12]


@pytest.mark.parametrize("path", READ_ERRORS, ids=short)
def test_read_errors_have_the_words_of_local_ones(
    path: str, calls: Calls, tools: dict[str, AgentTool], tmp_path: Path
) -> None:
    make_oddities(tmp_path)
    with pytest.raises(ToolError) as caught:
        calls.text(tools["read"], {"path": path})
    assert str(caught.value) == READ_ERRORS[path].format(tmp_path)


@pytest.mark.parametrize("path", WRITE_ERRORS, ids=short)
def test_write_errors_have_the_words_of_local_ones(
    path: str, calls: Calls, tools: dict[str, AgentTool], tmp_path: Path
) -> None:
    make_oddities(tmp_path)
    with pytest.raises(ToolError) as caught:
        calls.text(tools["write"], {"path": path, "content": "x"})
    assert str(caught.value) == WRITE_ERRORS[path].format(tmp_path)


def test_tools_check_46_edit_of_a_missing_file(calls: Calls, tools: dict[str, AgentTool]) -> None:
    edits = [{"oldText": "a", "newText": "b"}]
    with pytest.raises(ToolError) as caught:
        calls.text(tools["edit"], {"path": "nope.txt", "edits": edits})
    assert str(caught.value) == "Could not edit file: nope.txt. Error code: ENOENT."


def test_forbidden_file_is_named(calls: Calls, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x")
    (tmp_path / "f").chmod(0)
    read, _, _, write = create_coding_tools(tmp_path, over_prefix(WORDS))
    with bound_by_permissions(tmp_path):
        with pytest.raises(ToolError) as reading:
            calls.text(read, {"path": "f"})
        with pytest.raises(ToolError) as writing:
            calls.text(write, {"path": "f", "content": "y"})
    assert str(reading.value) == f"EACCES: permission denied, access '{tmp_path}/f'"
    assert str(writing.value) == f"EACCES: permission denied, open '{tmp_path}/f'"


def test_link_mode_identity_and_hard_link_are_kept(
    calls: Calls, tools: dict[str, AgentTool], tmp_path: Path
) -> None:
    script, link, twin = tmp_path / "script", tmp_path / "link", tmp_path / "twin"
    script.write_text("a longer content than the new one")
    script.chmod(0o755)
    twin.hardlink_to(script)
    (tmp_path / "d").mkdir()
    (tmp_path / "d/hop").symlink_to("../script")
    link.symlink_to("d/hop")
    inode = script.stat().st_ino
    calls.text(tools["write"], {"path": "link", "content": "new"})
    assert link.is_symlink()
    assert (script.read_text(), twin.read_text(), script.stat().st_ino) == ("new", "new", inode)
    assert stat.S_IMODE(script.stat().st_mode) == 0o755


def test_broken_link_is_written_through(
    calls: Calls, tools: dict[str, AgentTool], tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to("target\n")
    calls.text(tools["write"], {"path": "link", "content": "new"})
    assert (tmp_path / "target\n").read_text() == "new"
    assert stat.S_IMODE((tmp_path / "target\n").stat().st_mode) == 0o666 & ~current_umask()


def current_umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_connection_that_breaks_in_the_middle_loses_nothing(
    calls: Calls, run: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, spool = tmp_path / "f", tmp_path / "spool"
    file.write_text("old")
    spool.mkdir()
    cut = ["sh", "-c", f'head -c 100000 | TMPDIR={spool} "$@"', "sh"]
    write = create_coding_tools(tmp_path, over_prefix(cut))[3]
    with pytest.raises(ToolError, match="did not arrive whole and nothing was changed"):
        calls.text(write, {"path": "f", "content": "x" * 200_000})
    assert file.read_text() == "old"
    assert os.listdir(spool) == []


def test_place_that_does_not_answer_is_given_up(run: Callable[..., Any], tmp_path: Path) -> None:
    silent = PrefixedFileOperations(CommandPrefix(["sh", "-c", "sleep 30"]), timeout=0.2)
    with pytest.raises(ToolError, match=r"^No answer from sh -c 'sleep 30' within 0.2 seconds$"):
        run(silent.access(str(tmp_path)))


@pytest.mark.parametrize("timeout", [0, None])
def test_place_has_all_the_time_without_a_limit(
    timeout: float | None, calls: Calls, tmp_path: Path
) -> None:
    (tmp_path / "f").write_text("old\n")
    tools = create_all_tools(tmp_path, over_prefix(WORDS, timeout=timeout))
    assert calls.text(tools["read"], {"path": "f"}) == "old\n"
    assert calls.text(tools["grep"], {"pattern": "old", "path": "f"}) == "f:1: old"


@pytest.mark.parametrize("timeout", [-1, float("nan"), float("inf"), 1e10])
def test_timeout_that_is_none_is_refused(timeout: float) -> None:
    with pytest.raises(ValueError, match=r"^timeout: expected seconds, or 0 or None for no limit"):
        over_prefix(WORDS, timeout=timeout)


def test_abort_ends_a_read_that_hangs(calls: Calls, run: Callable[..., Any]) -> None:
    read = create_coding_tools("/r", over_prefix(["sh", "-c", "sleep 30"]))[0]
    controller = AbortController()

    async def abort_soon() -> None:
        asyncio.get_running_loop().call_later(0.1, controller.abort)
        await calls.start(read, {"path": "f"}, signal=controller.signal)

    with pytest.raises(ToolError, match=r"^Operation aborted$"):
        run(abort_soon())


@pytest.mark.parametrize(
    ("argv", "shown"),
    [
        (["sh", "-c", "echo refused >&2; exit 255"], "failed with exit code 255: refused"),
        (["no-such-client"], "spawn no-such-client ENOENT"),
    ],
    ids=["not reached", "no client"],
)
def test_place_that_cannot_be_reached(argv: list[str], shown: str, calls: Calls) -> None:
    with pytest.raises(ToolError) as caught:
        calls.text(create_coding_tools("/r", over_prefix(argv))[0], {"path": "f"})
    assert str(caught.value).endswith(shown)


@pytest.mark.parametrize("path", ["a\0b", "\ud83d"], ids=["nul", "surrogate"])
def test_path_no_system_call_takes(path: str, run: Callable[..., Any]) -> None:
    with pytest.raises(ToolError, match="EINVAL"):
        run(files().access(f"/{path}"))


def test_name_that_is_no_utf_8(run: Callable[..., Any], tmp_path: Path) -> None:
    if sys.platform == "darwin":
        return  # Names have to be UTF-8 there.
    path = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9")
    run(files().write_file(path, b"x"))
    assert run(files().read_file(path)) == b"x"
    assert run(files().real_path(path)) == path


def test_real_path_resolves_what_there_is(run: Callable[..., Any], tmp_path: Path) -> None:
    folder = tmp_path.resolve()
    (folder / "real/deep").mkdir(parents=True)
    (folder / "real/f").write_text("")
    (folder / "link").symlink_to("real")
    (folder / "broken").symlink_to("real/new/name")
    (folder / "up").symlink_to("link/deep/../f")
    (folder / "loop").symlink_to("loop")

    def real(path: str) -> str:
        return run(files().real_path(f"{folder}/{path}"))

    assert run(files().real_path("/")) == "/"
    for path in ("link/f", "link/new\n/x", "broken", "broken/x", "up", "real/f/x", "link"):
        assert real(path) == os.path.realpath(folder / path), path
    with pytest.raises(ToolError, match="ELOOP"):
        real("loop")


def test_home_and_odd_spellings_are_those_of_the_other_place(
    calls: Calls, home: Path, tmp_path: Path
) -> None:
    there = tmp_path / "there"
    (there / "@types").mkdir(parents=True)
    (there / "d\u2019or").write_text("gold")
    (there / "@types/x").write_text("typed")
    (home / "f").write_text("here")
    tools = create_all_tools("/no/such/here", over_prefix(["env", f"HOME={there}"]))
    written = calls.text(tools["write"], {"path": "~/@types/new", "content": "x"})
    assert written == "Successfully wrote to ~/@types/new"
    assert sorted(os.listdir(there / "@types")) == ["new", "x"]
    edits = [{"oldText": "typed", "newText": "edited"}]
    calls.text(tools["edit"], {"path": "~/@types/x", "edits": edits})
    assert calls.text(tools["read"], {"path": "@~/@types/x"}) == "edited"
    assert calls.text(tools["read"], {"path": "~/d'or"}) == "gold"
    assert calls.text(tools["read"], {"path": "d'or"}, host_cwd=there) == "gold"
    assert calls.text(tools["ls"], {"path": "~"}) == "@types/\nd\u2019or"
    assert calls.text(tools["ls"], {"path": "@types"}, host_cwd=there) == "new\nx"
    assert "@types/x:1: edited" in calls.text(tools["grep"], {"pattern": "edited", "path": "~"})
    assert "@types/x" in calls.text(tools["find"], {"pattern": "x", "path": "~"})
    assert os.listdir(home) == ["f"]


@pytest.mark.parametrize("shown", ["", "not/absolute"])
def test_place_without_a_home_directory(shown: str, calls: Calls) -> None:
    read = create_coding_tools("/", over_prefix(["env", f"HOME={shown}"]))[0]
    with pytest.raises(ToolError) as caught:
        calls.text(read, {"path": "~/f"})
    assert str(caught.value) == (
        f"There is no home directory over env HOME={shown}: HOME is {shown!r} there. "
        "Give an absolute path instead of ~"
    )


def test_broken_link_there_is_a_name_that_is_taken(run: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "broken").symlink_to("nowhere")
    taken = [run(files().exists(str(tmp_path / name))) for name in ("broken", ".", "none", "n/o")]
    assert taken == [True, True, False, False]


def test_agent_in_another_root_sees_that_root(calls: Calls, tmp_path: Path) -> None:
    outside = tmp_path / "outside.txt"
    outside.write_text("secret")
    prefix = in_root(tmp_path / "root")
    if prefix is None:
        return  # This machine has no namespaces; the other tests use prefixes it does have.
    read, bash, edit, write = create_coding_tools("/work", over_prefix(prefix))
    calls.text(write, {"path": "d/f.txt", "content": "one\n"})
    calls.text(edit, {"path": "d/f.txt", "edits": [{"oldText": "one", "newText": "1"}]})
    assert (tmp_path / "root/work/d/f.txt").read_text() == "1\n"
    assert calls.text(bash, {"command": "pwd; cat d/f.txt"}) == "/work\n1\n"
    for path in (str(outside), f"../../../{outside}"):
        with pytest.raises(ToolError, match="ENOENT"):
            calls.text(read, {"path": path})
    assert "No such file" in calls.text(bash, {"command": f"cat {outside}"})
