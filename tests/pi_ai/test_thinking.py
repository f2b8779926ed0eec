"""Thinking levels, budgets and sampling parameters."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from pi_ai import thinking as t
from pi_ai.types import JsonObject, Model, Reasoning, ThinkingBudgets

PLAIN = Model(id="m", api="x", provider="p")
REASONING = replace(PLAIN, reasoning=True)
GPT_55: dict[str, str | None] = {
    "off": "none",
    "minimal": None,
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "xhigh",
    "max": None,
}
NOTHING = dict.fromkeys(["off", "minimal", "low", "medium", "high"])


def mapped(levels: dict[str, str | None]) -> Model:
    return replace(REASONING, thinking_level_map=levels)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        pytest.param(PLAIN, "off", id="not-reasoning"),
        pytest.param(
            replace(PLAIN, thinking_level_map={"high": "high"}), "off", id="map-alone-is-nothing"
        ),
        pytest.param(REASONING, "off minimal low medium high", id="no-map"),
        pytest.param(mapped({"xhigh": "xhigh"}), "off minimal low medium high xhigh", id="xhigh"),
        pytest.param(
            mapped({"max": "max", "xhigh": None}),
            "off minimal low medium high max",
            id="max-without-xhigh",
        ),
        pytest.param(mapped(GPT_55), "off low medium high xhigh", id="gpt-5.5"),
        pytest.param(mapped(NOTHING), "", id="none-at-all"),
    ],
)
def test_ai_core_check_04_supported_levels(model: Model, expected: str) -> None:
    assert t.get_supported_thinking_levels(model) == expected.split()


@pytest.mark.parametrize(
    ("model", "level", "expected"),
    [
        pytest.param(mapped({"off": None, "minimal": None, "low": "low"}), "off", "low", id="up"),
        pytest.param(
            mapped({"off": None, "minimal": None, "low": "low"}), "xhigh", "high", id="down"
        ),
        pytest.param(mapped({"max": "max", "xhigh": None}), "xhigh", "max", id="up-first"),
        pytest.param(mapped(GPT_55), "max", "xhigh", id="gpt-5.5-max"),
        pytest.param(mapped(GPT_55), "minimal", "low", id="gpt-5.5-minimal"),
        pytest.param(mapped(NOTHING), "high", "off", id="nothing-supported"),
        pytest.param(PLAIN, "high", "off", id="not-reasoning"),
        pytest.param(REASONING, "medium", "medium", id="supported"),
        pytest.param(mapped({"off": None}), "huge", "minimal", id="unknown-level"),
    ],
)
def test_ai_core_check_05_clamping(model: Model, level: str, expected: str) -> None:
    assert t.clamp_thinking_level(model, level) == expected


@pytest.mark.parametrize(
    ("base", "limit", "level", "budgets", "expected"),
    [
        pytest.param(None, 8192, "high", None, (8192, 7168), id="no-base"),
        pytest.param(4096, 64000, "high", None, (20480, 16384), id="on-top"),
        pytest.param(None, 1000, "low", None, (1000, 0), id="no-room"),
        pytest.param(100, 64000, "max", {"high": 30000}, (30100, 30000), id="own-budget"),
        pytest.param(0, 64000, "low", None, (2048, 1024), id="base-zero"),
        pytest.param(4096, 64000, "low", {"high": 1}, (6144, 2048), id="other-level"),
    ],
)
def test_ai_core_check_06_output_limit_makes_room_for_thinking(
    base: int | None,
    limit: int,
    level: Reasoning,
    budgets: ThinkingBudgets | None,
    expected: tuple[int, int],
) -> None:
    assert t.adjust_max_tokens_for_thinking(base, limit, level, budgets) == expected


def test_default_budgets() -> None:
    levels: list[Reasoning] = ["minimal", "low", "medium", "high", "xhigh", "max"]
    assert [t.get_thinking_budget(level) for level in levels] == [
        1024,
        2048,
        8192,
        16384,
        16384,
        16384,
    ]


def test_a_budget_of_zero_is_a_budget() -> None:
    assert t.get_thinking_budget("low", {"low": 0}) == 0


SAMPLED = replace(
    REASONING,
    sampling_params={"top_p": 0.9, "a": 1},
    sampling_params_by_thinking_level={"high": {"a": 2, "b": 3}, "off": {"a": 0}},
)


@pytest.mark.parametrize(
    ("reasoning", "requested", "expected"),
    [
        pytest.param("xhigh", {"b": 4}, {"top_p": 0.9, "a": 2, "b": 4}, id="clamped-to-high"),
        pytest.param(None, None, {"top_p": 0.9, "a": 0}, id="off"),
        pytest.param("low", None, {"top_p": 0.9, "a": 1}, id="level-without-own"),
    ],
)
def test_ai_core_check_08_sampling_parameters_are_merged_per_key(
    reasoning: Reasoning | None, requested: JsonObject | None, expected: JsonObject
) -> None:
    assert t.resolve_sampling_params(SAMPLED, reasoning, requested) == expected
    assert SAMPLED.sampling_params == {"top_p": 0.9, "a": 1}


def test_no_sampling_parameters_are_none() -> None:
    assert t.resolve_sampling_params(REASONING, "high", None) is None
    assert t.resolve_sampling_params(REASONING, "high", {}) == {}
