"""From references to models: sdk spec, sections 8.5 and 8.6."""

from __future__ import annotations

import pytest

from pi_ai import Model, Models, ProviderSpec
from pi_sdk import ModelChoiceError
from pi_sdk.model_choice import (
    choose_initial_model,
    match_model,
    match_start_model,
    restore_model,
)
from pi_session import SessionModel


def collection(**providers: list[str]) -> Models:
    """Providers and their model ids; those whose name ends in `_off` have no key."""
    models = Models(())
    for name, ids in providers.items():
        models.set_provider(
            ProviderSpec(name, needs_key=name.endswith("_off")),
            [
                Model(
                    id=model_id, api="openai-completions", provider=name, base_url="http://h.test"
                )
                for model_id in ids
            ],
        )
    return models


def name(model: Model) -> str:
    return f"{model.provider}/{model.id}"


DATED = ["big-model-20240101", "big-model-20250101", "big-model"]


@pytest.mark.parametrize(
    ("providers", "reference", "expected", "level"),
    [
        ({"zed": ["m"]}, "m", "zed/m", None),
        ({"zed": ["m"]}, "ZED/M", "zed/m", None),
        ({"zed": ["m"]}, "m:high", "zed/m", "high"),
        ({"zed": ["m"]}, "zed/m:HIGH", "zed/m", "high"),
        ({"zed": ["m", "m:high"]}, "m:high", "zed/m:high", None),
        ({"zed": DATED}, "BIG", "zed/big-model", None),
        ({"zed": DATED[:2]}, "BIG", "zed/big-model-20250101", None),
        ({"zed": ["a-20250101", "a-20240101-latest"]}, "a-", "zed/a-20240101-latest", None),
        ({"a_off": ["m"], "zed": ["m"]}, "m", "zed/m", None),
        ({"a_off": ["mx"], "zed": ["my"]}, "m", "zed/my", None),
        ({"a": ["m"], "zed": ["m"]}, "zed/m", "zed/m", None),
        ({"a": ["m"], "b": ["a/m"]}, "a/m", "a/m", None),
        ({"a_off": ["m"], "b": ["a_off/m"]}, "a_off/m", "b/a_off/m", None),
        ({"a": ["org/new-model"], "b": ["new-model-2"]}, "a/new", "a/org/new-model", None),
    ],
    ids=[
        "id",
        "provider and id, any case",
        "level",
        "provider, id and level",
        "literal id with a level wins",
        "sdk_check_40_undated_before_dated",
        "sdk_check_40_the_later_of_two_dated",
        "latest counts as undated",
        "the one with credentials",
        "fuzzy among those with credentials",
        "provider named",
        "provider/id before an id with a slash",
        "an id with a slash if only that can be used",
        "part of an id of a named provider",
    ],
)
def test_references_find_models(providers, reference, expected, level):
    choice = match_model(collection(**providers), reference)
    assert (name(choice.model), choice.thinking_level) == (expected, level)


@pytest.mark.parametrize(
    ("providers", "hint"),
    [
        ({"a": ["m"], "b": ["m"]}, "More than one matching provider is authenticated."),
        ({"a_off": ["m"], "b_off": ["m"]}, "No matching provider is authenticated."),
    ],
    ids=["two with credentials", "none with credentials"],
)
def test_sdk_check_40_the_same_id_on_two_providers_is_ambiguous(providers, hint):
    with pytest.raises(ModelChoiceError) as raised:
        match_model(collection(**providers), "m")
    first, second = providers
    assert str(raised.value) == (
        f'Model "m" is ambiguous across providers: {first}/m, {second}/m. {hint} '
        "Use --provider or provider/model."
    )


@pytest.mark.parametrize(
    ("reference", "provider", "text"),
    [
        ("gpt-9", None, 'Model "gpt-9" not found. Did you mean: zed/gpt-8?'),
        ("", None, 'Model "" not found.'),
        ("m", "zedd", 'Unknown provider "zedd". Did you mean: zed?'),
        ("gpt-8:wat", None, 'Model "gpt-8:wat" not found. Did you mean: zed/gpt-8?'),
    ],
)
def test_unknown_references_list_near_matches(reference, provider, text):
    with pytest.raises(ModelChoiceError) as raised:
        match_model(collection(zed=["gpt-8", "other"]), reference, provider=provider)
    assert str(raised.value) == text


@pytest.mark.parametrize(
    ("reference", "provider", "model_id", "level"),
    [
        ("zed/m:wat", None, "m:wat", None),
        ("new", "zed", "new", None),
        ("new:high", "zed", "new", "high"),
    ],
    ids=["sdk_check_40_unknown_suffix_stays", "provider option", "level"],
)
def test_a_known_provider_takes_an_unknown_id_at_its_word(reference, provider, model_id, level):
    choice = match_start_model(collection(zed=["m"]), reference, provider=provider)
    assert (name(choice.model), choice.model.name) == (f"zed/{model_id}", model_id)
    assert choice.thinking_level == level
    assert choice.warning == (
        f'Model "{model_id}" not found for provider "zed". Using custom model id.'
    )


@pytest.mark.parametrize("reference", ["nope", "nope/x", "empty/x", "zed/"])
def test_without_a_known_provider_an_unknown_id_stays_unknown(reference):
    with pytest.raises(ModelChoiceError):
        match_start_model(collection(zed=["m"], empty=[]), reference)


def test_the_first_model_that_can_be_used_is_the_initial_one():
    assert choose_initial_model(collection(a_off=["x"])) is None
    initial = choose_initial_model(collection(a_off=["x"], b=["z", "y"]))
    assert initial is not None
    assert name(initial) == "b/z"


def test_a_well_known_model_is_preferred(monkeypatch):
    monkeypatch.setenv("GROQ_API_KEY", "k")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "k")
    initial = choose_initial_model(Models())
    assert initial is not None
    assert name(initial) == "anthropic/claude-sonnet-4-5"


def test_a_recorded_model_is_restored_if_it_can_be_used():
    models = collection(a_off=["x"], b=["y"])
    restored = restore_model(models, SessionModel("b", "y"))
    assert restored is not None
    assert name(restored) == "b/y"
    assert restore_model(models, SessionModel("a_off", "x")) is None
    assert restore_model(models, SessionModel("b", "Y")) is None
