"""What a response costs."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from pi_ai import cost as c
from pi_ai.types import Cost, CostTier, Model, ModelCost, Usage
from pi_ai.wire import encode

M = Model(
    id="m",
    api="anthropic-messages",
    provider="p",
    cost=ModelCost(input=3, output=15, cache_read=0.3, cache_write=3.75),
)
TIERED = ModelCost(
    input=1,
    output=2,
    cache_read=0.1,
    cache_write=1.25,
    tiers=[CostTier(200_000, 2, 4, 0.2, 2.5), CostTier(100, 10, 20, 1, 12.5)],
)


def near(expected: float) -> Any:
    return pytest.approx(expected, abs=1e-12)


def test_ai_core_check_01_every_part_is_priced_and_summed() -> None:
    usage = Usage(input=1000, output=500, cache_read=2000, cache_write=300, cache_write_1h=100)
    cost = c.calculate_cost(M, usage)
    assert cost is usage.cost
    assert cost.input == near(0.003)
    assert cost.output == near(0.0075)
    assert cost.cache_read == near(0.0006)
    assert cost.cache_write == near(0.00135)
    assert cost.total == near(0.01245)
    assert cost.total_from_provider is False


def test_zero_usage_costs_nothing_and_says_who_counted() -> None:
    assert encode(c.calculate_cost(M, Usage())) == (
        b'{"input":0.0,"output":0.0,"cacheRead":0.0,"cacheWrite":0.0,"total":0.0,'
        b'"totalFromProvider":false}'
    )


def test_an_earlier_cost_object_is_left_alone() -> None:
    usage = Usage(input=1000)
    first = c.calculate_cost(M, usage)
    usage.input = 2000
    c.calculate_cost(M, usage)
    assert first.input == near(0.003)


@pytest.mark.parametrize(
    ("usage", "input_cost"),
    [
        pytest.param(Usage(input=100), 100 * 1, id="100-base"),
        pytest.param(Usage(input=101), 101 * 10, id="101-middle-tier"),
        pytest.param(Usage(input=200_000), 200_000 * 10, id="200000-middle-tier"),
        pytest.param(Usage(input=200_001), 200_001 * 2, id="200001-top-tier"),
        pytest.param(
            Usage(input=50, cache_read=30, cache_write=21), 50 * 10, id="the-whole-prompt-counts"
        ),
        pytest.param(Usage(input=50, output=1_000_000), 50 * 1, id="output-does-not"),
    ],
)
def test_ai_core_check_02_the_highest_tier_reached_prices_all(
    usage: Usage, input_cost: float
) -> None:
    assert c.price_usage(TIERED, usage).input == near(input_cost / 1e6)


def test_a_tier_prices_every_part() -> None:
    usage = Usage(input=50, output=10, cache_read=30, cache_write=21, cache_write_1h=1)
    assert c.price_usage(TIERED, usage) == Cost(
        near(50 * 10 / 1e6),
        near(10 * 20 / 1e6),
        near(30 / 1e6),
        near((20 * 12.5 + 2 * 10) / 1e6),
        near((500 + 200 + 30 + 270) / 1e6),
        total_from_provider=False,
    )


def test_more_written_for_an_hour_than_written_costs_no_less_than_all_of_it() -> None:
    cost = c.price_usage(M.cost, Usage(cache_write=100, cache_write_1h=300))
    assert cost.cache_write == near(100 * 2 * 3 / 1e6)


# --- without a price --------------------------------------------------------------------------

FREE = replace(M, cost=ModelCost())
NO_PRICE = [
    pytest.param(FREE, Usage(input=1), True, id="input"),
    pytest.param(FREE, Usage(output=1), True, id="output"),
    pytest.param(FREE, Usage(cache_read=1), True, id="cache-read"),
    pytest.param(FREE, Usage(cache_write=1), True, id="cache-write"),
    pytest.param(FREE, Usage(), None, id="nothing-counted"),
    pytest.param(M, Usage(input=1), None, id="priced"),
    pytest.param(
        replace(M, cost=ModelCost(output=1)), Usage(input=1), None, id="priced-in-another-part"
    ),
    pytest.param(
        replace(M, cost=ModelCost(tiers=[CostTier(9, 1, 1, 1, 1)])),
        Usage(input=1),
        None,
        id="priced-above-a-threshold",
    ),
]


@pytest.mark.parametrize(("model", "usage", "unpriced"), NO_PRICE)
def test_tokens_without_a_listed_price_are_marked(
    model: Model, usage: Usage, unpriced: bool | None
) -> None:
    cost = c.calculate_cost(model, usage)
    assert cost.unpriced is unpriced
    assert (b'"unpriced":true' in encode(cost)) is bool(unpriced)
    assert (b"unpriced" in encode(cost)) is bool(unpriced)
    assert c.has_known_price(model) is (model is not FREE)


def test_a_bill_is_a_price() -> None:
    usage = Usage(input=1000)
    free = replace(OPENROUTER, cost=ModelCost())
    c.calculate_cost(free, usage)
    assert c.apply_billed_cost(free, usage, {"cost": 0.5}).unpriced is True
    billed = c.apply_billed_cost(free, usage, {"is_byok": False, "cost": 0.5})
    assert (billed.total, billed.unpriced) == (0.5, None)


def test_a_service_tier_prices_nothing_that_has_no_price() -> None:
    usage = Usage(input=1000)
    c.calculate_cost(FREE, usage)
    assert c.apply_service_tier(FREE, usage, requested="flex", served=None).unpriced is True


def test_a_sum_without_one_of_its_prices_is_marked() -> None:
    priced, free, none = Usage(input=1), Usage(input=1), Usage()
    c.calculate_cost(M, priced)
    c.calculate_cost(FREE, free)
    assert c.sum_usage([priced, free]).cost.unpriced is True
    assert c.sum_usage([priced, none]).cost.unpriced is None


# --- service tiers ----------------------------------------------------------------------------

RESPONSES = Model(
    id="gpt-x",
    api="openai-responses",
    provider="openai",
    cost=ModelCost(input=1, output=2, cache_read=0.1, cache_write=1),
)
CODEX = replace(RESPONSES, api="openai-codex-responses")
GPT_55 = replace(RESPONSES, id="gpt-5.5")


@pytest.mark.parametrize(
    ("model", "requested", "served", "total"),
    [
        pytest.param(RESPONSES, "priority", "default", 0.912, id="served-default"),
        pytest.param(CODEX, "priority", "default", 1.824, id="codex-served-default"),
        pytest.param(CODEX, "flex", "default", 0.456, id="codex-flex-served-default"),
        pytest.param(RESPONSES, None, "flex", 0.456, id="served-flex"),
        pytest.param(RESPONSES, "flex", None, 0.456, id="requested-flex"),
        pytest.param(RESPONSES, "flex", "priority", 1.824, id="served-wins"),
        pytest.param(GPT_55, "priority", None, 2.28, id="gpt-5.5-priority"),
        pytest.param(RESPONSES, "fast", None, 1.824, id="fast"),
        pytest.param(GPT_55, "fast", None, 2.28, id="gpt-5.5-fast"),
        pytest.param(CODEX, "fast", None, 0.912, id="codex-fast"),
        pytest.param(RESPONSES, None, None, 0.912, id="none"),
        pytest.param(RESPONSES, "auto", "scale", 0.912, id="others"),
    ],
)
def test_ai_core_check_03_service_tiers_scale_the_cost(
    model: Model, requested: str | None, served: str | None, total: float
) -> None:
    usage = Usage(input=850_000, output=1000, cache_read=100_000, cache_write=50_000)
    c.calculate_cost(model, usage)
    cost = c.apply_service_tier(model, usage, requested=requested, served=served)
    assert cost is usage.cost
    assert cost.total == near(total)
    assert cost.total == near(cost.input + cost.output + cost.cache_read + cost.cache_write)


OPENROUTER = Model(
    id="x/y",
    api="openai-completions",
    provider="openrouter",
    cost=ModelCost(input=1, output=1),
)
ESTIMATE = 0.002
BYOK = {"upstream_inference_prompt_cost": 1, "upstream_inference_completions_cost": 2}


@pytest.mark.parametrize(
    ("reported", "total"),
    [
        pytest.param({"is_byok": False, "cost": 0.5}, 0.5, id="billed"),
        pytest.param({"is_byok": False, "cost": 0}, 0, id="free"),
        pytest.param(
            {"is_byok": True, "cost": 0.05, "cost_details": {"upstream_inference_cost": 2.0}},
            2.05,
            id="own-key",
        ),
        pytest.param(
            {
                "is_byok": True,
                "cost": 0.05,
                "cost_details": {"upstream_inference_cost": None, **BYOK},
            },
            3.05,
            id="own-key-in-parts",
        ),
        pytest.param({"is_byok": True, "cost": 0.5}, None, id="own-key-without-details"),
        pytest.param(
            {"is_byok": True, "cost": 0.5, "cost_details": []}, None, id="details-of-another-kind"
        ),
        pytest.param(
            {
                "is_byok": True,
                "cost": 0.5,
                "cost_details": {"upstream_inference_prompt_cost": 1},
            },
            None,
            id="half-of-the-details",
        ),
        pytest.param(
            {
                "is_byok": True,
                "cost": 0.5,
                "cost_details": {"upstream_inference_cost": -1, **BYOK},
            },
            None,
            id="negative-details",
        ),
        pytest.param({"cost": 0.5}, None, id="unknown-whose-key"),
        pytest.param({"is_byok": 0, "cost": 0.5}, None, id="no-boolean"),
        pytest.param({"is_byok": False}, None, id="no-cost"),
        pytest.param({"is_byok": False, "cost": "0.5"}, None, id="text"),
        pytest.param({"is_byok": False, "cost": True}, None, id="boolean-cost"),
        pytest.param({"is_byok": False, "cost": -0.5}, None, id="negative"),
        pytest.param({"is_byok": False, "cost": float("inf")}, None, id="infinite"),
    ],
)
def test_ai_core_check_66_openrouter_bill_replaces_the_total(
    reported: dict[str, Any], total: float | None
) -> None:
    usage = Usage(input=1000, output=1000)
    c.calculate_cost(OPENROUTER, usage)
    c.apply_billed_cost(OPENROUTER, usage, reported)
    billed = total is not None
    assert usage.cost == Cost(
        near(0.001), near(0.001), 0, 0, near(total if billed else ESTIMATE), billed
    )


def test_openrouter_is_also_known_by_its_url() -> None:
    usage = Usage()
    by_url = replace(M, base_url="https://openrouter.ai/api/v1")
    assert c.apply_billed_cost(by_url, usage, {"is_byok": False, "cost": 0.5}).total == 0.5


def test_other_providers_bills_are_not_believed() -> None:
    usage = Usage()
    assert c.apply_billed_cost(M, usage, {"is_byok": False, "cost": 0.5}) == Cost()


def test_usages_add_up() -> None:
    one = Usage(1, 2, 3, 4, 1, 2, 10, Cost(1, 2, 3, 4, 10, total_from_provider=True))
    two = Usage(10, 20, 30, 40, None, None, 100, Cost(10, 20, 30, 40, 100))
    both = c.sum_usage([one, two])
    assert both == Usage(
        11, 22, 33, 44, 1, 2, 110, Cost(11, 22, 33, 44, 110, total_from_provider=False)
    )
    assert c.sum_usage([one, one]).cost.total_from_provider is True
    assert c.sum_usage([two]).reasoning is None
    assert c.sum_usage([]) == Usage(cost=Cost(total_from_provider=False))
