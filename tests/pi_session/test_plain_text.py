"""Texts made fit for one line."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pi_session.plain_text import counted, one_line, usd


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("  a\r\n\tb\u2028c\x0bd  ", "a b c d", id="white-space"),
        pytest.param("\x1b[31mred\x1b[0m", "\ufffd[31mred\ufffd[0m", id="ansi"),
        pytest.param("\x9b31mred\x07\x00", "\ufffd31mred\ufffd\ufffd", id="c1-and-bell"),
        pytest.param("a\u202eb\u2066c\u200fd", "a\ufffdb\ufffdc\ufffdd", id="direction-marks"),
        pytest.param("a\ud83db", "a\ufffdb", id="lone-surrogate"),
        pytest.param("a\U000e0041b\ufeff\u00ad", "a\ufffdb\ufffd\ufffd", id="invisible"),
        pytest.param("👩\u200d💻 naïve 日本", "👩\u200d💻 naïve 日本", id="joined-emoji"),
        pytest.param("123456789012", "123456789…", id="too-long"),
        pytest.param("1234567890", "1234567890", id="just-fits"),
        pytest.param("x" + " " * 60 + "y", "x…", id="mostly-white-space"),
    ],
)
def test_one_line(text: str, shown: str) -> None:
    assert one_line(text, 10 if len(text) > 30 or text.isdigit() else 40) == shown


@given(st.text(max_size=60), st.integers(1, 40))
def test_no_text_gets_out_of_its_line(text: str, limit: int) -> None:
    shown = one_line(text, limit)
    assert len(shown) <= limit
    assert "\n" not in shown
    allowed = {"\u200c", "\u200d"}
    unsafe = {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert not [c for c in shown if unicodedata.category(c) in unsafe and c not in allowed]
    assert one_line(shown, limit) == shown


@pytest.mark.parametrize(
    ("amount", "shown"),
    [(0, "$0.00"), (0.000105, "$0.000105"), (0.25, "$0.2500"), (1234.5, "$1,234.50")],
)
def test_usd(amount: float, shown: str) -> None:
    assert usd(amount) == shown


def test_counted() -> None:
    assert counted(1, "message") == "1 message"
    assert counted(1200, "entry", "entries") == "1,200 entries"
