"""What requests look like after a login. Auth spec, section 9; checks 54 to 56."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import pytest
from msgspec.structs import replace

from pi_ai import Context, LoginOptions, MemoryCredentialStore, Models, Tool, UserMessage, encode
from pi_ai.auth.types import OAuthCredential
from pi_ai.http.transport import HttpRequest
from pi_ai.testing import LoginServer, LoopbackResponse, LoopbackServer
from support import exchanges as x
from support.logins import Host
from support.transports import CannedTransport

IDENTITY = "You are Claude Code, Anthropic's official CLI for Claude."
SCHEMA = {"type": "object", "properties": {}}
OWN_NAMES = (
    "Read",
    "Write",
    "Edit",
    "Bash",
    "Grep",
    "Glob",
    "AskUserQuestion",
    "EnterPlanMode",
    "ExitPlanMode",
    "KillShell",
    "NotebookEdit",
    "Skill",
    "Task",
    "TaskOutput",
    "TodoWrite",
    "WebFetch",
    "WebSearch",
)
ANSWER = (
    x.message_start()
    + x.record(
        "content_block_start",
        index=0,
        content_block={"type": "tool_use", "id": "t1", "name": "Read", "input": {}},
    )
    + x.record("content_block_stop", index=0)
    + x.message_end("tool_use")
)


async def ask(models: Models, tools: list[str], **options: Any) -> tuple[Any, Any]:
    """The request that a Claude model is asked with, and the message that comes back."""
    context = Context([UserMessage("hi")], "You are pi.", [Tool(n, n, SCHEMA) for n in tools])
    async with LoopbackServer(lambda _request: LoopbackResponse(ANSWER)) as server:
        model = replace(models.get_model("anthropic", "claude-sonnet-4-5"), base_url=server.url)
        message = await models.complete(model, context, **options)
        await models.aclose()
        [request] = server.requests
        return request, message


def test_auth_check_54_after_a_login_requests_are_those_of_the_subscription() -> None:
    tools = [name.swapcase() for name in OWN_NAMES] + ["own_tool", "reader"]

    async def run() -> None:
        async with LoginServer() as server:
            models = Models()
            row = models.get_provider("anthropic")
            assert row is not None
            models.set_provider(replace(row, oauth=server.anthropic()))
            host = Host(visit=server.visit)
            options = LoginOptions(method="browser")
            credential = await models.credentials.login("anthropic", "oauth", host, options)
            assert isinstance(credential, OAuthCredential)
            request, message = await ask(models, tools)
            headers = dict(request.headers)
            assert headers.pop("anthropic-beta").startswith("claude-code-20250219,oauth-2025-04-20")
            for name in ("host", "content-length", "accept-encoding"):
                del headers[name]
            assert headers == {
                "authorization": f"Bearer {credential.access}",
                "user-agent": "claude-cli/2.1.322",
                "x-app": "cli",
                "accept": "application/json",
                "content-type": "application/json",
                "anthropic-version": "2023-06-01",
                "anthropic-dangerous-direct-browser-access": "true",
            }
            body = request.json()
            assert [block["text"] for block in body["system"]] == [IDENTITY, "You are pi."]
            names = [tool["name"] for tool in body["tools"]]
            assert names == [*OWN_NAMES, "own_tool", "reader"]
            assert [call.name for call in message.tool_calls] == ["rEAD"]
            assert credential.access not in repr(message)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("given", "sent"),
    [("own-beta", "own-beta"), (None, None)],
    ids=["replaced", "removed"],
)
def test_auth_check_54_a_callers_own_betas_replace_the_list(
    given: str | None, sent: str | None
) -> None:
    async def run() -> None:
        headers = {"anthropic-beta": given}
        request, _ = await ask(Models(), ["read"], api_key="sk-ant-oat01-x", headers=headers)
        assert request.headers.get("anthropic-beta") == sent

    asyncio.run(run())


def test_auth_check_54_a_stored_api_key_says_nothing_of_a_subscription() -> None:
    async def run() -> None:
        models = Models()
        models.credentials.set_runtime_api_key("anthropic", "sk-ant-api03-x")
        request, message = await ask(models, ["read"])
        assert request.headers["x-api-key"] == "sk-ant-api03-x"
        assert "authorization" not in request.headers
        assert "x-app" not in request.headers
        assert [block["text"] for block in request.json()["system"]] == ["You are pi."]
        assert [tool["name"] for tool in request.json()["tools"]] == ["read"]
        assert [call.name for call in message.tool_calls] == ["Read"]

    asyncio.run(run())


async def sent_with(provider: str, model_id: str, access: str, **options: Any) -> HttpRequest:
    """What a stored login of a provider sends; no answer comes."""
    stored = OAuthCredential(access, "refresh", 1e15, extra={"accountId": "stored"})
    transport = CannedTransport(b"", status=400)
    models = Models(credentials=MemoryCredentialStore({provider: stored}), transport=transport)
    await models.complete(models.get_model(provider, model_id), x.HI, **options)
    [request] = transport.requests
    return request


def test_auth_check_55_the_account_of_a_codex_request_is_the_tokens() -> None:
    claims = {"https://api.openai.com/auth": {"chatgpt_account_id": "in-the-token"}}
    payload = base64.urlsafe_b64encode(encode(claims)).decode().rstrip("=")
    token = f"head.{payload}.tail"
    request = asyncio.run(sent_with("openai-codex", "gpt-5.6-sol", token))
    headers = {name.lower(): value for name, value in request.headers.items()}
    assert request.url == "https://chatgpt.com/backend-api/codex/responses"
    assert headers["authorization"] == f"Bearer {token}"
    assert headers["chatgpt-account-id"] == "in-the-token"


@pytest.mark.parametrize(("key", "told"), [("chatgpt-tok", False), ("sk-real", True)])
def test_auth_check_56_a_chatgpt_login_sets_no_limits(key: str, told: bool) -> None:
    options = {"temperature": 0.5, "max_tokens": 100}
    request = asyncio.run(sent_with("openai", "gpt-4", key, **options))
    assert request.url == "https://api.openai.com/v1/responses"
    body = json.loads(request.body)
    assert ("temperature" in body, "max_output_tokens" in body) == (told, told)
