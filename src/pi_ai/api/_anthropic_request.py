"""Builds the body and headers of an Anthropic Messages request. Pure.

Source: providers spec, sections 5.1 to 5.5; https://docs.anthropic.com/en/api/messages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from msgspec import Struct

from pi_ai.estimate import clamp_max_tokens, estimate_context_tokens
from pi_ai.http.transport import merge_headers
from pi_ai.identity import copilot_headers, identity_headers
from pi_ai.json_text import sanitize_surrogates
from pi_ai.replay import (
    normalize_anthropic_tool_call_id,
    split_error_tool_result_images,
    transform_messages,
)
from pi_ai.thinking import adjust_max_tokens_for_thinking
from pi_ai.transcript import (
    get_initial_system_message,
    get_system_message_text,
    render_system_message_update,
    resolve_transcript,
    resolve_transcript_tools,
    without_initial_system_message,
)
from pi_ai.types import (
    AssistantMessage,
    CacheRetention,
    ImageContent,
    JsonObject,
    Message,
    Model,
    Reasoning,
    StreamOptions,
    SystemMessage,
    TextContent,
    ThinkingContent,
    Tool,
    ToolCall,
    ToolResultMessage,
    UserContent,
    UserMessage,
)

__all__ = (
    "AnthropicCompat",
    "AnthropicOptions",
    "AnthropicRequest",
    "build_request",
    "has_oauth_token",
)

Effort = Literal["low", "medium", "high", "xhigh", "max"]

_SUBSCRIPTION_PROMPT = "You are Claude Code, Anthropic's official CLI for Claude."
_SUBSCRIPTION_AGENT = "claude-cli/2.1.322"
_SUBSCRIPTION_BETAS = ("claude-code-20250219", "oauth-2025-04-20")
_SUBSCRIPTION_TOOLS = {
    name.lower(): name
    for name in [
        "Read",
        "Write",
        "Edit",
        "Bash",
        "Grep",
        "Glob",
        "AskUserQuestion",
        "EnterPlanMode",
        "ExitPlanMode",
        "KillShell",
        "NotebookEdit",
        "Skill",
        "Task",
        "TaskOutput",
        "TodoWrite",
        "WebFetch",
        "WebSearch",
    ]
}
_LEAST_THINKING_BUDGET = 1024


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


class AnthropicCompat:
    """How a server differs from api.anthropic.com; see ai-core 2.7."""

    def __init__(self, model: Model) -> None:
        told = model.compat or {}
        openrouter = model.provider == "openrouter" or "openrouter.ai" in model.base_url
        self.eager_tool_input = told.get("supportsEagerToolInputStreaming", True)
        self.long_cache = told.get("supportsLongCacheRetention", True)
        self.cache_on_tools = told.get("supportsCacheControlOnTools", True)
        self.temperature = told.get("supportsTemperature", True)
        self.empty_signature = told.get("allowEmptySignature", False)
        self.system_in_place = told.get("supportsMidConvoSystemMessages", False)
        self.effort_in_place = told.get("supportsMidConvoEffort", False)
        self.adaptive_thinking = told.get("forceAdaptiveThinking", False)
        self.affinity_headers = told.get("sendSessionAffinityHeaders", openrouter)
        self.affinity_format = told.get(
            "sessionAffinityFormat", "openrouter" if openrouter else None
        )
        self.fallback_models: list[JsonObject] = told.get("allowedFallbackModels") or []


@dataclass(frozen=True)
class AnthropicRequest:
    """A request ready to send, and what the decoder needs to know of it."""

    headers: dict[str, str]
    body: JsonObject
    subscription: bool
    tools: Sequence[Tool]
    effort: str | None


@dataclass(frozen=True)
class _Thinking:
    """How the model is to think: None where the caller leaves it to the server."""

    enabled: bool | None
    budget: int | None
    effort: str | None
    display: str
    interleaved: bool
    max_tokens: int


def has_oauth_token(model: Model, api_key: str | None) -> bool:
    """Whether the key is a Claude subscription's access token."""
    return bool(api_key) and "sk-ant-oat" in (api_key or "") and model.provider != "github-copilot"


def build_request(
    model: Model,
    messages: Sequence[Message],
    options: StreamOptions,
    adapter: AnthropicOptions | None,
    *,
    api_key: str | None,
    extra_headers: Mapping[str, str | None],
    retention: CacheRetention,
) -> AnthropicRequest:
    """Everything that is sent for one request, from the transcript and the options."""
    compat = AnthropicCompat(model)
    subscription = has_oauth_token(model, api_key)
    thinking = _resolve_thinking(model, messages, options, adapter, compat)
    transcript = resolve_transcript(messages, compat.system_in_place)
    tools = resolve_transcript_tools(transcript, "none").request_tools
    convert = _Converter(model, compat, subscription)
    marker = _cache_marker(retention, compat)
    body: JsonObject = {"model": model.id}
    body["messages"] = convert.messages(transcript)
    _mark_last_message(body["messages"], marker)
    effort = None
    if compat.effort_in_place:
        effort = thinking.effort or "high"
        body["messages"].append(_effort_message(effort))
    body["max_tokens"] = thinking.max_tokens
    body["stream"] = True
    if system := _system_blocks(transcript, subscription, marker):
        body["system"] = system
    temperature = options.get("temperature")
    thinks = bool(model.reasoning and thinking.enabled)
    if temperature is not None and not thinks and compat.temperature and not compat.effort_in_place:
        body["temperature"] = temperature
    if tools:
        body["tools"] = [convert.tool(tool) for tool in tools]
        if marker and compat.cache_on_tools:
            body["tools"][-1]["cache_control"] = marker
    body.update(_thinking_fields(model, thinking, compat))
    metadata = options.get("metadata") or {}
    if isinstance(metadata.get("user_id"), str):
        body["metadata"] = {"user_id": metadata["user_id"]}
    if choice := _tool_choice(options, adapter, convert):
        body["tool_choice"] = choice
    if compat.fallback_models:
        body["fallbacks"] = [{"model": fallback["model"]} for fallback in compat.fallback_models]
    betas = _betas(model, compat, subscription, thinking, bool(tools))
    headers = _headers(
        model,
        messages,
        options,
        compat,
        api_key=api_key,
        extra=extra_headers,
        betas=betas,
        retention=retention,
    )
    return AnthropicRequest(headers, body, subscription, tools, effort)


# --- thinking ---------------------------------------------------------------------------------


def _resolve_thinking(
    model: Model,
    messages: Sequence[Message],
    options: StreamOptions,
    adapter: AnthropicOptions | None,
    compat: AnthropicCompat,
) -> _Thinking:
    wanted = options.get("max_tokens")
    if adapter is not None:
        return _Thinking(
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
        return _Thinking(False, None, None, "summarized", True, limit)
    if compat.adaptive_thinking:
        return _Thinking(True, None, _effort(model, level), "summarized", True, limit)
    adjusted = adjust_max_tokens_for_thinking(
        limit, model.max_tokens, level, options.get("thinking_budgets")
    )
    limit = clamp_max_tokens(model, adjusted.max_tokens, input_tokens)
    budget = min(adjusted.thinking_budget, max(0, limit - 1024))
    return _Thinking(True, budget, None, "summarized", True, limit)


def _effort(model: Model, level: Reasoning) -> str:
    """A thinking level in Anthropic's words."""
    mapped = (model.thinking_level_map or {}).get(level)
    if isinstance(mapped, str):
        return mapped
    return {"minimal": "low", "low": "low", "medium": "medium"}.get(level, "high")


def _thinking_fields(model: Model, thinking: _Thinking, compat: AnthropicCompat) -> JsonObject:
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


def _effort_message(effort: str) -> JsonObject:
    return {"role": "system", "content": [], "output_config": {"effort": effort}}


# --- prompt, tools, cache marks ---------------------------------------------------------------


def _cache_marker(retention: CacheRetention, compat: AnthropicCompat) -> JsonObject | None:
    if retention == "none":
        return None
    if retention == "long" and compat.long_cache:
        return {"type": "ephemeral", "ttl": "1h"}
    return {"type": "ephemeral"}


def _text_block(text: str, marker: JsonObject | None = None) -> JsonObject:
    block: JsonObject = {"type": "text", "text": sanitize_surrogates(text)}
    if marker:
        block["cache_control"] = marker
    return block


def _system_blocks(
    transcript: Sequence[Message], subscription: bool, marker: JsonObject | None
) -> list[JsonObject]:
    initial = get_initial_system_message(transcript)
    prompt = get_system_message_text(initial) if initial else ""
    texts = [_SUBSCRIPTION_PROMPT] if subscription else []
    if prompt:
        texts.append(prompt)
    return [_text_block(text, marker) for text in texts]


_MARKABLE = {"text", "image", "tool_result", "tool_addition", "tool_removal"}


def _mark_last_message(messages: list[JsonObject], marker: JsonObject | None) -> None:
    """Ask for the conversation so far to be cached."""
    if not marker or not messages or messages[-1]["role"] == "assistant":
        return
    last = messages[-1]
    content: str | list[JsonObject] = last["content"]
    if isinstance(content, str):
        last["content"] = [_text_block(content, marker)]
    elif content and content[-1]["type"] in _MARKABLE:
        content[-1]["cache_control"] = marker


def _tool_choice(
    options: StreamOptions, adapter: AnthropicOptions | None, convert: _Converter
) -> JsonObject | None:
    choice = options.get("tool_choice") if adapter is None else adapter.tool_choice
    if choice is None or isinstance(choice, str):
        return {"type": choice} if choice else None
    if isinstance(name := choice.get("name"), str):
        return {**choice, "name": convert.tool_name(name)}
    return choice


# --- messages ---------------------------------------------------------------------------------


class _Converter:
    """Turns a transcript into Anthropic messages."""

    def __init__(self, model: Model, compat: AnthropicCompat, subscription: bool) -> None:
        self.model = model
        self.compat = compat
        self.subscription = subscription

    def tool_name(self, name: str) -> str:
        """A tool's name as it is sent: subscriptions know their own tools by fixed names."""
        return _SUBSCRIPTION_TOOLS.get(name.lower(), name) if self.subscription else name

    def tool(self, tool: Tool) -> JsonObject:
        """A tool declaration; of the schema's root only what the API reads."""
        schema = tool.parameters
        input_schema: JsonObject = {
            "type": "object",
            "properties": schema.get("properties") or {},
            "required": schema.get("required") or [],
        }
        for key in ("$defs", "definitions"):
            if key in schema:
                input_schema[key] = schema[key]
        declared: JsonObject = {
            "name": self.tool_name(tool.name),
            "description": tool.description,
        }
        if self.compat.eager_tool_input:
            declared["eager_input_streaming"] = True
        declared["input_schema"] = input_schema
        return declared

    def messages(self, transcript: Sequence[Message]) -> list[JsonObject]:
        """Every message but the leading system message."""
        sent: list[JsonObject] = []
        held: list[JsonObject] = []  # system texts, which may not part a call from its result
        results: list[ToolResultMessage] = []
        replayed = transform_messages(
            without_initial_system_message(transcript),
            self.model,
            normalize_anthropic_tool_call_id,
        )
        for message in replayed:
            if results and not isinstance(message, ToolResultMessage):
                sent.append(self._tool_results(results))
                results = []
            match message:
                case ToolResultMessage():
                    results.append(message)
                case SystemMessage():
                    if text := render_system_message_update(message):
                        held.append({"role": "system", "content": [_text_block(text)]})
                case UserMessage():
                    if content := self._user(message):
                        sent.append({"role": "user", "content": content})
                case AssistantMessage():
                    if blocks := self._assistant(message):
                        sent.extend(held)
                        held = []
                        sent.extend(self._earlier_effort(message))
                        sent.append({"role": "assistant", "content": blocks})
        if results:
            sent.append(self._tool_results(results))
        return sent + held

    def _earlier_effort(self, message: AssistantMessage) -> list[JsonObject]:
        level = message.provider_thinking_level
        same = message.provider == self.model.provider and message.api == self.model.api
        known = level in {"low", "medium", "high", "xhigh", "max"}
        if not (self.compat.effort_in_place and same and level and known):
            return []
        return [_effort_message(level)]

    def _user(self, message: UserMessage) -> str | list[JsonObject]:
        if isinstance(message.content, str):
            return sanitize_surrogates(message.content) if message.content.strip() else ""
        return self._blocks(message.content)

    def _blocks(self, content: Sequence[UserContent]) -> list[JsonObject]:
        """Text and image blocks without the blank texts, which the API rejects."""
        blocks: list[JsonObject] = []
        for block in content:
            if isinstance(block, ImageContent):
                blocks.append(_image_block(block))
            elif block.text.strip():
                blocks.append(_text_block(block.text))
        return blocks

    def _assistant(self, message: AssistantMessage) -> list[JsonObject]:
        blocks: list[JsonObject] = []
        for block in message.content:
            match block:
                case TextContent():
                    if block.text.strip():
                        blocks.append(_text_block(block.text))
                case ThinkingContent():
                    blocks.extend(self._thinking(block))
                case ToolCall():
                    blocks.append(
                        {
                            "type": "tool_use",
                            "id": block.id,
                            "name": self.tool_name(block.name),
                            "input": block.arguments,
                        }
                    )
        return blocks

    def _thinking(self, block: ThinkingContent) -> list[JsonObject]:
        signature = block.thinking_signature or ""
        text = sanitize_surrogates(block.thinking)
        if block.redacted:
            return [{"type": "redacted_thinking", "data": signature}]
        if signature.strip():
            return [{"type": "thinking", "thinking": text, "signature": signature}]
        if not text.strip():
            return []
        if self.compat.empty_signature:
            return [{"type": "thinking", "thinking": text, "signature": ""}]
        return [_text_block(text)]

    def _tool_results(self, results: Sequence[ToolResultMessage]) -> JsonObject:
        """One user message for a run of results; images of failed calls follow behind."""
        content: list[JsonObject] = []
        behind: list[UserContent] = []
        for result in results:
            given: Sequence[UserContent] = result.content
            if split := split_error_tool_result_images(result):
                given = split.content
                behind += [TextContent(split.caption), *split.images]
            content.append(
                {
                    "type": "tool_result",
                    "tool_use_id": result.tool_call_id,
                    "content": self._tool_result_content(given),
                    "is_error": result.is_error,
                }
            )
        return {"role": "user", "content": content + self._blocks(behind)}

    def _tool_result_content(self, content: Sequence[UserContent]) -> str | list[JsonObject]:
        if all(isinstance(block, TextContent) for block in content):
            texts = [block.text for block in content if isinstance(block, TextContent)]
            return sanitize_surrogates("\n".join(texts))
        blocks = self._blocks(content)
        if not any(block["type"] == "text" for block in blocks):
            blocks.insert(0, _text_block("(see attached image)"))
        return blocks


def _image_block(block: ImageContent) -> JsonObject:
    source = {"type": "base64", "media_type": block.mime_type, "data": block.data}
    return {"type": "image", "source": source}


# --- headers ----------------------------------------------------------------------------------


def _betas(
    model: Model,
    compat: AnthropicCompat,
    subscription: bool,
    thinking: _Thinking,
    has_tools: bool,
) -> list[str]:
    betas: list[str] = [*_SUBSCRIPTION_BETAS] if subscription else []
    if has_tools and not compat.eager_tool_input:
        betas.append("fine-grained-tool-streaming-2025-05-14")
    if (
        model.reasoning
        and thinking.enabled
        and thinking.interleaved
        and not compat.adaptive_thinking
    ):
        betas.append("interleaved-thinking-2025-05-14")
    if compat.fallback_models:
        betas.append("server-side-fallback-2026-07-01")
    if compat.effort_in_place:
        betas += ["mid-conversation-output-config-2026-07-01"]
        betas += ["thinking-binding-controls-2026-08-01"]
    return betas


def _headers(
    model: Model,
    messages: Sequence[Message],
    options: StreamOptions,
    compat: AnthropicCompat,
    *,
    api_key: str | None,
    extra: Mapping[str, str | None],
    betas: Sequence[str],
    retention: CacheRetention,
) -> dict[str, str]:
    own: dict[str, str | None] = {
        "Accept": "application/json",
        "anthropic-version": "2023-06-01",
        "anthropic-dangerous-direct-browser-access": "true",
    }
    if has_oauth_token(model, api_key):
        own |= {
            "Authorization": f"Bearer {api_key}",
            "User-Agent": _SUBSCRIPTION_AGENT,
            "x-app": "cli",
        }
    else:
        own |= identity_headers(model, options.get("identity"))
        if api_key and model.provider == "github-copilot":
            own["Authorization"] = f"Bearer {api_key}"
        elif api_key:
            own["x-api-key"] = api_key
        session_id = options.get("session_id")
        if session_id and compat.affinity_headers and retention != "none":
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
