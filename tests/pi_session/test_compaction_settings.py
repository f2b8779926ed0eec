"""The `compaction` settings."""

from __future__ import annotations

from typing import Any

import pytest

from pi_ai.types import Model
from pi_session import (
    CompactionSettings,
    CompactionSettingsError,
    fit_settings_to_window,
    resolve_compaction_settings,
)

MODEL = Model(id="m", api="x", provider="p")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param(None, CompactionSettings(), id="none"),
        pytest.param({}, CompactionSettings(), id="empty"),
        pytest.param({"enabled": False}, CompactionSettings(enabled=False), id="disabled"),
        pytest.param(
            {"reserveTokens": 5.0, "keepRecentTokens": 0},
            CompactionSettings(reserve_tokens=5, keep_recent_tokens=0),
            id="ordinary",
        ),
        pytest.param(
            {"reserveTokens": 5, "modelOverrides": {"p/m": {"reserveTokens": 7}}},
            CompactionSettings(reserve_tokens=7),
            id="override",
        ),
        pytest.param(
            {"reserveTokens": 5, "modelOverrides": {"P/m": {"reserveTokens": 7}}},
            CompactionSettings(reserve_tokens=5),
            id="other-case",
        ),
        pytest.param(
            {"keepRecentTokens": 5, "modelOverrides": {"p/m": {"reserveTokens": 7}}},
            CompactionSettings(reserve_tokens=7, keep_recent_tokens=5),
            id="each-on-its-own",
        ),
    ],
)
def test_settings_of_a_model(given: dict[str, Any] | None, expected: CompactionSettings) -> None:
    assert resolve_compaction_settings(given, MODEL) == expected


INTEGER = "Expected a non-negative safe integer."
OVERRIDE = 'compaction.modelOverrides["p/m"]'


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"reserveTokens": "x"}, f"Invalid compaction.reserveTokens setting: x. {INTEGER}"),
        ({"reserveTokens": None}, f"Invalid compaction.reserveTokens setting: null. {INTEGER}"),
        ({"reserveTokens": -1}, f"Invalid compaction.reserveTokens setting: -1. {INTEGER}"),
        ({"reserveTokens": True}, f"Invalid compaction.reserveTokens setting: true. {INTEGER}"),
        ({"keepRecentTokens": 5.5}, f"Invalid compaction.keepRecentTokens setting: 5.5. {INTEGER}"),
        (
            {"keepRecentTokens": 2**53},
            f"Invalid compaction.keepRecentTokens setting: {2**53}. {INTEGER}",
        ),
        (
            {"reserveTokens": "x", "modelOverrides": {"p/m": {"reserveTokens": 7}}},
            f"Invalid compaction.reserveTokens setting: x. {INTEGER}",
        ),
        (
            {"modelOverrides": {"p/m": {"keepRecentTokens": "q"}}},
            f"Invalid {OVERRIDE}.keepRecentTokens setting: q. {INTEGER}",
        ),
        (
            {"modelOverrides": {"p/m": 5}},
            f"Invalid {OVERRIDE} setting: 5. Expected an object.",
        ),
        (
            {"modelOverrides": []},
            "Invalid compaction.modelOverrides setting: []. Expected an object.",
        ),
        ({"enabled": "no"}, "Invalid compaction.enabled setting: no. Expected true or false."),
    ],
    ids=str,
)
def test_bad_settings_are_named(given: dict[str, Any], text: str) -> None:
    with pytest.raises(CompactionSettingsError) as caught:
        resolve_compaction_settings(given, MODEL)
    assert str(caught.value) == text
    assert caught.value.field in text


@pytest.mark.parametrize(
    ("window", "reserve", "keep"),
    [(0, 16_384, 20_000), (200_000, 16_384, 20_000), (32_768, 16_384, 8192), (8192, 4096, 2048)],
)
def test_small_windows_leave_room_for_both(window: int, reserve: int, keep: int) -> None:
    fitted = fit_settings_to_window(CompactionSettings(enabled=False), window)
    assert fitted == CompactionSettings(
        enabled=False, reserve_tokens=reserve, keep_recent_tokens=keep
    )
