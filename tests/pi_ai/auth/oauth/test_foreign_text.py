"""What may be shown of a server's text. Auth spec, section 13 and D-15."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pi_ai.auth.oauth.foreign_text import clean_text

SECRET = "a b/c+d&e=f"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Refresh token not found", "Refresh token not found"),
        ("a\r\nb\x1b[31m\u202e\x00", "a b [31m"),
        (f"code {SECRET} is used", "code <secret> is used"),
        ("code a%20b%2Fc%2Bd%26e%3Df is used", "code <secret> is used"),
        ("code a+b%2Fc%2Bd%26e%3Df is used", "code <secret> is used"),
        ("token eyJhbGciOiJSUzI1NiJ9.e30.c2ln", "token <secret>"),
        ("token sk-ant-ort01-abcdefghijkl expired", "token <secret> expired"),
        ("internationalization-is-long", "internationalization-is-long"),
    ],
    ids=["plain", "controls", "secret", "quoted", "form", "jwt", "refresh", "word"],
)
def test_secrets_and_control_characters_go(text: str, shown: str) -> None:
    assert clean_text(text, [SECRET]) == shown


@given(st.text(max_size=600), st.text(st.characters(codec="ascii"), min_size=8, max_size=40))
def test_what_is_shown_is_short_and_printable(text: str, secret: str) -> None:
    shown = clean_text(text + secret + text, [secret])
    assert len(shown) <= 300
    assert all(char.isprintable() or char.isspace() for char in shown)


def test_long_texts_cost_little() -> None:
    assert clean_text("a1" * 1_000_000) == "<secret>"
    assert len(clean_text("- " * 1_000_000)) <= 300
