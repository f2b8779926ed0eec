from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pi_tools.line_endings import Replacement, splice, splice_original, to_lf

TEXT = st.text(alphabet="ab\r\n", max_size=30)


@st.composite
def originals_with_replacements(draw: st.DrawFn) -> tuple[str, list[Replacement]]:
    original = draw(TEXT)
    length = len(to_lf(original))
    cuts = sorted(draw(st.lists(st.integers(0, length), max_size=8)))
    pairs = list(zip(cuts[::2], cuts[1::2], strict=False))
    return original, [Replacement(a, b, draw(st.text("x\n", max_size=4))) for a, b in pairs]


@given(originals_with_replacements())
def test_original_after_the_edit_is_the_edited_text(
    case: tuple[str, list[Replacement]],
) -> None:
    original, replacements = case
    assert to_lf(splice_original(original, replacements)) == splice(to_lf(original), replacements)


@given(TEXT, TEXT, TEXT)
def test_what_is_outside_the_edit_keeps_its_bytes(before: str, old: str, after: str) -> None:
    # Letters around the old text keep its line breaks apart from its neighbours'.
    original = f"{before}<{old}>{after}"
    start = len(to_lf(before)) + 1
    changed = splice_original(original, [Replacement(start, start + len(to_lf(old)), "new")])
    assert changed == f"{before}<new>{after}"


@pytest.mark.parametrize(
    ("text", "lf"), [("a\r\nb\rc\n", "a\nb\nc\n"), ("\r\r\n\n", "\n\n\n"), ("", "")]
)
def test_to_lf(text: str, lf: str) -> None:
    assert to_lf(text) == lf
