"""The Codex backend over HTTP. Spec of openai-codex-responses, sections 8 and 9.6."""

from __future__ import annotations

import json
import sys
import time
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace

from pi_ai import Context, SystemMessage, Tool, UserMessage
from pi_ai.api._codex_errors import refusal_text
from pi_ai.api._codex_request import codex_url, socket_url
from pi_ai.api._exchange import Refusal
from pi_ai.api.codex_responses import CodexOptions
from pi_ai.testing import LoopbackResponse
from support.exchanges import (
    HI,
    RESPONSE_CREATED,
    Exchanged,
    X,
    chatgpt_token,
    data,
    event,
    responses_end,
    responses_text,
)
from support.exchanges import exchange as send

TOKEN = chatgpt_token()
READ = Tool(
    "read",
    "Read a file",
    {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]},
)
IN_PLACE = {"supportsMidConvoSystemMessages": True, "supportsAdditionalTools": True}


def exchange(
    model: Any = X, answer: Any = None, context: Context = HI, **options: Any
) -> Exchanged:
    """One request over HTTP."""
    options = {"transport": "sse", "api_key": TOKEN, **options}
    return send(model, answer, context, **options)


# --- the account --------------------------------------------------------------------------------


def test_responses_check_31_a_token_in_base64url_is_read() -> None:
    assert "_" in TOKEN
    assert "-" in chatgpt_token("a>?>?")
    got = exchange(api_key=chatgpt_token("a>?>?"))
    assert got.request.headers["chatgpt-account-id"] == "a>?>?"


@pytest.mark.parametrize(
    "token",
    ["abc", "a.b", "a.!!!.c", "a.e30.c", "a.W10.c", "a.bnVsbA.c", "a.eyJ4IjoxfQ.c", "é.é.é"],
)
def test_responses_check_31_a_token_without_an_account_is_refused(token: str) -> None:
    got = exchange(api_key=token)
    assert list(got.requests) == []
    assert got.told == [("error", "error")]
    assert got.message.error_message == "Failed to extract accountId from token"


def test_a_request_without_a_token_is_not_sent() -> None:
    got = exchange(api_key=None)
    assert list(got.requests) == []
    assert got.message.error_message == "No API key for provider: openai-codex"


# --- the request --------------------------------------------------------------------------------


def test_responses_check_32_headers_of_an_http_request() -> None:
    headers = {"originator": "mine", "Authorization": "Bearer other", "x-own": "1", "accept": None}
    model = replace(X, base_url="{server}/backend-api", headers={"x-model": "m"})
    got = exchange(model, session_id="sess-1", headers=headers)
    sent = got.request.headers
    assert got.request.path == "/backend-api/codex/responses"
    assert sent["authorization"] == f"Bearer {TOKEN}"
    assert sent["chatgpt-account-id"] == "acc-1"
    assert (sent["openai-beta"], sent["accept"]) == ("responses=experimental", "text/event-stream")
    assert (sent["session-id"], sent["x-client-request-id"]) == ("sess-1", "sess-1")
    assert (sent["originator"], sent["x-own"], sent["x-model"]) == ("mine", "1", "m")
    assert sent["content-type"] == "application/json"
    assert exchange().request.headers["originator"] == "pi"
    assert exchange().request.headers["user-agent"].startswith("pi-stack/")


@pytest.mark.parametrize("options", [{}, {"session_id": "s", "cache_retention": "none"}])
def test_without_a_cached_session_no_header_and_no_key_names_it(options: Any) -> None:
    got = exchange(**options)
    assert not {"session-id", "x-client-request-id"} & set(got.request.headers)
    assert "prompt_cache_key" not in got.body


def test_responses_check_32_body_of_the_plainest_request() -> None:
    assert exchange(session_id="s" * 70).body == {
        "model": "gpt-5.5",
        "store": False,
        "stream": True,
        "instructions": "You are a helpful assistant.",
        "input": [{"role": "user", "content": [{"type": "input_text", "text": "hi"}]}],
        "text": {"verbosity": "low"},
        "include": ["reasoning.encrypted_content"],
        "prompt_cache_key": "s" * 64,
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        "reasoning": {"effort": "none"},
    }


def test_a_request_with_tools_in_the_conversation() -> None:
    model = replace(X, id="gpt-6-sol", compat=IN_PLACE)
    context = Context([UserMessage("Read a.txt")], system_prompt="You are pi.\ud83d", tools=[READ])
    declared = {
        "type": "function",
        "name": "read",
        "description": "Read a file",
        "parameters": READ.parameters,
        "strict": None,
    }
    body = exchange(model, context=context, reasoning="high").body
    assert body["instructions"] == "You are pi."
    assert body["input"][0] == {
        "type": "additional_tools",
        "role": "developer",
        "tools": [declared],
    }
    assert "tools" not in body
    assert body["reasoning"] == {"effort": "high", "summary": "auto"}
    plain = exchange(replace(X, compat=None), context=context).body
    assert plain["tools"] == [declared]


def test_later_prompts_stay_in_the_instructions_where_they_cannot_stand_in_place() -> None:
    context = Context([UserMessage("hi"), SystemMessage("more")], system_prompt="first")
    assert exchange(context=context).body["instructions"] == "first\n\nmore"
    in_place = exchange(replace(X, compat=IN_PLACE), context=context).body
    assert in_place["instructions"] == "first"
    assert in_place["input"][-1] == {"role": "developer", "content": "more"}


@pytest.mark.parametrize(
    ("model", "adapter", "wanted"),
    [
        pytest.param(
            {},
            CodexOptions(reasoning_effort="low"),
            {"effort": "low", "summary": "auto"},
            id="effort",
        ),
        pytest.param(
            {"reasoning": False},
            CodexOptions(reasoning_effort="low", reasoning_summary="off"),
            {"effort": "low", "summary": "off"},
            id="whatever-the-model-says",
        ),
        pytest.param(
            {"thinking_level_map": {"off": "minimal"}},
            CodexOptions(reasoning_effort="none"),
            {"effort": "minimal", "summary": "auto"},
            id="none-is-mapped",
        ),
        pytest.param({}, CodexOptions(reasoning_effort="none"),
                     {"effort": "none", "summary": "auto"}, id="none"),
        pytest.param(
            {"thinking_level_map": {"low": None}}, CodexOptions(reasoning_effort="low"), None,
            id="level-that-is-not-there",
        ),
        pytest.param(
            {"thinking_level_map": {"off": None}}, CodexOptions(), None, id="cannot-be-off"
        ),
        pytest.param({"reasoning": False}, CodexOptions(), None, id="no-reasoning"),
    ],
)  # fmt: skip
def test_effort(model: Any, adapter: CodexOptions, wanted: Any) -> None:
    assert exchange(replace(X, **model), adapter=adapter).body.get("reasoning") == wanted


def test_the_adapters_own_options_and_what_is_never_sent() -> None:
    adapter = CodexOptions(service_tier="flex", text_verbosity="high", tool_choice="required")
    body = exchange(
        adapter=adapter,
        max_tokens=5,
        temperature=0,
        sampling_params={"seed": 1},
        cache_retention="long",
    ).body
    assert (body["service_tier"], body["text"]) == ("flex", {"verbosity": "high"})
    assert (body["tool_choice"], body["temperature"]) == ("required", 0)
    assert not {"max_output_tokens", "seed", "prompt_cache_retention"} & set(body)


@pytest.mark.parametrize(
    ("base", "url"),
    [
        ("", "https://chatgpt.com/backend-api/codex/responses"),
        (" ", "https://chatgpt.com/backend-api/codex/responses"),
        ("https://h/api//", "https://h/api/codex/responses"),
        ("https://h/codex", "https://h/codex/responses"),
        ("https://h/codex/responses/", "https://h/codex/responses"),
    ],
)
def test_the_url_is_completed(base: str, url: str) -> None:
    assert codex_url(base) == url
    assert socket_url(url) == url.replace("https:", "wss:")


@pytest.mark.parametrize("name", ["compression.zstd", "zstandard"])
def test_a_body_is_compressed_where_that_can_be_done(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    levels: list[int] = []

    def reverse(body: bytes, level: int) -> bytes:
        levels.append(level)
        return body[::-1]

    for each in ("compression.zstd", "zstandard"):
        monkeypatch.setitem(sys.modules, each, None)
    request = exchange().request
    assert "content-encoding" not in request.headers
    assert json.loads(request.body)["model"] == "gpt-5.5"
    monkeypatch.setitem(sys.modules, name, SimpleNamespace(compress=reverse))
    request = exchange().request
    assert request.headers["content-encoding"] == "zstd"
    assert json.loads(request.body[::-1])["model"] == "gpt-5.5"
    assert levels == [3]


# --- refusals -----------------------------------------------------------------------------------


def refused(error: Any, status: int = 429, *, now: float = 1000, reason: str = "") -> str:
    body = error if isinstance(error, bytes) else json.dumps({"error": error}).encode()
    return refusal_text(Refusal(status, reason, body), lambda: now)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        pytest.param(
            {"type": "usage_limit_reached", "plan_type": "PLUS", "resets_at": 2800},
            "You have hit your ChatGPT usage limit (plus plan). Try again in ~30 min.",
            id="plan-and-time",
        ),
        pytest.param(
            {"code": "rate_limit_exceeded", "resets_at": 10},
            "You have hit your ChatGPT usage limit. Try again in ~0 min.",
            id="past",
        ),
        pytest.param({"message": "x"}, "You have hit your ChatGPT usage limit.", id="any-429"),
        pytest.param(b"slow down", "slow down", id="no-json"),
    ],
)
def test_responses_check_33_limits_of_the_plan(error: Any, text: str) -> None:
    assert refused(error) == text


def test_responses_check_33_over_the_wire() -> None:
    error = {"type": "usage_limit_reached", "plan_type": "PLUS", "resets_at": time.time() + 1800}
    answer = LoopbackResponse(json.dumps({"error": error}).encode(), 429)
    got = exchange(answer=answer, max_retries=3)
    assert len(got.requests) == 1
    assert got.told == [("error", "error")]
    assert got.message.error_message == (
        "You have hit your ChatGPT usage limit (plus plan). Try again in ~30 min."
    )


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        pytest.param({"message": "bad"}, 400, "bad", id="message"),
        pytest.param({"code": "usage_not_included"}, 403,
                     "You have hit your ChatGPT usage limit.", id="not-in-the-plan"),
        pytest.param({}, 401, '{"error": {}}', id="no-message"),
        pytest.param(b"", 401, "Unauthorized", id="reason-phrase"),
        pytest.param({"message": "m"}, 500, "Codex API error (500): m", id="named-status"),
        pytest.param(b"late", 408, "Codex API error (408): late", id="named-408"),
    ],
)  # fmt: skip
def test_refusals_are_worded_for_people(error: Any, status: int, text: str) -> None:
    assert refused(error, status, reason="Unauthorized") == text


def test_a_refusal_without_any_word() -> None:
    assert refused(b"", 401) == "Request failed"


def test_responses_check_35_a_bad_request_is_sent_once() -> None:
    got = exchange(answer=LoopbackResponse(b'{"error":{"message":"bad"}}', 400), max_retries=1)
    assert (len(got.requests), got.message.error_message) == (1, "bad")


@pytest.mark.parametrize(
    ("status", "body", "requests"),
    [
        (503, b"", 2),
        (429, b"wait", 2),
        (400, b"model overloaded", 2),
        (429, b"quota exceeded", 1),
        (409, b"", 1),
    ],
)
def test_what_is_tried_again(status: int, body: bytes, requests: int) -> None:
    answer = LoopbackResponse(body, status, {"retry-after-ms": "1"})
    assert len(exchange(answer=answer, max_retries=1).requests) == requests


def test_headers_that_do_not_come_in_time_say_so() -> None:
    async def answer(_request: object) -> LoopbackResponse:
        import asyncio

        await asyncio.Event().wait()
        raise AssertionError

    got = exchange(answer=answer, timeout_ms=30)
    assert got.message.error_message == "Codex SSE response headers timed out after 30ms"


@pytest.mark.parametrize("value", [-1, float("nan"), float("inf")])
def test_a_limit_that_is_none_is_refused(value: float) -> None:
    got = exchange(timeout_ms=value)
    assert list(got.requests) == []
    assert got.message.error_message == f"Invalid timeoutMs: {value}"


# --- the stream ---------------------------------------------------------------------------------


def test_responses_check_34_done_and_statuses_of_its_own() -> None:
    end = event("response.done", response={"status": "bogus", "end_turn": False, "id": "r"})
    got = exchange(answer=responses_text("x") + end)
    assert got.told[-1] == ("done", "stop")
    assert (got.message.end_turn, got.message.raw_stop_reason) == (False, None)


def test_responses_check_35_lines_may_end_in_crlf() -> None:
    body = RESPONSE_CREATED + responses_text("x") + responses_end()
    got = exchange(answer=body.replace(b"\n", b"\r\n"))
    assert (got.message.text, got.message.stop_reason) == ("x", "stop")


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (data({"type": "error", "message": "m", "code": "c"}), "Codex error: m"),
        (data({"type": "error", "error": {"code": "c"}}), "Codex error: c"),
        (data({"type": "error"}), 'Codex error: {"type":"error"}'),
        (event("response.failed", response={"error": {"message": "m"}}), "m"),
        (event("response.failed", response={}), "Codex response failed"),
        (b"data: {x\n\n", "Invalid Codex SSE JSON: "),
    ],
)
def test_failures_in_the_stream(body: bytes, text: str) -> None:
    got = exchange(answer=responses_text("x") + body)
    assert (got.message.error_message or "").startswith(text)
    assert got.message.text == "x"


@pytest.mark.parametrize(
    ("requested", "served", "total"),
    [
        ("flex", "default", 0.005),
        ("priority", "default", 0.025),
        ("fast", None, 0.01),
        (None, "flex", 0.005),
    ],
)
def test_responses_check_30_a_granted_tier_is_not_told(
    requested: str | None, served: str | None, total: float
) -> None:
    usage = {"input_tokens": 1000, "output_tokens": 1000, "total_tokens": 2000}
    got = exchange(
        answer=responses_text("x") + responses_end(usage=usage, service_tier=served),
        adapter=CodexOptions(service_tier=requested),
    )
    assert got.message.usage.cost.total == pytest.approx(total)
