"""A caller's mistakes raise at the call, with the field's name."""

from __future__ import annotations

from typing import Any

import pytest

from pi_ai import (
    AbortController,
    AssistantMessage,
    Context,
    ImageContent,
    SystemMessage,
    TextContent,
    Tool,
    ToolCall,
    UserMessage,
    stream,
)
from pi_ai.api.anthropic_messages import AnthropicOptions
from pi_ai.check import check_options, check_request
from pi_ai.types import StreamOptions
from support.exchanges import HI, M

GOOD: dict[str, Any] = {
    "signal": AbortController().signal,
    "api_key": "k",
    "env": {"A": "b"},
    "headers": {"A": None},
    "reasoning": "high",
    "thinking_budgets": {"low": 5},
    "max_tokens": 1,
    "deferred": {"window": "1h"},
    "transform_headers": dict,
    "temperature": 0,
    "tool_choice": "auto",
    "sampling_params": {"top_p": 0.5},
    "cache_retention": "long",
    "session_id": "S",
    "metadata": {},
    "timeout_ms": 0,
    "idle_timeout_ms": 5.5,
    "max_retries": 2,
    "max_retry_delay_ms": 0,
    "transport": "websocket",
    "websocket_connect_timeout_ms": 0,
    "on_payload": print,
    "on_response": lambda _response, _model: None,
    "on_provider_stream_event": print,
    "identity": None,
}


def test_every_option_is_accepted_with_a_good_value_and_with_none() -> None:
    assert set(GOOD) == set(StreamOptions.__annotations__)
    check_request(M, HI, AnthropicOptions(), GOOD)
    check_options(dict.fromkeys(GOOD))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"max_token": 5}, "Unknown option: max_token. Did you mean max_tokens?"),
        ({"xyzzy": 5}, "Unknown option: xyzzy."),
        ({"max_tokens": "5"}, "max_tokens: Expected `int | null`, got `str`"),
        ({"max_tokens": 5.5}, "max_tokens: Expected `int | null`, got `float`"),
        ({"reasoning": "hard"}, "reasoning: Invalid enum value 'hard'"),
        ({"reasoning": "off"}, "reasoning: Invalid enum value 'off'"),
        ({"headers": {"a": 5}}, "headers: Expected `str | null`, got `int` - at `$[...]`"),
        ({"signal": "x"}, "signal: expected an AbortSignal, found str"),
        ({"on_payload": 5}, "on_payload: expected a function, found int"),
    ],
)
def test_a_bad_option_is_named(options: dict[str, Any], text: str) -> None:
    with pytest.raises(TypeError) as caught:
        check_options(options)
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("model", "context", "adapter", "text"),
    [
        pytest.param(
            "m", HI, None, "model: expected a Model (see get_model), found str", id="model"
        ),
        pytest.param(M, "hi", None, "context: expected a Context, found str", id="context"),
        pytest.param(
            M,
            Context([UserMessage("hi"), {"role": "user"}]),
            None,
            "context.messages[1]: expected a SystemMessage, UserMessage, AssistantMessage or "
            "ToolResultMessage, found dict",
            id="message",
        ),
        pytest.param(
            M,
            HI,
            {"effort": "low"},
            "adapter: expected an options struct such as AnthropicOptions, found dict",
            id="adapter",
        ),
    ],
)
def test_a_bad_argument_is_named_before_anything_is_sent(
    model: Any, context: Any, adapter: Any, text: str
) -> None:
    with pytest.raises(TypeError) as caught:
        stream(model, context, adapter=adapter)
    assert str(caught.value) == text


IMAGE = ImageContent("aGk=", "image/png")


@pytest.mark.parametrize(
    ("context", "kind", "text"),
    [
        (Context([UserMessage(5)]), TypeError, r"messages\[0\].content: expected a str or a list"),
        (Context([AssistantMessage("x")]), TypeError, r"messages\[0\].content: expected a list"),
        (
            Context([UserMessage([IMAGE, "x"])]),
            TypeError,
            r"messages\[0\].content\[1\]: expected TextContent or ImageContent, found str",
        ),
        (
            Context([UserMessage([ToolCall("a", "b")])]),
            TypeError,
            r"content\[0\]: expected TextContent or ImageContent, found ToolCall",
        ),
        (
            Context([UserMessage([TextContent(None)])]),
            TypeError,
            r"content\[0\].text: expected str",
        ),
        (
            Context([UserMessage("a"), UserMessage([ImageContent("aGk=", "application/pdf")])]),
            ValueError,
            r"messages\[1\].content\[0\].mime_type: expected image/jpeg, .*'application/pdf'",
        ),
        (
            Context([AssistantMessage([ToolCall("a", "b", "{}")])]),
            TypeError,
            r"content\[0\].arguments: expected dict, found str",
        ),
        (
            Context([AssistantMessage([ToolCall("a", "b", {"x": [1, {"y": {2}}]})])]),
            TypeError,
            r"content\[0\].arguments.x\[1\].y: expected JSON, found set",
        ),
        (
            Context([AssistantMessage([ToolCall("a", "b", {1: 2})])]),
            TypeError,
            r"content\[0\].arguments: expected names as keys, found 1",
        ),
        (Context(tools=["read"]), TypeError, r"context.tools\[0\]: expected a Tool, found str"),
        (
            Context(tools=[Tool("", "d", {})]),
            ValueError,
            r"context.tools\[0\].name: expected a name",
        ),
        (
            Context(tools=[Tool("t", "d", {"type": "nonsense"})]),
            ValueError,
            r"context.tools\[0\].parameters.type: expected \"object\", found 'nonsense'",
        ),
        (
            Context(tools=[Tool("t", "d", {"properties": []})]),
            ValueError,
            r"parameters.properties: expected an object, found list",
        ),
        (
            Context(tools=[Tool("t", "d", {"required": "x"})]),
            ValueError,
            r"parameters.required: expected a list of names, found 'x'",
        ),
        (
            Context(tools=[Tool("t", "d", {"properties": {"a": {"type": "strng"}}})]),
            ValueError,
            r"tools\[0\].parameters.properties.a.type: expected one of array, .*found 'strng'",
        ),
        (
            Context(tools=[Tool("t", "d", {"properties": {"a": {"items": 5}}})]),
            ValueError,
            r"tools\[0\].parameters.properties.a.items: expected a schema, found int",
        ),
        (
            Context([SystemMessage("", tools_added=[Tool("t", "d", None)])]),
            TypeError,
            r"messages\[0\].tools_added\[0\].parameters: expected dict, found NoneType",
        ),
    ],
)
def test_unsendable_context_names_the_field(context, kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=text):
        check_request(M, context, None, {})
