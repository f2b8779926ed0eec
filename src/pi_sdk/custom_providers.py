"""Puts the providers of models.json into a collection of models.

A provider of the file is a row like any other, whose wire formats are the known ones with the
file's headers put on at the last moment: they are in no model and in no repr. Source: sdk spec,
sections 8.1 to 8.3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import NamedTuple

import msgspec
from msgspec import UNSET, Struct

from pi_ai import Model, Models, ModelsError, ProviderSpec
from pi_ai.auth.config_value import ConfigValue
from pi_ai.auth.resolve import has_credential_header, is_nearby
from pi_ai.http.transport import merge_headers
from pi_ai.provider import KNOWN_APIS, Adapter, Call, load_adapter
from pi_ai.stream import EventBatches
from pi_sdk.errors import SdkError
from pi_sdk.model_overrides import merge_compat, override_model
from pi_sdk.models_json import ModelConfig, ProviderConfig, read_models_json

__all__ = ("UserModels", "load_user_models")


class UserModels(NamedTuple):
    """The collection to use, and what could not be used of the file: a text each."""

    models: Models
    problems: list[str]


def load_user_models(agent_dir: Path, models: Models) -> UserModels:
    """`models` with the providers of `<agent_dir>/models.json`, in a copy; itself without any.

    A file that cannot be used leaves all of its providers out, a provider that cannot be put
    together only itself.
    """
    path = agent_dir / "models.json"
    try:
        providers = read_models_json(path)
    except SdkError as error:
        return UserModels(models, [str(error)])
    if not providers:
        return UserModels(models, [])
    models = models.copy()
    problems: list[str] = []
    for name, config in providers.items():
        try:
            _add_provider(models, name, config)
        except SdkError as error:
            problems.append(f"{error}\n\nFile: {path}")
    return UserModels(models, problems)


def _add_provider(models: Models, name: str, config: ProviderConfig) -> None:
    if config.oauth is not UNSET:
        raise SdkError(f"Provider {name}: not available in this version: oauth")
    row = models.get_provider(name)
    _require_content(name, config, known=row is not None)
    existing = [_edited(model, config) for model in models.get_models(name)]
    by_id = {model.id: model for model in existing}
    for told in config.models:
        similar = by_id.get(told.id) or (existing[0] if existing else None)
        by_id[told.id] = _model(name, told, config, similar)
    overrides = config.model_overrides
    added = [
        override_model(model, overrides[model.id]) if model.id in overrides else model
        for model in by_id.values()
    ]
    models.set_provider(_row(name, config, row, added), added)


def _require_content(name: str, config: ProviderConfig, *, known: bool) -> None:
    """A provider of the catalogue may get no more than a key; any other one needs an address."""
    if config.base_url or config.headers or config.compat or config.models:
        return
    if config.model_overrides or (known and (config.api_key or config.auth_header)):
        return
    raise SdkError(
        f'Provider {name}: must specify "baseUrl", "headers", "compat", "modelOverrides", '
        'or "models".'
    )


# --- models -----------------------------------------------------------------------------------


def _edited(model: Model, config: ProviderConfig) -> Model:
    """A model that the provider had before, at the file's address and with its compat."""
    return msgspec.structs.replace(
        model,
        base_url=config.base_url or model.base_url,
        compat=merge_compat(model.compat, config.compat),
    )


def _model(
    provider: str, told: ModelConfig, config: ProviderConfig, similar: Model | None
) -> Model:
    api = told.api or config.api or (similar.api if similar else None)
    if api is None:
        raise SdkError(
            f'Provider {provider}, model {told.id}: no "api" specified. '
            "Set at provider or model level."
        )
    base_url = told.base_url or config.base_url or (similar.base_url if similar else None)
    if not base_url:
        raise SdkError(f'Provider {provider}: "baseUrl" is required when defining custom models.')
    return Model(
        id=told.id,
        name=told.name or told.id,
        api=api,
        provider=provider,
        base_url=base_url,
        reasoning=told.reasoning,
        input=told.input,
        cost=told.cost,
        context_window=told.context_window,
        max_tokens=told.max_tokens,
        thinking_level_map=told.thinking_level_map,
        input_limits=told.input_limits,
        prompt_cache=told.prompt_cache,
        sampling_params=told.sampling_params,
        sampling_params_by_thinking_level=told.sampling_params_by_thinking_level,
        compat=merge_compat(config.compat, told.compat),
    )


# --- the provider -----------------------------------------------------------------------------


def _row(
    name: str, config: ProviderConfig, row: ProviderSpec | None, models: Sequence[Model]
) -> ProviderSpec:
    """The provider as the collection knows it: where its key comes from, what puts headers on."""
    row = row or ProviderSpec(name)
    needs_key = row.needs_key
    if config.api_key is None and (
        has_credential_header(config.headers or {}) or _all_nearby(models)
    ):
        needs_key = False
    dressing = _Dressing(name, config)
    apis = dict(row.apis)
    for api in {model.api for model in models}:
        known = apis.get(api) or KNOWN_APIS.get(api)
        if known is not None:  # else the request fails and names the format
            apis[api] = _dressed(known, dressing)
    return msgspec.structs.replace(
        row,
        name=config.name or row.name or name,
        base_url=config.base_url or row.base_url,
        apis=apis,
        needs_key=needs_key,
        key=row.key if config.api_key is None else config.api_key,
    )


def _all_nearby(models: Sequence[Model]) -> bool:
    """Whether every model is on this machine or in a private network, where no key is needed."""
    return bool(models) and all(is_nearby(model.base_url) for model in models)


class _Dressing:
    """The headers of one provider, and how they get onto a request."""

    def __init__(self, name: str, config: ProviderConfig) -> None:
        self._name = name
        self._auth_header = config.auth_header
        self._headers = _values(config.headers)
        self._model_headers = {
            model_id: _values(told.headers) for model_id, told in config.model_overrides.items()
        }
        for told in config.models:
            over = self._model_headers.get(told.id, {})
            self._model_headers[told.id] = {**over, **_values(told.headers)}

    async def put_on(self, call: Call[Struct]) -> Call[Struct]:
        """The call with the file's headers. Raises `ModelsError` for one without a value."""
        bearer: dict[str, str | None] = {}
        if self._auth_header:
            if not call.api_key:
                reason = "authHeader requires a resolved API key"
                raise ModelsError(
                    f"API key auth failed for provider {self._name}: {reason}", code="auth"
                )
            bearer["Authorization"] = f"Bearer {call.api_key}"
        headers = merge_headers(
            call.headers,
            bearer,
            await self._resolved(self._headers, call.env),
            await self._resolved(self._model_headers.get(call.model.id, {}), call.env),
            call.options.get("headers"),
        )
        return msgspec.structs.replace(call, headers=headers)

    async def _resolved(
        self, values: Mapping[str, ConfigValue], env: Mapping[str, str]
    ) -> dict[str, str]:
        resolved: dict[str, str] = {}
        for name, value in values.items():
            text = await value.resolve(env, run_again=True)
            if text is None:
                what = f'provider "{self._name}" header "{name}"'
                raise ModelsError(value.describe_failure(what, env), code="auth")
            resolved[name] = text
        return resolved


def _values(headers: Mapping[str, str] | None) -> dict[str, ConfigValue]:
    return {name: ConfigValue(text) for name, text in (headers or {}).items()}


def _dressed(known: str | Adapter, dressing: _Dressing) -> Adapter:
    """A wire format whose requests carry the provider's headers."""

    async def stream(call: Call[Struct], /) -> EventBatches:
        async with aclosing(load_adapter(known)(await dressing.put_on(call))) as batches:
            async for events in batches:
                yield events

    return stream
