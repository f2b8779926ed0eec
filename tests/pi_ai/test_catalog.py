"""The built-in providers and models. ai-core spec, section 14."""

from __future__ import annotations

import json
from importlib.resources import files

import pytest

from pi_ai import Model
from pi_ai.catalog.loader import load_models
from pi_ai.catalog.providers import PROVIDERS
from pi_ai.provider import KNOWN_APIS
from pi_ai.thinking import get_supported_thinking_levels
from pi_ai.wire import to_json_value

FILES = sorted(
    path.name.removesuffix(".json") for path in files("pi_ai.catalog").joinpath("data").iterdir()
)


def test_ai_core_check_64_every_provider_of_upstream_is_known() -> None:
    assert len(PROVIDERS) == 43
    assert all(key == row.id and row.name for key, row in PROVIDERS.items())
    assert set(FILES) <= set(PROVIDERS)


@pytest.mark.parametrize("provider", FILES)
def test_ai_core_check_64_every_model_is_whole_and_can_be_asked(provider: str) -> None:
    models = load_models(provider)
    assert models
    for model_id, model in models.items():
        assert (model.id, model.provider) == (model_id, provider)
        assert model.name
        assert model.api in KNOWN_APIS
        assert model.context_window > 0
        assert model.max_tokens > 0
        assert "text" in model.input
        assert min(model.cost.input, model.cost.output, model.cost.cache_read) >= 0
        assert model.base_url == "" or model.base_url.startswith("https://")


@pytest.mark.parametrize("provider", FILES)
def test_nothing_of_a_file_is_lost_by_reading_it(provider: str) -> None:
    path = files("pi_ai.catalog").joinpath("data", f"{provider}.json")
    stored = json.loads(path.read_text(encoding="utf-8"))
    assert [entry["id"] for entry in stored] == list(load_models(provider))
    for entry in stored:
        assert entry.items() <= to_json_value(load_models(provider)[entry["id"]]).items()


def test_ai_core_check_64_levels_of_a_known_model() -> None:
    model = load_models("anthropic")["claude-sonnet-4-5"]
    levels = get_supported_thinking_levels(model)
    assert list(levels) == ["off", "minimal", "low", "medium", "high"]


def test_a_file_is_read_once_and_cannot_be_changed() -> None:
    models = load_models("anthropic")
    assert load_models("anthropic") is models
    with pytest.raises(TypeError):
        models["x"] = Model(id="x", api="a", provider="p")


def test_a_provider_without_models_here_has_none() -> None:
    assert dict(load_models("no-such-provider")) == {}
