"""Conversations as items, tools as declarations. Spec of openai-responses, checks 11 to 19."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from pi_ai import (
    AssistantMessage,
    Context,
    ImageContent,
    SystemMessage,
    TextContent,
    ThinkingContent,
    Tool,
    ToolCall,
    ToolReference,
    ToolResultMessage,
    UserMessage,
)
from pi_ai.api.openai_responses import ResponsesOptions
from support.exchanges import HI, A, R, X, chatgpt_token, exchange

IMAGE = ImageContent("iVBORw0=", "image/PNG")
IMAGE_PART = {
    "type": "input_image",
    "detail": "auto",
    "image_url": "data:image/png;base64,iVBORw0=",
}
OBJECT: dict[str, Any] = {"type": "object", "properties": {}}
A_TOOL, B_TOOL, C_TOOL = (Tool(name, f"Does {name}.", OBJECT) for name in "abc")
CHANGES = {"supportsMidConvoSystemMessages": True, "supportsAdditionalTools": True}
ADDITIONS = {"supportsMidConvoSystemMessages": True, "supportsToolSearch": True}
GO_ON = {"role": "user", "content": [{"type": "input_text", "text": "go on"}]}
ITEM = '{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"ENC"}'


def input_of(*messages: Any, model: Any = R, **context: Any) -> list[Any]:
    """The items of a conversation that ends with the user's `go on`, which is left out."""
    context = Context([*messages, UserMessage("go on")], **context)
    key = chatgpt_token() if model.api == X.api else "k"
    got = exchange(model, context=context, api_key=key, transport="sse")
    assert got.message.error_message is None
    items = got.body["input"]
    assert items[-1] == GO_ON
    return items[:-1]


def said(*content: Any, of: Any = R, **changes: Any) -> AssistantMessage:
    """An assistant message of a model."""
    return AssistantMessage(list(content), of.api, of.provider, of.id, **changes)


def message(text: str, message_id: str, **fields: Any) -> dict[str, Any]:
    """An assistant's text as it is sent."""
    return {
        "type": "message",
        "role": "assistant",
        "content": [{"type": "output_text", "text": text, "annotations": []}],
        "status": "completed",
        "id": message_id,
        **fields,
    }


def call(name: str, call_id: str, arguments: str = "{}", **fields: Any) -> dict[str, Any]:
    """A call as it is sent."""
    sent = {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments}
    return sent | fields


def output(call_id: str, result: Any, kind: str = "function_call") -> dict[str, Any]:
    """A result as it is sent."""
    return {"type": f"{kind}_output", "call_id": call_id, "output": result}


def result(call_id: str, *content: Any, name: str = "read") -> ToolResultMessage:
    """What a call gave."""
    return ToolResultMessage(call_id, name, list(content))


def answer(of: Any = R) -> list[Any]:
    """The finished tool round of the spec's section 7.2."""
    return [
        UserMessage("Read a.txt"),
        said(
            ThinkingContent("Need the file.", thinking_signature=ITEM),
            TextContent("Reading.", '{"v":1,"id":"msg_1","phase":"commentary"}'),
            ToolCall("call_1|fc_1", "read", {"path": "a.txt"}, namespace="mcp"),
            of=of,
        ),
        result("call_1|fc_1", TextContent("alpha")),
    ]


REASONING = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "ENC"}
READ_A = {"name": "read", "arguments": '{"path":"a.txt"}'}


def test_responses_check_11_the_same_model_gets_everything_back() -> None:
    assert input_of(*answer(), system_prompt="You are pi.")[0] == {
        "role": "developer",
        "content": "You are pi.",
    }
    assert input_of(*answer())[1:] == [
        REASONING,
        message("Reading.", "msg_1", phase="commentary"),
        call(call_id="call_1", id="fc_1", namespace="mcp", **READ_A),
        output("call_1", "alpha"),
    ]


def test_responses_check_11_another_model_of_the_server_gets_the_words() -> None:
    assert input_of(*answer(), model=replace(R, id="gpt-5.4"))[1:] == [
        message("Reading.", "msg_pi_1"),
        call(call_id="call_1", **READ_A),
        output("call_1", "alpha"),
    ]


@pytest.mark.parametrize(
    ("model", "call_id", "fields"),
    [
        pytest.param(R, "call_1", {"id": "fc_lxmq3j1alksqn"}, id="openai"),
        pytest.param(replace(R, provider="github-copilot"), "call_1_fc_1", {}, id="copilot"),
        pytest.param(A, "call_1", {"id": "fc_lxmq3j1alksqn"}, id="azure"),
        pytest.param(replace(R, provider="azure"), "call_1_fc_1", {}, id="azure-in-name-alone"),
    ],
)
def test_responses_check_12_ids_of_calls_from_elsewhere(
    model: Any, call_id: str, fields: Any
) -> None:
    assert input_of(*answer(X), model=model)[1:] == [
        message("Reading.", "msg_pi_1"),
        call(call_id=call_id, **fields, **READ_A),
        output(call_id, "alpha"),
    ]


def test_responses_check_13_ids_of_messages() -> None:
    texts = ("msg_legacy", "m" * 70, None, '{"v":2,"id":"x"}', "{broken")
    content = [TextContent(str(i), signature) for i, signature in enumerate(texts)]
    items = input_of(UserMessage("hi"), said(*content))[1:]
    assert [item["id"] for item in items] == [
        "msg_legacy",
        "msg_uy8uo3qjyx4c",
        "msg_pi_1_2",
        '{"v":2,"id":"x"}',
        "{broken",
    ]


def test_responses_check_14_an_unanswered_call_gets_a_result() -> None:
    items = input_of(said(ToolCall("c", "read", {})), UserMessage("next"))
    assert items[1] == output("c", "No result provided")
    assert items[2]["role"] == "user"


@pytest.mark.parametrize(
    ("content", "model", "sent"),
    [
        pytest.param(
            [TextContent("t1"), TextContent("t2"), IMAGE],
            R,
            [{"type": "input_text", "text": "t1\nt2"}, IMAGE_PART],
            id="texts-and-image",
        ),
        pytest.param([IMAGE], R, [IMAGE_PART], id="image"),
        pytest.param([], R, "(no tool output)", id="empty"),
        pytest.param([TextContent(" ")], R, "(no tool output)", id="blank"),
        pytest.param(
            [IMAGE],
            replace(R, input=["text"]),
            "(tool image omitted: model does not support images)",
            id="blind",
        ),
        pytest.param([TextContent("a\ud83db")], R, "ab", id="half-a-pair"),
    ],
)
def test_responses_check_15_results(content: Any, model: Any, sent: Any) -> None:
    items = input_of(said(ToolCall("c", "read", {})), result("c", *content), model=model)
    assert items[-1] == output("c", sent)


def test_what_users_say() -> None:
    items = input_of(
        UserMessage(""), UserMessage([]), UserMessage([TextContent("x\udc00"), IMAGE]), said(),
        said(TextContent("y")),
    )  # fmt: skip
    assert items == [
        {"role": "user", "content": [{"type": "input_text", "text": ""}]},
        {"role": "user", "content": [{"type": "input_text", "text": "x"}, IMAGE_PART]},
        message("y", "msg_pi_2"),
    ]


@pytest.mark.parametrize("signature", ["{broken", "[1]", '"x"', "EqQ=", None])
def test_a_signature_that_holds_no_item_is_left_out(signature: str | None) -> None:
    thinking = ThinkingContent("deep", thinking_signature=signature)
    assert input_of(said(thinking, TextContent("x", "msg_1"))) == [message("x", "msg_1")]


def test_reasoning_that_led_to_nothing_is_left_out() -> None:
    thinking = ThinkingContent("deep", thinking_signature=ITEM)
    assert input_of(said(thinking, stop_reason="length")) == []
    assert input_of(said(TextContent("x", "msg_1"), thinking)) == [message("x", "msg_1")]


@pytest.mark.parametrize(
    ("call_id", "wanted"),
    [
        ("call_1|undefined", {"call_id": "call_1"}),
        ("call_1", {"call_id": "call_1"}),
        ("call_1|ctc_1", {"call_id": "call_1"}),
    ],
)
def test_item_ids_of_another_kind_are_left_out(call_id: str, wanted: Any) -> None:
    assert input_of(said(ToolCall(call_id, "read", {})))[0] == call("read", **wanted)


def test_calls_that_share_an_id_are_told_apart() -> None:
    first, second = ToolCall("c|fc_1", "read", {"n": 1}), ToolCall("c|fc_2", "read", {"n": 2})
    items = input_of(
        said(first, second),
        result("c|fc_2", TextContent("two")),
        result("c|fc_1", TextContent("one")),
    )
    assert items[0] == call("read", "c", '{"n":1}', id="fc_1")
    fresh = items[1]["call_id"]
    assert items[1] == call("read", fresh, '{"n":2}')
    assert items[2:] == [output(fresh, "two"), output("c", "one")]


def test_a_call_id_that_is_too_long_is_replaced_in_call_and_result() -> None:
    long = "x" * 65
    items = input_of(said(ToolCall(f"{long}|fc_1", "read", {})), result(f"{long}|fc_1"))
    fresh = items[0]["call_id"]
    assert len(fresh) < 64
    assert items == [call("read", fresh), output(fresh, "(no tool output)")]


# --- tools in the conversation ------------------------------------------------------------------

NOTICE = (
    "This is an incremental tools update. Previously declared tools remain available unless "
    "explicitly marked unavailable. A tool declared again here is available again, and its latest "
    "definition replaces the earlier one."
)


def declared(*tools: Tool, **fields: Any) -> list[Any]:
    """Tools as they are declared, without strict schemas."""
    return [
        {
            "type": "function",
            "name": tool.name,
            "description": tool.description,
            "parameters": tool.parameters,
            **fields,
        }
        for tool in tools
    ]


def developer(text: str) -> dict[str, Any]:
    return {"role": "developer", "content": text}


def additional(*tools: Tool) -> dict[str, Any]:
    return {"type": "additional_tools", "role": "developer", "tools": declared(*tools)}


def test_responses_check_16_tools_change_inside_the_conversation() -> None:
    context = Context(
        [
            UserMessage("hi"),
            SystemMessage("", tools_removed=[ToolReference("a")]),
            SystemMessage("More.", tools_added=[C_TOOL]),
            SystemMessage("", tools_added=[A_TOOL], tools_removed=[ToolReference("a")]),
        ],
        system_prompt="P",
        tools=[A_TOOL, B_TOOL],
    )
    body = exchange(replace(R, compat=CHANGES), context=context).body
    assert "tools" not in body
    items = body["input"]
    assert items[:2] == [additional(A_TOOL, B_TOOL), developer("P")]
    assert items[3:] == [
        developer("The following tools are no longer available. Do not call them:\n- a"),
        developer(f"{NOTICE}\nStill unavailable: a."),
        additional(C_TOOL),
        developer("More."),
        developer(NOTICE),
        additional(A_TOOL),
    ]


def test_responses_check_17_later_tools_as_if_they_had_been_searched_for() -> None:
    write = Tool("write", "Writes.", OBJECT)
    context = Context(
        [UserMessage("hi"), SystemMessage("Now write.", tools_added=[write])], tools=[A_TOOL]
    )
    body = exchange(replace(R, compat=ADDITIONS), context=context).body
    assert body["tools"] == declared(A_TOOL)
    found = {
        "call_id": "pi_tool_load_1y0af2ex263ui",
        "execution": "client",
        "status": "completed",
    }
    assert body["input"][1:] == [
        {"type": "tool_search_call", **found, "arguments": {"query": "write", "limit": 1}},
        {
            "type": "tool_search_output",
            **found,
            "tools": declared(write, defer_loading=True),
        },
        developer("Now write."),
    ]


def test_without_either_the_current_tools_stand_beside_the_input() -> None:
    context = Context([UserMessage("hi"), SystemMessage("x", tools_added=[B_TOOL])], tools=[A_TOOL])
    body = exchange(R, context=context).body
    assert body["tools"] == declared(A_TOOL, B_TOOL)
    assert body["input"][0] == developer("x")


def test_sections_of_the_prompt_change_in_place() -> None:
    items = input_of(
        SystemMessage("P", sections={"s": "one"}),
        SystemMessage("", sections={"s": "two"}),
        SystemMessage("", sections={"s": None}),
        model=replace(R, compat={"supportsMidConvoSystemMessages": True}, reasoning=False),
    )
    assert [(item["role"], item["content"]) for item in items] == [
        ("system", "P\n\none"),
        ("system", 'Updated system prompt section "s":\n\ntwo'),
        ("system", 'Removed system prompt section "s".'),
    ]


# --- declarations -------------------------------------------------------------------------------

FILES = {
    "type": "object",
    "properties": {"path": {"type": "string"}, "limit": {"type": "number"}},
    "required": ["path"],
}
STRICT = {"supportsStrictMode": True}


def tools_of(*tools: Tool, model: Any = R) -> Any:
    """The tools of a request, or why it was not sent."""
    key = chatgpt_token() if model.api == X.api else "k"
    context = replace(HI, tools=list(tools))
    got = exchange(model, context=context, api_key=key, transport="sse")
    return got.message.error_message or got.body["tools"]


def strict_tool(strict: Any = "prefer", schema: Any = FILES) -> Tool:
    return Tool("find", "Finds.", schema, {"type": "json_schema", "strict": strict})


@pytest.mark.parametrize(
    "model", [replace(R, compat=STRICT), A, X], ids=["openai", "azure", "codex"]
)
def test_responses_check_18_strict_tools(model: Any) -> None:
    strict, plain = tools_of(strict_tool(), A_TOOL, model=model)
    assert strict["strict"] is True
    assert strict["parameters"] == {
        "type": "object",
        "properties": {
            "path": {"type": "string"},
            "limit": {"anyOf": [{"type": "number"}, {"type": "null"}]},
        },
        "required": ["path", "limit"],
        "additionalProperties": False,
    }
    assert plain["strict"] is (None if model is X else False)


def test_a_server_without_strict_tools_hears_nothing_of_them() -> None:
    assert tools_of(strict_tool()) == declared(Tool("find", "Finds.", FILES))
    assert tools_of(strict_tool("require")) == (
        'Tool "find" requires JSON-schema constrained sampling, but strict tools are unsupported.'
    )
    no_schema = strict_tool("require", {"type": "object", "$ref": "#/x"})
    assert tools_of(no_schema, model=replace(R, compat=STRICT)) == (
        'Tool "find" requires JSON-schema constrained sampling, but $ref schemas are unsupported.'
    )
    assert tools_of(Tool("now", "Tells.", {}))[0]["parameters"] == OBJECT


RUN = Tool(
    "run",
    "Runs.",
    {"type": "object", "properties": {"code": {"type": "string"}}, "required": ["code"]},
    {"type": "grammar", "variants": {"openai_regex": "x*", "openai_lark": "start: X"}},
)
GRAMMARS = {"supportsOpenAIGrammarTools": True}
RAN = said(ToolCall("call_9|ctc_1", "run", {"code": "x"}))


def test_responses_check_19_tools_with_a_grammar() -> None:
    model = replace(R, compat=GRAMMARS)
    [tool] = tools_of(RUN, model=model)
    assert tool == {
        "type": "custom",
        "name": "run",
        "description": "Runs.",
        "format": {"type": "grammar", "syntax": "lark", "definition": "start: X"},
    }
    items = input_of(RAN, result("call_9|ctc_1", TextContent("ok")), model=model, tools=[RUN])
    assert items == [
        {
            "type": "custom_tool_call",
            "id": "ctc_1",
            "call_id": "call_9",
            "name": "run",
            "input": "x",
        },
        output("call_9", "ok", "custom_tool_call"),
    ]
    removed = SystemMessage("", tools_removed=[ToolReference("run")])
    again = input_of(RAN, removed, model=replace(R, compat=GRAMMARS | CHANGES), tools=[RUN])
    assert again[1]["type"] == "custom_tool_call"


def test_responses_check_19_without_grammars_the_tool_is_a_function() -> None:
    assert tools_of(RUN) == declared(RUN)
    assert input_of(RAN, tools=[RUN])[0] == call("run", "call_9", '{"code":"x"}')


@pytest.mark.parametrize(
    ("tool", "text"),
    [
        (
            Tool("run", "", OBJECT, {"type": "grammar", "variants": {"openai_lark": " "}}),
            "no supported grammar variant was provided.",
        ),
        (
            Tool("run", "", OBJECT, {"type": "grammar", "variants": {"openai_lark": "x"}}),
            "grammar constrained sampling requires exactly one required string property.",
        ),
    ],
)
def test_a_grammar_that_cannot_be_used_is_an_error(tool: Tool, text: str) -> None:
    told = tools_of(tool, model=replace(R, compat=GRAMMARS))
    assert told == f'Tool "run" cannot use grammar constrained sampling: {text}'


def test_a_call_that_has_no_text_for_its_grammar_is_an_error() -> None:
    wrong = said(ToolCall("call_9|ctc_1", "run", {"code": 1}))
    context = Context([wrong], tools=[RUN])
    got = exchange(replace(R, compat=GRAMMARS), context=context, adapter=ResponsesOptions())
    assert list(got.requests) == []
    assert got.message.error_message == (
        'Grammar tool call "run" requires argument "code" to be a string.'
    )
