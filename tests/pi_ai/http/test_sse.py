"""The decoder of server-sent events against a naive one, however the body is cut."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pi_ai.http.sse import SseDecoder, SseRecord


def decode(*pieces: bytes) -> list[tuple[str, bytes]]:
    decoder = SseDecoder()
    records = [record for piece in pieces for record in decoder.feed(piece)]
    return [(record.event, record.data) for record in [*records, *decoder.end()]]


def naive(body: bytes) -> list[tuple[str, bytes]]:
    """The HTML standard's algorithm over the whole body, and a last event without blank line."""
    text = body.removeprefix(b"\xef\xbb\xbf")
    lines = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    records: list[tuple[str, bytes]] = []
    event, data = "", b""
    for line in [*lines, b""]:
        if line == b"":
            if data:
                records.append((event, data[:-1]))
            event, data = "", b""
            continue
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            data += value + b"\n"
        elif name == b"event":
            event = value.decode("utf-8", "replace")
    return records


CASES = {
    "plain": (b"data: a\n\ndata: b\n\n", [("", b"a"), ("", b"b")]),
    "event-name": (b"event: x\ndata: a\n\ndata: b\n\n", [("x", b"a"), ("", b"b")]),
    "event-name-behind-the-data": (b"data: a\nevent: x\n\n", [("x", b"a")]),
    "last-event-name-wins": (b"event: x\nevent: y\ndata: a\n\n", [("y", b"a")]),
    "event-name-is-reset": (b"event: x\nevent\ndata: a\n\n", [("", b"a")]),
    "name-without-data-is-no-event": (b"event: x\n\ndata: a\n\n", [("", b"a")]),
    "crlf": (b"event: x\r\ndata: a\r\n\r\n", [("x", b"a")]),
    "cr": (b"data: a\r\rdata: b\r\r", [("", b"a"), ("", b"b")]),
    "mixed-line-ends": (
        b"data: a\r\n\ndata: b\r\r\ndata: c\n\r\n",
        [("", b"a"), ("", b"b"), ("", b"c")],
    ),
    "multi-line-data": (b"data: a\ndata:\ndata: b\n\n", [("", b"a\n\nb")]),
    "one-space-is-removed": (b"data:  a \n\ndata:b\n\n", [("", b" a "), ("", b"b")]),
    "comments": (b": hi\n:\ndata: a\n: x\n\n", [("", b"a")]),
    "unknown-fields": (b"id: 1\nretry: 5\ndatas: z\nfoo\ndata: a\n\n", [("", b"a")]),
    "empty-data": (b"data\n\ndata:\n\n", [("", b""), ("", b"")]),
    "no-final-blank-line": (b"data: a\n\ndata: b\n", [("", b"a"), ("", b"b")]),
    "no-final-line-end": (b"data: a\n\ndata: b", [("", b"a"), ("", b"b")]),
    "bom": (b"\xef\xbb\xbfdata: a\n\n", [("", b"a")]),
    "bom-in-the-middle-is-text": (b"data: \xef\xbb\xbf\n\n", [("", b"\xef\xbb\xbf")]),
    "only-half-a-bom": (b"\xef\xbb", []),
    "invalid-utf-8-is-kept": (b"event: \xff\ndata: \xff\xfe\n\n", [("\ufffd", b"\xff\xfe")]),
    "other-unicode-line-ends-are-text": (
        "data: a\u2028b\x0bc\x85d\n\n".encode(),
        [("", "a\u2028b\x0bc\x85d".encode())],
    ),
    "nul": (b"data: \x00\n\n", [("", b"\x00")]),
    "empty": (b"", []),
    "blank-lines": (b"\n\r\n\r\n\n", []),
}


@pytest.mark.parametrize("case", CASES)
def test_body_gives_its_records(case: str) -> None:
    body, wanted = CASES[case]
    assert decode(body) == wanted
    assert naive(body) == wanted


@pytest.mark.parametrize("case", CASES)
def test_body_cut_anywhere_gives_the_same_records(case: str) -> None:
    body, wanted = CASES[case]
    for first in range(len(body) + 1):
        for second in range(first, len(body) + 1):
            assert decode(body[:first], body[first:second], body[second:]) == wanted
    assert decode(*(body[i : i + 1] for i in range(len(body)))) == wanted


FRAGMENTS = st.sampled_from(
    [
        b"data:",
        b"data: ",
        b"data",
        b"event:",
        b"event: ",
        b"event",
        b": ",
        b"id: 3",
        b"x",
        b" ",
        b":",
        b"\n",
        b"\n",
        b"\n\n",
        b"\r",
        b"\r\n",
        b"\r\n\r\n",
        b"\xef\xbb\xbf",
        b"\xef",
        "é🙈".encode(),
        b"\xff",
        b"\x00",
    ]
)


@given(st.lists(FRAGMENTS, max_size=40).map(b"".join), st.lists(st.integers(0, 120), max_size=8))
def test_any_body_cut_anywhere_decodes_as_the_naive_decoder_does(
    body: bytes, cuts: list[int]
) -> None:
    at = sorted({0, len(body), *(cut for cut in cuts if cut < len(body))})
    pieces = [body[a:b] for a, b in pairwise(at)]
    assert decode(*pieces) == naive(body)


def test_a_record_is_handed_out_with_the_byte_that_ends_it() -> None:
    decoder = SseDecoder()
    assert decoder.feed(b"data: a\n") == []
    assert decoder.feed(b"\n") == [SseRecord("", b"a")]
    assert decoder.feed(b"data: b\r") == []
    assert decoder.feed(b"\r") == [SseRecord("", b"b")]


def test_a_long_line_in_many_pieces_costs_linear_time() -> None:
    def seconds(pieces: int) -> float:
        decoder = SseDecoder()
        decoder.feed(b"data: ")
        began = time.process_time()
        for _ in range(pieces):
            decoder.feed(b"x" * 50)
        assert len(decoder.feed(b"\n\n")[0].data) == pieces * 50
        return time.process_time() - began

    small = min(seconds(4_000) for _ in range(3))
    large = min(seconds(32_000) for _ in range(3))
    assert large < 8 * small * 4  # a quadratic decoder takes 64 times as long
