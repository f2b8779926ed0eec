from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pi_agent.types import AgentTool, ToolError
from pi_ai import AbortController
from pi_tools import SearchEngine, create_find_tool
from support.search import FIND_ENGINES, write_tree

if TYPE_CHECKING:
    from tests.pi_tools.conftest import Calls

TREE = {
    "visible.txt": "",
    ".secret/hidden.txt": "",
    "src/a.ts": "",
    "src/deep/b.spec.ts": "",
    "src/deep/C.TS": "",
    "ignored.txt": "",
    ".gitignore": "ignored.txt\n",
}


@pytest.fixture(params=FIND_ENGINES)
def engine(request: pytest.FixtureRequest) -> SearchEngine:
    return request.param


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A directory to search, in a repository, since an old fd can search no other."""
    (tmp_path / ".git").mkdir()
    return tmp_path


@pytest.fixture
def find(calls: Calls, folder: Path, engine: SearchEngine) -> Callable[..., str]:
    """Search `folder`; the text of the answer."""
    tool = create_find_tool(folder, engine=engine)
    return lambda pattern, **arguments: calls.text(tool, {"pattern": pattern, **arguments})


def lines(text: str) -> set[str]:
    return set(text.splitlines())


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*.txt", {"visible.txt", ".secret/hidden.txt"}),
        ("src/**/*.ts", {"src/a.ts", "src/deep/b.spec.ts", "src/deep/C.TS"}),
        ("**/*.ts", {"src/a.ts", "src/deep/b.spec.ts", "src/deep/C.TS"}),
        ("src/*.ts", {"src/a.ts"}),
        ("./src/*.ts", {"src/a.ts"}),
        ("*.TS", {"src/deep/C.TS"}),
        ("*.spec.{ts,js}", {"src/deep/b.spec.ts"}),
        ("[a-b].ts", {"src/a.ts"}),
        ("?.ts", {"src/a.ts", "src/deep/C.TS"}),
        ("deep", {"src/deep/"}),
        ("src/**", {"src/a.ts", "src/deep/", "src/deep/b.spec.ts", "src/deep/C.TS"}),
        ("/src/*.ts", {"No files found matching pattern"}),
        ("ignored.txt", {"No files found matching pattern"}),
        (".git", {"No files found matching pattern"}),
        ("-x", {"No files found matching pattern"}),
    ],
)
def test_tools_check_65_patterns(
    pattern: str, found: set[str], find: Callable[..., str], folder: Path
) -> None:
    write_tree(folder, TREE)
    assert lines(find(pattern)) == found


def test_tools_check_65_ignore_files_count_outside_repositories(
    find: Callable[..., str], folder: Path
) -> None:
    write_tree(folder, TREE)
    (folder / ".git").rmdir()
    assert lines(find("*.txt")) == {"visible.txt", ".secret/hidden.txt"}
    assert lines(find("src/*.ts")) == {"src/a.ts"}


def test_an_empty_pattern_finds_everything(find: Callable[..., str], folder: Path) -> None:
    write_tree(folder, {"a/b": ""})
    assert lines(find("")) == {"a/", "a/b"}


def test_tools_check_65_paths(find: Callable[..., str], folder: Path) -> None:
    write_tree(folder, TREE)
    assert lines(find("*.ts", path="src")) == {"a.ts", "deep/b.spec.ts", "deep/C.TS"}
    for path, reason in (("no", "Path not found"), ("visible.txt", "Not a directory")):
        with pytest.raises(ToolError) as caught:
            find("*", path=path)
        assert str(caught.value) == f"{reason}: {folder}/{path}"


def test_a_search_inside_git_works(find: Callable[..., str], folder: Path) -> None:
    write_tree(folder, {".git/hooks/update": "", "update": ""})
    assert find("update") == "update"
    assert find("update", path=".git") == "hooks/update"


def test_python_sorts_by_path(calls: Calls, tmp_path: Path) -> None:
    write_tree(tmp_path, dict.fromkeys(["a/z", "a.txt", "a0", "B", "b/c/d"], ""))
    text = calls.text(create_find_tool(tmp_path, engine="python"), {"pattern": "*"})
    assert text.splitlines() == ["B", "a.txt", "a/", "a/z", "a0", "b/", "b/c/", "b/c/d"]


@pytest.mark.parametrize(
    ("arguments", "notice"),
    [
        ({"limit": 1}, "[1 results limit reached. Use limit=2 for more, or refine pattern]"),
        ({"limit": 0}, "[1 results limit reached. Use limit=2 for more, or refine pattern]"),
        ({"limit": 2}, ""),
        ({"limit": 2.9}, ""),
        ({"limit": 1e308}, ""),
        ({}, ""),
    ],
    ids=str,
)
def test_tools_check_66_limit(
    arguments: dict[str, Any], notice: str, calls: Calls, folder: Path, engine: SearchEngine
) -> None:
    write_tree(folder, {"one.txt": "", "two.txt": ""})
    tool = create_find_tool(folder, engine=engine)
    result = calls.result(tool, {"pattern": "*.txt", **arguments})
    shown, _, said = calls.first_text(result).partition("\n\n")
    assert said == notice
    assert len(shown.splitlines()) == (1 if notice else 2)
    details = result.details if isinstance(result.details, dict) else None
    assert details == ({"resultLimitReached": 1} if notice else None)


def test_the_answer_is_capped_by_bytes(calls: Calls, folder: Path, engine: SearchEngine) -> None:
    write_tree(folder, {f"{number:03}-{'x' * 200}": "" for number in range(300)})
    result = calls.result(create_find_tool(folder, engine=engine), {"pattern": "*-x*"})
    text = calls.first_text(result)
    assert text.endswith("\n\n[50.0KB limit reached]")
    assert isinstance(result.details, dict)
    truncation: Any = result.details["truncation"]
    assert (truncation["totalLines"], truncation["outputLines"]) == (300, 249)


class Globs:
    """Operations that find what they are told to."""

    def __init__(self, *found: str) -> None:
        self.asked: list[tuple[str, str, Sequence[str], int]] = []
        self._found = list(found)

    async def exists(self, path: str) -> bool:
        return path != "/missing"

    async def glob(self, pattern: str, cwd: str, *, ignore: Sequence[str], limit: int) -> list[str]:
        self.asked.append((pattern, cwd, ignore, limit))
        return self._found


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (["1", "2", "3"], "1\n2\n\n[2 results limit reached]"),
        (["1", "2"], "1\n2"),
        (["/far/d/"], "d/"),
        (["/y", "/far"], "../y\n."),
        (["x\ny"], "x\\ny"),
        ([], "No files found matching pattern"),
    ],
    ids=str,
)
def test_tools_check_66_custom_glob(found: list[str], text: str, calls: Calls) -> None:
    globs = Globs(*found)
    tool = create_find_tool("/far", operations=globs)
    result = calls.result(tool, {"pattern": "./*", "limit": 2})
    assert calls.first_text(result) == text
    assert globs.asked == [("./*", "/far", ("**/node_modules/**", "**/.git/**"), 3)]
    assert (result.details == {"resultLimitReached": 2}) is ("limit" in text)


def test_tools_check_66_custom_exists(calls: Calls) -> None:
    with pytest.raises(ToolError, match=r"^Path not found: /missing$"):
        calls.text(create_find_tool("/", operations=Globs()), {"pattern": "*", "path": "missing"})


def test_nested_ignore_files(find: Callable[..., str], folder: Path) -> None:
    write_tree(
        folder,
        {
            ".gitignore": "*.log\nout/\n/top.txt\nlib/*\n!lib/keep\n",
            "x.log": "",
            "top.txt": "",
            "sub/top.txt": "",
            "sub/.gitignore": "!x.log\n*.txt\n",
            "sub/x.log": "",
            "sub/y.log": "",
            "sub/out": "",
            "out/z": "",
            "lib/keep/a.txt": "",
            "lib/drop/b.txt": "",
        },
    )
    assert lines(find("*")) == {
        ".gitignore",
        "sub/",
        "sub/.gitignore",
        "sub/x.log",
        "sub/out",
        "lib/",
        "lib/keep/",
        "lib/keep/a.txt",
    }
    assert lines(find("*", path="lib")) == {"keep/", "keep/a.txt"}


def test_odd_entries_are_listed_and_not_followed(find: Callable[..., str], folder: Path) -> None:
    write_tree(folder, {"dir/x": "", "two\nlines": "", " sp ace ": ""})
    with open(os.fsencode(folder) + b"/caf\xe9", "wb"):
        pass
    os.mkfifo(folder / "pipe")
    os.symlink("dir", folder / "link")
    os.symlink("nowhere", folder / "broken")
    names = {"dir/", "dir/x", "two\\nlines", " sp ace ", "caf\ufffd", "pipe", "link", "broken"}
    assert lines(find("*")) == names


@pytest.mark.parametrize("pattern", ["[", "{a", "x/["])
def test_a_broken_glob_is_named(pattern: str, find: Callable[..., str]) -> None:
    with pytest.raises(ToolError, match=r"glob"):
        find(pattern)


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("\0", "pattern cannot contain a NUL character"),
        ("x" * 70_000, "pattern has 70000 bytes; at most 65536 are possible"),
    ],
    ids=["nul", "huge"],
)
def test_patterns_that_cannot_be(pattern: str, reason: str, find: Callable[..., str]) -> None:
    with pytest.raises(ToolError) as caught:
        find(pattern)
    assert str(caught.value) == reason


def fake_fd(folder: Path, script: str, **options: Any) -> AgentTool:
    """A tool whose bin directory holds a program that does as told."""
    for name in ("bin", "work"):
        (folder / name).mkdir()
    program = folder / "bin" / "fd"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return create_find_tool(folder / "work", bin_dir=folder / "bin", **options)


NEW = 'case $* in *--help*) echo "  --no-require-git"; exit;; esac\n'
OLD = 'case $* in *--help*) echo "  --hidden"; exit;; esac\n'


@pytest.mark.parametrize(
    ("pattern", "seen"),
    [
        ("*.ts", "--no-require-git --max-results 8 -- *.ts"),
        ("a/b", "--no-require-git --full-path --max-results 8 -- **/a/b"),
        ("./a/b", "--no-require-git --full-path --max-results 8 -- **/a/b"),
        ("/a", "--no-require-git --full-path --max-results 8 -- /a"),
        ("**/a", "--no-require-git --full-path --max-results 8 -- **/a"),
        ("**", "--no-require-git --max-results 8 -- **"),
        ("./a", "--no-require-git --max-results 8 -- a"),
    ],
)
def test_the_command_line_of_fd(pattern: str, seen: str, calls: Calls, tmp_path: Path) -> None:
    tool = fake_fd(tmp_path, f"{NEW}printf '%s\\0' \"$*\"")
    common = "--color=never --hidden --print0 --glob --exclude .git"
    text = calls.text(tool, {"pattern": pattern, "limit": 7})
    assert text == f"{common} {seen} {tmp_path}/work"


def test_fd_is_asked_once_and_not_in_repositories(calls: Calls, tmp_path: Path) -> None:
    log = f"echo asked >> {tmp_path}/log\n"
    tool = fake_fd(tmp_path, NEW.replace("echo", f"{log} echo") + "printf '%s\\0' \"$*\"")
    for _ in range(2):
        assert "--no-require-git" in calls.text(tool, {"pattern": "x"})
    assert (tmp_path / "log").read_text() == "asked\n"
    (tmp_path / "work" / ".git").mkdir()
    assert "--no-require-git" not in calls.text(tool, {"pattern": "x"})


def test_python_stands_in_for_an_old_fd(calls: Calls, tmp_path: Path) -> None:
    tool = fake_fd(tmp_path, f"{OLD}echo broken; exit 2")
    write_tree(tmp_path / "work", {".gitignore": "b\n", "a": "", "b": ""})
    assert lines(calls.text(tool, {"pattern": "?"})) == {"a"}
    tool = create_find_tool(tmp_path / "work", bin_dir=tmp_path / "bin", engine="program")
    with pytest.raises(ToolError) as caught:
        calls.text(tool, {"pattern": "?"})
    assert str(caught.value) == (
        "fd is too old to search outside a git repository: it has no --no-require-git"
    )


def test_a_missing_fd_is_told(
    calls: Calls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolError) as caught:
        calls.text(create_find_tool(tmp_path, engine="program"), {"pattern": "x"})
    assert str(caught.value) == "fd is not available and could not be downloaded"


@pytest.mark.parametrize(
    ("script", "text"),
    [
        ("echo ' no such flag ' >&2; exit 2", "no such flag"),
        ("echo broken >&2; exit 1", "broken"),
        ("exit 2", "fd exited with code 2"),
        (
            "head -c 200000 /dev/zero | tr '\\0' x",
            "Failed to run fd: The search printed what is no path",
        ),
    ],
)
def test_a_failing_fd_is_told(script: str, text: str, calls: Calls, tmp_path: Path) -> None:
    with pytest.raises(ToolError) as caught:
        calls.text(fake_fd(tmp_path, NEW + script), {"pattern": "x"})
    assert str(caught.value) == text


def test_results_come_with_what_could_not_be_searched(calls: Calls, tmp_path: Path) -> None:
    script = f"{NEW}printf '{tmp_path}/work/a\\0'; echo 'x: Permission denied' >&2; exit 1"
    assert calls.text(fake_fd(tmp_path, script), {"pattern": "x"}) == (
        "a\n\n[Not everything could be searched: x: Permission denied]"
    )


def test_abort_kills_the_program(calls: Calls, tmp_path: Path, run: Any) -> None:
    tool = fake_fd(tmp_path, f"{NEW}echo $$ > pid; exec sleep 30")
    pid_file = tmp_path / "work" / "pid"

    async def scene() -> int:
        controller = AbortController()
        call = asyncio.create_task(calls.start(tool, {"pattern": "x"}, signal=controller.signal))
        while not (pid_file.exists() and pid_file.read_text().strip()):
            await asyncio.sleep(0.005)
        controller.abort()
        with pytest.raises(ToolError, match=r"^Operation aborted$"):
            await call
        return int(pid_file.read_text())

    pid = run(scene())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_the_root_and_a_deep_tree(calls: Calls, tmp_path: Path) -> None:
    tool = create_find_tool(tmp_path, engine="python")
    names = lines(calls.text(tool, {"pattern": "tmp", "path": "/", "limit": 1}))
    assert "tmp/" in names or any(name.endswith("/tmp/") for name in names)
    deep = tmp_path
    for _ in range(15):
        deep = deep / ("d" * 250)
        if len(str(deep)) < 4000:
            deep.mkdir()
    assert "d" * 250 in calls.text(tool, {"pattern": "*", "limit": 3})
    shutil.rmtree(tmp_path / ("d" * 250))
