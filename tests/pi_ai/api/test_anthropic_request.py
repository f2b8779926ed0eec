"""What is sent over Anthropic's Messages API. Providers spec, section 11, checks 40 to 51."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from pi_ai import (
    AssistantMessage,
    Context,
    ImageContent,
    TextContent,
    ThinkingContent,
    Tool,
    ToolCall,
    ToolResultMessage,
    UserMessage,
)
from pi_ai.api.anthropic_messages import AnthropicOptions
from support.exchanges import C, exchange

LOW_LEVEL = AnthropicOptions()
CC = {"type": "ephemeral"}
HI_MARKED = {"role": "user", "content": [{"type": "text", "text": "hi", "cache_control": CC}]}
REASONING = replace(C, reasoning=True)
ADAPTIVE = replace(REASONING, compat={"forceAdaptiveThinking": True})
OAUTH_KEY = "sk-ant-oat01-xyz"
IMAGE = ImageContent("QUJD", "image/png")
IMAGE_BLOCK = {
    "type": "image",
    "source": {"type": "base64", "media_type": "image/png", "data": "QUJD"},
}
PATH_SCHEMA = {
    "type": "object",
    "properties": {"path": {"type": "string"}},
    "required": ["path"],
}


def body_with(*without: str, **changes: Any) -> dict[str, Any]:
    """The body of the plainest request, changed."""
    body = {
        "model": "c",
        "messages": [HI_MARKED],
        "max_tokens": 8192,
        "stream": True,
        **changes,
    }
    return {key: value for key, value in body.items() if key not in without}


def said(*content: Any, **changes: Any) -> AssistantMessage:
    """An assistant message of model C."""
    own = {"api": C.api, "provider": C.provider, "model": C.id, **changes}
    return AssistantMessage(list(content), **own)


def with_tools(*tools: Tool) -> Context:
    return Context([UserMessage("hi")], tools=list(tools))


def test_providers_check_40_plain_stream_sends_the_least_body() -> None:
    got = exchange(C, adapter=LOW_LEVEL)
    assert got.body == body_with()
    assert got.request.path == "/v1/messages?beta=true"
    headers = got.request.headers
    assert headers["x-api-key"] == "k"
    assert headers["anthropic-version"] == "2023-06-01"
    assert "anthropic-beta" not in headers
    assert "authorization" not in headers


@pytest.mark.parametrize(
    ("compat", "retention", "content"),
    [
        pytest.param(
            None,
            "long",
            [{"type": "text", "text": "hi", "cache_control": {**CC, "ttl": "1h"}}],
            id="long",
        ),
        pytest.param(
            {"supportsLongCacheRetention": False},
            "long",
            HI_MARKED["content"],
            id="long-unsupported",
        ),
        pytest.param(None, "none", "hi", id="none"),
    ],
)
def test_providers_check_41_cache_marker_follows_the_retention(
    compat: Any, retention: Any, content: Any
) -> None:
    got = exchange(replace(C, compat=compat), adapter=LOW_LEVEL, cache_retention=retention)
    assert got.body == body_with(messages=[{"role": "user", "content": content}])


def test_providers_check_42_subscription_request_is_r3() -> None:
    model = replace(REASONING, id="claude-sonnet-4-5", max_tokens=64_000)
    tools = [Tool(name, f"{name} tool", PATH_SCHEMA) for name in ("read", "bash")]
    answer = said(
        ThinkingContent("plan", "SIG="),
        TextContent("Ok."),
        ToolCall("toolu_01", "bash", {"path": "ls"}),
        model="claude-sonnet-4-5",
    )
    result = ToolResultMessage("toolu_01", "bash", [TextContent("a.txt")])
    context = Context([UserMessage("List"), answer, result], "You are pi.", tools)
    got = exchange(model, context=context, api_key=OAUTH_KEY, reasoning="medium")

    identity = "You are Claude Code, Anthropic's official CLI for Claude."
    declared = {"eager_input_streaming": True, "input_schema": PATH_SCHEMA}
    assert got.body == {
        "model": "claude-sonnet-4-5",
        "messages": [
            {"role": "user", "content": "List"},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "plan", "signature": "SIG="},
                    {"type": "text", "text": "Ok."},
                    {
                        "type": "tool_use",
                        "id": "toolu_01",
                        "name": "Bash",
                        "input": {"path": "ls"},
                    },
                ],
            },
            {
                "role": "user",
                "content": [
                    {
                        "type": "tool_result",
                        "tool_use_id": "toolu_01",
                        "content": "a.txt",
                        "is_error": False,
                        "cache_control": CC,
                    }
                ],
            },
        ],
        "max_tokens": 64000,
        "stream": True,
        "system": [
            {"type": "text", "text": identity, "cache_control": CC},
            {"type": "text", "text": "You are pi.", "cache_control": CC},
        ],
        "tools": [
            {"name": "Read", "description": "read tool", **declared},
            {"name": "Bash", "description": "bash tool", **declared, "cache_control": CC},
        ],
        "thinking": {"type": "enabled", "budget_tokens": 8192, "display": "summarized"},
    }
    headers = got.request.headers
    assert headers["authorization"] == f"Bearer {OAUTH_KEY}"
    assert headers["user-agent"] == "claude-cli/2.1.322"
    assert headers["x-app"] == "cli"
    assert headers["anthropic-beta"] == (
        "claude-code-20250219,oauth-2025-04-20,interleaved-thinking-2025-05-14"
    )
    assert "x-api-key" not in headers


def test_providers_check_42_subscription_without_a_prompt_sends_the_identity_alone() -> None:
    [block] = exchange(C, api_key=OAUTH_KEY).body["system"]
    assert block["text"] == "You are Claude Code, Anthropic's official CLI for Claude."


@pytest.mark.parametrize(
    ("levels", "added"),
    [
        pytest.param(None, {"thinking": {"type": "disabled"}}, id="off"),
        pytest.param({"off": None}, {}, id="off-is-unsupported"),
    ],
)
def test_providers_check_43_no_reasoning_turns_thinking_off(
    levels: Any, added: dict[str, Any]
) -> None:
    got = exchange(replace(REASONING, thinking_level_map=levels))
    assert got.body == body_with(**added)


@pytest.mark.parametrize(
    ("level", "budget"),
    [
        ("minimal", 1024),
        ("low", 2048),
        ("medium", 7168),
        ("high", 7168),
        ("xhigh", 7168),
        ("max", 7168),
    ],
)
def test_providers_check_44_thinking_budget_per_level(level: Any, budget: int) -> None:
    got = exchange(REASONING, reasoning=level)
    thinking = {"type": "enabled", "budget_tokens": budget, "display": "summarized"}
    assert got.body == body_with(thinking=thinking)
    assert got.request.headers["anthropic-beta"] == "interleaved-thinking-2025-05-14"


def test_a_budget_that_leaves_no_room_turns_thinking_off() -> None:
    got = exchange(replace(REASONING, max_tokens=1000), reasoning="high")
    assert got.body == body_with(max_tokens=1000, thinking={"type": "disabled"})


@pytest.mark.parametrize(
    ("levels", "level", "effort"),
    [
        pytest.param(None, "minimal", "low", id="minimal"),
        pytest.param(None, "high", "high", id="high"),
        pytest.param({"xhigh": "xhigh"}, "xhigh", "xhigh", id="xhigh-mapped"),
        pytest.param(None, "xhigh", "high", id="xhigh-unmapped"),
    ],
)
def test_providers_check_45_adaptive_thinking_takes_an_effort(
    levels: Any, level: Any, effort: str
) -> None:
    got = exchange(replace(ADAPTIVE, thinking_level_map=levels), reasoning=level)
    assert got.body == body_with(
        thinking={"type": "adaptive", "display": "summarized"},
        output_config={"effort": effort},
    )
    assert "anthropic-beta" not in got.request.headers


def test_providers_check_46_managed_effort_is_r4() -> None:
    compat = {"forceAdaptiveThinking": True, "supportsMidConvoEffort": True}
    model = replace(REASONING, compat=compat)
    context = Context(
        [
            UserMessage("hi"),
            said(TextContent("a"), provider_thinking_level="low"),
            UserMessage("2"),
            said(TextContent("b"), provider="another"),
            UserMessage("3"),
        ]
    )
    got = exchange(model, context=context, reasoning="medium")
    binding = {"prefix_mismatch_behavior": "drop_block"}
    thinking = {"type": "adaptive", "display": "summarized", "block_binding": binding}
    last = [{"type": "text", "text": "3", "cache_control": CC}]
    assert got.body == {
        "model": "c",
        "messages": [
            {"role": "user", "content": "hi"},
            {"role": "system", "content": [], "output_config": {"effort": "low"}},
            {"role": "assistant", "content": [{"type": "text", "text": "a"}]},
            {"role": "user", "content": "2"},
            {"role": "assistant", "content": [{"type": "text", "text": "b"}]},
            {"role": "user", "content": last},
            {"role": "system", "content": [], "output_config": {"effort": "medium"}},
        ],
        "max_tokens": 8192,
        "stream": True,
        "thinking": thinking,
        "output_config": {"effort": "low"},
    }
    assert got.request.headers["anthropic-beta"] == (
        "mid-conversation-output-config-2026-07-01,thinking-binding-controls-2026-08-01"
    )
    assert got.message.provider_thinking_level == "medium"


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        pytest.param({}, "a,b", id="of-the-model"),
        pytest.param({"headers": {"anthropic-beta": None}}, None, id="removed"),
        pytest.param({"headers": {"ANTHROPIC-BETA": "z"}}, "z", id="of-the-caller"),
    ],
)
def test_providers_check_47_betas_of_model_or_caller_replace_ours(
    options: Any, wanted: str | None
) -> None:
    model = replace(REASONING, headers={"Anthropic-Beta": "a, b,,a"})
    got = exchange(model, reasoning="high", **options)
    assert got.request.headers.get("anthropic-beta") == wanted


def test_providers_check_48_servers_without_eager_tools_and_tool_cache() -> None:
    compat = {
        "supportsEagerToolInputStreaming": False,
        "supportsCacheControlOnTools": False,
        "sendSessionAffinityHeaders": True,
    }
    tool = Tool("read", "read tool", PATH_SCHEMA)
    got = exchange(
        replace(C, compat=compat), context=with_tools(tool), adapter=LOW_LEVEL, session_id="S"
    )
    declared = {"name": "read", "description": "read tool", "input_schema": PATH_SCHEMA}
    assert got.body == body_with(tools=[declared])
    headers = got.request.headers
    assert headers["anthropic-beta"] == "fine-grained-tool-streaming-2025-05-14"
    assert headers["x-session-affinity"] == "S"


def test_providers_check_49_assistant_blocks() -> None:
    answer = said(
        ThinkingContent("th", "SIG"),
        ThinkingContent("", "SIG2"),
        ThinkingContent("nosig", ""),
        ThinkingContent(" ", ""),
        ThinkingContent("[Reasoning redacted]", "DATA", redacted=True),
        TextContent(" "),
        TextContent("x"),
    )
    context = Context([UserMessage("1"), answer, UserMessage("2")])
    got = exchange(C, context=context, adapter=LOW_LEVEL)
    assert got.body["messages"][1] == {
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": "th", "signature": "SIG"},
            {"type": "thinking", "thinking": "", "signature": "SIG2"},
            {"type": "text", "text": "nosig"},
            {"type": "redacted_thinking", "data": "DATA"},
            {"type": "text", "text": "x"},
        ],
    }


def test_providers_check_50_a_run_of_results_is_one_message() -> None:
    ids = ["a", "b", "c", "d", "e"]
    results = [
        ToolResultMessage("a", "shot", [TextContent("1"), TextContent("2")]),
        ToolResultMessage("b", "shot", []),
        ToolResultMessage("c", "shot", [IMAGE]),
        ToolResultMessage("d", "shot", [TextContent("t"), IMAGE]),
        ToolResultMessage("e", "shot", [TextContent("bad"), IMAGE, IMAGE], is_error=True),
    ]
    calls = said(*(ToolCall(call_id, "shot", {}) for call_id in ids))
    context = Context([UserMessage("1"), calls, *results])
    got = exchange(C, context=context, adapter=LOW_LEVEL, cache_retention="none")

    def result(call_id: str, content: Any, is_error: bool = False) -> dict[str, Any]:
        return {
            "type": "tool_result",
            "tool_use_id": call_id,
            "content": content,
            "is_error": is_error,
        }

    caption = "Images from the error result of tool call e (shot):"
    assert got.body["messages"][2:] == [
        {
            "role": "user",
            "content": [
                result("a", "1\n2"),
                result("b", ""),
                result("c", [{"type": "text", "text": "(see attached image)"}, IMAGE_BLOCK]),
                result("d", [{"type": "text", "text": "t"}, IMAGE_BLOCK]),
                result("e", "bad\n(image attached after the tool results)", True),
                {"type": "text", "text": caption},
                IMAGE_BLOCK,
                IMAGE_BLOCK,
            ],
        }
    ]


def test_providers_check_51_of_a_schema_root_only_what_the_api_reads_is_sent() -> None:
    schema = {
        "title": "T",
        "type": "object",
        "additionalProperties": False,
        "anyOf": [],
        "properties": {"a": {"$ref": "#/$defs/A"}},
        "required": ["a"],
        "$defs": {"A": {"type": "string"}},
    }
    got = exchange(C, context=with_tools(Tool("t", "t", schema)), adapter=LOW_LEVEL)
    [tool] = got.body["tools"]
    assert tool["input_schema"] == {
        "type": "object",
        "properties": {"a": {"$ref": "#/$defs/A"}},
        "required": ["a"],
        "$defs": {"A": {"type": "string"}},
    }


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        pytest.param("auto", {"type": "auto"}, id="word"),
        pytest.param({"type": "tool", "name": "read"}, {"type": "tool", "name": "Read"}, id="tool"),
    ],
)
def test_tool_choice_names_a_subscription_tool_as_it_is_declared(choice: Any, sent: Any) -> None:
    context = with_tools(Tool("read", "read tool", PATH_SCHEMA))
    adapter = AnthropicOptions(tool_choice=choice)
    assert exchange(C, context=context, adapter=adapter, api_key=OAUTH_KEY).body["tool_choice"] == (
        sent
    )


def test_copilot_is_asked_with_a_bearer_token() -> None:
    got = exchange(replace(C, provider="github-copilot"), api_key="tid_sk-ant-oat")
    headers = got.request.headers
    assert headers["authorization"] == "Bearer tid_sk-ant-oat"
    assert headers["x-initiator"] == "user"
    assert "x-api-key" not in headers
    assert "system" not in got.body


def test_temperature_is_kept_where_the_model_does_not_think() -> None:
    kept = exchange(C, temperature=0, reasoning="high")  # C is no reasoning model
    assert kept.body == body_with(temperature=0)
    assert "temperature" not in exchange(REASONING, temperature=0, reasoning="high").body
