"""The rules of OpenAI's Responses API for a request that stores nothing on the server.

Source: https://platform.openai.com/docs/api-reference/responses/create and, for reasoning items,
https://platform.openai.com/docs/guides/reasoning; where these are silent, the text of the server's
own error.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from pi_ai.testing._findings import Findings, is_list, is_object, is_text
from pi_ai.testing._responses_input_rules import InputRules
from pi_ai.types import JsonObject, JsonValue

__all__ = ("find_responses_problems",)

_FIELDS = {
    "background",
    "conversation",
    "include",
    "instructions",
    "max_output_tokens",
    "max_tool_calls",
    "metadata",
    "parallel_tool_calls",
    "previous_response_id",
    "prompt",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "reasoning",
    "safety_identifier",
    "service_tier",
    "store",
    "stream",
    "stream_options",
    "temperature",
    "text",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "truncation",
    "user",
}
_EFFORTS = {"high", "low", "max", "medium", "minimal", "none", "xhigh"}
_SUMMARIES = {"auto", "concise", "detailed"}
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_TOOL_FIELDS: dict[str, tuple[set[str], set[str]]] = {
    "function": ({"name", "parameters"}, {"defer_loading", "description", "strict"}),
    "custom": ({"name"}, {"defer_loading", "description", "format"}),
}
"""Per kind of tool the fields that must be there and those that may, besides `type`."""

_MOST_TOOLS = 128
_MOST_KEY_CHARS = 64
_LEAST_OUTPUT_TOKENS = 16


def find_responses_problems(body: JsonObject, provider: str) -> Findings:
    """Every broken rule of a request body."""
    found = Findings()
    _Rules(found, body, official=provider in {"azure", "openai", "openai-codex"}).check()
    return found


class _Rules:
    """`official`: OpenAI's own servers, which know no fields of others."""

    def __init__(self, found: Findings, body: JsonObject, *, official: bool) -> None:
        self._found = found
        self._body = body
        self._official = official

    def check(self) -> None:
        allowed = _FIELDS if self._official else None
        self._found.fields(self._body, "", required={"input", "model"}, allowed=allowed)
        self._found.unicode(self._body, "")
        model: JsonValue = self._body.get("model", "m")
        if not is_text(model) or not model:
            self._found.add("model", "must be a name")
        self._limits()
        self._settings()
        self._reasoning()
        names = self._tools(self._body.get("tools", []), "tools")
        self._tool_choice(names)
        self._input()

    # --- fields -------------------------------------------------------------------------------

    def _limits(self) -> None:
        body = self._body
        if "max_output_tokens" in body:
            self._found.integer(
                body["max_output_tokens"], "max_output_tokens", least=_LEAST_OUTPUT_TOKENS
            )
        if "temperature" in body:
            self._found.number(body["temperature"], "temperature", least=0, most=2)
        if "top_p" in body:
            self._found.number(body["top_p"], "top_p", least=0, most=1)

    def _settings(self) -> None:
        body = self._body
        for name in ("parallel_tool_calls", "store", "stream"):
            if not isinstance(body.get(name, False), bool):
                self._found.add(name, "must be a boolean")
        if body.get("store") is not False:
            self._found.add("store", "must be false: the items here have no copy on the server")
        if not is_text(body.get("instructions", "")):
            self._found.add("instructions", "must be text")
        key: JsonValue = body.get("prompt_cache_key", "")
        if not is_text(key) or len(key) > _MOST_KEY_CHARS:
            text = f"must be text of at most {_MOST_KEY_CHARS} characters"
            self._found.add("prompt_cache_key", text)
        if "prompt_cache_retention" in body:
            times = {"24h", "in-memory", "in_memory"}
            self._found.one_of(body["prompt_cache_retention"], "prompt_cache_retention", times)
        if "prompt_cache_options" in body:
            where = "prompt_cache_options"
            told = self._found.fields(body[where], where, allowed=("mode", "ttl"))
            if "mode" in told:
                self._found.one_of(told["mode"], f"{where}.mode", {"explicit", "implicit"})
            if "ttl" in told:
                self._found.one_of(told["ttl"], f"{where}.ttl", {"30m"})
        if "text" in body:
            text_fields = self._found.fields(body["text"], "text", allowed=("format", "verbosity"))
            if "verbosity" in text_fields:
                levels = {"high", "low", "medium"}
                self._found.one_of(text_fields["verbosity"], "text.verbosity", levels)

    def _reasoning(self) -> None:
        include: JsonValue = self._body.get("include", [])
        for path, value in self._found.items(include, "include"):
            if not is_text(value) or not value:
                self._found.add(path, "must be a name")
        if "reasoning" not in self._body:
            return
        told = self._found.fields(
            self._body["reasoning"], "reasoning", allowed=("effort", "generate_summary", "summary")
        )
        if "effort" in told:
            self._found.one_of(told["effort"], "reasoning.effort", _EFFORTS)
        if told.get("summary") is not None:
            self._found.one_of(told["summary"], "reasoning.summary", _SUMMARIES)
        thinks = told.get("effort") not in (None, "none")
        if thinks and "reasoning.encrypted_content" not in (include if is_list(include) else ()):
            self._found.add("include", "must ask for reasoning.encrypted_content to send it back")

    # --- tools --------------------------------------------------------------------------------

    def _tools(self, tools: JsonValue, path: str) -> set[str]:
        """The names of a list of tools."""
        names: set[str] = set()
        if is_list(tools) and len(tools) > _MOST_TOOLS:
            self._found.add(path, f"must be at most {_MOST_TOOLS}")
        for where, value in self._found.items(tools, path):
            name = self._tool(value, where)
            if name in names:
                self._found.add(f"{where}.name", "is declared twice")
            names.add(name)
        return names

    def _tool(self, value: JsonValue, path: str) -> str:
        kind: JsonValue = value.get("type") if is_object(value) else None
        if not self._official and is_text(kind) and kind not in _TOOL_FIELDS:
            return ""
        if not self._found.one_of(kind, f"{path}.type", _TOOL_FIELDS.keys()):
            return ""
        required, allowed = _TOOL_FIELDS[str(kind)]
        known = allowed if self._official else None
        tool = self._found.fields(value, path, required={"type"} | required, allowed=known)
        name = self._found.matches(tool.get("name"), f"{path}.name", _NAME)
        if not is_text(tool.get("description", "")):
            self._found.add(f"{path}.description", "must be text")
        if "parameters" in tool:
            self._found.schema(tool["parameters"], f"{path}.parameters")
        if not isinstance(tool.get("strict"), bool | None):
            self._found.add(f"{path}.strict", "must be a boolean")
        if "format" in tool:
            self._format(tool["format"], f"{path}.format")
        return name or ""

    def _format(self, value: JsonValue, path: str) -> None:
        told = self._found.fields(value, path, required=("type",))
        if not self._found.one_of(told.get("type"), f"{path}.type", {"grammar", "text"}):
            return
        if told["type"] == "grammar":
            self._found.fields(told, path, required=("definition", "syntax", "type"), allowed=())
            self._found.one_of(told.get("syntax"), f"{path}.syntax", {"lark", "regex"})
            definition: JsonValue = told.get("definition")
            if not is_text(definition) or not definition.strip():
                self._found.add(f"{path}.definition", "must not be blank")

    def _tool_choice(self, names: Collection[str]) -> None:
        if "tool_choice" not in self._body:
            return
        choice: JsonValue = self._body["tool_choice"]
        if not is_object(choice):
            self._found.one_of(choice, "tool_choice", {"auto", "none", "required"})
            return
        if not is_text(choice.get("type")):
            self._found.add("tool_choice.type", "must be a name")
        named = choice.get("type") in ("custom", "function")
        if named and choice.get("name") not in names:
            self._found.add("tool_choice.name", "must be a declared tool")

    # --- input --------------------------------------------------------------------------------

    def _input(self) -> None:
        items: JsonValue = self._body.get("input")
        if is_text(items):
            return
        if is_list(items) and not items:
            self._found.add("input", "needs at least one item")
        rules = InputRules(self._found, self._tools)
        rules.check([] if items is None else items)
