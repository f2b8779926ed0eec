"""The headers of an Anthropic Messages request: credentials, betas, session. Pure.

Source: providers spec, section 5.2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pi_ai.api._anthropic_compat import AnthropicCompat
from pi_ai.api._anthropic_thinking import Thinking
from pi_ai.http.transport import merge_headers
from pi_ai.identity import copilot_headers, identity_headers
from pi_ai.subscription import ClaudeSubscription
from pi_ai.types import Message, Model, StreamOptions

__all__ = ("build_betas", "build_headers", "uses_subscription")


def uses_subscription(model: Model, api_key: str | None, subscription: ClaudeSubscription) -> bool:
    """Whether the key is an access token of a Claude subscription."""
    own = model.provider != "github-copilot"
    return own and api_key is not None and subscription.token_mark in api_key


def build_betas(
    model: Model,
    compat: AnthropicCompat,
    thinking: Thinking,
    *,
    subscription: ClaudeSubscription | None,
    has_tools: bool,
    in_place: bool,
) -> list[str]:
    """The features to ask for that are not open to everybody, in the order they are sent.

    `in_place`: changes of the tools stand in the conversation.
    """
    betas: list[str] = [*subscription.betas] if subscription else []
    if has_tools and not compat.eager_tool_input:
        betas.append("fine-grained-tool-streaming-2025-05-14")
    by_budget = thinking.enabled and thinking.interleaved and not compat.adaptive_thinking
    if model.reasoning and by_budget:
        betas.append("interleaved-thinking-2025-05-14")
    if compat.fallback_models:
        betas.append("server-side-fallback-2026-07-01")
    if compat.effort_in_place:
        betas += ["mid-conversation-output-config-2026-07-01"]
        betas += ["thinking-binding-controls-2026-08-01"]
    if in_place:
        betas.append("inline-tools-2026-09-15")
    return betas


def build_headers(
    model: Model,
    messages: Sequence[Message],
    options: StreamOptions,
    compat: AnthropicCompat,
    *,
    api_key: str | None,
    subscription: ClaudeSubscription | None,
    extra: Mapping[str, str | None],
    betas: Sequence[str],
    session_id: str | None,
) -> dict[str, str]:
    """All headers. `extra` wins over the model's, which win over ours.

    `subscription`: what to say of the sender; None for an API key. `session_id`: the session that
    caching may tie the request to.
    """
    own: dict[str, str | None] = {
        "Accept": "application/json",
        "anthropic-version": "2023-06-01",
        "anthropic-dangerous-direct-browser-access": "true",
    }
    if subscription and api_key:
        own |= subscription.headers(api_key)
    else:
        own |= identity_headers(model, options.get("identity"))
        if api_key and model.provider == "github-copilot":
            own["Authorization"] = f"Bearer {api_key}"
        elif api_key:
            own["x-api-key"] = api_key
        if session_id and compat.affinity_headers:
            openrouter = compat.affinity_format == "openrouter"
            own["x-session-id" if openrouter else "x-session-affinity"] = session_id
    merged = merge_headers(own, model.headers, copilot_headers(model, messages), extra)
    told = {name.lower(): value for name, value in merged.items()}
    if "anthropic-beta" in told:
        betas = [part.strip() for part in (told["anthropic-beta"] or "").split(",")]
        merged = {name: v for name, v in merged.items() if name.lower() != "anthropic-beta"}
    if joined := ",".join(dict.fromkeys(beta for beta in betas if beta)):
        merged["anthropic-beta"] = joined
    return {name: value for name, value in merged.items() if value is not None}
