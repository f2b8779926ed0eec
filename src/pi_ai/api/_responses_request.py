"""Builds the body and headers of a request to the Responses API. Pure.

Source: spec of openai-responses, sections 3.5 and 7.1 to 7.3;
https://platform.openai.com/docs/api-reference/responses/create.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from pi_ai.api._grammar import resolve_grammar_inputs
from pi_ai.api._openai_request import SummaryOptions, Wishes, build_headers, resolve_wishes
from pi_ai.api._options import require_messages
from pi_ai.api._responses_compat import ResponsesCompat
from pi_ai.api._responses_messages import InputSettings, build_input
from pi_ai.api._responses_tools import declare_tool
from pi_ai.ids import short_hash
from pi_ai.thinking import resolve_sampling_params
from pi_ai.transcript import get_declared_tools, resolve_transcript, resolve_transcript_tools
from pi_ai.types import (
    CacheRetention,
    JsonObject,
    Message,
    Model,
    StreamOptions,
)

__all__ = (
    "OPENAI_BASE_URL",
    "REASONING_CONTENT",
    "ResponsesOptions",
    "ResponsesRequest",
    "build_request",
    "cache_key",
    "effort_of",
    "header_session_id",
    "input_fields",
    "limit_fields",
    "reasoning_fields",
    "uses_chatgpt_login",
)

OPENAI_BASE_URL = "https://api.openai.com/v1"
REASONING_CONTENT = "reasoning.encrypted_content"
"""What to include so that reasoning can be sent back, to a server that stores nothing."""

_LEAST_OUTPUT_TOKENS = 16
_MOST_KEY_CHARS = 64
_LOGIN_LACKS = (
    "max_output_tokens",
    "temperature",
    "prompt_cache_retention",
    "prompt_cache_options",
)
"""Fields that api.openai.com refuses from a ChatGPT login."""


class ResponsesOptions(SummaryOptions, kw_only=True, frozen=True):
    """Options that only `openai-responses` has; they replace the neutral `reasoning`.

    With them only what the caller names is limited: no output limit is sent by default.
    `tool_choice` is any value the server takes. `service_tier`, such as `flex` or `priority`,
    changes the price.
    """

    service_tier: str | None = None


class ResponsesRequest(Struct, frozen=True):
    """A request ready to send, and what the decoder needs to know of it.

    `effort`: the one that the server is told inside the conversation, if it is told there.
    """

    headers: dict[str, str]
    body: JsonObject
    grammar_inputs: Mapping[str, str]
    effort: str | None


def build_request(
    model: Model,
    messages: Sequence[Message],
    options: StreamOptions,
    adapter: ResponsesOptions | None,
    *,
    api_key: str | None,
    extra_headers: Mapping[str, str | None],
    retention: CacheRetention,
) -> ResponsesRequest:
    """Everything that is sent for one request, from the transcript and the options."""
    compat = ResponsesCompat(model)
    wanted = resolve_wishes(model, messages, options, adapter)
    login = uses_chatgpt_login(model, api_key)
    effort = None
    if compat.effort_in_place and wanted.effort and not login:
        effort = effort_of(model, wanted.effort)
    sent, tools, inputs = input_fields(model, messages, compat, effort=effort)
    require_messages(sent)
    session_id = options.get("session_id") if retention != "none" else None
    body: JsonObject = {"model": model.id, "input": sent, "stream": True, "store": False}
    if compat.cache_key and session_id:
        body["prompt_cache_key"] = cache_key(session_id)
    body.update(_retention_fields(compat, retention))
    body.update(limit_fields(options, wanted, limited=compat.max_output_tokens))
    if adapter is not None and adapter.service_tier is not None:
        body["service_tier"] = adapter.service_tier
    if tools:
        body["tools"] = tools
    body.update(reasoning_fields(model, wanted, in_place=effort is not None))
    if login:
        for name in _LOGIN_LACKS:
            body.pop(name, None)
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
    return ResponsesRequest(headers, body, inputs, effort)


def uses_chatgpt_login(model: Model, api_key: str | None) -> bool:
    """Whether the key is an access token of "Sign in with ChatGPT"."""
    official = model.provider == "openai" and model.base_url in (OPENAI_BASE_URL, "")
    return official and api_key is not None and not api_key.startswith("sk-")


# --- fields that several of the Responses formats have ------------------------------------------


def input_fields(
    model: Model,
    messages: Sequence[Message],
    compat: ResponsesCompat,
    *,
    effort: str | None = None,
    leading_text: bool = True,
) -> tuple[list[JsonObject], list[JsonObject], Mapping[str, str]]:
    """The input, the tools that stand beside it, and for tools with a grammar their parameter."""
    transcript = resolve_transcript(messages, compat.system_in_place)
    tools, folded = resolve_transcript_tools(transcript, compat.tool_support)
    inputs = resolve_grammar_inputs(get_declared_tools(messages), supported=compat.grammar_tools)
    settings = InputSettings(compat, inputs, folded, leading_text, effort)
    sent = build_input(model, transcript, settings)
    return sent, [declare_tool(tool, compat) for tool in tools], inputs


def cache_key(session_id: str) -> str:
    """The session as the server keys its cache, in as many characters as it takes."""
    return session_id[:_MOST_KEY_CHARS]


def header_session_id(session_id: str) -> str:
    """The session as a header can carry it: as it is, or hashed."""
    fits = len(session_id) <= _MOST_KEY_CHARS and session_id.isascii() and session_id.isprintable()
    return session_id if fits else short_hash(session_id)


def limit_fields(options: StreamOptions, wanted: Wishes, *, limited: bool = True) -> JsonObject:
    """The output limit, the temperature and the choice of tools, where they are given."""
    fields: JsonObject = {}
    if wanted.max_tokens and limited:
        fields["max_output_tokens"] = max(wanted.max_tokens, _LEAST_OUTPUT_TOKENS)
    if (temperature := options.get("temperature")) is not None:
        fields["temperature"] = temperature
    if wanted.tool_choice is not None:
        fields["tool_choice"] = wanted.tool_choice
    return fields


def effort_of(model: Model, level: str) -> str:
    """A level in the provider's words."""
    return (model.thinking_level_map or {}).get(level) or level


def reasoning_fields(model: Model, wanted: Wishes, *, in_place: bool = False) -> JsonObject:
    """How hard to think, for models that reason, and that reasoning is to be sent whole.

    `in_place`: the conversation says how hard.
    """
    if not model.reasoning:
        return {}
    include: JsonObject = {"include": [REASONING_CONTENT]}
    if wanted.effort or wanted.summary:
        effort = effort_of(model, wanted.effort or "medium")
        # A later effort in the conversation overrules this one, which must not change with it.
        told = "medium" if in_place else effort
        return {"reasoning": {"effort": told, "summary": wanted.summary or "auto"}, **include}
    fields = include if model.provider == "xai" else {}
    off = (model.thinking_level_map or {}).get("off", "none")
    if off is not None and model.provider != "github-copilot":
        fields = {"reasoning": {"effort": off or "none"}, **fields}
    return fields


def _retention_fields(compat: ResponsesCompat, retention: CacheRetention) -> JsonObject:
    long = retention == "long" and compat.long_cache
    if not compat.explicit_cache:
        return {"prompt_cache_retention": "24h"} if long else {}
    if retention == "none":
        return {"prompt_cache_options": {"mode": "explicit"}}
    return {"prompt_cache_options": {"ttl": "30m"}} if long else {}


def _affinity_headers(compat: ResponsesCompat, session_id: str | None) -> dict[str, str]:
    if not session_id:
        return {}
    match compat.affinity_format:
        case "openrouter":
            names = ["x-session-id"]
        case "openai-nosession":
            names = ["x-client-request-id"]
        case _:
            names = ["session-id", "x-client-request-id"]
    return dict.fromkeys(names, header_session_id(session_id))
