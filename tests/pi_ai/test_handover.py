"""A conversation goes from any model to any other and back, and every request is a valid one."""

from __future__ import annotations

import asyncio
import copy
import json
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from pi_ai import (
    AssistantMessage,
    Context,
    Message,
    Model,
    Models,
    TextContent,
    ToolResultMessage,
    UserMessage,
)
from pi_ai.testing.validators import check_anthropic_request, check_completions_request
from pi_ai.wire import encode
from support import exchanges as x
from support import histories as h
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
}
OTHER = {"anthropic-messages": GPT, "openai-completions": CLAUDE}


@dataclass(frozen=True)
class Asking:
    """The options of a request that change its body."""

    reasoning: Any = None
    cache: Any = "short"


ASKINGS = {
    "plain": Asking(cache="none"),
    "thinking-short": Asking("high"),
    "off-long": Asking(cache="long"),
    "thinking-long": Asking("minimal", "long"),
}


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


async def ask(
    model: Model, context: Context, asking: Asking, number: int = 0
) -> tuple[AssistantMessage, Any]:
    """Send one request, check its body against the provider's rules, and give the answer."""
    before = copy.deepcopy(context)
    transport = CannedTransport(answer(model.api, number))
    message = await Models(transport=transport).complete(
        model,
        context,
        api_key="k",
        reasoning=asking.reasoning,
        cache_retention=asking.cache,
        session_id="s",
    )
    assert message.error_message is None
    [request] = transport.requests
    body = json.loads(request.body)
    if model.api == "anthropic-messages":
        betas = {name.lower(): value for name, value in request.headers.items()}
        # Without this one a budget may not exceed the limit, and ours never does.
        told = set(betas.get("anthropic-beta", "").split(",")) - {"interleaved-thinking-2025-05-14"}
        check_anthropic_request(body, betas=told)
    else:
        check_completions_request(body, provider=model.provider)
    assert context == before
    assert encode(context) == encode(before)
    return message, body


def answered(context: Context, message: AssistantMessage) -> Context:
    """The conversation with an answer, and results for all of its calls but the last."""
    results: list[Message] = [
        ToolResultMessage(call.id, call.name, [TextContent("ok"), h.PNG], timestamp=2)
        for call in message.tool_calls[:-1]
    ]
    return replace(context, messages=[*context.messages, message, *results])


async def round_trip(model: Model, context: Context, asking: Asking) -> None:
    """Hand over to `model`, then to the other wire format, and back."""
    for number, each in enumerate([model, OTHER[model.api], model]):
        message, _ = await ask(each, context, asking, number)
        context = answered(context, message)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("maker", h.MAKERS)
def test_histories_of_every_maker_go_to_every_model_and_back(maker: str, target: str) -> None:
    async def run() -> None:
        histories = h.table(h.MAKERS[maker])
        # Every history meets every set of options, over the makers and targets.
        first = [*h.MAKERS].index(maker) + [*TARGETS].index(target)
        askings = islice(cycle(ASKINGS), first, None)
        for (name, history), asking in zip(histories.items(), askings, strict=False):
            context = Context(history, system_prompt="Be brief.", tools=[h.READ])
            try:
                await round_trip(TARGETS[target], context, ASKINGS[asking])
            except AssertionError as error:
                error.add_note(f"history: {name}, {asking}")
                raise

    asyncio.run(run())


@pytest.mark.parametrize("asking", ASKINGS)
@pytest.mark.parametrize("target", TARGETS)
def test_a_conversation_goes_on_with_every_option(target: str, asking: str) -> None:
    """Through every maker's tool round with images, twice to and fro, and one more question."""

    async def run() -> None:
        model = TARGETS[target]
        for maker in h.MAKERS.values():
            context = Context(h.table(maker)["tools-and-images"], tools=[h.READ, h.LOOK])
            for number, each in enumerate([model, model, OTHER[model.api], model]):
                message, _ = await ask(each, context, ASKINGS[asking], number)
                context = answered(context, message)
            messages = [*context.messages, UserMessage("more", timestamp=3)]
            await ask(model, replace(context, messages=messages), ASKINGS[asking])

    asyncio.run(run())


ANY = st.tuples(
    st.sampled_from(sorted(h.MAKERS)),
    st.sampled_from(sorted(TARGETS)),
    st.sampled_from(sorted(ASKINGS)),
)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(ANY.flatmap(lambda one: st.tuples(st.just(one), h.contexts(h.MAKERS[one[0]]))))
def test_any_history_goes_to_any_model_and_back(
    case: tuple[tuple[str, str, str], Context],
) -> None:
    (_, target, asking), context = case
    asyncio.run(round_trip(TARGETS[target], context, ASKINGS[asking]))
