from __future__ import annotations

import re
import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pi_tools import clean_output
from pi_tools.output_cleaning import OutputCleaner

# The spec's two patterns and two sets of characters, word for word.
ANSI = re.compile(
    r"\x1b\][\s\S]*?(?:\x07|\x1b\\|\x9c)"
    r"|(?:(?:\x1b\[|\x9b)[<=>]|[\x1b\x9b][\[\]()#;?]*)(?:\d{1,4}(?:[;:]\d{0,4})*)?"
    r"[\dA-PR-TZcf-nq-uy=><~]",
    re.ASCII,
)
CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufff9-\ufffb]")

SEQUENCES = ["\x1b[31m", "\x1b]0;t\x07", "\x1b]8;;u\x1b\\", "\x9b1;2H", "\x1b[?25l", "\x1b(B"]
TEXT = st.lists(
    st.one_of(
        st.sampled_from(SEQUENCES),
        st.text(
            "\x1b\x9b\x9c\x07[]()#;:?<=>\\0123456789mHtQbzAPRSTYZacfgnpquvy{~ \r\n\t\x00é",
            max_size=6,
        ),
    ),
    max_size=12,
).map("".join)


def reference(text: str) -> str:
    return CONTROLS.sub("", ANSI.sub("", text)).replace("\r", "")


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("a\x00\t\n\r\x0b\x1b\x7f\x80\ufff9\ufffb\ufffcb", "a\t\n\x7f\x80\ufffcb"),
        ("\x1b[31mred\x1b[0m\r\n\x00\x01\x07ok\x1b]0;title\x07x\t", "red\nokx\t"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x9c", "link"),
        ("\x1b]0;unfinished", "nfinished"),
        ("\x1b[38;5;1mx\x9b0my", "xy"),
        ("\x1b", ""),
        ("\x9b", "\x9b"),
        ("\x1b[31", ""),
        ("", ""),
    ],
)
def test_tools_check_60_cleaned_text(text: str, clean: str) -> None:
    assert clean_output(text) == clean


def test_every_last_character_of_a_sequence() -> None:
    for start in ("\x1b", "\x1b[", "\x1b[1;2", "\x9b", "\x9b<", "\x1b(", "\x1b[1234"):
        for code in range(256):
            text = f"a{start}{chr(code)}b"
            assert clean_output(text) == reference(text), ascii(text)


@given(TEXT)
def test_text_at_once_is_what_the_patterns_leave(text: str) -> None:
    assert clean_output(text) == reference(text)


@given(TEXT, st.data())
def test_pieces_are_cleaned_as_the_whole(text: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    edges = [0, *cuts, len(text)]
    cleaner = OutputCleaner()
    pieces = [cleaner.feed(text[start:end]) for start, end in pairwise(edges)]
    assert "".join(pieces) + cleaner.finish() == reference(text)


def test_text_without_sequences_is_not_held_back() -> None:
    cleaner = OutputCleaner()
    assert [cleaner.feed(piece) for piece in ("a\x1b[3", "1mb", "\x1b[0m", "c")] == [
        "a",
        "b",
        "",
        "c",
    ]
    assert cleaner.finish() == ""


def test_endless_sequence_is_given_up_after_256_characters() -> None:
    cleaner = OutputCleaner()
    assert cleaner.feed("\x1b]0;" + "t" * 252) == ""
    assert cleaner.feed("t") == "t" * 252
    assert cleaner.feed("\x07after") == "after"


@pytest.mark.parametrize("piece", ["\x1b]", "\x1b[1;", "\x9b;", "\x1b"], ids=repr)
def test_hostile_text_takes_linear_time(piece: str) -> None:
    started = time.monotonic()
    clean_output(piece * 100_000)
    assert time.monotonic() - started < 5
