"""A whole life of a subscription: login, run, refresh, refusal, logout. Auth spec, 13 and 14."""

from __future__ import annotations

import asyncio
import json
import logging
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest
from msgspec.structs import replace

import pi_ai.http.client  # noqa: F401  # loaded now, so that no test's clock counts it
from pi_ai import (
    CallbackInteraction,
    FileCredentialStore,
    LoginOptions,
    Models,
    ModelsError,
    ToolCall,
    encode,
)
from pi_ai.auth.types import AuthUrlEvent
from pi_ai.testing import LoginServer, LoopbackRequest, LoopbackResponse, LoopbackServer
from pi_ai.testing import faux_message as says
from pi_ai.testing.scripted_server import anthropic_events, responses_events
from pi_sdk import create_agent

SUBSCRIPTIONS = {
    "anthropic": (LoginServer.anthropic, anthropic_events),
    "openai-codex": (LoginServer.codex, responses_events),
}
SECRET_FIELDS = ("code", "code_verifier", "refresh_token", "state")


class ModelServer:
    """Calls a tool, answers, then refuses with what it was sent; `tokens` are those it saw."""

    def __init__(self, events: Any) -> None:
        self.tokens: list[str] = []
        self._events = events
        self._script = iter(
            [says(ToolCall("call_1|fc_1", "ls", {"path": "."})), says("One."), says("Two.")]
        )
        self.server = LoopbackServer(self._answer)

    def _answer(self, request: LoopbackRequest) -> LoopbackResponse:
        if request.method != "POST":  # the handshake of a WebSocket
            return LoopbackResponse(str(request.headers).encode(), status=400)
        self.tokens.append(request.headers["authorization"].removeprefix("Bearer "))
        message = next(self._script, None)
        if message is None:
            error = {"error": {"type": "x", "message": f"bad: {request.headers}"}}
            return LoopbackResponse(json.dumps(error).encode(), status=401)
        return LoopbackResponse(b"".join(self._events(message)))


def secrets_in(login: LoginServer, models: ModelServer) -> Iterator[str]:
    """Every secret that went over the wire."""
    yield from models.tokens
    for request in login.requests:
        if request.headers["content-type"] == "application/json":
            fields = json.loads(request.body)
        else:
            fields = dict(parse_qsl(request.body.decode()))
        yield from (fields[name] for name in SECRET_FIELDS if name in fields)


def files_with(directory: Path, secret: str) -> list[str]:
    files = (path for path in directory.rglob("*") if path.is_file())
    return [path.name for path in files if secret.encode() in path.read_bytes()]


@pytest.mark.parametrize("provider", SUBSCRIPTIONS)
def test_auth_check_57_a_life_with_a_subscription_shows_no_secret(
    provider: str,
    agent_dir: Path,
    project: Path,
    recorder: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    seen = recorder()
    shown: list[str] = []
    path = agent_dir / "auth.json"
    make_login, events = SUBSCRIPTIONS[provider]

    async def log_in(models: Models, login: LoginServer) -> str:
        async with asyncio.TaskGroup() as browser:
            url: list[str] = []

            def visit(event: AuthUrlEvent) -> None:
                url.append(event.url)
                browser.create_task(login.visit(event.url))

            host = CallbackInteraction(on_auth=visit, on_progress=shown.append)
            options = LoginOptions(method="browser")
            made = await models.credentials.login(provider, "oauth", host, options)
            shown.append(repr(made))
        return parse_qs(urlsplit(url[0]).query)["state"][0]

    async def main() -> tuple[set[str], dict[str, str]]:
        served = ModelServer(events)
        async with LoginServer(expires_in=60) as login, served.server as server:  # always too old
            models = Models(credentials=FileCredentialStore(path))
            row = models.get_provider(provider)
            assert row is not None
            listed = replace(models.get_models(provider)[0], base_url=server.url)
            models.set_provider(replace(row, oauth=make_login(login)), [listed])
            state = await log_in(models, login)
            async with create_agent(
                agent_dir=agent_dir, cwd=project, models=models, model=f"{provider}/{listed.id}"
            ) as agent:
                agent.subscribe(seen)
                for prompt in ("one", "two", "refused"):
                    await agent.prompt(prompt)
                kept = json.loads(path.read_text())[provider]
                spent = {**kept, "refresh": "rt_spent_0123456789", "expires": 0}
                path.write_text(json.dumps({provider: spent}))
                with pytest.raises(ModelsError, match=r"Log in again\.$") as raised:
                    await models.credentials.get(provider)
                assert raised.value.__traceback__ is not None
                raised.value.__traceback__ = raised.value.__traceback__.tb_next  # of this test
                told = traceback.TracebackException.from_exception(
                    raised.value, capture_locals=True
                )
                path.write_text(json.dumps({provider: kept}))
                shown.extend([*told.format(), repr(raised.value)])
                shown.append(repr([agent, agent.messages, agent.models, models.credentials]))
            secrets = {state, *secrets_in(login, served)}
            assert len(set(served.tokens)) == 4  # a new one for each request
            await models.aclose()
            return secrets, kept

    with caplog.at_level(logging.DEBUG):
        secrets, kept = asyncio.run(main())
    text = "".join([*shown, caplog.text, repr(seen.events)])
    text += "".join(encode(event).decode() for event in seen.events)
    assert "bad: " in text  # the refusal was told, with what it repeated
    assert "tool_execution_end" in text
    assert list((agent_dir / "sessions").rglob("*.jsonl"))
    assert len(secrets) >= 11  # 4 access and 5 refresh tokens, the code, its verifier, the state
    for secret in secrets:
        assert len(secret) >= 16
        assert secret not in text
        expected = ["auth.json"] if secret in (kept["access"], kept["refresh"]) else []
        assert files_with(agent_dir.parent, secret) == expected
