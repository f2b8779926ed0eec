"""The rules of OpenAI's Responses API for the items of the input: kinds, ids, order, pairing.

Source: https://platform.openai.com/docs/api-reference/responses/create; where it is silent, the
text of the server's own error.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from pi_ai.testing._findings import IMAGE_TYPES, Findings, is_list, is_object, is_text
from pi_ai.types import JsonObject, JsonValue

__all__ = ("InputRules",)

_ITEM_FIELDS: dict[str, tuple[set[str], set[str]]] = {
    "message": ({"content", "role"}, {"id", "phase", "status"}),
    "reasoning": ({"id", "summary"}, {"content", "encrypted_content", "status"}),
    "function_call": ({"arguments", "call_id", "name"}, {"id", "namespace", "status"}),
    "function_call_output": ({"call_id", "output"}, {"id", "status"}),
    "custom_tool_call": ({"call_id", "input", "name"}, {"id", "namespace", "status"}),
    "custom_tool_call_output": ({"call_id", "output"}, {"id", "status"}),
    "tool_search_call": ({"arguments", "call_id", "execution"}, {"id", "status"}),
    "tool_search_output": ({"call_id", "execution", "tools"}, {"id", "status"}),
    "additional_tools": ({"role", "tools"}, {"id"}),
    "configuration_update": ({"reasoning"}, {"id"}),
}
"""Per kind of item the fields that must be there and those that may, besides `type`."""

_ID_PREFIXES = {
    "message": "msg_",
    "reasoning": "rs_",
    "function_call": "fc_",
    "custom_tool_call": "ctc_",
}
_OUTPUTS = {
    "function_call_output": "function_call",
    "custom_tool_call_output": "custom_tool_call",
    "tool_search_output": "tool_search_call",
}
_CALLS = set(_OUTPUTS.values())
_MODEL_ITEMS = {"custom_tool_call", "function_call", "message"}
_PART_KINDS = {
    "assistant": {"output_text", "refusal"},
    "developer": {"input_file", "input_image", "input_text"},
    "system": {"input_file", "input_image", "input_text"},
    "user": {"input_file", "input_image", "input_text"},
}
_OUTPUT_KINDS = {"input_file", "input_image", "input_text"}
_EFFORTS = {"high", "low", "max", "medium", "minimal", "none", "xhigh"}
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_DATA_URL = re.compile(r"data:([^;,]*);base64,(.*)", re.DOTALL)
_MOST_ID_CHARS = 64

ToolRules = Callable[[JsonValue, str], set[str]]
"""Checks a list of tools and gives their names."""


class InputRules:
    """Checks the items of a request; `tools` checks those that items declare."""

    def __init__(self, found: Findings, tools: ToolRules) -> None:
        self._found = found
        self._tools = tools
        self._ids: set[str] = set()

    def check(self, items: JsonValue) -> None:
        read: list[JsonObject] = []
        for path, value in self._found.items(items, "input"):
            read.append(self._item(value, path))
        self._pairing(read)
        self._reasoning_leads_on(read)

    # --- one item -----------------------------------------------------------------------------

    def _item(self, value: JsonValue, path: str) -> JsonObject:
        kind: JsonValue = value.get("type", "message") if is_object(value) else None
        if not self._found.one_of(kind, f"{path}.type", _ITEM_FIELDS.keys()):
            return self._found.fields(value, path)
        required, allowed = _ITEM_FIELDS[str(kind)]
        item = self._found.fields(value, path, required=required, allowed={"type"} | allowed)
        self._item_id(item, path, str(kind))
        if "call_id" in item:
            self._call_id(item["call_id"], f"{path}.call_id")
        match kind:
            case "message":
                self._message(item, path)
            case "reasoning":
                self._reasoning(item, path)
            case "function_call":
                self._found.matches(item.get("name"), f"{path}.name", _NAME)
                self._found.json_object(item.get("arguments"), f"{path}.arguments")
            case "custom_tool_call":
                self._found.matches(item.get("name"), f"{path}.name", _NAME)
                if not is_text(item.get("input")):
                    self._found.add(f"{path}.input", "must be text")
            case "function_call_output" | "custom_tool_call_output":
                self._output(item.get("output"), f"{path}.output")
            case "tool_search_output" | "additional_tools":
                self._tools(item.get("tools"), f"{path}.tools")
            case "configuration_update":
                told = self._found.fields(item.get("reasoning"), f"{path}.reasoning")
                self._found.one_of(told.get("effort"), f"{path}.reasoning.effort", _EFFORTS)
            case _:
                pass
        return {"type": kind, **item}

    def _item_id(self, item: JsonObject, path: str, kind: str) -> None:
        if "id" not in item:
            return
        item_id: JsonValue = item["id"]
        prefix = _ID_PREFIXES.get(kind, "")
        fits = is_text(item_id) and item_id.startswith(prefix) and len(item_id) <= _MOST_ID_CHARS
        if not fits or not item_id:
            text = f"must begin with {prefix!r} and be at most {_MOST_ID_CHARS} characters long"
            self._found.add(f"{path}.id", text)
        elif item_id in self._ids:
            self._found.add(f"{path}.id", "is used by an earlier item")
        self._ids.add(str(item_id))

    def _call_id(self, value: JsonValue, path: str) -> None:
        if not is_text(value) or not 1 <= len(value) <= _MOST_ID_CHARS:
            self._found.add(path, f"must have 1 to {_MOST_ID_CHARS} characters")

    def _message(self, item: JsonObject, path: str) -> None:
        role: JsonValue = item.get("role")
        if not self._found.one_of(role, f"{path}.role", _PART_KINDS.keys()):
            return
        if "phase" in item:
            self._found.one_of(item["phase"], f"{path}.phase", {"commentary", "final_answer"})
        if not is_text(item.get("content")):
            self._parts(item.get("content"), f"{path}.content", _PART_KINDS[str(role)])

    def _parts(self, parts: JsonValue, path: str, kinds: set[str]) -> None:
        if is_list(parts) and not parts:
            self._found.add(path, "must not be empty")
        for where, value in self._found.items(parts, path):
            part = self._found.fields(value, where, required=("type",))
            if not self._found.one_of(part.get("type"), f"{where}.type", kinds):
                continue
            match part["type"]:
                case "input_text":
                    self._text(part, where, set())
                case "output_text":
                    self._text(part, where, {"annotations", "logprobs"})
                case "input_image":
                    self._image(part, where)
                case _:
                    pass

    def _text(self, part: JsonObject, path: str, allowed: set[str]) -> None:
        self._found.fields(part, path, required=("text",), allowed={"type"} | allowed)
        if not is_text(part.get("text")):
            self._found.add(f"{path}.text", "must be text")

    def _image(self, part: JsonObject, path: str) -> None:
        self._found.fields(part, path, allowed=("detail", "file_id", "image_url", "type"))
        if "detail" in part:
            self._found.one_of(part["detail"], f"{path}.detail", {"auto", "high", "low"})
        url: JsonValue = part.get("image_url")
        if "file_id" in part or (is_text(url) and url.startswith(("http://", "https://"))):
            return
        data = _DATA_URL.fullmatch(url) if is_text(url) else None
        if data is None:
            self._found.add(f"{path}.image_url", "must be a web address or a base64 data URL")
            return
        self._found.one_of(data[1], f"{path}.image_url", IMAGE_TYPES)
        self._found.base64(data[2], f"{path}.image_url")

    def _reasoning(self, item: JsonObject, path: str) -> None:
        for where, value in self._found.items(item.get("summary", []), f"{path}.summary"):
            part = self._found.fields(value, where, required=("text", "type"), allowed=())
            self._found.one_of(part.get("type"), f"{where}.type", {"summary_text"})

    def _output(self, output: JsonValue, path: str) -> None:
        if not is_text(output):
            self._parts(output, path, _OUTPUT_KINDS)

    # --- between items ------------------------------------------------------------------------

    def _pairing(self, items: Sequence[JsonObject]) -> None:
        """Every call has one output behind it, of its own kind, and every output a call."""
        waiting: dict[JsonValue, JsonValue] = {}
        seen: set[JsonValue] = set()
        for index, item in enumerate(items):
            path, kind = f"input[{index}]", item.get("type")
            call_id: JsonValue = str(item.get("call_id"))
            if kind in _CALLS:
                if call_id in seen:
                    self._found.add(f"{path}.call_id", "is used by an earlier call")
                seen.add(call_id)
                waiting[call_id] = kind
            wanted = _OUTPUTS.get(kind) if is_text(kind) else None
            if wanted is not None and waiting.pop(call_id, None) != wanted:
                self._found.add(path, f"answers no call that waits: {call_id!r}")
        for call_id in waiting:
            self._found.add("input", f"has no output for the call {call_id!r}")

    def _reasoning_leads_on(self, items: Sequence[JsonObject]) -> None:
        """What reasoning led to stands behind it: a call, or a message of the assistant."""
        for index, item in enumerate(items):
            if item.get("type") != "reasoning":
                continue
            behind = [one for one in items[index + 1 :] if one.get("type") != "reasoning"]
            led_to: JsonObject = behind[0] if behind else {}
            spoken = led_to.get("type") != "message" or led_to.get("role") == "assistant"
            if led_to.get("type") not in _MODEL_ITEMS or not spoken:
                self._found.add(f"input[{index}]", "of type reasoning lacks the item it led to")
