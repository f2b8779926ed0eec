from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pi_agent.types import ToolError
from pi_ai import AbortController, AbortSignal
from pi_tools import LocalFileOperations, create_read_tool

if TYPE_CHECKING:
    from tests.pi_tools.conftest import Calls

LINES_2001 = "\n".join(f"L{number}" for number in range(1, 2002))
LINES_2500 = "".join(f"Line {number}\n" for number in range(1, 2501))


def read(calls: Calls, folder: Path, content: str | bytes, **arguments: Any) -> str:
    data = content.encode() if isinstance(content, str) else content
    (folder / "f").write_bytes(data)
    return calls.text(create_read_tool(folder), {"path": "f", **arguments})


@pytest.mark.parametrize(
    "content",
    ["Hello\nLine 2\nLine 3", "a\r\nb\r\n", "\ufeffhi\n", ""],
    ids=["plain", "crlf", "bom", "empty"],
)
def test_tools_check_1_and_2_text_comes_as_it_is(
    content: str, calls: Calls, tmp_path: Path
) -> None:
    (tmp_path / "f").write_bytes(content.encode())
    result = calls.result(create_read_tool(tmp_path), {"path": "f"})
    assert calls.first_text(result) == content
    assert not isinstance(result.details, dict)


def test_tools_check_1_invalid_utf8_is_replaced(calls: Calls, tmp_path: Path) -> None:
    assert read(calls, tmp_path, b"\x01\x02\xff\xfeA\n\xc3") == "\x01\x02\ufffd\ufffdA\n\ufffd"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"limit": 1}, "a\n\n[2 more lines in file. Use offset=2 to continue.]"),
        ({"limit": 2}, "a\nb\n\n[1 more lines in file. Use offset=3 to continue.]"),
        ({"limit": 3}, "a\nb\n"),
        ({"limit": 2.9}, "a\nb\n\n[1 more lines in file. Use offset=3 to continue.]"),
        ({"offset": 2, "limit": 1}, "b\n\n[1 more lines in file. Use offset=3 to continue.]"),
        ({"offset": 3}, ""),
        ({"offset": 0}, "a\nb\n"),
        ({"offset": -5}, "a\nb\n"),
        ({"offset": 2.5}, "b\n"),
    ],
    ids=str,
)
def test_tools_check_3_offset_and_limit(
    arguments: dict[str, float], text: str, calls: Calls, tmp_path: Path
) -> None:
    assert read(calls, tmp_path, "a\nb\n", **arguments) == text


@pytest.mark.parametrize(
    ("content", "offset", "text"),
    [
        ("", 2, "Offset 2 is beyond end of file (1 lines total)"),
        ("a\nb\n", 4, "Offset 4 is beyond end of file (3 lines total)"),
        ("a\nb\n", 99, "Offset 99 is beyond end of file (3 lines total)"),
    ],
)
def test_tools_check_2_and_3_offset_past_the_end(
    content: str, offset: int, text: str, calls: Calls, tmp_path: Path
) -> None:
    with pytest.raises(ToolError) as caught:
        read(calls, tmp_path, content, offset=offset)
    assert str(caught.value) == text


def test_tools_check_4_two_thousand_lines_fit(calls: Calls, tmp_path: Path) -> None:
    content = "x\n" * 2000
    assert read(calls, tmp_path, content) == content


def test_tools_check_4_one_line_more_is_cut(calls: Calls, tmp_path: Path) -> None:
    (tmp_path / "f").write_text(LINES_2001)
    result = calls.result(create_read_tool(tmp_path), {"path": "f"})
    assert calls.first_text(result) == LINES_2001.removesuffix("\nL2001") + (
        "\n\n[Showing lines 1-2000 of 2001. Use offset=2001 to continue.]"
    )
    assert result.details == {
        "truncation": {
            "truncated": True,
            "truncatedBy": "lines",
            "totalLines": 2001,
            "totalBytes": 10898,
            "outputLines": 2000,
            "outputBytes": 10892,
            "lastLinePartial": False,
            "firstLineExceedsLimit": False,
            "maxLines": 2000,
            "maxBytes": 51200,
        }
    }


@pytest.mark.parametrize(("extra", "total"), [({}, 2101), ({"limit": 2050}, 2050)])
def test_tools_check_5_notice_counts_the_file_and_details_the_selection(
    extra: dict[str, int], total: int, calls: Calls, tmp_path: Path
) -> None:
    (tmp_path / "f").write_text(LINES_2500)
    result = calls.result(create_read_tool(tmp_path), {"path": "f", "offset": 400, **extra})
    assert calls.first_text(result).endswith(
        "Line 2399\n\n[Showing lines 400-2399 of 2501. Use offset=2400 to continue.]"
    )
    assert isinstance(result.details, dict)
    assert result.details["truncation"]["totalLines"] == total


def test_tools_check_6_cut_by_bytes(calls: Calls, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("\n".join(f"Line {n}: " + "x" * 200 for n in range(1, 501)))
    result = calls.result(create_read_tool(tmp_path), {"path": "f"})
    assert calls.first_text(result).endswith(
        "\n\n[Showing lines 1-243 of 500 (50.0KB limit). Use offset=244 to continue.]"
    )
    assert isinstance(result.details, dict)
    truncation = result.details["truncation"]
    assert (truncation["totalBytes"], truncation["outputBytes"]) == (105391, 51164)


@pytest.mark.parametrize(
    ("name", "shown"),
    [("long1.txt", "long1.txt"), ("two words.txt", "'two words.txt'")],
)
def test_tools_check_7_huge_first_line_points_to_sed(
    name: str, shown: str, calls: Calls, tmp_path: Path
) -> None:
    (tmp_path / name).write_text("x" * 60000 + "\nsecond")
    tool = create_read_tool(tmp_path)
    result = calls.result(tool, {"path": name})
    assert calls.first_text(result) == (
        f"[Line 1 is 58.6KB, exceeds 50.0KB limit. Use bash: sed -n '1p' {shown} | head -c 51200]"
    )
    assert isinstance(result.details, dict)
    assert result.details["truncation"]["firstLineExceedsLimit"] is True
    assert calls.text(tool, {"path": name, "offset": 2}) == "second"


def test_sed_hint_for_a_path_no_shell_knows_is_absolute(
    calls: Calls, home: Path, tmp_path: Path
) -> None:
    (home / "long").write_text("x" * 60000)
    text = calls.text(create_read_tool(tmp_path), {"path": "~/long"})
    assert f"sed -n '1p' {home}/long |" in text


def test_tools_check_7_huge_later_line_ends_the_output(calls: Calls, tmp_path: Path) -> None:
    assert read(calls, tmp_path, "first\n" + "y" * 60000 + "\nthird") == (
        "first\n\n[Showing lines 1-1 of 3 (50.0KB limit). Use offset=2 to continue.]"
    )


def test_tools_check_8_exactly_the_byte_cap(calls: Calls, tmp_path: Path) -> None:
    assert read(calls, tmp_path, "x" * 51200) == "x" * 51200
    assert read(calls, tmp_path, "x" * 51200 + "\n") == (
        "x" * 51200 + "\n\n[Showing lines 1-1 of 2. Use offset=2 to continue.]"
    )


class Remote:
    """Operations without any option."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    async def access(self, path: str) -> None:
        self.asked.append(("access", path))

    async def read_file(self, path: str) -> bytes:
        self.asked.append(("read_file", path))
        return b"a\nb\nc\n"


class Streaming(Remote):
    def __init__(self, *pieces: bytes) -> None:
        super().__init__()
        self.pieces = pieces
        self.closed = False

    async def create_read_stream(self, path: str, signal: AbortSignal) -> AsyncIterator[bytes]:
        try:
            for piece in self.pieces:
                await asyncio.sleep(0)
                yield piece
        finally:
            self.closed = True


def test_tools_check_9_operations_get_absolute_paths(calls: Calls) -> None:
    remote = Remote()
    tool = create_read_tool("/remote", operations=remote)
    assert calls.text(tool, {"path": "x/../y.txt", "limit": 1}) == (
        "a\n\n[3 more lines in file. Use offset=2 to continue.]"
    )
    assert remote.asked == [("access", "/remote/y.txt"), ("read_file", "/remote/y.txt")]
    calls.text(tool, {"path": "y"}, host_cwd=Path("/other"))
    assert remote.asked[-1] == ("read_file", "/other/y")


def test_tools_check_9_stream_pieces_may_split_a_character(calls: Calls) -> None:
    tool = create_read_tool("/remote", operations=Streaming(b"h\xc3", b"\xa9\nz"))
    assert calls.text(tool, {"path": "y"}) == "hé\nz"


def test_tools_check_10_limit_below_one_is_one(calls: Calls, tmp_path: Path) -> None:
    assert read(calls, tmp_path, "1\n2\n3", limit=0) == (
        "1\n\n[2 more lines in file. Use offset=2 to continue.]"
    )


@pytest.mark.parametrize(
    ("data", "text"),
    [
        pytest.param(
            b"\x7fELF\x02\x01\x01\x00" * 256, "ELF executable or library, 2.0KB", id="elf"
        ),
        pytest.param(b"a" * 8191 + b"\0", "unknown type, 8.0KB", id="nul at the end of 8 KB"),
        pytest.param("hi".encode("utf-16"), "UTF-16 text, 6B", id="utf-16"),
    ],
)
def test_binary_file_is_named_and_not_shown(
    data: bytes, text: str, calls: Calls, tmp_path: Path
) -> None:
    shown = read(calls, tmp_path, data)
    assert shown == (
        f"[Binary file ({text}): content not shown. Use bash with a program for this type.]"
    )


def test_nul_after_8_kb_is_text(calls: Calls, tmp_path: Path) -> None:
    assert read(calls, tmp_path, b"a" * 8192 + b"\0") == "a" * 8192 + "\0"


def test_binary_stream_is_not_read_on(calls: Calls) -> None:
    remote = Streaming(b"\0", b"never")
    text = calls.text(create_read_tool("/r", operations=remote), {"path": "y"})
    assert text.startswith("[Binary file (unknown type): ")
    assert remote.closed


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("nope", "ENOENT: no such file or directory, access '{}/nope'"),
        ("file/x", "ENOTDIR: not a directory, access '{}/file/x'"),
        ("loop", "ELOOP: too many symbolic links encountered, access '{}/loop'"),
        (".", "EISDIR: illegal operation on a directory, read"),
    ],
)
def test_file_system_errors_have_upstreams_words(
    path: str, text: str, calls: Calls, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(ToolError) as caught:
        calls.text(create_read_tool(tmp_path), {"path": path})
    assert str(caught.value) == text.format(tmp_path)


def test_wrong_arguments_are_an_error_for_the_model(calls: Calls, tmp_path: Path) -> None:
    with pytest.raises(ToolError, match=r"Invalid arguments: .*path"):
        calls.text(create_read_tool(tmp_path), {"offset": 1})


def test_proc_files_without_a_size_are_read(calls: Calls) -> None:
    if os.path.exists("/proc/self/status"):
        assert "Pid:" in calls.text(create_read_tool("/proc/self"), {"path": "status"})


def test_tools_spec_4_1_a_file_that_grows_is_read_up_to_the_size_it_had(
    run: Callable[..., Any], tmp_path: Path
) -> None:
    file = tmp_path / "log"
    file.write_bytes(b"a" * 1_000_000)

    async def sizes() -> int:
        total = 0
        stream = LocalFileOperations().create_read_stream(str(file), AbortController().signal)
        async for piece in stream:
            total += len(piece)
            with open(file, "ab") as writer:
                writer.write(b"b" * len(piece))
        return total

    assert run(sizes()) == 1_000_000


def test_read_with_a_set_signal_does_nothing(calls: Calls) -> None:
    controller = AbortController()
    controller.abort()
    remote = Remote()
    with pytest.raises(ToolError) as caught:
        calls.text(
            create_read_tool("/r", operations=remote), {"path": "f"}, signal=controller.signal
        )
    assert str(caught.value) == "Operation aborted"
    assert remote.asked == []


def test_abort_ends_a_hanging_remote_read_at_once(calls: Calls, run: Callable[..., Any]) -> None:
    controller = AbortController()

    class Hanging(Remote):
        async def read_file(self, path: str) -> bytes:
            await asyncio.Event().wait()
            raise AssertionError

    async def abort_soon() -> None:
        asyncio.get_running_loop().call_later(0.05, controller.abort)
        await calls.start(
            create_read_tool("/r", operations=Hanging()), {"path": "f"}, signal=controller.signal
        )

    with pytest.raises(ToolError, match=r"^Operation aborted$"):
        run(abort_soon())
