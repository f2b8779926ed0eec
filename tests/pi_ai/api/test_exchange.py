"""Statuses, retries, hooks, aborts and limits. Providers spec, section 11, checks 63 to 66."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from msgspec.structs import replace

from pi_ai import AbortController, Context, Model, Models
from pi_ai.api._exchange import join_url
from pi_ai.api.anthropic_messages import AnthropicOptions
from pi_ai.api.openai_completions import CompletionsOptions
from pi_ai.builder import MessageBuilder
from pi_ai.errors import ProviderError
from pi_ai.http.client import AiohttpTransport
from pi_ai.provider import Call, find_adapter, load_adapter
from pi_ai.stream import AssistantStream
from pi_ai.testing import LoopbackRequest, LoopbackResponse, LoopbackServer
from pi_ai.types import ProviderResponse
from support.exchanges import BODIES, HI, C, M, chunk, exchange, message_start, streamed
from support.transports import CannedTransport

BOTH = pytest.mark.parametrize("model", [C, M], ids=["anthropic", "completions"])


def refused(status: int, body: bytes = b"", **headers: str) -> LoopbackResponse:
    return LoopbackResponse(
        body, status, {name.replace("_", "-"): headers[name] for name in headers}
    )


LONG = {"error": {"message": "x" * 5000}}
LONG_TEXT = json.dumps(LONG["error"], separators=(",", ":"))
NESTED = b'{"error":{"message":"m","metadata":{"raw":"RAW"}}}'


@pytest.mark.parametrize(
    ("status", "body", "text"),
    [
        pytest.param(
            400,
            b'{"error":{"message":"bad","type":"t"}}',
            '400: {"message":"bad","type":"t"}',
            id="error-object",
        ),
        pytest.param(
            400,
            b'{"message":"flat msg","detail":"d"}',
            '400: {"message":"flat msg","detail":"d"}',
            id="flat",
        ),
        pytest.param(401, b'{"error":"nope"}', '401 "nope"', id="error-text"),
        pytest.param(403, b"<html>x</html>", "403 <html>x</html>", id="html"),
        pytest.param(413, b"[1]", "413 [1]", id="list"),
        pytest.param(403, b"", "403 status code (no body)", id="no-body"),
        pytest.param(
            400,
            json.dumps(LONG).encode(),
            f"400: {LONG_TEXT[:4000]}... [truncated {len(LONG_TEXT) - 4000} chars]",
            id="long",
        ),
        pytest.param(502, NESTED, '502: {"message":"m","metadata":{"raw":"RAW"}}', id="raw-inside"),
        pytest.param(500, b"\xff\xfe", "500 \ufffd\ufffd", id="invalid-utf-8"),
    ],
)
def test_providers_check_63_completions_error_texts(status: int, body: bytes, text: str) -> None:
    got = exchange(M, refused(status, body))
    assert got.told == [("error", "error")]
    assert got.message.error_message == text


WHOLE = b'{"type":"error","error":{"type":"invalid_request_error","message":"m"},"request_id":"r"}'


@pytest.mark.parametrize(
    ("status", "body", "text"),
    [
        pytest.param(400, WHOLE, f"400 {WHOLE.decode()}", id="whole-body"),
        pytest.param(400, b'{"message":"flat"}', "400 flat", id="top-level-message"),
        pytest.param(400, b'{"message":{"a":1}}', '400 {"a":1}', id="message-object"),
        pytest.param(403, b"<html>x</html>", "403 <html>x</html>", id="html"),
        pytest.param(403, b"", "403 status code (no body)", id="no-body"),
    ],
)
def test_providers_check_63_anthropic_error_texts(status: int, body: bytes, text: str) -> None:
    got = exchange(C, refused(status, body))
    assert got.told == [("error", "error")]
    assert got.message.error_message == text


# --- codes ------------------------------------------------------------------------------------


def failure_of(model: Model, body: bytes, status: int = 200) -> ProviderError:
    """What the adapter itself raises."""
    call: Call[Any] = Call(
        model=model,
        messages=HI.messages,
        options={},
        adapter=None,
        message=MessageBuilder(model),
        transport=CannedTransport(body, status=status),
        api_key="k",
        headers={},
        env={},
    )

    async def pull() -> None:
        async for _ in load_adapter(find_adapter(model.api, {}))(call):
            pass

    with pytest.raises(ProviderError) as caught:
        asyncio.run(pull())
    return caught.value


CODES = {
    "anthropic-type": (WHOLE, "invalid_request_error"),
    "openai-code": (b'{"error":{"code":"no_model","type":"t","message":"m"}}', "no_model"),
    "openai-null-code": (b'{"error":{"code":null,"type":"no_quota"}}', "no_quota"),
    "number-beside-a-word": (b'{"error":{"code":400,"type":"BadRequestError"}}', "BadRequestError"),
    "number-alone": (b'{"error":{"code":402,"message":"m"}}', "402"),
    "flat": (b'{"code":"too_long","message":"m"}', "too_long"),
    "text-beside-a-code": (b'{"error":"nope","code":"denied"}', "denied"),
    "error-is-no-code": (b'{"type":"error","message":"m"}', None),
    "blank": (b'{"error":{"code":"","type":""}}', None),
    "truth-value": (b'{"error":{"code":true}}', None),
    "list": (b"[1]", None),
    "html": (b"<html>x</html>", None),
    "no-body": (b"", None),
}


@BOTH
@pytest.mark.parametrize("case", CODES)
def test_an_error_status_carries_the_code_of_its_body(case: str, model: Model) -> None:
    body, code = CODES[case]
    error = failure_of(model, body, 418)
    assert (error.status, error.code) == (418, code)


@pytest.mark.parametrize(
    ("model", "body", "code"),
    [
        pytest.param(
            C,
            b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error"}}\n\n',
            "overloaded_error",
            id="anthropic",
        ),
        pytest.param(C, b"event: error\ndata: oh no\n\n", None, id="anthropic-text"),
        pytest.param(M, b'data: {"error":{"code":502,"message":"m"}}\n\n', "502", id="number"),
        pytest.param(M, b'data: {"error":{"code":"rate_limit"}}\n\n', "rate_limit", id="word"),
        pytest.param(M, b'data: {"error":"just text"}\n\n', None, id="text"),
    ],
)
def test_an_error_in_the_stream_carries_its_code(
    model: Model, body: bytes, code: str | None
) -> None:
    error = failure_of(model, body)
    assert (error.status, error.code) == (None, code)


def test_a_wait_that_is_too_long_keeps_the_code() -> None:
    async def pull() -> str | None:
        body = b'{"error":{"type":"rate_limit_error"}}'
        answer = refused(429, body, retry_after="120")
        async with LoopbackServer(lambda _request: answer) as server:
            transport = AiohttpTransport()
            call: Call[Any] = Call(
                model=replace(C, base_url=server.url),
                messages=HI.messages,
                options={"max_retries": 1},
                adapter=None,
                message=MessageBuilder(C),
                transport=transport,
                api_key="k",
                headers={},
                env={},
            )
            try:
                async for _ in load_adapter(find_adapter(C.api, {}))(call):
                    pass
            except ProviderError as error:
                return error.code
            finally:
                await transport.aclose()
        return None

    assert asyncio.run(pull()) == "rate_limit_error"


# --- retries ----------------------------------------------------------------------------------


class Sequence:
    """Answers one request after the other; the last answer stays."""

    def __init__(self, *answers: LoopbackResponse) -> None:
        self._answers = answers
        self._next: Iterator[LoopbackResponse] = iter(answers)

    def __call__(self, _request: LoopbackRequest) -> LoopbackResponse:
        return next(self._next, self._answers[-1])


RETRIES = {
    "64-retry-after-ms": (refused(429, b"slow", retry_after_ms="50"), 1, 2, None),
    "64-too-long-a-wait": (
        refused(429, b"slow", retry_after="120"),
        1,
        1,
        "Server requested 120s retry delay (max: 60s). 429 slow",
    ),
    "64-no-retries-by-default": (refused(429, b"slow", retry_after_ms="1"), None, 1, "429 slow"),
    "64-server-forbids": (
        refused(500, b"x", x_should_retry="false", retry_after_ms="1"),
        2,
        1,
        "500 x",
    ),
    "25-conflict": (refused(409, b"x", retry_after_ms="5"), 1, 2, None),
    "25-timeout": (refused(408, b"x", retry_after_ms="5"), 1, 2, None),
    "25-unavailable": (refused(503, b"x", retry_after_ms="5"), 1, 2, None),
    "25-overloaded": (refused(529, b"x", retry_after_ms="5"), 1, 2, None),
    "25-bad-request": (refused(400, b"x", retry_after_ms="5"), 1, 1, "400 x"),
    "25-server-insists": (
        refused(400, b"x", retry_after_ms="5", x_should_retry="true"),
        1,
        2,
        None,
    ),
    "negative-wait": (refused(429, b"x", retry_after="-3"), 1, 2, None),
}


@BOTH
@pytest.mark.parametrize("case", RETRIES)
def test_providers_check_64_ai_core_check_25_retries(case: str, model: Model) -> None:
    first, retries, requests, error = RETRIES[case]
    good = LoopbackResponse(BODIES[model.api])
    got = exchange(model, Sequence(first, good), max_retries=retries)
    assert len(got.requests) == requests
    assert got.message.error_message == error
    assert len({request.body for request in got.requests}) == 1
    assert got.told[0] == (("start",) if error is None else ("error", "error"))


def test_a_cap_of_0_is_no_cap_and_retries_end() -> None:
    slow = refused(429, b"x", retry_after_ms="30")
    capped = exchange(M, slow, max_retries=2, max_retry_delay_ms=20)
    assert len(capped.requests) == 1
    uncapped = exchange(M, slow, max_retries=2, max_retry_delay_ms=0)
    assert len(uncapped.requests) == 3
    assert uncapped.message.error_message == "429 x"


def test_ai_core_check_24_without_retries_one_request() -> None:
    got = exchange(M, refused(500, b'{"error":{"message":"bad thing"}}'))
    assert len(got.requests) == 1
    assert got.message.error_message == '500: {"message":"bad thing"}'


# --- abort and limits -------------------------------------------------------------------------

FIRST = {
    "anthropic-messages": message_start()
    + b'event: content_block_start\ndata: {"index":0,"content_block":{"type":"text"}}\n\n'
    + b'event: content_block_delta\ndata: {"index":0,"delta":{"type":"text_delta","text":"x"}}\n\n',
    "openai-completions": chunk({"content": "x"}),
}
ABORTS = {
    "before-headers": lambda _api: refused_late(),
    "in-a-retry-sleep": lambda _api: refused(429, b"x", retry_after="30"),
    "mid-stream": lambda api: LoopbackResponse(streamed(FIRST[api], b": still here\n\n", pause=30)),
}


def refused_late() -> Any:
    async def late() -> LoopbackResponse:
        await asyncio.sleep(30)
        return LoopbackResponse()

    return late()


async def abort_during(model: Model, case: str) -> tuple[list[Any], Any, int]:
    controller = AbortController()
    models = Models()
    async with LoopbackServer(lambda _request: ABORTS[case](model.api)) as server:
        asked = replace(model, base_url=model.base_url.replace("{server}", server.url))
        options: Any = {"api_key": "k", "signal": controller.signal, "max_retries": 1}
        async with models.stream(asked, HI, **options) as events:

            async def abort_later() -> None:
                while not server.requests or (case == "mid-stream" and not events.message.text):
                    await asyncio.sleep(0.005)
                await asyncio.sleep(0.03)
                controller.abort()

            later = asyncio.create_task(abort_later())
            seen = [event async for event in events]
            message = await events.result()
            await later
        await models.aclose()
        await asyncio.sleep(0.02)
        return seen, message, server.open_connections


@BOTH
@pytest.mark.parametrize("case", ABORTS)
def test_providers_check_65_abort_ends_the_stream(case: str, model: Model) -> None:
    began = time.monotonic()
    seen, message, connections = asyncio.run(abort_during(model, case))
    assert time.monotonic() - began < 1.5
    assert seen[-1].type == "error"
    assert seen[-1].reason == message.stop_reason == "aborted"
    assert message.error_message == "Request was aborted"
    assert message.text == ("x" if case == "mid-stream" else "")
    assert connections == 0


def test_abort_closes_the_open_blocks_of_a_completions_stream() -> None:
    seen, _, _ = asyncio.run(abort_during(M, "mid-stream"))
    assert [event.type for event in seen[-2:]] == ["text_end", "error"]
    seen, _, _ = asyncio.run(abort_during(C, "mid-stream"))
    assert [event.type for event in seen[-2:]] == ["text_delta", "error"]


@BOTH
def test_ai_core_check_20_abort_before_the_call_sends_nothing(model: Model) -> None:
    controller = AbortController()
    controller.abort()
    got = exchange(model, signal=controller.signal)
    assert got.told == [("error", "aborted")]
    assert got.message.error_message == "Request was aborted"
    assert got.requests == []


@BOTH
def test_providers_check_66_stall_before_headers_times_out(model: Model) -> None:
    got = exchange(model, lambda _request: refused_late(), timeout_ms=80)
    assert got.told == [("error", "error")]
    assert (got.message.error_message or "").startswith("Request timed out.")
    assert got.message.duration_ms is not None
    assert 60 <= got.message.duration_ms < 1000


@BOTH
def test_providers_check_66_a_slow_body_is_not_limited_by_the_header_timeout(model: Model) -> None:
    body = BODIES[model.api]
    third = len(body) // 3
    slow = streamed(body[:third], body[third : 2 * third], body[2 * third :], pause=0.1)
    got = exchange(model, LoopbackResponse(slow), timeout_ms=200)
    assert got.message.stop_reason == "stop"


@pytest.mark.parametrize("limit", [0, None])
def test_a_timeout_of_0_or_none_is_no_limit(limit: float | None) -> None:
    slow = streamed(BODIES[M.api], pause=0.05)
    got = exchange(M, LoopbackResponse(slow), timeout_ms=limit, idle_timeout_ms=limit)
    assert got.message.stop_reason == "stop"


# --- hooks ------------------------------------------------------------------------------------


@BOTH
def test_hooks_see_the_payload_the_response_and_every_record(model: Model) -> None:
    seen: list[Any] = []

    async def on_payload(payload: Any, asked: Model) -> Any:
        seen.append(("payload", asked.id))
        return {**payload, "extra": 1, "stream": False}

    def on_response(response: ProviderResponse, _model: Model) -> None:
        seen.append(("response", response.status, response.headers["content-type"]))

    async def on_event(value: Any, _model: Model) -> None:
        seen.append(("event", type(value).__name__))

    got = exchange(
        model,
        on_payload=on_payload,
        on_response=on_response,
        on_provider_stream_event=on_event,
    )
    assert got.body["extra"] == 1
    assert got.body["stream"] is True
    assert seen[:2] == [
        ("payload", model.id),
        ("response", 200, "text/event-stream; charset=utf-8"),
    ]
    assert seen[2:4] == [("event", "dict"), ("event", "dict")]


@BOTH
@pytest.mark.parametrize("name", ["on_payload", "on_response", "on_provider_stream_event"])
def test_a_hook_that_raises_ends_the_stream_with_its_text(name: str, model: Model) -> None:
    def hook(*_args: Any) -> None:
        raise RuntimeError(f"{name} is broken")

    got = exchange(model, **{name: hook})
    assert got.told[-1] == ("error", "error")
    assert got.message.error_message == f"{name} is broken"


def test_on_response_sees_refusals_too() -> None:
    statuses: list[int] = []
    answers = Sequence(refused(429, b"x", retry_after_ms="1"), refused(400, b"y"))
    exchange(M, answers, max_retries=2, on_response=lambda r, _model: statuses.append(r.status))
    assert statuses == [429, 400]


@pytest.mark.parametrize(
    ("model", "adapter", "text"),
    [
        (C, CompletionsOptions(), "expected AnthropicOptions for anthropic-messages, found Compl"),
        (M, AnthropicOptions(), "expected CompletionsOptions for openai-completions, found Anthr"),
    ],
    ids=["anthropic", "completions"],
)
def test_options_of_another_format_are_refused(model: Model, adapter: Any, text: str) -> None:
    got = exchange(model, adapter=adapter)
    assert text in (got.message.error_message or "")
    assert got.requests == []


WRONG: Any = {"thinking_budget_tokens": "2048"}
MISSPELT: Any = {"reasoning_effort": "hihg"}


@pytest.mark.parametrize(
    ("model", "adapter", "text"),
    [
        (C, AnthropicOptions(**WRONG), "got `str` - at `$.thinking_budget"),
        (M, CompletionsOptions(**MISSPELT), "'hihg' - at `$.reasoning_effort`"),
    ],
    ids=["anthropic", "completions"],
)
def test_options_with_a_value_of_a_wrong_type_are_refused(
    model: Model, adapter: Any, text: str
) -> None:
    got = exchange(model, adapter=adapter)
    assert (got.message.error_message or "").startswith("adapter: ")
    assert text in (got.message.error_message or "")
    assert got.requests == []


@pytest.mark.parametrize("own", [None, "Bearer x"], ids=["no-header", "header"])
@BOTH
def test_providers_check_27_an_adapter_asked_without_credentials_says_so(
    model: Model, own: str | None
) -> None:
    transport = CannedTransport(BODIES[model.api])
    message = MessageBuilder(model)
    call: Call[Any] = Call(
        model=model,
        messages=HI.messages,
        options={},
        adapter=None,
        message=message,
        transport=transport,
        api_key=None,
        headers={"cf-aig-authorization": own},
        env={},
    )
    batches = load_adapter(find_adapter(model.api, {}))(call)
    final = asyncio.run(AssistantStream(message, batches).result())
    wanted = None if own else "No API key for provider: custom"
    assert final.error_message == wanted
    assert len(transport.requests) == (1 if own else 0)


@pytest.mark.parametrize(
    ("base", "query", "wanted"),
    [
        ("http://h/v1", "", "http://h/v1/chat"),
        ("http://h/v1/", "", "http://h/v1/chat"),
        ("http://h", "beta=true", "http://h/chat?beta=true"),
        ("http://h/v1?key=1", "", "http://h/v1/chat?key=1"),
        ("http://h/v1/?key=1", "beta=true", "http://h/v1/chat?key=1&beta=true"),
    ],
)
def test_path_goes_behind_the_base_url_and_before_its_query(
    base: str, query: str, wanted: str
) -> None:
    assert join_url(base, "chat", query) == wanted


@pytest.mark.parametrize("model", [C, M], ids=["anthropic", "completions"])
def test_a_context_without_messages_sends_nothing(model: Model) -> None:
    got = exchange(model, context=Context())
    assert got.requests == []
    assert [event.type for event in got.events] == ["error"]
    assert got.message.error_message == (
        "context.messages: expected at least one message with content, found none"
    )


@pytest.mark.parametrize("model", [C, M], ids=["anthropic", "completions"])
def test_transform_headers_has_the_last_word(model: Model) -> None:
    def sign(headers: dict[str, str]) -> dict[str, str]:
        assert headers["x-own"] == "1"
        return {**headers, "X-Signed": str(len(headers))}

    got = exchange(model, headers={"x-own": "1"}, transform_headers=sign)
    assert got.request.headers["x-signed"].isdigit()
    assert got.message.text == "ok"


def test_a_payload_that_is_no_json_names_its_place() -> None:
    got = exchange(M, on_payload=lambda body, _model: {**body, "x": [object()]})
    assert got.requests == []
    assert got.message.error_message == (
        "The request body cannot be written as JSON: body.x[0]: expected JSON, found object"
    )
