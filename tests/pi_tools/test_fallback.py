"""The Python search as a program: its command line, exit codes and limits."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pi_agent.types import ToolError
from pi_tools.fallback.globs import GlobError, compile_glob
from pi_tools.fallback.launch import find_command, grep_command
from support.search import write_tree


def run_grep(folder: Path, pattern: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
    settings = {"glob": None, "ignore_case": False, "literal": False, "context": 0, **options}
    command = grep_command(pattern, None, **settings)
    return subprocess.run(command, cwd=folder, capture_output=True, timeout=15, check=False)


def run_find(folder: Path, pattern: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
    settings = {"full_path": False, "limit": 100, **options}
    command = find_command(pattern, str(folder), **settings)
    return subprocess.run(command, cwd=folder, capture_output=True, timeout=15, check=False)


def test_exit_codes_and_order(tmp_path: Path) -> None:
    write_tree(tmp_path, {"b": "hit\n", "a/z": "x\nhit", "a.txt": "hit"})
    done = run_grep(tmp_path, "hit")
    assert (done.returncode, done.stdout) == (0, b"a.txt\0001:hit\na/z\0002:hit\nb\0001:hit\n")
    assert run_grep(tmp_path, "no").returncode == 1
    assert run_grep(tmp_path, "(").returncode == 2
    assert run_find(tmp_path, "[a-b]", limit=1).stdout == os.fsencode(f"{tmp_path}/a/\0")
    assert run_find(tmp_path, "nothing").returncode == 1


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|a)*b", "(.*)*x"])
def test_a_pattern_that_explodes_is_stopped(pattern: str, tmp_path: Path) -> None:
    write_tree(tmp_path, {"a": "hello a\n", "f": f"{'a' * 50}!\n"})
    done = run_grep(tmp_path, pattern, pattern_seconds=0.2)
    assert done.returncode == 2
    assert done.stderr == b"The pattern takes more than 0.2 seconds on f: simplify it\n"
    assert done.stdout in (b"", b"a\0001:hello a\n")


def test_a_glob_that_explodes_is_stopped(tmp_path: Path) -> None:
    write_tree(tmp_path, {"a" * 200: ""})
    done = run_find(tmp_path, "*a" * 12 + "*b", pattern_seconds=0.2)
    assert done.returncode == 2
    assert done.stderr.startswith(b"The pattern takes more than 0.2 seconds on aaa")


def test_a_reader_that_leaves_ends_the_search(tmp_path: Path) -> None:
    write_tree(tmp_path, {str(number): "hit\n" * 2000 for number in range(60)})
    command = grep_command("hit", None, glob=None, ignore_case=False, literal=False, context=0)
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout
        assert process.stderr
        assert process.stdout.read(10)
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=10) in (0, 1)


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    """A path longer than the system takes, as nothing is unreadable for root."""
    write_tree(tmp_path, {"f": "hit"})
    here = os.open(tmp_path, os.O_RDONLY)
    try:
        for _ in range(20):
            os.mkdir("d" * 250, dir_fd=here)
            inner = os.open("d" * 250, os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = inner
    finally:
        os.close(here)
    done = run_grep(tmp_path, "hit")
    assert (done.returncode, done.stdout) == (2, b"f\0001:hit\n")
    assert done.stderr.endswith(b"d: File name too long\n")
    subprocess.run(["rm", "-rf", str(tmp_path / ("d" * 250))], check=True)


def test_a_directory_that_goes_away_is_told(tmp_path: Path) -> None:
    """And not taken for one without results."""
    for command in (
        grep_command("x", None, glob=None, ignore_case=False, literal=False, context=0),
        find_command("x", str(tmp_path / "gone"), full_path=False, limit=1),
    ):
        script = f"mkdir '{tmp_path}/gone' && cd '{tmp_path}/gone' && rmdir ../gone && exec \"$@\""
        done = subprocess.run(
            ["sh", "-c", script, "sh", *command], capture_output=True, check=False
        )
        assert done.returncode == 2
        assert done.stderr.startswith(b"The search failed: FileNotFoundError: ")


def test_a_frozen_program_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    with pytest.raises(ToolError, match="Install ripgrep"):
        find_command("x", "/", full_path=False, limit=1)


def test_tools_import_without_the_search_program() -> None:
    code = "import sys, pi_tools; print(*[n for n in sys.modules if 'fallback' in n])"
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) <= {"pi_tools.fallback", "pi_tools.fallback.launch"}


@pytest.mark.parametrize(
    ("glob", "matching", "other"),
    [
        ("*.py", ["a.py", ".py"], ["a.pyc", "d/a.py"]),
        ("?", ["a", "é", "\n"], ["", "ab", "/"]),
        ("[a-c]", ["a", "c"], ["d", "-"]),
        ("[!a-c]", ["d"], ["a", "/"]),
        ("[^a]", ["b"], ["a"]),
        ("[]a]", ["]", "a"], ["b"]),
        ("[a\\]", ["a", "\\"], ["b"]),
        ("{a,b{c,d}}", ["a", "bc", "bd"], ["b", "bcd"]),
        ("a,b", ["a,b"], ["a"]),
        ("a}", ["a}"], ["a"]),
        ("**", ["", "a", "a/b"], []),
        ("**/a", ["a", "x/a", "x/y/a"], ["xa", "a/x"]),
        ("a/**", ["a/b", "a/b/c"], ["a", "b/a"]),
        ("a/**/b", ["a/b", "a/x/b", "a/x/y/b"], ["ab", "a/xb"]),
        ("a**b", ["ab", "axb"], ["a/b"]),
        (r"\*", ["*"], ["a"]),
        ("a.b+(c)", ["a.b+(c)"], ["axb+(c)"]),
    ],
)
def test_globs(glob: str, matching: list[str], other: list[str]) -> None:
    pattern = compile_glob(glob)
    assert [path for path in matching if not pattern.fullmatch(path)] == []
    assert [path for path in other if pattern.fullmatch(path)] == []


@pytest.mark.parametrize("glob", ["[", "[]", "[!", "[!]", "{a", "[b-a]", "a\\"])
def test_broken_globs(glob: str) -> None:
    with pytest.raises(GlobError, match="is no glob"):
        compile_glob(glob)


def test_the_event_loop_turns_while_a_directory_is_searched(tmp_path: Path, run: Any) -> None:
    write_tree(tmp_path, {f"{number}": "x" * 2000 for number in range(200)})

    async def scene() -> int:
        command = grep_command("y", None, glob=None, ignore_case=False, literal=False, context=0)
        process = await asyncio.create_subprocess_exec(*command, cwd=tmp_path)
        return await process.wait()

    assert run(scene()) == 1
