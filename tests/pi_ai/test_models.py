"""Collections of models, and the way from a model to its stream."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from pi_ai import Context, Model, Models, ProviderSpec, UserMessage, get_model, get_models
from pi_ai.errors import ModelsError
from support.exchanges import BODIES, HI, C, M
from support.transports import CannedTransport

REMOTE = replace(M, base_url="https://models.example/v1")


def asked(model: Model, **options: Any) -> Any:
    """The request and the message of one call over a canned transport."""
    transport = CannedTransport(BODIES[model.api])
    message = asyncio.run(Models(transport=transport).complete(model, HI, **options))
    assert transport.open == 0
    return (transport.requests[0] if transport.requests else None), message


def test_models_are_found_by_their_exact_names() -> None:
    model = get_model("anthropic", "claude-sonnet-4-5")
    assert (model.provider, model.id, model.api) == (
        "anthropic",
        "claude-sonnet-4-5",
        "anthropic-messages",
    )
    assert model in get_models("anthropic")
    assert get_models("nobody") == []


@pytest.mark.parametrize(
    ("names", "code", "text"),
    [
        (("antropic", "x"), "provider", "Unknown provider: antropic. Did you mean: anthropic"),
        (
            ("anthropic", "claude-sonet-4-5"),
            "model",
            'Model "claude-sonet-4-5" not found for anthropic. Did you mean: ',
        ),
    ],
    ids=["provider", "model"],
)
def test_a_wrong_name_lists_near_ones(names: tuple[str, str], code: str, text: str) -> None:
    with pytest.raises(ModelsError) as caught:
        get_model(*names)
    assert caught.value.code == code
    assert str(caught.value).startswith(text)


def test_providers_and_models_of_ones_own() -> None:
    models = Models(())
    assert models.get_providers() == models.get_models() == []
    spec = ProviderSpec("own", "Own", env=("OWN_KEY",))
    models.set_provider(spec, [replace(M, provider="own")])
    assert models.get_provider("own") is spec
    assert models.get_model("own", "m").provider == "own"
    assert models.get_available() == []
    assert [model.id for model in models.get_available({"OWN_KEY": "k"})] == ["m"]
    assert models.get_available({"OWN_KEY": " "}) == []


def test_own_models_come_on_top_of_built_in_ones() -> None:
    models = Models()
    count = len(models.get_models("groq"))
    spec = models.get_provider("groq")
    assert spec is not None
    models.set_provider(spec, [replace(M, provider="groq", id="mine")])
    assert len(models.get_models("groq")) == count + 1
    assert models.get_model("groq", "mine").api == "openai-completions"


@pytest.mark.parametrize(
    ("model", "text"),
    [
        pytest.param(
            replace(M, provider="nobody", base_url=""), "Unknown provider: nobody", id="unknown"
        ),
        pytest.param(
            get_model("groq", get_models("groq")[0].id),
            "Provider is not configured: groq. Set GROQ_API_KEY, or pass api_key=...",
            id="unconfigured",
        ),
        pytest.param(
            REMOTE,
            "Provider is not configured: custom. Pass api_key=... for https://models.example/v1",
            id="custom-without-key",
        ),
    ],
)
def test_ai_core_check_19_missing_credentials_are_an_event(model: Model, text: str) -> None:
    request, message = asked(model)
    assert request is None
    assert (message.stop_reason, message.error_message) == ("error", text)


def test_ai_core_check_19_a_format_that_nobody_implements_raises_at_the_call() -> None:
    models = Models()
    with pytest.raises(ModelsError, match="No API provider registered for api: nope"):
        models.stream(replace(M, api="nope"), HI)


@pytest.mark.parametrize(
    ("options", "environ", "sent"),
    [
        pytest.param({"api_key": "option"}, {"GROQ_API_KEY": "process"}, "option", id="option"),
        pytest.param(
            {"env": {"GROQ_API_KEY": "of the request"}},
            {"GROQ_API_KEY": "process"},
            "of the request",
            id="env-option",
        ),
        pytest.param(
            {"env": {"GROQ_API_KEY": ""}}, {"GROQ_API_KEY": "process"}, "process", id="process"
        ),
    ],
)
def test_which_key_wins(
    options: Any, environ: dict[str, str], sent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    request, _ = asked(replace(REMOTE, provider="groq"), **options)
    assert request.headers["Authorization"] == f"Bearer {sent}"


def test_ai_core_check_27_a_blank_variable_configures_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GROQ_API_KEY", "  ")
    request, message = asked(replace(REMOTE, provider="groq"))
    assert request is None
    assert message.error_message.startswith("Provider is not configured: groq")


def test_an_anthropic_token_is_sent_as_a_bearer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", "token")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "key")
    model = replace(C, provider="anthropic", base_url="https://models.example")
    request, _ = asked(model)
    assert request.headers["Authorization"] == "Bearer token"
    assert "x-api-key" not in request.headers


def test_ai_core_check_26_headers_of_credentials_model_and_caller() -> None:
    model = replace(REMOTE, headers={"X-A": "model", "x-b": "model", "authorization": "model"})
    request, _ = asked(model, headers={"X-B": None, "x-d": "req"})
    sent = {name: value for name, value in request.headers.items() if name[:2].lower() == "x-"}
    assert sent == {"X-A": "model", "x-d": "req"}
    assert request.headers["authorization"] == "model"


def test_cloudflare_gateway_key_and_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOUDFLARE_ACCOUNT_ID", "acc")
    model = replace(
        C,
        provider="cloudflare-ai-gateway",
        base_url="https://gw.example/{CLOUDFLARE_ACCOUNT_ID}/{CLOUDFLARE_GATEWAY_ID}/anthropic",
    )
    request, message = asked(model, api_key="k", env={"CLOUDFLARE_GATEWAY_ID": "gate"})
    assert request.url == "https://gw.example/acc/gate/anthropic/v1/messages?beta=true"
    assert request.headers["cf-aig-authorization"] == "Bearer k"
    assert {"Authorization", "x-api-key"} & set(request.headers) == set()
    assert message.stop_reason == "stop"


@pytest.mark.parametrize(
    "base_url",
    ["http://localhost:1/v1", "http://127.0.0.1/v1", "http://[::1]/v1", "http://10.0.0.7/v1"],
)
def test_servers_nearby_need_no_key(base_url: str) -> None:
    request, message = asked(replace(M, base_url=base_url))
    assert "Authorization" not in request.headers
    assert message.stop_reason == "stop"


def test_a_provider_can_bring_its_own_format_as_a_function() -> None:
    async def answer(call: Any) -> Any:
        yield [call.message.start(), call.message.text_start()]
        yield [call.message.text(0, call.messages[-1].content)]
        call.message.stop("stop")

    models = Models([ProviderSpec("own", needs_key=False, apis={"own-chat": answer})])
    message = asyncio.run(models.complete(replace(M, provider="own", api="own-chat"), HI))
    assert (message.text, message.stop_reason) == ("hi", "stop")


def test_a_call_shows_no_secrets() -> None:
    seen: list[Any] = []

    async def answer(call: Any) -> Any:
        seen.append(call)
        yield [call.message.start()]
        call.message.stop("stop")

    models = Models([ProviderSpec("own", apis={"own-chat": answer})])
    model = replace(M, provider="own", api="own-chat")
    secrets: Any = {"api_key": "secret", "headers": {"A": "secret"}, "env": {"B": "secret"}}
    asyncio.run(models.complete(model, Context([UserMessage("hi")]), **secrets))
    assert seen[0].api_key == "secret"
    assert "secret" not in repr(seen[0])
