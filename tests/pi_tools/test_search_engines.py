"""Searches of random trees: ripgrep, the Python search and a plain loop find the same."""

from __future__ import annotations

import asyncio
import re
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pi_agent.types import ToolContext
from pi_ai import AbortController, TextContent
from pi_tools import SearchEngine, create_grep_tool
from support.search import GREP_ENGINES, write_tree

NAMES = st.sampled_from(["a", "b", "ab", "a.x", "b.x", ".h"])
WORDS = st.sampled_from(["a", "b", "ab", "*", "?", "*.x", "a*", "[ab]", "**", ".h"])
RULES = st.builds(
    lambda sign, root, parts, end: sign + root + "/".join(parts) + end,
    st.sampled_from(["", "", "", "!"]),
    st.sampled_from(["", "", "/"]),
    st.lists(WORDS, min_size=1, max_size=3),
    st.sampled_from(["", "", "/"]),
)
RULE_FILES = st.lists(RULES, max_size=4).map("\n".join)
LINES = st.lists(st.sampled_from(["", "a", "ab", "ba b", "AB", "é a", "x\r"]), max_size=6)


@st.composite
def trees(draw: st.DrawFn) -> dict[str, str]:
    """Files by path, some of them ignore files; no path is both a file and a directory."""
    files: dict[str, str] = {}
    directories: set[str] = set()
    for parts in draw(st.lists(st.lists(NAMES, min_size=1, max_size=4), min_size=1, max_size=10)):
        parents = {"/".join(parts[:depth]) for depth in range(1, len(parts))}
        path = "/".join(parts)
        if path not in directories and not parents & files.keys():
            directories |= parents
            files[path] = "\n".join(draw(LINES))
    for directory in sorted(directories | {""}):
        if rules := draw(RULE_FILES):
            files[f"{directory}/.gitignore".lstrip("/")] = rules
    return files


async def grep(root: Path, engine: SearchEngine, arguments: dict[str, str | int]) -> list[str]:
    tool = create_grep_tool(root, engine=engine)
    context = ToolContext(tool_call_id="1", signal=AbortController().signal)
    result = await tool.execute({"limit": 10_000, **arguments}, context)
    block = result.content[0]
    assert isinstance(block, TextContent)
    return sorted(block.text.split("\n"))


PATTERNS = st.sampled_from(["a", "^", "b$", "a|b", "[^a]", "^ab?$", ".", "é", r"\bb", "x"])
GLOBS = st.sampled_from(["", "", "*.x", "!*.x", "a/**", "/a", "a/b", "!a", "{a,b}", "**/b*"])
FEW = settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow], database=None)


@FEW
@given(
    files=trees(),
    pattern=PATTERNS,
    glob=GLOBS,
    context=st.integers(0, 2),
    repository=st.booleans(),
)
def test_all_engines_of_this_machine_agree(
    files: dict[str, str], pattern: str, glob: str, context: int, repository: bool
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = write_tree(Path(folder), files)
        if repository:
            (root / ".git").mkdir()
        arguments = {"pattern": pattern, "glob": glob, "context": context}
        found = [asyncio.run(grep(root, engine, arguments)) for engine in GREP_ENGINES]
    assert all(other == found[0] for other in found)


@FEW
@given(files=trees(), pattern=PATTERNS)
def test_python_finds_what_a_plain_loop_finds(files: dict[str, str], pattern: str) -> None:
    """Outside a repository, where no ignore file counts."""
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(grep(write_tree(Path(folder), files), "python", {"pattern": pattern}))
    expected = [
        f"{path}:{number}: {line.removesuffix(chr(13))}"
        for path, text in files.items()
        for number, line in enumerate(text.removesuffix("\n").split("\n") if text else (), 1)
        if re.search(pattern, line)
    ]
    assert found == (sorted(expected) or ["No matches found"])
