"""The Python search as a program: its command line, exit codes and limits."""

from __future__ import annotations

import asyncio
import fnmatch
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

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


@pytest.mark.parametrize(
    ("glob", "path"),
    [
        ("*a" * 30 + "*b", "a" * 250),
        ("**/a/" * 30 + "b", "a/" * 500 + "c"),
        ("{*,**}" * 8, "/".join("a" * 99)),
        ("**/*a*a*a*a/**/*b*b*b", f"{'a' * 200}/" * 20),
    ],
    ids=["names", "directories", "braces", "both"],
)
def test_no_glob_explodes(glob: str, path: str) -> None:
    pattern = compile_glob(glob)
    started = time.process_time()
    assert not pattern.fullmatch(path)
    assert time.process_time() - started < 2


def matches_by_trial(segments: list[str], names: list[str]) -> bool:
    """What `**` and names mean, by trying everything."""
    if not segments:
        return not names
    if segments[0] == "**":
        return any(matches_by_trial(segments[1:], names[at:]) for at in range(len(names) + 1))
    matches = bool(names) and fnmatch.fnmatchcase(names[0], segments[0])
    return matches and matches_by_trial(segments[1:], names[1:])


@given(
    st.lists(st.sampled_from(["**", "*", "a", "a*", "*b", "*a*", "a?*b", "*[ab]b*"]), max_size=5),
    st.sampled_from(["a", "*", "*b", "?"]),
    st.lists(st.text("ab", max_size=4), min_size=1, max_size=6),
)
def test_globs_match_what_trying_everything_finds(
    segments: list[str], last: str, names: list[str]
) -> None:
    matches = compile_glob("/".join([*segments, last])).fullmatch("/".join(names))
    assert (matches is not None) == matches_by_trial([*segments, last], names)


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


@pytest.mark.parametrize(
    "glob", ["[", "[]", "[!", "[!]", "{a", "[b-a]", "a\\", "{a,b}" * 9], ids=lambda glob: glob[:9]
)
def test_broken_globs(glob: str) -> None:
    with pytest.raises(GlobError, match=r"is no glob|use fewer braces"):
        compile_glob(glob)


def test_the_event_loop_turns_while_a_directory_is_searched(tmp_path: Path, run: Any) -> None:
    write_tree(tmp_path, {f"{number}": "x" * 2000 for number in range(200)})

    async def scene() -> int:
        command = grep_command("y", None, glob=None, ignore_case=False, literal=False, context=0)
        process = await asyncio.create_subprocess_exec(*command, cwd=tmp_path)
        return await process.wait()

    assert run(scene()) == 1
