from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pi_tools.line_window import LineWindow
from pi_tools.truncate import truncate_head

PART = st.sampled_from([b"\n", b"\n", b"a", b"bcd", b"\xe2\x82", b"\xac", b"\xff"])
PIECES = st.lists(st.lists(PART, max_size=4).map(b"".join), max_size=8)


def window_over(pieces: list[bytes], start: int, limit: int | None) -> LineWindow:
    window = LineWindow(start, limit, max_lines=3, max_bytes=8)
    for piece in pieces:
        window.feed(piece)
    return window


@given(PIECES, st.integers(0, 5), st.none() | st.integers(1, 5))
@example([b"a\n", b"b"], 0, 1)
@example([b"a\nb"], 1, None)
@example([b"a", b"\n\n", b"b\n"], 2, 2)
def test_window_over_pieces_equals_head_of_the_whole_text(
    pieces: list[bytes], start: int, limit: int | None
) -> None:
    lines = b"".join(pieces).decode("utf-8", "replace").split("\n")
    window = window_over(pieces, start, limit)
    result = window.finish()
    assert window.total_lines == len(lines)
    if start >= len(lines):
        assert window.remaining_lines <= 0
        return
    chosen = lines[start:] if limit is None else lines[start : start + limit]
    assert result == truncate_head("\n".join(chosen), max_lines=3, max_bytes=8)
    assert window.first_line_bytes == len(chosen[0].encode())
    assert window.remaining_lines == len(lines) - start - len(chosen)


@pytest.mark.parametrize("limit", [None, 2])
def test_window_keeps_little_of_a_long_file(limit: int | None) -> None:
    window = LineWindow(1, limit)
    piece = b"x" * 65536 + b"\n"
    for _ in range(200):
        window.feed(piece)
    assert window.finish().first_line_exceeds_limit
    assert window.total_lines == 201
    kept = window._selection._kept
    assert len(kept) == 51201
