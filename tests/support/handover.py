"""Models to hand a conversation to, and requests checked against the rules of their providers."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from pi_ai import AssistantMessage, Context, Model, Models, UserMessage
from pi_ai.http.transport import HttpRequest
from pi_ai.json_text import sanitize_surrogates
from pi_ai.testing.validators import (
    check_anthropic_request,
    check_completions_request,
    check_responses_request,
)
from pi_ai.transcript import content_text
from pi_ai.wire import encode
from support import exchanges as x
from support.transports import CannedTransport

CLAUDE = Model(
    id="claude",
    api="anthropic-messages",
    provider="anthropic",
    base_url="https://anthropic.test",
    reasoning=True,
    input=["text", "image"],
    max_tokens=8192,
    context_window=200_000,
)
GPT = Model(
    id="gpt",
    api="openai-completions",
    provider="openai",
    base_url="https://api.openai.com/v1",
    reasoning=True,
    input=["text", "image"],
    max_tokens=4096,
    context_window=128_000,
)
RESPONSES = replace(GPT, id="o-model", api="openai-responses")  # the id of the makers' model
IN_PLACE = {"supportsMidConvoSystemMessages": True}
CODEX = replace(
    RESPONSES,
    id="gpt-6",
    api="openai-codex-responses",
    provider="openai-codex",
    base_url="https://chatgpt.test/backend-api",
)
TARGETS = {
    "claude": CLAUDE,
    "claude-blind": replace(CLAUDE, input=["text"]),
    "claude-in-place": replace(
        CLAUDE,
        compat={"supportsMidConvoSystemMessages": True, "forceAdaptiveThinking": True},
    ),
    "claude-effort": replace(
        CLAUDE,
        compat={
            "supportsMidConvoSystemMessages": True,
            "supportsMidConvoEffort": True,
            "forceAdaptiveThinking": True,
        },
    ),
    "gpt": GPT,
    "gpt-blind": replace(GPT, input=["text"], reasoning=False),
    "gpt-in-place": replace(GPT, compat={"supportsMidConvoSystemMessages": True}),
    "vendor": replace(GPT, id="open-model", provider="vendor", base_url="https://vendor.test/v1"),
    "openrouter-claude": replace(
        GPT,
        id="anthropic/claude",
        provider="openrouter",
        base_url="https://openrouter.ai/api/v1",
    ),
    "bridging": replace(
        GPT,
        provider="vendor",
        base_url="https://vendor.test/v1",
        compat={
            "requiresAssistantAfterToolResult": True,
            "requiresToolResultName": True,
            "requiresThinkingAsText": True,
        },
    ),
    "responses": RESPONSES,
    "responses-blind": replace(RESPONSES, input=["text"], reasoning=False),
    "responses-in-place": replace(
        RESPONSES,
        compat={
            **IN_PLACE,
            "supportsAdditionalTools": True,
            "supportsMidConvoEffort": True,
            "supportsStrictMode": True,
        },
    ),
    "responses-search": replace(RESPONSES, compat={**IN_PLACE, "supportsToolSearch": True}),
    "copilot": replace(RESPONSES, provider="github-copilot", base_url="https://copilot.test"),
    "codex": CODEX,
    "azure": replace(
        RESPONSES,
        api="azure-openai-responses",
        provider="azure",
        base_url="https://x.openai.azure.com",
    ),
}
OTHER = {
    "anthropic-messages": GPT,
    "openai-completions": CLAUDE,
    "openai-responses": CLAUDE,
    "openai-codex-responses": RESPONSES,
    "azure-openai-responses": CLAUDE,
}


@dataclass(frozen=True)
class Asking:
    """The options of a request that change its body."""

    reasoning: Any = None
    cache: Any = "short"
    temperature: float | None = None


ASKINGS = {
    "plain": Asking(cache="none", temperature=0.2),
    "thinking-short": Asking("high", temperature=0.2),
    "off-long": Asking(cache="long"),
    "thinking-long": Asking("minimal", "long"),
}
SESSION = "s" * 70


def answer(api: str, number: int) -> bytes:
    """The stream of an answer that thinks, speaks and calls two tools."""
    if api == "openai-completions":
        calls = [
            {
                "index": index,
                "id": f"call_n{number}_{index}",
                "function": {"name": "read", "arguments": '{"path":"b"}'},
            }
            for index in range(2)
        ]
        delta = {"content": "Reading.", "tool_calls": calls}
        return x.chunk(delta) + x.chunk({}, "tool_calls") + x.DONE
    if api.endswith("-responses"):
        return _responses_answer(number)
    pieces = [x.message_start()]
    blocks: list[dict[str, Any]] = [
        {"type": "thinking", "thinking": "hm", "signature": "SIG"},
        {"type": "redacted_thinking", "data": "ENC"},
        {"type": "text", "text": "Reading."},
        {"type": "tool_use", "id": f"toolu_n{number}_0", "name": "read", "input": {"path": "b"}},
        {"type": "tool_use", "id": f"toolu_n{number}_1", "name": "read", "input": {"path": "c"}},
    ]
    for index, block in enumerate(blocks):
        pieces.append(x.record("content_block_start", index=index, content_block=block))
        pieces.append(x.record("content_block_stop", index=index))
    return b"".join([*pieces, x.message_end("tool_use")])


def _responses_answer(number: int) -> bytes:
    reasoning = {
        "type": "reasoning",
        "id": f"rs_n{number}",
        "summary": [{"type": "summary_text", "text": "hm"}],
        "encrypted_content": "ENC",
    }
    pieces = [x.responses_item(0, reasoning)]
    pieces.append(x.responses_text("Reading.", index=1, id=f"msg_n{number}"))
    for index in range(2):
        call = {
            "type": "function_call",
            "id": f"fc_n{number}_{index}",
            "call_id": f"call_n{number}_{index}",
            "name": "read",
            "arguments": '{"path":"b"}',
        }
        pieces.append(x.responses_item(index + 2, call))
    return b"".join([*pieces, x.responses_end()])


async def post(
    model: Model, context: Context, asking: Asking, number: int = 0
) -> tuple[AssistantMessage, HttpRequest]:
    """Send one request; the answer, and what was sent."""
    transport = CannedTransport(answer(model.api, number))
    message = await Models(transport=transport).complete(
        model,
        context,
        api_key=x.chatgpt_token() if model.api == CODEX.api else "k",
        reasoning=asking.reasoning,
        cache_retention=asking.cache,
        temperature=asking.temperature,
        session_id=SESSION,
    )
    assert message.error_message is None
    [request] = transport.requests
    return message, request


async def ask(
    model: Model, context: Context, asking: Asking, number: int = 0
) -> tuple[AssistantMessage, Any]:
    """As `post`; checks the body, which it gives, against the provider's rules."""
    before = copy.deepcopy(context)
    message, request = await post(model, context, asking, number)
    body = json.loads(request.body)
    if model.api == "anthropic-messages":
        betas = {name.lower(): value for name, value in request.headers.items()}
        # Without this one a budget may not exceed the limit, and ours never does.
        told = set(betas.get("anthropic-beta", "").split(",")) - {"interleaved-thinking-2025-05-14"}
        check_anthropic_request(body, betas=told)
    elif model.api == "openai-completions":
        check_completions_request(body, provider=model.provider)
    else:
        check_responses_request(body, provider=model.provider)
    assert context == before
    assert encode(context) == encode(before)
    sent = list(strings(said_in(body)))
    assert [text for text in spoken(context) if not any(text in one for one in sent)] == []
    return message, body


def said_in(body: Any) -> Any:
    """The messages or items of a request."""
    return body["messages"] if "messages" in body else body["input"]


def strings(value: Any) -> Iterator[str]:
    """Every text inside a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for item in value.values() if isinstance(value, dict) else value:
            yield from strings(item)


def spoken(context: Context) -> Iterator[str]:
    """The texts of questions and of answers that did not fail, which all must arrive."""
    for message in context.messages:
        failed = getattr(message, "stop_reason", "stop") in ("error", "aborted")
        if isinstance(message, UserMessage | AssistantMessage) and not failed:
            text = content_text(message.content)
            yield from filter(str.strip, sanitize_surrogates(text).split("\n"))
