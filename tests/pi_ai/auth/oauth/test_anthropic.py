"""Logging in to Claude Pro/Max. Auth spec, sections 3.1 to 3.3; checks 2 to 18."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from msgspec.structs import replace

from pi_ai.abort import AbortController
from pi_ai.auth.oauth import browser_login
from pi_ai.auth.oauth.anthropic import AnthropicOAuth
from pi_ai.auth.oauth.endpoints import AnthropicEndpoints
from pi_ai.auth.oauth.runtime import OAuthRuntime
from pi_ai.auth.oauth.token_endpoint import TokenEndpoint
from pi_ai.auth.types import (
    InfoEvent,
    LoginOptions,
    ManualCodePrompt,
    OAuthCredential,
    ProgressEvent,
)
from pi_ai.errors import AbortError, OAuthError
from pi_ai.testing.login_server import LoginServer, get_page
from support.logins import (
    FROZEN,
    NOW_MS,
    Host,
    TakenPort,
    at,
    is_free,
    log_in,
    token_server,
    told,
    with_state,
)

TOKENS = told(b'{"access_token":"A","refresh_token":"R","expires_in":28800}')


def test_auth_check_2_browser_login_asks_and_tells_in_order() -> None:
    async def run() -> None:
        async with LoginServer() as server:
            host = Host(visit=server.visit)
            credential = await log_in(server.anthropic(FROZEN), host)
            assert host.kinds == ["select", "auth_url", "manual_code", "progress"]
            assert host.seen[-1] == ProgressEvent("Exchanging authorization code for tokens...")
            [(status, page)] = await host.pages()
            assert status == 200
            assert "Signed in to Anthropic. You may now close this page." in page
            assert host.withdrawn
            assert credential.access.startswith("sk-ant-oat01-")
            assert credential.extra == {}
            assert is_free(server.anthropic_endpoints.callback_port)

    asyncio.run(run())


def test_auth_check_3_the_address_has_the_eight_parameters_in_order() -> None:
    async def run() -> tuple[str, dict[str, Any]]:
        async with token_server(TOKENS) as server:
            known = AnthropicEndpoints()
            login = AnthropicOAuth(at(known, server.url, authorize_url=known.authorize_url))
            host = Host(paste="GOOD")
            await log_in(login, host)
            return host.url, json.loads(server.requests[0].body)

    url, sent = asyncio.run(run())
    base, _, query = url.partition("?")
    assert base == "https://claude.ai/oauth/authorize"
    pairs = [pair.split("=") for pair in query.split("&")]
    known = dict(pairs)
    assert [name for name, _ in pairs] == [
        "code",
        "client_id",
        "response_type",
        "redirect_uri",
        "scope",
        "code_challenge",
        "code_challenge_method",
        "state",
    ]
    assert known["scope"] == (
        "org%3Acreate_api_key+user%3Aprofile+user%3Ainference+user%3Asessions%3Aclaude_code"
        "+user%3Amcp_servers+user%3Afile_upload"
    )
    assert known["redirect_uri"].startswith("http%3A%2F%2Flocalhost%3A")
    assert known["state"] == sent["state"] != sent["code_verifier"]


def test_auth_check_3_the_callback_is_at_port_53692() -> None:
    assert AnthropicEndpoints().redirect_uri(AnthropicEndpoints().callback_port) == (
        "http://localhost:53692/callback"
    )


@pytest.mark.parametrize("as_verifier", [False, True])
def test_one_constant_makes_the_state_the_verifier(as_verifier: bool) -> None:
    async def run() -> dict[str, str]:
        async with token_server(TOKENS) as server:
            endpoints = at(AnthropicEndpoints(), server.url, state_is_verifier=as_verifier)
            await log_in(AnthropicOAuth(endpoints), Host(paste="GOOD"))
            return json.loads(server.requests[0].body)

    sent = asyncio.run(run())
    assert (sent["state"] == sent["code_verifier"]) is as_verifier


def test_auth_checks_4_and_5_the_callback_is_exchanged_for_a_credential() -> None:
    async def run() -> tuple[Host, Any, OAuthCredential]:
        async with token_server(TOKENS) as server:
            login = AnthropicOAuth(at(AnthropicEndpoints(), server.url), FROZEN)

            async def visit(url: str) -> None:
                redirect_uri, state = host.parameters["redirect_uri"], host.parameters["state"]
                await get_page(f"{redirect_uri}?code=GOOD&state={state}")

            host = Host(visit=visit)
            credential = await log_in(login, host)
            [request] = server.requests
            return host, request, credential

    host, request, credential = asyncio.run(run())
    assert request.method == "POST"
    assert request.path == "/token_url"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["accept"] == "application/json"
    sent = json.loads(request.body)
    assert len(sent.pop("code_verifier")) == 43
    assert sent == {
        "grant_type": "authorization_code",
        "client_id": "9d1c250a-e61b-44d9-88ed-5944d1962f5e",
        "code": "GOOD",
        "state": host.parameters["state"],
        "redirect_uri": host.parameters["redirect_uri"],
    }
    assert credential == OAuthCredential("A", "R", NOW_MS + 28_500_000)


def test_auth_check_6_a_refresh_sends_three_fields() -> None:
    async def run() -> tuple[dict[str, str], OAuthCredential]:
        async with token_server(TOKENS) as server:
            login = AnthropicOAuth(at(AnthropicEndpoints(), server.url), FROZEN)
            fresh = await login.refresh(OAuthCredential("old", "old-refresh", 0))
            assert (await login.to_auth(fresh)).api_key == "A"
            return json.loads(server.requests[0].body), fresh

    sent, fresh = asyncio.run(run())
    assert sent == {
        "grant_type": "refresh_token",
        "client_id": "9d1c250a-e61b-44d9-88ed-5944d1962f5e",
        "refresh_token": "old-refresh",
    }
    assert fresh == OAuthCredential("A", "R", NOW_MS + 28_500_000)


def test_auth_check_44_a_refresh_without_a_new_refresh_token_keeps_the_old_one() -> None:
    async def run() -> OAuthCredential:
        async with token_server(told(b'{"access_token":"A","expires_in":1}')) as server:
            login = AnthropicOAuth(at(AnthropicEndpoints(), server.url))
            return await login.refresh(OAuthCredential("old", "kept", 0))

    assert asyncio.run(run()).refresh == "kept"


def test_auth_check_7_a_busy_port_is_replaced_everywhere() -> None:
    async def run() -> None:
        async with LoginServer() as server:
            with TakenPort() as taken:
                server.anthropic_endpoints = replace(
                    server.anthropic_endpoints, callback_port=taken
                )
                host = Host(visit=server.visit)
                await log_in(server.anthropic(), host)
            redirect_uri = host.parameters["redirect_uri"]
            assert urlsplit(redirect_uri).port != taken
            [prompt] = [each for each in host.seen if isinstance(each, ManualCodePrompt)]
            assert prompt.placeholder == redirect_uri
            assert json.loads(server.requests[0].body)["redirect_uri"] == redirect_uri

    asyncio.run(run())


def test_without_any_port_the_login_goes_on_with_the_paste(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PI_OAUTH_CALLBACK_HOST", "203.0.113.1")  # no address of this machine

    async def run() -> str:
        async with token_server(TOKENS) as server:
            endpoints = at(AnthropicEndpoints(), server.url, callback_port=53692)
            host = Host(paste="GOOD")
            await log_in(AnthropicOAuth(endpoints), host)
            return host.parameters["redirect_uri"]

    assert asyncio.run(run()) == "http://localhost:53692/callback"


def test_auth_check_8_copy_code_login_opens_no_port() -> None:
    async def run() -> None:
        async with LoginServer() as server:
            port = server.anthropic_endpoints.callback_port

            async def paste(url: str) -> str:
                assert is_free(port)
                return server.copied_code(url)

            host = Host(paste=paste, select="copy_code")
            await log_in(server.anthropic(), host)
            redirect_uri = server.anthropic_endpoints.copy_code_redirect_uri
            assert host.parameters["redirect_uri"] == redirect_uri
            sent = json.loads(server.requests[0].body)
            assert sent["redirect_uri"] == redirect_uri
            assert sent["state"] == host.parameters["state"]
            [prompt] = [each for each in host.seen if isinstance(each, ManualCodePrompt)]
            assert prompt.placeholder == "code#state"

    asyncio.run(run())


@pytest.mark.parametrize("method", ["browser", "copy_code"])
@pytest.mark.parametrize(
    ("paste", "code"),
    [
        pytest.param("  abc  ", "abc", id="9-blanks"),
        pytest.param("abc#", "abc", id="9-empty-state"),
        pytest.param("abc#{S}", "abc", id="8-code-and-state"),
        pytest.param("code=a%20b+c&state={S}", "a b c", id="10-query"),
        pytest.param("?code=abc", "abc", id="10-question-mark"),
        pytest.param("abc#{S}#zzz", "abc", id="12-second-hash"),
        pytest.param("localhost:53692/callback?code=abc&state={S}", "abc", id="13-no-scheme"),
        pytest.param("https://elsewhere/x?state={S}&code=abc#frag", "abc", id="any-host"),
    ],
)
def test_auth_checks_8_to_13_a_paste_is_exchanged(paste: str, code: str, method: Any) -> None:
    async def run() -> tuple[Host, dict[str, str]]:
        async with token_server(TOKENS) as server:
            host = Host(paste=with_state(paste))
            login = AnthropicOAuth(at(AnthropicEndpoints(), server.url))
            await log_in(login, host, LoginOptions(method=method))
            return host, json.loads(server.requests[0].body)

    host, sent = asyncio.run(run())
    assert sent["code"] == code
    assert sent["state"] == host.parameters["state"]


@pytest.mark.parametrize(
    ("paste", "text"),
    [
        pytest.param(
            "http://localhost:53692/callback?code=abc&state=bad", "OAuth state mismatch", id="11"
        ),
        pytest.param("abc#bad", "OAuth state mismatch", id="11-hash"),
        pytest.param("#{S}", "Missing authorization code", id="12-no-code"),
        pytest.param("abc:def", "Missing authorization code", id="12-other-url"),
        pytest.param("   ", "Missing authorization code", id="12-empty"),
        pytest.param(
            "http://localhost/callback?error=access_denied&state={S}",
            "Anthropic authorization failed: access_denied",
            id="D-4-error",
        ),
        pytest.param(
            "http://x/?error=a&error_description=You+%1b%5B2Jsaid+no",
            "Anthropic authorization failed: You  [2Jsaid no",
            id="D-4-description",
        ),
        pytest.param(
            "code=a&code=b",
            "The pasted text has more than one code. Paste it again, once.",
            id="D-4-repeated",
        ),
    ],
)
def test_auth_checks_11_and_12_a_paste_of_no_use_ends_the_login(paste: str, text: str) -> None:
    async def run() -> None:
        async with token_server(TOKENS) as server:
            endpoints = at(AnthropicEndpoints(), server.url)
            host = Host(paste=with_state(paste))
            with pytest.raises(OAuthError) as caught:
                await log_in(AnthropicOAuth(endpoints), host)
            assert str(caught.value) == text
            assert server.requests == []
            assert host.kinds.count("manual_code") == 1
            assert is_free(endpoints.callback_port)

    asyncio.run(run())


def test_auth_check_14_a_question_that_raises_ends_the_login() -> None:
    async def paste(_url: str) -> str:
        raise RuntimeError("user closed")

    async def run() -> None:
        endpoints = at(AnthropicEndpoints(), "http://127.0.0.1:1")
        with pytest.raises(RuntimeError, match="user closed"):
            await log_in(AnthropicOAuth(endpoints), Host(paste=paste))
        assert is_free(endpoints.callback_port)

    asyncio.run(run())


def test_a_question_whose_task_was_cancelled_cancels_the_login() -> None:
    async def paste(_url: str) -> str:
        raise asyncio.CancelledError

    async def run() -> None:
        endpoints = at(AnthropicEndpoints(), "http://127.0.0.1:1")
        with pytest.raises(AbortError, match=r"^Login cancelled$"):
            await log_in(AnthropicOAuth(endpoints), Host(paste=paste))

    asyncio.run(run())


@pytest.mark.parametrize("options", [LoginOptions(), LoginOptions(method="device_code")])
def test_auth_check_15_an_unknown_method_is_refused(options: LoginOptions) -> None:
    method = options.method or "zzz"
    with pytest.raises(OAuthError, match=f"^Unknown Anthropic login method: {method}$"):
        asyncio.run(log_in(AnthropicOAuth(), Host(select="zzz"), options))


@pytest.mark.parametrize(
    ("body", "missing"),
    [
        pytest.param(b"{}", "access_token, refresh_token, expires_in", id="16-empty"),
        pytest.param(b'{"access_token":"A","expires_in":5}', "refresh_token", id="no-refresh"),
        pytest.param(
            b'{"access_token":" ","refresh_token":"R","expires_in":5}', "access_token", id="blank"
        ),
        pytest.param(
            b'{"access_token":"A","refresh_token":"R","expires_in":"5"}', "expires_in", id="text"
        ),
        pytest.param(
            b'{"access_token":"A","refresh_token":"R","expires_in":0}', "expires_in", id="zero"
        ),
        pytest.param(
            b'{"access_token":"A","refresh_token":"R","expires_in":true}', "expires_in", id="true"
        ),
        pytest.param(
            b'{"access_token":"A","refresh_token":"R","expires_in":1e308}', "expires_in", id="huge"
        ),
    ],
)
def test_auth_check_16_tokens_that_are_not_all_there_are_an_error(
    body: bytes, missing: str
) -> None:
    async def run() -> None:
        async with token_server(told(body)) as server:
            login = AnthropicOAuth(at(AnthropicEndpoints(), server.url))
            with pytest.raises(OAuthError) as caught:
                await log_in(login, Host(paste="GOOD"))
            assert str(caught.value).endswith(f"response missing fields: {missing}")

    asyncio.run(run())


def test_auth_check_17_a_refusal_tells_status_and_code_and_no_more() -> None:
    body = b'{"error":"invalid_grant","error_description":"bad","x":"SECRET"}'

    async def run() -> tuple[OAuthError, str]:
        async with token_server(told(body, 400)) as server:
            login = AnthropicOAuth(at(AnthropicEndpoints(), server.url))
            host = Host(paste="GOOD")
            with pytest.raises(OAuthError) as caught:
                await log_in(login, host)
            url = f"{server.url}/token_url"
            redirect_uri = host.parameters["redirect_uri"]
            text = (
                f"Token exchange request failed. url={url}; redirect_uri={redirect_uri}; "
                "response_type=authorization_code; details=HTTP request failed. status=400; "
                f"url={url}; "
            )
            return caught.value, text

    error, text = asyncio.run(run())
    assert str(error).startswith(text)
    assert "invalid_grant: bad" in str(error)
    assert "SECRET" not in str(error)
    assert (error.status, error.code, error.retryable) == (400, "invalid_grant", False)


@pytest.mark.parametrize("method", ["browser", "copy_code", None])
def test_auth_check_18_a_signal_set_before_leaves_no_trace(method: Any) -> None:
    async def run() -> None:
        controller = AbortController()
        controller.abort()
        host = Host(signal=controller.signal)
        endpoints = at(AnthropicEndpoints(), "http://127.0.0.1:1")
        with pytest.raises(AbortError, match=r"^Login cancelled$"):
            await log_in(AnthropicOAuth(endpoints), host, LoginOptions(method=method))
        assert host.seen == []

    asyncio.run(run())


@pytest.mark.parametrize("method", ["browser", "copy_code"])
@pytest.mark.parametrize("by_task", [False, True], ids=["signal", "task"])
def test_auth_check_18_cancelling_while_waiting_ends_the_login(method: Any, by_task: bool) -> None:
    async def run() -> None:
        controller = AbortController()
        host = Host(signal=controller.signal)
        endpoints = at(AnthropicEndpoints(), "http://127.0.0.1:1")
        login = AnthropicOAuth(endpoints).login(host, LoginOptions(method=method))
        task = asyncio.create_task(login)
        await asyncio.wait_for(host.asked.wait(), 5)
        if by_task:
            task.cancel()
        else:
            controller.abort()
        expected = asyncio.CancelledError if by_task else AbortError
        with pytest.raises(expected, match=None if by_task else "^Login cancelled$"):
            await asyncio.wait_for(task, 1)
        assert is_free(endpoints.callback_port)
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(run())


def test_cancelling_during_the_exchange_ends_the_login() -> None:
    async def run() -> None:
        controller = AbortController()
        reached = asyncio.Event()

        async def stall(_request: object) -> object:
            reached.set()
            await asyncio.Event().wait()
            raise AssertionError

        async with token_server(stall) as server:
            login = AnthropicOAuth(at(AnthropicEndpoints(), server.url))
            host = Host(paste="GOOD", signal=controller.signal)
            task = asyncio.create_task(login.login(host, LoginOptions()))
            await asyncio.wait_for(reached.wait(), 5)
            controller.abort()
            with pytest.raises(AbortError, match=r"^Login cancelled$"):
                await asyncio.wait_for(task, 1)

    asyncio.run(run())


def test_auth_check_32_a_refusal_in_the_browser_ends_the_login() -> None:
    async def run() -> None:
        async with LoginServer() as server:

            async def visit(url: str) -> object:
                return await server.visit(url, error="denied", description="<script>\x1b\x00")

            host = Host(visit=visit)
            with pytest.raises(OAuthError) as caught:
                await log_in(server.anthropic(), host)
            assert str(caught.value) == "Anthropic authorization failed: <script>"
            [(status, page)] = await host.pages()
            assert status == 400
            assert "&lt;script&gt;" in page
            assert "<script>" not in page
            assert "\x1b" not in page
            assert server.requests == []

    asyncio.run(run())


def test_the_browser_wins_over_a_paste_that_comes_later() -> None:
    async def run() -> None:
        async with LoginServer() as server:
            visited = asyncio.Event()

            async def visit(url: str) -> object:
                page = await server.visit(url)
                visited.set()
                return page

            async def paste(_url: str) -> str:
                await visited.wait()
                return "another"

            await log_in(server.anthropic(), Host(visit=visit, paste=paste))
            assert len(server.requests) == 1

    asyncio.run(run())


def test_after_a_paste_the_browser_comes_too_late() -> None:
    async def run() -> None:
        async with LoginServer() as server:
            host = Host(paste=server.authorize)
            await log_in(server.anthropic(), host)
            with pytest.raises(ConnectionError):
                await get_page(server.authorize(host.url))
            assert len(server.requests) == 1

    asyncio.run(run())


def test_a_sign_in_that_takes_too_long_times_out() -> None:
    async def run() -> None:
        endpoints = at(AnthropicEndpoints(), "http://127.0.0.1:1")
        login = AnthropicOAuth(endpoints, OAuthRuntime(sign_in_timeout_seconds=0.05))
        with pytest.raises(OAuthError, match=r"^Anthropic sign-in timed out$"):
            await log_in(login, Host())
        assert is_free(endpoints.callback_port)

    asyncio.run(run())


def test_auth_check_33_a_code_that_others_see_is_of_no_use_to_them() -> None:
    """Another program has the port on `::1`, where a browser may go first."""

    async def run(as_verifier: bool) -> int:
        async with LoginServer() as server:
            server.anthropic_endpoints = replace(
                server.anthropic_endpoints, state_is_verifier=as_verifier
            )
            stolen: dict[str, str] = {}

            async def steal(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                target = (await reader.readline()).split()[1].decode()
                stolen.update(parse_qsl(urlsplit(target).query))
                writer.close()

            port = server.anthropic_endpoints.callback_port
            thief = await asyncio.start_server(steal, "::1", port)

            async def visit(url: str) -> int:
                target = server.authorize(url).replace("localhost", "[::1]")
                with suppress(IndexError):  # the thief says nothing
                    await get_page(target)
                fields = {
                    "grant_type": "authorization_code",
                    "client_id": host.parameters["client_id"],
                    "code": stolen["code"],
                    "state": stolen["state"],
                    "redirect_uri": host.parameters["redirect_uri"],
                    "code_verifier": stolen["state"],
                }
                endpoint = TokenEndpoint(server.anthropic_endpoints.token_url)
                answer = await endpoint.post(fields, encoding="json")
                await get_page(server.authorize(url).replace("localhost", "127.0.0.1"))
                return answer.status

            host = Host(visit=visit)
            credential = await log_in(server.anthropic(), host)
            assert credential.access.startswith("sk-ant-oat01-")
            thief.close()
            await thief.wait_closed()
            [status] = await host.pages()
            return status

    assert asyncio.run(run(as_verifier=False)) == 400
    assert asyncio.run(run(as_verifier=True)) == 200  # which is why it is not the default


def test_auth_check_33_a_replayed_callback_finds_nobody() -> None:
    async def run() -> None:
        async with LoginServer() as server:
            targets: list[str] = []

            async def visit(url: str) -> tuple[int, str]:
                targets.append(server.authorize(url))
                return await get_page(targets[0])

            host = Host(visit=visit)
            await log_in(server.anthropic(), host)
            [(status, _)] = await host.pages()
            assert status == 200
            with pytest.raises(ConnectionError):
                await get_page(targets[0])
            assert len(server.requests) == 1

    asyncio.run(run())


@pytest.mark.parametrize("known_as_loopback", [True, False])
def test_another_host_for_the_callback_server_is_used_and_told_of(
    known_as_loopback: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PI_OAUTH_CALLBACK_HOST", "127.0.0.2")
    if not known_as_loopback:
        monkeypatch.setattr(browser_login, "_is_loopback", lambda _host: False)

    async def run() -> None:
        async with LoginServer() as server:

            async def visit(url: str) -> tuple[int, str]:
                return await get_page(server.authorize(url).replace("localhost", "127.0.0.2"))

            host = Host(visit=visit)
            await log_in(server.anthropic(), host)
            [(status, _)] = await host.pages()
            assert status == 200
            warned = [each for each in host.seen if isinstance(each, InfoEvent)]
            assert bool(warned) is not known_as_loopback
            for event in warned:
                assert "127.0.0.2 to other machines" in event.message

    asyncio.run(run())


@pytest.mark.parametrize(
    ("host", "is_loopback"),
    [("127.0.0.1", True), ("::1", True), ("LocalHost", True), ("0.0.0.0", False), ("box", False)],
)
def test_which_hosts_other_machines_cannot_reach(host: str, is_loopback: bool) -> None:
    assert browser_login._is_loopback(host) is is_loopback
