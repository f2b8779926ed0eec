from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pi_agent.types import AgentTool, ToolError
from pi_ai import AbortController
from pi_tools import SearchEngine, create_grep_tool
from support.search import GREP_ENGINES, write_tree

if TYPE_CHECKING:
    from tests.pi_tools.conftest import Calls

CONTEXT = "before\nmatch one\nafter\nmiddle\nmatch two\nafter two"
LIMIT_1 = "[1 matches limit reached. Use limit=2 for more, or refine pattern]"


@pytest.fixture(params=GREP_ENGINES)
def engine(request: pytest.FixtureRequest) -> SearchEngine:
    return request.param


@pytest.fixture
def grep(calls: Calls, tmp_path: Path, engine: SearchEngine) -> Callable[..., str]:
    """Search `tmp_path`; the text of the answer."""
    tool = create_grep_tool(tmp_path, engine=engine)
    return lambda pattern, **arguments: calls.text(tool, {"pattern": pattern, **arguments})


def lines(text: str) -> set[str]:
    return set(text.splitlines())


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"pattern": "match", "path": "a.txt"}, "a.txt:2: match line"),
        ({"pattern": "const"}, "sub/b.ts:1: const match = 1;"),
        ({"pattern": "const", "path": "sub"}, "b.ts:1: const match = 1;"),
        ({"pattern": "const", "path": "sub/b.ts"}, "b.ts:1: const match = 1;"),
        ({"pattern": "zebra"}, "No matches found"),
        ({"pattern": "MATCH L"}, "No matches found"),
        ({"pattern": "MATCH L", "ignoreCase": True}, "a.txt:2: match line"),
        ({"pattern": "m.tch l"}, "a.txt:2: match line"),
        ({"pattern": "m.tch l", "literal": True}, "No matches found"),
        ({"pattern": "= 1;", "literal": True, "path": ""}, "sub/b.ts:1: const match = 1;"),
        ({"pattern": "^last line$"}, "a.txt:3: last line"),
    ],
    ids=str,
)
def test_tools_check_61_matches(
    arguments: dict[str, Any], text: str, calls: Calls, tmp_path: Path, engine: SearchEngine
) -> None:
    write_tree(
        tmp_path,
        {"a.txt": "first line\nmatch line\nlast line", "sub/b.ts": "const match = 1;\r\n"},
    )
    result = calls.result(create_grep_tool(tmp_path, engine=engine), arguments)
    assert calls.first_text(result) == text
    assert not isinstance(result.details, dict)


def test_tools_check_61_missing_path(grep: Callable[..., str], tmp_path: Path) -> None:
    with pytest.raises(ToolError) as caught:
        grep("x", path="no/where")
    assert str(caught.value) == f"Path not found: {tmp_path}/no/where"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            {"limit": 1, "context": 1},
            f"ctx.txt-1- before\nctx.txt:2: match one\nctx.txt-3- after\n\n{LIMIT_1}",
        ),
        (
            {"limit": 1, "context": 3},
            "ctx.txt-1- before\nctx.txt:2: match one\nctx.txt-3- after\nctx.txt-4- middle\n"
            f"ctx.txt-5- match two\n\n{LIMIT_1}",
        ),
        ({"limit": 2}, "ctx.txt:2: match one\nctx.txt:5: match two"),
        ({"limit": 0}, f"ctx.txt:2: match one\n\n{LIMIT_1}"),
        ({"limit": -3}, f"ctx.txt:2: match one\n\n{LIMIT_1}"),
        ({"limit": 1.9}, f"ctx.txt:2: match one\n\n{LIMIT_1}"),
        ({"context": 0.5}, "ctx.txt:2: match one\nctx.txt:5: match two"),
        ({"context": -1}, "ctx.txt:2: match one\nctx.txt:5: match two"),
        (
            {"limit": 1e308, "context": 1e308},
            "ctx.txt-1- before\nctx.txt:2: match one\nctx.txt-3- after\nctx.txt-4- middle\n"
            "ctx.txt:5: match two\nctx.txt-6- after two",
        ),
    ],
    ids=str,
)
def test_tools_check_62_limit_and_context(
    arguments: dict[str, Any], text: str, calls: Calls, tmp_path: Path, engine: SearchEngine
) -> None:
    write_tree(tmp_path, {"ctx.txt": CONTEXT})
    result = calls.result(
        create_grep_tool(tmp_path, engine=engine), {"pattern": "match", **arguments}
    )
    assert calls.first_text(result) == text
    reached = {"matchLimitReached": 1} if LIMIT_1 in text else None
    assert (result.details if isinstance(result.details, dict) else None) == reached


def test_context_of_the_last_match_ends_with_its_file(
    grep: Callable[..., str], tmp_path: Path
) -> None:
    write_tree(tmp_path, {"a.txt": "hit", "b.txt": "1\n2\nhit\n4"})
    text = grep("hit", limit=1, context=9)
    kept = (
        "a.txt:1: hit"
        if text.startswith("a")
        else "b.txt-1- 1\nb.txt-2- 2\nb.txt:3: hit\nb.txt-4- 4"
    )
    assert text == f"{kept}\n\n{LIMIT_1}"


def test_tools_check_63_default_limit(grep: Callable[..., str], tmp_path: Path) -> None:
    write_tree(tmp_path, {"f": "hit\n" * 150})
    text = grep("hit")
    assert text.count("hit\n") == 100
    notice = "[100 matches limit reached. Use limit=200 for more, or refine pattern]"
    assert text.endswith(f"f:100: hit\n\n{notice}")


def test_tools_check_63_byte_cap(calls: Calls, tmp_path: Path, engine: SearchEngine) -> None:
    write_tree(tmp_path, {"f": f"hit {'x' * 400}\n" * 300})
    tool = create_grep_tool(tmp_path, engine=engine)
    result = calls.result(tool, {"pattern": "hit", "limit": 250})
    assert calls.first_text(result).endswith(
        "\n\n[250 matches limit reached. Use limit=500 for more, or refine pattern. "
        "50.0KB limit reached]"
    )
    assert isinstance(result.details, dict)
    assert result.details["matchLimitReached"] == 250
    truncation: Any = result.details["truncation"]
    assert truncation["totalLines"] == 250
    assert truncation["truncatedBy"] == "bytes"
    assert truncation["outputBytes"] <= 51200 < truncation["totalBytes"]
    assert truncation["maxLines"] == 9007199254740991


def test_tools_check_63_long_lines(calls: Calls, tmp_path: Path, engine: SearchEngine) -> None:
    write_tree(tmp_path, {"f": "x" * 600 + "match\n" + "y" * 495 + "match\n"})
    tool = create_grep_tool(tmp_path, engine=engine)
    result = calls.result(tool, {"pattern": "match"})
    assert calls.first_text(result) == (
        f"f:1: {'x' * 500}... [truncated]\nf:2: {'y' * 495}match\n\n"
        "[Some lines truncated to 500 chars. Use read tool to see full lines]"
    )
    assert result.details == {"linesTruncated": True}


@pytest.mark.parametrize(
    ("glob", "found"),
    [
        ("*.ts", {"sub/b.ts:1: hit", "sub/deep/c.ts:1: hit"}),
        ("sub/*.ts", {"sub/b.ts:1: hit"}),
        ("./sub/*.ts", {"sub/b.ts:1: hit"}),
        ("/sub/*.ts", {"sub/b.ts:1: hit"}),
        ("**/deep/**", {"sub/deep/c.ts:1: hit"}),
        ("sub/**/*.ts", {"sub/b.ts:1: hit", "sub/deep/c.ts:1: hit"}),
        ("!*.txt", {"sub/b.ts:1: hit", "sub/deep/c.ts:1: hit", "x.md:1: hit"}),
        ("!./sub/*.ts", {"a.txt:1: hit", "sub/deep/c.ts:1: hit", "x.md:1: hit"}),
        ("!sub/", {"a.txt:1: hit", "x.md:1: hit"}),
        ("*.{txt,md}", {"a.txt:1: hit", "x.md:1: hit"}),
        ("[!ab].*", {"sub/deep/c.ts:1: hit", "x.md:1: hit"}),
        ("?.md", {"x.md:1: hit"}),
        ("nothing", {"No matches found"}),
    ],
)
def test_tools_check_64_globs(
    glob: str, found: set[str], grep: Callable[..., str], tmp_path: Path
) -> None:
    names = ("a.txt", "x.md", "sub/b.ts", "sub/deep/c.ts")
    write_tree(tmp_path, dict.fromkeys(names, "hit\n"))
    assert lines(grep("hit", glob=glob)) == found


@pytest.mark.parametrize(
    ("pattern", "text"),
    [("-v", "f:1: ls -v"), ("aa", "f:2: aa aa aa"), ("--", "No matches found"), ("é", "f:3: É é")],
)
def test_tools_check_64_patterns(
    pattern: str, text: str, grep: Callable[..., str], tmp_path: Path
) -> None:
    write_tree(tmp_path, {"f": "ls -v\naa aa aa\nÉ é\n"})
    assert grep(pattern) == text


def test_tools_check_64_bad_pattern(
    grep: Callable[..., str], tmp_path: Path, engine: SearchEngine
) -> None:
    write_tree(tmp_path, {"f": "x"})
    with pytest.raises(ToolError, match="regex parse error:") as caught:
        grep("(")
    if engine == "program":
        # The program's own words; older ones do not say who speaks.
        assert str(caught.value).removeprefix("rg: ").startswith("regex parse error:\n")
    else:
        assert str(caught.value).startswith("regex parse error: missing ), unterminated subpattern")
        assert "Python's re" in str(caught.value)


@pytest.mark.parametrize("pattern", [r"\p{L}", "[[:alpha:]]", r"a\z", "x(?i)y", "(?<n>x)"])
def test_python_names_the_differences_of_its_patterns(
    pattern: str, calls: Calls, tmp_path: Path
) -> None:
    with pytest.raises(ToolError, match=r"^regex parse error: .*Without ripgrep, patterns are"):
        calls.text(create_grep_tool(tmp_path, engine="python"), {"pattern": pattern})


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"pattern": "a\0b"}, "pattern cannot contain a NUL character"),
        ({"pattern": "a", "glob": "\0"}, "glob cannot contain a NUL character"),
        ({"pattern": "a" * 70_000}, "pattern has 70000 bytes; at most 65536 are possible"),
        ({"pattern": "a", "path": "\0"}, "A path cannot contain a NUL character"),
        ({"path": "f"}, "pattern"),
        ({"pattern": "a", "limit": "many"}, "limit"),
    ],
    ids=["nul pattern", "nul glob", "huge pattern", "nul path", "no pattern", "limit"],
)
def test_arguments_that_cannot_be_are_named(
    arguments: dict[str, Any], reason: str, calls: Calls, tmp_path: Path, engine: SearchEngine
) -> None:
    with pytest.raises(ToolError, match=reason):
        calls.text(create_grep_tool(tmp_path, engine=engine), arguments)


@pytest.mark.parametrize("glob", ["[", "{a", "[b-a]"])
def test_a_broken_glob_is_named(glob: str, grep: Callable[..., str], tmp_path: Path) -> None:
    write_tree(tmp_path, {"f": "x"})
    with pytest.raises(ToolError, match="glob"):
        grep("x", glob=glob)


def test_lone_surrogates_find_nothing(grep: Callable[..., str], tmp_path: Path) -> None:
    write_tree(tmp_path, {"f": "plain"})
    assert grep("\ud800") == "No matches found"


def test_tools_check_64_ignored_files(grep: Callable[..., str], tmp_path: Path) -> None:
    write_tree(
        tmp_path,
        {
            ".gitignore": "*.log\n!keep.log\n/top\nout/\n",
            "a.log": "hit",
            "keep.log": "hit",
            "top": "hit",
            "sub/top": "hit",
            "out/x": "hit",
            "sub/out/x": "hit",
            "sub/.gitignore": "own\n",
            "sub/own": "hit",
            "own": "hit",
            ".hidden/x": "hit",
            ".git/config": "hit",
        },
    )
    found = {"keep.log:1: hit", "sub/top:1: hit", "own:1: hit", ".hidden/x:1: hit"}
    assert lines(grep("hit")) == found
    assert lines(grep("hit", path="sub")) == {"top:1: hit"}
    assert grep("hit", path="a.log") == "a.log:1: hit"
    assert grep("hit", path="out") == "x:1: hit"
    assert lines(grep("hit", glob="*.log")) == {"a.log:1: hit", "keep.log:1: hit"}
    assert grep("hit", path=".git") == "config:1: hit"
    assert grep("hit", glob="config") == "No matches found"
    shutil.rmtree(tmp_path / ".git")
    everything = "a.log:1: hit", "top:1: hit", "out/x:1: hit", "sub/out/x:1: hit", "sub/own:1: hit"
    assert lines(grep("hit")) == found | set(everything)


def test_a_repository_inside_has_its_own_rules(grep: Callable[..., str], tmp_path: Path) -> None:
    write_tree(
        tmp_path,
        {
            ".git/": "",
            ".gitignore": "*.txt\n",
            "inner/.git": "gitdir: elsewhere\n",
            "inner/.gitignore": "*.md\n",
            "inner/a.txt": "hit",
            "inner/a.md": "hit",
        },
    )
    assert grep("hit") == "inner/a.txt:1: hit"


def test_binary_files_are_searched_when_named(grep: Callable[..., str], tmp_path: Path) -> None:
    write_tree(tmp_path, {"b.bin": b"x\0match\nmatch two\n", "t.txt": "match\n"})
    assert grep("match") == "t.txt:1: match"
    assert grep("match", path="b.bin") == "b.bin:1: x\0match\nb.bin:2: match two"


@pytest.mark.parametrize(
    "content",
    [b"\xef\xbb\xbfhit\n", b"hit", b"hit\r\n", b"hit \xff\xfe\n", b"\n" * 3 + b"hit\n"],
    ids=["bom", "no end", "crlf", "invalid", "later"],
)
def test_odd_text(content: bytes, grep: Callable[..., str], tmp_path: Path) -> None:
    write_tree(tmp_path, {"f": content})
    tail = " \ufffd\ufffd" if b"\xff" in content else ""
    number = 1 + content[:3].count(b"\n")
    assert grep("^hit") == f"f:{number}: hit{tail}"


def test_odd_names_stay_on_their_line(grep: Callable[..., str], tmp_path: Path) -> None:
    write_tree(tmp_path, {"two\nlines\r.txt": "hit", " x ": "hit"})
    with open(os.fsencode(tmp_path) + b"/caf\xe9", "wb") as file:
        file.write(b"hit")
    assert lines(grep("hit")) == {"two\\nlines\\r.txt:1: hit", "caf\ufffd:1: hit", " x :1: hit"}
    assert grep("hit", path="two\nlines\r.txt") == "two\\nlines\\r.txt:1: hit"


def test_what_is_no_file_is_passed_over(grep: Callable[..., str], tmp_path: Path) -> None:
    write_tree(tmp_path, {"real": "hit", "dir/x": "hit"})
    os.mkfifo(tmp_path / "pipe")
    os.symlink("real", tmp_path / "link")
    os.symlink("dir", tmp_path / "dirlink")
    os.symlink(".", tmp_path / "dir" / "loop")
    os.symlink("nowhere", tmp_path / "broken")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(tmp_path / "s"))
        assert lines(grep("hit")) == {"real:1: hit", "dir/x:1: hit"}
        for name in ("pipe", "s", "/dev/zero"):
            with pytest.raises(ToolError, match=rf"^Not a regular file: .*{name}$"):
                grep("hit", path=name)
    assert grep("hit", path="link") == "link:1: hit"
    assert grep("hit", path="dirlink") == "x:1: hit"
    with pytest.raises(ToolError, match=r"^Path not found: "):
        grep("hit", path="broken")


def test_ignore_files_that_are_none_are_passed_over(
    grep: Callable[..., str], calls: Calls, tmp_path: Path
) -> None:
    write_tree(tmp_path, {".git/": "", "a": "hit", "sub/.gitignore/": ""})
    assert grep("hit") == "a:1: hit"
    os.mkfifo(tmp_path / ".gitignore")
    tool = create_grep_tool(tmp_path, engine="python")
    assert calls.text(tool, {"pattern": "hit"}) == "a:1: hit"


def test_a_missing_ripgrep_is_told(
    calls: Calls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pi_tools.ripgrep.find_ripgrep", lambda _: None)
    tool = create_grep_tool(tmp_path, engine="program")
    with pytest.raises(ToolError) as caught:
        calls.text(tool, {"pattern": "x"})
    assert str(caught.value) == "ripgrep (rg) is not available and could not be downloaded"


def fake_program(folder: Path, name: str, script: str) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def fake_ripgrep(tmp_path: Path, script: str) -> AgentTool:
    """A tool whose bin directory holds a program that does as told."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "work").mkdir()
    fake_program(tmp_path / "bin", "rg", script)
    return create_grep_tool(tmp_path / "work", bin_dir=tmp_path / "bin")


@pytest.mark.parametrize(
    ("script", "text"),
    [
        ("echo ' it broke ' >&2; exit 2", "it broke"),
        ("exit 3", "ripgrep exited with code 3"),
        ("kill -9 $$", "ripgrep exited with code 137"),
        ("head -c 100000 /dev/zero | tr '\\0' x", "The search printed what is no match"),
    ],
)
def test_a_failing_ripgrep_is_told(script: str, text: str, calls: Calls, tmp_path: Path) -> None:
    with pytest.raises(ToolError) as caught:
        calls.text(fake_ripgrep(tmp_path, script), {"pattern": "x"})
    assert str(caught.value).removeprefix("Failed to run ripgrep: ") == text


def test_a_program_that_cannot_start_is_told(calls: Calls, tmp_path: Path) -> None:
    tool = fake_ripgrep(tmp_path, "")
    program = tmp_path / "bin" / "rg"
    program.write_text("#!/no/such/shell\n")
    with pytest.raises(ToolError) as caught:
        calls.text(tool, {"pattern": "x"})
    assert str(caught.value) == f"Failed to run ripgrep: spawn {program} ENOENT"


def test_results_come_with_what_could_not_be_searched(calls: Calls, tmp_path: Path) -> None:
    script = "printf './f\\0001:hit\\n'; echo 'rg: ./x: Permission denied' >&2; exit 2"
    assert calls.text(fake_ripgrep(tmp_path, script), {"pattern": "x"}) == (
        "f:1: hit\n\n[Not everything could be searched: rg: ./x: Permission denied]"
    )


def test_a_directory_that_goes_away_is_told(
    calls: Calls, tmp_path: Path, engine: SearchEngine
) -> None:
    class Gone:
        async def is_directory(self, path: str) -> bool:
            os.rmdir(path)
            return True

    (tmp_path / "gone").mkdir()
    tool = create_grep_tool(tmp_path, operations=Gone(), engine=engine)
    with pytest.raises(ToolError) as caught:
        calls.text(tool, {"pattern": "x", "path": "gone"})
    assert str(caught.value) == f"Path not found: {tmp_path}/gone"


def test_abort_before_the_call(calls: Calls, tmp_path: Path, engine: SearchEngine) -> None:
    controller = AbortController()
    controller.abort()
    tool = create_grep_tool(tmp_path, engine=engine)
    with pytest.raises(ToolError, match=r"^Operation aborted$"):
        calls.text(tool, {"pattern": "x"}, signal=controller.signal)


def test_abort_kills_the_program(calls: Calls, tmp_path: Path, run: Any) -> None:
    tool = fake_ripgrep(tmp_path, "echo $$ > pid; exec sleep 30")
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


def test_a_pattern_that_explodes_can_be_aborted(calls: Calls, tmp_path: Path, run: Any) -> None:
    """The loop keeps turning meanwhile."""
    write_tree(tmp_path, {"f": "a" * 60 + "b\n"})
    tool = create_grep_tool(tmp_path, engine="python")

    async def scene() -> int:
        controller = AbortController()
        call = asyncio.create_task(
            calls.start(tool, {"pattern": "(a+)+$"}, signal=controller.signal)
        )
        turns = 0
        for _ in range(20):
            await asyncio.sleep(0.01)
            turns += 1
        assert not call.done()
        controller.abort()
        with pytest.raises(ToolError, match=r"^Operation aborted$"):
            await call
        return turns

    assert run(scene()) == 20


def test_there_is_enough_after_the_limit(calls: Calls, tmp_path: Path) -> None:
    """A program that would print for ever is stopped."""
    tool = fake_ripgrep(tmp_path, "while :; do printf './f\\0001:hit\\n'; done")
    text = calls.text(tool, {"pattern": "x", "limit": 3})
    assert text.startswith("f:1: hit\nf:1: hit\nf:1: hit\n\n[3 matches limit reached.")


@pytest.mark.parametrize("pattern", ["needle", "a"])
def test_a_huge_line_takes_little_memory(
    pattern: str, tmp_path: Path, engine: SearchEngine
) -> None:
    (tmp_path / "f").write_bytes(b"a" * 50_000_000 + b"\nneedle\n")
    script = (
        "import asyncio, resource\n"
        "from pi_agent.types import ToolContext\n"
        "from pi_ai import AbortController\n"
        "from pi_tools import create_grep_tool\n"
        "def peak(who):\n"
        "    return resource.getrusage(who).ru_maxrss\n"
        "async def main():\n"
        f"    tool = create_grep_tool({str(tmp_path)!r}, engine={engine!r})\n"
        "    context = ToolContext(tool_call_id='1', signal=AbortController().signal)\n"
        "    before = peak(resource.RUSAGE_SELF)\n"
        f"    result = await tool.execute({{'pattern': {pattern!r}}}, context)\n"
        "    print(peak(resource.RUSAGE_SELF) - before, peak(resource.RUSAGE_CHILDREN))\n"
        "    print(result.content[0].text)\n"
        "asyncio.run(main())\n"
    )
    command = [sys.executable, "-W", "error", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    sizes, _, text = done.stdout.partition("\n")
    growth, child = map(int, sizes.split())
    unit = 1 if sys.platform == "darwin" else 1024
    assert growth * unit < 20 * 1024 * 1024
    if pattern == "needle":
        assert text.startswith("f:2: needle")
    else:
        assert text.startswith(f"f:1: {'a' * 500}... [truncated]")
    if engine == "python":
        assert "f: only the first 1.0MB of 1 very long lines was searched" in text
        assert child * unit < 80 * 1024 * 1024
