"""The login server refuses what the providers would refuse."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

from pi_ai.http.client import AiohttpTransport
from pi_ai.http.transport import HttpRequest
from pi_ai.testing import LoginServer
from pi_ai.testing._login_rules import RefusedLoginError
from support.logins import WITH_DEVICE_ID, Host, log_in

Fields = dict[str, str]


async def post(url: str, body: bytes, content_type: str) -> tuple[int, Any]:
    transport = AiohttpTransport()
    asked = HttpRequest(url=url, headers={"Content-Type": content_type}, body=body)
    async with transport.post(asked) as response:
        status, told = response.status, json.loads(await response.read(1 << 16))
    await transport.aclose()
    return status, told


def spoil(name: str, value: str = "wrong") -> Callable[[Fields], Fields]:
    return lambda fields: {**fields, name: value}


def drop(name: str) -> Callable[[Fields], Fields]:
    return lambda fields: {key: value for key, value in fields.items() if key != name}


@pytest.mark.parametrize("provider", ["anthropic", "codex", "chatgpt"])
@pytest.mark.parametrize(
    ("change", "code"),
    [
        pytest.param(spoil("code"), "invalid_grant", id="code"),
        pytest.param(spoil("code_verifier"), "invalid_grant", id="verifier"),
        pytest.param(spoil("redirect_uri"), "invalid_grant", id="redirect-uri"),
        pytest.param(spoil("client_id"), "invalid_", id="client-id"),
        pytest.param(drop("code_verifier"), "invalid_request", id="no-verifier"),
        pytest.param(drop("redirect_uri"), "invalid_request", id="no-redirect-uri"),
        pytest.param(spoil("scope"), "invalid_request", id="another-field"),
        pytest.param(spoil("code", " "), "invalid_request", id="blank"),
        pytest.param(spoil("grant_type"), "unsupported_grant_type", id="grant-type"),
        pytest.param(lambda fields: fields, "invalid_grant", id="used"),
    ],
)
def test_an_exchange_that_is_not_exactly_right_is_refused(
    provider: str, change: Callable[[Fields], Fields], code: str
) -> None:
    async def run() -> None:
        async with LoginServer() as server:
            host = Host(paste=server.authorize)
            await log_in(getattr(server, provider)(), host, WITH_DEVICE_ID)
            [good] = server.requests
            is_json = good.headers["content-type"] == "application/json"
            sent: Fields = json.loads(good.body) if is_json else dict(parse_qsl(good.body.decode()))
            if code != "invalid_grant" or change(sent) != sent:  # a code that is good for one
                fresh = dict(parse_qsl(urlsplit(server.authorize(host.url)).query))
                sent["code"] = fresh["code"]
            fields = change(sent)
            body = json.dumps(fields).encode() if is_json else urlencode(fields).encode()
            url = f"http://{good.headers['host']}{good.path}"
            status, told = await post(url, body, good.headers["content-type"])
            assert status == 400
            assert told["error"].startswith(code)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("code=true", "code=false", "code: expected true"),
        ("&state=", "&other=", "expected the parameters"),
        ("S256", "plain", "code_challenge_method: expected S256"),
        ("localhost", "evil.example", "redirect_uri is not of its form"),
        ("user%3Aprofile", "", "scope: expected"),
    ],
)
def test_an_authorization_url_that_is_not_right_is_refused(old: str, new: str, text: str) -> None:
    async def run() -> None:
        async with LoginServer() as server:
            host = Host(paste=server.authorize)
            await log_in(server.anthropic(), host)
            assert old in host.url
            with pytest.raises(RefusedLoginError, match=text):
                server.authorize(host.url.replace(old, new))

    asyncio.run(run())


def test_other_paths_and_unknown_devices_are_refused() -> None:
    async def run() -> None:
        async with LoginServer() as server:
            url = server.codex_endpoints.device_token_url
            device = json.dumps({"device_auth_id": "x", "user_code": "y"}).encode()
            assert (await post(url, device, "application/json"))[0] == 400
            assert (await post(f"{url}/more", b"", "text/plain"))[0] == 404
            with pytest.raises(KeyError):
                server.confirm_device("y")

    asyncio.run(run())
