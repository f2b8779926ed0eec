"""Histories that are odd, broken or empty in places make valid requests all the same."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from typing import Any

import pytest
from msgspec.structs import replace

from pi_ai import (
    Context,
    Message,
    SystemMessage,
    TextContent,
    ThinkingContent,
    ToolCall,
    UserMessage,
)
from support import histories as h
from support.handover import ASKINGS, CLAUDE, TARGETS, ask, post

HI, MORE = UserMessage("hi", timestamp=1), UserMessage("more", timestamp=1)
CLAUDE_SAID, VENDOR_SAID, FOREIGN_SAID = h.ANTHROPIC, h.VENDOR, h.RESPONSES


def called(maker: h.Maker, *call_ids: str, **more: Any) -> list[Message]:
    """Calls of one message, and their results."""
    calls = [maker.call(call_id, **more) for call_id in call_ids]
    return [maker.said(*calls), *(h.result(call, "ok") for call in calls)]


def failing(call: ToolCall, *content: str) -> list[Message]:
    return [HI, CLAUDE_SAID.said(call), h.result(call, *content, is_error=True)]


def case(target: str, history: list[Message], *, id: str, **more: Any) -> Any:
    return pytest.param(target, Context(history, **more), id=id)


BRIDGED = dataclasses.replace(VENDOR_SAID, model="gpt")
THOUGHT, _, REDACTED, *_ = CLAUDE_SAID.thinking
CALL = CLAUDE_SAID.call("toolu_1")
HALF = {"path": "a\ud83d", "k\udc00": ["\ud83d"]}
UPDATE, BLANK = SystemMessage("n", timestamp=1), UserMessage(" ", timestamp=1)
A, B = (CLAUDE_SAID.said(TextContent(text)) for text in "ab")
HALF_DECLARED = replace(
    h.READ,
    description="a\ud83d",
    parameters={"type": "object", "properties": {"k\ud83d": {"description": "b\udc00"}}},
)
ODD = [
    case("claude", [HI, CLAUDE_SAID.said(THOUGHT, stop_reason="length"), MORE],
         id="thinking-alone"),
    case("claude", [HI, CLAUDE_SAID.said(REDACTED), MORE], id="redacted-thinking-alone"),
    case("claude", [HI, CLAUDE_SAID.said(TextContent("a"), THOUGHT, REDACTED), MORE],
         id="thinking-behind-text"),
    case("claude", [HI, CLAUDE_SAID.said(replace(REDACTED, thinking_signature=None),
                                         TextContent("a")), MORE],
         id="redacted-thinking-without-data"),
    case("claude", failing(CALL), id="empty-error"),
    case("claude", failing(CALL, " "), id="blank-error"),
    case("claude", failing(CALL, "\ud83d"), id="error-of-half-a-sign"),
    case("claude", [HI, *called(VENDOR_SAID, "call_0"), *called(VENDOR_SAID, "call_0")],
         id="id-used-again"),
    case("claude", [HI, *called(CLAUDE_SAID, "call_0"), *called(CLAUDE_SAID, "call_0")],
         id="own-id-used-again"),
    case("claude", [HI, *called(VENDOR_SAID, "c", "c")], id="id-twice-claude"),
    case("gpt", [HI, *called(VENDOR_SAID, "c", "c")], id="id-twice-gpt"),
    case("claude", [HI, *called(VENDOR_SAID, "a b", "a_b")], id="ids-fold-claude"),
    case("gpt", [HI, *called(FOREIGN_SAID, "a|b", "a_b")], id="ids-fold-gpt"),
    case("gpt", [HI, *called(VENDOR_SAID, h.LONG + "1", h.LONG + "2")],
         id="long-ids-are-cut-alike"),
    case("claude", [HI, *called(VENDOR_SAID, "")], id="empty-id-claude"),
    case("gpt", [HI, *called(VENDOR_SAID, "")], id="empty-id-gpt"),
    case("vendor", [HI, *called(VENDOR_SAID, "", "")], id="own-empty-ids"),
    case("claude", [HI, *called(VENDOR_SAID, "c1", name="mcp.read")], id="tool-name-claude"),
    case("gpt", [HI, *called(VENDOR_SAID, "c1", name="mcp.read")], id="tool-name-gpt"),
    case("vendor", [HI, *called(VENDOR_SAID, "c1", name="")], id="no-tool-name"),
    case("claude", [HI, *called(VENDOR_SAID, "c1", arguments=HALF)], id="surrogate-in-arguments"),
    case("gpt", [HI, *called(VENDOR_SAID, "c1", arguments=HALF)], id="surrogate-in-argument-text"),
    case("gpt", [HI], tools=[HALF_DECLARED], id="surrogate-in-a-tool-gpt"),
    case("claude", [HI], tools=[HALF_DECLARED], id="surrogate-in-a-tool-claude"),
    case("claude", [h.user("x", "\ud83d")], id="half-a-sign-claude"),
    case("gpt", [h.user("x", "\ud83d")], id="half-a-sign-gpt"),
    case("claude", [HI, VENDOR_SAID.said(TextContent("\ud83d")), MORE], id="answer-of-half-a-sign"),
    case("bridging", [HI, BRIDGED.said(ThinkingContent("\ud83d"), TextContent("a")), MORE],
         id="thought-of-half-a-sign-as-text"),
    case("openrouter-claude", [HI], system_prompt=" ", id="blank-prompt-with-a-cache-mark"),
    case("openrouter-claude", [HI, BLANK], id="blank-question-with-a-cache-mark"),
    case("claude", [HI], system_prompt=" ", id="blank-prompt"),
    case("claude", [HI], system_prompt="\ud83d", id="prompt-of-half-a-sign"),
    case("claude-in-place", [HI, SystemMessage(" ", timestamp=1)], system_prompt="s",
         id="blank-update"),
    case("claude-in-place", [HI, A, UPDATE, B, MORE], system_prompt="s",
         id="update-between-answers"),
    case("claude-in-place", [HI, A, UPDATE, BLANK], system_prompt="s",
         id="update-behind-an-answer"),
    case("claude-effort", [HI, A, UPDATE, B, MORE, UPDATE], system_prompt="s",
         id="updates-behind-answer-and-question"),
    case("claude", [BLANK, A, MORE], id="blank-first-question"),
    case("claude", [HI, A, BLANK], id="blank-last-question"),
    case("claude", [BLANK], id="blank-question-alone"),
    case("claude", [h.user(replace(h.PNG, mime_type="image/PNG"))], id="image-type-claude"),
    case("gpt", [h.user(replace(h.PNG, mime_type="image/PNG"))], id="image-type-gpt"),
    case("gpt", [HI], tools=[replace(h.READ, parameters={})], id="tool-without-schema-gpt"),
    case("claude", [HI], tools=[replace(h.READ, parameters={})], id="tool-without-schema-claude"),
]  # fmt: skip


@pytest.mark.parametrize(("target", "context"), ODD)
def test_odd_history_makes_a_valid_request(target: str, context: Context) -> None:
    for asking in ASKINGS.values():
        asyncio.run(ask(TARGETS[target], context, asking))


def claude_sends(target: str, *history: Message) -> list[Any]:
    """Role and content of the messages that a history becomes, without cache marks."""
    context = Context(list(history), system_prompt="s")
    _, body = asyncio.run(ask(TARGETS[target], context, ASKINGS["plain"]))
    return [(message["role"], message["content"]) for message in body["messages"]]


def blocks(*texts: str) -> list[Any]:
    return [{"type": "text", "text": text} for text in texts]


UPDATED = [
    pytest.param([HI, A, UPDATE, B, MORE], ["user", "assistant", "assistant", "user", "system"],
                 id="between-answers"),
    pytest.param([HI, A, UPDATE, B, MORE, A, MORE],
                 ["user", "assistant", "assistant", "user", "system", "assistant", "user"],
                 id="between-answers-and-later"),
    pytest.param([HI, UPDATE, A, MORE], ["user", "system", "assistant", "user"],
                 id="behind-a-question"),
    pytest.param([HI, A, UPDATE, MORE, B, MORE],
                 ["user", "assistant", "user", "system", "assistant", "user"],
                 id="before-a-question"),
    pytest.param([UPDATE, HI, A, MORE], ["user", "system", "assistant", "user"], id="first"),
    pytest.param([HI, A, UPDATE], ["user", "assistant", "user", "system"], id="last"),
]  # fmt: skip


@pytest.mark.parametrize(("history", "roles"), UPDATED)
def test_an_update_goes_behind_the_next_user_message(
    history: list[Message], roles: list[str]
) -> None:
    assert [role for role, _ in claude_sends("claude-in-place", *history)] == roles


def test_claude_is_told_of_messages_that_say_nothing_only_where_one_must_stand() -> None:
    none, hi, a, more = ("(no message)", "hi", blocks("a"), "more")
    assert claude_sends("claude", BLANK, A, MORE) == [
        ("user", none), ("assistant", a), ("user", more)
    ]  # fmt: skip
    assert claude_sends("claude", HI, A, BLANK) == [("user", hi), ("assistant", a), ("user", none)]
    assert claude_sends("claude", HI, BLANK, A, BLANK, MORE) == [
        ("user", hi), ("assistant", a), ("user", more)
    ]  # fmt: skip
    assert claude_sends("claude", HI, BLANK) == [("user", hi)]


@pytest.mark.parametrize("content", [[], [" "], ["\ud83d"], ["", "\n"]])
def test_claude_is_told_of_an_error_without_a_text(content: list[str]) -> None:
    [_, _, (role, [sent])] = claude_sends("claude", *failing(CALL, *content))
    assert (role, sent["content"], sent["is_error"]) == ("user", "(no tool output)", True)


def test_thinking_goes_only_where_an_answer_ends_in_it() -> None:
    said = CLAUDE_SAID.said(THOUGHT, TextContent("a"), REDACTED, THOUGHT)
    [_, (_, sent), _] = claude_sends("claude", HI, said, MORE)
    assert [block["type"] for block in sent] == ["thinking", "text"]
    roles = [role for role, _ in claude_sends("claude", HI, CLAUDE_SAID.said(THOUGHT), MORE)]
    assert roles == ["user", "user"]


def test_half_a_sign_is_left_out_of_claudes_arguments_and_tools() -> None:
    context = Context([HI, *called(CLAUDE_SAID, "c", arguments=HALF)], tools=[HALF_DECLARED])
    _, body = asyncio.run(ask(CLAUDE, context, ASKINGS["plain"]))
    assert body["messages"][1]["content"][0]["input"] == {"path": "a", "k": [""]}
    [tool] = body["tools"]
    assert tool["description"] == "a"
    assert tool["input_schema"]["properties"] == {"k": {"description": "b"}}


DETAIL = {"type": "reasoning.text", "text": "a\ud83d"}


@pytest.mark.parametrize(
    ("signature", "field"),
    [
        pytest.param("reasoning_content", rb'"reasoning_content":"a\ud83d"', id="field"),
        pytest.param(json.dumps([DETAIL]), rb'"text":"a\ud83d"', id="details"),
    ],
)
def test_half_a_sign_stays_escaped_in_openai_reasoning_and_arguments(
    signature: str, field: bytes
) -> None:
    """As upstream sends it: a server that reads JSON as JavaScript does gets it all back."""
    thought = ThinkingContent("a\ud83d", thinking_signature=signature)
    call = VENDOR_SAID.call("c", arguments={"path": "a\ud83d"})
    history = [HI, VENDOR_SAID.said(thought, call), h.result(call, "ok")]
    _, request = asyncio.run(post(TARGETS["vendor"], Context(history), ASKINGS["plain"]))
    assert field in request.body
    [sent] = json.loads(request.body)["messages"][1]["tool_calls"]
    assert sent["function"]["arguments"] == r'{"path":"a\ud83d"}'
