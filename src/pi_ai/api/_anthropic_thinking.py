"""How a Claude model is told to think: by effort or by budget. Pure.

Source: providers spec, section 5.3.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from pi_ai.api._anthropic_compat import AnthropicCompat
from pi_ai.api._anthropic_options import AnthropicOptions
from pi_ai.estimate import clamp_max_tokens, estimate_context_tokens
from pi_ai.thinking import adjust_max_tokens_for_thinking
from pi_ai.types import JsonObject, Message, Model, Reasoning, StreamOptions

__all__ = ("Thinking", "effort_message", "resolve_thinking", "thinking_fields")

_LEAST_THINKING_BUDGET = 1024


class Thinking(Struct, frozen=True):
    """How the model is to think: None where the caller leaves it to the server."""

    enabled: bool | None
    budget: int | None
    effort: str | None
    display: str
    interleaved: bool
    max_tokens: int


def resolve_thinking(
    model: Model,
    messages: Sequence[Message],
    options: StreamOptions,
    adapter: AnthropicOptions | None,
    compat: AnthropicCompat,
) -> Thinking:
    """What the options come to for `model`: how to think, and the output limit in tokens."""
    wanted = options.get("max_tokens")
    if adapter is not None:
        return Thinking(
            adapter.thinking_enabled,
            adapter.thinking_budget_tokens,
            adapter.effort,
            adapter.thinking_display or "summarized",
            adapter.interleaved_thinking,
            model.max_tokens if wanted is None else wanted,
        )
    input_tokens = estimate_context_tokens(messages).tokens
    limit = clamp_max_tokens(model, model.max_tokens if wanted is None else wanted, input_tokens)
    level = options.get("reasoning")
    if level is None:
        return Thinking(False, None, None, "summarized", True, limit)
    if compat.adaptive_thinking:
        return Thinking(True, None, _effort(model, level), "summarized", True, limit)
    adjusted = adjust_max_tokens_for_thinking(
        limit, model.max_tokens, level, options.get("thinking_budgets")
    )
    limit = clamp_max_tokens(model, adjusted.max_tokens, input_tokens)
    budget = min(adjusted.thinking_budget, max(0, limit - 1024))
    return Thinking(True, budget, None, "summarized", True, limit)


def _effort(model: Model, level: Reasoning) -> str:
    """A thinking level in Anthropic's words."""
    mapped = (model.thinking_level_map or {}).get(level)
    if isinstance(mapped, str):
        return mapped
    return {"minimal": "low", "low": "low", "medium": "medium"}.get(level, "high")


def thinking_fields(model: Model, thinking: Thinking, compat: AnthropicCompat) -> JsonObject:
    """The body's fields that say how to think."""
    off_is_unsupported = "off" in (model.thinking_level_map or {}) and (
        (model.thinking_level_map or {})["off"] is None
    )
    adaptive: JsonObject = {"type": "adaptive", "display": thinking.display}
    if model.reasoning and thinking.enabled is False and not off_is_unsupported:
        return {"thinking": {"type": "disabled"}}
    if compat.effort_in_place:
        adaptive["block_binding"] = {"prefix_mismatch_behavior": "drop_block"}
        return {"thinking": adaptive, "output_config": {"effort": "low"}}
    if not (model.reasoning and thinking.enabled):
        return {}
    if compat.adaptive_thinking:
        fields: JsonObject = {"thinking": adaptive}
        if thinking.effort:
            fields["output_config"] = {"effort": thinking.effort}
        return fields
    if thinking.budget is not None and thinking.budget < 1:
        return {"thinking": {"type": "disabled"}}  # no room left for the least budget
    budget = thinking.budget or _LEAST_THINKING_BUDGET
    return {"thinking": {"type": "enabled", "budget_tokens": budget, "display": thinking.display}}


def effort_message(effort: str) -> JsonObject:
    """The message that sets the effort from where it stands on."""
    return {"role": "system", "content": [], "output_config": {"effort": effort}}
