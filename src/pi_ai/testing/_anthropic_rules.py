"""The rules of Anthropic's Messages API for the fields of a request, apart from its messages.

Sources, below https://docs.claude.com/en: api/messages, build-with-claude/extended-thinking,
build-with-claude/prompt-caching, agents-and-tools/tool-use.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from pi_ai.testing._anthropic_messages_rules import MessageRules
from pi_ai.testing._cache_marks import CacheMarks
from pi_ai.testing._findings import Findings, is_list, is_object, is_text
from pi_ai.types import JsonObject, JsonValue

__all__ = ("find_anthropic_problems",)

_FIELDS = {
    "cache_control",
    "container",
    "context_management",
    "inference_geo",
    "mcp_servers",
    "metadata",
    "output_config",
    "output_format",
    "service_tier",
    "stop_sequences",
    "stream",
    "system",
    "temperature",
    "thinking",
    "tool_choice",
    "tools",
    "top_k",
    "top_p",
}
_BETA_FIELDS = {
    "fallbacks": "server-side-fallback-2026-07-01",
    "thread": "message-threads-2026-08-12",
}
_TOOL_FIELDS = {
    "allowed_callers",
    "cache_control",
    "defer_loading",
    "description",
    "eager_input_streaming",
    "input_examples",
    "strict",
    "type",
}
_TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
_INTERLEAVED = "interleaved-thinking-2025-05-14"
_BINDING = "thinking-binding-controls-2026-08-01"


def find_anthropic_problems(body: JsonObject, betas: Collection[str]) -> Findings:
    """Every broken rule of a request body."""
    found = Findings()
    beta_fields = {name for name, beta in _BETA_FIELDS.items() if beta in betas}
    found.fields(
        body, "", required=("model", "max_tokens", "messages"), allowed=_FIELDS | beta_fields
    )
    found.unicode(body, "")
    _FieldRules(found, body, betas).check()
    marks = CacheMarks(found)
    # The order in which the server reads the blocks, and their marks.
    marks.blocks(body.get("tools"), "tools")
    marks.blocks(body.get("system"), "system")
    for path, message in _each(body.get("messages"), "messages"):
        marks.blocks(message.get("content"), f"{path}.content")
    marks.count()
    return found


def _each(value: JsonValue, path: str) -> list[tuple[str, JsonObject]]:
    items = value if is_list(value) else []
    return [(f"{path}[{i}]", item) for i, item in enumerate(items) if is_object(item)]


class _FieldRules:
    def __init__(self, found: Findings, body: JsonObject, betas: Collection[str]) -> None:
        self._found = found
        self._body = body
        self._betas = betas
        self._tool_names: set[str] = set()

    def check(self) -> None:
        body = self._body
        if not is_text(body.get("model", "m")) or body.get("model") == "":
            self._found.add("model", "must be a name")
        if "max_tokens" in body:
            self._found.integer(body["max_tokens"], "max_tokens", least=1)
        if not isinstance(body.get("stream", False), bool):
            self._found.add("stream", "must be a boolean")
        self._system()
        self._tools()
        self._tool_choice()
        thinks = self._thinking()
        self._sampling(thinks)
        self._output_config()
        self._metadata()
        MessageRules(self._found, self._betas, thinks=thinks).check(body.get("messages"))

    def _system(self) -> None:
        system = self._body.get("system", [])
        if is_text(system):
            return
        for path, value in self._found.items(system, "system"):
            block = self._found.fields(
                value, path, required=("type", "text"), allowed=("cache_control", "citations")
            )
            self._found.one_of(block.get("type"), f"{path}.type", {"text"})
            text: JsonValue = block.get("text")
            if not is_text(text) or not text.strip():
                self._found.add(f"{path}.text", "must not be blank")

    # --- tools --------------------------------------------------------------------------------

    def _tools(self) -> None:
        for path, value in self._found.items(self._body.get("tools", []), "tools"):
            tool = self._found.fields(value, path, required=("name",))
            name = self._found.matches(tool.get("name"), f"{path}.name", _TOOL_NAME)
            if name in self._tool_names:
                self._found.add(f"{path}.name", "is declared twice")
            self._tool_names.add(name or "")
            if tool.get("type", "custom") == "custom":
                self._own_tool(tool, path)

    def _own_tool(self, tool: JsonObject, path: str) -> None:
        self._found.fields(tool, path, required=("name", "input_schema"), allowed=_TOOL_FIELDS)
        if not is_text(tool.get("description", "")):
            self._found.add(f"{path}.description", "must be text")
        schema: JsonValue = tool.get("input_schema")
        self._found.schema(schema, f"{path}.input_schema")
        for name in ("allOf", "anyOf", "oneOf"):
            if is_object(schema) and name in schema:
                self._found.add(f"{path}.input_schema.{name}", "is not allowed at the root")

    def _tool_choice(self) -> None:
        if "tool_choice" not in self._body:
            return
        choice = self._found.fields(
            self._body["tool_choice"],
            "tool_choice",
            required=("type",),
            allowed=("disable_parallel_tool_use", "name"),
        )
        kinds = {"any", "auto", "none", "tool"}
        self._found.one_of(choice.get("type"), "tool_choice.type", kinds)
        if choice.get("type") != "none" and not self._body.get("tools"):
            self._found.add("tool_choice", "needs tools")
        if choice.get("type") == "tool" and choice.get("name") not in self._tool_names:
            self._found.add("tool_choice.name", "must be a declared tool")

    # --- thinking and sampling ----------------------------------------------------------------

    def _thinking(self) -> bool:
        """Whether the model may think; notes what is wrong with how."""
        if "thinking" not in self._body:
            return False
        binding = {"block_binding"} if _BINDING in self._betas else set[str]()
        thinking = self._found.fields(
            self._body["thinking"],
            "thinking",
            required=("type",),
            allowed={"budget_tokens", "display"} | binding,
        )
        kind: JsonValue = thinking.get("type")
        if not self._found.one_of(kind, "thinking.type", {"adaptive", "disabled", "enabled"}):
            return False
        if "display" in thinking:
            displays = {"omitted", "summarized"}
            self._found.one_of(thinking["display"], "thinking.display", displays)
        if kind == "enabled":
            self._budget(thinking)
        elif "budget_tokens" in thinking:
            self._found.add("thinking.budget_tokens", "belongs to type enabled")
        return kind != "disabled"

    def _budget(self, thinking: JsonObject) -> None:
        path = "thinking.budget_tokens"
        budget = self._found.integer(thinking.get("budget_tokens"), path, least=1024)
        limit: JsonValue = self._body.get("max_tokens")
        interleaved = _INTERLEAVED in self._betas and bool(self._body.get("tools"))
        if budget and isinstance(limit, int) and budget >= limit and not interleaved:
            self._found.add(path, "must be less than max_tokens")
        choice: JsonValue = self._body.get("tool_choice")
        if is_object(choice) and choice.get("type") in ("any", "tool"):
            self._found.add("tool_choice.type", "must be auto or none with a thinking budget")

    def _sampling(self, thinks: bool) -> None:
        body = self._body
        if "temperature" in body:
            least = 1 if thinks else 0
            self._found.number(body["temperature"], "temperature", least=least, most=1)
        if "top_p" in body:
            self._found.number(body["top_p"], "top_p", least=0.95 if thinks else 0, most=1)
        if "top_k" in body:
            self._found.integer(body["top_k"], "top_k", least=0)
            if thinks:
                self._found.add("top_k", "is not allowed with thinking")

    # --- other fields -------------------------------------------------------------------------

    def _output_config(self) -> None:
        config = self._found.fields(
            self._body.get("output_config", {}),
            "output_config",
            allowed=("effort", "format", "task_budget"),
        )
        if "effort" in config:
            efforts = {"high", "low", "max", "medium", "xhigh"}
            self._found.one_of(config["effort"], "output_config.effort", efforts)

    def _metadata(self) -> None:
        metadata = self._found.fields(
            self._body.get("metadata", {}), "metadata", allowed=("user_id",)
        )
        user: JsonValue = metadata.get("user_id", "")
        if not is_text(user) or len(user) > 256:
            self._found.add("metadata.user_id", "must be text of at most 256 characters")
