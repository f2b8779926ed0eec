"""What a response costs, in USD.

Source: ai-core spec, section 4.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import cast

from msgspec.structs import replace

from pi_ai.types import Cost, CostTier, JsonObject, JsonValue, Model, ModelCost, Usage

__all__ = (
    "apply_billed_cost",
    "apply_service_tier",
    "calculate_cost",
    "has_known_price",
    "price_usage",
    "sum_usage",
)

_PER_TOKEN = 1_000_000
"""Prices are per million tokens."""


def calculate_cost(model: Model, usage: Usage) -> Cost:
    """Sets `usage.cost` to the price of `usage` on `model`, and returns it."""
    usage.cost = price_usage(model.cost, usage)
    return usage.cost


def has_known_price(model: Model) -> bool:
    """Whether `model` has a price; without one its requests count as free, which few are.

    A provider that bills a request itself tells its price all the same: see
    `Cost.total_from_provider`. Of a single request `Cost.unpriced` says it.
    """
    return _is_listed(model.cost)


def _is_listed(prices: ModelCost) -> bool:
    rates = (prices.input, prices.output, prices.cache_read, prices.cache_write)
    return any(rates) or bool(prices.tiers)


def price_usage(prices: ModelCost, usage: Usage) -> Cost:
    """The cost of `usage` at `prices`.

    The tier with the highest threshold below the prompt's length prices the whole request. Cache
    writes that live for an hour cost twice the input price. The cost of tokens for which no price
    is listed is 0 and says so: `unpriced`.
    """
    prompt_tokens = usage.input + usage.cache_read + usage.cache_write
    rate = _rate(prices, prompt_tokens)
    written_1h = min(usage.cache_write_1h or 0, usage.cache_write)
    written = rate.cache_write * (usage.cache_write - written_1h) + 2 * rate.input * written_1h
    cost = _with_total(
        rate.input / _PER_TOKEN * usage.input,
        rate.output / _PER_TOKEN * usage.output,
        rate.cache_read / _PER_TOKEN * usage.cache_read,
        written / _PER_TOKEN,
    )
    if prompt_tokens + usage.output > 0 and not _is_listed(prices):
        cost.unpriced = True
    return cost


def _rate(prices: ModelCost, prompt_tokens: int) -> ModelCost | CostTier:
    reached = [tier for tier in prices.tiers or () if tier.input_tokens_above < prompt_tokens]
    return max(reached, key=lambda tier: tier.input_tokens_above, default=prices)


def _with_total(input: float, output: float, cache_read: float, cache_write: float) -> Cost:
    total = input + output + cache_read + cache_write
    return Cost(input, output, cache_read, cache_write, total, total_from_provider=False)


# --- OpenAI service tiers ---------------------------------------------------------------------


def apply_service_tier(
    model: Model, usage: Usage, *, requested: str | None, served: str | None
) -> Cost:
    """Scales `usage.cost` to the service tier of an OpenAI response, and returns it.

    `served` is the tier the response names, `requested` the one that was asked for.
    """
    codex = model.api == "openai-codex-responses"
    tier = served or requested
    # The subscription backend says `default` for tiers that it grants all the same.
    if codex and served == "default" and requested in ("flex", "priority"):
        tier = requested
    factor = _tier_factor(model, tier, fast_is_priority=not codex)
    if factor != 1:
        cost = usage.cost
        usage.cost = _with_total(
            cost.input * factor,
            cost.output * factor,
            cost.cache_read * factor,
            cost.cache_write * factor,
        )
        usage.cost.unpriced = cost.unpriced
    return usage.cost


def _tier_factor(model: Model, tier: str | None, *, fast_is_priority: bool) -> float:
    if tier == "flex":
        return 0.5
    if tier == "priority" or (tier == "fast" and fast_is_priority):
        return 2.5 if model.id == "gpt-5.5" else 2
    return 1


# --- OpenRouter -------------------------------------------------------------------------------


def apply_billed_cost(model: Model, usage: Usage, reported: JsonObject) -> Cost:
    """Sets the total of `usage.cost` to what OpenRouter billed, and returns the cost.

    `reported` is the usage object of the response. With a key of the user's own at the upstream
    provider (`is_byok`), that provider's price is added. The parts stay estimates, and so does
    the total for other providers and for incomplete reports. A total that was billed is a price:
    `unpriced` goes.
    """
    if model.provider == "openrouter" or "openrouter.ai" in model.base_url:
        total = _billed_total(reported)
        if total is not None:
            usage.cost = replace(usage.cost, total=total, total_from_provider=True, unpriced=None)
    return usage.cost


def _billed_total(reported: JsonObject) -> float | None:
    cost = _amount(reported.get("cost"))
    match reported.get("is_byok"):
        case False:
            return cost
        case True:
            details: JsonValue = reported.get("cost_details")
            upstream = None
            if isinstance(details, dict):
                upstream = _upstream_cost(cast("JsonObject", details))
            return None if cost is None or upstream is None else cost + upstream
        case _:
            return None


def _upstream_cost(details: JsonObject) -> float | None:
    whole: JsonValue = details.get("upstream_inference_cost")
    if whole is not None:
        return _amount(whole)
    prompt = _amount(details.get("upstream_inference_prompt_cost"))
    completions = _amount(details.get("upstream_inference_completions_cost"))
    return None if prompt is None or completions is None else prompt + completions


def _amount(value: JsonValue) -> float | None:
    """`value` if it is an amount of money: a finite number, 0 or more."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if math.isfinite(value) and value >= 0 else None


# --- sums -------------------------------------------------------------------------------------


def sum_usage(usages: Iterable[Usage]) -> Usage:
    """All usages together.

    The total is the provider's only if every one of them is, and `unpriced` if any of them is.
    """
    parts = list(usages)
    costs = [part.cost for part in parts]
    return Usage(
        input=sum(part.input for part in parts),
        output=sum(part.output for part in parts),
        cache_read=sum(part.cache_read for part in parts),
        cache_write=sum(part.cache_write for part in parts),
        cache_write_1h=_sum_known(part.cache_write_1h for part in parts),
        reasoning=_sum_known(part.reasoning for part in parts),
        total_tokens=sum(part.total_tokens for part in parts),
        cost=Cost(
            input=sum(cost.input for cost in costs),
            output=sum(cost.output for cost in costs),
            cache_read=sum(cost.cache_read for cost in costs),
            cache_write=sum(cost.cache_write for cost in costs),
            total=sum(cost.total for cost in costs),
            total_from_provider=bool(costs) and all(cost.total_from_provider for cost in costs),
            unpriced=any(cost.unpriced for cost in costs) or None,
        ),
    )


def _sum_known(counts: Iterable[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None
