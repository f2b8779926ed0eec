"""Patterns to the models that cycling goes through: sdk spec, section 8.5."""

from __future__ import annotations

import pytest

from pi_ai import Model, Models, ProviderSpec
from pi_sdk.model_scope import match_scope


@pytest.fixture
def models() -> Models:
    models = Models(())
    for provider, *ids in (
        ("acme", "big-20250101", "big", "small", "odd:high"),
        ("zed", "big", "org/tiny", "old-20240101", "old-20250101"),
    ):
        spec = ProviderSpec(provider, needs_key=False)
        models.set_provider(spec, [Model(id=name, api="a", provider=provider) for name in ids])
    models.set_provider(
        ProviderSpec("locked", env=("LOCKED_KEY",)), [Model(id="x", api="a", provider="locked")]
    )
    return models


@pytest.mark.parametrize(
    ("patterns", "expected", "warnings"),
    [
        ("small", "acme/small", []),
        ("ACME/Big", "acme/big", []),
        ("acme/*", "acme/big-20250101 acme/big acme/small acme/odd:high", []),
        ("acme/s?all:low", "acme/small:low", []),
        ("*/tiny", "zed/org/tiny", []),
        ("org/tiny:high", "zed/org/tiny:high", []),
        ("odd:high", "acme/odd:high", []),
        ("smal,acme/small:low", "acme/small", []),
        ("small:low,small", "acme/small:low", []),
        ("old", "zed/old-20250101", []),
        (
            "big:max",
            "acme/big:max zed/big:max",
            [
                'Pattern "big" matches several providers: acme/big, zed/big. '
                "Use provider/id to choose one."
            ],
        ),
        (
            "small:bogus",
            "acme/small",
            ['Invalid thinking level "bogus" in pattern "small:bogus". Using default instead.'],
        ),
        (
            "nope,small,locked/*",
            "acme/small",
            ['No models match pattern "nope"', 'No models match pattern "locked/*"'],
        ),
        (":low", "", ['No models match pattern ":low"']),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_patterns_name_models_that_can_be_used(models, patterns, expected, warnings):
    scope = match_scope(models, patterns.split(","))
    found = [
        f"{one.model.provider}/{one.model.id}"
        + (f":{one.thinking_level}" if one.thinking_level else "")
        for one in scope.entries
    ]
    assert found == expected.split()
    assert list(scope.warnings) == warnings
