"""What a server of the Messages API can do: told by the model, else api.anthropic.com's way.

Source: providers spec, section 5.1.
"""

from __future__ import annotations

from pi_ai.types import JsonObject, Model

__all__ = ("AnthropicCompat",)


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
        self.strict_tools: bool = told.get("supportsStrictTools", False)
        self.system_in_place = told.get("supportsMidConvoSystemMessages", False)
        self.tools_in_place = self.system_in_place and told.get(
            "supportsMidConvoToolChanges", False
        )
        self.effort_in_place = told.get("supportsMidConvoEffort", False)
        self.adaptive_thinking = told.get("forceAdaptiveThinking", False)
        self.affinity_headers = told.get("sendSessionAffinityHeaders", openrouter)
        self.affinity_format = told.get(
            "sessionAffinityFormat", "openrouter" if openrouter else None
        )
        self.fallback_models: list[JsonObject] = told.get("allowedFallbackModels") or []
