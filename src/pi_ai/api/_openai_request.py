"""What requests in OpenAI's formats have in common: the caller's wishes, the headers. Pure.

Source: providers spec, sections 3.7 and 4.2; spec of openai-responses, sections 2.1 and 7.1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

from msgspec import Struct

from pi_ai.estimate import clamp_max_tokens, estimate_context_tokens
from pi_ai.http.transport import merge_headers
from pi_ai.identity import copilot_headers, identity_headers
from pi_ai.thinking import clamp_thinking_level
from pi_ai.types import JsonValue, Message, Model, Reasoning, StreamOptions

__all__ = (
    "EffortOptions",
    "ReasoningSummary",
    "SummaryOptions",
    "Wishes",
    "build_headers",
    "neutral_effort",
    "resolve_wishes",
)

ReasoningSummary: TypeAlias = Literal["auto", "detailed", "concise"]


class EffortOptions(Struct, kw_only=True, frozen=True):
    """What the adapters' own options have in common; they replace the neutral `reasoning`.

    `tool_choice` is any value the server takes.
    """

    reasoning_effort: Reasoning | None = None
    tool_choice: JsonValue = None


class SummaryOptions(EffortOptions, kw_only=True, frozen=True):
    """As `EffortOptions`, for servers that sum their reasoning up."""

    reasoning_summary: ReasoningSummary | None = None


class Wishes(Struct, frozen=True, kw_only=True):
    """The caller's wishes, whichever way they were told."""

    effort: Reasoning | None
    summary: ReasoningSummary | None = None
    max_tokens: int | None
    tool_choice: JsonValue


def resolve_wishes(
    model: Model,
    messages: Sequence[Message],
    options: StreamOptions,
    adapter: EffortOptions | None,
) -> Wishes:
    """What the adapter's options say, or the neutral ones, whose limit fits the context window."""
    limit = options.get("max_tokens")
    if adapter is not None:
        return Wishes(
            effort=adapter.reasoning_effort,
            summary=adapter.reasoning_summary if isinstance(adapter, SummaryOptions) else None,
            max_tokens=limit,
            tool_choice=adapter.tool_choice,
        )
    return Wishes(
        effort=neutral_effort(model, options),
        max_tokens=clamp_max_tokens(
            model,
            model.max_tokens if limit is None else limit,
            estimate_context_tokens(messages).tokens,
        ),
        tool_choice=options.get("tool_choice"),
    )


def neutral_effort(model: Model, options: StreamOptions) -> Reasoning | None:
    """The neutral `reasoning` as far as the model goes, None for no thinking."""
    level = options.get("reasoning")
    clamped = clamp_thinking_level(model, level) if level else "off"
    return None if clamped == "off" else clamped


def build_headers(
    model: Model,
    messages: Sequence[Message],
    options: StreamOptions,
    *,
    api_key: str | None,
    affinity: Mapping[str, str],
    extra: Mapping[str, str | None],
) -> dict[str, str]:
    """All headers. `extra` wins over `affinity`, Copilot's, the model's and ours, in that order.

    `affinity` keeps the requests of a session together.
    """
    own = {"Accept": "application/json", **identity_headers(model, options.get("identity"))}
    if api_key:
        own["Authorization"] = f"Bearer {api_key}"
    merged = merge_headers(own, model.headers, copilot_headers(model, messages), affinity, extra)
    return {name: value for name, value in merged.items() if value is not None}
