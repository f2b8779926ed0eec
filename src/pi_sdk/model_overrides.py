"""Models with what models.json says of them on top.

Objects are merged field by field, everything else is replaced. Source: sdk spec, section 8.1.
"""

from __future__ import annotations

from typing import TypeVar, cast

import msgspec

from pi_ai import JsonObject, JsonValue, Model, ModelCost
from pi_ai.types import Compat, InputLimits
from pi_sdk.models_json import CostOverride, ModelOverride

__all__ = ("merge_compat", "override_model")

T = TypeVar("T")

_NESTED_COMPAT = frozenset(
    {"openRouterRouting", "vercelGatewayRouting", "chatTemplateKwargs", "chatTemplateArgs"}
)


def override_model(model: Model, told: ModelOverride) -> Model:
    """`model` with every field that `told` has; its headers are not the model's business."""
    levels = cast("JsonObject | None", model.sampling_params_by_thinking_level)
    own_levels = cast("JsonObject | None", told.sampling_params_by_thinking_level)
    return msgspec.structs.replace(
        model,
        name=told.name or model.name,
        reasoning=model.reasoning if told.reasoning is None else told.reasoning,
        input=model.input if told.input is None else told.input,
        cost=_cost(model.cost, told.cost),
        context_window=told.context_window or model.context_window,
        max_tokens=told.max_tokens or model.max_tokens,
        thinking_level_map=_fields(model.thinking_level_map, told.thinking_level_map),
        input_limits=_limits(model.input_limits, told.input_limits),
        prompt_cache=_fields(model.prompt_cache, told.prompt_cache),
        sampling_params=_fields(model.sampling_params, told.sampling_params),
        sampling_params_by_thinking_level=cast(
            "dict[str, JsonObject] | None", _objects(levels, own_levels)
        ),
        compat=merge_compat(model.compat, told.compat),
    )


def merge_compat(base: Compat | None, over: Compat | None) -> Compat | None:
    """Both, the second first; the objects that hold parameters merge one level deeper."""
    if base is None or over is None:
        return over if base is None else base
    nested = {key: base[key] for key in _NESTED_COMPAT & base.keys() & over.keys()}
    return {**base, **over, **(_objects(nested, {key: over[key] for key in nested}) or {})}


def _fields(base: dict[str, T] | None, over: dict[str, T] | None) -> dict[str, T] | None:
    return base if over is None else {**(base or {}), **over}


def _objects(base: JsonObject | None, over: JsonObject | None) -> JsonObject | None:
    """As `_fields`, and the objects in both are merged too."""
    merged = _fields(base, over)
    for name, value in (over or {}).items():
        below: JsonValue = (base or {}).get(name)
        if merged is not None and isinstance(below, dict) and isinstance(value, dict):
            merged[name] = _fields(cast("JsonObject", below), cast("JsonObject", value))
    return merged


def _cost(cost: ModelCost, told: CostOverride | None) -> ModelCost:
    if told is None:
        return cost
    given = {
        name: value for name, value in msgspec.structs.asdict(told).items() if value is not None
    }
    return msgspec.structs.replace(cost, **given)


def _limits(base: InputLimits | None, over: InputLimits | None) -> InputLimits | None:
    if base is None or over is None:
        return base if over is None else over
    return InputLimits(
        max_request_bytes=over.max_request_bytes or base.max_request_bytes,
        images=_objects(base.images, over.images),
    )
