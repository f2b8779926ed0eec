"""grep, find and ls in another place: with ripgrep and fd there, and with what POSIX has."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pi_agent.types import AgentTool, ToolError
from pi_ai import AbortController
from pi_tools import FoundLine, create_all_tools, over_prefix
from pi_tools.posix_pattern import posix_pattern
from pi_tools.posix_search import GroupReader
from pi_tools.prefixed_program import ProgramOutput, ProgramReport
from pi_tools.programs import find_fd, find_ripgrep
from support.places import in_root
from support.processes import wait_dead
from support.search import write_tree

if TYPE_CHECKING:
    from tests.pi_tools.conftest import Calls

RIPGREP, FD = find_ripgrep(None), find_fd(None)
NEEDED = (
    "sh",
    "ls",
    "cat",
    "find",
    "grep",
    "head",
    "tail",
    "tr",
    "wc",
    "cut",
    "printf",
    "readlink",
)
KILLING = ("kill", "setsid", "sed", "ps", "sleep", "true")
ENGINES = ["posix", *(("ripgrep",) if RIPGREP else ()), *(("fd",) if FD else ())]
NO_RIPGREP = "[Searched without ripgrep, so .gitignore files were not honoured]"
NO_FD = "[Searched without fd, so .gitignore files were not honoured]"


def programs(folder: Path, *more: str | None) -> Path:
    """A directory with links to the programs of a POSIX place, and to `more`."""
    folder.mkdir()
    for name in (*NEEDED, *KILLING, *more):
        if name and (found := shutil.which(name)):
            (folder / os.path.basename(found)).symlink_to(os.path.realpath(found))
    if "bash" in more:
        (folder / "sh").unlink()
        (folder / "bash").rename(folder / "sh")
    return folder


def place(kind: str, bin_dir: Path) -> dict[str, Any]:
    words = ["env", f"PATH={bin_dir}"]
    if kind == "line":
        return {"argv": [*words, "sh", "-c", 'echo welcome; exec sh -c "$*"', "sh"]}
    return {"argv": words}


@pytest.fixture(params=["words", "line"])
def posix(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, AgentTool]:
    """The tools in a place without ripgrep and fd; its root is `world`."""
    options = place(request.param, programs(tmp_path / "bin"))
    line = request.param == "line"
    return create_all_tools(tmp_path / "world", over_prefix(options["argv"], shell_string=line))


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def tools(engine: str, tmp_path: Path) -> dict[str, AgentTool]:
    """The tools in a place with these engines; `bash`: its `sh` is bash."""
    more = {"posix": None, "bash": "bash", "ripgrep": RIPGREP, "fd": FD}[engine]
    prefix = ["env", f"PATH={programs(tmp_path / 'bin', more)}"]
    return create_all_tools(tmp_path / "world", over_prefix(prefix))


@pytest.fixture
def world(tmp_path: Path) -> Path:
    return write_tree(
        tmp_path / "world",
        {
            ".git/config": "hit",
            ".gitignore": "ignored\n",
            ".hidden/x": "hit",
            "sub/a.py": "one\nhit 12\nthree\nhit\r\n",
            "sub/deep/C.TS": "foo hit bar",
            "two\nlines/f\n": "before\nhit",
            "a:1:b=c": "hit",
            "bin": b"x\0hit\n",
            "é": "É hit \xe9",
        },
    )


def shown(text: str) -> set[str]:
    return set(text.partition("\n\n[")[0].split("\n"))


FOUND = {
    ".hidden/x:1: hit",
    "sub/a.py:2: hit 12",
    "sub/a.py:4: hit",
    "sub/deep/C.TS:1: foo hit bar",
    "two\\nlines/f\\n:2: hit",
    "a:1:b=c:1: hit",
    "é:1: É hit é",
}


@pytest.mark.parametrize("engine", [*ENGINES, "bash"])
def test_all_lines_are_found(calls: Calls, tools: dict[str, AgentTool], world: Path) -> None:
    assert shown(calls.text(tools["grep"], {"pattern": "hit"})) == FOUND


def test_the_line_of_a_talkative_shell_is_not_a_match(
    calls: Calls, posix: dict[str, AgentTool], world: Path
) -> None:
    text = calls.text(posix["grep"], {"pattern": "hit|welcome"})
    assert shown(text) == FOUND
    assert text.endswith(f"\n\n{NO_RIPGREP}")
    assert "sub/deep/" in shown(calls.text(posix["find"], {"pattern": "*"}))
    assert calls.text(posix["ls"], {"path": "sub"}) == "a.py\ndeep/"


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (
            {"pattern": "hit", "path": "sub"},
            {"a.py:2: hit 12", "a.py:4: hit", "deep/C.TS:1: foo hit bar"},
        ),
        ({"pattern": "h.t", "path": "sub/deep/C.TS"}, {"C.TS:1: foo hit bar"}),
        ({"pattern": "hit", "path": "bin"}, {"bin:1: x\0hit"}),
        ({"pattern": "hit", "path": "two\nlines/f\n"}, {"f\\n:2: hit"}),
        ({"pattern": "HIT 1", "ignoreCase": True}, {"sub/a.py:2: hit 12"}),
        ({"pattern": "h.t", "literal": True}, {"No matches found"}),
        ({"pattern": r"\bhit\s\d+$"}, {"sub/a.py:2: hit 12"}),
        (
            {"pattern": "12", "context": 1},
            {"sub/a.py-1- one", "sub/a.py:2: hit 12", "sub/a.py-3- three"},
        ),
        ({"pattern": "É . [é]"}, {"No matches found"}),
        ({"pattern": "^É ... [é]$"}, {"é:1: É hit é"}),
        ({"pattern": "hit", "glob": "*.py"}, {"sub/a.py:2: hit 12", "sub/a.py:4: hit"}),
        ({"pattern": "hit", "glob": "sub/*/*.{TS,md}"}, {"sub/deep/C.TS:1: foo hit bar"}),
        (
            {"pattern": "hit", "glob": "!sub"},
            {line for line in FOUND if not line.startswith("sub")},
        ),
        ({"pattern": "hit", "glob": "../*"}, {"No matches found"}),
        ({"pattern": "-e", "literal": True}, {"No matches found"}),
        ({"pattern": "zebra"}, {"No matches found"}),
    ],
    ids=lambda value: str(value if isinstance(value, dict) else sorted(value)),
)
def test_grep_finds_the_same_everywhere(
    arguments: dict[str, Any],
    found: set[str],
    calls: Calls,
    tools: dict[str, AgentTool],
    world: Path,
) -> None:
    assert shown(calls.text(tools["grep"], arguments)) == found


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*.py", {"sub/a.py"}),
        ("*.ts", {"sub/deep/C.TS"}),
        ("*.Ts", {"No files found matching pattern"}),
        ("sub/**/*.ts", {"sub/deep/C.TS"}),
        ("sub/*", {"sub/a.py", "sub/deep/"}),
        ("lines/*", {"No files found matching pattern"}),
        ("f?", {"two\\nlines/f\\n"}),
        ("{deep,é}", {"sub/deep/", "é"}),
        ("../*", {"No files found matching pattern"}),
        (".git", {"No files found matching pattern"}),
    ],
)
def test_find_finds_the_same_everywhere(
    pattern: str, found: set[str], calls: Calls, tools: dict[str, AgentTool], world: Path
) -> None:
    assert shown(calls.text(tools["find"], {"pattern": pattern})) == found


@pytest.mark.parametrize("engine", [*ENGINES, "bash"])
def test_names_that_are_no_utf_8(calls: Calls, tools: dict[str, AgentTool], tmp_path: Path) -> None:
    world = write_tree(tmp_path / "world", {"d/": ""})
    for name in (b"caf\xe9", b"d/\xff\n"):
        Path(os.fsdecode(os.fsencode(world) + b"/" + name)).write_text("hit")
    found = shown(calls.text(tools["grep"], {"pattern": "hit"}))
    assert found == {"caf\ufffd:1: hit", "d/\ufffd\\n:1: hit"}
    assert "d/\ufffd\\n" in shown(calls.text(tools["find"], {"pattern": "*"}))
    assert calls.text(tools["ls"], {}) == "caf\ufffd\nd/"
    named = calls.text(tools["grep"], {"pattern": "hit", "path": "caf\udce9"})
    assert named == "caf\ufffd:1: hit"


def test_ignore_files_count_where_an_engine_reads_them(
    engine: str, calls: Calls, tools: dict[str, AgentTool], tmp_path: Path
) -> None:
    write_tree(
        tmp_path / "world",
        {".git/": "", ".gitignore": "ignored\n", "ignored": "hit", "kept": "hit"},
    )
    text = calls.text(tools["grep"], {"pattern": "hit"})
    everything = {"kept:1: hit", "ignored:1: hit"}
    assert shown(text) == ({"kept:1: hit"} if engine == "ripgrep" else everything)
    assert (NO_RIPGREP in text) is (engine != "ripgrep")
    text = calls.text(tools["find"], {"pattern": "*e*"})
    assert ("ignored" in shown(text)) is (engine != "fd")
    assert (NO_FD in text) is (engine != "fd")


def test_limits_and_notices_are_those_of_local_searches(
    calls: Calls, tools: dict[str, AgentTool], tmp_path: Path
) -> None:
    long = f"hit {'x' * 600}\n"
    write_tree(tmp_path / "world", {"f": f"hit\n{long}hit\n", "g": "", "h": "hit\n" * 50_000})
    result = calls.result(tools["grep"], {"pattern": "hit", "limit": 2, "path": "f"})
    assert calls.first_text(result) == (
        f"f:1: hit\nf:2: {long[:500]}... [truncated]\n\n"
        "[2 matches limit reached. Use limit=4 for more, or refine pattern. "
        "Some lines truncated to 500 chars. Use read tool to see full lines]"
    )
    assert result.details == {"matchLimitReached": 2, "linesTruncated": True}
    result = calls.result(tools["find"], {"pattern": "?", "limit": 1})
    assert "[1 results limit reached. Use limit=2 for more" in calls.first_text(result)
    assert result.details == {"resultLimitReached": 1}
    result = calls.result(tools["ls"], {"limit": 1})
    assert calls.first_text(result) == "f\n\n[1 entries limit reached. Use limit=2 for more]"


@pytest.mark.parametrize(
    ("name", "arguments", "text"),
    [
        ("grep", {"pattern": "x", "path": "no"}, "Path not found: {}/no"),
        ("grep", {"pattern": "x", "path": "pipe"}, "Not a regular file: {}/pipe"),
        ("grep", {"pattern": "x", "path": "/dev/zero"}, "Not a regular file: /dev/zero"),
        ("find", {"pattern": "x", "path": "no"}, "Path not found: {}/no"),
        ("find", {"pattern": "x", "path": "f"}, "Not a directory: {}/f"),
        ("ls", {"path": "no"}, "Path not found: {}/no"),
        ("ls", {"path": "loop"}, "Path not found: {}/loop"),
        ("ls", {"path": "f/x"}, "Path not found: {}/f/x"),
        ("ls", {"path": "f"}, "Not a directory: {}/f"),
        (
            "grep",
            {"pattern": "x" * 60_000},
            "The pattern is too long for a search in another place",
        ),
        ("find", {"pattern": "{a"}, "'{a' is no glob: a { has no }"),
        ("grep", {"pattern": "x", "glob": "[b-a]"}, "'[b-a]' is no glob: bad character range b-a"),
    ],
    ids=str,
)
def test_errors(
    name: str,
    arguments: dict[str, Any],
    text: str,
    calls: Calls,
    tools: dict[str, AgentTool],
    tmp_path: Path,
) -> None:
    world = write_tree(tmp_path / "world", {"f": "x"})
    os.mkfifo(world / "pipe")
    (world / "loop").symlink_to("loop")
    with pytest.raises(ToolError) as caught:
        calls.text(tools[name], arguments)
    assert str(caught.value) == text.replace("{}", str(world))


@pytest.mark.parametrize("engine", [*ENGINES, "bash"])
def test_listing_kinds_and_odd_names(
    calls: Calls, tools: dict[str, AgentTool], tmp_path: Path
) -> None:
    world = write_tree(
        tmp_path / "world", {"d/": "", ".h/": "", "..x": "", "*": "", "-n": "", "two\nlines": ""}
    )
    (world / "to-d").symlink_to("d")
    (world / "broken").symlink_to("nowhere")
    text = calls.text(tools["ls"], {})
    assert text.split("\n") == ["*", "-n", "..x", ".h/", "d/", "to-d/", "two\\nlines"]
    assert calls.text(tools["ls"], {"path": "d"}) == "(empty directory)"


@pytest.mark.parametrize("pattern", ["(?=x)", r"\p{L}", "(?i)x", "x*+", r"(a)\1", "[a&&b]"])
def test_patterns_that_grep_does_not_know(
    pattern: str, calls: Calls, posix: dict[str, AgentTool], world: Path
) -> None:
    with pytest.raises(ToolError, match=r"patterns are those of grep -E, .* install ripgrep"):
        calls.text(posix["grep"], {"pattern": pattern})


def test_a_broken_pattern_is_told(calls: Calls, tools: dict[str, AgentTool], world: Path) -> None:
    with pytest.raises(ToolError, match=r"(?i)unmatched|unclosed|parse error"):
        calls.text(tools["grep"], {"pattern": "("})


CLASSES = ["[ab]", "[^a]", r"[\d_]", "[a-c]", "[]a]", "[.]", r"[\]\-^]", r"[^\w]", r"[\[b]"]
OTHERS = ["a", "b", ".", r"\d", r"\w", r"\S", r"\W", r"\.", r"\(", r"\x61", "é", "}", "(?:a{2})"]
ATOMS = st.sampled_from([*CLASSES, *OTHERS, "(?:a|b1)", "(?P<n>a)"])
PATTERNS = st.lists(
    st.builds(lambda atom, times: atom + times, ATOMS, st.sampled_from(["", "*", "+?", "?"])),
    min_size=1,
    max_size=4,
).map("".join)


@given(
    PATTERNS.filter(lambda pattern: pattern.count("<n>") < 2),
    st.lists(st.text("ab1c_.(]-^é} ", max_size=6), max_size=20),
)
@settings(max_examples=40)
def test_grep_matches_the_lines_that_python_does(pattern: str, lines: list[str]) -> None:
    command = ["grep", "-nE", "-e", posix_pattern(f"^(?:{pattern})$").text]
    done = subprocess.run(
        command,
        input="".join(f"{line}\n" for line in lines),
        env={**os.environ, "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    matching = [number for number, line in enumerate(lines, 1) if re.fullmatch(pattern, line)]
    assert [int(line.partition(":")[0]) for line in done.stdout.splitlines()] == matching


TOKEN = "0" * 32
BODY = f"\0{TOKEN}./a\nb\0001:hit\n2-\0 \n--\n9:x\n\0{TOKEN}./c\0003:\0end\r\n".encode()
LINES = [
    FoundLine("a\\nb", 1, True, "hit"),
    FoundLine("a\\nb", 2, False, "\0 "),
    FoundLine("a\\nb", 9, True, "x"),
    FoundLine("c", 3, True, "\0end"),
]


@pytest.mark.parametrize("size", range(1, 9))
def test_output_may_come_in_any_pieces(size: int) -> None:
    said = b"welcome \x1epi\n\x1epi-stack grep directory\n%b\0end %b./x: no\n./y: no\n2"
    data = said % (BODY, TOKEN.encode())
    reader = GroupReader(TOKEN, accepts=None, name=None)
    found: list[FoundLine] = []

    def take(name: str, piece: bytes) -> bool:
        assert name == "grep directory"
        found.extend(reader.feed(piece))
        return True

    output = ProgramOutput(TOKEN, take)
    for start in range(0, len(data), size):
        output.feed(data[start : start + size])
    assert found == LINES
    assert output.report("box") == ProgramReport(2, "./x: no\n./y: no")


@pytest.mark.parametrize("said", ["", "welcome", "\x1epi-stack rg", "\x1epi-stack rg\nhit\n"])
def test_output_that_breaks_off_is_no_answer(said: str) -> None:
    output = ProgramOutput(TOKEN, lambda name, piece: True)
    output.feed(said.encode())
    with pytest.raises(ToolError, match=r"^box ended before the search did$"):
        output.report("box")


def test_output_that_is_no_match_is_not_kept() -> None:
    with pytest.raises(ToolError, match="what is no match"):
        list(GroupReader(TOKEN, accepts=None, name=None).feed(b"x" * 100_000))


def test_abort_ends_the_search_over_there(
    calls: Calls, run: Callable[..., Any], tmp_path: Path
) -> None:
    bin_dir = programs(tmp_path / "bin")
    rg = bin_dir / "rg"
    rg.write_text(f"#!/bin/sh\necho $$ >{tmp_path}/pid\nexec sleep 60\n")
    rg.chmod(0o755)
    world = write_tree(tmp_path / "world", {"f": "x"})
    grep = create_all_tools(world, over_prefix(["env", f"PATH={bin_dir}"]))["grep"]

    async def scene() -> int:
        controller = AbortController()
        call = asyncio.create_task(calls.start(grep, {"pattern": "x"}, signal=controller.signal))
        pid = tmp_path / "pid"
        while not (pid.exists() and pid.read_text().strip()):
            await asyncio.sleep(0.005)
        controller.abort()
        with pytest.raises(ToolError, match=r"^Operation aborted$"):
            await call
        return int(pid.read_text())

    wait_dead(run(scene()))


@pytest.mark.parametrize(
    ("argv", "shown"),
    [
        (["sh", "-c", "echo refused >&2; exit 255"], "failed with exit code 255: refused"),
        (["no-such-client"], "spawn no-such-client ENOENT"),
    ],
    ids=["not reached", "no client"],
)
@pytest.mark.parametrize("name", ["grep", "find", "ls"])
def test_place_that_cannot_be_reached(name: str, argv: list[str], shown: str, calls: Calls) -> None:
    arguments = {} if name == "ls" else {"pattern": "x"}
    with pytest.raises(ToolError) as caught:
        calls.text(create_all_tools("/r", over_prefix(argv))[name], arguments)
    assert str(caught.value).endswith(shown)


def test_a_search_takes_no_longer_than_it_may(calls: Calls, tmp_path: Path) -> None:
    bin_dir = programs(tmp_path / "bin")
    (bin_dir / "find").unlink()
    (bin_dir / "find").write_text("#!/bin/sh\nexec sleep 60\n")
    (bin_dir / "find").chmod(0o755)
    world = write_tree(tmp_path / "world", {"f": "x"})
    find = create_all_tools(world, over_prefix(["env", f"PATH={bin_dir}"], timeout=0.3))["find"]
    with pytest.raises(ToolError, match=r"^No end of the search in 0.3 seconds: narrow it$"):
        calls.text(find, {"pattern": "x"})


def test_agent_in_another_root_searches_that_root(calls: Calls, tmp_path: Path) -> None:
    prefix = in_root(tmp_path / "root")
    if prefix is None:
        return  # This machine has no namespaces; the other tests use prefixes it does have.
    write_tree(tmp_path / "root/work", {"f.txt": "one hit"})
    write_tree(tmp_path / "outside", {"f.txt": "another hit"})
    tools = create_all_tools("/work", over_prefix(prefix))
    assert shown(calls.text(tools["grep"], {"pattern": "hit"})) == {"f.txt:1: one hit"}
    assert shown(calls.text(tools["find"], {"pattern": "*.txt"})) == {"f.txt"}
    assert calls.text(tools["ls"], {}) == "f.txt"
    for name, more in (("grep", {"pattern": "x"}), ("find", {"pattern": "x"}), ("ls", {})):
        with pytest.raises(ToolError, match=r"^Path not found: "):
            calls.text(tools[name], {"path": str(tmp_path / "outside"), **more})
