"""The vocabulary: what is written for it, and which fields are always there."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import msgspec
import pytest

from pi_ai import types
from pi_ai.types import (
    AssistantMessage,
    Context,
    Cost,
    Diagnostic,
    ImageContent,
    Model,
    SystemMessage,
    TextContent,
    ThinkingContent,
    Tool,
    ToolCall,
    ToolReference,
    ToolResultMessage,
    Usage,
    UserMessage,
)
from pi_ai.wire import decode, to_json_value

ZERO_COST = {"input": 0, "output": 0, "cacheRead": 0, "cacheWrite": 0, "total": 0}
ZERO_USAGE = {
    "input": 0,
    "output": 0,
    "cacheRead": 0,
    "cacheWrite": 0,
    "totalTokens": 0,
    "cost": ZERO_COST,
}

WRITTEN: list[tuple[Any, Any]] = [
    (TextContent("a"), {"type": "text", "text": "a"}),
    (TextContent("a", "s"), {"type": "text", "text": "a", "textSignature": "s"}),
    (ThinkingContent(""), {"type": "thinking", "thinking": ""}),
    (
        ThinkingContent("t", "s", redacted=True),
        {"type": "thinking", "thinking": "t", "thinkingSignature": "s", "redacted": True},
    ),
    (ImageContent("QQ==", "image/png"), {"type": "image", "data": "QQ==", "mimeType": "image/png"}),
    (ToolCall("i", "n"), {"type": "toolCall", "id": "i", "name": "n", "arguments": {}}),
    (
        ToolCall("i", "n", {"a": None}, "s", "ns", "bad"),
        {
            "type": "toolCall",
            "id": "i",
            "name": "n",
            "arguments": {"a": None},
            "thoughtSignature": "s",
            "namespace": "ns",
            "argumentsError": "bad",
        },
    ),
    (Usage(), ZERO_USAGE),
    (Usage(cache_write_1h=0, reasoning=5), {**ZERO_USAGE, "cacheWrite1h": 0, "reasoning": 5}),
    (Cost(total_from_provider=False), {**ZERO_COST, "totalFromProvider": False}),
    (Diagnostic("k", 5), {"type": "k", "timestamp": 5}),
    (UserMessage("hi", 5), {"role": "user", "content": "hi", "timestamp": 5}),
    (
        SystemMessage("p", {"a": "x", "b": None}, None, [ToolReference("t")], 5),
        {
            "role": "system",
            "content": "p",
            "sections": {"a": "x", "b": None},
            "toolsRemoved": [{"name": "t"}],
            "timestamp": 5,
        },
    ),
    (
        ToolResultMessage("i", "n", [], timestamp=5),
        {
            "role": "toolResult",
            "toolCallId": "i",
            "toolName": "n",
            "content": [],
            "isError": False,
            "timestamp": 5,
        },
    ),
    (
        ToolResultMessage("i", "n", [], None, timestamp=5),
        {
            "role": "toolResult",
            "toolCallId": "i",
            "toolName": "n",
            "content": [],
            "details": None,
            "isError": False,
            "timestamp": 5,
        },
    ),
    (
        AssistantMessage([], "a", "p", "m", timestamp=5),
        {
            "role": "assistant",
            "content": [],
            "api": "a",
            "provider": "p",
            "model": "m",
            "usage": ZERO_USAGE,
            "stopReason": "stop",
            "timestamp": 5,
        },
    ),
    (Tool("n", "d", {}), {"name": "n", "description": "d", "parameters": {}}),
    (Context(), {"messages": []}),
    (
        Model(id="i", api="a", provider="p"),
        {
            "id": "i",
            "name": "i",
            "api": "a",
            "provider": "p",
            "baseUrl": "",
            "reasoning": False,
            "input": ["text"],
            "cost": {"input": 0, "output": 0, "cacheRead": 0, "cacheWrite": 0},
            "contextWindow": 0,
            "maxTokens": 0,
        },
    ),
]


@pytest.mark.parametrize(
    ("value", "wanted"),
    WRITTEN,
    ids=[f"{i}-{type(v).__name__}" for i, (v, _) in enumerate(WRITTEN)],
)
def test_value_is_written_as_upstream_writes_it_and_read_back(value: Any, wanted: Any) -> None:
    assert to_json_value(value) == wanted
    assert decode(msgspec.json.encode(wanted), type(value)) == value


def test_defaults_are_never_shared() -> None:
    first, second = AssistantMessage(), AssistantMessage()
    first.content.append(TextContent("a"))
    first.usage.cost.total = 1
    assert second.content == []
    assert second.usage.cost.total == 0


def test_text_and_tool_calls_of_a_message() -> None:
    call = ToolCall("i", "n")
    message = AssistantMessage([TextContent("a"), call, ThinkingContent("t"), TextContent("b")])
    assert message.text == "ab"
    assert message.tool_calls == [call]


def test_a_model_is_frozen_and_shows_no_headers() -> None:
    model = Model(id="i", api="a", provider="p", headers={"Authorization": "secret"})
    with pytest.raises(AttributeError):
        model.id = "j"
    assert repr(model) == "<Model p/i (a)>"
    assert copy.deepcopy(model) == model
    assert pickle.loads(pickle.dumps(model)) == model


def test_thinking_levels_are_listed_weakest_first() -> None:
    assert types.THINKING_LEVELS == ("off", "minimal", "low", "medium", "high", "xhigh", "max")
