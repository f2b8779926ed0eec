from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pi_tools import TruncationResult, format_size, truncate_head, truncate_line, truncate_tail

TEXTS = st.text(alphabet="ab€\n", max_size=40)


@st.composite
def texts_with_caps(draw: st.DrawFn) -> tuple[str, int, int]:
    """A text, and caps that are often just at its size, or one off."""
    text = draw(TEXTS)
    near = st.integers(-2, 1)
    lines = draw(st.integers(1, 12) | near.map(lambda by: max(1, len(lines_of(text)) + by)))
    return text, lines, draw(st.integers(1, 12) | near.map(lambda by: max(1, size(text) + by)))


@pytest.mark.parametrize(
    ("text", "max_bytes", "content", "by", "exceeds"),
    [
        pytest.param("a\nb\nc\n", 5, "a\nb\nc", "lines", False, id="only the final newline"),
        pytest.param("a\nb\nc\n", 3, "a\nb", "bytes", False, id="bytes"),
        pytest.param("abc\nd", 2, "", "bytes", True, id="huge first line"),
    ],
)
def test_tools_check_68_truncate_head(
    text: str, max_bytes: int, content: str, by: str, exceeds: bool
) -> None:
    result = truncate_head(text, max_bytes=max_bytes)
    assert (result.content, result.truncated_by) == (content, by)
    assert result.first_line_exceeds_limit is exceeds


def test_tools_check_68_truncate_tail_cuts_a_huge_line_between_characters() -> None:
    result = truncate_tail("ab€cd", max_bytes=4)
    assert (result.content, result.truncated_by, result.last_line_partial) == ("cd", "bytes", True)


def test_tools_check_68_truncate_line() -> None:
    assert truncate_line("abcdef", 3) == "abc... [truncated]"
    assert truncate_line("abc", 3) == "abc"


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0B"),
        (1023, "1023B"),
        (1024, "1.0KB"),
        (1280, "1.3KB"),
        (1536, "1.5KB"),
        (51200, "50.0KB"),
        (60000, "58.6KB"),
        (1048575, "1024.0KB"),
        (1048576, "1.0MB"),
        (1572864, "1.5MB"),
    ],
)
def test_tools_check_68_format_size_rounds_halves_up(size: int, text: str) -> None:
    assert format_size(size) == text


def test_stored_form_has_the_keys_in_order_and_no_content() -> None:
    assert list(truncate_head("a\nb", max_lines=1).stored().items()) == [
        ("truncated", True),
        ("truncatedBy", "lines"),
        ("totalLines", 2),
        ("totalBytes", 3),
        ("outputLines", 1),
        ("outputBytes", 1),
        ("lastLinePartial", False),
        ("firstLineExceedsLimit", False),
        ("maxLines", 1),
        ("maxBytes", 51200),
    ]
    assert truncate_head("a").stored()["truncatedBy"] is None


def lines_of(text: str) -> list[str]:
    return text.removesuffix("\n").split("\n") if text else []


def size(text: str) -> int:
    return len(text.encode())


def taken(lines: list[str], max_lines: int, max_bytes: int) -> tuple[list[str], str]:
    """The rule of the spec, word for word: one line after the other while both caps allow."""
    kept: list[str] = []
    used = 0
    for line in lines:
        if len(kept) == max_lines:
            break
        cost = size(line) + (1 if kept else 0)
        if used + cost > max_bytes:
            return kept, "bytes"
        kept.append(line)
        used += cost
    return kept, "lines"


def check_totals(result: TruncationResult, text: str) -> None:
    assert result.total_lines == len(lines_of(text))
    assert result.total_bytes == size(text)
    assert result.output_bytes == size(result.content)


@given(texts_with_caps())
def test_head_keeps_what_the_rule_keeps(case: tuple[str, int, int]) -> None:
    text, max_lines, max_bytes = case
    result = truncate_head(text, max_lines, max_bytes)
    check_totals(result, text)
    lines = lines_of(text)
    if len(lines) <= max_lines and size(text) <= max_bytes:
        assert (result.content, result.truncated, result.truncated_by) == (text, False, None)
        return
    kept, by = taken(lines, max_lines, max_bytes)
    assert result.content == "\n".join(kept)
    assert result.truncated_by == by
    assert result.output_lines == len(kept)
    assert result.first_line_exceeds_limit is (size(lines[0]) > max_bytes)


@given(texts_with_caps())
def test_tail_keeps_what_the_rule_keeps(case: tuple[str, int, int]) -> None:
    text, max_lines, max_bytes = case
    result = truncate_tail(text, max_lines, max_bytes)
    check_totals(result, text)
    lines = lines_of(text)
    if len(lines) <= max_lines and size(text) <= max_bytes:
        assert (result.content, result.truncated, result.truncated_by) == (text, False, None)
        return
    if size(lines[-1]) > max_bytes:
        assert result.last_line_partial
        assert lines[-1].endswith(result.content)
        assert max_bytes - 2 <= size(result.content) <= max_bytes
        return
    kept, by = taken(lines[::-1], max_lines, max_bytes)
    assert result.content == "\n".join(reversed(kept))
    assert result.truncated_by == by
    assert result.output_lines == len(kept)
    assert not result.last_line_partial
