"""Which environment variables hold a provider's credentials, and reading them.

A request may bring variables of its own, which win over the process environment. Nothing is read
before it is asked for. Source: ai-core spec, section 15.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from pi_ai.catalog.providers import PROVIDERS

__all__ = (
    "ANTHROPIC_FEDERATION_VARIABLES",
    "API_KEY_VARIABLES",
    "AUTHENTICATED",
    "AWS_AMBIENT_VARIABLES",
    "find_env_keys",
    "get_env_api_key",
    "get_provider_env",
    "has_aws_credentials",
    "has_google_credentials",
)

AUTHENTICATED = "<authenticated>"
"""Stands for credentials that are there but are no key. Never sent."""

_ANTHROPIC_BEARER = "ANTHROPIC_AUTH_TOKEN"

API_KEY_VARIABLES: Mapping[str, tuple[str, ...]] = {
    row.id: tuple(row.env) for row in PROVIDERS.values()
}
"""Per provider, the variables that hold a key or token, the strongest first."""

ANTHROPIC_FEDERATION_VARIABLES = (
    "ANTHROPIC_FEDERATION_RULE_ID",
    "ANTHROPIC_ORGANIZATION_ID",
    "ANTHROPIC_IDENTITY_TOKEN_FILE",
)
"""Workload identity at Anthropic: all of them together."""

AWS_AMBIENT_VARIABLES: tuple[tuple[str, ...], ...] = (
    ("AWS_PROFILE",),
    ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
    ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",),
    ("AWS_CONTAINER_CREDENTIALS_FULL_URI",),
    ("AWS_WEB_IDENTITY_TOKEN_FILE",),
)
"""Where AWS credentials come from other than a bearer token: any group, all of its variables."""

_GOOGLE_ADC_FILE = "GOOGLE_APPLICATION_CREDENTIALS"
_GOOGLE_PROJECT = ("GOOGLE_CLOUD_PROJECT", "GCLOUD_PROJECT")
_GOOGLE_LOCATION = "GOOGLE_CLOUD_LOCATION"


def get_provider_env(name: str, env: Mapping[str, str] | None = None) -> str | None:
    """The variable `name` from `env`, else from the process; an empty value counts as unset."""
    return (env.get(name) if env else None) or os.environ.get(name) or None


def find_env_keys(provider: str, env: Mapping[str, str] | None = None) -> list[str]:
    """The variables with a key for `provider` that are set, strongest first.

    Empty for an unknown provider. Whitespace alone counts as unset.
    """
    return [name for name in API_KEY_VARIABLES.get(provider, ()) if _is_set(name, env)]


def get_env_api_key(provider: str, env: Mapping[str, str] | None = None) -> str | None:
    """The API key of `provider`: the value of the first variable that is set.

    `AUTHENTICATED` for Bedrock and Vertex when there are only credentials of another kind. None
    if there is nothing, or the provider is unknown. A bearer token of Anthropic is no API key.
    """
    for name in find_env_keys(provider, env):
        if name != _ANTHROPIC_BEARER:
            return get_provider_env(name, env)
    if provider == "amazon-bedrock" and has_aws_credentials(env):
        return AUTHENTICATED
    if provider == "google-vertex" and has_google_credentials(env):
        return AUTHENTICATED
    return None


def has_aws_credentials(env: Mapping[str, str] | None = None) -> bool:
    """Whether the environment names AWS credentials, a bearer token aside."""
    return any(all(_is_set(name, env) for name in group) for group in AWS_AMBIENT_VARIABLES)


def has_google_credentials(env: Mapping[str, str] | None = None) -> bool:
    """Whether there are a credentials file, a project and a location for Vertex."""
    named = get_provider_env(_GOOGLE_ADC_FILE, env)
    return (
        any(_is_set(name, env) for name in _GOOGLE_PROJECT)
        and _is_set(_GOOGLE_LOCATION, env)
        and (Path(named) if named else _default_adc_file()).is_file()
    )


def _default_adc_file() -> Path:
    return Path("~/.config/gcloud/application_default_credentials.json").expanduser()


def _is_set(name: str, env: Mapping[str, str] | None) -> bool:
    value = get_provider_env(name, env)
    return value is not None and bool(value.strip())
