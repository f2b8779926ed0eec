from __future__ import annotations

import re
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from pi_tools.diff import EditDetails, describe_change
from pi_tools.line_endings import Replacement, splice
from pi_tools.myers import diff_lines

LINE = st.sampled_from(["", "a", "b", "c d", "-", "+x", " y", "@@ -1,1 +1,1 @@"])
TEXT = st.builds(
    lambda lines, end: "\n".join(lines) + end,
    st.lists(LINE, max_size=90),
    st.sampled_from(["", "\n"]),
)


@st.composite
def changes(draw: st.DrawFn) -> tuple[str, list[Replacement]]:
    text = draw(TEXT)
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), min_size=2, max_size=6)))
    pairs = list(zip(cuts[::2], cuts[1::2], strict=False))
    replacements = [
        Replacement(start, end, draw(st.text("ab\n", max_size=12))) for start, end in pairs
    ]
    assume(splice(text, replacements) != text)
    return text, replacements


HUNK = re.compile(r"@@ -(\d+),(\d+) \+(\d+),(\d+) @@\n")


def apply_patch(old: str, patch: str) -> str:
    """A patch program: places every hunk by its numbers and checks each line it names."""
    lines = re.findall(r"[^\n]*\n|[^\n]+", patch)
    assert lines[:2] == ["--- some file\n", "+++ some file\n"]
    source = re.findall(r"[^\n]*\n|[^\n]+", old)
    made: list[str] = []
    at = 0
    index = 2
    while index < len(lines):
        match = HUNK.fullmatch(lines[index])
        assert match, lines[index]
        start, count, new_start, new_count = map(int, match.groups())
        first = start - (count > 0)
        made += source[at:first]
        at = first
        assert len(made) == new_start - (new_count > 0)
        index += 1
        used = added = 0
        while index < len(lines) and not (used == count and added == new_count):
            sign, text = lines[index][0], lines[index][1:]
            index += 1
            if index < len(lines) and lines[index].startswith("\\"):
                text = text.removesuffix("\n")
                index += 1
            if sign in " -":
                assert source[at] == text
                at += 1
                used += 1
            if sign in " +":
                made.append(text)
                added += 1
        assert (used, added) == (count, new_count)
    return "".join(made + source[at:])


@given(changes(), st.sampled_from([0, 200_000]))
def test_patch_applied_gives_the_new_text(
    change: tuple[str, list[Replacement]], max_steps: int
) -> None:
    old, replacements = change
    details = describe_change("some file", old, replacements, max_steps)
    assert apply_patch(old, details.patch) == splice(old, replacements)


def changed_lines(patch: str) -> list[str]:
    return [line for line in patch.split("\n")[2:] if line[:1] in ("-", "+")]


@given(changes())
def test_change_near_the_edits_is_that_of_the_whole_texts(
    change: tuple[str, list[Replacement]],
) -> None:
    """Which of several equal lines is shown as changed; 30 lines are within every window."""
    old, replacements = change
    assume(old.count("\n") < 30)
    new = splice(old, replacements)
    old_lines, new_lines = old.splitlines(keepends=True), new.splitlines(keepends=True)
    wanted: list[str] = []
    at = {"-": 0, "+": 0}
    for kind, count in diff_lines(old_lines, new_lines):
        if kind == "=":
            at = {sign: place + count for sign, place in at.items()}
            continue
        lines = (old_lines if kind == "-" else new_lines)[at[kind] : at[kind] + count]
        wanted += [kind + line.removesuffix("\n") for line in lines]
        at[kind] += count
    assert changed_lines(describe_change("f", old, replacements).patch) == wanted


@given(changes())
def test_diff_numbers_its_lines(change: tuple[str, list[Replacement]]) -> None:
    old, replacements = change
    new = splice(old, replacements)
    details = describe_change("f", old, replacements)
    old_lines, new_lines = old.split("\n"), new.split("\n")
    shown = details.diff.split("\n")
    width = len(str(max(len(old_lines), len(new_lines))))
    marker = " " * (width + 2) + "..."
    for line in shown:
        if line == marker:
            continue
        sign, number, text = line[0], int(line[1 : width + 1]), line[width + 2 :]
        assert line[width + 1] == " "
        assert (new_lines if sign == "+" else old_lines)[number - 1] == text
    changed = [line for line in shown if line[0] != " "]
    assert all(one != marker or other != marker for one, other in pairwise(shown))
    first = changed[0]
    if first[0] == "+":
        assert details.first_changed_line == int(first[1 : width + 1])


@pytest.mark.parametrize(
    ("old", "replacements"),
    [
        pytest.param("a\nb\nc", [Replacement(4, 5, "d\n")], id="final newline added"),
        pytest.param("a\nb\nc\n", [Replacement(5, 6, "")], id="final newline removed"),
        pytest.param("abc", [Replacement(0, 3, "")], id="emptied"),
        pytest.param(
            "".join(f"{n}\n" for n in range(100)),
            [Replacement(0, 2, "x\ny\n"), Replacement(150, 153, ""), Replacement(290, 290, "\n")],
            id="several hunks",
        ),
        pytest.param(
            "".join(f"{n}\n" for n in range(1000, 1400)),
            [
                Replacement(0, 5, "x\ny\nz\n"),
                Replacement(1000, 1020, ""),
                Replacement(1900, 1900, "q"),
            ],
            id="hunks too far apart for one window",
        ),
        pytest.param("", [Replacement(0, 0, "a\n")], id="from nothing"),
    ],
)
def test_patch_is_accepted_here_and_by_the_patch_program(
    old: str, replacements: list[Replacement], tmp_path: Path
) -> None:
    details = describe_change("some file", old, replacements)
    assert apply_patch(old, details.patch) == splice(old, replacements)
    check_with_patch_program(old, details.patch, splice(old, replacements), folder=tmp_path)


@given(changes())
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_patch_program_makes_the_new_text(
    tmp_path: Path, change: tuple[str, list[Replacement]]
) -> None:
    old, replacements = change
    details = describe_change("some file", old, replacements)
    check_with_patch_program(old, details.patch, splice(old, replacements), folder=tmp_path)


def check_with_patch_program(old: str, patch: str, new: str, *, folder: Path) -> None:
    """Where there is a patch program, apply `patch` with it and compare."""
    program = shutil.which("patch")
    if program is None:
        return
    (folder / "f").write_text(old)
    subprocess.run(
        [program, "--fuzz=0", "-s", "-o", "out", "f"], input=patch.encode(), cwd=folder, check=True
    )
    assert (folder / "out").read_text() == new


def test_empty_ranges_start_one_line_earlier() -> None:
    assert "@@ -0,0 +1,1 @@" in describe_change("f", "", [Replacement(0, 0, "a\n")]).patch
    assert "@@ -1,1 +0,0 @@" in describe_change("f", "a\n", [Replacement(0, 2, "")]).patch


def test_huge_replacement_is_shown_as_one_block() -> None:
    old = "head\n" + "".join(f"old {n}\n" for n in range(3000)) + "tail\n"
    new = "".join(f"new {n}\n" for n in range(3000))
    details = describe_change("f", old, [Replacement(5, len(old) - 5, new)])
    assert details.patch.count("@@") == 2
    assert "@@ -1,3002 +1,3002 @@" in details.patch
    assert details.first_changed_line == 2


def test_far_away_lines_do_not_matter() -> None:
    old = "x\n" * 50 + "a\n" + "y\n" * 100_000
    details = describe_change("f", old, [Replacement(100, 101, "b")])
    assert details == EditDetails(
        diff="        ...\n     47 x\n     48 x\n     49 x\n     50 x\n-    51 a\n+    51 b\n"
        "     52 y\n     53 y\n     54 y\n     55 y\n        ...",
        patch="--- f\n+++ f\n@@ -47,9 +47,9 @@\n x\n x\n x\n x\n-a\n+b\n y\n y\n y\n y\n",
        first_changed_line=51,
    )


MEGABYTE = 1024 * 1024


@pytest.mark.parametrize("end", ["", "\n"])
@pytest.mark.parametrize("character", ["x", "€", "\udcff"], ids=ascii)
def test_stored_texts_of_a_huge_line_are_bounded(character: str, end: str) -> None:
    """And say how much is left out: the rest of the old line, and the new one."""
    old = character * 1_200_000 + end
    details = describe_change("f", old, [Replacement(0, 1, "y")])
    rest = r"(1\.3|5\.9)MB"
    for text, marker in (
        (details.diff, rf"   \.\.\. {rest} of the diff left out"),
        (details.patch, rf"\\ {rest} of the patch left out\n"),
    ):
        assert MEGABYTE - 4 < len(text.encode()) < MEGABYTE + 80
        last = text.removesuffix("\n").rpartition("\n")[2] + ("\n" if text[-1] == "\n" else "")
        assert re.fullmatch(marker, last), last
    assert details.diff.startswith(f"-1 {character if character != chr(0xDCFF) else chr(0xFFFD)}")
    assert details.first_changed_line == 1


def test_stored_texts_of_many_lines_are_cut_once() -> None:
    old = "".join(f"line {number}\n" for number in range(120_000))
    details = describe_change("f", old, [Replacement(0, len(old), "new\n")], max_steps=10)
    lines = details.patch.splitlines()
    assert lines[2] == "@@ -1,120000 +1,1 @@"
    assert [line for line in lines if not line.startswith(("-", "@"))][1:] == [lines[-1]]
    assert re.fullmatch(r"\\ [\d.]+[MK]B of the patch left out", lines[-1])
    assert len(details.diff) < MEGABYTE + 80


def test_texts_of_just_a_megabyte_are_whole() -> None:
    old = "a" * (MEGABYTE - 200) + "\nb\n"
    details = describe_change("f", old, [Replacement(len(old) - 2, len(old) - 1, "c")])
    assert details.diff.endswith("a\n-2 b\n+2 c")
    assert "left out" not in details.patch
