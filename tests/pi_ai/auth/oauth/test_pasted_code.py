"""What a paste is read as. Auth spec, section 3.3."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pi_ai.auth.oauth.pasted_code import PastedCode, read_pasted_code
from pi_ai.errors import OAuthError


@pytest.mark.parametrize(
    ("text", "code", "state", "error"),
    [
        pytest.param("", "", "", "", id="empty"),
        pytest.param("abc", "abc", "", "", id="code"),
        pytest.param("\n abc\t", "abc", "", "", id="trimmed"),
        pytest.param("abc#S", "abc", "S", "", id="hash"),
        pytest.param("code=a#S", "code=a", "S", "", id="hash-before-query"),
        pytest.param("x=1&code=a%26b&state=S", "a&b", "S", "", id="query"),
        pytest.param("code=a%zz", "a%zz", "", "", id="broken-escape"),
        pytest.param("HTTP://X?code=a#code=b", "a", "", "", id="fragment"),
        pytest.param("com.example+x:?code=a&state=", "a", "", "", id="own-scheme"),
        pytest.param("https://x/?error=e", "", "", "e", id="error"),
        pytest.param("https://x/?error=e&error_description=d", "", "", "d", id="description"),
        pytest.param("1abc:def", "1abc:def", "", "", id="no-scheme"),
        pytest.param("a\udc80b", "ab", "", "", id="surrogate"),
    ],
)
def test_a_paste_is_read_by_its_form(text: str, code: str, state: str, error: str) -> None:
    assert read_pasted_code(text) == PastedCode(code=code, state=state, error=error)


@pytest.mark.parametrize("name", ["code", "state", "error"])
def test_a_repeated_parameter_is_refused(name: str) -> None:
    with pytest.raises(OAuthError, match=f"more than one {name}"):
        read_pasted_code(f"http://x/?code=a&state=b&error=c&{name}=d")


@given(st.text(max_size=100))
def test_any_paste_is_read_or_refused_and_can_be_sent(text: str) -> None:
    try:
        pasted = read_pasted_code(text)
    except OAuthError:
        return
    assert (pasted.code + pasted.state + pasted.error).encode() is not None
    assert repr(pasted) == "<PastedCode>"
