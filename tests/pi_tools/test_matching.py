from __future__ import annotations

import contextlib

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pi_agent.types import ToolError
from pi_tools.line_endings import splice
from pi_tools.matching import Edit, find_replacements, fuzzy_form

# Letters, look-alikes, all kinds of space, and characters that NFKC makes longer.
ALPHABET = "ab'\"- \t\n‘’“”–—\u00a0\u3000\ufeff\u2028…Ａé\u0301"
TEXT = st.text(ALPHABET, max_size=40)


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("a \t\u00a0\ufeff\u2028\nb", "a\nb"),
        ("a\x1c\nb\x85", "a\x1c\nb\x85"),
        (" a  b", " a  b"),
        ("‘’‚‛ “”„‟", "'''' \"\"\"\""),
        ("‐‑‒–—―−", "-------"),
        ("a\u2003b\u202fc", "a b c"),
        ("ＡＢＣ…", "ABC..."),
    ],
)
def test_fuzzy_form(text: str, form: str) -> None:
    assert fuzzy_form(text) == form


@given(TEXT)
def test_fuzzy_form_keeps_the_number_of_lines(text: str) -> None:
    assert fuzzy_form(text).count("\n") == text.count("\n")


@given(TEXT, st.data())
def test_a_unique_piece_is_replaced_exactly_there(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    old = text[start:end]
    assume(old and text.find(old) == text.rfind(old))
    replacements = find_replacements(text, [Edit(old, "new")], "f")
    assert splice(text, replacements) == text[:start] + "new" + text[end:]


@given(TEXT, TEXT)
def test_fuzzy_edit_changes_only_the_lines_it_touches(text: str, old: str) -> None:
    assume(old not in text and fuzzy_form(old))
    with contextlib.suppress(ToolError):
        (replacement,) = find_replacements(text, [Edit(old, "")], "f")
        form = fuzzy_form(old)
        lines = form.removesuffix("\n").count("\n") + 1
        assert replacement.start == 0 or text[replacement.start - 1] == "\n"
        assert replacement.end == len(text) or text[replacement.end - 1] == "\n"
        touched = text[replacement.start : replacement.end]
        assert touched.removesuffix("\n").count("\n") + 1 == lines
        assert form in fuzzy_form(touched) or form in fuzzy_form(touched) + "\n"
        assert len(replacement.text) == len(fuzzy_form(touched)) - len(form)


@given(TEXT, st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=4))
def test_edits_either_apply_in_order_or_are_refused(
    text: str, pairs: list[tuple[str, str]]
) -> None:
    try:
        found = find_replacements(text, [Edit(old, new) for old, new in pairs], "f")
    except ToolError:
        return
    assert 1 <= len(found) <= len(pairs)
    ends = [0, *(replacement.end for replacement in found)]
    assert all(end <= one.start for end, one in zip(ends, found, strict=False))
    assert found[-1].end <= len(text)
