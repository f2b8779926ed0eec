"""The rules of OpenAI's Chat Completions API for a request.

Source: https://platform.openai.com/docs/api-reference/chat/create; where it is silent, the text of
the server's own error.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from pi_ai.testing._cache_marks import CacheMarks
from pi_ai.testing._findings import IMAGE_TYPES, Findings, is_list, is_object, is_text
from pi_ai.types import JsonObject, JsonValue

__all__ = ("find_completions_problems",)

_FIELDS = {
    "audio",
    "frequency_penalty",
    "logit_bias",
    "logprobs",
    "max_completion_tokens",
    "max_tokens",
    "metadata",
    "modalities",
    "n",
    "parallel_tool_calls",
    "prediction",
    "presence_penalty",
    "prompt_cache_key",
    "prompt_cache_retention",
    "reasoning_effort",
    "response_format",
    "safety_identifier",
    "seed",
    "service_tier",
    "stop",
    "store",
    "stream",
    "stream_options",
    "temperature",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "user",
    "verbosity",
    "web_search_options",
}
_MESSAGE_FIELDS: dict[str, tuple[set[str], set[str]]] = {
    "developer": ({"content"}, {"name"}),
    "system": ({"content"}, {"name"}),
    "user": ({"content"}, {"name"}),
    "assistant": (set(), {"audio", "content", "name", "refusal", "tool_calls"}),
    "tool": ({"content", "tool_call_id"}, set()),
}
"""Per role the fields that must be there and those that may, besides `role`."""

_PART_KINDS = {
    "developer": {"text"},
    "system": {"text"},
    "user": {"file", "image_url", "input_audio", "text"},
    "assistant": {"refusal", "text"},
    "tool": {"text"},
}
_EFFORTS = {"high", "low", "max", "medium", "minimal", "none", "xhigh"}
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_DATA_URL = re.compile(r"data:([^;,]*);base64,(.*)", re.DOTALL)
_MOST_TOOLS = 128
_MOST_ID_CHARS = 40
_MOST_KEY_CHARS = 64


def find_completions_problems(body: JsonObject, provider: str) -> Findings:
    """Every broken rule of a request body."""
    found = Findings()
    rules = _Rules(found, body, official=provider == "openai")
    rules.check()
    return found


class _Rules:
    """`official`: api.openai.com itself, which knows no fields and ids of other servers."""

    def __init__(self, found: Findings, body: JsonObject, *, official: bool) -> None:
        self._found = found
        self._body = body
        self._official = official

    def check(self) -> None:
        self._known(self._body, "", required={"messages", "model"}, allowed=_FIELDS)
        self._found.unicode(self._body, "")
        model: JsonValue = self._body.get("model", "m")
        if not is_text(model) or not model:
            self._found.add("model", "must be a name")
        self._limits()
        self._settings()
        names = self._tools()
        self._tool_choice(names)
        messages: JsonValue = self._body.get("messages")
        read: list[JsonObject] = []
        for path, value in self._found.items([] if messages is None else messages, "messages"):
            read.append(self._message(value, path))
        if is_list(messages) and not messages:
            self._found.add("messages", "needs at least one message")
        self._pairing(read)
        if not self._official:
            self._marks(read)

    def _known(
        self, value: JsonValue, path: str, *, required: Collection[str], allowed: Collection[str]
    ) -> JsonObject:
        """As `Findings.fields`; other servers have fields of their own."""
        known = allowed if self._official else None
        return self._found.fields(value, path, required=required, allowed=known)

    # --- fields -------------------------------------------------------------------------------

    def _limits(self) -> None:
        body = self._body
        names = [name for name in ("max_completion_tokens", "max_tokens") if name in body]
        for name in names:
            self._found.integer(body[name], name, least=1)
        if len(names) == 2:
            self._found.add("max_tokens", "must not come with max_completion_tokens")
        if "temperature" in body:
            self._found.number(body["temperature"], "temperature", least=0, most=2)
        if "top_p" in body:
            self._found.number(body["top_p"], "top_p", least=0, most=1)

    def _settings(self) -> None:
        body = self._body
        for name in ("store", "stream"):
            if not isinstance(body.get(name, False), bool):
                self._found.add(name, "must be a boolean")
        if "stream_options" in body:
            self._known(
                body["stream_options"],
                "stream_options",
                required=(),
                allowed=("include_obfuscation", "include_usage"),
            )
            if body.get("stream") is not True:
                self._found.add("stream_options", "needs stream")
        if "reasoning_effort" in body:
            self._found.one_of(body["reasoning_effort"], "reasoning_effort", _EFFORTS)
        key: JsonValue = body.get("prompt_cache_key", "")
        if not is_text(key) or len(key) > _MOST_KEY_CHARS:
            text = f"must be text of at most {_MOST_KEY_CHARS} characters"
            self._found.add("prompt_cache_key", text)
        if "prompt_cache_retention" in body:
            times = {"24h", "in-memory", "in_memory"}
            self._found.one_of(body["prompt_cache_retention"], "prompt_cache_retention", times)

    def _tools(self) -> set[str]:
        """The names of the tools."""
        names: set[str] = set()
        tools: JsonValue = self._body.get("tools", [])
        if self._official and is_list(tools) and "tools" in self._body:
            if not tools:
                self._found.add("tools", "must not be empty")
            if len(tools) > _MOST_TOOLS:
                self._found.add("tools", f"must be at most {_MOST_TOOLS}")
        for path, value in self._found.items(tools, "tools"):
            tool = self._known(value, path, required=("type",), allowed=("custom", "function"))
            if not self._found.one_of(tool.get("type"), f"{path}.type", {"custom", "function"}):
                continue
            where = f"{path}.{tool['type']}"
            name = self._declaration(tool.get(tool["type"]), where, custom=tool["type"] == "custom")
            if name in names:
                self._found.add(f"{where}.name", "is declared twice")
            names.add(name)
        return names

    def _declaration(self, value: JsonValue, path: str, *, custom: bool) -> str:
        fields = {"description", "format"} if custom else {"description", "parameters", "strict"}
        declared = self._known(value, path, required=("name",), allowed=fields)
        name = self._found.matches(declared.get("name"), f"{path}.name", _NAME)
        if not is_text(declared.get("description", "")):
            self._found.add(f"{path}.description", "must be text")
        if "parameters" in declared:
            self._found.schema(declared["parameters"], f"{path}.parameters")
        if not isinstance(declared.get("strict"), bool | None):
            self._found.add(f"{path}.strict", "must be a boolean")
        return name or ""

    def _tool_choice(self, names: Collection[str]) -> None:
        if "tool_choice" not in self._body:
            return
        if not self._body.get("tools"):
            self._found.add("tool_choice", "needs tools")
        choice: JsonValue = self._body["tool_choice"]
        if not is_object(choice):
            self._found.one_of(choice, "tool_choice", {"auto", "none", "required"})
            return
        kind: JsonValue = choice.get("type")
        kinds = {"allowed_tools", "custom", "function"}
        if self._found.one_of(kind, "tool_choice.type", kinds) and kind != "allowed_tools":
            path = f"tool_choice.{kind}"
            chosen = self._found.fields(choice.get(str(kind)), path, required=("name",))
            if chosen.get("name") not in names:
                self._found.add(f"{path}.name", "must be a declared tool")

    # --- one message --------------------------------------------------------------------------

    def _message(self, value: JsonValue, path: str) -> JsonObject:
        role: JsonValue = value.get("role") if is_object(value) else None
        if not self._found.one_of(role, f"{path}.role", _MESSAGE_FIELDS.keys()):
            return self._found.fields(value, path)
        required, allowed = _MESSAGE_FIELDS[str(role)]
        message = self._known(value, path, required={"role"} | required, allowed=allowed)
        if "content" in message:
            self._content(message["content"], f"{path}.content", str(role))
        if role == "assistant":
            self._assistant(message, path)
        return message

    def _content(self, content: JsonValue, path: str, role: str) -> None:
        if is_text(content) or (content is None and role == "assistant"):
            return
        if is_list(content) and not content:
            self._found.add(path, "must not be empty")
        for where, value in self._found.items(content, path):
            part = self._found.fields(value, where, required=("type",))
            if not self._found.one_of(part.get("type"), f"{where}.type", _PART_KINDS[role]):
                continue
            kind: str = part["type"]
            self._known(part, where, required=("type", kind), allowed=())
            if kind in ("refusal", "text") and not (is_text(part.get(kind)) and part[kind]):
                self._found.add(f"{where}.{kind}", "must not be empty")
            if kind == "image_url":
                self._image(part.get("image_url"), f"{where}.image_url")

    def _image(self, value: JsonValue, path: str) -> None:
        image = self._known(value, path, required=("url",), allowed=("detail",))
        url: JsonValue = image.get("url")
        if "detail" in image:
            self._found.one_of(image["detail"], f"{path}.detail", {"auto", "high", "low"})
        if is_text(url) and url.startswith(("http://", "https://")):
            return
        data = _DATA_URL.fullmatch(url) if is_text(url) else None
        if data is None:
            self._found.add(f"{path}.url", "must be a web address or a base64 data URL")
            return
        self._found.one_of(data[1], f"{path}.url", IMAGE_TYPES)
        self._found.base64(data[2], f"{path}.url")

    def _assistant(self, message: JsonObject, path: str) -> None:
        if "tool_calls" not in message:
            if not (message.get("content") or message.get("refusal") or message.get("audio")):
                self._found.add(f"{path}.content", "must not be empty without tool_calls")
            return
        calls: JsonValue = message["tool_calls"]
        if is_list(calls) and not calls:
            self._found.add(f"{path}.tool_calls", "must not be empty")
        seen: set[str] = set()
        for where, value in self._found.items(calls, f"{path}.tool_calls"):
            call = self._known(
                value, where, required=("id", "type"), allowed=("custom", "function")
            )
            call_id: JsonValue = call.get("id")
            self._call_id(call_id, f"{where}.id")
            if call_id in seen:
                self._found.add(f"{where}.id", "is used by another call of this message")
            seen.add(str(call_id))
            self._call(call, where)

    def _call_id(self, value: JsonValue, path: str) -> None:
        most = _MOST_ID_CHARS if self._official else None
        if not is_text(value) or not value:
            self._found.add(path, "must not be empty")
        elif most is not None and len(value) > most:
            self._found.add(path, f"must be at most {most} characters long")

    def _call(self, call: JsonObject, path: str) -> None:
        if not self._found.one_of(call.get("type"), f"{path}.type", {"custom", "function"}):
            return
        kind: str = call["type"]
        text = "arguments" if kind == "function" else "input"
        where = f"{path}.{kind}"
        called = self._known(call.get(kind), where, required=("name", text), allowed=())
        self._found.matches(called.get("name"), f"{where}.name", _NAME)
        if kind == "function":
            self._found.json_object(called.get("arguments"), f"{where}.arguments")

    # --- between messages ---------------------------------------------------------------------

    def _pairing(self, messages: Sequence[JsonObject]) -> None:
        """Tool messages stand directly behind the calls they answer, one for each."""
        open_calls: list[str] = []
        for index, message in enumerate(messages):
            path = f"messages[{index}]"
            if message.get("role") == "tool":
                call_id: JsonValue = message.get("tool_call_id")
                if call_id in open_calls:
                    open_calls.remove(call_id)
                else:
                    self._found.add(path, f"answers no call that waits: {call_id!r}")
                continue
            if open_calls:
                self._found.add(path, f"comes before the results of the calls {open_calls}")
            calls: JsonValue = message.get("tool_calls")
            found = [call for call in calls if is_object(call)] if is_list(calls) else []
            open_calls = [str(call.get("id")) for call in found]
        if open_calls:
            self._found.add("messages", f"end without results for the calls {open_calls}")

    def _marks(self, messages: Sequence[JsonObject]) -> None:
        """Anthropic's cache marks, which some servers pass on."""
        marks = CacheMarks(self._found)
        marks.blocks(self._body.get("tools"), "tools")
        for index, message in enumerate(messages):
            marks.block(message, f"messages[{index}]")
            marks.blocks(message.get("content"), f"messages[{index}].content")
        marks.count()
