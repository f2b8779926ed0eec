"""Credentials in the environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from pi_ai import env as e

OTHER = ("HOME", "USERPROFILE", "GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_CLOUD_PROJECT")


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    keys = {name for variables in e.API_KEY_VARIABLES.values() for name in variables}
    ambient = {name for group in e.AWS_AMBIENT_VARIABLES for name in group}
    for name in {*keys, *ambient, *OTHER, "GCLOUD_PROJECT", "GOOGLE_CLOUD_LOCATION"}:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.mark.parametrize(
    ("process", "given", "expected"),
    [
        pytest.param("P", {"NAME": "G"}, "G", id="given-wins"),
        pytest.param("P", {"NAME": ""}, "P", id="empty-given-is-ignored"),
        pytest.param("P", None, "P", id="process"),
        pytest.param("", {}, None, id="empty-process-is-ignored"),
        pytest.param(None, {"OTHER": "x"}, None, id="nowhere"),
    ],
)
def test_given_values_win_over_the_process(
    monkeypatch: pytest.MonkeyPatch,
    process: str | None,
    given: dict[str, str] | None,
    expected: str | None,
) -> None:
    if process is not None:
        monkeypatch.setenv("NAME", process)
    assert e.get_provider_env("NAME", given) == expected


def test_the_process_environment_is_read_at_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    assert e.get_env_api_key("groq") is None
    monkeypatch.setenv("GROQ_API_KEY", "k1")
    assert e.get_env_api_key("groq") == "k1"
    monkeypatch.setenv("GROQ_API_KEY", "k2")
    assert e.get_env_api_key("groq") == "k2"


@pytest.mark.parametrize(
    ("provider", "variable"),
    [
        pytest.param(provider, variables[-1], id=provider)
        for provider, variables in sorted(e.API_KEY_VARIABLES.items())
        if variables
    ],
)
def test_each_provider_reads_its_variable(provider: str, variable: str) -> None:
    given = {variable: "k"}
    assert e.get_env_api_key(provider, given) == "k"
    assert e.find_env_keys(provider, given) == [variable]
    assert e.get_env_api_key(provider, {}) is None
    assert e.find_env_keys(provider, {}) == []


def test_every_builtin_provider_has_a_row() -> None:
    builtin = """amazon-bedrock ant-ling anthropic azure baseten cerebras cloudflare-ai-gateway
    cloudflare-workers-ai deepseek fireworks github-copilot google google-vertex groq huggingface
    kimi-coding meta minimax minimax-cn mistral moonshotai moonshotai-cn nvidia openai openai-codex
    opencode opencode-go openrouter qwen-token-plan qwen-token-plan-cn qwen-token-plan-individual
    qwen-token-plan-individual-cn radius together typesafe vercel-ai-gateway xai xiaomi
    xiaomi-token-plan-ams xiaomi-token-plan-cn xiaomi-token-plan-sgp zai zai-coding-cn"""
    assert set(e.API_KEY_VARIABLES) == set(builtin.split())
    assert e.API_KEY_VARIABLES["openai-codex"] == ()


def test_unknown_providers_have_no_key() -> None:
    assert e.get_env_api_key("nobody", {"NOBODY_API_KEY": "k"}) is None
    assert e.find_env_keys("nobody") == []


def test_whitespace_is_no_key() -> None:
    assert e.get_env_api_key("openai", {"OPENAI_API_KEY": "  \n"}) is None


def test_anthropic_reads_three_variables_in_order() -> None:
    given = {
        "ANTHROPIC_API_KEY": "key",
        "ANTHROPIC_OAUTH_TOKEN": "oauth",
        "ANTHROPIC_AUTH_TOKEN": "bearer",
    }
    assert e.find_env_keys("anthropic", given) == [
        "ANTHROPIC_AUTH_TOKEN",
        "ANTHROPIC_OAUTH_TOKEN",
        "ANTHROPIC_API_KEY",
    ]
    assert e.get_env_api_key("anthropic", given) == "oauth"
    assert e.get_env_api_key("anthropic", {**given, "ANTHROPIC_OAUTH_TOKEN": " "}) == "key"


def test_a_bearer_token_of_anthropic_is_no_api_key() -> None:
    assert e.get_env_api_key("anthropic", {"ANTHROPIC_AUTH_TOKEN": "bearer"}) is None


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param({"AWS_BEARER_TOKEN_BEDROCK": "b", "AWS_PROFILE": "p"}, "b", id="bearer"),
        pytest.param({"AWS_PROFILE": "p"}, "<authenticated>", id="profile"),
        pytest.param({"AWS_ACCESS_KEY_ID": "a"}, None, id="half-a-key"),
        pytest.param(
            {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "s"}, "<authenticated>", id="key"
        ),
        pytest.param(
            {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "u"}, "<authenticated>", id="container"
        ),
        pytest.param({"AWS_WEB_IDENTITY_TOKEN_FILE": "f"}, "<authenticated>", id="web-identity"),
        pytest.param({}, None, id="nothing"),
    ],
)
def test_bedrock_takes_any_aws_credentials(given: dict[str, str], expected: str | None) -> None:
    assert e.get_env_api_key("amazon-bedrock", given) == expected


VERTEX = {"GOOGLE_CLOUD_PROJECT": "p", "GOOGLE_CLOUD_LOCATION": "l"}


def test_vertex_needs_a_credentials_file_a_project_and_a_location(tmp_path: Path) -> None:
    assert e.get_env_api_key("google-vertex", VERTEX) is None
    default = tmp_path / ".config/gcloud/application_default_credentials.json"
    default.parent.mkdir(parents=True)
    default.write_text("{}", encoding="utf-8")
    assert e.get_env_api_key("google-vertex", VERTEX) == "<authenticated>"
    assert e.get_env_api_key("google-vertex", {"GOOGLE_CLOUD_PROJECT": "p"}) is None
    assert e.get_env_api_key("google-vertex", {"GOOGLE_CLOUD_LOCATION": "l"}) is None
    old_name = {"GCLOUD_PROJECT": "p", "GOOGLE_CLOUD_LOCATION": "l"}
    assert e.get_env_api_key("google-vertex", old_name) == "<authenticated>"
    assert e.get_env_api_key("google-vertex", {**VERTEX, "GOOGLE_CLOUD_API_KEY": "k"}) == "k"


def test_vertex_takes_a_named_credentials_file(tmp_path: Path) -> None:
    named = tmp_path / "adc.json"
    given = {**VERTEX, "GOOGLE_APPLICATION_CREDENTIALS": str(named)}
    assert not e.has_google_credentials(given)
    named.write_text("{}", encoding="utf-8")
    assert e.has_google_credentials(given)
