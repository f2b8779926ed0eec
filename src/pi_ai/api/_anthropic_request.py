"""Builds the body and headers of an Anthropic Messages request. Pure.

Source: providers spec, sections 5.1 to 5.5; https://docs.anthropic.com/en/api/messages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from pi_ai.api._anthropic_compat import AnthropicCompat
from pi_ai.api._anthropic_headers import build_betas, build_headers, uses_subscription
from pi_ai.api._anthropic_messages import build_messages, text_block
from pi_ai.api._anthropic_options import AnthropicOptions
from pi_ai.api._anthropic_thinking import effort_message, resolve_thinking, thinking_fields
from pi_ai.api._anthropic_tools import ToolWriter, resolve_initial_tools
from pi_ai.api._options import require_messages
from pi_ai.subscription import ClaudeSubscription
from pi_ai.transcript import (
    get_current_tools,
    get_initial_system_message,
    get_system_message_text,
    resolve_transcript,
)
from pi_ai.types import CacheRetention, JsonObject, Message, Model, StreamOptions, Tool

__all__ = ("AnthropicRequest", "build_request")


class AnthropicRequest(Struct, frozen=True):
    """A request ready to send, and what the decoder needs to know of it.

    `subscription`: it is one of a subscription, which spells names of tools its own way. `tools`
    are those in force. `relaxable`: it has strict tools that need not be strict.
    """

    headers: dict[str, str]
    body: JsonObject
    subscription: bool
    tools: Sequence[Tool]
    effort: str | None
    relaxable: bool


def build_request(
    model: Model,
    messages: Sequence[Message],
    options: StreamOptions,
    adapter: AnthropicOptions | None,
    *,
    api_key: str | None,
    subscription: ClaudeSubscription,
    extra_headers: Mapping[str, str | None],
    retention: CacheRetention,
    prefers_strict: bool,
) -> AnthropicRequest:
    """Everything that is sent for one request, from the transcript and the options.

    `prefers_strict` False: only tools that require strict sampling get it. Raises ValueError for
    what cannot be said in this format.
    """
    compat = AnthropicCompat(model)
    account = subscription if uses_subscription(model, api_key, subscription) else None
    thinking = resolve_thinking(model, messages, options, adapter, compat)
    transcript = resolve_transcript(messages, compat.system_in_place)
    tools = get_current_tools(transcript)
    initial = resolve_initial_tools(transcript, compat)
    writer = ToolWriter(compat, account, prefers_strict=prefers_strict, in_place=bool(initial))
    marker = _cache_marker(retention, compat)
    effort = (thinking.effort or "high") if compat.effort_in_place else None
    sent = build_messages(model, transcript, compat, writer)
    require_messages(sent)
    _finish_messages(sent, marker, effort)
    body: JsonObject = {"model": model.id, "messages": sent, "max_tokens": thinking.max_tokens}
    body["stream"] = True
    if system := _system_blocks(transcript, account, marker):
        body["system"] = system
    if compat.temperature and effort is None and not (model.reasoning and thinking.enabled):
        body.update(_temperature_field(options))
    if listed := initial or tools:
        body["tools"] = writer.tools(listed, marker)
    body.update(thinking_fields(model, thinking, compat))
    body.update(_caller_fields(options, adapter, writer) | _fallback_field(compat))
    betas = build_betas(
        model,
        compat,
        thinking,
        subscription=account,
        has_tools=bool(tools),
        in_place=writer.in_place,
    )
    headers = build_headers(
        model,
        messages,
        options,
        compat,
        api_key=api_key,
        subscription=account,
        extra=extra_headers,
        betas=betas,
        session_id=options.get("session_id") if retention != "none" else None,
    )
    return AnthropicRequest(headers, body, account is not None, tools, effort, writer.relaxable)


def _temperature_field(options: StreamOptions) -> JsonObject:
    temperature = options.get("temperature")
    return {} if temperature is None else {"temperature": temperature}


def _fallback_field(compat: AnthropicCompat) -> JsonObject:
    models = [{"model": fallback["model"]} for fallback in compat.fallback_models]
    return {"fallbacks": models} if models else {}


def _caller_fields(
    options: StreamOptions, adapter: AnthropicOptions | None, tools: ToolWriter
) -> JsonObject:
    fields: JsonObject = {}
    user_id = (options.get("metadata") or {}).get("user_id")
    if isinstance(user_id, str):
        fields["metadata"] = {"user_id": user_id}
    choice = options.get("tool_choice") if adapter is None else adapter.tool_choice
    if isinstance(choice, str):
        fields["tool_choice"] = {"type": choice}
    elif choice:
        name = choice.get("name")
        named = {"name": tools.name(name)} if isinstance(name, str) else {}
        fields["tool_choice"] = {**choice, **named}
    return fields


# --- prompt and cache marks -------------------------------------------------------------------


def _cache_marker(retention: CacheRetention, compat: AnthropicCompat) -> JsonObject | None:
    if retention == "none":
        return None
    if retention == "long" and compat.long_cache:
        return {"type": "ephemeral", "ttl": "1h"}
    return {"type": "ephemeral"}


def _system_blocks(
    transcript: Sequence[Message],
    subscription: ClaudeSubscription | None,
    marker: JsonObject | None,
) -> list[JsonObject]:
    initial = get_initial_system_message(transcript)
    prompt = get_system_message_text(initial) if initial else ""
    texts = [subscription.system_prompt if subscription else "", prompt]
    blocks = [text_block(text, marker) for text in texts]
    return [block for block in blocks if block["text"].strip()]


_MARKABLE = {"text", "image", "tool_result", "tool_addition", "tool_removal"}


def _finish_messages(
    messages: list[JsonObject], marker: JsonObject | None, effort: str | None
) -> None:
    """Mark the conversation for caching, and set the effort of the answer behind it."""
    _mark_last_message(messages, marker)
    if effort is not None:
        messages.append(effort_message(effort))


def _mark_last_message(messages: list[JsonObject], marker: JsonObject | None) -> None:
    """Ask for the conversation so far to be cached."""
    if not marker or not messages or messages[-1]["role"] == "assistant":
        return
    last = messages[-1]
    content: str | list[JsonObject] = last["content"]
    if isinstance(content, str):
        last["content"] = [text_block(content, marker)]
    elif content and content[-1]["type"] in _MARKABLE:
        content[-1]["cache_control"] = marker
