"""Token endpoints that are slow, broken or hostile, for every login and refresh.

Auth spec, sections 12, 13 and D-15.
"""

from __future__ import annotations

import asyncio
import json
import logging
import traceback
from typing import Any
from urllib.parse import parse_qsl

import pytest

from pi_ai.auth.oauth.anthropic import AnthropicOAuth
from pi_ai.auth.oauth.endpoints import AnthropicEndpoints, ChatGptEndpoints, CodexEndpoints
from pi_ai.auth.oauth.openai_chatgpt import ChatGptOAuth
from pi_ai.auth.oauth.openai_codex import CodexOAuth
from pi_ai.auth.oauth.runtime import OAuthRuntime
from pi_ai.auth.types import OAuthCredential
from pi_ai.errors import OAuthError
from pi_ai.testing import LoopbackRequest, LoopbackResponse
from support.logins import WITH_DEVICE_ID, Host, at, log_in, token_server, told, with_state
from support.raw_server import OK_HEAD, Peer, RawServer

CODE = "the-authorization-code-0123456789"
STORED = OAuthCredential(
    "the-old-access-token-0123456789",
    "the-old-refresh-token-0123456789",
    0,
    extra={"clientId": "issued"},
)
LOGINS: dict[str, Any] = {
    "anthropic": (AnthropicOAuth, AnthropicEndpoints(), f"{CODE}#{{S}}"),
    "codex": (CodexOAuth, CodexEndpoints(), f"{CODE}#{{S}}"),
    "chatgpt": (
        ChatGptOAuth,
        ChatGptEndpoints(),
        f"{{R}}?code={CODE}&client_id=issued&state={{S}}",
    ),
}
PREFIXES = {
    ("anthropic", "login"): "Token exchange ",
    ("anthropic", "refresh"): "Anthropic token refresh ",
    ("codex", "login"): "OpenAI Codex token exchange ",
    ("codex", "refresh"): "OpenAI Codex token refresh ",
    ("chatgpt", "login"): "OpenAI OAuth token re",
    ("chatgpt", "refresh"): "",
}
WAYS = [pytest.param(*each, id="-".join(each)) for each in PREFIXES]


async def attempt(name: str, way: str, url: str, **runtime: Any) -> OAuthCredential:
    kind, known, paste = LOGINS[name]
    endpoints = at(known, url)
    login = kind(endpoints, OAuthRuntime(**runtime))
    if way == "refresh":
        return await login.refresh(STORED)
    filled = paste if name != "chatgpt" else paste.replace("{R}", endpoints.redirect_uri)
    return await log_in(login, Host(paste=with_state(filled)), WITH_DEVICE_ID)


async def failure(name: str, way: str, url: str, **runtime: Any) -> OAuthError:
    with pytest.raises(OAuthError) as caught:
        await attempt(name, way, url, **runtime)
    assert str(caught.value).startswith(PREFIXES[name, way])
    return caught.value


@pytest.mark.parametrize(("name", "way"), WAYS)
@pytest.mark.parametrize(
    ("answer", "retryable"),
    [
        pytest.param(told(b"not json"), False, id="no-json"),
        pytest.param(told(b"[1]"), False, id="no-object"),
        pytest.param(told(b"\xff\xfe"), False, id="no-utf-8"),
        pytest.param(told(b"[" * 100_000), False, id="nested"),
        pytest.param(told(b"{}"), False, id="empty"),
        pytest.param(told(b'{"a":"' + b"x" * (1 << 20) + b'"}'), False, id="over-1-MiB"),
        pytest.param(told(b"oops", 500), True, id="500"),
        pytest.param(told(b'{"error":"slow"}', 429), True, id="429"),
        pytest.param(told(b'{"error":5}', 400), False, id="odd-error"),
        pytest.param(LoopbackResponse(b"{", abort=True), True, id="cut-off"),
    ],
)
def test_a_broken_token_endpoint_is_an_error(
    name: str, way: str, answer: Any, retryable: bool
) -> None:
    async def run() -> OAuthError:
        async with token_server(answer) as server:
            error = await failure(name, way, server.url)
            assert len(server.requests) == 1
            return error

    assert asyncio.run(run()).retryable is retryable


@pytest.mark.parametrize(("name", "way"), WAYS)
def test_a_slow_token_endpoint_times_out(name: str, way: str) -> None:
    async def drip(peer: Peer) -> None:
        await peer.send(OK_HEAD + b"Content-Length: 1000\r\n\r\n")
        while not peer.gone.is_set():
            await peer.send(b" ")
            await asyncio.sleep(0.01)

    async def run() -> None:
        async with RawServer(drip) as server:
            if way == "refresh":  # its caller sets the limit
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(attempt(name, way, server.url), 0.3)
            else:
                error = await failure(name, way, server.url, request_timeout_seconds=0.3)
                assert "0.3 s" in str(error)
                assert error.retryable
            await asyncio.wait_for(server.all_closed(), 5)

    asyncio.run(run())


@pytest.mark.parametrize(("name", "way"), WAYS)
def test_an_unreachable_token_endpoint_is_an_error(name: str, way: str) -> None:
    error = asyncio.run(failure(name, way, "http://127.0.0.1:1"))
    assert error.retryable
    assert error.status is None


@pytest.mark.parametrize(("name", "way"), WAYS)
@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_auth_check_33_a_redirect_is_never_followed(name: str, way: str, status: int) -> None:
    def redirect(request: LoopbackRequest) -> LoopbackResponse:
        host = request.headers["host"]
        return LoopbackResponse(b"", status, {"Location": f"http://{host}/elsewhere"})

    async def run() -> None:
        async with token_server(redirect) as server:
            error = await failure(name, way, server.url)
            assert error.status == status
            assert len(server.requests) == 1

    asyncio.run(run())


def echo(request: LoopbackRequest) -> LoopbackResponse:
    """Refuses with all that it was sent, and more secrets."""
    more = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln"
    body = request.body.decode()
    if body.startswith("{"):
        values = " ".join(json.loads(body).values())
    else:
        values = " ".join(value for _, value in parse_qsl(body))
    answer = {
        "error": "invalid_grant",
        "error_description": f"{values} {more} {body}",
        "access_token": more,
    }
    return told(json.dumps(answer).encode(), 400)


@pytest.mark.parametrize(("name", "way"), WAYS)
def test_auth_checks_33_and_57_what_a_server_repeats_does_not_leak(
    name: str, way: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)

    async def run() -> tuple[OAuthError, list[str]]:
        async with token_server(echo) as server:
            error = await failure(name, way, server.url)
            [request] = server.requests
            body = request.body.decode()
            pairs = json.loads(body).items() if body[0] == "{" else parse_qsl(body)
            secret = {"code", "state", "code_verifier", "refresh_token"}
            return error, [value for key, value in pairs if key in secret]

    error, secrets = asyncio.run(run())
    assert error.code == "invalid_grant"
    frames = traceback.StackSummary.extract(
        traceback.walk_tb(error.__traceback__), capture_locals=True
    )
    locals_of_ours = [repr(frame.locals) for frame in frames if "/src/pi_ai/" in frame.filename]
    assert any("_exchange" in frame.name or "refresh" in frame.name for frame in frames)
    assert secrets
    for secret in [*secrets, "eyJhbGciOiJSUzI1NiJ9"]:
        assert secret not in str(error)
        assert secret not in caplog.text
        assert secret not in "".join(locals_of_ours)


@pytest.mark.parametrize(("name", "way"), WAYS)
def test_the_protocols_own_words_stay_readable(name: str, way: str) -> None:
    grant = "authorization_code" if way == "login" else "refresh_token"
    body = {"error": f"{grant}_expired", "error_description": f"the {grant} is too old"}

    async def run() -> OAuthError:
        async with token_server(told(json.dumps(body).encode(), 400)) as server:
            return await failure(name, way, server.url)

    error = asyncio.run(run())
    assert error.code == f"{grant}_expired"
    assert f"{grant}_expired: the {grant} is too old" in str(error)
