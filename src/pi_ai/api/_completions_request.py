"""Builds the body and headers of an OpenAI Chat Completions request. Pure.

Source: providers spec, sections 4.2 to 4.6; https://platform.openai.com/docs/api-reference/chat.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from msgspec import Struct

from pi_ai.api._completions_compat import CompletionsCompat
from pi_ai.api._completions_messages import build_messages
from pi_ai.api._completions_reasoning import reasoning_fields, thinking_budget
from pi_ai.api._completions_tools import declare_tool
from pi_ai.api._grammar import resolve_grammar_inputs
from pi_ai.api._openai_request import EffortOptions, Wishes, build_headers, resolve_wishes
from pi_ai.api._options import require_messages
from pi_ai.thinking import resolve_sampling_params
from pi_ai.transcript import (
    get_declared_tools,
    resolve_transcript,
    resolve_transcript_tools,
)
from pi_ai.types import (
    AssistantMessage,
    CacheRetention,
    JsonObject,
    JsonValue,
    Message,
    Model,
    StreamOptions,
    Tool,
    ToolCall,
    ToolResultMessage,
)

__all__ = ("CompletionsOptions", "CompletionsRequest", "build_request")


class CompletionsOptions(EffortOptions, kw_only=True, frozen=True):
    """Options that only `openai-completions` has; they replace the neutral `reasoning`.

    With them only what the caller names is limited: no output limit is sent by default.
    `tool_choice` is any value the server takes.
    """


class CompletionsRequest(Struct, frozen=True):
    """A request ready to send, and what the decoder needs to know of it.

    `grammar_inputs`: for each tool with a grammar, the parameter that takes the text.
    """

    headers: dict[str, str]
    body: JsonObject
    grammar_inputs: Mapping[str, str]


def build_request(
    model: Model,
    messages: Sequence[Message],
    options: StreamOptions,
    adapter: CompletionsOptions | None,
    *,
    compat: CompletionsCompat,
    api_key: str | None,
    extra_headers: Mapping[str, str | None],
    retention: CacheRetention,
) -> CompletionsRequest:
    """Everything that is sent for one request, from the transcript and the options."""
    wanted = resolve_wishes(model, messages, options, adapter)
    transcript = resolve_transcript(messages, compat.system_in_place)
    in_place = "additions" if compat.tools_in_place else "none"
    tools, folded = resolve_transcript_tools(transcript, in_place)
    inputs = resolve_grammar_inputs(get_declared_tools(messages), supported=compat.grammar_tools)
    sent = build_messages(model, transcript, compat, grammar_inputs=inputs, folded_messages=folded)
    require_messages(sent)
    body: JsonObject = {"model": model.id, "messages": sent, "stream": True}
    session_id = options.get("session_id") if retention != "none" else None
    body.update(_cache_fields(model, compat, session_id, retention))
    if compat.usage_in_streaming:
        body["stream_options"] = {"include_usage": True}
    if compat.store:
        body["store"] = False
    if wanted.max_tokens:
        body[compat.max_tokens_field] = wanted.max_tokens
    if (temperature := options.get("temperature")) is not None:
        body["temperature"] = temperature
    body.update(_tool_fields(tools, messages, compat))
    if wanted.tool_choice is not None:
        body["tool_choice"] = wanted.tool_choice
    if compat.vllm_priority is not None:
        body["priority"] = compat.vllm_priority
    body.update(_thinking_fields(model, options, compat, wanted))
    body.update(_routing_fields(compat))
    if compat.cache_control and retention != "none":
        _mark_for_cache(body, long=retention == "long" and bool(compat.long_cache))
    sampling = resolve_sampling_params(model, wanted.effort, options.get("sampling_params"))
    body.update(sampling or {})
    headers = build_headers(
        model,
        messages,
        options,
        api_key=api_key,
        affinity=_affinity_headers(compat, session_id),
        extra=extra_headers,
    )
    return CompletionsRequest(headers, body, inputs)


def _thinking_fields(
    model: Model, options: StreamOptions, compat: CompletionsCompat, wanted: Wishes
) -> JsonObject:
    budget = thinking_budget(
        model, wanted.effort, wanted.max_tokens, options.get("thinking_budgets")
    )
    fields = reasoning_fields(model, compat, wanted.effort, budget)
    if budget and compat.thinking_budget_field:
        fields[compat.thinking_budget_field] = budget
    return fields


def _routing_fields(compat: CompletionsCompat) -> JsonObject:
    fields: JsonObject = {}
    if compat.openrouter_routing is not None:
        fields["provider"] = compat.openrouter_routing
    routing = {
        key: compat.vercel_routing[key] for key in ("only", "order") if key in compat.vercel_routing
    }
    if routing:
        fields["providerOptions"] = {"gateway": routing}
    return fields


def _cache_fields(
    model: Model, compat: CompletionsCompat, session_id: str | None, retention: CacheRetention
) -> JsonObject:
    fields: JsonObject = {}
    long = retention == "long" and compat.long_cache
    mode = compat.cache_key_mode
    by_default = mode == "auto" and ("api.openai.com" in model.base_url or long)
    if session_id and (mode == "enabled" or by_default):
        fields["prompt_cache_key"] = session_id[:64]
    if long:
        fields["prompt_cache_retention"] = "24h"
    return fields


# --- tools ------------------------------------------------------------------------------------


def _tool_fields(
    tools: Sequence[Tool], messages: Sequence[Message], compat: CompletionsCompat
) -> JsonObject:
    if tools:
        fields: JsonObject = {"tools": [declare_tool(tool, compat) for tool in tools]}
        if compat.zai_tool_stream:
            fields["tool_stream"] = True
        return fields
    return {"tools": []} if compat.tools_with_history and _has_tool_history(messages) else {}


def _has_tool_history(messages: Sequence[Message]) -> bool:
    return any(
        isinstance(message, ToolResultMessage)
        or (
            isinstance(message, AssistantMessage)
            and any(isinstance(block, ToolCall) for block in message.content)
        )
        for message in messages
    )


# --- cache marks ------------------------------------------------------------------------------


def _mark_for_cache(body: JsonObject, *, long: bool) -> None:
    """Put Anthropic's cache marks on the prompt, the last tool and the last text."""
    marker: JsonObject = {"type": "ephemeral"}
    if long:
        marker["ttl"] = "1h"
    messages: list[JsonObject] = body["messages"]
    for message in messages:
        if message["role"] in {"system", "developer"}:
            _mark_text(message, marker)
            break
    if body.get("tools"):
        body["tools"][-1]["cache_control"] = marker
    for message in reversed(messages):
        if message["role"] in {"user", "assistant", "tool"} and _mark_text(message, marker):
            break


def _mark_text(message: JsonObject, marker: JsonObject) -> bool:
    content: JsonValue = message.get("content")
    if isinstance(content, str) and content.strip():
        message["content"] = [{"type": "text", "text": content, "cache_control": marker}]
        return True
    parts = cast("list[JsonObject]", content) if isinstance(content, list) else []
    for part in reversed(parts):
        if part["type"] == "text" and part["text"].strip():
            part["cache_control"] = marker
            return True
    return False


# --- headers ----------------------------------------------------------------------------------


def _affinity_headers(compat: CompletionsCompat, session_id: str | None) -> dict[str, str]:
    if not session_id or not compat.affinity_headers:
        return {}
    match compat.affinity_format:
        case "openrouter":
            names = ["x-session-id"]
        case "openai-nosession":
            names = ["x-client-request-id", "x-session-affinity"]
        case _:
            names = ["session_id", "x-client-request-id", "x-session-affinity"]
    return dict.fromkeys(names, session_id)
