"""How tools are declared to an OpenAI-compatible server. Providers spec, checks 23 and 24."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from pi_ai import (
    AssistantMessage,
    Context,
    SystemMessage,
    TextContent,
    Tool,
    ToolCall,
    ToolResultMessage,
    UserMessage,
)
from pi_ai.api.openai_completions import CompletionsOptions
from pi_ai.types import ToolReference
from support.exchanges import HI, M, exchange

LOW_LEVEL = CompletionsOptions()
READ = Tool("read", "read tool", {"type": "object", "properties": {}})


def body_with(**changes: Any) -> dict[str, Any]:
    """The body of the plainest request, changed."""
    return {
        "model": "m",
        "messages": [{"role": "user", "content": "hi"}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "store": False,
        **changes,
    }


def said(*content: Any) -> AssistantMessage:
    """An assistant message of model M."""
    return AssistantMessage(list(content), api=M.api, provider=M.provider, model=M.id)


@pytest.mark.parametrize(
    ("compat", "added"),
    [
        pytest.param({"supportsStrictMode": True}, {"strict": False}, id="strict-mode"),
        pytest.param(None, {}, id="no-strict-mode"),
    ],
)
def test_providers_check_23_ordinary_tools_say_strict_only_where_it_is_known(
    compat: Any, added: dict[str, Any]
) -> None:
    context = Context([UserMessage("hi")], tools=[READ])
    got = exchange(replace(M, compat=compat), context=context, adapter=LOW_LEVEL)
    function = {"name": "read", "description": "read tool", "parameters": READ.parameters, **added}
    assert got.body == body_with(tools=[{"type": "function", "function": function}])


PREFER = {"type": "json_schema", "strict": "prefer"}
REQUIRE = {"type": "json_schema", "strict": "require"}
STRICT_MODE = replace(M, compat={"supportsStrictMode": True})
ABC = {
    "type": "object",
    "properties": {
        "a": {"type": "string"},
        "b": {"type": "number"},
        "c": {"type": ["string", "null"]},
    },
    "required": ["a"],
}
STRICT_ABC = {
    "type": "object",
    "properties": {
        "a": {"type": "string"},
        "b": {"anyOf": [{"type": "number"}, {"type": "null"}]},
        "c": {"type": ["string", "null"]},
    },
    "required": ["a", "b", "c"],
    "additionalProperties": False,
}
OPEN_MAP = {"type": "object", "properties": {}, "additionalProperties": True}


@pytest.mark.parametrize(
    ("model", "tool", "declared"),
    [
        pytest.param(
            STRICT_MODE,
            Tool("x", "x", ABC, PREFER),
            {"parameters": STRICT_ABC, "strict": True},
            id="prefer",
        ),
        pytest.param(
            STRICT_MODE,
            Tool("x", "x", ABC, REQUIRE),
            {"parameters": STRICT_ABC, "strict": True},
            id="require",
        ),
        pytest.param(
            STRICT_MODE,
            Tool("x", "x", OPEN_MAP, PREFER),
            {"parameters": OPEN_MAP, "strict": False},
            id="prefer-without-a-strict-form",
        ),
        pytest.param(M, Tool("x", "x", ABC, PREFER), {"parameters": ABC}, id="prefer-unsupported"),
    ],
)
def test_providers_check_23_strict_tools_send_the_strict_schema(
    model: Any, tool: Tool, declared: dict[str, Any]
) -> None:
    got = exchange(model, context=Context([UserMessage("hi")], tools=[tool]), adapter=LOW_LEVEL)
    function = {"name": "x", "description": "x", **declared}
    assert got.body == body_with(tools=[{"type": "function", "function": function}])


@pytest.mark.parametrize(
    ("model", "schema", "reason"),
    [
        pytest.param(M, ABC, "strict tools are unsupported", id="unsupported"),
        pytest.param(
            STRICT_MODE,
            OPEN_MAP,
            "schema-valued or true additionalProperties is unsupported",
            id="no-strict-form",
        ),
    ],
)
def test_providers_check_24_required_strictness_that_cannot_be_had_fails(
    model: Any, schema: Any, reason: str
) -> None:
    context = Context([UserMessage("hi")], tools=[Tool("x", "x", schema, REQUIRE)])
    got = exchange(model, context=context)
    assert got.told == [("error", "error")]
    assert got.requests == []
    assert got.message.error_message == (
        f'Tool "x" requires JSON-schema constrained sampling, but {reason}.'
    )


# --- tools with a grammar ---------------------------------------------------------------------

GRAMMARS = replace(M, compat={"supportsOpenAIGrammarTools": True})
CODE = {"type": "object", "properties": {"code": {"type": "string"}}, "required": ["code"]}


def grammar_tool(schema: Any = CODE, **variants: Any) -> Tool:
    return Tool("run", "run it", schema, {"type": "grammar", "variants": variants})


RUN = grammar_tool(openai_lark="start: x")


@pytest.mark.parametrize(
    ("variants", "syntax", "definition"),
    [
        pytest.param({"openai_lark": "start: x"}, "lark", "start: x", id="lark"),
        pytest.param({"openai_regex": "a+"}, "regex", "a+", id="regex"),
        pytest.param({"openai_regex": "a+", "openai_lark": "s: y"}, "lark", "s: y", id="both"),
        pytest.param({"openai_lark": " ", "openai_regex": "a+"}, "regex", "a+", id="blank-lark"),
    ],
)
def test_a_grammar_is_declared_as_a_custom_tool(
    variants: Any, syntax: str, definition: str
) -> None:
    context = Context([UserMessage("hi")], tools=[grammar_tool(**variants)])
    got = exchange(GRAMMARS, context=context, adapter=LOW_LEVEL)
    grammar = {"syntax": syntax, "definition": definition}
    custom = {
        "name": "run",
        "description": "run it",
        "format": {"type": "grammar", "grammar": grammar},
    }
    assert got.body == body_with(tools=[{"type": "custom", "custom": custom}])


def test_a_grammar_that_the_server_does_not_know_is_a_function() -> None:
    context = Context([UserMessage("hi")], tools=[RUN])
    got = exchange(M, context=context, adapter=LOW_LEVEL)
    function = {"name": "run", "description": "run it", "parameters": CODE}
    assert got.body == body_with(tools=[{"type": "function", "function": function}])


def code_schema(**changes: Any) -> dict[str, Any]:
    return {**CODE, **changes}


ONE = "grammar constrained sampling requires exactly one required string property"


@pytest.mark.parametrize(
    ("tool", "reason"),
    [
        pytest.param(grammar_tool(), "no supported grammar variant was provided", id="none"),
        pytest.param(
            grammar_tool(openai_lark=" \n", openai_regex=1, other="x"),
            "no supported grammar variant was provided",
            id="blank",
        ),
        pytest.param(
            grammar_tool({"properties": {}}, openai_lark="x"),
            "grammar constrained sampling requires an object parameter schema",
            id="no-object",
        ),
        pytest.param(
            grammar_tool(code_schema(required=[]), openai_lark="x"), ONE, id="nothing-required"
        ),
        pytest.param(
            grammar_tool(code_schema(required=["code", "b"]), openai_lark="x"), ONE, id="two"
        ),
        pytest.param(
            grammar_tool(code_schema(properties={}), openai_lark="x"),
            "grammar constrained sampling requires a properties entry for code",
            id="no-entry",
        ),
        pytest.param(
            grammar_tool(code_schema(properties={"code": {"type": "number"}}), openai_lark="x"),
            "grammar constrained sampling property code must have type string",
            id="no-string",
        ),
    ],
)
def test_a_grammar_that_cannot_be_used_fails(tool: Tool, reason: str) -> None:
    got = exchange(GRAMMARS, context=Context([UserMessage("hi")], tools=[tool]))
    assert got.requests == []
    assert got.message.error_message == (
        f'Tool "run" cannot use grammar constrained sampling: {reason}.'
    )


def grammar_history(arguments: Any, *later: Any, model: Any = GRAMMARS) -> Any:
    """What is sent for a conversation in which the tool was called."""
    call = said(ToolCall("c", "run", arguments))
    messages = [HI.messages[0], call, ToolResultMessage("c", "run", [TextContent("ok")]), *later]
    return exchange(model, context=Context(messages, tools=[RUN]), adapter=LOW_LEVEL)


def test_calls_of_a_grammar_tool_go_back_as_its_text() -> None:
    got = grammar_history({"code": 'say("é")\n'})
    custom = {"name": "run", "input": 'say("é")\n'}
    assert got.body["messages"][1]["tool_calls"] == [
        {"id": "c", "type": "custom", "custom": custom}
    ]


def test_calls_of_a_grammar_tool_that_was_removed_stay_its_text() -> None:
    removed = SystemMessage("", tools_removed=[ToolReference("run")])
    got = grammar_history({"code": "x"}, removed)
    assert got.body["messages"][1]["tool_calls"][0]["type"] == "custom"
    assert "tools" not in got.body


def test_calls_of_a_tool_that_is_a_function_here_keep_their_arguments() -> None:
    got = grammar_history({"code": "x"}, model=M)
    function = {"name": "run", "arguments": '{"code":"x"}'}
    assert got.body["messages"][1]["tool_calls"] == [
        {"id": "c", "type": "function", "function": function}
    ]


@pytest.mark.parametrize("arguments", [{}, {"code": 1}], ids=["absent", "number"])
def test_calls_of_a_grammar_tool_without_a_text_fail(arguments: Any) -> None:
    got = grammar_history(arguments)
    assert got.requests == []
    assert got.message.error_message == (
        'Grammar tool call "run" requires argument "code" to be a string.'
    )


# --- tools that come later --------------------------------------------------------------------

IN_PLACE = {"supportsMidConvoSystemMessages": True, "supportsMidConvoToolAdditions": True}


def named(name: str, description: str = "d") -> Tool:
    return Tool(name, description, {"type": "object", "properties": {}})


def added(*tools: Tool, text: str = "", removed: Any = None) -> SystemMessage:
    return SystemMessage(text, tools_added=[*tools], tools_removed=removed)


def shape(body: Any) -> tuple[list[str], list[Any]]:
    """The names at the top, and the messages with the names they add."""

    def names(tools: Any) -> list[str]:
        return [tool["function"]["name"] for tool in tools]

    return names(body.get("tools", [])), [
        (message["role"], names(message["tools"])) if "tools" in message else message["content"]
        for message in body["messages"]
    ]


@pytest.mark.parametrize(
    ("compat", "initial", "later", "top", "sent"),
    [
        pytest.param(
            IN_PLACE,
            ["a"],
            [added(named("b"), text="now b"), added(named("c"), named("d"))],
            ["a"],
            ["base", "0", ("system", ["b"]), "now b", "1", ("system", ["c", "d"]), "2"],
            id="additions-stand-where-they-were-made",
        ),
        pytest.param(
            IN_PLACE,
            ["a"],
            [added(named("b")), added(removed=[ToolReference("a")], text="gone")],
            ["b"],
            ["base", "0", "1", "gone", "2"],
            id="removal-folds-all-before",
        ),
        pytest.param(
            IN_PLACE,
            ["a"],
            [added(named("a", "new")), added(named("b"))],
            ["a"],
            ["base", "0", "1", ("system", ["b"]), "2"],
            id="redefinition-folds-all-before",
        ),
        pytest.param(
            {"supportsMidConvoSystemMessages": True},
            ["a"],
            [added(named("b"), text="now b")],
            ["a", "b"],
            ["base", "0", "now b", "1"],
            id="text-alone",
        ),
        pytest.param(
            {"supportsMidConvoToolAdditions": True},
            ["a"],
            [added(named("b"), text="now b")],
            ["a", "b"],
            ["base\n\nnow b", "0", "1"],
            id="neither",
        ),
        pytest.param(
            IN_PLACE,
            [],
            [added(named("b"))],
            [],
            ["base", "0", ("system", ["b"]), "1"],
            id="none-at-first",
        ),
    ],
)
def test_tools_added_later(
    compat: Any, initial: list[str], later: list[Any], top: list[str], sent: list[Any]
) -> None:
    messages: list[Any] = [UserMessage("0")]
    for number, message in enumerate(later, 1):
        messages += [message, UserMessage(str(number))]
    context = Context(messages, "base", [named(name) for name in initial])
    got = exchange(replace(M, compat=compat), context=context, adapter=LOW_LEVEL)
    assert shape(got.body) == (top, sent)


def test_tools_added_later_are_declared_in_full_and_never_part_a_call_from_its_result() -> None:
    compat = {**IN_PLACE, "supportsStrictMode": True, "supportsOpenAIGrammarTools": True}
    call = said(ToolCall("c", "a", {}))
    messages = [
        HI.messages[0],
        call,
        added(Tool("x", "x", ABC, PREFER), RUN),
        ToolResultMessage("c", "a", [TextContent("ok")]),
    ]
    context = Context(messages, tools=[named("a")])
    # A reasoning model's prompt has another role; the role of additions is fixed.
    model = replace(M, compat=compat, reasoning=True)
    sent = exchange(model, context=context, adapter=LOW_LEVEL).body["messages"]
    assert [message["role"] for message in sent] == ["user", "assistant", "tool", "system"]
    strict = {"name": "x", "description": "x", "parameters": STRICT_ABC, "strict": True}
    grammar = {"syntax": "lark", "definition": "start: x"}
    custom = {
        "name": "run",
        "description": "run it",
        "format": {"type": "grammar", "grammar": grammar},
    }
    assert sent[3]["tools"] == [
        {"type": "function", "function": strict},
        {"type": "custom", "custom": custom},
    ]
