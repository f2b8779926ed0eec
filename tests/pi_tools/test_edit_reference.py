"""Edits of random texts against the spec's rules, written down a second time.

The reference keeps one token per character and line break, and looks at one line after the other:
it shares no code with the tool but the fuzzy form of a text, which has tests of its own.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pi_agent.types import AgentTool, ToolError
from pi_tools import create_edit_tool
from pi_tools.matching import fuzzy_form

if TYPE_CHECKING:
    from tests.pi_tools.conftest import Calls

Edits = list[tuple[str, str]]


class RefusedError(Exception):
    """The edit is refused; the text is the kind of refusal."""


def lf(text: str) -> str:
    return "".join("\n" if token in ("\r\n", "\r") else token for token in tokens(text))


def tokens(text: str) -> list[str]:
    return re.findall(r"\r\n|[\s\S]", text)


def places(searched: str, old: str) -> list[int]:
    """Where `old` is, one after the other."""
    found: list[int] = []
    at = 0
    while at + len(old) <= len(searched):
        if searched[at : at + len(old)] == old:
            found.append(at)
            at += len(old)
        else:
            at += 1
    return found


def line_break(original: str, offset: int) -> str:
    later = [at for at, char in enumerate(original) if char == "\n" and at >= offset]
    earlier = [at for at, char in enumerate(original) if char == "\n" and at <= offset]
    chosen = later[0] if later else earlier[-1] if earlier else None
    if chosen is None:
        return "\r" if "\r" in original else "\n"
    return "\r\n" if original[max(0, chosen - 1)] == "\r" else "\n"


def by_the_rules(original: str, edits: Edits) -> str:
    """The file after the edits. Raises RefusedError. Source: tools spec, 6.3, 6.4 and 14-1 to 3."""
    edits = [(lf(old), lf(new)) for old, new in edits]
    norm = lf(original)
    fuzzy = fuzzy_form(norm)
    if any(not old for old, _ in edits):
        raise RefusedError("empty")
    is_fuzzy = any(
        not places(norm, old) and fuzzy_form(old) and places(fuzzy, fuzzy_form(old))
        for old, _ in edits
    )
    searched = fuzzy if is_fuzzy else norm
    found: list[tuple[int, int, str]] = []
    for old, new in edits:
        if is_fuzzy and not places(searched, old) and fuzzy_form(old):
            old = fuzzy_form(old)
        at = places(searched, old)
        if len(at) != 1:
            raise RefusedError("duplicate" if at else "not found")
        found.append((at[0], at[0] + len(old), new))
    found.sort(key=lambda each: each[0])
    for number, (_, end, _) in enumerate(found[:-1]):
        if end > found[number + 1][0]:
            raise RefusedError("overlap")
    replacements = whole_lines(norm, fuzzy, found) if is_fuzzy else found
    after = norm
    for start, end, new in reversed(replacements):
        after = after[:start] + new + after[end:]
    if after == norm:
        raise RefusedError("no change")
    return in_original(original, replacements)


def whole_lines(
    norm: str, fuzzy: str, found: list[tuple[int, int, str]]
) -> list[tuple[int, int, str]]:
    """The edits of the fuzzy text as edits of whole lines of the other."""
    norm_lines, fuzzy_lines = norm.split("\n"), fuzzy.split("\n")
    touched = [
        [number for number in range(len(fuzzy_lines)) if touches(fuzzy_lines, number, start, end)]
        for start, end, _ in found
    ]
    groups: list[tuple[int, int, list[tuple[int, int, str]]]] = []
    for lines, each in zip(touched, found, strict=True):
        if groups and lines[0] <= groups[-1][1]:
            first, last, members = groups.pop()
            groups.append((first, max(last, lines[-1]), [*members, each]))
        else:
            groups.append((lines[0], lines[-1], [each]))
    widened: list[tuple[int, int, str]] = []
    for first, last, members in groups:
        base = starts(fuzzy_lines)[first]
        text = fuzzy[base : starts(fuzzy_lines)[last + 1]]
        for start, end, new in reversed(members):
            text = text[: start - base] + new + text[end - base :]
        widened.append((starts(norm_lines)[first], starts(norm_lines)[last + 1], text))
    return widened


def starts(lines: list[str]) -> list[int]:
    found = [sum(len(line) + 1 for line in lines[:number]) for number in range(len(lines) + 1)]
    found[-1] -= 1
    return found


def touches(lines: list[str], number: int, start: int, end: int) -> bool:
    first = starts(lines)[number]
    return first < end and start < first + len(lines[number]) + 1


def in_original(original: str, replacements: list[tuple[int, int, str]]) -> str:
    parts = tokens(original)
    pieces: list[str] = []
    done = 0
    for start, end, new in replacements:
        ending = line_break(original, len("".join(parts[:start])))
        pieces += ["".join(parts[done:start]), new.replace("\n", ending)]
        done = end
    pieces.append("".join(parts[done:]))
    result = ""
    for piece in pieces:
        seam = result.endswith("\r") and piece.startswith("\n") and "\r" in original
        result += ("\n" if seam else "") + piece
    return result


CHARACTERS = ["a", "b", "c", "'", "\u2019", '"', "\u201c", "-", "\u2014", " ", "\u00a0", "\uff21"]
ENDINGS = ["\n", "\n", "\r\n", "\r"]
PLAIN = str.maketrans("\u2019\u201c\u2014\u00a0\uff21", "'\"- A")
LINE = st.builds(
    lambda body, space: body + space,
    st.lists(st.sampled_from(CHARACTERS), max_size=4).map("".join),
    st.sampled_from(["", "", " ", "  "]),
)


@st.composite
def texts(draw: st.DrawFn) -> str:
    lines = draw(st.lists(LINE, min_size=1, max_size=6))
    endings = [draw(st.sampled_from(ENDINGS)) for _ in lines]
    endings[-1] = draw(st.sampled_from(["", *ENDINGS]))
    return "".join(line + ending for line, ending in zip(lines, endings, strict=True))


@st.composite
def edits_of(draw: st.DrawFn, text: str) -> Edits:
    """Edits whose old texts are pieces of `text`, as they are or as a model might spell them."""
    norm = lf(text)
    edits: Edits = []
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(norm)))
        old = norm[start : start + draw(st.integers(0, 8))]
        spelling = draw(st.sampled_from(["same", "same", "plain", "trimmed", "crlf", "other"]))
        match spelling:
            case "plain":
                old = old.translate(PLAIN)
            case "trimmed":
                old = "\n".join(line.rstrip() for line in old.translate(PLAIN).split("\n"))
            case "crlf":
                old = old.replace("\n", "\r\n")
            case "other":
                old = f"{old}z"
            case _:
                pass
        new = "".join(draw(st.lists(st.sampled_from(["x", "y", "\n", "\r\n", "\r"]), max_size=4)))
        edits.append((old, draw(st.sampled_from([new, new, old]))))
    return edits


KINDS = {
    "must not be empty": "empty",
    "Could not find": "not found",
    "occurrences of": "duplicate",
    "overlap in": "overlap",
    "No changes made": "no change",
}


def test_edit_of_random_text_is_as_the_rules_say(calls: Calls, tmp_path: Path) -> None:
    tool = create_edit_tool(tmp_path)
    file = tmp_path / "f"
    ends: set[str] = set()

    @given(st.data())
    @settings(max_examples=300)
    def check(data: st.DataObject) -> None:
        text = data.draw(texts())
        edits = data.draw(edits_of(text))
        file.write_bytes(text.encode())
        try:
            wanted, end = by_the_rules(text, edits), "made"
        except RefusedError as error:
            wanted, end = text, str(error)
        arguments = {"path": "f", "edits": [{"oldText": old, "newText": new} for old, new in edits]}
        assert outcome(calls, tool, arguments) == end
        assert file.read_bytes().decode() == wanted
        ends.add(end)

    check()
    assert "made" in ends
    assert len(ends) > 2, f"most of the rules were not tried: {ends}"


def outcome(calls: Calls, tool: AgentTool, arguments: dict[str, Any]) -> str:
    try:
        calls.result(tool, arguments)
    except ToolError as error:
        return next(kind for words, kind in KINDS.items() if words in str(error))
    return "made"
