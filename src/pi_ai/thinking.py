"""Thinking levels: which ones a model has, and what a level means for a request.

Source: ai-core spec, sections 5 and 7.4.
"""

from __future__ import annotations

from typing import NamedTuple

from pi_ai.types import (
    THINKING_LEVELS,
    JsonObject,
    Model,
    Reasoning,
    ThinkingBudgets,
    ThinkingLevel,
)

__all__ = (
    "ThinkingTokens",
    "adjust_max_tokens_for_thinking",
    "clamp_thinking_level",
    "get_supported_thinking_levels",
    "get_thinking_budget",
    "resolve_sampling_params",
)

_MUST_BE_MAPPED = ("xhigh", "max")
_DEFAULT_BUDGETS = ThinkingBudgets(minimal=1024, low=2048, medium=8192, high=16384)
_LEAST_ANSWER_TOKENS = 1024


def get_supported_thinking_levels(model: Model) -> list[ThinkingLevel]:
    """The levels `model` knows, weakest first.

    A level that `thinking_level_map` maps to None is not there; `xhigh` and `max` are there only
    if it maps them to a string. A model that does not reason has `off` alone.
    """
    if not model.reasoning:
        return ["off"]
    mapped = model.thinking_level_map or {}
    return [
        level
        for level in THINKING_LEVELS
        if mapped.get(level, None if level in _MUST_BE_MAPPED else "") is not None
    ]


def clamp_thinking_level(model: Model, level: str) -> ThinkingLevel:
    """`level` if `model` supports it, else the nearest one above, else the nearest one below.

    A level that does not exist gives the model's first one; a model without any gives `off`.
    """
    supported = get_supported_thinking_levels(model)
    if level not in THINKING_LEVELS or not supported:
        return supported[0] if supported else "off"
    rank = THINKING_LEVELS.index(level)
    for candidate in (*THINKING_LEVELS[rank:], *reversed(THINKING_LEVELS[:rank])):
        if candidate in supported:
            return candidate
    return "off"


def get_thinking_budget(level: Reasoning, budgets: ThinkingBudgets | None = None) -> int:
    """Tokens a model that thinks by budget may think with at `level`; `high` bounds the rest."""
    own = budgets or {}
    match level:
        case "minimal" | "low" | "medium":
            return own.get(level, _DEFAULT_BUDGETS.get(level, 0))
        case "high" | "xhigh" | "max":
            return own.get("high", _DEFAULT_BUDGETS.get("high", 0))


class ThinkingTokens(NamedTuple):
    """The output limit of a request and the part of it that may be thinking, in tokens."""

    max_tokens: int
    thinking_budget: int


def adjust_max_tokens_for_thinking(
    base_max_tokens: int | None,
    model_max_tokens: int,
    level: Reasoning,
    budgets: ThinkingBudgets | None = None,
) -> ThinkingTokens:
    """An output limit with room for the level's thinking on top of `base_max_tokens`.

    Without a base the model's limit holds. Where the limit leaves no room for an answer, the
    budget shrinks, to 0 if need be.
    """
    budget = get_thinking_budget(level, budgets)
    limit = model_max_tokens
    if base_max_tokens is not None:
        limit = min(base_max_tokens + budget, model_max_tokens)
    if limit <= budget:
        budget = min(budget, max(0, limit - _LEAST_ANSWER_TOKENS))
    return ThinkingTokens(limit, budget)


def resolve_sampling_params(
    model: Model, reasoning: Reasoning | None, requested: JsonObject | None
) -> JsonObject | None:
    """The sampling parameters of a request, None if there are none.

    Key by key, `requested` wins over the model's parameters for the level in effect, and these
    over its general ones.
    """
    level = clamp_thinking_level(model, reasoning or "off")
    layers = (
        model.sampling_params,
        (model.sampling_params_by_thinking_level or {}).get(level),
        requested,
    )
    given = [layer for layer in layers if layer is not None]
    if not given:
        return None
    return {key: value for layer in given for key, value in layer.items()}
