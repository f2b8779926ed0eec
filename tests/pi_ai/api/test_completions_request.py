"""What is sent to an OpenAI-compatible server. Providers spec, section 11, checks 1 to 27."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from pi_ai import (
    AssistantMessage,
    Context,
    ImageContent,
    Models,
    SystemMessage,
    TextContent,
    ThinkingContent,
    ToolCall,
    ToolResultMessage,
    UserMessage,
)
from pi_ai.api.openai_completions import CompletionsOptions
from support.exchanges import DONE, HI, M, exchange
from support.transports import CannedTransport

LOW_LEVEL = CompletionsOptions()
HI_MESSAGE = {"role": "user", "content": "hi"}
IMAGE = ImageContent("QUJD", "image/png")
IMAGE_PART = {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}}


def body_with(*without: str, **changes: Any) -> dict[str, Any]:
    """The body of the plainest request, changed."""
    body = {
        "model": "m",
        "messages": [HI_MESSAGE],
        "stream": True,
        "stream_options": {"include_usage": True},
        "store": False,
        **changes,
    }
    return {key: value for key, value in body.items() if key not in without}


def at(url: str, **changes: Any) -> Any:
    """M behind a base URL with `url` in it, reasoning."""
    return replace(M, base_url="{server}/" + url, **{"reasoning": True, **changes})


def said(*content: Any, **changes: Any) -> AssistantMessage:
    """An assistant message of model M."""
    own = {"api": M.api, "provider": M.provider, "model": M.id, **changes}
    return AssistantMessage(list(content), **own)


def sent_messages(*messages: Any, model: Any = M) -> list[Any]:
    """The messages sent for a conversation that ends with the user's `go on`."""
    context = Context([*messages, UserMessage("go on")])
    sent = exchange(model, context=context, adapter=LOW_LEVEL).body["messages"]
    assert sent[-1]["role"] == "user"
    return sent[:-1]


# --- body -------------------------------------------------------------------------------------


def test_providers_check_01_plain_stream_sends_the_least_body() -> None:
    got = exchange(M, adapter=LOW_LEVEL)
    assert got.body == body_with()
    assert got.request.path == "/v1/chat/completions"
    assert got.request.headers["authorization"] == "Bearer k"
    assert got.request.headers["accept"] == "application/json"
    assert got.request.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("options", "added"),
    [
        pytest.param({}, {"max_completion_tokens": 4096}, id="defaults"),
        pytest.param(
            {"max_tokens": 10, "temperature": 0},
            {"max_completion_tokens": 10, "temperature": 0},
            id="limit-and-temperature",
        ),
    ],
)
def test_providers_check_02_neutral_options_always_send_a_limit(
    options: dict[str, Any], added: dict[str, Any]
) -> None:
    assert exchange(M, **options).body == body_with(**added)


DETECTED = {
    "03-zai": (
        "api.z.ai/v1",
        body_with(
            "store",
            prompt_cache_key="S",
            prompt_cache_retention="24h",
            max_tokens=100,
            thinking={"type": "enabled", "clear_thinking": False},
        ),
    ),
    "04-together": (
        "api.together.ai/v1",
        body_with("store", max_tokens=100, reasoning={"enabled": True}),
    ),
    "04-groq": (
        "api.groq.com/v1",
        body_with(
            prompt_cache_key="S",
            prompt_cache_retention="24h",
            max_completion_tokens=100,
            reasoning_effort="high",
        ),
    ),
}


@pytest.mark.parametrize("case", DETECTED)
def test_providers_check_03_04_server_is_recognised_by_its_url(case: str) -> None:
    url, wanted = DETECTED[case]
    got = exchange(
        at(url),
        adapter=CompletionsOptions(reasoning_effort="high"),
        max_tokens=100,
        cache_retention="long",
        session_id="S",
    )
    assert got.body == wanted


@pytest.mark.parametrize(
    ("model", "effort", "wanted"),
    [
        pytest.param(
            at("DeepSeek.com/v1"),
            None,
            body_with("store", thinking={"type": "disabled"}),
            id="05-deepseek-off",
        ),
        pytest.param(
            at("DeepSeek.com/v1", thinking_level_map={"off": None}),
            None,
            body_with("store"),
            id="05-deepseek-off-is-unsupported",
        ),
        pytest.param(
            at("openrouter.ai/v1"),
            None,
            body_with(reasoning={"effort": "none"}),
            id="06-openrouter-off",
        ),
        pytest.param(
            at("openrouter.ai/v1", thinking_level_map={"high": "max"}),
            "high",
            body_with(reasoning={"effort": "max"}),
            id="06-openrouter-mapped",
        ),
    ],
)
def test_providers_check_05_06_effort_as_the_server_wants_it(
    model: Any, effort: Any, wanted: dict[str, Any]
) -> None:
    got = exchange(model, adapter=CompletionsOptions(reasoning_effort=effort))
    assert got.body == wanted


TEMPLATE = {
    "a": 1,
    "b": None,
    "en": {"$var": "thinking.enabled"},
    "ef": {"$var": "thinking.effort"},
    "bu": {"$var": "thinking.budget", "omitWhenOff": True},
}


@pytest.mark.parametrize(
    ("effort", "kwargs"),
    [
        pytest.param("low", {"a": 1, "b": None, "en": True, "ef": "low", "bu": 2048}, id="low"),
        pytest.param(None, {"a": 1, "b": None, "en": False}, id="off"),
    ],
)
def test_providers_check_07_chat_template_variables_are_filled_in(
    effort: Any, kwargs: dict[str, Any]
) -> None:
    compat = {"thinkingFormat": "chat-template", "chatTemplateKwargs": TEMPLATE}
    got = exchange(at("v1", compat=compat), adapter=CompletionsOptions(reasoning_effort=effort))
    assert got.body == body_with(chat_template_kwargs=kwargs)


@pytest.mark.parametrize(
    ("compat", "effort", "limit", "added"),
    [
        pytest.param(
            {"thinkingTokenBudgetField": "thinking_budget"},
            "high",
            5000,
            {"thinking_budget": 3976},
            id="room-for-an-answer",
        ),
        pytest.param({"supportsThinkingTokenBudget": True}, "low", 1000, {}, id="no-room"),
        pytest.param(
            {"supportsThinkingTokenBudget": True},
            "low",
            9000,
            {"thinking_token_budget": 2048},
            id="whole-budget",
        ),
    ],
)
def test_providers_check_08_thinking_budget_leaves_room(
    compat: Any, effort: Any, limit: int, added: dict[str, Any]
) -> None:
    adapter = CompletionsOptions(reasoning_effort=effort)
    got = exchange(at("v1", compat=compat), adapter=adapter, max_tokens=limit)
    assert got.body == body_with(max_completion_tokens=limit, reasoning_effort=effort, **added)


@pytest.mark.parametrize(
    ("levels", "asked", "sent"),
    [
        pytest.param(None, "xhigh", "high", id="xhigh-unmapped"),
        pytest.param({"minimal": None}, "minimal", "low", id="minimal-unsupported"),
    ],
)
def test_providers_check_09_level_is_clamped_to_what_the_model_has(
    levels: Any, asked: Any, sent: str
) -> None:
    got = exchange(at("v1", thinking_level_map=levels), reasoning=asked)
    assert got.body == body_with(max_completion_tokens=4096, reasoning_effort=sent)


@pytest.mark.parametrize(
    ("compat", "retention", "added"),
    [
        pytest.param(
            None,
            "long",
            {"prompt_cache_key": "s" * 64, "prompt_cache_retention": "24h"},
            id="long",
        ),
        pytest.param(None, "short", {}, id="short"),
        pytest.param(
            {"promptCacheKeyMode": "enabled"},
            "short",
            {"prompt_cache_key": "s" * 64},
            id="short-but-enabled",
        ),
        pytest.param({"promptCacheKeyMode": "enabled"}, "none", {}, id="none"),
    ],
)
def test_providers_check_10_cache_key_is_the_session_cut_to_64(
    compat: Any, retention: Any, added: dict[str, Any]
) -> None:
    got = exchange(
        replace(M, compat=compat),
        adapter=LOW_LEVEL,
        session_id="s" * 70,
        cache_retention=retention,
    )
    assert got.body == body_with(**added)


def test_providers_check_11_sampling_parameters_override_named_fields() -> None:
    model = replace(
        M,
        compat={"vllmPriority": -1},
        sampling_params={"top_p": 0.9, "temperature": 0.1},
        sampling_params_by_thinking_level={"off": {"top_k": 5}},
    )
    got = exchange(model, adapter=LOW_LEVEL, temperature=1, sampling_params={"min_p": 0.2})
    sampling = {"temperature": 0.1, "top_p": 0.9, "top_k": 5, "min_p": 0.2}
    assert got.body == body_with(priority=-1, **sampling)


@pytest.mark.parametrize(
    ("compat", "added"),
    [
        pytest.param({"openRouterRouting": {}}, {"provider": {}}, id="openrouter"),
        pytest.param(
            {"vercelGatewayRouting": {"only": ["x"], "order": ["y"]}},
            {"providerOptions": {"gateway": {"only": ["x"], "order": ["y"]}}},
            id="vercel",
        ),
    ],
)
def test_providers_check_12_routing_is_passed_on(compat: Any, added: dict[str, Any]) -> None:
    assert exchange(replace(M, compat=compat), adapter=LOW_LEVEL).body == body_with(**added)


@pytest.mark.parametrize(
    ("model", "role"),
    [
        pytest.param(at("v1"), "developer", id="custom"),
        pytest.param(at("v1", compat={"supportsDeveloperRole": False}), "system", id="told"),
        pytest.param(at("openrouter.ai/v1", id="meta/llama"), "system", id="openrouter"),
        pytest.param(
            at("openrouter.ai/v1", id="openai/gpt-5"), "developer", id="openrouter-openai"
        ),
        pytest.param(M, "system", id="not-reasoning"),
    ],
)
def test_providers_check_13_role_of_the_prompt(model: Any, role: str) -> None:
    context = Context([UserMessage("hi")], system_prompt="Be brief.")
    got = exchange(model, context=context, adapter=LOW_LEVEL)
    assert got.body["messages"] == [{"role": role, "content": "Be brief."}, HI_MESSAGE]


# --- messages ---------------------------------------------------------------------------------


def test_providers_check_14_user_blocks_lose_empty_texts_and_lone_surrogates() -> None:
    texts = [TextContent(text) for text in ("", " ", "a\ud800b")]
    got = exchange(M, context=Context([UserMessage([*texts, IMAGE])]), adapter=LOW_LEVEL)
    content = [{"type": "text", "text": " "}, {"type": "text", "text": "ab"}, IMAGE_PART]
    assert got.body["messages"] == [{"role": "user", "content": content}]


@pytest.mark.parametrize(
    ("texts", "sent"),
    [
        pytest.param(["a", "  ", "b"], [{"role": "assistant", "content": "ab"}], id="joined"),
        pytest.param([], [], id="no-blocks"),
        pytest.param([" "], [], id="blank"),
    ],
)
def test_providers_check_15_assistant_texts_are_one_string(texts: list[str], sent: Any) -> None:
    assert sent_messages(said(*map(TextContent, texts))) == sent


@pytest.mark.parametrize(
    ("signature", "added"),
    [
        pytest.param("reasoning", {"reasoning": "t1\nt2"}, id="field-name"),
        pytest.param("sig", {}, id="another-signature"),
    ],
)
def test_providers_check_16_thinking_goes_back_under_its_field(
    signature: str, added: dict[str, Any]
) -> None:
    thoughts = [ThinkingContent(text, signature) for text in ("t1", "t2")]
    [sent] = sent_messages(said(*thoughts, TextContent("ans")))
    assert sent == {"role": "assistant", "content": "ans", **added}


def test_providers_check_17_deepseek_always_gets_reasoning_content() -> None:
    model = replace(M, provider="deepseek", reasoning=True)
    call = ToolCall("call_1", "read", {"path": "x"})
    thought = ThinkingContent("think", "reasoning_content")
    context = Context(
        [
            UserMessage("1"),
            said(TextContent("only text"), provider="deepseek"),
            UserMessage("2"),
            said(thought, call, provider="deepseek"),
            ToolResultMessage("call_1", "read", [TextContent("ok")]),
        ]
    )
    got = exchange(model, context=context, reasoning="high")
    function = {"name": "read", "arguments": '{"path":"x"}'}
    messages = [
        {"role": "user", "content": "1"},
        {"role": "assistant", "content": "only text", "reasoning_content": ""},
        {"role": "user", "content": "2"},
        {
            "role": "assistant",
            "content": None,
            "reasoning_content": "think",
            "tool_calls": [{"id": "call_1", "type": "function", "function": function}],
        },
        {"role": "tool", "content": "ok", "tool_call_id": "call_1"},
    ]
    assert got.body == body_with(
        "store",
        messages=messages,
        max_tokens=4096,
        thinking={"type": "enabled"},
        reasoning_effort="high",
    )


def test_providers_check_18_tool_results_and_their_images() -> None:
    calls = [ToolCall(call_id, "read", {}) for call_id in ("a", "b", "c")]
    results = [
        ToolResultMessage("a", "read", [TextContent("l1"), TextContent("l2")]),
        ToolResultMessage("b", "read", [IMAGE]),
        ToolResultMessage("c", "read", []),
    ]
    _, *sent = sent_messages(said(*calls), *results)
    caption = {"type": "text", "text": "Attached image(s) from tool result:"}
    assert sent == [
        {"role": "tool", "content": "l1\nl2", "tool_call_id": "a"},
        {"role": "tool", "content": "(see attached image)", "tool_call_id": "b"},
        {"role": "tool", "content": "(no tool output)", "tool_call_id": "c"},
        {"role": "user", "content": [caption, IMAGE_PART]},
    ]


def test_providers_check_19_servers_that_need_names_and_bridges() -> None:
    compat = {"requiresToolResultName": True, "requiresAssistantAfterToolResult": True}
    result = ToolResultMessage("a", "read", [TextContent("x")])
    sent = sent_messages(said(ToolCall("a", "read", {})), result, model=replace(M, compat=compat))
    function = {"name": "read", "arguments": "{}"}
    call = {"id": "a", "type": "function", "function": function}
    assert sent == [
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "x", "tool_call_id": "a", "name": "read"},
        {"role": "assistant", "content": "I have processed the tool results."},
    ]


@pytest.mark.parametrize(
    ("foreign", "sent_id"),
    [
        pytest.param("call_1|fc_" + "z" * 60, "call_1_klb7m04u", id="too-long"),
        pytest.param("call+1|fc/2", "call_1_fc_2", id="odd-characters"),
        pytest.param("call+1|", "call_1", id="no-item"),
    ],
)
def test_providers_check_20_ids_of_other_models_are_made_to_fit(foreign: str, sent_id: str) -> None:
    call = said(ToolCall(foreign, "read", {}), provider="other", api="openai-responses", model="o")
    result = ToolResultMessage(foreign, "read", [TextContent("x")])
    first, second = sent_messages(call, result)
    assert first["tool_calls"][0]["id"] == sent_id
    assert second["tool_call_id"] == sent_id


def test_providers_check_21_call_without_result_gets_one() -> None:
    calls = said(ToolCall("a", "read", {}), ToolCall("b", "read", {}))
    sent = sent_messages(calls, ToolResultMessage("a", "read", [TextContent("x")]))
    assert sent[1:] == [
        {"role": "tool", "content": "x", "tool_call_id": "a"},
        {"role": "tool", "content": "No result provided", "tool_call_id": "b"},
    ]


@pytest.mark.parametrize("reason", ["error", "aborted"])
def test_providers_check_22_failed_answers_are_not_sent(reason: Any) -> None:
    assert sent_messages(said(TextContent("half"), stop_reason=reason)) == []


# --- headers ----------------------------------------------------------------------------------

AFFINITY = {"session_id", "x-client-request-id", "x-session-affinity", "x-session-id"}


@pytest.mark.parametrize(
    ("format", "retention", "names"),
    [
        pytest.param(
            "openai",
            "short",
            {"session_id", "x-client-request-id", "x-session-affinity"},
            id="openai",
        ),
        pytest.param(
            "openai-nosession",
            "short",
            {"x-client-request-id", "x-session-affinity"},
            id="openai-nosession",
        ),
        pytest.param("openrouter", "short", {"x-session-id"}, id="openrouter"),
        pytest.param("openai", "none", set(), id="no-caching"),
    ],
)
def test_providers_check_25_session_affinity_headers(
    format: str, retention: Any, names: set[str]
) -> None:
    compat = {"sendSessionAffinityHeaders": True, "sessionAffinityFormat": format}
    got = exchange(replace(M, compat=compat), session_id="S", cache_retention=retention)
    sent = {name: value for name, value in got.request.headers.items() if name in AFFINITY}
    assert sent == dict.fromkeys(names, "S")


COPILOT = {"x-initiator", "openai-intent", "copilot-vision-request"}


@pytest.mark.parametrize(
    ("messages", "wanted"),
    [
        pytest.param(
            [
                UserMessage("look"),
                said(ToolCall("a", "read", {}), provider="github-copilot"),
                ToolResultMessage("a", "read", [IMAGE]),
            ],
            {
                "x-initiator": "agent",
                "openai-intent": "conversation-edits",
                "copilot-vision-request": "true",
            },
            id="tool-result-with-image",
        ),
        pytest.param(
            [UserMessage("hi")],
            {"x-initiator": "user", "openai-intent": "conversation-edits"},
            id="user",
        ),
    ],
)
def test_providers_check_26_copilot_is_told_who_asks(
    messages: list[Any], wanted: dict[str, str]
) -> None:
    got = exchange(replace(M, provider="github-copilot"), context=Context(messages))
    sent = {name: value for name, value in got.request.headers.items() if name in COPILOT}
    assert sent == wanted


def test_providers_check_27_header_credentials_stand_for_a_key() -> None:
    headers = {"Authorization": None, "cf-aig-authorization": "Bearer zz"}
    got = exchange(M, api_key=None, headers=headers)
    assert "authorization" not in got.request.headers
    assert got.request.headers["cf-aig-authorization"] == "Bearer zz"
    assert got.message.stop_reason == "stop"


@pytest.mark.parametrize(
    ("changes", "options", "name", "value"),
    [
        pytest.param(
            {"headers": {"user-agent": "of the model"}},
            {"headers": {"User-Agent": "of the caller"}},
            "user-agent",
            "of the caller",
            id="caller-over-model-without-case",
        ),
        pytest.param(
            {"headers": {"X-A": "model"}},
            {"headers": {"x-a": None}},
            "x-a",
            None,
            id="caller-removes-a-header",
        ),
        pytest.param(
            {"provider": "opencode"},
            {"session_id": "S"},
            "x-opencode-session",
            "S",
            id="opencode-session",
        ),
    ],
)
def test_header_layers(changes: Any, options: Any, name: str, value: str | None) -> None:
    got = exchange(replace(M, **changes), **options)
    assert got.request.headers.get(name) == value


def test_a_tool_history_without_tools_can_require_an_empty_list() -> None:
    compat = {"requiresToolsWithToolHistory": True}
    model = replace(M, compat=compat)
    assert "tools" not in exchange(model, adapter=LOW_LEVEL).body
    messages = [
        *HI.messages,
        said(ToolCall("a", "read", {})),
        ToolResultMessage("a", "read", [TextContent("x")]),
    ]
    assert exchange(model, context=Context(messages), adapter=LOW_LEVEL).body["tools"] == []


def test_later_system_messages_are_folded_into_the_prompt_or_sent_in_place() -> None:
    context = Context([UserMessage("1"), SystemMessage("more"), UserMessage("2")], "base")
    folded = exchange(M, context=context, adapter=LOW_LEVEL).body["messages"]
    assert [message["content"] for message in folded] == ["base\n\nmore", "1", "2"]
    in_place = replace(M, compat={"supportsMidConvoSystemMessages": True})
    placed = exchange(in_place, context=context, adapter=LOW_LEVEL).body["messages"]
    assert [message["content"] for message in placed] == ["base", "1", "more", "2"]


@pytest.mark.parametrize(
    ("provider", "sent_to"),
    [("openai", ["https://api.openai.com/v1/chat/completions"]), ("azure", [])],
)
def test_a_key_goes_to_openai_only_if_it_is_openais(provider: str, sent_to: list[str]):
    transport = CannedTransport(DONE)
    model = replace(M, provider=provider, base_url="")
    message = asyncio.run(Models(transport=transport).complete(model, HI, api_key="k"))
    assert [request.url for request in transport.requests] == sent_to
    assert (message.error_message or "").startswith("No base URL for") is not bool(sent_to)
