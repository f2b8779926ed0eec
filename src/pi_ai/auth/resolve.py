"""Which credentials a request uses: the caller's, stored ones, configured ones, the environment's.

Source: ai-core spec, section 12.3; auth spec, section 6.1; providers spec, section 3.8.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal
from urllib.parse import urlsplit

from msgspec import Struct

from pi_ai.auth.config_value import ConfigValue
from pi_ai.env import find_env_keys, get_provider_env
from pi_ai.errors import ModelsError
from pi_ai.provider import ProviderSpec
from pi_ai.secrets import Masked
from pi_ai.types import Model

__all__ = (
    "AuthQuery",
    "AuthSource",
    "ResolvedAuth",
    "api_key_auth",
    "find_sources",
    "has_credential_header",
    "is_configured",
    "is_nearby",
    "is_oauth_only",
    "is_unset",
    "missing_auth",
    "own_auth",
    "require_auth",
    "resolve_base_url",
)

_BEARER_VARIABLES = frozenset({"ANTHROPIC_AUTH_TOKEN"})
_CREDENTIAL_HEADERS = frozenset({"api-key", "authorization", "cf-aig-authorization", "x-api-key"})
_URL_VARIABLES = ("CLOUDFLARE_ACCOUNT_ID", "CLOUDFLARE_GATEWAY_ID")


class ResolvedAuth(Masked, frozen=True, kw_only=True):
    """What a request is sent with, and where it came from. Secrets never show in the repr.

    `env` are variables that came with the credentials, `base_url` an address in place of the
    model's. `keyless`: the server needs no credentials.
    """

    api_key: str | None = None
    headers: Mapping[str, str | None] = {}
    base_url: str | None = None
    env: Mapping[str, str] = {}
    source: str
    keyless: bool = False

    def __repr__(self) -> str:
        return f"<ResolvedAuth from {self.source}>"


class AuthQuery(Masked, frozen=True, kw_only=True):
    """A request that wants credentials.

    `api_key`, `headers` and `env` are the request's own; `stored_type` is the type of the
    credential that is stored for the provider, None if there is none.
    """

    provider: ProviderSpec | None
    model: Model
    api_key: str | None = None
    headers: Mapping[str, str | None] = {}
    env: Mapping[str, str] = {}
    stored_type: str | None = None

    def __repr__(self) -> str:  # key, headers and env are secrets
        return f"<AuthQuery for {self.model.provider}/{self.model.id}>"


class AuthSource(Struct, frozen=True):
    """A place that credentials can come from; `variable` is that of the environment."""

    kind: Literal["option", "stored", "configured", "environment", "headers", "none needed"]
    variable: str | None = None


def find_sources(query: AuthQuery) -> Iterator[AuthSource]:
    """The places that have credentials for a request, the strongest first.

    A request with a credential header of its own, one to a server on this machine or in a private
    network, and one to a provider that says so, needs none.
    """
    provider, env = query.provider, query.env
    if query.api_key and query.api_key.strip():
        yield AuthSource("option")
        return
    if query.api_key is None and query.stored_type is not None:
        if not _is_usable(provider, query.stored_type):
            return  # it owns the provider all the same
        yield AuthSource("stored")
        if query.stored_type != "api_key":
            return
    if provider is not None and provider.key is not None:
        yield AuthSource("configured")
        return
    names = [*find_env_keys(query.model.provider, env), *_own_variables(provider)]
    for name in dict.fromkeys(names):
        if _is_set(name, env):
            yield AuthSource("environment", name)
    if has_credential_header(query.headers):
        yield AuthSource("headers")
    elif (provider is not None and not provider.needs_key) or is_nearby(query.model.base_url):
        yield AuthSource("none needed")


def is_oauth_only(provider: ProviderSpec) -> bool:
    """Whether a provider takes tokens of a login and no API keys."""
    return provider.oauth is not None and not provider.env and provider.key is None


def _is_usable(provider: ProviderSpec | None, stored_type: str) -> bool:
    match stored_type:
        case "api_key":
            return provider is None or not is_oauth_only(provider)
        case "oauth":
            return provider is not None and provider.oauth is not None
        case _:
            return False


def require_auth(query: AuthQuery) -> None:
    """Raise `ModelsError` if a request would find no credentials. Runs no command."""
    source = next(find_sources(query), None)
    if source is None:
        raise missing_auth(query)
    provider = query.provider
    if source.kind == "configured" and provider is not None and is_unset(provider, query.env):
        raise _unresolved(provider, query.env)


def is_unset(provider: ProviderSpec, env: Mapping[str, str] | None) -> bool:
    """Whether variables without a value leave a provider without its configured key."""
    return bool(ConfigValue(provider.key or "").unset(env))


async def own_auth(query: AuthQuery, source: AuthSource) -> ResolvedAuth:
    """The credentials of a source other than the stored ones.

    Raises `ModelsError` for a configured key without a value.
    """
    model = query.model
    match source.kind:
        case "option":
            return api_key_auth(model, query.api_key or "", "api_key option")
        case "configured":
            assert query.provider is not None
            return api_key_auth(
                model, await _configured_key(query.provider, query.env), "configured API key"
            )
        case "environment":
            name = source.variable or ""
            value = get_provider_env(name, query.env) or ""
            if name in _BEARER_VARIABLES:
                return ResolvedAuth(headers={"Authorization": f"Bearer {value}"}, source=name)
            return api_key_auth(model, value, name)
        case "headers":
            return ResolvedAuth(source="request headers")
        case _:
            return ResolvedAuth(source="none needed", keyless=True)


async def _configured_key(provider: ProviderSpec, env: Mapping[str, str]) -> str:
    key = await ConfigValue(provider.key or "").resolve(env, run_again=True)
    if not key:
        raise _unresolved(provider, env)
    return key


def _unresolved(provider: ProviderSpec, env: Mapping[str, str]) -> ModelsError:
    value = ConfigValue(provider.key or "")
    reason = value.describe_failure(f'API key for provider "{provider.id}"', env)
    return ModelsError(f"API key auth failed for provider {provider.id}: {reason}", code="auth")


def api_key_auth(model: Model, key: str, source: str) -> ResolvedAuth:
    """How an API key is sent to the provider of `model`."""
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


def is_configured(
    provider: ProviderSpec,
    env: Mapping[str, str] | None = None,
    stored_type: str | None = None,
) -> bool:
    """Whether requests to a provider would find credentials, or need none. Runs no command."""
    query = AuthQuery(
        provider=provider,
        model=Model(id="", api="", provider=provider.id, base_url=provider.base_url),
        env=env or {},
        stored_type=stored_type,
    )
    source = next(find_sources(query), None)
    if source is None:
        return False
    if source.kind == "configured":
        return not is_unset(provider, env)
    return source.kind != "none needed" or not provider.needs_key


def missing_auth(query: AuthQuery) -> ModelsError:
    """What would supply the credentials that a request has not got."""
    provider, model = query.provider, query.model
    text = f"Provider is not configured: {model.provider}."
    if query.api_key is None and query.stored_type is not None:
        reason = "What is stored for it cannot be used. Log in again, or log out to use other keys"
        return ModelsError(f"{text} {reason}", code="auth")
    names = [name for name in _own_variables(provider) if name not in _BEARER_VARIABLES]
    if names:
        reason = f"Set {' or '.join(names)}, or pass api_key=..."
    elif provider is None:
        reason = f"Pass api_key=... for {model.base_url or 'this model'}"
    else:
        reason = "It takes a subscription login; pass api_key=... if you have a token"
    return ModelsError(f"{text} {reason}", code="auth")


def _own_variables(provider: ProviderSpec | None) -> tuple[str, ...]:
    return tuple(provider.env) if provider is not None else ()


def _is_set(name: str, env: Mapping[str, str]) -> bool:
    value = get_provider_env(name, env)
    return value is not None and bool(value.strip())


def is_nearby(base_url: str) -> bool:
    """Whether a URL leads to this machine or a private network, where keys are not the rule."""
    host = urlsplit(base_url).hostname or ""
    if host == "localhost" or host.endswith((".localhost", ".local", ".internal")):
        return True
    import ipaddress  # for servers of one's own only, so not when this module is imported

    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return False
