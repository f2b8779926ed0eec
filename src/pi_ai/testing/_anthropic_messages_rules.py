"""The rules of Anthropic's Messages API for the messages of a request: roles, blocks, pairing.

Sources, below https://docs.claude.com/en: api/messages, api/errors,
agents-and-tools/tool-use/implement-tool-use, build-with-claude/extended-thinking,
build-with-claude/vision, build-with-claude/mid-conversation-system-messages; where these are
silent, the text of the server's own error.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from pi_ai.testing._findings import IMAGE_TYPES, Findings, is_list, is_object, is_text
from pi_ai.types import JsonObject, JsonValue

__all__ = ("MessageRules",)

_BLOCK_FIELDS: dict[str, tuple[set[str], set[str]]] = {
    "text": ({"text"}, {"cache_control", "citations"}),
    "image": ({"source"}, {"cache_control"}),
    "document": ({"source"}, {"cache_control", "citations", "context", "title"}),
    "search_result": ({"content", "source", "title"}, {"cache_control", "citations"}),
    "tool_use": ({"id", "input", "name"}, {"cache_control", "caller"}),
    "tool_result": ({"tool_use_id"}, {"cache_control", "content", "is_error"}),
    "tool_reference": ({"tool_name"}, {"cache_control"}),
    "thinking": ({"signature", "thinking"}, set()),
    "redacted_thinking": ({"data"}, set()),
    "tool_addition": ({"tool"}, {"cache_control"}),
    "tool_removal": ({"tool"}, {"cache_control"}),
}
"""Per kind of block the fields that must be there and those that may, besides `type`."""

_RESULT_KINDS = {"document", "image", "search_result", "text", "tool_reference"}
_THINKING_KINDS = {"redacted_thinking", "thinking"}
_KINDS = {
    "user": {"document", "image", "search_result", "text", "tool_result"},
    "assistant": {"text", "tool_use"} | _THINKING_KINDS,
    "system": {"text"},
}
_INLINE_TOOLS = "inline-tools-2026-09-15"
_MESSAGE_CONFIG = "mid-conversation-output-config-2026-07-01"
_CALL_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_CALL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")


class MessageRules:
    """Checks the `messages` of a request; `thinks` is whether the model may think."""

    def __init__(self, found: Findings, betas: Collection[str], *, thinks: bool) -> None:
        self._found = found
        self._betas = betas
        self._thinks = thinks
        self._call_ids: set[str] = set()

    def check(self, messages: JsonValue) -> None:
        read: list[JsonObject] = []
        for path, value in self._found.items([] if messages is None else messages, "messages"):
            read.append(self._message(value, path))
        if is_list(messages) and not messages:
            self._found.add("messages", "needs at least one message")
        self._order(read)
        self._pairing(read)
        if read and read[-1].get("role") == "assistant":
            self._prefill(read[-1], f"messages[{len(read) - 1}]")

    # --- one message --------------------------------------------------------------------------

    def _message(self, value: JsonValue, path: str) -> JsonObject:
        system = is_object(value) and value.get("role") == "system"
        known = {"output_config"} if system and _MESSAGE_CONFIG in self._betas else set[str]()
        message = self._found.fields(value, path, required=("role", "content"), allowed=known)
        role: JsonValue = message.get("role")
        if not self._found.one_of(role, f"{path}.role", _KINDS.keys()):
            return message
        content: JsonValue = message.get("content")
        where = f"{path}.content"
        if is_text(content):
            if not content.strip():
                self._found.add(where, "must not be blank")
            return message
        if is_list(content) and not content and "output_config" not in message:
            self._found.add(where, "must not be empty")
        kinds = set(_KINDS[role])
        if role == "system" and _INLINE_TOOLS in self._betas:
            kinds |= {"tool_addition", "tool_removal"}
        self._blocks(content, where, kinds)
        if role == "assistant" and is_list(content) and _kind(content[-1:]) in _THINKING_KINDS:
            self._found.add(where, "must not end in thinking")
        return message

    def _blocks(self, content: JsonValue, path: str, kinds: Collection[str]) -> None:
        for where, value in self._found.items(content, path):
            kind: JsonValue = value.get("type") if is_object(value) else None
            if not self._found.one_of(kind, f"{where}.type", kinds):
                continue
            required, allowed = _BLOCK_FIELDS[str(kind)]
            block = self._found.fields(value, where, required={"type"} | required, allowed=allowed)
            match kind:
                case "text":
                    self._text(block, where)
                case "image":
                    self._image(block, where)
                case "tool_use":
                    self._tool_use(block, where)
                case "tool_result":
                    self._tool_result(block, where)
                case "thinking":
                    self._signed(block, where)
                case "redacted_thinking":
                    self._filled(block, "data", where)
                case _:
                    pass

    def _text(self, block: JsonObject, path: str) -> None:
        text: JsonValue = block.get("text")
        if not is_text(text) or not text.strip():
            self._found.add(f"{path}.text", "must not be blank")

    def _image(self, block: JsonObject, path: str) -> None:
        where = f"{path}.source"
        source = self._found.fields(block.get("source"), where, required=("type",))
        match source.get("type"):
            case "base64":
                self._found.fields(source, where, required=("type", "media_type", "data"))
                self._found.one_of(source.get("media_type"), f"{where}.media_type", IMAGE_TYPES)
                self._found.base64(source.get("data"), f"{where}.data")
            case "url":
                self._filled(source, "url", where)
            case "file":
                self._filled(source, "file_id", where)
            case _:
                self._found.add(f"{where}.type", "must be one of base64, file, url")

    def _tool_use(self, block: JsonObject, path: str) -> None:
        call_id = self._found.matches(block.get("id"), f"{path}.id", _CALL_ID)
        if call_id in self._call_ids:
            self._found.add(f"{path}.id", "is used by an earlier call")
        self._call_ids.add(call_id or "")
        self._found.matches(block.get("name"), f"{path}.name", _CALL_NAME)
        if not is_object(block.get("input")):
            self._found.add(f"{path}.input", "must be an object")

    def _tool_result(self, block: JsonObject, path: str) -> None:
        content: JsonValue = block.get("content", "")
        if not is_text(content):
            self._blocks(content, f"{path}.content", _RESULT_KINDS)
        error: JsonValue = block.get("is_error", False)
        if not isinstance(error, bool):
            self._found.add(f"{path}.is_error", "must be a boolean")
        if error is True and not content:
            self._found.add(f"{path}.content", "must not be empty for an error")
        parts: Sequence[JsonValue] = content if is_list(content) else []
        if error is True and any(_kind([part]) != "text" for part in parts):
            self._found.add(f"{path}.content", "must be text alone for an error")

    def _signed(self, block: JsonObject, path: str) -> None:
        if not is_text(block.get("thinking")):
            self._found.add(f"{path}.thinking", "must be text")
        self._filled(block, "signature", path)

    def _filled(self, block: JsonObject, name: str, path: str) -> None:
        value: JsonValue = block.get(name)
        if not is_text(value) or not value.strip():
            self._found.add(f"{path}.{name}", "must not be blank")

    # --- between messages ---------------------------------------------------------------------

    def _order(self, messages: Sequence[JsonObject]) -> None:
        """The first message is the user's; a system section stands between user and assistant."""
        spoken = [
            (f"messages[{index}]", message)
            for index, message in enumerate(messages)
            if not _is_setting(message)
        ]
        if spoken and spoken[0][1].get("role") == "assistant":
            self._found.add(spoken[0][0], "must be of role user, being the first")
        before: JsonValue = None
        for index, (path, message) in enumerate(spoken):
            role: JsonValue = message.get("role")
            if role == "system":
                after = [later.get("role") for _, later in spoken[index + 1 :][:1]]
                if before != "user":
                    self._found.add(path, "of role system must follow a user message")
                if after not in ([], ["assistant"], ["system"]):
                    self._found.add(path, "of role system must precede an assistant message")
            else:
                before = role

    def _pairing(self, messages: Sequence[JsonObject]) -> None:
        """Results answer all calls of the message before, and stand before all else."""
        open_calls: list[str] = []
        for index, message in enumerate(messages):
            path = f"messages[{index}]"
            blocks = _objects(message.get("content"))
            results = [block for block in blocks if block.get("type") == "tool_result"]
            if any(block.get("type") != "tool_result" for block in blocks[: len(results)]):
                self._found.add(path, "must hold tool results before other blocks")
            if _is_setting(message) and open_calls:
                self._found.add(path, "stands between calls and their results")
            for result in results:
                call_id: JsonValue = result.get("tool_use_id")
                if call_id in open_calls:
                    open_calls.remove(call_id)
                else:
                    self._found.add(path, f"has a result without its call before: {call_id!r}")
            if open_calls:
                self._found.add(path, f"has no result for the calls before: {open_calls}")
            open_calls = [
                str(block.get("id")) for block in blocks if block.get("type") == "tool_use"
            ]
        if open_calls:
            self._found.add("messages", f"end without results for the calls {open_calls}")

    def _prefill(self, message: JsonObject, path: str) -> None:
        if self._thinks:
            self._found.add(path, "of role assistant must not be last when the model thinks")
        content: JsonValue = message.get("content")
        if is_list(content):
            blocks = _objects(content)
            content = blocks[-1].get("text") if blocks else None
        if is_text(content) and content != content.rstrip():
            self._found.add(path, "must not end in white space, being the last")


def _objects(value: JsonValue) -> list[JsonObject]:
    return [item for item in value if is_object(item)] if is_list(value) else []


def _kind(blocks: Sequence[JsonValue]) -> str:
    """The type of the only block, "" for none."""
    return str(blocks[0].get("type")) if blocks and is_object(blocks[0]) else ""


def _is_setting(message: JsonObject) -> bool:
    """Whether it only sets options from here on, which no rule of order binds."""
    return message.get("role") == "system" and message.get("content") == []
