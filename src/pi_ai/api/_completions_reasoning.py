"""How an OpenAI-compatible server is told to think: one way per family of servers. Pure.

Source: providers spec, section 4.6.
"""

from __future__ import annotations

from typing import cast

from pi_ai.api._completions_compat import CompletionsCompat
from pi_ai.thinking import get_thinking_budget
from pi_ai.types import JsonObject, Model, Reasoning, ThinkingBudgets

__all__ = ("reasoning_fields", "thinking_budget")


def thinking_budget(
    model: Model, effort: Reasoning | None, limit: int | None, budgets: ThinkingBudgets | None
) -> int | None:
    """Tokens the model may think with, room for an answer left; None for no budget."""
    if effort is None or not model.reasoning:
        return None
    room = max(0, (limit or model.max_tokens) - 1024)
    return min(get_thinking_budget(effort, budgets), room) or None


def reasoning_fields(
    model: Model, compat: CompletionsCompat, effort: Reasoning | None, budget: int | None
) -> JsonObject:
    """The body's fields for an effort; None is off."""
    if not model.reasoning:
        return {}
    return _Fields(model, compat, budget).fields(effort)


class _Fields:
    def __init__(self, model: Model, compat: CompletionsCompat, budget: int | None) -> None:
        self.map = model.thinking_level_map or {}
        self.compat = compat
        self.budget = budget

    def fields(self, effort: Reasoning | None) -> JsonObject:
        match self.compat.thinking_format:
            case "chat-template":
                return self._template(
                    "chat_template_kwargs", self.compat.chat_template_kwargs, effort
                )
            case "baseten":
                args = self._template("chat_template_args", self.compat.chat_template_args, effort)
                return args | (self._effort_or_omit(effort) if effort else self._off_effort())
            case "qwen-chat-template":
                kwargs = {"enable_thinking": effort is not None, "preserve_thinking": True}
                return {"chat_template_kwargs": kwargs}
            case _:
                return self._off() if effort is None else self._on(effort)

    def _on(self, effort: Reasoning) -> JsonObject:
        match self.compat.thinking_format:
            case "openrouter":
                return {"reasoning": {"effort": self._mapped(effort)}}
            case "deepseek":
                return {"thinking": {"type": "enabled"}} | self._effort(effort)
            case "zai":
                thinking = {"type": "enabled", "clear_thinking": False}
                return {"thinking": thinking} | self._effort_or_omit(effort)
            case "together":
                return {"reasoning": {"enabled": True}} | self._effort(effort)
            case "qwen":
                return {"enable_thinking": True} | self._effort(effort)
            case "string-thinking":
                return {"thinking": self._mapped(effort)}
            case "ant-ling":
                mapped = self.map.get(effort)
                return {"reasoning": {"effort": mapped}} if isinstance(mapped, str) else {}
            case _:
                return self._effort(effort)

    def _off(self) -> JsonObject:
        unsupported = "off" in self.map and self.map["off"] is None
        match self.compat.thinking_format:
            case "openrouter":
                effort = self.map.get("off") or "none"
                return {} if unsupported else {"reasoning": {"effort": effort}}
            case "deepseek":
                return {} if unsupported else {"thinking": {"type": "disabled"}}
            case "zai":
                return {"thinking": {"type": "disabled"}}
            case "together":
                return {"reasoning": {"enabled": False}}
            case "qwen":
                return {"enable_thinking": False}
            case "string-thinking":
                return {} if unsupported else {"thinking": self.map.get("off") or "none"}
            case _:
                return self._off_effort()

    def _mapped(self, effort: Reasoning) -> str:
        return self.map.get(effort) or effort

    def _effort(self, effort: Reasoning) -> JsonObject:
        return {"reasoning_effort": self._mapped(effort)} if self.compat.reasoning_effort else {}

    def _effort_or_omit(self, effort: Reasoning) -> JsonObject:
        """As `_effort`, but a level mapped to null names no effort."""
        mapped = self.map.get(effort, effort)
        return {"reasoning_effort": mapped} if mapped and self.compat.reasoning_effort else {}

    def _off_effort(self) -> JsonObject:
        off = self.map.get("off")
        return {"reasoning_effort": off} if off and self.compat.reasoning_effort else {}

    def _template(self, name: str, template: JsonObject, effort: Reasoning | None) -> JsonObject:
        """A template's values, its variables filled in; a field without values is left out."""
        values: JsonObject = {}
        for key, value in template.items():
            variable = cast("JsonObject", value) if isinstance(value, dict) else {}
            if "$var" not in variable:
                values[key] = value
                continue
            filled = None
            if effort is not None or not variable.get("omitWhenOff"):
                filled = self._variable(variable["$var"], effort)
            if filled is not None:
                values[key] = filled
        return {name: values} if values else {}

    def _variable(self, name: str, effort: Reasoning | None) -> bool | str | int | None:
        match name:
            case "thinking.enabled":
                return effort is not None
            case "thinking.effort":
                return self.map.get("off") if effort is None else self.map.get(effort, effort)
            case "thinking.budget":
                return self.budget
            case _:
                return None
