"""The options that only `anthropic-messages` has."""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct

from pi_ai.types import JsonObject

__all__ = ("AnthropicOptions", "Effort")

Effort: TypeAlias = Literal["low", "medium", "high", "xhigh", "max"]
"""How hard to think, in the provider's words."""


class AnthropicOptions(Struct, kw_only=True, frozen=True):
    """Options that only `anthropic-messages` has; they replace the neutral `reasoning`.

    `tool_choice`: `auto`, `any`, `none` or `{"type": "tool", "name": ...}`.
    """

    thinking_enabled: bool | None = None
    thinking_budget_tokens: int | None = None
    effort: Effort | None = None
    thinking_display: str | None = None
    interleaved_thinking: bool = True
    tool_choice: Literal["auto", "any", "none"] | JsonObject | None = None
