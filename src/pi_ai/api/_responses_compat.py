"""What a server of the Responses API can do, as its model tells.

Source: spec of openai-responses, section 2.2.
"""

from __future__ import annotations

from typing import Any, Literal

from pi_ai.transcript import ToolSupport
from pi_ai.types import JsonObject, Model

__all__ = ("ResponsesCompat",)


class ResponsesCompat:
    """How a server differs from api.openai.com; see ai-core 2.7.

    `strict_default` is what a function tool says that asks for no strict schema; without strict
    tools it says nothing.
    """

    def __init__(self, model: Model) -> None:
        self._told: JsonObject = model.compat or {}
        codex = model.api == "openai-codex-responses"
        azure = model.api == "azure-openai-responses"
        self.developer_role: bool = self._get("supportsDeveloperRole", True)
        self.system_in_place: bool = self._get("supportsMidConvoSystemMessages", False)
        self.strict_mode: bool = self._get("supportsStrictMode", codex or azure)
        self.strict_default: Literal[False] | None = None if codex else False
        self.grammar_tools: bool = self._get("supportsOpenAIGrammarTools", False)
        openrouter = model.provider == "openrouter" or "openrouter.ai" in model.base_url
        self.affinity_format: str = self._get(
            "sessionAffinityFormat", "openrouter" if openrouter else "openai"
        )
        self.cache_key = self._get("promptCacheKeyMode", "auto") != "disabled"
        self.long_cache: bool = self._get("supportsLongCacheRetention", True)
        self.explicit_cache: bool = self._get("supportsExplicitPromptCacheMode", False)
        self.max_output_tokens: bool = self._get("supportsMaxOutputTokens", True)
        self.effort_in_place: bool = self._get("supportsMidConvoEffort", False)

    @property
    def tool_support(self) -> ToolSupport:
        """Which changes of the tools can be told inside the conversation."""
        if self.system_in_place and self._get("supportsAdditionalTools", False):
            return "changes"
        return "additions" if self._get("supportsToolSearch", False) else "none"

    def _get(self, key: str, default: Any) -> Any:
        told = self._told.get(key)
        return default if told is None else told
