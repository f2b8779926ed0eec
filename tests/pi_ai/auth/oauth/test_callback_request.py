"""Whatever is sent to the callback server is read or refused. Auth spec, section 4."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pi_ai.auth.oauth.callback_request import RefusedRequestError, read_request


def head(target: str, *lines: str) -> bytes:
    return "\r\n".join((f"GET {target} HTTP/1.1", "Host: localhost", *lines, "", "")).encode(
        "latin-1"
    )


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for sent in (data, b"GET /" + data + b" HTTP/1.1\r\nHost: localhost\r\n\r\n"):
        try:
            request = read_request(sent)
        except RefusedRequestError as error:
            status = error.status
        else:
            status = 200 if request.path.startswith("/") else 0
        assert status in {200, 400, 431}


@given(st.dictionaries(st.text(min_size=1), st.text(), max_size=5))
def test_a_query_is_read_as_it_was_meant(query: dict[str, str]) -> None:
    encoded = urlencode(query, errors="replace")
    meant = {
        name.encode(errors="replace").decode(): value.encode(errors="replace").decode()
        for name, value in query.items()
    }
    if len(meant) == len(query):
        request = read_request(head(f"/callback?{encoded}"))
        assert (request.method, request.path, dict(request.query)) == ("GET", "/callback", meant)


def test_a_configured_host_is_an_own_name() -> None:
    sent = head("/").replace(b"localhost", b"box.internal:1455")
    assert read_request(sent, ["box.internal"]).path == "/"
    with pytest.raises(RefusedRequestError, match="Unknown host"):
        read_request(sent)


def test_nothing_of_a_query_shows() -> None:
    assert "SECRET" not in repr(read_request(head("/callback?code=SECRET")))
