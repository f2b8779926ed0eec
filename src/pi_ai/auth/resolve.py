"""Which credentials a request uses: the caller's key, else the environment's.

Source: ai-core spec, section 12.3.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from pi_ai.env import find_env_keys, get_provider_env
from pi_ai.errors import ModelsError
from pi_ai.provider import ProviderSpec
from pi_ai.types import Model

__all__ = ("ResolvedAuth", "is_configured", "resolve_auth")

_BEARER_VARIABLES = frozenset({"ANTHROPIC_AUTH_TOKEN"})


@dataclass(frozen=True, kw_only=True)
class ResolvedAuth:
    """What a request is sent with, and where it came from. Secrets never show in the repr."""

    api_key: str | None = field(default=None, repr=False)
    headers: Mapping[str, str | None] = field(default_factory=dict[str, str | None], repr=False)
    source: str
    keyless: bool = False


def resolve_auth(
    provider: ProviderSpec | None,
    model: Model,
    *,
    api_key: str | None,
    env: Mapping[str, str] | None,
) -> ResolvedAuth:
    """The credentials for a request to `model`.

    A server on this machine or in a private network, and one of a provider that says so, is
    asked without credentials when there are none. Raises `ModelsError` with what would supply
    them.
    """
    if api_key and api_key.strip():
        return ResolvedAuth(api_key=api_key, source="api_key option")
    for name in find_env_keys(model.provider, env):
        value = get_provider_env(name, env)
        if name in _BEARER_VARIABLES:
            return ResolvedAuth(headers={"Authorization": f"Bearer {value}"}, source=name)
        return ResolvedAuth(api_key=value, source=name)
    for name in _own_variables(provider):
        if value := get_provider_env(name, env):
            return ResolvedAuth(api_key=value, source=name)
    if (provider is not None and not provider.needs_key) or _is_nearby(model.base_url):
        return ResolvedAuth(source="none needed", keyless=True)
    raise ModelsError(_missing_text(provider, model), code="auth")


def is_configured(provider: ProviderSpec, env: Mapping[str, str] | None = None) -> bool:
    """Whether requests to a provider would find credentials, or need none."""
    if not provider.needs_key or find_env_keys(provider.id, env):
        return True
    return any(get_provider_env(name, env) for name in _own_variables(provider))


def _own_variables(provider: ProviderSpec | None) -> tuple[str, ...]:
    return tuple(provider.env) if provider is not None else ()


def _missing_text(provider: ProviderSpec | None, model: Model) -> str:
    text = f"Provider is not configured: {model.provider}."
    names = [name for name in _own_variables(provider) if name not in _BEARER_VARIABLES]
    if names:
        return f"{text} Set {' or '.join(names)}, or pass api_key=..."
    if provider is None:
        return f"{text} Pass api_key=... for {model.base_url or 'this model'}"
    return (
        f"{text} It takes a subscription login, which this version does not offer yet; "
        "pass api_key=... if you have a token"
    )


def _is_nearby(base_url: str) -> bool:
    """Whether a URL leads to this machine or a private network, where keys are not the rule."""
    host = urlsplit(base_url).hostname or ""
    if host == "localhost" or host.endswith((".localhost", ".local", ".internal")):
        return True
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return False
