"""Builds a request to Azure OpenAI: where it goes, what it says. Pure.

Source: spec of openai-responses, section 10.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit, urlunsplit

from pi_ai.api._openai_request import SummaryOptions, resolve_wishes
from pi_ai.api._options import require_messages
from pi_ai.api._responses_compat import ResponsesCompat
from pi_ai.api._responses_request import (
    cache_key,
    input_fields,
    limit_fields,
    reasoning_fields,
)
from pi_ai.env import get_provider_env
from pi_ai.errors import ModelsError
from pi_ai.http.transport import merge_headers
from pi_ai.identity import identity_headers
from pi_ai.thinking import resolve_sampling_params
from pi_ai.types import JsonObject, Message, Model, StreamOptions

__all__ = ("AzureOptions", "azure_url", "build_body", "build_headers", "deployment_name")

_DEFAULT_VERSION = "v1"
_AZURE_HOSTS = (".openai.azure.com", ".cognitiveservices.azure.com", ".ai.azure.com")
_RESOURCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")
_ROOT_PATHS = ("", "/openai", "/openai/v1/responses")
_NO_URL = (
    "Azure OpenAI base URL is required. Set AZURE_OPENAI_BASE_URL or AZURE_OPENAI_RESOURCE_NAME, "
    "or pass azureBaseUrl, azureResourceName, or model.baseUrl."
)


class AzureOptions(SummaryOptions, kw_only=True, frozen=True):
    """Options that only `azure-openai-responses` has; they replace the neutral `reasoning`.

    `azure_base_url` or `azure_resource_name` says where the deployments are,
    `azure_deployment_name` which one is asked; without them the environment does
    (AZURE_OPENAI_BASE_URL, AZURE_OPENAI_RESOURCE_NAME, AZURE_OPENAI_DEPLOYMENT_NAME_MAP,
    AZURE_OPENAI_API_VERSION).
    """

    azure_api_version: str | None = None
    azure_resource_name: str | None = None
    azure_base_url: str | None = None
    azure_deployment_name: str | None = None


def azure_url(model: Model, adapter: AzureOptions, env: Mapping[str, str]) -> str:
    """The URL of a request. Raises `ModelsError` for none, and for one that cannot be read."""
    base = (adapter.azure_base_url or get_provider_env("AZURE_OPENAI_BASE_URL", env) or "").strip()
    resource = adapter.azure_resource_name or get_provider_env("AZURE_OPENAI_RESOURCE_NAME", env)
    if not base and resource:
        if not _RESOURCE.fullmatch(resource):
            raise ModelsError(
                f"Invalid Azure OpenAI resource name: {resource!r}. It is the first part of the "
                "resource's host; for a URL there is azureBaseUrl.",
                code="model_validation",
            )
        base = f"https://{resource}.openai.azure.com/openai/v1"
    base = base or model.base_url
    if not base:
        raise ModelsError(_NO_URL, code="model_validation")
    try:
        parts = urlsplit(base)
        host = parts.hostname
    except ValueError:
        host = None
        parts = urlsplit("")
    if not host or parts.scheme not in {"http", "https"}:
        raise ModelsError(f"Invalid Azure OpenAI base URL: {base}", code="model_validation")
    path, query = parts.path.rstrip("/"), parts.query
    if host.endswith(_AZURE_HOSTS) and path in _ROOT_PATHS:
        path, query = "/openai/v1", ""
    version = adapter.azure_api_version or get_provider_env("AZURE_OPENAI_API_VERSION", env)
    told = f"api-version={version or _DEFAULT_VERSION}"
    queries = "&".join(part for part in (query, told) if part)
    return urlunsplit((parts.scheme, parts.netloc, f"{path}/responses", queries, ""))


def deployment_name(model: Model, adapter: AzureOptions, env: Mapping[str, str]) -> str:
    """What Azure calls the model: the option, else an entry of the map, else its id."""
    if adapter.azure_deployment_name:
        return adapter.azure_deployment_name
    entries = (get_provider_env("AZURE_OPENAI_DEPLOYMENT_NAME_MAP", env) or "").split(",")
    for entry in entries:
        model_id, _, name = (part.strip() for part in entry.partition("="))
        if model_id == model.id and name:
            return name
    return model.id


def build_body(
    model: Model,
    messages: Sequence[Message],
    options: StreamOptions,
    adapter: AzureOptions | None,
    *,
    deployment: str,
) -> tuple[JsonObject, Mapping[str, str]]:
    """The body, and for each tool with a grammar the parameter that takes the text."""
    compat = ResponsesCompat(model)
    wanted = resolve_wishes(model, messages, options, adapter)
    sent, tools, inputs = input_fields(model, messages, compat)
    require_messages(sent)
    body: JsonObject = {"model": deployment, "input": sent, "stream": True, "store": False}
    if compat.cache_key and (session_id := options.get("session_id")):
        body["prompt_cache_key"] = cache_key(session_id)
    body.update(limit_fields(options, wanted))
    if tools:
        body["tools"] = tools
    body.update(reasoning_fields(model, wanted))
    sampling = resolve_sampling_params(model, wanted.effort, options.get("sampling_params"))
    body.update(sampling or {})
    return body, inputs


def build_headers(
    model: Model,
    options: StreamOptions,
    *,
    api_key: str | None,
    extra: Mapping[str, str | None],
) -> dict[str, str]:
    """All headers. `extra` wins over the model's, which win over ours."""
    own = {"Accept": "application/json", **identity_headers(model, options.get("identity"))}
    if api_key:
        own["api-key"] = api_key
    merged = merge_headers(own, model.headers, extra)
    return {name: value for name, value in merged.items() if value is not None}
