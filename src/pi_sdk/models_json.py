"""The user's providers and models: `<agent_dir>/models.json`, read and checked.

JSON that may have `//` comments, trailing commas and a byte order mark. What the file says is put
into effect by `custom_providers`. Source: sdk spec, section 8.1.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, cast

import msgspec
from msgspec import UNSET, Meta, UnsetType

from pi_ai import JsonObject, JsonValue, ModelCost
from pi_ai.json_text import parse_json
from pi_ai.secrets import Masked
from pi_ai.types import Compat, CostTier, InputLimits
from pi_ai.wire import from_json_value
from pi_sdk.errors import SdkError

__all__ = (
    "CostOverride",
    "ModelConfig",
    "ModelOverride",
    "ProviderConfig",
    "parse_relaxed_json",
    "read_models_json",
)

Text: TypeAlias = Annotated[str, Meta(min_length=1)]
Count: TypeAlias = Annotated[int, Meta(gt=0)]


class ModelConfig(Masked, rename="camel", kw_only=True, frozen=True):
    """One model of the file; what is None comes from the provider, or from a model it has."""

    id: Text
    name: Text | None = None
    api: Text | None = None
    base_url: Text | None = None
    reasoning: bool = False
    thinking_level_map: dict[str, str | None] | None = None
    input: list[Literal["text", "image"]] = msgspec.field(default_factory=lambda: ["text"])
    input_limits: InputLimits | None = None
    cost: ModelCost = msgspec.field(default_factory=ModelCost)
    prompt_cache: dict[str, float] | None = None
    context_window: Count = 128_000
    max_tokens: Count = 16_384
    sampling_params: JsonObject | None = None
    sampling_params_by_thinking_level: dict[str, JsonObject] | None = None
    headers: dict[str, str] | None = None
    compat: Compat | None = None

    def __repr__(self) -> str:  # headers may hold secrets
        return f"<ModelConfig {self.id}>"


class CostOverride(msgspec.Struct, rename="camel", kw_only=True, frozen=True):
    """Prices of a `ModelOverride`, in USD per million tokens; None leaves what the model has."""

    input: float | None = None
    output: float | None = None
    cache_read: float | None = None
    cache_write: float | None = None
    tiers: list[CostTier] | None = None


class ModelOverride(Masked, rename="camel", kw_only=True, frozen=True):
    """What the file says of a model that the provider has anyway; None leaves what it has."""

    name: Text | None = None
    reasoning: bool | None = None
    thinking_level_map: dict[str, str | None] | None = None
    input: list[Literal["text", "image"]] | None = None
    input_limits: InputLimits | None = None
    cost: CostOverride | None = None
    prompt_cache: dict[str, float] | None = None
    context_window: Count | None = None
    max_tokens: Count | None = None
    sampling_params: JsonObject | None = None
    sampling_params_by_thinking_level: dict[str, JsonObject] | None = None
    headers: dict[str, str] | None = None
    compat: Compat | None = None

    def __repr__(self) -> str:  # headers may hold secrets
        return f"<ModelOverride {self.name or ''}>"


class ProviderConfig(Masked, rename="camel", kw_only=True, frozen=True):
    """One provider of the file. `api_key` and the values of `headers` may name variables.

    `model_overrides` are by the id of the model.
    """

    name: Text | None = None
    base_url: Text | None = None
    api: Text | None = None
    api_key: Text | None = None
    headers: dict[str, str] | None = None
    auth_header: bool = False
    compat: Compat | None = None
    models: list[ModelConfig] = msgspec.field(default_factory=list[ModelConfig])
    model_overrides: dict[str, ModelOverride] = msgspec.field(
        default_factory=dict[str, ModelOverride]
    )
    oauth: JsonValue | UnsetType = UNSET

    def __repr__(self) -> str:  # the key is a secret
        return f"<ProviderConfig of {len(self.models)} models>"


def read_models_json(path: Path) -> dict[str, ProviderConfig]:
    """The providers of the file, in its order; empty if there is no file.

    Raises `SdkError` if it cannot be read, is no JSON, or has another shape than it should.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise SdkError(f"Failed to load models.json: {error}") from error
    try:
        value = parse_relaxed_json(data.decode("utf-8", "replace"))
    except ValueError as error:
        raise SdkError(f"Failed to parse models.json: {error}\n\nFile: {path}") from error
    providers, faults = _check(value)
    if faults:
        listed = "".join(f"\n  - {fault}" for fault in faults)
        raise SdkError(f"Invalid models.json schema:{listed}\n\nFile: {path}")
    return providers


# --- text -------------------------------------------------------------------------------------

_STRING = r'"(?:[^"\\]++|\\.)*+"'
_COMMENT = re.compile(rf"({_STRING})|//[^\n]*", re.DOTALL)
_TRAILING_COMMA = re.compile(rf"({_STRING})|,(?=\s*[}}\]])", re.DOTALL)


def parse_relaxed_json(text: str) -> JsonValue:
    """The value of JSON with `//` comments and trailing commas, behind at most one BOM.

    Raises ValueError.
    """
    text = text.removeprefix("\ufeff")
    for pattern in (_COMMENT, _TRAILING_COMMA):
        text = pattern.sub(lambda match: match[1] or "", text)
    return parse_json(text)


# --- shape ------------------------------------------------------------------------------------


def _check(value: JsonValue) -> tuple[dict[str, ProviderConfig], list[str]]:
    """The providers, and what is wrong with them: one fault for each."""
    if not isinstance(value, dict):
        return {}, ["root: Expected `object`"]
    told: JsonValue = cast("JsonObject", value).get("providers")
    if not isinstance(told, dict):
        return {}, ["providers: Expected `object`"]
    providers: dict[str, ProviderConfig] = {}
    faults: list[str] = []
    for name, record in cast("dict[str, Any]", told).items():
        try:
            providers[name] = from_json_value(record, ProviderConfig)
        except msgspec.ValidationError as error:
            reason, _, where = str(error).partition(" - at `$")
            faults.append(f"providers.{name}{where.rstrip('`')}: {reason}")
    return providers, faults
