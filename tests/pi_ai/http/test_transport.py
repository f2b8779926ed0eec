"""Header layers, and what a request shows of itself."""

from __future__ import annotations

from pi_ai.http.transport import HttpRequest, merge_headers


def test_ai_core_check_26_later_layers_win_without_case_and_keep_their_spelling() -> None:
    merged = merge_headers(
        {"x-a": "auth", "X-C": "auth"},
        {"X-A": "model", "x-b": "model"},
        {"X-B": None, "x-d": "req"},
    )
    assert merged == {"X-C": "auth", "X-A": "model", "X-B": None, "x-d": "req"}
    assert list(merged) == ["X-C", "X-A", "X-B", "x-d"]


def test_missing_layers_are_empty() -> None:
    assert merge_headers(None, {"a": "1"}, None) == {"a": "1"}


def test_a_request_shows_neither_headers_nor_body() -> None:
    request = HttpRequest(url="http://h/", headers={"Authorization": "secret"}, body=b"secret")
    assert "secret" not in repr(request)
    assert repr(request) == "<HttpRequest http://h/, 6 bytes>"
