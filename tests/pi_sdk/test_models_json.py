"""models.json: its text, its shape, and what it does to the models: sdk spec, section 8.1."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from pi_ai import Context, Model, Models, ModelsError, UserMessage
from pi_ai.json_text import js_json
from pi_ai.retry import RetryPolicy
from pi_ai.testing import LoopbackResponse, LoopbackServer
from pi_ai.wire import to_json_value
from pi_sdk import NoModelError, SdkError, SessionSettings, create_agent
from pi_sdk.custom_providers import load_user_models
from pi_sdk.models_json import parse_relaxed_json, read_models_json
from pi_session import SessionManager
from support.exchanges import pi_end, pi_record, pi_text

MODEL = {"id": "m", "api": "openai-completions", "baseUrl": "http://h.test/v1"}

# --- text -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('\ufeff{"a": 1}', {"a": 1}),
        ('// first\n{"a": 1, // one\n "b": [1, 2,],\n}\n// last', {"a": 1, "b": [1, 2]}),
        ('{"a": "k//x", "b": ",}", "c": "\\"//,]"}', {"a": "k//x", "b": ",}", "c": '"//,]'}),
        ('{"a": [1, // one\n ]}', {"a": [1]}),
        ('{"a": [1, // one\n // two\n ],}', {"a": [1]}),
    ],
    ids=["bom", "comments and commas", "inside strings", "comma, then comment", "two comments"],
)
def test_comments_and_trailing_commas_are_allowed(text, value):
    assert parse_relaxed_json(text) == value


@pytest.mark.parametrize("text", ["", "{", "/* no */ {}", '{"a" 1}', "{'a': 1}", "\ufeff\ufeff{}"])
def test_other_liberties_are_not(text):
    with pytest.raises(ValueError, match=r"JSON|Expecting|truncated|Extra|Unexpected"):
        parse_relaxed_json(text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text('ab/,"\\]} \n', max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text('a/"', max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(JSON)
def test_plain_json_means_what_it_always_meant(value):
    assert parse_relaxed_json(js_json(value)) == value
    assert parse_relaxed_json(js_json(value, indent=2) + " // end") == value


# --- shape ------------------------------------------------------------------------------------


def test_no_file_is_no_provider(agent_dir):
    assert read_models_json(agent_dir / "models.json") == {}


def test_what_is_left_out_has_its_defaults(agent_dir, write_models):
    write_models({"zed": {"models": [MODEL]}})
    models, problems = load_user_models(agent_dir, Models(()))
    assert problems == []
    assert models.get_models() == [
        Model(
            id="m",
            name="m",
            api="openai-completions",
            provider="zed",
            base_url="http://h.test/v1",
            input=["text"],
            context_window=128_000,
            max_tokens=16_384,
        )
    ]


def test_every_field_of_a_model_arrives(agent_dir, write_models):
    told = {
        "id": "m",
        "name": "M",
        "api": "anthropic-messages",
        "baseUrl": "http://h.test",
        "reasoning": True,
        "thinkingLevelMap": {"off": None, "high": "max"},
        "input": ["text", "image"],
        "inputLimits": {"maxRequestBytes": 5},
        "cost": {"input": 1, "output": 2, "cacheRead": 0.1, "cacheWrite": 1.25},
        "promptCache": {"x": 1},
        "contextWindow": 10,
        "maxTokens": 5,
        "samplingParams": {"top_p": 1},
        "samplingParamsByThinkingLevel": {"high": {"top_p": 0}},
        "compat": {"a": 1},
    }
    write_models({"zed": {"name": "Zed", "models": [{**told, "headers": {"X": "secret"}}]}})
    models, _ = load_user_models(agent_dir, Models(()))
    assert to_json_value(models.get_model("zed", "m")) == {**told, "provider": "zed"}
    row = models.get_provider("zed")
    assert row is not None
    assert row.name == "Zed"
    assert "secret" not in repr(row)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("{", "Failed to parse models.json: "),
        ("[]", "Invalid models.json schema:\n  - root: Expected `object`"),
        ("{}", "Invalid models.json schema:\n  - providers: Expected `object`"),
        (
            {"a": 5, "b": {"models": [{"id": ""}]}, "c": {"models": [{"id": "m", "maxTokens": 0}]}},
            "Invalid models.json schema:\n"
            "  - providers.a: Expected `object`, got `int`\n"
            "  - providers.b.models[0].id: Expected `str` of length >= 1\n"
            "  - providers.c.models[0].maxTokens: Expected `int` >= 1",
        ),
        (
            {"a": {"models": [{"name": "x"}]}},
            "Invalid models.json schema:\n"
            "  - providers.a.models[0]: Object missing required field `id`",
        ),
        (
            {"a": {"modelOverrides": {"m": {"contextWindow": 0}}}},
            "Invalid models.json schema:\n"
            "  - providers.a.modelOverrides[...].contextWindow: Expected `int` >= 1",
        ),
    ],
    ids=["no json", "no object", "no providers", "each fault", "missing id", "bad override"],
)
def test_a_bad_file_leaves_every_provider_out(agent_dir, write_models, content, text):
    path = write_models(content)
    before = Models(())
    models, problems = load_user_models(agent_dir, before)
    assert models is before
    (problem,) = problems
    assert problem.startswith(text)
    assert problem.endswith(f"\n\nFile: {path}")


def test_a_file_that_cannot_be_read(agent_dir):
    (agent_dir / "models.json").mkdir()
    with pytest.raises(SdkError, match=r"^Failed to load models\.json: "):
        read_models_json(agent_dir / "models.json")


NEEDS_SOMETHING = 'must specify "baseUrl", "headers", "compat", "modelOverrides", or "models".'


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({}, f"Provider zed: {NEEDS_SOMETHING}"),
        ({"apiKey": "k"}, f"Provider zed: {NEEDS_SOMETHING}"),
        (
            {"models": [{"id": "m", "baseUrl": "http://h.test"}]},
            'Provider zed, model m: no "api" specified. Set at provider or model level.',
        ),
        (
            {"models": [{"id": "m", "api": "x"}]},
            'Provider zed: "baseUrl" is required when defining custom models.',
        ),
        (
            {"models": [MODEL], "oauth": "radius"},
            "Provider zed: not available in this version: oauth",
        ),
    ],
    ids=["nothing", "a key alone", "no api", "no base url", "an unbuilt field"],
)
def test_a_bad_provider_leaves_only_itself_out(agent_dir, write_models, config, text):
    path = write_models({"zed": config, "good": {"models": [MODEL]}})
    models, problems = load_user_models(agent_dir, Models(()))
    assert problems == [f"{text}\n\nFile: {path}"]
    assert [row.id for row in models.get_providers()] == ["good"]


# --- what it does -----------------------------------------------------------------------------


def test_nothing_global_changes(agent_dir, write_models):
    write_models({"zed": {"models": [MODEL]}, "openai": {"baseUrl": "http://h.test"}})
    base = Models()
    models, _ = load_user_models(agent_dir, base)
    assert base.get_provider("zed") is None
    assert "h.test" not in base.get_model("openai", "gpt-5").base_url
    assert models.get_model("openai", "gpt-5").base_url == "http://h.test"


def test_a_built_in_provider_is_edited_and_extended(agent_dir, write_models):
    base = Models()
    count = len(base.get_models("openai"))
    write_models(
        {
            "openai": {
                "compat": {"own": True},
                "models": [{"id": "mine"}, {"id": "gpt-5", "reasoning": False}],
            }
        }
    )
    models, problems = load_user_models(agent_dir, base)
    assert problems == []
    similar = base.get_models("openai")[0]
    mine = models.get_model("openai", "mine")
    assert (mine.api, mine.base_url) == (similar.api, similar.base_url)
    replaced = models.get_model("openai", "gpt-5")
    original = base.get_model("openai", "gpt-5")
    assert (replaced.reasoning, replaced.context_window) == (False, 128_000)
    assert (replaced.api, replaced.base_url) == (original.api, original.base_url)
    assert len(models.get_models("openai")) == count + 1
    assert all((model.compat or {})["own"] for model in models.get_models("openai"))


def test_compat_of_provider_and_model_is_merged_one_level_deep(agent_dir, write_models):
    write_models(
        {
            "zed": {
                "compat": {"a": 1, "b": {"x": 1}, "chatTemplateKwargs": {"x": 1, "y": 1}},
                "models": [{**MODEL, "compat": {"b": {}, "chatTemplateKwargs": {"y": 2}}}],
            }
        }
    )
    models, _ = load_user_models(agent_dir, Models(()))
    assert models.get_model("zed", "m").compat == {
        "a": 1,
        "b": {},
        "chatTemplateKwargs": {"x": 1, "y": 2},
    }


BASE = {
    **MODEL,
    "thinkingLevelMap": {"off": None, "high": "max"},
    "inputLimits": {"maxRequestBytes": 5, "images": {"resize": {"maxWidth": 9}, "count": 2}},
    "cost": {"input": 1, "output": 2, "cacheRead": 0.5, "cacheWrite": 4},
    "promptCache": {"short": 1, "long": 2},
    "contextWindow": 1000,
    "maxTokens": 100,
    "samplingParams": {"top_p": 1, "nested": {"a": 1}},
    "samplingParamsByThinkingLevel": {"high": {"top_p": 1, "top_k": 1}},
    "compat": {"own": {"x": 1}, "openRouterRouting": {"x": 1, "y": 1}},
}


@pytest.mark.parametrize(
    ("override", "changed"),
    [
        ({}, {}),
        ({"name": "N", "contextWindow": 2000}, {"name": "N", "contextWindow": 2000}),
        ({"reasoning": True, "input": ["image"]}, {"reasoning": True, "input": ["image"]}),
        (
            {"thinkingLevelMap": {"high": None, "low": "l"}},
            {"thinkingLevelMap": {"off": None, "high": None, "low": "l"}},
        ),
        (
            {"inputLimits": {"images": {"resize": {"maxHeight": 3}}}},
            {
                "inputLimits": {
                    "maxRequestBytes": 5,
                    "images": {"resize": {"maxWidth": 9, "maxHeight": 3}, "count": 2},
                }
            },
        ),
        (
            {"cost": {"input": 0, "cacheRead": 3}},
            {"cost": {"input": 0, "output": 2, "cacheRead": 3, "cacheWrite": 4}},
        ),
        ({"promptCache": {"long": 3}}, {"promptCache": {"short": 1, "long": 3}}),
        (
            {"samplingParams": {"nested": {"b": 1}}},
            {"samplingParams": {"top_p": 1, "nested": {"b": 1}}},
        ),
        (
            {"samplingParamsByThinkingLevel": {"high": {"top_k": 2}, "low": {"top_k": 3}}},
            {
                "samplingParamsByThinkingLevel": {
                    "high": {"top_p": 1, "top_k": 2},
                    "low": {"top_k": 3},
                }
            },
        ),
        (
            {"compat": {"own": {"y": 1}, "openRouterRouting": {"y": 2}}},
            {"compat": {"own": {"y": 1}, "openRouterRouting": {"x": 1, "y": 2}}},
        ),
    ],
    ids=[
        "nothing",
        "scalars",
        "a list is replaced",
        "levels",
        "limits",
        "prices, 0 too",
        "prompt cache",
        "parameters",
        "parameters by level",
        "compat",
    ],
)
def test_an_override_lies_on_top_of_a_model(agent_dir, write_models, override, changed):
    write_models(
        {"zed": {"models": [BASE], "modelOverrides": {"m": override, "nobody": {"name": "x"}}}}
    )
    models, problems = load_user_models(agent_dir, Models(()))
    assert problems == []
    (model,) = models.get_models("zed")
    before = {"name": "m", "input": ["text"], "reasoning": False, **BASE, "provider": "zed"}
    written: Any = to_json_value(model)
    assert written == {**before, **changed}


def test_an_override_alone_edits_a_model_of_the_catalogue(agent_dir, write_models):
    write_models({"openai": {"modelOverrides": {"gpt-5": {"maxTokens": 77}}}})
    base = Models()
    models, problems = load_user_models(agent_dir, base)
    assert problems == []
    edited, original = models.get_model("openai", "gpt-5"), base.get_model("openai", "gpt-5")
    assert edited == replace(original, max_tokens=77)
    assert len(models.get_models("openai")) == len(base.get_models("openai"))


@pytest.mark.parametrize("config", [{"apiKey": "k"}, {"apiKey": "k", "authHeader": True}])
def test_a_provider_of_the_catalogue_may_get_no_more_than_a_key(agent_dir, write_models, config):
    write_models({"groq": config})
    models, problems = load_user_models(agent_dir, Models())
    assert problems == []
    assert {model.provider for model in models.get_available()} == {"groq"}


def test_headers_of_an_override_win_over_the_providers(fake, agent_dir, write_models):
    config = {
        "apiKey": "k",
        "modelOverrides": {"m1": {"headers": {"X-Own": "o", "X-Both": "override"}}},
        "headers": {"X-Own": "provider", "X-All": "a"},
    }
    headers = ask(fake, agent_dir, write_models, config)
    assert (headers["x-own"], headers["x-all"], headers["x-both"]) == ("o", "a", "override")


@pytest.mark.parametrize(
    ("config", "env", "available"),
    [
        ({}, {}, False),
        ({"baseUrl": "http://127.0.0.1:1/v1"}, {}, True),
        ({"baseUrl": "http://192.168.1.5/v1"}, {}, True),
        ({"apiKey": "literal"}, {}, True),
        ({"apiKey": "$K"}, {}, False),
        ({"apiKey": "$K"}, {"K": "kk"}, True),
        ({"apiKey": "$K", "baseUrl": "http://127.0.0.1:1/v1"}, {}, False),
        ({"headers": {"Authorization": "Bearer x"}}, {}, True),
    ],
    ids=[
        "no key, far away",
        "no key, loopback",
        "no key, private network",
        "literal key",
        "unset variable",
        "set variable",
        "unset variable, loopback",
        "credentials in a header",
    ],
)
def test_a_provider_is_available_with_credentials_or_nearby(
    agent_dir, write_models, monkeypatch, config, env, available
):
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    model = {key: value for key, value in MODEL.items() if key != "baseUrl"}
    write_models({"zed": {"baseUrl": "http://h.test/v1", **config, "models": [model]}})
    models, problems = load_user_models(agent_dir, Models(()))
    assert problems == []
    assert [m.id for m in models.get_available()] == (["m"] if available else [])


def ask(
    fake: Any, agent_dir: Any, write_models: Any, config: dict[str, Any], **options: Any
) -> Any:
    """The headers that a prompt is sent with, or the answer's error."""

    async def main() -> Any:
        async with fake:
            write_models({"fake": fake.config(**config)})
            manager = SessionManager.in_memory(agent_dir)
            async with create_agent(
                agent_dir=agent_dir,
                session_manager=manager,
                model="fake/m1",
                session_settings=SessionSettings(retry=RetryPolicy(max_retries=0, base_delay_ms=0)),
                **options,
            ) as session:
                message = await session.prompt("hi")
            if message.error_message:
                return message.error_message
            return fake.server.requests[0].headers

    return asyncio.run(main())


def test_sdk_check_37_keys_are_made_of_variables(fake, agent_dir, write_models, monkeypatch):
    monkeypatch.setenv("K", "kk")
    headers = ask(fake, agent_dir, write_models, {"apiKey": "pre-${K}-$K$$x"})
    assert headers["authorization"] == "Bearer pre-kk-kk$x"


def test_sdk_check_37_an_unset_variable_leaves_no_key(agent_dir, write_models):
    write_models({"zed": {"apiKey": "$UNSET_K", "models": [MODEL]}})

    async def main():
        manager = SessionManager.in_memory(agent_dir)
        async with create_agent(
            agent_dir=agent_dir, session_manager=manager, model="zed/m"
        ) as session:
            await session.prompt("hi")

    with pytest.raises(NoModelError, match=r"^No API key found for zed\.") as raised:
        asyncio.run(main())
    assert "UNSET_K" in str(raised.value)


def test_auth_check_48_an_unset_variable_is_an_error_whatever_the_environment_has(
    fake, agent_dir, write_models, monkeypatch
):
    monkeypatch.setenv("GROQ_API_KEY", "of the environment")
    write_models({"groq": {"apiKey": "$UNSET_K-$UNSET_L", "baseUrl": "http://127.0.0.1:9"}})
    [model, *_] = load_user_models(agent_dir, Models()).models.get_models("groq")

    async def main():
        manager = SessionManager.in_memory(agent_dir)
        async with create_agent(
            agent_dir=agent_dir, session_manager=manager, model=model
        ) as session:
            await session.prompt("hi")

    with pytest.raises(NoModelError) as raised:
        asyncio.run(main())
    assert str(raised.value).endswith(
        'API key auth failed for provider groq: Failed to resolve API key for provider "groq" '
        "from environment variables: UNSET_K, UNSET_L"
    )


def test_commands_give_key_and_headers_and_run_at_every_request(
    fake, agent_dir, write_models, tmp_path
):
    runs = tmp_path / "runs"
    config = {
        "apiKey": f"!echo x >> {runs}; echo key-$(wc -l < {runs})",
        "headers": {"X-A": "!echo told"},
    }

    async def main():
        async with fake:
            write_models({"fake": fake.config(**config)})
            manager = SessionManager.in_memory(agent_dir)
            async with create_agent(
                agent_dir=agent_dir, session_manager=manager, model="fake/m1"
            ) as session:
                assert not runs.exists()
                await session.prompt("hi")
                await session.prompt("again")
            return [request.headers for request in fake.server.requests]

    first, second = asyncio.run(main())
    assert [first["authorization"], second["authorization"]] == ["Bearer key-1", "Bearer key-2"]
    assert first["x-a"] == "told"


def test_sdk_check_38_a_relaxed_file_gives_its_literal_key(fake, agent_dir, write_models):
    async def main():
        async with fake:
            write_models(
                '\ufeff{ // mine\n"providers": {"fake": {"apiKey": "k//x", '
                f'"api": "openai-completions", "baseUrl": "{fake.url}", '
                '"models": [{"id": "m1",},],},},}'
            )
            manager = SessionManager.in_memory(agent_dir)
            async with create_agent(agent_dir=agent_dir, session_manager=manager) as session:
                await session.prompt("hi")
            return fake.server.requests[0].headers["authorization"]

    assert asyncio.run(main()) == "Bearer k//x"


def test_a_provider_of_the_file_may_speak_pi_messages(agent_dir, write_models):
    body = pi_text("abc") + pi_record("text_end", content="abc") + pi_end()

    async def main():
        async with LoopbackServer(lambda _request: LoopbackResponse(body)) as server:
            gate = {
                "api": "pi-messages",
                "baseUrl": server.url,
                "apiKey": "gate-key",
                "headers": {"X-Team": "a"},
                "models": [{"id": "auto"}],
            }
            write_models({"gate": gate})
            manager = SessionManager.in_memory(agent_dir)
            async with create_agent(
                agent_dir=agent_dir, session_manager=manager, model="gate/auto"
            ) as session:
                message = await session.prompt("hi")
            [request] = server.requests
            return message.text, request.path, request.headers, request.json()["model"]

    text, path, headers, model = asyncio.run(main())
    assert (text, path, model) == ("abc", "/messages", "auto")
    assert (headers["authorization"], headers["x-team"]) == ("Bearer gate-key", "a")


def test_the_callers_key_wins_over_the_files(fake, agent_dir, write_models):
    headers = ask(
        fake, agent_dir, write_models, {"apiKey": "file"}, stream_options={"api_key": "told"}
    )
    assert headers["authorization"] == "Bearer told"


def test_no_key_is_sent_to_a_nearby_server_that_has_none(fake, agent_dir, write_models):
    assert "authorization" not in ask(fake, agent_dir, write_models, {})


def test_configured_headers_are_sent_and_lose_to_the_requests_own(
    fake, agent_dir, write_models, monkeypatch
):
    monkeypatch.setenv("K", "kk")
    config = {
        "headers": {"X-A": "a-$K", "X-B": "provider", "X-C": "file"},
        "models": [{"id": "m1", "headers": {"x-b": "model"}}],
    }
    options = {"headers": {"x-c": "call"}}
    headers = ask(fake, agent_dir, write_models, config, stream_options=options)
    assert [headers[name] for name in ("x-a", "x-b", "x-c")] == ["a-kk", "model", "call"]


def test_auth_header_sends_the_key_as_a_bearer_token(fake, agent_dir, write_models):
    config = {"authHeader": True, "apiKey": "k", "api": "anthropic-messages"}
    error = ask(fake, agent_dir, write_models, config)
    assert isinstance(error, str)  # the fake server does not speak it, but was asked
    headers = fake.server.requests[0].headers
    assert (headers["authorization"], headers["x-api-key"]) == ("Bearer k", "k")


def test_auth_header_without_a_key_is_an_error(fake, agent_dir, write_models):
    assert ask(fake, agent_dir, write_models, {"authHeader": True}) == (
        "API key auth failed for provider fake: authHeader requires a resolved API key"
    )


def test_a_header_with_an_unset_variable_is_an_error(fake, agent_dir, write_models):
    assert ask(fake, agent_dir, write_models, {"headers": {"X-A": "$UNSET_K"}}) == (
        'Failed to resolve provider "fake" header "X-A" from environment variable: UNSET_K'
    )


def test_a_key_of_the_file_wins_over_the_environment(agent_dir, fake, write_models, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "environment")

    async def main():
        async with fake:
            write_models({"openai": fake.config(apiKey="file")})
            manager = SessionManager.in_memory(agent_dir)
            async with create_agent(
                agent_dir=agent_dir, session_manager=manager, model="openai/m1"
            ) as session:
                await session.prompt("hi")
            return fake.server.requests[0].headers["authorization"]

    assert asyncio.run(main()) == "Bearer file"


def test_an_unknown_api_is_loaded_and_named_when_it_is_used(agent_dir, write_models):
    write_models({"zed": {"apiKey": "k", "models": [{**MODEL, "api": "smoke-signals"}]}})
    models, problems = load_user_models(agent_dir, Models(()))
    assert problems == []
    with pytest.raises(ModelsError, match="No API provider registered for api: smoke-signals"):
        models.stream(models.get_model("zed", "m"), Context([UserMessage("hi")]))


def test_a_copy_uses_the_connections_of_its_origin(fake):
    """One pool for all, which a closed copy leaves open."""

    async def main():
        async with fake:
            base = fake.models
            first, second = base.copy(), base.copy().copy()
            model = base.get_model("fake", "m1")
            for models in (first, second, base):
                await models.complete(model, Context([UserMessage("hi")]))
                await first.aclose()
            await base.complete(model, Context([UserMessage("hi")]))
            return len(fake.bodies), fake.server.open_connections

    assert asyncio.run(main()) == (4, 1)
