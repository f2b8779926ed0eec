"""The lines of a proxy's stream are the same records however the body is cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pi_ai.api._data_lines import DataLines

LINES = st.sampled_from(
    [b"data: {}", b"data: \xc3\xa9", b"data:  a ", b"data: ", b"data:x", b"event: e", b": c", b""]
)
BODIES = st.lists(st.tuples(LINES, st.sampled_from([b"\n", b"\r\n", b"\n\n"]))).map(
    lambda lines: b"".join(line + end for line, end in lines)
)


def cut(body: bytes, sizes: list[int]) -> list[bytes]:
    """The records of `body`, fed in pieces of `sizes` bytes, the rest at once."""
    lines = DataLines()
    found: list[bytes] = []
    for size in sizes:
        found += [record.data for record in lines.feed(body[:size])]
        body = body[size:]
    found += [record.data for record in lines.feed(body)]
    return found + [record.data for record in lines.end()]


@given(BODIES, st.lists(st.integers(0, 9)), st.booleans())
def test_the_cuts_do_not_matter(body: bytes, sizes: list[int], ends: bool) -> None:
    if not ends:
        body = body.rstrip(b"\r\n")
    wanted = [
        line[6:].strip()
        for line in body.split(b"\n")
        if line.startswith(b"data: ") and line[6:].strip()
    ]
    assert cut(body, sizes) == wanted


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        (b"data: a\ndata: b\r\n\r\n: c\nevent: d\ndata:e\ndata: \ndata: f", [b"a", b"b", b"f"]),
        (b"", []),
        (b"\n\n", []),
        (b"data: a\rdata: b\n", [b"a\rdata: b"]),
    ],
)
def test_lines_that_count(body: bytes, wanted: list[bytes]) -> None:
    assert cut(body, []) == wanted
