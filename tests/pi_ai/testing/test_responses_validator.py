"""The strict check of Responses requests: each fault put into a good one is found."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pi_ai.testing import InvalidRequestError, check_responses_request, validate_responses_request

DROP = object()
"""Stands for a field that is taken away."""

SCHEMA = {"type": "object", "properties": {"path": {"type": "string"}}}
IMAGE = {
    "type": "input_image",
    "detail": "auto",
    "image_url": "data:image/png;base64,iVBORw0KGgo=",
}
READ = {
    "type": "function",
    "name": "read",
    "description": "Reads.",
    "parameters": SCHEMA,
    "strict": None,
}
FOUND = {"call_id": "load_1", "execution": "client", "status": "completed"}
LAST = 15

GOOD: dict[str, Any] = {
    "model": "gpt",
    "instructions": "Be brief.",
    "input": [
        {"role": "developer", "content": "Be brief."},
        {"type": "additional_tools", "role": "developer", "tools": [READ]},
        {"role": "user", "content": [{"type": "input_text", "text": ""}, IMAGE]},
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [{"type": "summary_text", "text": "hm"}],
            "encrypted_content": "ENC",
        },
        {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "Reading.", "annotations": []}],
            "status": "completed",
            "id": "msg_1",
            "phase": "commentary",
        },
        {
            "type": "function_call",
            "id": "fc_1",
            "call_id": "call_1",
            "name": "read",
            "arguments": "{}",
        },
        {"type": "custom_tool_call", "call_id": "call_2", "name": "run", "input": "x"},
        {"type": "custom_tool_call_output", "call_id": "call_2", "output": "ok"},
        {
            "type": "function_call_output",
            "call_id": "call_1",
            "output": [{"type": "input_text", "text": "seen"}, IMAGE],
        },
        {"type": "configuration_update", "reasoning": {"effort": "high"}},
        {"type": "tool_search_call", **FOUND, "arguments": {"query": "write", "limit": 1}},
        {
            "type": "tool_search_output",
            **FOUND,
            "tools": [{**READ, "name": "write", "defer_loading": True}],
        },
        {"role": "user", "content": "and now"},
        {"type": "function_call", "call_id": "call_3", "name": "read", "arguments": '{"a":1}'},
        {"type": "function_call_output", "call_id": "call_3", "output": ""},
    ],
    "stream": True,
    "store": False,
    "prompt_cache_key": "s",
    "prompt_cache_retention": "24h",
    "prompt_cache_options": {"ttl": "30m", "mode": "explicit"},
    "max_output_tokens": 16,
    "temperature": 0,
    "top_p": 1,
    "service_tier": "flex",
    "text": {"verbosity": "low"},
    "parallel_tool_calls": True,
    "tools": [
        {**READ, "name": "find", "strict": True},
        {
            "type": "custom",
            "name": "run",
            "format": {"type": "grammar", "syntax": "lark", "definition": "start: X"},
        },
    ],
    "tool_choice": {"type": "function", "name": "find"},
    "reasoning": {"effort": "high", "summary": "auto"},
    "include": ["reasoning.encrypted_content"],
}


def changed(path: str, value: Any) -> dict[str, Any]:
    """A copy of the good request with `value` at `path`; past the end of a list it appends."""
    result: Any = json.loads(json.dumps(GOOD))
    *steps, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    at = result
    for step in steps:
        at = at[step]
    if value is DROP:
        del at[last]
    elif isinstance(at, list) and last == len(at):
        at.append(value)
    else:
        at[last] = value
    return result


def case(path: str, value: Any, *problems: str) -> Any:
    return pytest.param(path, value, list(problems), id=f"{path}-{len(problems)}-{str(value)[:20]}")


NAME = "must match ^[a-zA-Z0-9_-]{1,64}$"
FAULTS = [
    case("model", "", "model: must be a name"),
    case("input", DROP, "input: is required"),
    case("input", [], "input: needs at least one item"),
    case("input", 1, "input: must be an array"),
    case("messages", [], "messages: is no known field"),
    case("instructions", "a\ud83d", "instructions: holds a lone surrogate"),
    case("instructions", 1, "instructions: must be text"),
    case("max_output_tokens", 15, "max_output_tokens: must be an integer of at least 16"),
    case("temperature", 3, "temperature: must be from 0 to 2"),
    case("top_p", "1", "top_p: must be a number"),
    case("stream", 1, "stream: must be a boolean"),
    case("store", True, "store: must be false: the items here have no copy on the server"),
    case("prompt_cache_key", "k" * 65,
         "prompt_cache_key: must be text of at most 64 characters"),
    case("prompt_cache_retention", "1h",
         "prompt_cache_retention: must be one of 24h, in-memory, in_memory"),
    case("prompt_cache_options.ttl", "1h", "prompt_cache_options.ttl: must be one of 30m"),
    case("prompt_cache_options.mode", "x",
         "prompt_cache_options.mode: must be one of explicit, implicit"),
    case("text.verbosity", "x", "text.verbosity: must be one of high, low, medium"),
    case("reasoning.effort", "off",
         "reasoning.effort: must be one of high, low, max, medium, minimal, none, xhigh"),
    case("reasoning.summary", "x",
         "reasoning.summary: must be one of auto, concise, detailed"),
    case("include", [], "include: must ask for reasoning.encrypted_content to send it back"),
    case("include.0", 1, "include[0]: must be a name",
         "include: must ask for reasoning.encrypted_content to send it back"),
    # --- tools
    case("tools.0.type", "web", "tools[0].type: must be one of custom, function",
         "tool_choice.name: must be a declared tool"),
    case("tools.0.name", "a b", f"tools[0].name: {NAME}",
         "tool_choice.name: must be a declared tool"),
    case("tools.1.name", "find", "tools[1].name: is declared twice"),
    case("tools.0.function", {}, "tools[0].function: is no known field"),
    case("tools.0.parameters", {}, "tools[0].parameters.type: must be object"),
    case("tools.0.strict", 1, "tools[0].strict: must be a boolean"),
    case("tools.0.description", 1, "tools[0].description: must be text"),
    case("tools.1.format.syntax", "x", "tools[1].format.syntax: must be one of lark, regex"),
    case("tools.1.format.type", "x", "tools[1].format.type: must be one of grammar, text"),
    case("tools.1.format.definition", " ", "tools[1].format.definition: must not be blank"),
    case("tools", [{**READ, "name": f"t{i}"} for i in range(129)], "tools: must be at most 128",
         "tool_choice.name: must be a declared tool"),
    case("tool_choice", "any", "tool_choice: must be one of auto, none, required"),
    case("tool_choice", {}, "tool_choice.type: must be a name"),
    # --- items
    case("input.0.role", "tool",
         "input[0].role: must be one of assistant, developer, system, user"),
    case("input.0.type", "x", "input[0].type: must be one of additional_tools, "
         "configuration_update, custom_tool_call, custom_tool_call_output, function_call, "
         "function_call_output, message, reasoning, tool_search_call, tool_search_output"),
    case("input.1.tools.0.name", "", f"input[1].tools[0].name: {NAME}"),
    case("input.2.content", [], "input[2].content: must not be empty"),
    case("input.2.content.0.type", "output_text",
         "input[2].content[0].type: must be one of input_file, input_image, input_text"),
    case("input.2.content.0.text", 1, "input[2].content[0].text: must be text"),
    case("input.2.content.1.detail", "x",
         "input[2].content[1].detail: must be one of auto, high, low"),
    case("input.2.content.1.image_url", "x",
         "input[2].content[1].image_url: must be a web address or a base64 data URL"),
    case("input.2.content.1.image_url", "data:image/bmp;base64,AA==",
         "input[2].content[1].image_url: must be one of image/gif, image/jpeg, image/png, "
         "image/webp"),
    case("input.3.summary", DROP, "input[3].summary: is required"),
    case("input.3.summary.0.type", "x",
         "input[3].summary[0].type: must be one of summary_text"),
    case("input.3.id", "x",
         "input[3].id: must begin with 'rs_' and be at most 64 characters long"),
    case("input.4", {"role": "user", "content": "x"},
         "input[3]: of type reasoning lacks the item it led to"),
    case("input.4.phase", "x", "input[4].phase: must be one of commentary, final_answer"),
    case("input.4.id", "msg_" + "1" * 61,
         "input[4].id: must begin with 'msg_' and be at most 64 characters long"),
    case("input.4.content.0.type", "input_text",
         "input[4].content[0].type: must be one of output_text, refusal"),
    case("input.5.arguments", "[]", "input[5].arguments: must be the JSON text of an object"),
    case("input.5.name", "a.b", f"input[5].name: {NAME}"),
    case("input.5.call_id", "", "input[5].call_id: must have 1 to 64 characters",
         "input[8]: answers no call that waits: 'call_1'", "input: has no output for the call ''"),
    case("input.5.call_id", "call_2", "input[6].call_id: is used by an earlier call",
         "input[8]: answers no call that waits: 'call_1'"),
    case("input.6.input", 1, "input[6].input: must be text"),
    case("input.7.type", "function_call_output",
         "input[7]: answers no call that waits: 'call_2'"),
    case("input.8.output", [], "input[8].output: must not be empty"),
    case("input.9.reasoning.effort", "x", "input[9].reasoning.effort: must be one of high, low, "
         "max, medium, minimal, none, xhigh"),
    case("input.13.id", "fc_1", "input[13].id: is used by an earlier item"),
    case("input.14", DROP, "input: has no output for the call 'call_3'"),
    case(f"input.{LAST}", {"type": "reasoning", "id": "rs_2", "summary": []},
         f"input[{LAST}]: of type reasoning lacks the item it led to"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "value", "problems"), FAULTS)
def test_a_fault_is_found(path: str, value: Any, problems: list[str]) -> None:
    assert list(map(str, validate_responses_request(changed(path, value)))) == problems


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("input", "hi"),
        ("tools", []),
        ("tool_choice", "required"),
        ("tool_choice", {"type": "mcp"}),
        ("reasoning", {"effort": "none"}),
        ("input.2.content.1.image_url", "https://x.test/a.png"),
        ("input.3.summary", []),
        ("input.4.content", "text"),
    ],
)
def test_a_request_of_the_documented_shape_passes(path: str, value: Any) -> None:
    assert validate_responses_request(GOOD) == []
    body = changed(path, value)
    if path == "tools":
        del body["tool_choice"]
    check_responses_request(body)


@pytest.mark.parametrize(
    ("path", "value"), [("seed", 1), ("tools.2", {"type": "web_search"}), ("tools.0.extra", 1)]
)
def test_other_servers_have_fields_of_their_own(path: str, value: Any) -> None:
    body = changed(path, value)
    assert validate_responses_request(body) != []
    assert validate_responses_request(body, provider="openrouter") == []


def test_a_check_raises_with_every_problem() -> None:
    with pytest.raises(InvalidRequestError, match="input: is required") as caught:
        check_responses_request({"model": ""})
    assert len(caught.value.problems) == 3
