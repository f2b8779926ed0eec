"""What an OpenAI-compatible server can do: told by the model, else detected by name and URL.

Source: providers spec, section 4.1.
"""

from __future__ import annotations

from typing import Any

from pi_ai.types import JsonObject, Model

__all__ = ("CompletionsCompat",)

# Provider ids, and the parts of a base URL, by which a server is recognised.
_SERVERS: dict[str, tuple[frozenset[str], tuple[str, ...]]] = {
    "zai": (frozenset({"zai", "zai-coding-cn"}), ("api.z.ai", "open.bigmodel.cn")),
    "together": (frozenset({"together"}), ("api.together.ai", "api.together.xyz")),
    "moonshot": (frozenset({"moonshotai", "moonshotai-cn"}), ("api.moonshot.",)),
    "openrouter": (frozenset({"openrouter"}), ("openrouter.ai",)),
    "cf-workers": (frozenset({"cloudflare-workers-ai"}), ("api.cloudflare.com",)),
    "cf-gateway": (frozenset({"cloudflare-ai-gateway"}), ("gateway.ai.cloudflare.com",)),
    "nvidia": (frozenset({"nvidia"}), ("integrate.api.nvidia.com",)),
    "antling": (frozenset({"ant-ling"}), ("api.ant-ling.com",)),
    "cerebras": (frozenset({"cerebras"}), ("cerebras.ai",)),
    "deepseek": (frozenset({"deepseek"}), ()),  # by URL too, without case: see below
    "xai": (frozenset({"xai"}), ("api.x.ai",)),
    "chutes": (frozenset(), ("chutes.ai",)),
    "opencode": (frozenset({"opencode"}), ("opencode.ai",)),
}

_NO_REASONING_EFFORT = {"xai", "zai", "moonshot", "together", "cf-gateway", "nvidia", "antling"}
_MAX_TOKENS = {
    "chutes",
    "deepseek",
    "moonshot",
    "cf-gateway",
    "together",
    "nvidia",
    "antling",
    "zai",
}
_NO_LONG_CACHE = {"together", "cf-workers", "cf-gateway", "nvidia", "antling"}
_THINKING_FORMATS = ("deepseek", "zai", "together", "antling", "openrouter")


def _detect(model: Model) -> frozenset[str]:
    found = {
        name
        for name, (ids, parts) in _SERVERS.items()
        if model.provider in ids or any(part in model.base_url for part in parts)
    }
    if "deepseek.com" in model.base_url.lower():
        found.add("deepseek")
    return frozenset(found)


class CompletionsCompat:
    """How a server differs from api.openai.com; see ai-core 2.7."""

    def __init__(self, model: Model) -> None:
        self._told: JsonObject = model.compat or {}
        seen = _detect(model)
        openrouter = "openrouter" in seen
        standard = not (seen - {"openrouter"})
        vendor_model = model.id.startswith(("anthropic/", "openai/"))
        self.store = self._get("supportsStore", standard)
        self.developer_role = self._get(
            "supportsDeveloperRole", vendor_model if openrouter else standard
        )
        self.reasoning_effort = self._get(
            "supportsReasoningEffort", not seen & _NO_REASONING_EFFORT
        )
        self.max_tokens_field: str = self._get(
            "maxTokensField", "max_tokens" if seen & _MAX_TOKENS else "max_completion_tokens"
        )
        self.thinking_format: str = self._get("thinkingFormat", _thinking_format(seen))
        self.needs_reasoning_content = self._get(
            "requiresReasoningContentOnAssistantMessages", "deepseek" in seen
        )
        anthropic_cache = model.provider == "openrouter" and model.id.startswith("anthropic/")
        self.cache_control = (
            self._get("cacheControlFormat", "anthropic" if anthropic_cache else None) == "anthropic"
        )
        self.affinity_headers = self._get("sendSessionAffinityHeaders", openrouter)
        self.affinity_format: str = self._get(
            "sessionAffinityFormat", "openrouter" if openrouter else "openai"
        )
        self.long_cache = self._get("supportsLongCacheRetention", not seen & _NO_LONG_CACHE)
        self.usage_in_streaming = self._get("supportsUsageInStreaming", True)
        self.finish_reason = self._get("supportsFinishReason", True)
        self.cache_key_mode: str = self._get("promptCacheKeyMode", "auto")
        self.strict_mode: bool = self._get("supportsStrictMode", False)
        self.grammar_tools: bool = self._get("supportsOpenAIGrammarTools", False)
        self.system_in_place = self._get("supportsMidConvoSystemMessages", False)
        self.tools_in_place = self.system_in_place and self._get(
            "supportsMidConvoToolAdditions", False
        )
        self.result_name = self._get("requiresToolResultName", False)
        self.assistant_after_result = self._get("requiresAssistantAfterToolResult", False)
        self.non_null_content = self._get("requiresNonNullAssistantContent", False)
        self.tools_with_history = self._get("requiresToolsWithToolHistory", False)
        self.thinking_as_text = self._get("requiresThinkingAsText", False)
        self.zai_tool_stream = self._get("zaiToolStream", False)
        alias = "thinking_token_budget" if self._get("supportsThinkingTokenBudget", False) else None
        self.thinking_budget_field: str | None = self._get("thinkingTokenBudgetField", alias)
        self.vllm_priority: float | None = self._get("vllmPriority", None)
        self.chat_template_kwargs: JsonObject = self._get("chatTemplateKwargs", {})
        self.chat_template_args: JsonObject = self._get("chatTemplateArgs", {})
        self.openrouter_routing: JsonObject | None = self._get("openRouterRouting", None)
        self.vercel_routing: JsonObject = self._get("vercelGatewayRouting", {})

    def _get(self, key: str, detected: Any) -> Any:
        told = self._told.get(key)
        return detected if told is None else told


def _thinking_format(seen: frozenset[str]) -> str:
    first = next((name for name in _THINKING_FORMATS if name in seen), "openai")
    return "ant-ling" if first == "antling" else first
