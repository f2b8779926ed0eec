"""Tools over Anthropic's Messages API. Providers spec, section 5.5, checks 52 and 54."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from pi_ai import (
    AssistantMessage,
    Context,
    Models,
    SystemMessage,
    TextContent,
    Tool,
    ToolCall,
    ToolResultMessage,
    UserMessage,
)
from pi_ai.api.anthropic_messages import AnthropicOptions
from pi_ai.subscription import ClaudeSubscription
from pi_ai.testing import LoopbackRequest, LoopbackResponse, LoopbackServer
from pi_ai.testing.validators import check_anthropic_request
from pi_ai.types import ToolReference
from support.exchanges import BODIES, HI, C, exchange, message_end, message_start, record

LOW_LEVEL = AnthropicOptions()
CC = {"type": "ephemeral"}
OAUTH_KEY = "sk-ant-oat01-xyz"
PREFER = {"type": "json_schema", "strict": "prefer"}
REQUIRE = {"type": "json_schema", "strict": "require"}
STRICT = replace(C, compat={"supportsStrictTools": True})
SCHEMA = {
    "title": "T",
    "type": "object",
    "properties": {"a": {"type": "string"}, "b": {"type": "number"}},
    "required": ["a"],
}
STRICT_SCHEMA = {
    "title": "T",
    "type": "object",
    "properties": {
        "a": {"type": "string"},
        "b": {"anyOf": [{"type": "number"}, {"type": "null"}]},
    },
    "required": ["a", "b"],
    "additionalProperties": False,
}
PLAIN_SCHEMA = {key: SCHEMA[key] for key in ("type", "properties", "required")}
LIMITED = {"type": "object", "properties": {"a": {"type": "integer", "minimum": 1}}}


def with_tools(*tools: Tool) -> Context:
    return Context([UserMessage("hi")], tools=list(tools))


def declared(tool: str, schema: Any, **more: Any) -> dict[str, Any]:
    """A tool as it is sent."""
    return {
        "name": tool,
        "description": "d",
        "eager_input_streaming": True,
        "input_schema": schema,
        **more,
    }


# --- strict tools -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "tool", "sent"),
    [
        pytest.param(
            STRICT,
            Tool("x", "d", SCHEMA, PREFER),
            declared("x", STRICT_SCHEMA, strict=True),
            id="prefer",
        ),
        pytest.param(
            STRICT,
            Tool("x", "d", SCHEMA, REQUIRE),
            declared("x", STRICT_SCHEMA, strict=True),
            id="require",
        ),
        pytest.param(
            STRICT, Tool("x", "d", SCHEMA), declared("x", PLAIN_SCHEMA), id="does-not-ask"
        ),
        pytest.param(
            C, Tool("x", "d", SCHEMA, PREFER), declared("x", PLAIN_SCHEMA), id="unsupported"
        ),
        pytest.param(
            STRICT,
            Tool("x", "d", LIMITED, PREFER),
            declared("x", {**LIMITED, "required": []}),
            id="a-limit-that-anthropic-refuses",
        ),
        pytest.param(
            STRICT,
            Tool("x", "d", SCHEMA, {"type": "grammar", "variants": {"openai_lark": "s: x"}}),
            declared("x", PLAIN_SCHEMA),
            id="grammars-mean-nothing-here",
        ),
    ],
)
def test_strict_tools(model: Any, tool: Tool, sent: dict[str, Any]) -> None:
    got = exchange(model, context=with_tools(tool), adapter=LOW_LEVEL, cache_retention="none")
    assert got.body["tools"] == [sent]
    check_anthropic_request(got.body)


@pytest.mark.parametrize(
    ("model", "schema", "reason"),
    [
        pytest.param(C, SCHEMA, "strict tools are unsupported", id="unsupported"),
        pytest.param(STRICT, LIMITED, "minimum: 1 is unsupported", id="no-strict-form"),
    ],
)
def test_required_strictness_that_cannot_be_had_fails(model: Any, schema: Any, reason: str) -> None:
    got = exchange(model, context=with_tools(Tool("x", "d", schema, REQUIRE)))
    assert got.requests == []
    assert got.message.error_message == (
        f'Tool "x" requires JSON-schema constrained sampling, but {reason}.'
    )


# --- servers that cannot compile them all -----------------------------------------------------

LIMITS = [
    "The compiled grammar is too large, which would cause performance issues.",
    "Too many strict tools (24). The maximum number of strict tools supported is 20.",
    "Schemas contains too many parameters with union types (17 parameters with type arrays).",
]
BOTH = with_tools(Tool("p", "d", SCHEMA, PREFER), Tool("r", "d", SCHEMA, REQUIRE))


def refusal(text: str, status: int = 400, kind: str = "invalid_request_error") -> LoopbackResponse:
    error = {"type": "error", "error": {"type": kind, "message": text}}
    return LoopbackResponse(json.dumps(error, separators=(",", ":")).encode(), status)


GOOD = LoopbackResponse(BODIES[C.api])


async def converse(
    answers: Sequence[LoopbackResponse], *asked: dict[str, Any], context: Context = BOTH
) -> tuple[list[AssistantMessage], list[LoopbackRequest], Models]:
    """Ask once per set of options; every request gets the next answer."""
    waiting = iter(answers)
    models = Models()
    async with LoopbackServer(lambda _request: next(waiting)) as server:
        model = replace(STRICT, base_url=server.url)
        messages = [
            await models.complete(model, context, api_key="k", **options) for options in asked
        ]
        await models.aclose()
    return messages, server.requests, models


def strict_tools(request: LoopbackRequest) -> list[str]:
    body: Any = request.json()
    return [tool["name"] for tool in body["tools"] if tool.get("strict")]


@pytest.mark.parametrize("text", LIMITS, ids=["grammar", "tools", "unions"])
def test_providers_check_54_too_many_strict_tools_are_asked_again_without(text: str) -> None:
    answers = [refusal(text), GOOD, GOOD, GOOD]
    ask = ({"session_id": "S"}, {"session_id": "S"}, {"session_id": "T"})
    messages, requests, _ = asyncio.run(converse(answers, *ask))
    # Those that require it stay strict; another session learns for itself.
    assert [strict_tools(request) for request in requests] == [["p", "r"], ["r"], ["r"], ["p", "r"]]
    assert [message.stop_reason for message in messages] == ["stop"] * 3
    [diagnostic] = messages[0].diagnostics or []
    assert diagnostic.kind == "anthropic_strict_tools_fallback"
    assert diagnostic.timestamp > 0
    assert diagnostic.details == {"reason": "strict_tool_limits_exceeded"}
    assert diagnostic.error == {
        "message": '400 {"type":"error","error":{"type":"invalid_request_error",'
        f'"message":"{text}"}}}}'
    }
    assert messages[1].diagnostics is messages[2].diagnostics is None


def test_hooks_see_both_requests() -> None:
    seen: list[Any] = []

    def on_payload(body: Any, _model: Any) -> Any:
        seen.append([tool["name"] for tool in body["tools"] if tool.get("strict")])
        return {**body, "extra": len(seen)}

    answers = [refusal(LIMITS[0]), GOOD]
    _, requests, _ = asyncio.run(converse(answers, {"on_payload": on_payload}))
    assert seen == [["p", "r"], ["r"]]
    assert [json.loads(request.body)["extra"] for request in requests] == [1, 2]


def test_without_a_session_nothing_is_remembered() -> None:
    answers = [refusal(LIMITS[0]), GOOD, GOOD]
    _, requests, _ = asyncio.run(converse(answers, {}, {}))
    assert [strict_tools(request) for request in requests] == [["p", "r"], ["r"], ["p", "r"]]


def test_a_copy_knows_the_same_sessions_and_a_forgotten_one_tries_again() -> None:
    async def run() -> list[list[str]]:
        waiting = iter([refusal(LIMITS[0]), GOOD, GOOD, GOOD])
        models = Models()
        copied = models.copy()
        async with LoopbackServer(lambda _request: next(waiting)) as server:
            model = replace(STRICT, base_url=server.url)
            await models.complete(model, BOTH, api_key="k", session_id="S")
            await copied.complete(model, BOTH, api_key="k", session_id="S")
            models.forget_session("S")
            await copied.complete(model, BOTH, api_key="k", session_id="S")
            await models.aclose()
        return [strict_tools(request) for request in server.requests]

    assert asyncio.run(run()) == [["p", "r"], ["r"], ["r"], ["p", "r"]]


def test_a_second_refusal_is_the_answer() -> None:
    answers = [refusal(LIMITS[0]), refusal(LIMITS[1])]
    [message], requests, _ = asyncio.run(converse(answers, {"session_id": "S"}))
    assert len(requests) == 2
    assert message.stop_reason == "error"
    assert LIMITS[1] in (message.error_message or "")
    assert len(message.diagnostics or []) == 1


@pytest.mark.parametrize(
    ("answer", "context"),
    [
        pytest.param(refusal("tools: too many"), BOTH, id="another-reason"),
        pytest.param(refusal(LIMITS[0], 413), BOTH, id="another-status"),
        pytest.param(refusal(LIMITS[0], kind="overloaded_error"), BOTH, id="another-type"),
        pytest.param(
            refusal(LIMITS[0]), with_tools(Tool("r", "d", SCHEMA, REQUIRE)), id="all-required"
        ),
        pytest.param(refusal(LIMITS[0]), with_tools(Tool("x", "d", SCHEMA)), id="none-strict"),
    ],
)
def test_other_refusals_are_the_answer_at_once(answer: Any, context: Context) -> None:
    ask = {"session_id": "S"}
    [message], requests, _ = asyncio.run(converse([answer], ask, context=context))
    assert len(requests) == 1
    assert message.stop_reason == "error"
    assert message.diagnostics is None


# --- changes of the tools inside a conversation -----------------------------------------------

IN_PLACE = replace(
    C, compat={"supportsMidConvoSystemMessages": True, "supportsMidConvoToolChanges": True}
)
EMPTY = {"type": "object", "properties": {}, "required": []}
PLACEHOLDER = {
    "name": "__pi_deferred_placeholder__",
    "description": "Reserved placeholder. Never available. Never call this.",
    "input_schema": EMPTY,
    "defer_loading": True,
}
INLINE_TOOLS = "inline-tools-2026-09-15"


def named(name: str, description: str = "d") -> Tool:
    return Tool(name, description, {"type": "object", "properties": {}})


def change(
    added: Sequence[Tool] = (), removed: Sequence[str] = (), text: str = ""
) -> SystemMessage:
    return SystemMessage(
        text,
        tools_added=[*added] or None,
        tools_removed=[ToolReference(name) for name in removed] or None,
    )


def removal(name: str) -> dict[str, Any]:
    return {"type": "tool_removal", "tool": {"type": "tool_reference", "name": name}}


def addition(definition: Any) -> dict[str, Any]:
    return {"type": "tool_addition", "tool": {"type": "tool_definition", "definition": definition}}


def said(*content: Any) -> AssistantMessage:
    return AssistantMessage(list(content), api=C.api, provider=C.provider, model=C.id)


def test_providers_check_52_tool_changes_stand_where_they_were_made() -> None:
    messages = [
        UserMessage("1"),
        change([named("b")], text="now b"),
        said(TextContent("ok")),
        UserMessage("2"),
        change([named("a", "new"), named("c")], ["a", "b"]),
    ]
    context = Context(messages, "base", [named("a"), named("z")])
    got = exchange(IN_PLACE, context=context, adapter=LOW_LEVEL)
    assert got.body["tools"] == [
        declared("a", EMPTY),
        declared("z", EMPTY, cache_control=CC),
        PLACEHOLDER,
    ]
    # A tool that is declared anew is not taken away first.
    new = {**declared("a", EMPTY), "description": "new"}
    assert got.body["messages"] == [
        {"role": "user", "content": "1"},
        {
            "role": "system",
            "content": [{"type": "text", "text": "now b"}, addition(declared("b", EMPTY))],
        },
        {"role": "assistant", "content": [{"type": "text", "text": "ok"}]},
        {"role": "user", "content": "2"},
        {
            "role": "system",
            "content": [
                removal("b"),
                addition(new),
                {**addition(declared("c", EMPTY)), "cache_control": CC},
            ],
        },
    ]
    assert got.request.headers["anthropic-beta"] == INLINE_TOOLS
    check_anthropic_request(got.body, betas=[INLINE_TOOLS])


def test_the_list_is_ready_for_changes_before_there_are_any() -> None:
    got = exchange(IN_PLACE, context=with_tools(named("a")), adapter=LOW_LEVEL)
    assert [tool["name"] for tool in got.body["tools"]] == ["a", PLACEHOLDER["name"]]
    assert got.request.headers["anthropic-beta"] == INLINE_TOOLS


def test_tool_changes_never_part_a_call_from_its_result() -> None:
    result = ToolResultMessage("t", "a", [TextContent("x")])
    messages = [UserMessage("1"), said(ToolCall("t", "a", {})), change([named("b")]), result]
    got = exchange(IN_PLACE, context=Context(messages, tools=[named("a")]), adapter=LOW_LEVEL)
    roles = [message["role"] for message in got.body["messages"]]
    assert roles == ["user", "assistant", "user", "system"]
    check_anthropic_request(got.body, betas=[INLINE_TOOLS])


@pytest.mark.parametrize(
    ("compat", "tools"),
    [
        pytest.param({"supportsMidConvoSystemMessages": True}, [named("a")], id="text-alone"),
        pytest.param({"supportsMidConvoToolChanges": True}, [named("a")], id="tools-alone"),
        pytest.param(IN_PLACE.compat, [], id="no-tools-at-first"),
    ],
)
def test_without_native_changes_the_tools_in_force_are_listed(
    compat: Any, tools: list[Tool]
) -> None:
    messages = [UserMessage("1"), change([named("b")], ["a"])]
    context = Context(messages, "base", tools)
    got = exchange(replace(C, compat=compat), context=context, adapter=LOW_LEVEL)
    assert [tool["name"] for tool in got.body["tools"]] == ["b"]
    assert [message["role"] for message in got.body["messages"]] == ["user"]
    assert "anthropic-beta" not in got.request.headers


def test_strict_tools_that_come_later_fall_back_too() -> None:
    compat = {**(IN_PLACE.compat or {}), "supportsStrictTools": True}
    context = Context(
        [UserMessage("1"), change([Tool("p", "d", SCHEMA, PREFER)])], tools=[named("a")]
    )
    answers = iter([refusal(LIMITS[2]), GOOD])
    got = exchange(replace(C, compat=compat), lambda _request: next(answers), context)
    sent = [json.loads(request.body)["messages"][-1]["content"][0] for request in got.requests]
    schemas = [block["tool"]["definition"].get("strict") for block in sent]
    assert schemas == [True, None]
    assert got.message.stop_reason == "stop"


# --- subscriptions ----------------------------------------------------------------------------


def test_a_subscription_spells_changed_tools_its_own_way() -> None:
    answer = message_start() + record(
        "content_block_start",
        index=0,
        content_block={"type": "tool_use", "id": "t", "name": "Bash", "input": {}},
    )
    answer += record("content_block_stop", index=0) + message_end("tool_use")
    messages = [UserMessage("1"), change([named("bash")], ["read"])]
    context = Context(messages, tools=[named("read")])
    got = exchange(IN_PLACE, answer, context, api_key=OAUTH_KEY, adapter=LOW_LEVEL)
    assert [tool["name"] for tool in got.body["tools"]] == ["Read", PLACEHOLDER["name"]]
    gone, added = got.body["messages"][-1]["content"]
    assert gone["tool"]["name"] == "Read"
    assert added["tool"]["definition"]["name"] == "Bash"
    assert got.message.tool_calls[0].name == "bash"


OTHER = ClaudeSubscription(
    token_mark="tok-",
    system_prompt="You are another.",
    user_agent="another/1",
    app="app",
    betas=("other-beta",),
    tool_names=("LOOK",),
)


@pytest.mark.parametrize("copied", [False, True], ids=["itself", "its-copy"])
@pytest.mark.parametrize("key", ["tok-1", OAUTH_KEY], ids=["token", "api-key"])
def test_what_a_subscription_says_can_be_replaced(key: str, copied: bool) -> None:
    async def ask() -> LoopbackRequest:
        models = Models(subscription=OTHER)
        async with LoopbackServer(lambda _request: GOOD) as server:
            model = replace(C, base_url=server.url)
            asked = models.copy() if copied else models
            await asked.complete(model, with_tools(named("look")), api_key=key)
            await models.aclose()
        [request] = server.requests
        return request

    request = asyncio.run(ask())
    body: Any = request.json()
    if key == OAUTH_KEY:  # no token to this one
        assert request.headers["x-api-key"] == key
        assert "another" not in f"{body}{request.headers}"
        return
    assert request.headers["authorization"] == "Bearer tok-1"
    assert request.headers["user-agent"] == "another/1"
    assert request.headers["x-app"] == "app"
    assert request.headers["anthropic-beta"] == "other-beta"
    assert [block["text"] for block in body["system"]] == ["You are another."]
    assert [tool["name"] for tool in body["tools"]] == ["LOOK"]


def test_nothing_of_a_subscription_shows_for_an_api_key() -> None:
    context = Context(HI.messages, "base", [named("read")])
    got = exchange(C, context=context, api_key="sk-ant-api03-xyz")
    shown = f"{got.request.headers}{got.body}".lower()
    for word in ("claude code", "claude-cli", "claude-code", "oauth", "x-app", "bearer"):
        assert word not in shown
    assert [tool["name"] for tool in got.body["tools"]] == ["read"]
