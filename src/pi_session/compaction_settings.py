"""When to compact and how much to keep: the `compaction` object of the settings.

Source: session spec, section 14.1.
"""

from __future__ import annotations

from typing import cast

from msgspec import Struct
from msgspec.structs import replace

from pi_ai.json_text import js_json
from pi_ai.types import JsonObject, JsonValue, Model
from pi_session.errors import CompactionSettingsError

__all__ = (
    "BRANCH_SUMMARY_RESERVE_TOKENS",
    "CompactionSettings",
    "fit_settings_to_window",
    "resolve_compaction_settings",
)

BRANCH_SUMMARY_RESERVE_TOKENS = 16_384
"""What a branch summary's request leaves of the model's window: `branchSummary.reserveTokens`."""


class CompactionSettings(Struct, frozen=True, kw_only=True):
    """How a context is compacted.

    `enabled` concerns automatic compaction only, which starts when fewer than `reserve_tokens`
    of the window are left. About `keep_recent_tokens` at the end stay verbatim.
    """

    enabled: bool = True
    reserve_tokens: int = 16_384
    keep_recent_tokens: int = 20_000


def resolve_compaction_settings(
    compaction: JsonObject | None, model: Model | None = None
) -> CompactionSettings:
    """The settings for `model`; each number is its override, else the ordinary one, else default.

    `compaction` is that object of the settings, in upstream's keys. Raises
    `CompactionSettingsError`, which names the field, for numbers that are none.
    """
    given = compaction or {}
    enabled: JsonValue = given.get("enabled", True)
    if not isinstance(enabled, bool):
        raise CompactionSettingsError("compaction.enabled", _shown(enabled), "true or false")
    overrides, name = _overrides(given, model)
    return CompactionSettings(
        enabled=enabled,
        reserve_tokens=_tokens(given, overrides, "reserveTokens", name=name, default=16_384),
        keep_recent_tokens=_tokens(given, overrides, "keepRecentTokens", name=name, default=20_000),
    )


def fit_settings_to_window(settings: CompactionSettings, context_window: int) -> CompactionSettings:
    """`settings` with numbers that leave room in a window of so many tokens; 0 means unknown.

    The reserve takes at most half of the window, what is kept at most half of the rest. Without
    this, a window no larger than the reserve would be compacted before every request, and one
    that what is kept fills would never get smaller.
    """
    if context_window <= 0:
        return settings
    reserve = min(settings.reserve_tokens, context_window // 2)
    keep = min(settings.keep_recent_tokens, (context_window - reserve) // 2)
    return replace(settings, reserve_tokens=reserve, keep_recent_tokens=keep)


def _overrides(given: JsonObject, model: Model | None) -> tuple[JsonObject, str]:
    """What `modelOverrides` says of `model`, and the path of that for errors."""
    overrides: JsonValue = given.get("modelOverrides", {})
    if not isinstance(overrides, dict):
        raise CompactionSettingsError("compaction.modelOverrides", _shown(overrides), "an object")
    if model is None:
        return {}, ""
    key = f"{model.provider}/{model.id}"
    name = f'compaction.modelOverrides["{key}"]'
    found: JsonValue = cast("JsonObject", overrides).get(key, {})
    if not isinstance(found, dict):
        raise CompactionSettingsError(name, _shown(found), "an object")
    return cast("JsonObject", found), name


def _tokens(
    given: JsonObject, overrides: JsonObject, field: str, *, name: str, default: int
) -> int:
    ordinary = _checked(given, field, "compaction")
    override = _checked(overrides, field, name)
    if override is not None:
        return override
    return default if ordinary is None else ordinary


def _checked(values: JsonObject, field: str, name: str) -> int | None:
    if field not in values:
        return None
    value: JsonValue = values[field]
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**53:
        expected = "a non-negative safe integer"
        raise CompactionSettingsError(f"{name}.{field}", _shown(value), expected)
    return value


def _shown(value: JsonValue) -> str:
    return value if isinstance(value, str) else js_json(value)
