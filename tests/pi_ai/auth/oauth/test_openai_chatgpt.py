"""Sign in with ChatGPT. Auth spec, section 3.5; checks 24 and 28 to 30."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any
from urllib.parse import parse_qsl

import pytest

from pi_ai.auth.oauth.endpoints import ChatGptEndpoints
from pi_ai.auth.oauth.openai_chatgpt import ChatGptOAuth
from pi_ai.auth.types import LoginOptions, OAuthCredential
from pi_ai.errors import OAuthError
from pi_ai.testing.login_server import LoginServer, get_page
from support.logins import (
    DEVICE_ID,
    FROZEN,
    NOW_MS,
    WITH_DEVICE_ID,
    Host,
    TakenPort,
    at,
    is_free,
    log_in,
    token_server,
    told,
    with_state,
)

FIELDS = {
    "access_token": "A",
    "refresh_token": "R",
    "id_token": "I",
    "scope": "openid chatgpt.tokens.use.direct",
    "expires_in": 3600,
}


def tokens(**fields: Any) -> Any:
    return told(json.dumps({**FIELDS, **fields}).encode())


def test_browser_login_asks_tells_and_answers_the_browser_at_the_end() -> None:
    async def run() -> None:
        async with LoginServer() as server:
            host = Host(visit=server.visit)
            credential = await log_in(server.chatgpt(FROZEN), host, WITH_DEVICE_ID)
            assert host.kinds == ["auth_url", "manual_code", "progress"]
            [(status, page)] = await host.pages()
            assert (status, "Signed in to ChatGPT." in page) == (200, True)
            assert credential.extra == {
                "clientId": "issued_client_1",
                "scopes": ["openid", "chatgpt.tokens.use.direct"],
            }
            assert is_free(server.chatgpt_endpoints.callback_port)
            again = await server.chatgpt(FROZEN).refresh(credential)
            assert again.refresh != credential.refresh
            assert again.extra == credential.extra

    asyncio.run(run())


@pytest.mark.parametrize(("agent", "hint"), [(None, "Pi"), ("My App", "My App")])
def test_auth_check_28_the_address_has_the_eleven_parameters_in_order(
    agent: str | None, hint: str
) -> None:
    async def device_id() -> str:
        return DEVICE_ID

    async def run() -> tuple[str, str]:
        async with token_server(tokens()) as server:
            known = ChatGptEndpoints()
            endpoints = at(known, server.url, authorize_url=known.authorize_url)
            paste = with_state(f"{endpoints.redirect_uri}?code=c&client_id=i&state={{S}}")
            options = LoginOptions(agent_name=agent, get_device_id=device_id)
            host = Host(paste=paste)
            await log_in(ChatGptOAuth(endpoints), host, options)
            return host.url, endpoints.redirect_uri

    url, redirect_uri = asyncio.run(run())
    base, _, query = url.partition("?")
    assert base == "https://auth.openai.com/api/accounts/authorize"
    parameters = parse_qsl(query)
    known = dict(parameters)
    assert parameters == [
        ("client_id", "dynamic_agent_client"),
        ("agent_name_hint", hint),
        ("ext_agent_host_id", f"urn:uuid:{DEVICE_ID.lower()}"),
        ("response_type", "code"),
        ("redirect_uri", redirect_uri),
        ("resource", "https://api.openai.com/v1"),
        (
            "scope",
            "openid profile email offline_access resource.invoke chatgpt.tokens.use.direct",
        ),
        ("state", known["state"]),
        ("code_challenge", known["code_challenge"]),
        ("code_challenge_method", "S256"),
        ("nonce", known["nonce"]),
    ]
    secrets = {known[name] for name in ("state", "code_challenge", "nonce")}
    assert len(secrets) == 3
    assert all(re.fullmatch(r"[\w-]{43}", each) for each in secrets)
    assert ChatGptEndpoints().redirect_uri == "http://127.0.0.1:1455/auth/callback"


@pytest.mark.parametrize(
    "get_device_id",
    [None, lambda: "", lambda: "not-a-uuid", lambda: None, lambda: f"{{{DEVICE_ID}}}"],
    ids=["no-function", "empty", "no-uuid", "none", "braces"],
)
def test_auth_check_28_without_a_device_id_there_is_no_login(get_device_id: Any) -> None:
    text = "Sign in with ChatGPT requires a device ID (UUID) for this installation"
    host = Host()
    with pytest.raises(OAuthError) as caught:
        asyncio.run(log_in(ChatGptOAuth(), host, LoginOptions(get_device_id=get_device_id)))
    assert str(caught.value) == text
    assert host.seen == []


def test_a_method_it_does_not_have_is_refused() -> None:
    options = LoginOptions(method="device_code", get_device_id=lambda: DEVICE_ID)
    with pytest.raises(
        OAuthError, match=r"^Unknown Sign in with ChatGPT login method: device_code$"
    ):
        asyncio.run(log_in(ChatGptOAuth(), Host(), options))


def test_auth_check_29_a_callback_without_a_client_id_is_not_taken() -> None:
    async def run() -> None:
        async with token_server(tokens()) as server:
            endpoints = at(ChatGptEndpoints(), server.url)

            async def visit(_url: str) -> list[int]:
                state = host.parameters["state"]
                base = f"{endpoints.redirect_uri}?code=c&state={state}"
                pages = [await get_page(f"{base}{more}") for more in ("", "&client_id=+")]
                assert "did not contain an issued client ID" in pages[0][1]
                pages.append(await get_page(f"{base}&client_id=%20cl_123%20"))
                return [status for status, _ in pages]

            host = Host(visit=visit)
            credential = await log_in(ChatGptOAuth(endpoints, FROZEN), host, WITH_DEVICE_ID)
            assert await host.pages() == [[400, 400, 200]]
            assert credential.extra["clientId"] == "cl_123"
            sent = dict(parse_qsl(server.requests[0].body.decode()))
            assert len(sent.pop("code_verifier")) == 43
            assert sent == {
                "grant_type": "authorization_code",
                "client_id": "cl_123",
                "code": "c",
                "redirect_uri": endpoints.redirect_uri,
                "resource": "https://api.openai.com/v1",
            }
            assert server.requests[0].headers["accept"] == "application/json"

    asyncio.run(run())


def test_auth_check_33_a_callback_that_comes_again_makes_no_second_token_request() -> None:
    async def run() -> None:
        async def answer(_request: object) -> object:
            replays = [await get_page(targets[0]) for _ in range(3)]
            assert [status for status, _ in replays] == [409] * 3
            return tokens()

        async with token_server(answer) as server:
            endpoints = at(ChatGptEndpoints(), server.url)
            targets: list[str] = []

            async def visit(_url: str) -> tuple[int, str]:
                query = f"code=c&client_id=i&state={host.parameters['state']}"
                targets.append(f"{endpoints.redirect_uri}?{query}")
                return await get_page(targets[0])

            host = Host(visit=visit)
            await log_in(ChatGptOAuth(endpoints), host, WITH_DEVICE_ID)
            [(status, _)] = await host.pages()
            assert status == 200
            assert len(server.requests) == 1

    asyncio.run(run())


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        pytest.param(
            tokens(scope="openid"),
            "OpenAI OAuth grant did not include chatgpt.tokens.use.direct",
            id="30-scope",
        ),
        pytest.param(
            tokens(id_token=" "),
            "OpenAI OAuth token response did not contain an ID token",
            id="id-token",
        ),
        *(
            pytest.param(
                tokens(**{name: value}),
                f"OpenAI OAuth token response has invalid {name}",
                id=f"{name}-{value}",
            )
            for name, value in (
                ("access_token", " "),
                ("refresh_token", None),
                ("scope", 5),
                ("expires_in", -1),
                ("expires_in", "60"),
            )
        ),
        pytest.param(told(b"[]"), "OpenAI OAuth token response must be an object", id="list"),
        pytest.param(
            told(b'{"error":"invalid_client"}', 401),
            "OpenAI OAuth token request failed (401): invalid_client",
            id="401",
        ),
    ],
)
def test_auth_check_30_a_failed_exchange_is_told_to_the_browser_too(answer: Any, text: str) -> None:
    async def run() -> None:
        async with token_server(answer) as server:
            endpoints = at(ChatGptEndpoints(), server.url)

            async def visit(_url: str) -> tuple[int, str]:
                state = host.parameters["state"]
                query = f"code=c&client_id=i&state={state}"
                return await get_page(f"{endpoints.redirect_uri}?{query}")

            host = Host(visit=visit)
            with pytest.raises(OAuthError) as caught:
                await log_in(ChatGptOAuth(endpoints), host, WITH_DEVICE_ID)
            assert str(caught.value) == text
            [(status, page)] = await host.pages()
            assert (status, text in page) == (502, True)

    asyncio.run(run())


def test_auth_check_30_tokens_end_three_minutes_early() -> None:
    async def run() -> float:
        async with token_server(tokens()) as server:
            endpoints = at(ChatGptEndpoints(), server.url)
            paste = with_state(f"{endpoints.redirect_uri}?code=c&client_id=i&state={{S}}")
            login = ChatGptOAuth(endpoints, FROZEN)
            return (await log_in(login, Host(paste=paste), WITH_DEVICE_ID)).expires

    assert asyncio.run(run()) == NOW_MS + 3_420_000


def test_auth_check_24_a_busy_port_ends_the_login() -> None:
    async def run() -> None:
        with TakenPort() as taken:
            endpoints = at(ChatGptEndpoints(), "http://127.0.0.1:1", callback_port=taken)
            with pytest.raises(OAuthError) as caught:
                await log_in(ChatGptOAuth(endpoints), Host(), WITH_DEVICE_ID)
        assert str(caught.value) == (
            f"Port {taken} is in use, probably by an unfinished login in another pi session or by "
            "the Codex CLI. Cancel that login and try again."
        )

    asyncio.run(run())


@pytest.mark.parametrize(
    ("paste", "text"),
    [
        pytest.param("abc", "Paste the full callback URL from the browser", id="code"),
        pytest.param("", "Paste the full callback URL from the browser", id="empty"),
        pytest.param(
            "http://localhost:{P}/auth/callback?code=c&client_id=i&state={S}",
            "The pasted callback URL must start with {R}",
            id="host",
        ),
        pytest.param("{R}/more?code=c", "The pasted callback URL must start with {R}", id="path"),
        pytest.param("http://[", "The pasted callback URL must start with {R}", id="broken"),
        pytest.param(
            "{R}?error=denied&state={S}", "ChatGPT authorization failed: denied", id="error"
        ),
        pytest.param("{R}?error=denied&state=bad", "OAuth state mismatch", id="error-state"),
        pytest.param("{R}?state={S}&client_id=i", "Missing authorization code", id="no-code"),
        pytest.param("{R}?code=c&client_id=i", "Missing OAuth state", id="no-state"),
        pytest.param("{R}?code=c&client_id=i&state=bad", "OAuth state mismatch", id="state"),
        pytest.param(
            "{R}?code=c&state={S}",
            "OpenAI OAuth registration callback did not contain an issued client ID",
            id="no-client-id",
        ),
    ],
)
def test_only_the_whole_address_can_be_pasted(paste: str, text: str) -> None:
    async def run() -> None:
        endpoints = at(ChatGptEndpoints(), "http://127.0.0.1:1")
        uri = endpoints.redirect_uri
        filled = paste.replace("{R}", uri).replace("{P}", str(endpoints.callback_port))
        with pytest.raises(OAuthError) as caught:
            await log_in(ChatGptOAuth(endpoints), Host(paste=with_state(filled)), WITH_DEVICE_ID)
        assert str(caught.value) == text.replace("{R}", uri)

    asyncio.run(run())


def test_a_credential_without_an_issued_client_id_cannot_be_refreshed() -> None:
    text = "Stored OpenAI OAuth credential does not contain an issued client ID; reconnect ChatGPT"
    for extra in ({}, {"clientId": 5}, {"clientId": " "}):
        with pytest.raises(OAuthError, match=text):
            asyncio.run(ChatGptOAuth().refresh(OAuthCredential("A", "R", 0, extra=extra)))
