"""Which credentials a request uses: the caller's key, else the environment's.

Source: ai-core spec, section 12.3; providers spec, section 3.8.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from pi_ai.env import find_env_keys, get_provider_env
from pi_ai.errors import ModelsError
from pi_ai.provider import ProviderSpec
from pi_ai.secrets import Masked
from pi_ai.types import Model

__all__ = (
    "ResolvedAuth",
    "has_credential_header",
    "is_configured",
    "resolve_auth",
    "resolve_base_url",
)

_BEARER_VARIABLES = frozenset({"ANTHROPIC_AUTH_TOKEN"})
_CREDENTIAL_HEADERS = frozenset({"authorization", "cf-aig-authorization", "x-api-key"})
_URL_VARIABLES = ("CLOUDFLARE_ACCOUNT_ID", "CLOUDFLARE_GATEWAY_ID")


class ResolvedAuth(Masked, frozen=True, kw_only=True):
    """What a request is sent with, and where it came from. Secrets never show in the repr."""

    api_key: str | None = None
    headers: Mapping[str, str | None] = {}
    source: str
    keyless: bool = False

    def __repr__(self) -> str:
        return f"<ResolvedAuth from {self.source}>"


def resolve_auth(
    provider: ProviderSpec | None,
    model: Model,
    *,
    api_key: str | None,
    headers: Mapping[str, str | None],
    env: Mapping[str, str] | None,
) -> ResolvedAuth:
    """The credentials for a request to `model`; `headers` are the request's own.

    A request with a credential header of its own, one to a server on this machine or in a private
    network, and one to a provider that says so, needs none. Raises `ModelsError` with what would
    supply them.
    """
    if api_key and api_key.strip():
        return _with_key(model, api_key, "api_key option")
    for name in dict.fromkeys([*find_env_keys(model.provider, env), *_own_variables(provider)]):
        value = get_provider_env(name, env)
        if value is None or not value.strip():
            continue
        if name in _BEARER_VARIABLES:
            return ResolvedAuth(headers={"Authorization": f"Bearer {value}"}, source=name)
        return _with_key(model, value, name)
    if has_credential_header(headers):
        return ResolvedAuth(source="request headers")
    if (provider is not None and not provider.needs_key) or _is_nearby(model.base_url):
        return ResolvedAuth(source="none needed", keyless=True)
    raise ModelsError(_missing_text(provider, model), code="auth")


def _with_key(model: Model, key: str, source: str) -> ResolvedAuth:
    if model.provider == "cloudflare-ai-gateway":  # the other headers would go on to the model
        own: dict[str, str | None] = {
            "cf-aig-authorization": f"Bearer {key}",
            "Authorization": None,
            "x-api-key": None,
        }
        return ResolvedAuth(headers=own, source=source)
    return ResolvedAuth(api_key=key, source=source)


def has_credential_header(headers: Mapping[str, str | None]) -> bool:
    """Whether `headers` bring credentials of their own."""
    return any(
        name.lower() in _CREDENTIAL_HEADERS and value is not None and bool(value.strip())
        for name, value in headers.items()
    )


def resolve_base_url(base_url: str, env: Mapping[str, str] | None) -> str:
    """`base_url` with its `{CLOUDFLARE_...}` places filled in; unknown ones stay as they are."""
    for name in _URL_VARIABLES:
        place = f"{{{name}}}"
        if place in base_url and (value := get_provider_env(name, env)):
            base_url = base_url.replace(place, value)
    return base_url


def is_configured(provider: ProviderSpec, env: Mapping[str, str] | None = None) -> bool:
    """Whether requests to a provider would find credentials, or need none."""
    if not provider.needs_key or find_env_keys(provider.id, env):
        return True
    values = (get_provider_env(name, env) for name in _own_variables(provider))
    return any(value is not None and value.strip() for value in values)


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
    import ipaddress  # for servers of one's own only, so not when this module is imported

    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return False
