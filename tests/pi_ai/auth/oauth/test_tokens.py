"""The tokens of the three subscriptions: what is sent, what is stored. Auth spec, 3 and 14."""

from __future__ import annotations

import asyncio
import base64
import inspect
import json
from typing import Any
from urllib.parse import parse_qsl

import pytest

from pi_ai import OAuthError
from pi_ai.auth.oauth.anthropic_tokens import AnthropicTokens
from pi_ai.auth.oauth.chatgpt_tokens import ChatGptTokens
from pi_ai.auth.oauth.codex_tokens import CodexTokens, read_account_id
from pi_ai.auth.oauth.runtime import OAuthRuntime
from pi_ai.auth.oauth.token_endpoint import TokenEndpoint
from pi_ai.auth.types import OAuthCredential, OAuthHandler
from pi_ai.catalog.providers import PROVIDERS
from pi_ai.provider import load_oauth
from pi_ai.testing import LoopbackRequest, LoopbackResponse, LoopbackServer

NOW = 1_800_000_000_000
CLAIM = "https://api.openai.com/auth"


def jwt(claims: Any) -> str:
    """An access token with these claims; nobody signed it."""
    payload = base64.urlsafe_b64encode(json.dumps(claims, ensure_ascii=False).encode())
    return f"e30.{payload.decode().rstrip('=')}.sig"


TOKEN = jwt({CLAIM: {"chatgpt_account_id": "acc-1"}})
SCOPE = "openid chatgpt.tokens.use.direct"
GRANTED = {"access_token": "A1", "refresh_token": "R1", "expires_in": 3600}


def refreshed(
    kind: Any, answer: Any, *, status: int = 200, **extra: Any
) -> tuple[LoopbackRequest, OAuthCredential]:
    """What one refresh sends and gives."""

    async def main() -> Any:
        body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        response = LoopbackResponse(body, status=status, headers={"Location": "/other"})
        async with LoopbackServer(lambda _request: response) as server:
            handler = kind(token_url=f"{server.url}/token", clock_ms=lambda: NOW)
            stored = OAuthCredential("A0-not-shown", "R0-not-shown", 0, extra=extra)
            try:
                return server.requests, await handler.refresh(stored)
            finally:
                assert len(server.requests) == 1
                assert (await handler.to_auth(stored)).api_key == "A0-not-shown"

    requests, credential = asyncio.run(main())
    return requests[0], credential


def test_auth_check_6_anthropic_sends_three_fields_and_no_scope() -> None:
    request, credential = refreshed(AnthropicTokens, {**GRANTED, "scope": "x", "account": {}})
    assert request.method == "POST"
    assert request.headers["content-type"] == request.headers["accept"] == "application/json"
    assert list(request.json().items()) == [
        ("grant_type", "refresh_token"),
        ("client_id", "9d1c250a-e61b-44d9-88ed-5944d1962f5e"),
        ("refresh_token", "R0-not-shown"),
    ]
    assert credential == OAuthCredential("A1", "R1", NOW + 3_600_000 - 300_000)


def test_auth_check_5_anthropic_tokens_expire_five_minutes_early() -> None:
    _, credential = refreshed(AnthropicTokens, {**GRANTED, "expires_in": 28800})
    assert credential.expires == NOW + 28_500_000


def test_auth_check_20_codex_sends_a_form() -> None:
    request, credential = refreshed(CodexTokens, {**GRANTED, "access_token": TOKEN})
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert parse_qsl(request.body.decode()) == [
        ("grant_type", "refresh_token"),
        ("refresh_token", "R0-not-shown"),
        ("client_id", "app_EMoamEEZ73f0CkXaXp7hrann"),
    ]
    assert credential == OAuthCredential(TOKEN, "R1", NOW + 3_600_000, extra={"accountId": "acc-1"})


def test_auth_check_30_chatgpt_sends_its_issued_client_and_the_resource() -> None:
    request, credential = refreshed(ChatGptTokens, {**GRANTED, "scope": SCOPE}, clientId="cl_123")
    assert parse_qsl(request.body.decode()) == [
        ("grant_type", "refresh_token"),
        ("client_id", "cl_123"),
        ("refresh_token", "R0-not-shown"),
        ("resource", "https://api.openai.com/v1"),
    ]
    assert credential == OAuthCredential(
        "A1",
        "R1",
        NOW + 3_420_000,
        extra={"clientId": "cl_123", "scopes": ["openid", "chatgpt.tokens.use.direct"]},
    )


def test_chatgpt_without_an_issued_client_asks_to_reconnect() -> None:
    async def main() -> None:
        with pytest.raises(OAuthError, match="issued client ID; reconnect ChatGPT"):
            await ChatGptTokens().refresh(OAuthCredential("A", "R", 0))

    asyncio.run(main())


@pytest.mark.parametrize(
    ("kind", "extra"),
    [(AnthropicTokens, {}), (CodexTokens, {}), (ChatGptTokens, {"clientId": "c"})],
    ids=["anthropic", "codex", "chatgpt"],
)
@pytest.mark.parametrize("changes", [{"refresh_token": None}, {"refresh_token": ""}, {}], ids=str)
def test_auth_check_44_a_refresh_token_that_is_not_told_is_kept(
    kind: Any, extra: dict[str, str], changes: dict[str, Any]
) -> None:
    answer = {**GRANTED, "access_token": TOKEN, "scope": SCOPE, **changes}
    _, credential = refreshed(kind, answer, **extra)
    assert credential.refresh == ("R0-not-shown" if changes else "R1")


@pytest.mark.parametrize(
    ("kind", "extra", "text"),
    [
        (AnthropicTokens, {}, "Anthropic token refresh request failed. url="),
        (CodexTokens, {}, "OpenAI Codex token refresh response missing fields: "),
        (ChatGptTokens, {"clientId": "c"}, "OpenAI OAuth token response has invalid "),
    ],
    ids=["anthropic", "codex", "chatgpt"],
)
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("access_token", None),
        ("access_token", ""),
        ("access_token", 5),
        ("expires_in", None),
        ("expires_in", "3"),
        ("expires_in", 0),
        ("expires_in", -1),
        ("expires_in", True),
    ],
)
def test_auth_check_16_a_grant_that_lacks_a_field_is_no_grant(
    kind: Any, extra: dict[str, str], text: str, name: str, value: Any
) -> None:
    answer = {**GRANTED, "access_token": TOKEN, "scope": SCOPE, name: value}
    with pytest.raises(OAuthError) as raised:
        refreshed(kind, answer, **extra)
    assert str(raised.value).startswith(text)
    assert str(raised.value).endswith(name)
    assert TOKEN not in str(raised.value)


@pytest.mark.parametrize(
    ("kind", "extra", "status", "answer", "text", "code", "retryable"),
    [
        (
            AnthropicTokens,
            {},
            400,
            {"error": "invalid_grant", "error_description": "bad", "x": "SECRET"},
            "HTTP request failed. status=400; url={url}; invalid_grant: bad",
            "invalid_grant",
            False,
        ),
        (
            AnthropicTokens,
            {},
            529,
            {"error": {"type": "overloaded_error", "message": "later\r\nplease"}},
            "HTTP request failed. status=529; url={url}; overloaded_error: later please",
            "overloaded_error",
            True,
        ),
        (AnthropicTokens, {}, 200, b"SECRET", "invalid JSON. url={url}", None, False),
        (
            CodexTokens,
            {},
            401,
            {"error": {"code": "refresh_token_reused", "message": "used R0-not-shown"}},
            "OpenAI Codex token refresh failed (401): refresh_token_reused: used <secret>",
            "refresh_token_reused",
            False,
        ),
        (CodexTokens, {}, 302, b"SECRET", "OpenAI Codex token refresh failed (302)", None, False),
        (
            ChatGptTokens,
            {"clientId": "c"},
            429,
            {"error": "slow_down", "error_description": "x" * 900},
            "OpenAI OAuth token request failed (429): slow_down: " + "x" * 300,
            "slow_down",
            True,
        ),
        (ChatGptTokens, {"clientId": "c"}, 200, [], "must be an object", None, False),
        (
            ChatGptTokens,
            {"clientId": "c"},
            200,
            {**GRANTED, "scope": "openid"},
            "OpenAI OAuth grant did not include chatgpt.tokens.use.direct",
            None,
            False,
        ),
        (CodexTokens, {}, 200, GRANTED, "Failed to extract accountId from token", None, False),
        (CodexTokens, {}, 200, b"SECRET" * 200_000, "response missing fields: ", None, False),
    ],
    ids=[
        "anthropic refused",
        "anthropic overloaded",
        "anthropic no JSON",
        "codex refused",
        "codex redirected",
        "chatgpt slow down",
        "chatgpt no object",
        "chatgpt scope",
        "codex no account",
        "too long",
    ],
)
def test_auth_check_17_failures_tell_status_error_and_description_only(
    kind: Any,
    extra: dict[str, str],
    status: int,
    answer: Any,
    text: str,
    code: str | None,
    retryable: bool,
) -> None:
    with pytest.raises(OAuthError) as raised:
        refreshed(kind, answer, status=status, **extra)
    error = raised.value
    shown = str(error)
    if "{url}" in text:
        url = shown.rpartition("url=")[2].split(";")[0]
        assert shown.endswith(text.format(url=url))
    else:
        assert text in shown
    assert "SECRET" not in shown
    assert "not-shown" not in shown
    assert (error.code, error.retryable) == (code, retryable)


@pytest.mark.parametrize(
    ("token", "account"),
    [
        (TOKEN, "acc-1"),
        (
            jwt({CLAIM: {"chatgpt_account_id": "acc-2"}, "name": "\u00ff\u00ff\u00fe>>>???"}),
            "acc-2",
        ),
        (TOKEN.replace("-", "+").replace("_", "/"), "acc-1"),
        (jwt({CLAIM: {}}), None),
        (jwt({CLAIM: {"chatgpt_account_id": ""}}), None),
        (jwt({CLAIM: {"chatgpt_account_id": 5}}), None),
        (jwt({CLAIM: "acc-1"}), None),
        (jwt([1]), None),
        (TOKEN.rpartition(".")[0], None),
        ("a.b.c", None),
        ("a.ö.c", None),
        ("", None),
    ],
)
def test_auth_check_21_and_22_the_account_is_read_from_the_token(
    token: str, account: str | None
) -> None:
    if account is not None:
        assert read_account_id(token) == account
        return
    with pytest.raises(OAuthError, match=r"^Failed to extract accountId from token$"):
        read_account_id(token)


def test_auth_check_21_a_payload_of_the_url_alphabet() -> None:
    token = jwt({CLAIM: {"chatgpt_account_id": "acc-1"}, "n": "\u00fb\u00ef\u00ff~~~???>>>"})
    assert set("-_") & set(token)
    assert read_account_id(token) == "acc-1"


def test_an_endpoint_that_does_not_answer_is_given_up() -> None:
    async def main() -> None:
        never = asyncio.Event()

        async def wait(_request: LoopbackRequest) -> LoopbackResponse:
            await never.wait()
            return LoopbackResponse()

        async with LoopbackServer(wait) as server:
            with pytest.raises(OAuthError, match=r"no answer within 0\.1 s") as raised:
                await TokenEndpoint(server.url).post({}, encoding="form", timeout_seconds=0.1)
            assert raised.value.retryable

    asyncio.run(main())
    parameters = inspect.signature(TokenEndpoint.post).parameters
    assert parameters["timeout_seconds"].default == 30
    assert OAuthRuntime().request_timeout_seconds == 30


@pytest.mark.parametrize("provider_id", ["anthropic", "openai", "openai-codex"])
def test_the_built_in_providers_know_their_tokens(provider_id: str) -> None:
    handler: OAuthHandler | None = load_oauth(PROVIDERS[provider_id])
    assert handler is not None
    assert (handler.id, handler.is_subscription) == (provider_id, True)
