from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pi_agent.types import ToolError
from pi_ai import AbortController
from pi_tools import create_ls_tool
from support.search import write_tree

if TYPE_CHECKING:
    from tests.pi_tools.conftest import Calls


def listing(calls: Calls, folder: Path, **arguments: Any) -> str:
    return calls.text(create_ls_tool(folder), arguments)


def test_tools_check_67_entries_are_sorted(calls: Calls, tmp_path: Path) -> None:
    write_tree(tmp_path, {".hidden-dir/": "", ".hidden-file": "", "B.txt": "", "a.txt": ""})
    result = calls.result(create_ls_tool(tmp_path), {})
    assert calls.first_text(result) == ".hidden-dir/\n.hidden-file\na.txt\nB.txt"
    assert not isinstance(result.details, dict)


def test_case_decides_among_equals(calls: Calls, tmp_path: Path) -> None:
    write_tree(tmp_path, dict.fromkeys(["b", "a", "B", "A", "Ä", "_"], ""))
    assert listing(calls, tmp_path).split("\n") == ["_", "A", "a", "B", "b", "Ä"]


def test_tools_check_67_links(calls: Calls, tmp_path: Path) -> None:
    write_tree(tmp_path, {"dir/": "", "file": ""})
    (tmp_path / "to-dir").symlink_to("dir")
    (tmp_path / "to-file").symlink_to("file")
    (tmp_path / "broken").symlink_to("nowhere")
    assert listing(calls, tmp_path) == "dir/\nfile\nto-dir/\nto-file"
    assert listing(calls, tmp_path, path="to-dir") == "(empty directory)"


def test_tools_check_67_nothing_to_show(calls: Calls, tmp_path: Path) -> None:
    assert listing(calls, tmp_path) == "(empty directory)"
    (tmp_path / "broken").symlink_to("nowhere")
    assert listing(calls, tmp_path, path="") == "(empty directory)"


@pytest.mark.parametrize(
    ("limit", "notice"),
    [
        (2, "[2 entries limit reached. Use limit=4 for more]"),
        (2.9, "[2 entries limit reached. Use limit=4 for more]"),
        (0, "[1 entries limit reached. Use limit=2 for more]"),
        (3, ""),
        (1e308, ""),
    ],
)
def test_tools_check_67_limit(limit: float, notice: str, calls: Calls, tmp_path: Path) -> None:
    write_tree(tmp_path, dict.fromkeys("abc", ""))
    result = calls.result(create_ls_tool(tmp_path), {"limit": limit})
    shown, _, said = calls.first_text(result).partition("\n\n")
    assert said == notice
    count = max(1, int(limit)) if notice else 3
    assert shown == "\n".join("abc"[:count])
    details = result.details if isinstance(result.details, dict) else None
    assert details == ({"entryLimitReached": count} if notice else None)


def test_tools_check_67_the_limit_counts_what_is_left(calls: Calls, tmp_path: Path) -> None:
    """An entry that cannot be shown is an entry all the same."""
    (tmp_path / "a").touch()
    (tmp_path / "b").symlink_to("nowhere")
    notice = "[1 entries limit reached. Use limit=2 for more]"
    assert listing(calls, tmp_path, limit=1) == f"a\n\n{notice}"


def test_tools_check_67_default_limit(calls: Calls, tmp_path: Path) -> None:
    write_tree(tmp_path, {f"{number:03}": "" for number in range(501)})
    text = listing(calls, tmp_path)
    assert text.endswith("\n499\n\n[500 entries limit reached. Use limit=1000 for more]")


def test_the_answer_is_capped_by_bytes(calls: Calls, tmp_path: Path) -> None:
    write_tree(tmp_path, {f"{number:03}{'x' * 201}": "" for number in range(300)})
    result = calls.result(create_ls_tool(tmp_path), {"limit": 260})
    text = calls.first_text(result)
    assert text.endswith(
        "\n\n[260 entries limit reached. Use limit=520 for more. 50.0KB limit reached]"
    )
    assert isinstance(result.details, dict)
    assert list(result.details) == ["truncation", "entryLimitReached"]


def test_tools_check_67_errors(calls: Calls, tmp_path: Path) -> None:
    write_tree(tmp_path, {"file": ""})
    for path, reason in (
        ("file", "Not a directory"),
        ("no", "Path not found"),
        ("file/x", "Path not found"),
        ("n" * 300, "Path not found"),
    ):
        with pytest.raises(ToolError) as caught:
            listing(calls, tmp_path, path=path)
        assert str(caught.value) == f"{reason}: {tmp_path}/{path}"


def test_odd_names_and_kinds(calls: Calls, tmp_path: Path) -> None:
    write_tree(tmp_path, {"two\nlines/": ""})
    with open(os.fsencode(tmp_path) + b"/caf\xe9", "wb"):
        pass
    os.mkfifo(tmp_path / "pipe")
    assert listing(calls, tmp_path) == "caf\ufffd\npipe\ntwo\\nlines/"


class Remote:
    """A directory that is elsewhere. `failing`: the operation that does not work."""

    def __init__(self, failing: str = "") -> None:
        self._failing = failing

    async def exists(self, path: str) -> bool:
        self._check("exists")
        return True

    async def is_directory(self, path: str) -> bool:
        self._check(path)
        return path in {"/far", "/far/sub"}

    async def readdir(self, path: str) -> list[str]:
        self._check("readdir")
        return ["sub", "file", "gone"]

    def _check(self, step: str) -> None:
        if step == self._failing:
            raise ConnectionError("line is dead")


@pytest.mark.parametrize(
    ("failing", "text"),
    [("", "file\ngone\nsub/"), ("/far/gone", "file\nsub/")],
    ids=["all well", "one is gone"],
)
def test_custom_operations(failing: str, text: str, calls: Calls) -> None:
    tool = create_ls_tool("/", operations=Remote(failing))
    assert calls.text(tool, {"path": "far"}) == text


@pytest.mark.parametrize(
    ("failing", "text"),
    [("readdir", "Cannot read directory: line is dead"), ("exists", "line is dead")],
)
def test_custom_operations_that_fail(failing: str, text: str, calls: Calls) -> None:
    with pytest.raises(ToolError) as caught:
        calls.text(create_ls_tool("/far", operations=Remote(failing)), {})
    assert str(caught.value) == text


def test_abort(calls: Calls, tmp_path: Path) -> None:
    controller = AbortController()
    controller.abort()
    with pytest.raises(ToolError, match=r"^Operation aborted$"):
        calls.text(create_ls_tool(tmp_path), {}, signal=controller.signal)
