"""What is sent to a server of the Responses API. Spec of openai-responses, checks 1 to 9, 41."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from msgspec.structs import replace

from pi_ai import AssistantMessage, Context, ImageContent, Models, TextContent, Tool, UserMessage
from pi_ai.api.azure_responses import AzureOptions
from pi_ai.api.openai_responses import ResponsesOptions
from pi_ai.testing import LoopbackResponse
from support.exchanges import BODIES, HI, A, R, exchange
from support.transports import CannedTransport

LOW_LEVEL = ResponsesOptions()
HI_ITEM = {"role": "user", "content": [{"type": "input_text", "text": "hi"}]}
INCLUDE = ["reasoning.encrypted_content"]
READ = Tool("read", "Reads.", {"type": "object", "properties": {}})


def body_with(*without: str, **changes: Any) -> dict[str, Any]:
    """The body of the plainest request, changed."""
    body = {
        "model": "gpt-5.5",
        "input": [HI_ITEM],
        "stream": True,
        "store": False,
        "reasoning": {"effort": "none"},
        **changes,
    }
    return {key: value for key, value in body.items() if key not in without}


def model(**changes: Any) -> Any:
    return replace(R, **changes)


def test_responses_check_01_plain_stream_sends_the_least_body() -> None:
    got = exchange(R, adapter=LOW_LEVEL)
    assert got.body == body_with()
    assert got.request.path == "/v1/responses"
    assert got.request.headers["authorization"] == "Bearer k"
    assert got.request.headers["accept"] == "application/json"
    assert got.request.headers["content-type"] == "application/json"
    cannot_be_off = model(thinking_level_map={"off": None})
    assert exchange(cannot_be_off, adapter=LOW_LEVEL).body == body_with("reasoning")


@pytest.mark.parametrize(
    ("changes", "adapter", "fields"),
    [
        pytest.param(
            {},
            ResponsesOptions(reasoning_summary="concise"),
            {"reasoning": {"effort": "medium", "summary": "concise"}, "include": INCLUDE},
            id="check-02-summary-alone",
        ),
        pytest.param(
            {"thinking_level_map": {"minimal": "low"}},
            ResponsesOptions(reasoning_effort="minimal"),
            {"reasoning": {"effort": "low", "summary": "auto"}, "include": INCLUDE},
            id="check-03-mapped",
        ),
        pytest.param(
            {"reasoning": False},
            ResponsesOptions(reasoning_effort="high"),
            {"reasoning": None},
            id="model-that-does-not-reason",
        ),
        pytest.param(
            {"thinking_level_map": {"off": "minimal"}},
            LOW_LEVEL,
            {"reasoning": {"effort": "minimal"}},
            id="off-is-mapped",
        ),
        pytest.param({"provider": "github-copilot"}, LOW_LEVEL, {"reasoning": None}, id="copilot"),
        pytest.param({"provider": "xai"}, LOW_LEVEL, {"include": INCLUDE}, id="xai"),
    ],
)
def test_responses_check_02_and_03_effort(changes: Any, adapter: Any, fields: Any) -> None:
    without = [name for name, value in fields.items() if value is None]
    assert exchange(model(**changes), adapter=adapter).body == body_with(*without, **fields)


def test_responses_check_03_a_neutral_level_is_clamped() -> None:
    body = exchange(R, reasoning="max").body
    assert body["reasoning"] == {"effort": "high", "summary": "auto"}
    assert body["max_output_tokens"] == 4096


@pytest.mark.parametrize(("limit", "sent"), [(5, 16), (0, None), (None, None), (17, 17)])
def test_responses_check_04_the_output_limit_has_a_floor(limit: Any, sent: Any) -> None:
    body = exchange(R, adapter=LOW_LEVEL, max_tokens=limit).body
    assert body.get("max_output_tokens") == sent
    unlimited = model(compat={"supportsMaxOutputTokens": False})
    assert "max_output_tokens" not in exchange(unlimited, max_tokens=50).body


EXPLICIT = {"supportsExplicitPromptCacheMode": True}
KEY = {"prompt_cache_key": "s" * 64}


@pytest.mark.parametrize(
    ("retention", "compat", "fields"),
    [
        pytest.param("long", {}, {**KEY, "prompt_cache_retention": "24h"}, id="long"),
        pytest.param("short", {}, KEY, id="short"),
        pytest.param("none", {}, {}, id="none"),
        pytest.param("long", {"supportsLongCacheRetention": False}, KEY, id="no-long"),
        pytest.param("short", {"promptCacheKeyMode": "disabled"}, {}, id="no-key"),
        pytest.param(
            "none", EXPLICIT, {"prompt_cache_options": {"mode": "explicit"}}, id="explicit-none"
        ),
        pytest.param(
            "long", EXPLICIT, {**KEY, "prompt_cache_options": {"ttl": "30m"}}, id="explicit-long"
        ),
        pytest.param("short", EXPLICIT, KEY, id="explicit-short"),
    ],
)
def test_responses_check_05_caching(retention: Any, compat: Any, fields: Any) -> None:
    asked = model(compat=compat)
    options = {"session_id": "s" * 70, "cache_retention": retention}
    assert exchange(asked, adapter=LOW_LEVEL, **options).body == body_with(**fields)


AFFINITY = ("session-id", "x-client-request-id", "x-session-id")


@pytest.mark.parametrize(
    ("changes", "retention", "names"),
    [
        pytest.param({}, "short", AFFINITY[:2], id="openai"),
        pytest.param({"provider": "openrouter"}, "short", AFFINITY[2:], id="openrouter"),
        pytest.param({}, "none", (), id="retention-none"),
        pytest.param(
            {"compat": {"sessionAffinityFormat": "openai-nosession"}},
            "long",
            AFFINITY[1:2],
            id="no-session",
        ),
    ],
)
def test_responses_check_06_session_headers(changes: Any, retention: Any, names: Any) -> None:
    got = exchange(model(**changes), session_id="s", cache_retention=retention)
    sent = {name: got.request.headers[name] for name in AFFINITY if name in got.request.headers}
    assert sent == dict.fromkeys(names, "s")


@pytest.mark.parametrize("session_id", ["é", "a\nb", "s" * 65])
def test_a_session_that_no_header_can_carry_is_hashed(session_id: str) -> None:
    got = exchange(R, session_id=session_id)
    assert len(got.request.headers["session-id"]) < 20
    assert got.body["prompt_cache_key"] == session_id[:64]


def test_responses_check_07_sampling_parameters_are_merged_last() -> None:
    asked = model(
        sampling_params={"top_p": 0.9, "temperature": 0.3},
        sampling_params_by_thinking_level={"high": {"top_p": 0.5}},
    )
    adapter = ResponsesOptions(reasoning_effort="high")
    body = exchange(asked, adapter=adapter, temperature=1, sampling_params={"seed": 1}).body
    assert (body["temperature"], body["top_p"], body["seed"]) == (0.3, 0.5, 1)


def post(asked: Any, context: Context = HI, **options: Any) -> Any:
    """The body and headers of a request to a server that is not on loopback."""
    transport = CannedTransport(BODIES[asked.api])
    message = asyncio.run(Models(transport=transport).complete(asked, context, **options))
    assert message.error_message is None
    [request] = transport.requests
    return request, json.loads(request.body), message


@pytest.mark.parametrize("key", ["eyJx", "sk-test"])
@pytest.mark.parametrize("base_url", ["https://api.openai.com/v1", ""])  # "" is the same place
def test_responses_check_08_a_chatgpt_login_gets_fewer_fields(key: str, base_url: str) -> None:
    _, body, _ = post(
        model(base_url=base_url, compat={"supportsMidConvoEffort": True}),
        api_key=key,
        adapter=ResponsesOptions(service_tier="flex", reasoning_effort="low"),
        max_tokens=100,
        temperature=0,
        cache_retention="long",
        session_id="s",
        sampling_params={"top_p": 1},
    )
    lacking = {"max_output_tokens", "temperature", "prompt_cache_retention"}
    assert (lacking & set(body)) == (lacking if key == "sk-test" else set())
    assert (body["service_tier"], body["prompt_cache_key"], body["top_p"]) == ("flex", "s", 1)
    effort = "medium" if key == "sk-test" else "low"
    assert body["reasoning"] == {"effort": effort, "summary": "auto"}
    assert (body["input"][-1].get("type") == "configuration_update") is (key == "sk-test")


def update(effort: str) -> dict[str, Any]:
    return {"type": "configuration_update", "reasoning": {"effort": effort}}


def test_responses_check_09_effort_is_told_inside_the_conversation() -> None:
    asked = model(compat={"supportsMidConvoEffort": True}, thinking_level_map={"minimal": "low"})
    answer = AssistantMessage(
        [TextContent("a", '{"v":1,"id":"msg_1"}')], asked.api, asked.provider, asked.id
    )
    answer.provider_thinking_level = "high"
    context = Context([UserMessage("hi"), answer, UserMessage("more")])
    got = exchange(asked, context=context, adapter=ResponsesOptions(reasoning_effort="minimal"))
    items = got.body["input"]
    assert [item.get("role") or item["type"] for item in items] == [
        "user",
        "configuration_update",
        "assistant",
        "user",
        "configuration_update",
    ]
    assert (items[1], items[-1]) == (update("high"), update("low"))
    assert got.body["reasoning"]["effort"] == "medium"
    assert got.message.provider_thinking_level == "low"
    other = exchange(replace(asked, id="other"), context=context, reasoning="low").body["input"]
    assert [item for item in other if item.get("type") == "configuration_update"] == [update("low")]
    assert exchange(asked, context=context).message.provider_thinking_level is None


def test_every_option_of_the_adapter_and_of_the_caller() -> None:
    choice = {"type": "function", "name": "read"}
    got = exchange(
        R,
        context=replace(HI, tools=[READ]),
        adapter=ResponsesOptions(tool_choice=choice, service_tier="flex"),
        temperature=0,
        headers={"X-Own": "1", "Accept": None},
    )
    assert (got.body["tool_choice"], got.body["temperature"]) == (choice, 0)
    assert got.request.headers["x-own"] == "1"
    assert got.request.headers.get("accept") != "application/json"
    assert exchange(R, tool_choice="none").body["tool_choice"] == "none"


def test_copilot_is_told_who_asks() -> None:
    image = Context([UserMessage([ImageContent("QUJD", "image/png")])])
    headers = exchange(model(provider="github-copilot"), context=image).request.headers
    assert headers["x-initiator"] == "user"
    assert headers["openai-intent"] == "conversation-edits"
    assert headers["copilot-vision-request"] == "true"


def test_without_a_key_nothing_is_sent_elsewhere() -> None:
    transport = CannedTransport()
    asked = model(base_url="https://far.test/v1", provider="far")
    message = asyncio.run(Models(transport=transport).complete(asked, HI))
    assert (message.stop_reason, transport.requests) == ("error", [])
    request, _, _ = post(asked, headers={"Authorization": "Basic x"})
    assert request.headers["Authorization"] == "Basic x"


def test_a_request_that_says_nothing_is_refused() -> None:
    got = exchange(R, context=Context([UserMessage([])]))
    assert list(got.requests) == []
    assert "at least one message" in (got.message.error_message or "")


def test_options_of_another_format_are_refused() -> None:
    got = exchange(R, adapter=AzureOptions())
    assert got.message.error_message == (
        "adapter: expected ResponsesOptions for openai-responses, found AzureOptions"
    )


# --- Azure --------------------------------------------------------------------------------------

ON_AZURE = "https://x.openai.azure.com/openai/v1/responses?api-version=v1"


@pytest.mark.parametrize(
    ("base", "url"),
    [
        ("https://x.openai.azure.com/openai/v1/responses", ON_AZURE),
        ("https://x.openai.azure.com", ON_AZURE),
        ("https://x.openai.azure.com/openai/?a=b", ON_AZURE),
        (
            "https://y.cognitiveservices.azure.com/",
            "https://y.cognitiveservices.azure.com/openai/v1/responses?api-version=v1",
        ),
        (
            "https://z.ai.azure.com/own/",
            "https://z.ai.azure.com/own/responses?api-version=v1",
        ),
        ("https://proxy.test/v9?k=1", "https://proxy.test/v9/responses?k=1&api-version=v1"),
    ],
)
def test_responses_check_41_azure_urls(base: str, url: str) -> None:
    request, _, _ = post(replace(A, base_url=base), api_key="k")
    assert request.url == url


def test_responses_check_41_azure_deployments() -> None:
    env = {"AZURE_OPENAI_DEPLOYMENT_NAME_MAP": " gpt-4=foo , gpt-5.5 = my-dep , bad"}
    got = exchange(A, env=env)
    assert (got.body["model"], got.message.model) == ("my-dep", "gpt-5.5")
    assert got.request.headers["api-key"] == "k"
    assert "authorization" not in got.request.headers
    assert exchange(A).body["model"] == "gpt-5.5"
    adapter = AzureOptions(azure_deployment_name="d")
    assert exchange(A, adapter=adapter, env=env).body["model"] == "d"
    own = {"api-key": None, "Authorization": "Bearer entra"}
    headers = exchange(A, headers=own).request.headers
    assert (headers.get("api-key"), headers["authorization"]) == (None, "Bearer entra")


@pytest.mark.parametrize(
    ("adapter", "env", "url"),
    [
        pytest.param(AzureOptions(azure_base_url="https://o.test/a"), {},
                     "https://o.test/a/responses?api-version=v1", id="option"),
        pytest.param(None, {"AZURE_OPENAI_BASE_URL": "https://e.test/a"},
                     "https://e.test/a/responses?api-version=v1", id="environment"),
        pytest.param(AzureOptions(azure_resource_name="r", azure_api_version="p"), {},
                     "https://r.openai.azure.com/openai/v1/responses?api-version=p", id="resource"),
        pytest.param(None, {"AZURE_OPENAI_RESOURCE_NAME": "r", "AZURE_OPENAI_API_VERSION": "w"},
                     "https://r.openai.azure.com/openai/v1/responses?api-version=w",
                     id="resource-environment"),
    ],
)  # fmt: skip
def test_where_azure_is(adapter: Any, env: Any, url: str) -> None:
    request, _, _ = post(replace(A, base_url=""), adapter=adapter, env=env, api_key="k")
    assert request.url == url


@pytest.mark.parametrize(
    ("base", "text"),
    [
        (
            "",
            "Azure OpenAI base URL is required. Set AZURE_OPENAI_BASE_URL or "
            "AZURE_OPENAI_RESOURCE_NAME, or pass azureBaseUrl, azureResourceName, or "
            "model.baseUrl.",
        ),
        ("nonsense", "Invalid Azure OpenAI base URL: nonsense"),
        ("https://[x/", "Invalid Azure OpenAI base URL: https://[x/"),
    ],
)
def test_an_azure_that_is_nowhere_is_an_error(base: str, text: str) -> None:
    got = exchange(replace(A, base_url=base))
    assert list(got.requests) == []
    assert got.message.error_message == text


@pytest.mark.parametrize("name", ["https://r.openai.azure.com", "elsewhere.test/x?", "-r", "r r"])
def test_an_azure_resource_that_is_no_name_is_an_error(name: str) -> None:
    got = exchange(replace(A, base_url=""), adapter=AzureOptions(azure_resource_name=name))
    assert list(got.requests) == []
    told = got.message.error_message or ""
    assert told.startswith(f"Invalid Azure OpenAI resource name: {name!r}. It is the first part")


def test_an_azure_body() -> None:
    got = exchange(
        A,
        context=replace(HI, tools=[READ]),
        adapter=AzureOptions(reasoning_effort="low", tool_choice="auto"),
        session_id="s",
        cache_retention="none",
        max_tokens=3,
        sampling_params={"seed": 1},
    )
    tool = {"type": "function", "name": "read", "description": "Reads.", "strict": False}
    assert got.body == body_with(
        prompt_cache_key="s",
        max_output_tokens=16,
        tool_choice="auto",
        tools=[{**tool, "parameters": READ.parameters}],
        reasoning={"effort": "low", "summary": "auto"},
        include=INCLUDE,
        seed=1,
    )
    assert not set(AFFINITY) & set(got.request.headers)


def test_azure_says_who_refused() -> None:
    refusal = LoopbackResponse(b'{"error":{"code":"x"}}', 404)
    text = exchange(A, refusal).message.error_message
    assert text == 'Azure OpenAI API error (404): {"code":"x"}'


def test_azure_has_no_tiers() -> None:
    usage = {"input_tokens": 1000, "output_tokens": 1000}
    body = BODIES[A.api].replace(b'"completed"', b'"completed", "service_tier": "flex"')
    body = body.replace(
        b'"service_tier"', b'"usage": ' + json.dumps(usage).encode() + b', "service_tier"'
    )
    assert exchange(A, body).message.usage.cost.total == pytest.approx(0.01)
