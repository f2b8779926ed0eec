"""A conversation goes from any model to any other and back, and every request is a valid one."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Iterator
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
    SystemMessage,
    TextContent,
    ToolCall,
    ToolResultMessage,
    UserMessage,
)
from pi_ai.json_text import sanitize_surrogates
from pi_ai.replay import NO_RESULT_TEXT
from pi_ai.testing.validators import (
    InvalidRequestError,
    check_anthropic_request,
    check_completions_request,
)
from pi_ai.transcript import content_text
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
        temperature=asking.temperature,
        session_id=SESSION,
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
    sent = list(strings(body["messages"]))
    assert [text for text in spoken(context) if not any(text in one for one in sent)] == []
    return message, body


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


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("maker", h.MAKERS)
def test_results_arrive_with_their_calls_and_failed_answers_do_not(maker: str, target: str) -> None:
    async def sent(name: str) -> list[str]:
        context = Context(h.table(h.MAKERS[maker])[name], tools=[h.READ])
        _, body = await ask(TARGETS[target], context, ASKINGS["plain"])
        return [text for one in strings(body["messages"]) for text in one.split("\n")]

    for name in ("tool-round", "parallel", "tools-and-images", "stray-and-twice"):
        assert NO_RESULT_TEXT not in asyncio.run(sent(name))
    assert {"a", "b", "c"} <= set(asyncio.run(sent("parallel")))
    assert not {"stray", "again", "late"} & set(asyncio.run(sent("stray-and-twice")))
    assert NO_RESULT_TEXT in asyncio.run(sent("orphan-calls"))
    assert "hal" not in asyncio.run(sent("aborted"))


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


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])
@given(ANY.flatmap(lambda one: st.tuples(st.just(one), h.contexts(h.MAKERS[one[0]]))))
def test_any_history_goes_to_any_model_and_back(
    case: tuple[tuple[str, str, str], Context],
) -> None:
    (_, target, asking), context = case
    asyncio.run(round_trip(TARGETS[target], context, ASKINGS[asking]))


# --- histories that still make requests a provider rejects ----------------------------------------

HI, MORE = UserMessage("hi", timestamp=1), UserMessage("more", timestamp=1)
CLAUDE_SAID, VENDOR_SAID, FOREIGN_SAID = h.ANTHROPIC, h.VENDOR, h.RESPONSES


def called(maker: h.Maker, *call_ids: str, **more: Any) -> list[Message]:
    """Calls of one message, and their results."""
    calls = [maker.call(call_id, **more) for call_id in call_ids]
    return [maker.said(*calls), *(h.result(call, "ok") for call in calls)]


def failing(call: ToolCall, *content: str) -> list[Message]:
    return [HI, CLAUDE_SAID.said(call), h.result(call, *content, is_error=True)]


def fault(target: str, history: list[Message], why: str, *, id: str, **more: Any) -> Any:
    """A case that fails; strictly, so that the mark goes when the fault does."""
    mark = pytest.mark.xfail(strict=True, raises=InvalidRequestError, reason=why)
    return pytest.param(target, Context(history, **more), marks=mark, id=id)


THOUGHT, _, REDACTED, *_ = CLAUDE_SAID.thinking
CALL = CLAUDE_SAID.call("toolu_1")
HALF = {"path": "a\ud83d"}
LAST = "Claude's messages may not end in thinking"
UNIQUE = "ids of calls are unique: in a request for Claude, in a message for OpenAI"
BLANK = "texts are found blank before their lone surrogates are taken out"
PLACE = "a system message stands directly behind a user message"
SURROGATE = "a lone surrogate makes the body no JSON for strict parsers"
FAULTS = [
    fault("claude", [HI, CLAUDE_SAID.said(THOUGHT, stop_reason="length"), MORE], LAST,
          id="thinking-alone"),
    fault("claude", [HI, CLAUDE_SAID.said(REDACTED), MORE], LAST, id="redacted-thinking-alone"),
    fault("claude", [HI, CLAUDE_SAID.said(TextContent("a"), THOUGHT), MORE], LAST,
          id="thinking-behind-text"),
    fault("claude", [HI, CLAUDE_SAID.said(replace(REDACTED, thinking_signature=None),
                                          TextContent("a")), MORE],
          "redacted thinking without its data is sent", id="redacted-thinking-without-data"),
    fault("claude", failing(CALL), "Claude's error results say something", id="empty-error"),
    fault("claude", failing(CALL, "\ud83d"), BLANK, id="error-of-half-a-sign"),
    fault("claude", [HI, *called(VENDOR_SAID, "call_0"), *called(VENDOR_SAID, "call_0")], UNIQUE,
          id="id-used-again"),
    fault("claude", [HI, *called(VENDOR_SAID, "c", "c")], UNIQUE, id="id-twice-claude"),
    fault("gpt", [HI, *called(VENDOR_SAID, "c", "c")], UNIQUE, id="id-twice-gpt"),
    fault("claude", [HI, *called(VENDOR_SAID, "a b", "a_b")], UNIQUE, id="ids-fold-claude"),
    fault("gpt", [HI, *called(FOREIGN_SAID, "a|b", "a_b")], UNIQUE, id="ids-fold-gpt"),
    fault("gpt", [HI, *called(VENDOR_SAID, h.LONG + "1", h.LONG + "2")], UNIQUE,
          id="long-ids-are-cut-alike"),
    fault("claude", [HI, *called(VENDOR_SAID, "")], "an id is not empty", id="empty-id-claude"),
    fault("gpt", [HI, *called(VENDOR_SAID, "")], "an id is not empty", id="empty-id-gpt"),
    fault("claude", [HI, *called(VENDOR_SAID, "c1", name="mcp.read")],
          "names of tools are letters, digits, _ and -", id="tool-name-claude"),
    fault("gpt", [HI, *called(VENDOR_SAID, "c1", name="mcp.read")],
          "names of tools are letters, digits, _ and -", id="tool-name-gpt"),
    fault("claude", [HI, *called(VENDOR_SAID, "c1", arguments=HALF)], SURROGATE,
          id="surrogate-in-arguments"),
    fault("vendor", [HI, VENDOR_SAID.said(replace(VENDOR_SAID.thinking[0], thinking="a\ud83d"),
                                          TextContent("a")), MORE],
          SURROGATE, id="surrogate-in-reasoning"),
    fault("gpt", [HI], SURROGATE, tools=[replace(h.READ, description="a\ud83d")],
          id="surrogate-in-a-tool"),
    fault("claude", [h.user("x", "\ud83d")], BLANK, id="half-a-sign-claude"),
    fault("gpt", [h.user("x", "\ud83d")], BLANK, id="half-a-sign-gpt"),
    fault("claude", [HI, VENDOR_SAID.said(TextContent("\ud83d")), MORE], BLANK,
          id="answer-of-half-a-sign"),
    fault("claude", [HI], "a blank prompt is sent", system_prompt=" ", id="blank-prompt"),
    fault("claude-in-place", [HI, SystemMessage(" ", timestamp=1)], "a blank update is sent",
          system_prompt="s", id="blank-update"),
    fault("claude-in-place", [HI, CLAUDE_SAID.said(TextContent("a")),
                              SystemMessage("n", timestamp=1),
                              CLAUDE_SAID.said(TextContent("b")), MORE],
          PLACE, system_prompt="s", id="update-between-answers"),
    fault("claude-in-place", [HI, CLAUDE_SAID.said(TextContent("a")),
                              SystemMessage("n", timestamp=1), UserMessage(" ", timestamp=1)],
          PLACE, system_prompt="s", id="update-behind-an-answer"),
    fault("claude", [UserMessage(" ", timestamp=1), CLAUDE_SAID.said(TextContent("a")), MORE],
          "the first message is the user's", id="blank-first-question"),
]  # fmt: skip


@pytest.mark.parametrize(("target", "context"), FAULTS)
def test_odd_history_makes_a_valid_request(target: str, context: Context) -> None:
    for asking in ASKINGS.values():
        asyncio.run(ask(TARGETS[target], context, asking))
