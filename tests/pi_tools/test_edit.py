from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pi_agent.types import ToolError
from pi_ai import AbortController
from pi_tools import create_edit_tool, prepare_edit_arguments

if TYPE_CHECKING:
    from tests.pi_tools.conftest import Calls

Edits = list[tuple[str, str]]

NOT_FOUND = (
    "Could not find the exact text in f. "
    "The old text must match exactly including all whitespace and newlines."
)
NO_CHANGE = (
    "No changes made to f. The replacement produced identical content. This might indicate an "
    "issue with special characters or the text not existing as expected."
)
LINES_20 = "".join(f"l{number}\n" for number in range(1, 21))
LINES_30 = "".join(f"l{number}\n" for number in range(1, 31))
LINES_99 = "".join(f"l{number}\n" for number in range(1, 100))


def dup(count: int, index: int | None = None) -> str:
    if index is None:
        what, text = "the text", "The text"
    else:
        what, text = f"edits[{index}]", "Each oldText"
    return (
        f"Found {count} occurrences of {what} in f. {text} must be unique. "
        "Please provide more context to make it unique."
    )


def overlap(one: int, other: int) -> str:
    return (
        f"edits[{one}] and edits[{other}] overlap in f. "
        "Merge them into one edit or target disjoint regions."
    )


def as_arguments(edits: Edits) -> dict[str, Any]:
    return {"path": "f", "edits": [{"oldText": old, "newText": new} for old, new in edits]}


def edit(calls: Calls, folder: Path, content: str | bytes, edits: Edits) -> tuple[bytes, Any, str]:
    """The file after the edits, the details and the text."""
    file = folder / "f"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    result = calls.result(create_edit_tool(folder), as_arguments(edits))
    assert not result.is_error
    return file.read_bytes(), result.details, calls.first_text(result)


def test_tools_check_24_edit_shows_diff_and_patch(calls: Calls, tmp_path: Path) -> None:
    data, details, text = edit(calls, tmp_path, "Hello, world!", [("world", "testing")])
    assert data == b"Hello, testing!"
    assert text == "Successfully replaced 1 block(s) in f."
    assert list(details.items()) == [
        ("diff", "-1 Hello, world!\n+1 Hello, testing!"),
        (
            "patch",
            "--- f\n+++ f\n@@ -1,1 +1,1 @@\n-Hello, world!\n\\ No newline at end of file\n"
            "+Hello, testing!\n\\ No newline at end of file\n",
        ),
        ("firstChangedLine", 1),
    ]


def test_tools_check_25_two_edits_in_any_order(calls: Calls, tmp_path: Path) -> None:
    _, details, text = edit(calls, tmp_path, "a\nb\nc\nd\n", [("d", "D"), ("a", "A")])
    assert text == "Successfully replaced 2 block(s) in f."
    assert details["diff"] == "-1 a\n+1 A\n 2 b\n 3 c\n-4 d\n+4 D"
    assert details["patch"].count("@@ -") == 1
    assert "@@ -1,4 +1,4 @@" in details["patch"]


def test_tools_check_26_context_and_skip_markers(calls: Calls, tmp_path: Path) -> None:
    _, details, _ = edit(calls, tmp_path, LINES_20, [("l10\n", "L10\n")])
    assert details["diff"] == (
        "    ...\n  6 l6\n  7 l7\n  8 l8\n  9 l9\n-10 l10\n+10 L10\n 11 l11\n 12 l12\n 13 l13\n"
        " 14 l14\n    ..."
    )
    assert "@@ -6,9 +6,9 @@" in details["patch"]
    assert details["firstChangedLine"] == 10


def test_tools_check_27_changes_close_to_each_other_share_a_hunk(
    calls: Calls, tmp_path: Path
) -> None:
    _, details, _ = edit(calls, tmp_path, LINES_30, [("l5\n", "x\n"), ("l14\n", "y\n")])
    assert details["patch"].count("\n@@ ") == 1
    assert "@@ -1,18 +1,18 @@" in details["patch"]
    assert details["diff"].count("...") == 1
    assert details["diff"].endswith("    ...")


def test_tools_check_27_changes_apart_have_hunks_of_their_own(calls: Calls, tmp_path: Path) -> None:
    _, details, _ = edit(calls, tmp_path, LINES_30, [("l5\n", "x\n"), ("l15\n", "y\n")])
    hunks = [line for line in details["patch"].split("\n") if line.startswith("@@")]
    assert hunks == ["@@ -1,9 +1,9 @@", "@@ -11,9 +11,9 @@"]
    assert "  9 l9\n    ...\n 11 l11\n" in details["diff"]


def test_tools_check_27_context_after_an_insertion_has_old_numbers(
    calls: Calls, tmp_path: Path
) -> None:
    _, details, _ = edit(calls, tmp_path, LINES_99, [("l50\n", "l50\nx\n")])
    assert "  50 l50\n+ 51 x\n  51 l51\n" in details["diff"]
    assert details["firstChangedLine"] == 51


def test_tools_check_28_empty_result_and_final_newline(calls: Calls, tmp_path: Path) -> None:
    data, details, _ = edit(calls, tmp_path, "abc", [("abc", "")])
    assert data == b""
    assert "@@ -1,1 +0,0 @@" in details["patch"]
    _, details, _ = edit(calls, tmp_path, "a\nb", [("b", "b\n")])
    assert details["diff"] == " 1 a\n-2 b\n+2 b"


BOM = "\ufeff"
REPLACED: list[tuple[str, str | bytes, Edits, str | bytes]] = [
    ("29 no-op beside a change", "abc", [("b", "b"), ("c", "C")], "abC"),
    ("31 touching", "abcdef", [("abc", "x"), ("def", "y")], "xy"),
    (
        "32 crlf",
        "first\r\nsecond\r\nthird\r\n",
        [("second\n", "REPL\nX\n")],
        "first\r\nREPL\r\nX\r\nthird\r\n",
    ),
    ("33 mixed, from lf", "a\r\nb\nc\r\n", [("b\nc", "B\nC")], "a\r\nB\nC\r\n"),
    ("33 mixed, from crlf", "a\r\nb\nc\r\n", [("a\nb", "A\nB")], "A\r\nB\nc\r\n"),
    ("34 old mac", "a\rb\rc", [("b", "B\nB2")], "a\rB\rB2\rc"),
    ("34 lone cr before lf", "a\rb\nc\n", [("c", "C\nC2")], "a\rb\nC\nC2\n"),
    ("34 last line", "a\r\nb", [("b", "B\nB2")], "a\r\nB\r\nB2"),
    ("35 seam before new text", "a\rb\nc\n", [("b\n", "\nz\n")], "a\r\n\nz\nc\n"),
    ("35 seam over a deletion", "x\ra\ny\n", [("a", "")], "x\r\n\ny\n"),
    ("35 new text with crlf", "a\n", [("a", "x\r\ny")], "x\ny\n"),
    ("35 new text with cr", "a\n", [("a", "x\ry")], "x\ny\n"),
    ("36 bom", f"{BOM}first\r\nsecond\r\n", [("first", "F")], f"{BOM}F\r\nsecond\r\n"),
    (
        "37 trailing spaces",
        "line one   \nline two  \nline three  \n",
        [("line one\nline two\n", "replaced\n")],
        "replaced\nline three  \n",
    ),
    (
        "38 curly quotes",
        "say “hi” and ‘yo’\nnext—line\n",
        [('"hi"', '"HI"')],
        "say \"HI\" and 'yo'\nnext—line\n",
    ),
    (
        "39 other lines keep their bytes",
        "x = ‘a’;\nkeep—me  \nz = 1;  \n",
        [("x = 'a';", "x = 'b';"), ("z = 1;", "z = 2;")],
        "x = 'b';\nkeep—me  \nz = 2;\n",
    ),
    (
        "40 compatibility forms",
        "ＡＢＣ１２３\ncafe\u0301\n",
        [("ABC123\ncafé\n", "XYZ\n")],
        "XYZ\n",
    ),
    ("40 ellipsis", "wait…ok\n", [("wait...ok", "go")], "go\n"),
    (
        "40 fuzzy in crlf",
        "a  \r\nb—c\r\nd\r\n",
        [("a\nb-c\n", "A\nB\n")],
        "A\r\nB\r\nd\r\n",
    ),
    ("42 straight beside curly", "a ‘q’\na 'q'\n", [("a 'q'", "z")], "a ‘q’\nz\n"),
    ("42 exact with trailing space", "b c\nabd\n", [("b ", "Q")], "Qc\nabd\n"),
    ("43 spaces only", "if x:\n    y\n", [("    ", "\t")], "if x:\n\ty\n"),
    (
        "42 exact in the fuzzy text",
        "‘q’\nb c\nab\n",
        [("'q'", "Q"), ("b ", "X")],
        "Q\nXc\nab\n",
    ),
    ("44 last line of spaces", "a  \nb\n   ", [("a\nb", "X")], "X\n   "),
    ("44 invalid utf-8", b"a\xff\nb\n", [("b", "B")], b"a\xff\nB\n"),
    ("46 dollar signs", "a$1b", [("$1", "$&$$")], "a$&$$b"),
    ("two edits on one fuzzy line", "‘a’ ‘b’ \nc\n", [("'a'", "1"), ("'b'", "2")], "1 2\nc\n"),
    ("lone surrogate in new text", "a", [("a", "\ud800")], "\ufffd"),
]


@pytest.mark.parametrize(
    ("content", "edits", "expected"),
    [pytest.param(*case, id=name) for name, *case in REPLACED],
)
def test_tools_check_29_to_46_edit_result(
    content: str | bytes, edits: Edits, expected: str | bytes, calls: Calls, tmp_path: Path
) -> None:
    data, details, _ = edit(calls, tmp_path, content, edits)
    assert data == (expected.encode() if isinstance(expected, str) else expected)
    assert "\r" not in details["diff"]
    assert "\r" not in details["patch"]


REFUSED: list[tuple[str, str, Edits, str]] = [
    ("29 not found", "abc", [("x", "y")], NOT_FOUND),
    (
        "29 not found among several",
        "abc",
        [("a", "A"), ("x", "y")],
        "Could not find edits[1] in f. "
        "The oldText must match exactly including all whitespace and newlines.",
    ),
    ("29 empty", "abc", [("", "y")], "oldText must not be empty in f."),
    (
        "29 empty among several",
        "abc",
        [("a", "A"), ("", "y")],
        "edits[1].oldText must not be empty in f.",
    ),
    ("29 no change", "abc", [("b", "b")], NO_CHANGE),
    (
        "29 no change by several",
        "abc",
        [("b", "b"), ("c", "c")],
        "No changes made to f. The replacements produced identical content.",
    ),
    ("30 duplicate", "foo foo foo", [("foo", "bar")], dup(3)),
    ("30 duplicate without overlap", "aaaa", [("aa", "b")], dup(2)),
    ("30 duplicate before not found", "foo foo", [("foo", "x"), ("zzz", "y")], dup(2, 0)),
    ("31 overlap", "abcdef", [("cdef", "y"), ("abcd", "x")], overlap(1, 0)),
    ("31 overlap from the same place", "abcdef", [("abc", "x"), ("ab", "y")], overlap(0, 1)),
    ("36 bom in old text", f"{BOM}first\n", [(f"{BOM}first", "F")], NOT_FOUND),
    ("41 leading space", "    a", [("\ta", "b")], NOT_FOUND),
    ("41 case", "Abc", [("abc", "b")], NOT_FOUND),
    ("41 inner space", "a  b", [("a b", "c")], NOT_FOUND),
    ("41 duplicate", "hello world   \nhello world\n", [("hello world", "r")], dup(2)),
    ("fuzzy duplicate", "‘a’\n‘a’\n", [("'a'", "r")], dup(2)),
    ("43 spaces in an empty file", "", [("  ", "Z")], NOT_FOUND),
    ("part of a composed character", "e\u0301", [("ｅ", "x")], NOT_FOUND),
]


@pytest.mark.parametrize(
    ("content", "edits", "text"),
    [pytest.param(*case, id=name) for name, *case in REFUSED],
)
def test_tools_check_29_to_43_edit_error_leaves_the_file(
    content: str, edits: Edits, text: str, calls: Calls, tmp_path: Path
) -> None:
    with pytest.raises(ToolError) as caught:
        edit(calls, tmp_path, content, edits)
    assert str(caught.value) == text
    assert (tmp_path / "f").read_bytes() == content.encode()


def test_tools_check_37_diff_of_a_fuzzy_edit(calls: Calls, tmp_path: Path) -> None:
    _, details, _ = edit(
        calls,
        tmp_path,
        "line one   \nline two  \nline three  \n",
        [("line one\nline two\n", "replaced\n")],
    )
    assert details["diff"] == ("-1 line one   \n-2 line two  \n+1 replaced\n 3 line three  ")


def test_invalid_bytes_are_replaced_in_diff_and_patch(calls: Calls, tmp_path: Path) -> None:
    _, details, _ = edit(calls, tmp_path, b"a\xff\nb\n", [("b", "B")])
    assert details["diff"] == " 1 a\ufffd\n-2 b\n+2 B"
    assert " a\ufffd\n" in details["patch"]


E1 = {"oldText": "1", "newText": "2"}
AB = {"oldText": "a", "newText": "b"}


@pytest.mark.parametrize(
    ("arguments", "prepared"),
    [
        ({"path": "f", **AB, "extra": 1}, {"path": "f", "extra": 1, "edits": [AB]}),
        ({"path": "f", "edits": [E1], **AB}, {"path": "f", "edits": [E1, AB]}),
        ({"path": "f", "edits": 5, **AB}, {"path": "f", "edits": [AB]}),
        ({"path": "f", "edits": json.dumps([E1, AB])}, {"path": "f", "edits": [E1, AB]}),
        ({"path": "f", "edits": json.dumps(E1)}, {"path": "f", "edits": [E1]}),
        ({"path": "f", "edits": E1}, {"path": "f", "edits": [E1]}),
        ({"path": "f", "edits": "nonsense"}, {"path": "f", "edits": "nonsense"}),
        ({"path": "f", "edits": "5"}, {"path": "f", "edits": "5"}),
        ({"path": "f", "oldText": "a"}, {"path": "f", "oldText": "a"}),
    ],
    ids=lambda value: json.dumps(value),
)
def test_tools_check_45_arguments_are_brought_into_shape(
    arguments: dict[str, Any], prepared: dict[str, Any]
) -> None:
    before = json.dumps(arguments)
    assert prepare_edit_arguments(arguments) == prepared
    assert json.dumps(arguments) == before


@pytest.mark.parametrize("arguments", [{"edits": []}, {}, {"edits": None}, {"edits": "x"}])
def test_tools_check_45_edit_without_edits(
    arguments: dict[str, Any], calls: Calls, tmp_path: Path
) -> None:
    with pytest.raises(ToolError) as caught:
        calls.result(create_edit_tool(tmp_path), {"path": "f", **arguments})
    assert str(caught.value) == (
        "Edit tool input is invalid. edits must contain at least one replacement."
    )


def test_tools_check_46_missing_file_and_directory(calls: Calls, tmp_path: Path) -> None:
    tool = create_edit_tool(tmp_path)
    with pytest.raises(ToolError) as caught:
        calls.result(tool, {**as_arguments([("a", "b")]), "path": "nope.txt"})
    assert str(caught.value) == "Could not edit file: nope.txt. Error code: ENOENT."
    with pytest.raises(ToolError) as caught:
        calls.result(tool, {**as_arguments([("a", "b")]), "path": "."})
    assert str(caught.value) == "EISDIR: illegal operation on a directory, read"


class Remote:
    """Files in memory; logs what is asked of it."""

    def __init__(self, content: bytes = b"a", *, down: bool = False) -> None:
        self.content = content
        self.down = down
        self.on_write: Callable[[], None] = lambda: None
        self.log: list[str] = []

    async def access(self, path: str) -> None:
        self.log.append(f"access {path}")
        if self.down:
            raise RuntimeError("remote down")

    async def read_file(self, path: str) -> bytes:
        self.log.append(f"read {path}")
        return self.content

    async def write_file(self, path: str, data: bytes) -> None:
        self.on_write()
        await asyncio.sleep(0.01)
        self.content = data
        self.log.append(f"write {path}")


def test_tools_check_46_error_without_a_code(calls: Calls) -> None:
    tool = create_edit_tool("/r", operations=Remote(down=True))
    with pytest.raises(ToolError) as caught:
        calls.result(tool, {**as_arguments([("a", "b")]), "path": "q"})
    assert str(caught.value) == "Could not edit file: q. Error: remote down."


def test_edit_goes_through_its_operations(calls: Calls) -> None:
    remote = Remote()
    tool = create_edit_tool("/r", operations=remote)
    calls.result(tool, as_arguments([("a", "b")]), host_cwd=Path("/other"))
    assert remote.log == ["access /other/f", "read /other/f", "write /other/f"]
    assert remote.content == b"b"


def test_abort_during_the_write_is_reported_although_it_happened(calls: Calls) -> None:
    controller = AbortController()
    remote = Remote()

    remote.on_write = controller.abort
    with pytest.raises(ToolError, match=r"^Operation aborted$"):
        calls.result(
            create_edit_tool("/r", operations=remote),
            as_arguments([("a", "b")]),
            signal=controller.signal,
        )
    assert remote.content == b"b"


def test_tools_check_23_concurrent_edits_of_a_file_all_land(
    calls: Calls, run: Any, tmp_path: Path
) -> None:
    (tmp_path / "f").write_text("a b c")
    tool = create_edit_tool(tmp_path)

    async def all_at_once() -> None:
        await asyncio.gather(
            *(calls.start(tool, as_arguments([(letter, letter.upper())])) for letter in "abc")
        )

    run(all_at_once())
    assert (tmp_path / "f").read_text() == "A B C"


ENDINGS = st.lists(st.sampled_from(["\n", "\r\n", "\r"]), min_size=1, max_size=8)


@given(ENDINGS, st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_edit_among_random_line_endings_is_as_the_rule_says(
    calls: Calls, tmp_path: Path, endings: list[str], data: st.DataObject
) -> None:
    index = data.draw(st.integers(0, len(endings) - 1))
    lines = [f"line {number}{ending}" for number, ending in enumerate(endings)]
    before, line, after = "".join(lines[:index]), lines[index], "".join(lines[index + 1 :])
    later_or_earlier = [*endings[index:], *reversed(endings[:index])]
    inserted = next((ending for ending in later_or_earlier if "\n" in ending), "\r")
    expected = before + line.replace(f"line {index}", f"one{inserted}two") + after
    changed, _, _ = edit(calls, tmp_path, before + line + after, [(f"line {index}", "one\ntwo")])
    assert changed == expected.encode()
