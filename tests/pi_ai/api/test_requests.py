"""Contexts and options give the requests that upstream sends."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest

from pi_ai import Context, Model, Models
from pi_ai.api.anthropic_messages import AnthropicOptions
from pi_ai.api.openai_completions import CompletionsOptions
from pi_ai.api.openai_responses import ResponsesOptions
from pi_ai.ids import short_hash
from pi_ai.testing import LoopbackRequest, LoopbackResponse, LoopbackServer
from pi_ai.types import Identity
from pi_ai.wire import from_json_value
from support.shared import cases, load

ADAPTERS = {
    "anthropic-messages": AnthropicOptions,
    "openai-completions": CompletionsOptions,
    "openai-responses": ResponsesOptions,
}
CASES = [
    *cases("requests", "anthropic--"),
    *cases("requests", "completions--"),
    *cases("requests", "responses--"),
]

# Ours instead of upstream's: the library says its own name, unless a provider requires another.
OWN_USER_AGENT = re.compile(r"pi-stack/\S+ python/3\.\d+")


def snake(name: str) -> str:
    return re.sub(r"[A-Z]", lambda match: "_" + match[0].lower(), name)


def split_options(api: str, entry: str, options: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The adapter's options struct, if the case calls for one, and the neutral options."""
    given = {snake(key): value for key, value in options.items()}
    if identity := given.pop("identity", None):
        given["identity"] = Identity(**identity["attribution"])
    if entry == "streamSimple":
        return None, given
    fields = ADAPTERS[api].__struct_fields__
    own = {key: given.pop(key) for key in list(given) if key in fields}
    return ADAPTERS[api](**own), given


def departures(path: Path, body: Any) -> Any:
    """Upstream's body with what this library sends differently."""
    if path.stem == "completions--empty-texts":
        # A result without a call is dropped: providers reject it. ai-core spec, section 8.
        body["messages"] = [m for m in body["messages"] if m.get("tool_call_id") != "call_x"]
    for item in body.get("input", ()):
        if item.get("call_id") == "":  # would not tell its call from another
            item["call_id"] = f"call_{short_hash(':1')}"
    return body


async def send(path: Path) -> tuple[Any, list[LoopbackRequest], Any]:
    server = LoopbackServer(lambda _request: LoopbackResponse(b"data: [DONE]\n\n"))
    models = Models()
    async with server:
        case = load(path, server.url)
        told = case["case"]
        model = from_json_value(told["model"], Model)
        adapter, options = split_options(told["api"], told["entry"], told["options"])
        context = from_json_value(told["context"], Context)
        message = await models.complete(model, context, adapter=adapter, **options)
        await models.aclose()
    return case, server.requests, message


@pytest.mark.parametrize("path", CASES)
def test_request_is_what_upstream_sends(path: Path) -> None:
    case, requests, message = asyncio.run(send(path))
    wanted = case["request"]
    if "error" in wanted:
        assert requests == []
        assert message.error_message == wanted["error"]
        return
    [request] = requests
    assert (request.method, request.path) == (wanted["method"], wanted["path"])
    assert json.loads(request.body) == departures(path, wanted["body"])
    for name, value in wanted["headers"].items():
        assert request.headers.get(name) == value, name
    credentials = {"authorization", "x-api-key", "cf-aig-authorization"}
    assert credentials & set(request.headers) == credentials & set(wanted["headers"])
    agent = request.headers["user-agent"]
    if wanted["user_agent"].startswith("pi/<version>"):
        assert OWN_USER_AGENT.fullmatch(agent)
    else:
        assert agent == wanted["user_agent"]
