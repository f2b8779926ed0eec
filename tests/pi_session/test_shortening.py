"""Texts made to fit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pi_ai.estimate import utf16_len
from pi_session.shortening import fit_texts, head_of, level_to_fit, shorten_middle

TEXTS = st.text("ab😀\ud83d\n", max_size=300) | st.builds(
    lambda piece, count: piece * count, st.sampled_from(["x", "😀", "é "]), st.integers(0, 3000)
)


@given(TEXTS, st.integers(0, 3000))
def test_head_is_a_prefix_and_parts_no_pair(text: str, length: int) -> None:
    head = head_of(text, length)
    assert text.startswith(head)
    assert length - 1 <= utf16_len(head) <= length or head == text


@given(TEXTS, st.integers(0, 3000))
def test_shortened_text_keeps_its_head_and_tail(text: str, length: int) -> None:
    short = shorten_middle(text, length)
    assert utf16_len(short) <= length or short == text
    if utf16_len(text) <= length:
        assert short == text
    elif length >= 120:
        head, marker, rest = short.partition("\n\n[... ")
        count, _, tail = rest.partition(" characters left out ...]\n\n")
        assert marker
        assert text.startswith(head)
        assert text.endswith(tail)
        assert int(count) == utf16_len(text) - utf16_len(head) - utf16_len(tail)


def test_marker_says_how_much_is_left_out() -> None:
    short = shorten_middle("a" * 600 + "b" * 400, 200)
    assert short == "a" * 108 + "\n\n[... 838 characters left out ...]\n\n" + "b" * 54


@given(st.lists(st.integers(0, 100)), st.integers(0, 2000))
def test_level_is_the_highest_that_fits(lengths: list[int], limit: int) -> None:
    level = level_to_fit(lengths, limit)
    if level is None:
        assert sum(lengths) <= limit
    else:
        assert sum(min(length, level) for length in lengths) <= limit
        assert sum(min(length, level + 1) for length in lengths) > limit


@given(st.lists(TEXTS, max_size=12), st.integers(500, 8000))
def test_texts_fit_whatever_they_are(texts: list[str], limit: int) -> None:
    joined = "\n\n".join(texts)
    fitted = fit_texts(texts, limit)
    assert utf16_len(fitted) <= limit
    if utf16_len(joined) <= limit:
        assert fitted == joined


def test_the_longest_texts_are_shortened_first() -> None:
    fitted = fit_texts(["short", "y" * 5000, "also short", "z" * 800], 2000)
    assert fitted.startswith("short\n\nyyy")
    assert "\n\nalso short\n\n" in fitted
    assert fitted.endswith("z" * 800)
    assert utf16_len(fitted) > 1990


def test_of_too_many_texts_the_first_and_the_last_stay() -> None:
    texts = [f"{n:03} " + "w" * 496 for n in range(100)]
    kept = fit_texts(texts, 4500).split("\n\n[... ")
    fitted = fit_texts(texts, 4500)
    assert utf16_len(fitted) <= 4500
    assert fitted.startswith("000 ")
    assert "\n\n001 " in fitted
    assert "\n\n099 " in fitted
    assert "\n\n050 " not in fitted
    assert any(part.split()[1:4] == ["messages", "left", "out"] for part in kept)


@pytest.mark.parametrize("limit", [0, 10, 60])
def test_a_limit_for_nothing_gives_a_short_text(limit: int) -> None:
    assert len(fit_texts(["a" * 1000], limit)) <= limit
    assert len(fit_texts(["a" * 1000] * 50, limit)) < 60
