"""The strict request checks: a good request passes, and each fault put into it is found."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from pi_ai import PiError
from pi_ai.testing import validators as v
from support.shared import cases, load

SCHEMA = {
    "type": "object",
    "properties": {"path": {"type": "string"}},
    "required": ["path"],
}
PNG = "iVBORw0KGgo="
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
CC: dict[str, Any] = {"type": "ephemeral"}
HOUR = {"type": "ephemeral", "ttl": "1h"}
BETAS = ("mid-conversation-output-config-2026-07-01", "thinking-binding-controls-2026-08-01")

DROP = object()
"""Stands for a field that is taken away."""

ANTHROPIC: dict[str, Any] = {
    "model": "claude",
    "max_tokens": 4096,
    "stream": True,
    "system": [{"type": "text", "text": "Be brief.", "cache_control": HOUR}],
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "look"}, IMAGE]},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "", "signature": "SIG"},
                {"type": "redacted_thinking", "data": "ENC"},
                {"type": "text", "text": "Reading."},
                {"type": "tool_use", "id": "toolu_1", "name": "read", "input": {"path": "a"}},
                {"type": "tool_use", "id": "toolu_2", "name": "read", "input": {"path": "b"}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "toolu_2", "content": ""},
                {
                    "type": "tool_result",
                    "tool_use_id": "toolu_1",
                    "content": [{"type": "text", "text": "seen"}, IMAGE],
                    "is_error": False,
                },
                {"type": "text", "text": "go on", "cache_control": CC},
            ],
        },
        {"role": "system", "content": "Now in French."},
    ],
    "tools": [
        {"name": "read", "description": "Reads.", "input_schema": SCHEMA},
        {"name": "web_search", "type": "web_search_20250305"},
    ],
    "tool_choice": {"type": "auto"},
    "thinking": {"type": "enabled", "budget_tokens": 1024, "display": "summarized"},
    "output_config": {"effort": "low"},
    "metadata": {"user_id": "u"},
    "temperature": 1,
}

DATA_URL = f"data:image/png;base64,{PNG}"
COMPLETIONS: dict[str, Any] = {
    "model": "gpt",
    "stream": True,
    "stream_options": {"include_usage": True},
    "store": False,
    "max_completion_tokens": 100,
    "temperature": 0,
    "reasoning_effort": "high",
    "prompt_cache_key": "s",
    "prompt_cache_retention": "24h",
    "messages": [
        {"role": "developer", "content": "Be brief."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "look"},
                {"type": "image_url", "image_url": {"url": DATA_URL}},
            ],
        },
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {
                    "id": "call_1",
                    "type": "function",
                    "function": {"name": "read", "arguments": '{"path":"a"}'},
                },
                {
                    "id": "call_2",
                    "type": "function",
                    "function": {"name": "read", "arguments": "{}"},
                },
            ],
        },
        {"role": "tool", "content": "", "tool_call_id": "call_2"},
        {"role": "tool", "content": "text", "tool_call_id": "call_1"},
        {"role": "assistant", "content": "Done."},
        {"role": "user", "content": "Thanks"},
    ],
    "tools": [
        {
            "type": "function",
            "function": {
                "name": "read",
                "description": "Reads.",
                "parameters": SCHEMA,
                "strict": False,
            },
        }
    ],
    "tool_choice": "auto",
}


def changed(body: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy of `body` with `value` at `path`; a number past the end of a list appends."""
    result: Any = json.loads(json.dumps(body))
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


def assistant(*blocks: dict[str, Any]) -> dict[str, Any]:
    return {"role": "assistant", "content": list(blocks)}


def text(value: str, **fields: Any) -> dict[str, Any]:
    return {"type": "text", "text": value, **fields}


def use(call_id: str, **fields: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": call_id, "name": "t", "input": {}, **fields}


def result(call_id: str, content: Any = "ok", **fields: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": call_id, "content": content, **fields}


def case(path: str, value: Any, *problems: str, id: str | None = None) -> Any:
    return pytest.param(path, value, list(problems), id=id or path)


ANTHROPIC_FAULTS = [
    case("model", DROP, "model: is required", id="no-model"),
    case("model", "", "model: must be a name"),
    case("max_tokens", DROP, "max_tokens: is required", id="no-limit"),
    case(
        "max_tokens",
        0,
        "max_tokens: must be an integer of at least 1",
        "thinking.budget_tokens: must be less than max_tokens",
    ),
    case("max_tokens", True, "max_tokens: must be an integer of at least 1",
         "thinking.budget_tokens: must be less than max_tokens", id="boolean-limit"),
    case("stream", "yes", "stream: must be a boolean"),
    case("frequency_penalty", 1, "frequency_penalty: is no known field"),
    case("fallbacks", [], "fallbacks: is no known field", id="field-of-a-beta"),
    case("system", [text(" ")], "system[0].text: must not be blank", id="blank-system"),
    case("system", [IMAGE], "system[0].text: is required", "system[0].source: is no known field",
         "system[0].type: must be one of text", "system[0].text: must not be blank",
         id="image-in-system"),
    case("system", 5, "system: must be an array", id="system-number"),
    # --- roles and order
    case("messages", DROP, "messages: is required", id="no-messages"),
    case("messages", [], "messages: needs at least one message", id="empty-messages"),
    case("messages", {}, "messages: must be an array", id="messages-object"),
    case("messages.0", "hi", "messages[0]: must be an object",
         "messages[0].role: must be one of assistant, system, user", id="message-text"),
    case("messages.0.role", "developer",
         "messages[0].role: must be one of assistant, system, user", id="role"),
    case("messages.0.name", "n", "messages[0].name: is no known field"),
    case("messages.0", assistant(text("hi")),
         "messages[0]: must be of role user, being the first", id="assistant-first"),
    case("messages.0", {"role": "system", "content": "s"},
         "messages[0]: of role system must follow a user message", id="system-first"),
    case("messages.4", {"role": "user", "content": "x"},
         "messages[3]: of role system must precede an assistant message", id="system-before-user"),
    case("messages.4", assistant(text("x")),
         "messages[4]: of role assistant must not be last when the model thinks", id="prefill"),
    # --- contents
    case("messages.0.content", [], "messages[0].content: must not be empty", id="no-blocks"),
    case("messages.0.content", " \n", "messages[0].content: must not be blank", id="blank-string"),
    case("messages.0.content", None, "messages[0].content: must be an array", id="null-content"),
    case("messages.0.content.0.text", "", "messages[0].content[0].text: must not be blank",
         id="empty-text"),
    case("messages.0.content.0.text", "\t", "messages[0].content[0].text: must not be blank",
         id="blank-text"),
    case("messages.0.content.0.text", "a\ud800", "messages[0].content[0].text: "
         "holds a lone surrogate", id="lone-surrogate"),
    case("messages.1.content.3.input", {"k\udfff": 1}, "messages[1].content[3].input: has a field "
         "name with a lone surrogate", id="lone-surrogate-in-a-key"),
    case("messages.0.content.0.extra", 1, "messages[0].content[0].extra: is no known field",
         id="unknown-block-field"),
    case("messages.0.content.0.type", "video", "messages[0].content[0].type: must be one of "
         "document, image, search_result, text, tool_result", id="unknown-block"),
    case("messages.0.content.0", use("x"), "messages[0].content[0].type: must be one of document, "
         "image, search_result, text, tool_result", "messages[1]: has no result for the calls "
         "before: ['x']", id="call-of-the-user"),
    case("messages.1.content.2", IMAGE, "messages[1].content[2].type: must be one of "
         "redacted_thinking, text, thinking, tool_use", id="image-of-the-assistant"),
    case("messages.3.content", [IMAGE], "messages[3].content[0].type: must be one of text",
         id="image-in-a-system-message"),
    # --- images
    case("messages.0.content.1.source.media_type", "image/bmp", "messages[0].content[1].source."
         "media_type: must be one of image/gif, image/jpeg, image/png, image/webp", id="bmp"),
    case("messages.0.content.1.source.data", "###", "messages[0].content[1].source.data: must be "
         "base64 of at least one byte", id="no-base64"),
    case("messages.0.content.1.source.data", DATA_URL, "messages[0].content[1].source.data: must "
         "be base64 of at least one byte", id="data-url"),
    case("messages.0.content.1.source.data", "", "messages[0].content[1].source.data: must be "
         "base64 of at least one byte", id="empty-image"),
    case("messages.0.content.1.source", {"type": "url"}, "messages[0].content[1].source.url: must "
         "not be blank", id="image-without-address"),
    case("messages.0.content.1.source.type", "path", "messages[0].content[1].source.type: must be "
         "one of base64, file, url", id="image-source"),
    # --- thinking blocks
    case("messages.1.content.0.signature", DROP, "messages[1].content[0].signature: is required",
         "messages[1].content[0].signature: must not be blank", id="no-signature"),
    case("messages.1.content.0.signature", "", "messages[1].content[0].signature: must not be "
         "blank", id="empty-signature"),
    case("messages.1.content.0.thinking", None, "messages[1].content[0].thinking: must be text",
         id="null-thinking"),
    case("messages.1.content.1.data", "", "messages[1].content[1].data: must not be blank",
         id="empty-redacted-thinking"),
    case("messages.1.content.5", {"type": "thinking", "thinking": "t", "signature": "S"},
         "messages[1].content: must not end in thinking", id="thinking-last"),
    case("messages.1.content.0.cache_control", CC,
         "messages[1].content[0].cache_control: is no known field",
         "messages[1].content[0].cache_control: is not allowed on thinking",
         id="cached-thinking"),
    # --- calls and results
    case("messages.1.content.3.id", "call|1",
         "messages[1].content[3].id: must match ^[a-zA-Z0-9_-]{1,64}$",
         "messages[2]: has a result without its call before: 'toolu_1'",
         "messages[2]: has no result for the calls before: ['call|1']", id="id-with-a-pipe"),
    case("messages.1.content.4.id", "toolu_1", "messages[1].content[4].id: is used by an earlier "
         "call", "messages[2]: has a result without its call before: 'toolu_2'",
         "messages[2]: has no result for the calls before: ['toolu_1']", id="id-twice"),
    case("messages.1.content.3.name", "a.b", "messages[1].content[3].name: must match "
         "^[a-zA-Z0-9_-]{1,128}$", id="call-name"),
    case("messages.1.content.3.input", "{}", "messages[1].content[3].input: must be an object",
         id="input-text"),
    case("messages.2.content.0", DROP, "messages[2]: has no result for the calls before: "
         "['toolu_2']", id="result-missing"),
    case("messages.2.content.2", result("toolu_1"), "messages[2]: has a result without its call "
         "before: 'toolu_1'", id="result-twice"),
    case("messages.2.content.2", result("toolu_9"), "messages[2]: has a result without its call "
         "before: 'toolu_9'", id="stray-result"),
    case("messages.2.content.3", result("toolu_1"), "messages[2]: must hold tool results before "
         "other blocks", "messages[2]: has a result without its call before: 'toolu_1'",
         id="result-behind-text"),
    case("messages.2", {"role": "user", "content": "hm"}, "messages[2]: has no result for the "
         "calls before: ['toolu_1', 'toolu_2']", id="text-instead-of-results"),
    case("messages.2.content.1.content.0", IMAGE | {"type": "audio"}, "messages[2].content[1]."
         "content[0].type: must be one of document, image, search_result, text, tool_reference",
         id="result-of-unknown-kind"),
    case("messages.2.content.1.content.0.text", " ", "messages[2].content[1].content[0].text: must "
         "not be blank", id="blank-text-in-a-result"),
    case("messages.2.content.1.is_error", True, "messages[2].content[1].content: must be text "
         "alone for an error", id="image-in-an-error"),
    case("messages.2.content.0.is_error", True, "messages[2].content[0].content: must not be empty "
         "for an error", id="empty-error"),
    case("messages.2.content.0.is_error", "no", "messages[2].content[0].is_error: must be a "
         "boolean", id="error-text"),
    # --- tools
    case("tools.0.name", "a b", "tools[0].name: must match ^[a-zA-Z0-9_-]{1,128}$",
         id="tool-name"),
    case("tools.0.name", "x" * 129, "tools[0].name: must match ^[a-zA-Z0-9_-]{1,128}$",
         id="long-tool-name"),
    case("tools.1.name", "read", "tools[1].name: is declared twice", id="tool-twice"),
    case("tools.0.description", None, "tools[0].description: must be text", id="description"),
    case("tools.0.parameters", {}, "tools[0].parameters: is no known field", id="tool-field"),
    case("tools.0.input_schema", DROP, "tools[0].input_schema: is required",
         "tools[0].input_schema: must be an object", "tools[0].input_schema.type: must be object",
         id="no-schema"),
    case("tools.0.input_schema.type", "array", "tools[0].input_schema.type: must be object",
         id="schema-type"),
    case("tools.0.input_schema.required", [1], "tools[0].input_schema: is no JSON Schema: 1 is not "
         'of type "string"', id="schema-required"),
    case("tools.0.input_schema.anyOf", [{"required": ["path"]}], "tools[0].input_schema.anyOf: is "
         "not allowed at the root", id="schema-union"),
    case("tools", [], "tool_choice: needs tools", id="choice-without-tools"),
    case("tool_choice", "auto", "tool_choice: must be an object",
         "tool_choice.type: must be one of any, auto, none, tool", id="choice-text"),
    case("tool_choice", {"type": "any"}, "tool_choice.type: must be auto or none with a thinking "
         "budget", id="forced-tool-while-thinking"),
    case("tool_choice", {"type": "tool", "name": "write"}, "tool_choice.name: must be a declared "
         "tool", "tool_choice.type: must be auto or none with a thinking budget",
         id="choice-of-an-unknown-tool"),
    # --- thinking and sampling
    case("thinking.budget_tokens", 1023, "thinking.budget_tokens: must be an integer of at least "
         "1024", id="small-budget"),
    case("thinking.budget_tokens", 4096, "thinking.budget_tokens: must be less than max_tokens",
         id="budget-of-everything"),
    case("thinking.type", "adaptive", "thinking.budget_tokens: belongs to type enabled",
         id="adaptive-budget"),
    case("thinking.type", "auto", "thinking.type: must be one of adaptive, disabled, enabled",
         id="thinking-type"),
    case("thinking.display", "full", "thinking.display: must be one of omitted, summarized"),
    case("thinking.effort", "low", "thinking.effort: is no known field"),
    case("temperature", 0.5, "temperature: must be from 1 to 1", id="temperature-while-thinking"),
    case("top_p", 0.5, "top_p: must be from 0.95 to 1", id="top-p-while-thinking"),
    case("top_k", 5, "top_k: is not allowed with thinking"),
    case("temperature", "1", "temperature: must be a number", id="temperature-text"),
    case("output_config.effort", "minimal", "output_config.effort: must be one of high, low, max, "
         "medium, xhigh", id="effort"),
    case("metadata", {"session": "s"}, "metadata.session: is no known field"),
    case("metadata.user_id", 5, "metadata.user_id: must be text of at most 256 characters"),
    # --- cache marks
    case("system.0.cache_control.ttl", "2h", "system[0].cache_control.ttl: must be one of 1h, 5m",
         id="ttl"),
    case("system.0.cache_control", {"type": "permanent"}, "system[0].cache_control.type: must be "
         "one of ephemeral", id="mark-type"),
    case("messages.3.content", [text("s", cache_control=HOUR)], "messages[3].content[0]."
         "cache_control: of 1h must not come behind one of 5m", id="hour-behind-minutes"),
    case("messages.2.content.2", text(" ", cache_control=CC), "messages[2].content[2].text: must "
         "not be blank", "messages[2].content[2].cache_control: is not allowed on empty text",
         id="mark-on-blank-text"),
    case("messages.0.content", [text("x", cache_control=HOUR)] * 3, "body: has 5 cache marks, at "
         "most 4 may be", id="five-marks"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "value", "problems"), ANTHROPIC_FAULTS)
def test_anthropic_fault_is_found(path: str, value: Any, problems: list[str]) -> None:
    found = v.validate_anthropic_request(changed(ANTHROPIC, path, value))
    assert list(map(str, found)) == problems


GOOD_ANTHROPIC = [
    pytest.param("system", "Be brief.", id="system-as-text"),
    pytest.param("messages.0.content", "hi", id="content-as-text"),
    pytest.param("messages.2.content.2", DROP, id="results-alone"),
    pytest.param("messages.3", DROP, id="no-system-message"),
    pytest.param("tools.0.input_schema", {"type": "object"}, id="schema-without-properties"),
    pytest.param("thinking", {"type": "disabled"}, id="thinking-off"),
    pytest.param("thinking", {"type": "adaptive", "display": "omitted"}, id="adaptive"),
    pytest.param(
        "messages.0.content.1.source",
        {"type": "url", "url": "https://x.test/a.png"},
        id="image-url",
    ),
]


@pytest.mark.parametrize(("path", "value"), GOOD_ANTHROPIC)
def test_anthropic_request_of_the_documented_shape_passes(path: str, value: Any) -> None:
    assert v.validate_anthropic_request(ANTHROPIC) == []
    v.check_anthropic_request(changed(ANTHROPIC, path, value))


def test_anthropic_call_at_the_end_has_no_result() -> None:
    body = changed(ANTHROPIC, "messages.4", assistant(text("x"), use("n")))
    body = changed(body, "thinking", {"type": "disabled"})
    [problem] = v.validate_anthropic_request(body)
    assert str(problem) == "messages: end without results for the calls ['n']"


@pytest.mark.parametrize(
    ("content", "fine"),
    [("Sure:", True), ("Sure: ", False), ([text("Sure:")], True), ([text("Sure:\n")], False)],
)
def test_anthropic_prefill_ends_without_white_space(content: Any, fine: bool) -> None:
    body = {
        "model": "c",
        "max_tokens": 1,
        "messages": [
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": content},
        ],
    }
    assert (v.validate_anthropic_request(body) == []) is fine


def test_anthropic_betas_allow_their_fields() -> None:
    body = changed(ANTHROPIC, "messages.4", {"role": "system", "content": [], "output_config": {}})
    body = changed(body, "thinking.block_binding", {"prefix_mismatch_behavior": "drop_block"})
    assert v.validate_anthropic_request(body, betas=BETAS) == []
    assert list(map(str, v.validate_anthropic_request(body))) == [
        "thinking.block_binding: is no known field",
        "messages[4].output_config: is no known field",
    ]


def test_anthropic_settings_stand_anywhere_but_between_call_and_result() -> None:
    setting = {"role": "system", "content": [], "output_config": {"effort": "low"}}
    for at in range(5):
        body = copy.deepcopy(ANTHROPIC)
        body["messages"].insert(at, setting)
        wrong = list(map(str, v.validate_anthropic_request(body, betas=BETAS)))
        assert bool(wrong) is (at == 2)


def test_anthropic_interleaved_budget_may_exceed_the_limit() -> None:
    body = changed(ANTHROPIC, "thinking.budget_tokens", 9000)
    assert v.validate_anthropic_request(body, betas=["interleaved-thinking-2025-05-14"]) == []


CALL = COMPLETIONS["messages"][2]["tool_calls"][0]

COMPLETIONS_FAULTS = [
    case("model", DROP, "model: is required", id="no-model"),
    case("model", None, "model: must be a name", id="null-model"),
    case("messages", [], "messages: needs at least one message", id="empty-messages"),
    case("messages", DROP, "messages: is required", id="no-messages"),
    case("system", "x", "system: is no known field"),
    case("max_completion_tokens", 0, "max_completion_tokens: must be an integer of at least 1"),
    case("max_tokens", 5, "max_tokens: must not come with max_completion_tokens"),
    case("temperature", 2.5, "temperature: must be from 0 to 2"),
    case("top_p", -1, "top_p: must be from 0 to 1"),
    case("store", None, "store: must be a boolean"),
    case("stream", False, "stream_options: needs stream"),
    case("stream_options.usage", True, "stream_options.usage: is no known field"),
    case("reasoning_effort", "most", "reasoning_effort: must be one of high, low, max, medium, "
         "minimal, none, xhigh"),
    case("prompt_cache_key", "x" * 65, "prompt_cache_key: must be text of at most 64 characters"),
    case("prompt_cache_retention", "1h", "prompt_cache_retention: must be one of 24h, in-memory, "
         "in_memory"),
    # --- messages
    case("messages.0", 5, "messages[0].role: must be one of assistant, developer, system, tool, "
         "user", "messages[0]: must be an object", id="message-number"),
    case("messages.0.role", "robot", "messages[0].role: must be one of assistant, developer, "
         "system, tool, user", id="role"),
    case("messages.1.content", DROP, "messages[1].content: is required", id="no-content"),
    case("messages.1.content", None, "messages[1].content: must be an array", id="null-content"),
    case("messages.1.content", [], "messages[1].content: must not be empty", id="no-parts"),
    case("messages.1.content.0.text", "", "messages[1].content[0].text: must not be empty",
         id="empty-part"),
    case("messages.1.content.0.type", "video", "messages[1].content[0].type: must be one of file, "
         "image_url, input_audio, text", id="unknown-part"),
    case("messages.0.content", [{"type": "image_url", "image_url": {"url": DATA_URL}}],
         "messages[0].content[0].type: must be one of text", id="image-of-the-system"),
    case("messages.4.content", [{"type": "image_url", "image_url": {"url": DATA_URL}}],
         "messages[4].content[0].type: must be one of text", id="image-in-a-result"),
    case("messages.1.content.0.cache_control", CC, "messages[1].content[0].cache_control: is no "
         "known field", id="cache-mark"),
    case("messages.5.reasoning_content", "t", "messages[5].reasoning_content: is no known field",
         id="reasoning-field"),
    case("messages.5.content", "", "messages[5].content: must not be empty without tool_calls",
         id="assistant-says-nothing"),
    case("messages.5.content", DROP, "messages[5].content: must not be empty without tool_calls",
         id="assistant-without-content"),
    case("messages.6.content", "\udc00", "messages[6].content: holds a lone surrogate",
         id="lone-surrogate"),
    # --- images
    case("messages.1.content.1.image_url", DATA_URL, "messages[1].content[1].image_url: must be an "
         "object", "messages[1].content[1].image_url.url: must be a web address or a base64 data "
         "URL", id="image-as-text"),
    case("messages.1.content.1.image_url.url", PNG, "messages[1].content[1].image_url.url: must be "
         "a web address or a base64 data URL", id="bare-base64"),
    case("messages.1.content.1.image_url.url", f"data:image/tiff;base64,{PNG}", "messages[1]."
         "content[1].image_url.url: must be one of image/gif, image/jpeg, image/png, image/webp",
         id="tiff"),
    case("messages.1.content.1.image_url.url", "data:image/png;base64,a", "messages[1].content[1]."
         "image_url.url: must be base64 of at least one byte", id="no-base64"),
    case("messages.1.content.1.image_url.detail", "best", "messages[1].content[1].image_url."
         "detail: must be one of auto, high, low", id="detail"),
    # --- calls and results
    case("messages.2.tool_calls", [], "messages[2].tool_calls: must not be empty",
         "messages[3]: answers no call that waits: 'call_2'",
         "messages[4]: answers no call that waits: 'call_1'", id="no-calls"),
    case("messages.2.tool_calls.0.id", "", "messages[2].tool_calls[0].id: must not be empty",
         "messages[4]: answers no call that waits: 'call_1'",
         "messages[5]: comes before the results of the calls ['']", id="empty-id"),
    case("messages.2.tool_calls.0.id", "x" * 41, "messages[2].tool_calls[0].id: must be at most 40 "
         "characters long", "messages[4]: answers no call that waits: 'call_1'",
         f"messages[5]: comes before the results of the calls ['{'x' * 41}']", id="long-id"),
    case("messages.2.tool_calls.1", CALL, "messages[2].tool_calls[1].id: is used by another call "
         "of this message", "messages[3]: answers no call that waits: 'call_2'",
         "messages[5]: comes before the results of the calls ['call_1']", id="id-twice"),
    case("messages.2.tool_calls.0.type", DROP, "messages[2].tool_calls[0].type: is required",
         "messages[2].tool_calls[0].type: must be one of custom, function", id="call-type"),
    case("messages.2.tool_calls.0.function.name", "a.b", "messages[2].tool_calls[0].function.name: "
         "must match ^[a-zA-Z0-9_-]{1,64}$", id="call-name"),
    case("messages.2.tool_calls.0.function.arguments", {}, "messages[2].tool_calls[0].function."
         "arguments: must be the JSON text of an object", id="arguments-object"),
    case("messages.2.tool_calls.0.function.arguments", "[1]", "messages[2].tool_calls[0].function."
         "arguments: must be the JSON text of an object", id="arguments-list"),
    case("messages.2.tool_calls.0.function.arguments", '{"a":', "messages[2].tool_calls[0]."
         "function.arguments: must be the JSON text of an object", id="arguments-cut"),
    case("messages.4", DROP, "messages[4]: comes before the results of the calls ['call_1']",
         id="result-missing"),
    case("messages.4.tool_call_id", "call_2", "messages[4]: answers no call that waits: 'call_2'",
         "messages[5]: comes before the results of the calls ['call_1']", id="result-twice"),
    case("messages.5", {"role": "tool", "content": "x", "tool_call_id": "z"},
         "messages[5]: answers no call that waits: 'z'", id="stray-result"),
    case("messages.3", {"role": "user", "content": "x"},
         "messages[3]: comes before the results of the calls ['call_1', 'call_2']",
         "messages[4]: answers no call that waits: 'call_1'", id="text-between"),
    case("messages.7", {"role": "assistant", "tool_calls": [CALL]}, "messages: end without results "
         "for the calls ['call_1']", id="calls-at-the-end"),
    # --- tools
    case("tools", [], "tools: must not be empty", "tool_choice: needs tools", id="no-tools"),
    case("tools.0.type", "tool", "tools[0].type: must be one of custom, function", id="tool-type"),
    case("tools.0.function.name", "x" * 65, "tools[0].function.name: must match "
         "^[a-zA-Z0-9_-]{1,64}$", id="tool-name"),
    case("tools.1", COMPLETIONS["tools"][0], "tools[1].function.name: is declared twice",
         id="tool-twice"),
    case("tools.0.function.input_schema", {}, "tools[0].function.input_schema: is no known field",
         id="tool-field"),
    case("tools.0.function.parameters.type", "string", "tools[0].function.parameters.type: must be "
         "object", id="schema-type"),
    case("tools.0.function.strict", "no", "tools[0].function.strict: must be a boolean",
         id="strict"),
    case("tools.0.function.description", 5, "tools[0].function.description: must be text",
         id="description"),
    case("tool_choice", "any", "tool_choice: must be one of auto, none, required"),
    case("tool_choice", {"type": "tool"}, "tool_choice.type: must be one of allowed_tools, custom, "
         "function", id="choice-type"),
    case("tool_choice", {"type": "function", "function": {"name": "x"}}, "tool_choice.function."
         "name: must be a declared tool", id="choice-of-an-unknown-tool"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "value", "problems"), COMPLETIONS_FAULTS)
def test_completions_fault_is_found(path: str, value: Any, problems: list[str]) -> None:
    found = v.validate_completions_request(changed(COMPLETIONS, path, value))
    assert list(map(str, found)) == problems


GOOD_COMPLETIONS = [
    pytest.param("messages.0.role", "system", id="system"),
    pytest.param("messages.1.content", "", id="empty-question"),
    pytest.param("messages.2.content", "I read.", id="text-and-calls"),
    pytest.param(
        "messages.1.content.1.image_url", {"url": "https://x.test/a", "detail": "low"}, id="url"
    ),
    pytest.param(
        "tool_choice", {"type": "function", "function": {"name": "read"}}, id="choice-of-a-tool"
    ),
    pytest.param("messages.4.content", [{"type": "text", "text": "x"}], id="result-parts"),
]


@pytest.mark.parametrize(("path", "value"), GOOD_COMPLETIONS)
def test_completions_request_of_the_documented_shape_passes(path: str, value: Any) -> None:
    assert v.validate_completions_request(COMPLETIONS) == []
    v.check_completions_request(changed(COMPLETIONS, path, value))


OTHER_SERVERS = [
    pytest.param("reasoning", {"effort": "high"}, id="field"),
    pytest.param("messages.5.reasoning_content", "t", id="message-field"),
    pytest.param("messages.0.content", [text("s", cache_control=CC)], id="cache-mark"),
    pytest.param("tools", [], id="no-tools"),
]


@pytest.mark.parametrize(("path", "value"), OTHER_SERVERS)
def test_other_servers_have_fields_of_their_own(path: str, value: Any) -> None:
    body = changed(changed(COMPLETIONS, "tool_choice", DROP), path, value)
    assert v.validate_completions_request(body) != []
    assert v.validate_completions_request(body, provider="openrouter") == []


def test_other_servers_take_longer_ids_and_four_cache_marks() -> None:
    long = "x" * 64
    body = changed(COMPLETIONS, "messages.2.tool_calls.0.id", long)
    body = changed(body, "messages.4.tool_call_id", long)
    body = changed(body, "messages.0.content", [text("s", cache_control=CC)] * 4)
    assert v.validate_completions_request(body, provider="openrouter") == []
    body = changed(body, "messages.4.cache_control", CC)
    [problem] = v.validate_completions_request(body, provider="openrouter")
    assert str(problem) == "body: has 5 cache marks, at most 4 may be"


def test_check_lists_every_problem() -> None:
    body = changed(changed(ANTHROPIC, "model", ""), "top_k", 1)
    with pytest.raises(v.InvalidRequestError) as caught:
        v.check_anthropic_request(body)
    assert isinstance(caught.value, AssertionError)
    assert isinstance(caught.value, PiError)
    assert str(caught.value) == (
        "The provider would reject this request:\n"
        "  model: must be a name\n"
        "  top_k: is not allowed with thinking"
    )
    assert caught.value.problems[0] == v.RequestProblem("model", "must be a name")
    with pytest.raises(v.InvalidRequestError, match="messages: is required"):
        v.check_completions_request({"model": "m"})


RECORDED = [
    *cases("requests", "anthropic--"),
    *cases("requests", "completions--"),
    *cases("requests", "responses--"),
]


@pytest.mark.parametrize("path", RECORDED)
def test_requests_that_upstream_sends_pass(path: Path) -> None:
    told = load(path, "http://server.test")
    if "body" not in told["request"]:
        return  # upstream sends nothing
    body, case_ = told["request"]["body"], told["case"]
    if case_["api"] == "anthropic-messages":
        betas = told["request"]["headers"].get("anthropic-beta", "").split(",")
        found = v.validate_anthropic_request(body, betas=betas)
    elif case_["api"] == "openai-responses":
        found = v.validate_responses_request(body)
    else:
        found = v.validate_completions_request(body, provider=case_["model"]["provider"])
    # Upstream passes on a result without a call, and ids that are empty.
    faults = {
        "completions--empty-texts": ["messages[6]: answers no call that waits: 'call_x'"],
        "responses--odd-ids-other-model": [
            f"input[{index}].call_id: must have 1 to 64 characters" for index in (4, 12)
        ],
    }
    assert list(map(str, found)) == faults.get(path.stem, [])
