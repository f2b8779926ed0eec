"""Builds a request to the Codex backend of ChatGPT: account, URL, headers, body. Pure.

Source: spec of openai-codex-responses, section 8.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Literal

from msgspec import Struct

from pi_ai.api._openai_request import neutral_effort
from pi_ai.api._options import require_messages
from pi_ai.api._responses_compat import ResponsesCompat
from pi_ai.api._responses_request import (
    REASONING_CONTENT,
    cache_key,
    header_session_id,
    input_fields,
)
from pi_ai.auth.oauth.codex_tokens import read_account_id
from pi_ai.errors import ModelsError
from pi_ai.http.transport import merge_headers
from pi_ai.identity import identity_headers
from pi_ai.ids import uuid7
from pi_ai.json_text import sanitize_surrogates
from pi_ai.provider import Call
from pi_ai.subscription import CHATGPT_SUBSCRIPTION
from pi_ai.transcript import (
    get_initial_system_message,
    get_system_message_text,
    resolve_transcript,
)
from pi_ai.types import JsonObject, Message, Model, Reasoning, StreamOptions

__all__ = (
    "CodexOptions",
    "build_body",
    "build_socket_headers",
    "build_sse_headers",
    "codex_url",
    "compress",
    "require_account_id",
    "socket_url",
)

_DEFAULT_BASE_URL = "https://chatgpt.com/backend-api"
_ZSTD_LEVEL = 3
_ZSTD_MODULES = ("compression.zstd", "zstandard")  # of Python 3.14; of the extra [zstd]


class CodexOptions(Struct, kw_only=True, frozen=True):
    """Options that only `openai-codex-responses` has; they replace the neutral `reasoning`.

    `reasoning_effort` `none` says that the model is not to think, None leaves it to its default.
    `service_tier`, such as `flex` or `priority`, changes the price.
    """

    reasoning_effort: Reasoning | Literal["none"] | None = None
    reasoning_summary: Literal["auto", "detailed", "concise", "off", "on"] | None = None
    service_tier: str | None = None
    text_verbosity: Literal["low", "medium", "high"] | None = None
    tool_choice: Literal["auto", "none", "required"] | None = None


def require_account_id(token: str | None) -> str:
    """The ChatGPT account that an access token belongs to.

    Raises `ModelsError` for a missing token, and `OAuthError` for one without an account.
    """
    if not token:
        raise ModelsError("No API key for provider: openai-codex", code="auth")
    return read_account_id(token)


# --- where ------------------------------------------------------------------------------------


def codex_url(base_url: str) -> str:
    """The URL of a request, whatever part of it `base_url` names."""
    base = (base_url.strip() or _DEFAULT_BASE_URL).rstrip("/")
    if base.endswith("/codex/responses"):
        return base
    return f"{base}/responses" if base.endswith("/codex") else f"{base}/codex/responses"


def socket_url(url: str) -> str:
    """The same place over WebSocket."""
    return f"ws{url.removeprefix('http')}" if url.startswith("http") else url


# --- headers ----------------------------------------------------------------------------------


def build_sse_headers(
    call: Call[CodexOptions], account_id: str, session_id: str | None
) -> dict[str, str]:
    """The headers of an HTTP request; `session_id` is the session that caching may tie it to."""
    told: dict[str, str | None] = {
        "OpenAI-Beta": CHATGPT_SUBSCRIPTION.sse_beta,
        "Accept": "text/event-stream",
        "Content-Type": "application/json",
    }
    if session_id:
        told |= _session_headers(header_session_id(session_id))
    return _headers(call, account_id, told)


def build_socket_headers(
    call: Call[CodexOptions], account_id: str, session_id: str | None
) -> dict[str, str]:
    """The headers of a WebSocket handshake."""
    told: dict[str, str | None] = {
        "OpenAI-Beta": CHATGPT_SUBSCRIPTION.websocket_beta,
        "Accept": None,
        "Content-Type": None,
        **_session_headers(header_session_id(session_id) if session_id else uuid7()),
    }
    return _headers(call, account_id, told)


def _session_headers(session_id: str) -> dict[str, str | None]:
    return {"session-id": session_id, "x-client-request-id": session_id}


def _headers(
    call: Call[CodexOptions], account_id: str, told: Mapping[str, str | None]
) -> dict[str, str]:
    """All headers. The caller's win over the model's, and these over ours; `told` is a must."""
    merged = merge_headers(
        {"originator": CHATGPT_SUBSCRIPTION.originator},
        identity_headers(call.model, call.options.get("identity")),
        call.model.headers,
        call.headers,
        {"Authorization": f"Bearer {call.api_key}", "chatgpt-account-id": account_id},
        told,
    )
    return {name: value for name, value in merged.items() if value is not None}


# --- body -------------------------------------------------------------------------------------


def build_body(
    model: Model,
    messages: Sequence[Message],
    options: StreamOptions,
    adapter: CodexOptions | None,
    *,
    session_id: str | None,
) -> tuple[JsonObject, Mapping[str, str]]:
    """The body, and for each tool with a grammar the parameter that takes the text."""
    compat = ResponsesCompat(model)
    told = adapter or CodexOptions(
        reasoning_effort=neutral_effort(model, options), tool_choice=options.get("tool_choice")
    )
    sent, tools, inputs = input_fields(model, messages, compat, leading_text=False)
    require_messages(sent)
    body: JsonObject = {
        "model": model.id,
        "store": False,
        "stream": True,
        "instructions": _instructions(messages, compat),
        "input": sent,
        "text": {"verbosity": told.text_verbosity or "low"},
        "include": [REASONING_CONTENT],
        "tool_choice": told.tool_choice or "auto",
        "parallel_tool_calls": True,
    }
    if session_id:
        body["prompt_cache_key"] = cache_key(session_id)
    if (temperature := options.get("temperature")) is not None:
        body["temperature"] = temperature
    if told.service_tier is not None:
        body["service_tier"] = told.service_tier
    if tools:
        body["tools"] = tools
    body.update(_reasoning_fields(model, told))
    return body, inputs


def compress(body: bytes) -> bytes | None:
    """`body` in zstd; None where nothing that does that is installed."""
    for name in _ZSTD_MODULES:
        with suppress(ImportError):
            return importlib.import_module(name).compress(body, _ZSTD_LEVEL)
    return None


def _instructions(messages: Sequence[Message], compat: ResponsesCompat) -> str:
    leading = get_initial_system_message(resolve_transcript(messages, compat.system_in_place))
    text = sanitize_surrogates(get_system_message_text(leading)) if leading else ""
    return text or CHATGPT_SUBSCRIPTION.instructions


def _reasoning_fields(model: Model, told: CodexOptions) -> JsonObject:
    levels = model.thinking_level_map or {}
    if told.reasoning_effort is None:
        off = levels.get("off", "none")
        fits = model.reasoning and off is not None
        return {"reasoning": {"effort": off or "none"}} if fits else {}
    name = "off" if told.reasoning_effort == "none" else told.reasoning_effort
    effort = levels.get(name, told.reasoning_effort)
    if effort is None:
        return {}
    return {"reasoning": {"effort": effort, "summary": told.reasoning_summary or "auto"}}
