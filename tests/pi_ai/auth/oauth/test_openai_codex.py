"""Logging in to ChatGPT Plus/Pro. Auth spec, section 3.4; checks 19 to 26."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

import pytest

from pi_ai.auth.oauth.endpoints import CodexEndpoints
from pi_ai.auth.oauth.openai_codex import CodexOAuth
from pi_ai.auth.oauth.runtime import OAuthRuntime
from pi_ai.auth.types import DeviceCodeEvent, LoginOptions, OAuthCredential
from pi_ai.errors import AbortError, OAuthError
from pi_ai.testing import LoopbackRequest
from pi_ai.testing.login_server import LoginServer
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

CLAIM = "https://api.openai.com/auth"
BY_DEVICE = LoginOptions(method="device_code")


def jwt(claims: object) -> str:
    payload = base64.urlsafe_b64encode(json.dumps(claims, ensure_ascii=False).encode())
    return f"e30.{payload.rstrip(b'=').decode()}.c2ln"


def tokens(access: str, **fields: Any) -> Any:
    answer = {"access_token": access, "refresh_token": "R", "expires_in": 3600, **fields}
    return told(json.dumps(answer).encode())


GOOD = tokens(jwt({CLAIM: {"chatgpt_account_id": "acc-1"}}))


@pytest.mark.parametrize(("agent", "originator"), [(None, "pi"), ("myapp", "myapp")])
def test_auth_check_19_the_address_has_the_ten_parameters_in_order(
    agent: str | None, originator: str
) -> None:
    async def run() -> str:
        async with token_server(GOOD) as server:
            known = CodexEndpoints()
            endpoints = at(known, server.url, authorize_url=known.authorize_url)
            host = Host(paste="GOOD")
            await log_in(CodexOAuth(endpoints), host, LoginOptions(agent_name=agent))
            return host.url.replace(f"%3A{endpoints.callback_port}%2F", "%3A1455%2F")

    base, _, query = asyncio.run(run()).partition("?")
    assert base == "https://auth.openai.com/oauth/authorize"
    parameters = parse_qsl(query)
    challenge, state = parameters[4][1], parameters[6][1]
    assert re.fullmatch(r"[\w-]{43}", challenge)
    assert re.fullmatch(r"[0-9a-f]{32}", state)
    assert parameters == [
        ("response_type", "code"),
        ("client_id", "app_EMoamEEZ73f0CkXaXp7hrann"),
        ("redirect_uri", "http://localhost:1455/auth/callback"),
        ("scope", "openid profile email offline_access"),
        ("code_challenge", challenge),
        ("code_challenge_method", "S256"),
        ("state", state),
        ("id_token_add_organizations", "true"),
        ("codex_cli_simplified_flow", "true"),
        ("originator", originator),
    ]
    assert "scope=openid+profile+email+offline_access" in query


def test_browser_login_asks_tells_and_answers_the_browser() -> None:
    async def run() -> None:
        async with LoginServer(account_id="acc-7") as server:
            host = Host(visit=server.visit)
            credential = await log_in(server.codex(FROZEN), host)
            assert host.kinds == ["select", "auth_url", "manual_code"]
            [(status, page)] = await host.pages()
            assert (status, "Signed in to OpenAI." in page) == (200, True)
            assert credential.extra == {"accountId": "acc-7"}
            assert is_free(server.codex_endpoints.callback_port)
            again = await server.codex(FROZEN).refresh(credential)
            assert again.refresh != credential.refresh
            with pytest.raises(OAuthError) as caught:  # the server takes a refresh token once
                await server.codex(FROZEN).refresh(credential)
            assert caught.value.code == "invalid_grant"
            assert str(caught.value).startswith(
                "OpenAI Codex token refresh failed (400): invalid_g"
            )

    asyncio.run(run())


def test_auth_check_20_the_exchange_is_a_form_of_five_fields() -> None:
    async def run() -> tuple[LoopbackRequest, str, OAuthCredential]:
        async with token_server(GOOD) as server:
            endpoints = at(CodexEndpoints(), server.url)
            host = Host(paste=with_state("http://x/?code=a%2Bb&state={S}"))
            credential = await log_in(CodexOAuth(endpoints, FROZEN), host)
            return server.requests[0], endpoints.redirect_uri, credential

    request, redirect_uri, credential = asyncio.run(run())
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    sent = dict(parse_qsl(request.body.decode(), strict_parsing=True))
    assert len(sent.pop("code_verifier")) == 43
    assert sent == {
        "grant_type": "authorization_code",
        "client_id": "app_EMoamEEZ73f0CkXaXp7hrann",
        "code": "a+b",
        "redirect_uri": redirect_uri,
    }
    assert credential.expires == NOW_MS + 3_600_000


def test_a_refresh_is_a_form_of_three_fields() -> None:
    async def run() -> tuple[LoopbackRequest, OAuthCredential]:
        async with token_server(GOOD) as server:
            login = CodexOAuth(at(CodexEndpoints(), server.url), FROZEN)
            fresh = await login.refresh(OAuthCredential("old", "old-refresh", 0))
            assert (await login.to_auth(fresh)).api_key == fresh.access
            return server.requests[0], fresh

    request, fresh = asyncio.run(run())
    assert parse_qsl(request.body.decode()) == [
        ("grant_type", "refresh_token"),
        ("refresh_token", "old-refresh"),
        ("client_id", "app_EMoamEEZ73f0CkXaXp7hrann"),
    ]
    assert fresh.extra == {"accountId": "acc-1"}


@pytest.mark.parametrize(
    "account",
    ["acc-1", "acc-1 ÿÿÿ", "acc-1 ??>>~~~"],
    ids=["plain", "underscores", "hyphens"],
)
@pytest.mark.parametrize("standard", [False, True], ids=["base64url", "base64"])
def test_auth_check_21_the_account_is_read_from_the_token(account: str, standard: bool) -> None:
    token = jwt({CLAIM: {"chatgpt_account_id": account}})
    if standard:
        head, payload, signature = token.split(".")
        payload = payload.replace("-", "+").replace("_", "/")
        token = ".".join((head, payload + "=" * (-len(payload) % 4), signature))

    async def run() -> OAuthCredential:
        async with token_server(tokens(token)) as server:
            return await log_in(CodexOAuth(at(CodexEndpoints(), server.url)), Host(paste="GOOD"))

    assert asyncio.run(run()).extra == {"accountId": account}


@pytest.mark.parametrize(
    "token",
    [
        pytest.param(jwt({}), id="absent"),
        pytest.param(jwt({CLAIM: {"chatgpt_account_id": ""}}), id="empty"),
        pytest.param(jwt({CLAIM: {"chatgpt_account_id": 5}}), id="number"),
        pytest.param(jwt({CLAIM: "acc"}), id="no-object"),
        pytest.param(jwt([CLAIM]), id="list"),
        pytest.param(jwt({CLAIM: {"chatgpt_account_id": "a\r\nb: c"}}), id="line-break"),
        pytest.param("e30.e30", id="two-parts"),
        pytest.param("e30.e30.e30.e30", id="four-parts"),
        pytest.param("e30.!.e30", id="no-base64"),
        pytest.param("e30.eyI.e30", id="no-json"),
        pytest.param("e30.\N{SNOWMAN}.e30", id="not-ascii"),
    ],
)
def test_auth_check_22_a_token_without_an_account_is_an_error(token: str) -> None:
    async def run() -> None:
        async with token_server(tokens(token)) as server:
            login = CodexOAuth(at(CodexEndpoints(), server.url))
            for attempt in (
                log_in(login, Host(paste="GOOD")),
                login.refresh(OAuthCredential("A", "R", 0)),
            ):
                with pytest.raises(OAuthError, match=r"^Failed to extract accountId from token$"):
                    await attempt

    asyncio.run(run())


@pytest.mark.parametrize(
    ("fields", "missing"),
    [
        ({"expires_in": "3"}, "expires_in"),
        ({"refresh_token": ""}, "refresh_token"),
        ({"access_token": None}, "access_token"),
    ],
    ids=lambda value: str(value),
)
def test_auth_check_23_missing_fields_are_named_without_their_values(
    fields: Any, missing: str
) -> None:
    async def run() -> str:
        async with token_server(tokens("SECRET-TOKEN", **fields)) as server:
            login = CodexOAuth(at(CodexEndpoints(), server.url))
            with pytest.raises(OAuthError) as caught:
                await log_in(login, Host(paste="GOOD"))
            return str(caught.value)

    assert asyncio.run(run()) == (f"OpenAI Codex token exchange response missing fields: {missing}")


def test_auth_check_24_a_busy_port_leaves_the_paste() -> None:
    async def run() -> None:
        async with token_server(GOOD) as server:
            with TakenPort() as taken:
                endpoints = at(CodexEndpoints(), server.url, callback_port=taken)
                host = Host(
                    paste=with_state("http://localhost:1455/auth/callback?code=c&state={S}")
                )
                await log_in(CodexOAuth(endpoints), host)
            assert host.kinds == ["select", "auth_url", "manual_code"]
            assert dict(parse_qsl(server.requests[0].body.decode()))["code"] == "c"

    asyncio.run(run())


@pytest.mark.parametrize("paste", ["c#bad", "http://localhost/?code=c&state=bad"])
def test_a_paste_of_another_attempt_is_refused(paste: str) -> None:
    async def run() -> None:
        login = CodexOAuth(at(CodexEndpoints(), "http://127.0.0.1:1"))
        with pytest.raises(OAuthError, match=r"^State mismatch$"):
            await log_in(login, Host(paste=paste))

    asyncio.run(run())


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(OAuthError, match=r"^Unknown OpenAI Codex login method: copy_code$"):
        asyncio.run(log_in(CodexOAuth(), Host(), LoginOptions(method="copy_code")))


# --- device code ------------------------------------------------------------------------------


class Clock:
    """A clock that only sleeping moves on."""

    def __init__(self) -> None:
        self.now = 0.0
        self.at_sleep: Callable[[float], None] | None = None

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        if self.at_sleep is not None:
            self.at_sleep(self.now)
        await asyncio.sleep(0)

    @property
    def runtime(self) -> OAuthRuntime:
        return OAuthRuntime(monotonic=lambda: self.now, sleep=self.sleep, clock_ms=lambda: NOW_MS)


def test_a_device_code_login_waits_until_the_user_has_confirmed() -> None:
    async def run() -> None:
        async with LoginServer(account_id="acc-3") as server:
            clock, host = Clock(), Host(select="device_code")

            def confirm(now: float) -> None:
                if now == 2:
                    [event] = [each for each in host.seen if isinstance(each, DeviceCodeEvent)]
                    server.confirm_device(event.user_code)

            clock.at_sleep = confirm
            credential = await log_in(server.codex(clock.runtime), host)
            assert host.kinds == ["select", "device_code"]
            assert clock.now == 2
            assert credential.extra == {"accountId": "acc-3"}

    asyncio.run(run())


USER_CODE = b'{"device_auth_id":"dev-1","user_code":"AB-12","interval":"1"}'
CONFIRMED = b'{"authorization_code":"code-1","code_verifier":"verifier-1"}'


class DeviceServer:
    """Gives a user code, then the answers of a script to each poll, then tokens."""

    def __init__(self, *polls: tuple[int, bytes], user_code: Any = None) -> None:
        self.polls = list(polls)
        self.user_code = user_code or told(USER_CODE)
        self.requests: list[LoopbackRequest] = []

    def __call__(self, request: LoopbackRequest) -> Any:
        self.requests.append(request)
        match request.path:
            case "/device_code_url":
                return self.user_code
            case "/device_token_url":
                status, body = self.polls.pop(0)
                return told(body, status)
            case _:
                return GOOD


def log_in_by_device(script: DeviceServer, host: Host, clock: Clock) -> Any:
    async def run() -> OAuthCredential:
        async with token_server(script) as server:
            login = CodexOAuth(at(CodexEndpoints(), server.url), clock.runtime)
            return await log_in(login, host, BY_DEVICE)

    return run()


def test_auth_check_25_polls_that_are_pending_go_on_and_the_servers_verifier_is_used() -> None:
    script = DeviceServer(
        (403, b"whatever"),
        (404, b""),
        (400, b'{"error":"deviceauth_authorization_pending"}'),
        (400, b'{"error":{"code":"deviceauth_authorization_pending"}}'),
        (429, b'{"error":{"code":"slow_down"}}'),
        (200, CONFIRMED),
    )
    clock = Clock()
    asyncio.run(log_in_by_device(script, Host(), clock))
    assert clock.now == 1 + 1 + 1 + 1 + 6
    first, *polls, exchange = script.requests
    assert json.loads(first.body) == {"client_id": "app_EMoamEEZ73f0CkXaXp7hrann"}
    assert [json.loads(poll.body) for poll in polls] == [
        {"device_auth_id": "dev-1", "user_code": "AB-12"}
    ] * 6
    assert {request.headers["content-type"] for request in (first, *polls)} == {"application/json"}
    assert dict(parse_qsl(exchange.body.decode())) == {
        "grant_type": "authorization_code",
        "client_id": "app_EMoamEEZ73f0CkXaXp7hrann",
        "code": "code-1",
        "code_verifier": "verifier-1",
        "redirect_uri": "https://auth.openai.com/deviceauth/callback",
    }


@pytest.mark.parametrize(
    ("interval", "seconds"),
    [('"1"', 1), ('" 2 "', 2), ('""', 0), ("7", 7), ("0", 0), ('"1.5"', 1.5)],
)
def test_auth_check_26_the_user_is_told_code_address_and_times(
    interval: str, seconds: float
) -> None:
    body = f'{{"device_auth_id":"d","user_code":"AB-12","interval":{interval}}}'.encode()
    host = Host()
    asyncio.run(
        log_in_by_device(DeviceServer((200, CONFIRMED), user_code=told(body)), host, Clock())
    )
    assert host.seen == [
        DeviceCodeEvent(
            "AB-12",
            "https://auth.openai.com/codex/device",
            interval_seconds=seconds,
            expires_in_seconds=900,
        )
    ]


PREFIX = "Invalid OpenAI Codex device code response: no usable "


@pytest.mark.parametrize(
    ("status", "body", "text"),
    [
        pytest.param(
            404,
            "",
            "OpenAI Codex device code login is not enabled for this server. Use browser login or "
            "verify the server URL.",
            id="25-not-enabled",
        ),
        pytest.param(
            500, "oops", "OpenAI Codex device code request failed with status 500", id="500"
        ),
        pytest.param(
            400,
            '{"error":"bad","error_description":"no"}',
            "OpenAI Codex device code request failed with status 400: bad: no",
            id="400",
        ),
        pytest.param(200, '{"interval":"abc"}', f"{PREFIX}device_auth_id", id="no-device"),
        pytest.param(
            200, '{"device_auth_id":"d","interval":1}', f"{PREFIX}user_code", id="no-code"
        ),
        pytest.param(
            200,
            '{"device_auth_id":"d","user_code":"go to http://evil","interval":1}',
            f"{PREFIX}user_code",
            id="code-that-says-more",
        ),
        *(
            pytest.param(
                200,
                f'{{"device_auth_id":"d","user_code":"AB"{interval}}}',
                f"{PREFIX}interval",
                id=f"26-interval{interval}",
            )
            for interval in (
                ',"interval":"abc"',
                "",
                ',"interval":-1',
                ',"interval":true',
                ',"interval":1e999',
            )
        ),
    ],
)
def test_auth_checks_25_and_26_a_bad_device_code_ends_the_login(
    status: int, body: str, text: str
) -> None:
    script = DeviceServer(user_code=told(body.encode(), status))
    with pytest.raises(OAuthError) as caught:
        asyncio.run(log_in_by_device(script, Host(), Clock()))
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("status", "body", "text"),
    [
        pytest.param(
            400,
            b'{"error":"access_denied"}',
            "OpenAI Codex device auth failed with status 400: access_denied",
            id="denied",
        ),
        pytest.param(500, b"", "OpenAI Codex device auth failed with status 500", id="500"),
        pytest.param(
            200,
            b'{"code_verifier":"v"}',
            "Invalid OpenAI Codex device auth token response: no usable authorization_code",
            id="no-code",
        ),
        pytest.param(
            200,
            b'{"authorization_code":"c"}',
            "Invalid OpenAI Codex device auth token response: no usable code_verifier",
            id="no-verifier",
        ),
    ],
)
def test_a_poll_that_fails_ends_the_login(status: int, body: bytes, text: str) -> None:
    with pytest.raises(OAuthError) as caught:
        asyncio.run(log_in_by_device(DeviceServer((status, body)), Host(), Clock()))
    assert str(caught.value) == text


def test_a_device_code_expires() -> None:
    script = DeviceServer(*[(403, b"")] * 1000)
    clock = Clock()
    with pytest.raises(OAuthError, match=r"^Device flow timed out$"):
        asyncio.run(log_in_by_device(script, Host(), clock))
    assert clock.now == 900


def test_cancelling_between_two_polls_ends_the_login() -> None:
    from pi_ai.abort import AbortController

    controller = AbortController()
    clock = Clock()
    clock.at_sleep = lambda _now: controller.abort()
    script = DeviceServer(*[(403, b"")] * 1000)
    with pytest.raises(AbortError, match=r"^Login cancelled$"):
        asyncio.run(log_in_by_device(script, Host(signal=controller.signal), clock))
    assert len(script.requests) < 5
