from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pi_agent.types import ToolError
from pi_ai import AbortController
from pi_tools import create_write_tool

if TYPE_CHECKING:
    from tests.pi_tools.conftest import Calls


def test_tools_check_20_write_makes_parents(calls: Calls, tmp_path: Path) -> None:
    result = calls.result(create_write_tool(tmp_path), {"path": "x/y/z.txt", "content": ""})
    assert calls.first_text(result) == "Successfully wrote to x/y/z.txt"
    assert not isinstance(result.details, dict)
    assert (tmp_path / "x/y/z.txt").read_bytes() == b""


def test_tools_check_20_at_sign_is_stripped_but_shown(calls: Calls, tmp_path: Path) -> None:
    text = calls.text(create_write_tool(tmp_path), {"path": "@q.txt", "content": "x"})
    assert text == "Successfully wrote to @q.txt"
    assert (tmp_path / "q.txt").read_text() == "x"


def test_tools_check_20_link_and_mode_are_kept(calls: Calls, tmp_path: Path) -> None:
    script, link = tmp_path / "script", tmp_path / "link"
    script.write_text("a longer content than the new one")
    script.chmod(0o755)
    link.symlink_to(script)
    inode = script.stat().st_ino
    calls.text(create_write_tool(tmp_path), {"path": "link", "content": "new"})
    assert link.is_symlink()
    assert (script.read_text(), script.stat().st_ino) == ("new", inode)
    assert stat.S_IMODE(script.stat().st_mode) == 0o755


def test_tools_check_20_set_signal_writes_nothing(calls: Calls, tmp_path: Path) -> None:
    controller = AbortController()
    controller.abort()
    with pytest.raises(ToolError, match=r"^Operation aborted$"):
        calls.text(
            create_write_tool(tmp_path),
            {"path": "f", "content": "x"},
            signal=controller.signal,
        )
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("content", ["a\r\nb\rc\n", "\ufeffx", "é€😀"])
def test_content_is_written_as_it_is(content: str, calls: Calls, tmp_path: Path) -> None:
    calls.text(create_write_tool(tmp_path), {"path": "f", "content": content})
    assert (tmp_path / "f").read_bytes() == content.encode()


def test_lone_surrogate_becomes_a_replacement_character(calls: Calls, tmp_path: Path) -> None:
    calls.text(create_write_tool(tmp_path), {"path": "f", "content": "a\ud83d"})
    assert (tmp_path / "f").read_bytes() == "a\ufffd".encode()


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("dir", "EISDIR: illegal operation on a directory, open '{}/dir'"),
        ("file/x", "EEXIST: file already exists, mkdir '{}/file'"),
        ("file/x/y", "ENOTDIR: not a directory, mkdir '{}/file/x'"),
        ("n" * 300, "ENAMETOOLONG: name too long, open '{}/" + "n" * 300 + "'"),
    ],
)
def test_write_errors(path: str, text: str, calls: Calls, tmp_path: Path) -> None:
    (tmp_path / "dir").mkdir()
    (tmp_path / "file").write_text("x")
    with pytest.raises(ToolError) as caught:
        calls.text(create_write_tool(tmp_path), {"path": path, "content": "x"})
    assert str(caught.value) == text.format(tmp_path)


def test_trailing_slash_is_dropped(calls: Calls, tmp_path: Path) -> None:
    calls.text(create_write_tool(tmp_path), {"path": "new/", "content": "x"})
    assert (tmp_path / "new").is_file()


class Slow:
    """Logs when a write starts and ends."""

    def __init__(self, **seconds: float) -> None:
        self.seconds = seconds
        self.log: list[str] = []
        self.started = asyncio.Event()

    async def mkdir(self, path: str) -> None:
        await asyncio.sleep(0)

    async def write_file(self, path: str, data: bytes) -> None:
        name = data.decode()
        self.log.append(f"start {name}")
        self.started.set()
        await asyncio.sleep(self.seconds.get(f"s{name}", 0.01))
        self.log.append(f"end {name}")


def test_tools_check_21_one_writer_per_file_in_order(calls: Calls, run: Any) -> None:
    slow = Slow(s1=0.04, s2=0.08, s3=0.08)
    tool = create_write_tool("/r", operations=slow)

    async def together() -> None:
        await asyncio.gather(
            calls.start(tool, {"path": "same.txt", "content": "1"}),
            calls.start(tool, {"path": "./same.txt", "content": "2"}),
            calls.start(tool, {"path": "other.txt", "content": "3"}),
        )

    run(together())
    assert slow.log == ["start 1", "start 3", "end 1", "start 2", "end 3", "end 2"]


def test_tools_check_22_abort_waits_for_the_write_and_frees_the_queue(
    calls: Calls, run: Any
) -> None:
    slow = Slow()
    tool = create_write_tool("/r", operations=slow)
    controller = AbortController()

    async def first() -> None:
        try:
            await calls.start(tool, {"path": "f", "content": "1"}, signal=controller.signal)
        except ToolError as error:
            slow.log.append(f"reject {error}")

    async def scene() -> None:
        one = asyncio.create_task(first())
        two = asyncio.create_task(calls.start(tool, {"path": "f", "content": "2"}))
        await slow.started.wait()
        slow.log.append("abort")
        controller.abort()
        await asyncio.gather(one, two)

    run(scene())
    assert slow.log == [
        "start 1",
        "abort",
        "end 1",
        "reject Operation aborted",
        "start 2",
        "end 2",
    ]


def test_cancelled_write_is_not_torn_and_keeps_its_turn(calls: Calls, run: Any) -> None:
    slow = Slow()
    tool = create_write_tool("/r", operations=slow)

    async def scene() -> None:
        one = asyncio.create_task(calls.start(tool, {"path": "f", "content": "1"}))
        two = asyncio.create_task(calls.start(tool, {"path": "f", "content": "2"}))
        await slow.started.wait()
        one.cancel()
        await two
        assert one.cancelled()

    run(scene())
    assert slow.log == ["start 1", "end 1", "start 2", "end 2"]
