"""Turns a transcript into the input items of the Responses API. Pure.

Source: spec of openai-responses, section 3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, cast

from pi_ai.api._responses_compat import ResponsesCompat
from pi_ai.api._responses_tools import declare_tool
from pi_ai.api._surrogates import sanitize_json
from pi_ai.ids import short_hash
from pi_ai.json_text import js_json, parse_json, sanitize_surrogates
from pi_ai.replay import normalize_responses_tool_call_id, transform_messages
from pi_ai.transcript import (
    get_initial_system_message,
    get_system_message_text,
    render_system_message_update,
)
from pi_ai.types import (
    AssistantMessage,
    ImageContent,
    JsonObject,
    JsonValue,
    Message,
    Model,
    SystemMessage,
    TextContent,
    ThinkingContent,
    ToolCall,
    ToolResultMessage,
    UserMessage,
)

__all__ = ("InputSettings", "build_answer_items", "build_input")

_TOOLS_UPDATE = (
    "This is an incremental tools update. Previously declared tools remain available unless "
    "explicitly marked unavailable. A tool declared again here is available again, and its latest "
    "definition replaces the earlier one."
)
_TOOLS_GONE = "The following tools are no longer available. Do not call them:"
_MOST_ID_CHARS = 64
_PHASES = ("commentary", "final_answer")


class InputSettings(NamedTuple):
    """What decides how a transcript is written, besides the model.

    `grammar_inputs`: for each tool with a grammar, the parameter that takes the text.
    `folded_messages`: how many system messages, from the first, need not say which tools they add.
    `leading_text` False: the text of the leading system message is sent elsewhere. `effort`: the
    one in force from here on, for servers that are told inside the conversation.
    """

    compat: ResponsesCompat
    grammar_inputs: Mapping[str, str]
    folded_messages: int = 0
    leading_text: bool = True
    effort: str | None = None


def build_input(
    model: Model, transcript: Sequence[Message], settings: InputSettings
) -> list[JsonObject]:
    """Every item of `transcript`, prompt first, as the server wants it.

    Raises ValueError for what cannot be said in this format.
    """
    return _Conversion(model, settings).run(transcript)


def build_answer_items(
    model: Model, message: AssistantMessage, settings: InputSettings
) -> list[JsonObject]:
    """The items that an answer becomes when the conversation goes on, results of calls aside."""
    items = _Conversion(model, settings).run([message])
    return [item for item in items if not str(item.get("type")).endswith("_output")]


class _Conversion:
    def __init__(self, model: Model, settings: InputSettings) -> None:
        self.model = model
        self.settings = settings
        self.compat = settings.compat
        developer = model.reasoning and settings.compat.developer_role
        self.role = "developer" if developer else "system"
        self.support = settings.compat.tool_support
        self.items: list[JsonObject] = []
        self.index = 0
        self.declared = False
        self.unavailable: dict[str, None] = {}
        self.custom_calls: set[str] = set()
        self.used_ids: set[str] = set()

    def run(self, transcript: Sequence[Message]) -> list[JsonObject]:
        leading = get_initial_system_message(transcript)
        if leading is not None:
            self._additional_tools(leading)
            if self.settings.leading_text:
                self._instruct(get_system_message_text(leading))
        rest = transform_messages(transcript, self.model, normalize_responses_tool_call_id)
        system_messages = 0 if leading is None else 1
        for message in rest if leading is None else rest[1:]:
            before = len(self.items)
            match message:
                case SystemMessage():
                    self._system(message, folded=system_messages < self.settings.folded_messages)
                    system_messages += 1
                case UserMessage():
                    self._user(message)
                case AssistantMessage():
                    self._assistant(message)
                case ToolResultMessage():
                    self._tool_result(message)
            if len(self.items) > before or isinstance(message, SystemMessage):
                self.index += 1
        if self.settings.effort is not None:
            self.items.append(_configuration_update(self.settings.effort))
        return self.items

    # --- system -------------------------------------------------------------------------------

    def _system(self, message: SystemMessage, *, folded: bool) -> None:
        text = render_system_message_update(message)
        match self.support:
            case "changes":
                self._additional_tools(message)
                text = "\n\n".join(part for part in (text, self._removals(message)) if part)
            case "additions" if not folded:
                self._tool_search(message)
            case _:
                pass
        self._instruct(text)

    def _instruct(self, text: str) -> None:
        clean = sanitize_surrogates(text)
        if clean:
            self.items.append({"role": self.role, "content": clean})

    def _additional_tools(self, message: SystemMessage) -> None:
        if self.support != "changes" or not message.tools_added:
            return
        for tool in message.tools_added:
            self.unavailable.pop(tool.name, None)
        if self.declared:
            gone = (
                f"\nStill unavailable: {', '.join(self.unavailable)}." if self.unavailable else ""
            )
            self._instruct(_TOOLS_UPDATE + gone)
        self.declared = True
        tools = [declare_tool(tool, self.compat) for tool in message.tools_added]
        self.items.append({"type": "additional_tools", "role": "developer", "tools": tools})

    def _removals(self, message: SystemMessage) -> str:
        added = {tool.name for tool in message.tools_added or ()}
        names = [ref.name for ref in message.tools_removed or () if ref.name not in added]
        self.unavailable.update(dict.fromkeys(names))
        return "\n".join([_TOOLS_GONE, *(f"- {name}" for name in names)]) if names else ""

    def _tool_search(self, message: SystemMessage) -> None:
        """Later tools, as if the model had looked for them and found them."""
        tools = message.tools_added or []
        if not tools:
            return
        names = [sanitize_surrogates(tool.name) for tool in tools]
        call_id = "pi_tool_load_" + short_hash(f"system:{self.index}:{','.join(names)}")
        found: JsonObject = {"call_id": call_id, "execution": "client", "status": "completed"}
        query: JsonObject = {"query": " ".join(names), "limit": len(names)}
        declared = [{**declare_tool(tool, self.compat), "defer_loading": True} for tool in tools]
        self.items.append({"type": "tool_search_call", **found, "arguments": query})
        self.items.append({"type": "tool_search_output", **found, "tools": declared})

    # --- user ---------------------------------------------------------------------------------

    def _user(self, message: UserMessage) -> None:
        if isinstance(message.content, str):
            parts = [_input_text(message.content)]
        else:
            parts = [
                _image_part(block) if isinstance(block, ImageContent) else _input_text(block.text)
                for block in message.content
            ]
        if parts:
            self.items.append({"role": "user", "content": parts})

    # --- assistant ----------------------------------------------------------------------------

    def _assistant(self, message: AssistantMessage) -> None:
        target = (self.model.provider, self.model.api)
        same_api = (message.provider, message.api) == target
        same_model = same_api and message.model == self.model.id
        items: list[JsonObject] = []
        texts = 0
        for block in message.content:
            match block:
                case ThinkingContent():
                    item = _reasoning_item(block.thinking_signature)
                    if item is not None and self._is_new(str(item.get("id"))):
                        items.append(item)
                case TextContent():
                    items.append(self._text(block, texts))
                    texts += 1
                case ToolCall():
                    keeps_item_id = same_model or not same_api
                    item = self._tool_call(block, keeps_item_id=keeps_item_id)
                    if same_model and block.namespace and item["type"] == "function_call":
                        item["namespace"] = block.namespace
                    items.append(item)
        # The server refuses reasoning without the item that it led to.
        while items and items[-1].get("type") == "reasoning":
            items.pop()
        if not items:
            return
        level = message.provider_thinking_level
        if self.settings.effort is not None and same_model and level:
            self.items.append(_configuration_update(level))
        self.items += items

    def _is_new(self, item_id: str) -> bool:
        """Notes an id; the server refuses a request that has one twice."""
        if item_id in self.used_ids:
            return False
        self.used_ids.add(item_id)
        return True

    def _text(self, block: TextContent, count: int) -> JsonObject:
        message_id, phase = _read_text_signature(block.text_signature)
        if len(message_id) > _MOST_ID_CHARS:
            message_id = f"msg_{short_hash(message_id)}"
        if not message_id or not self._is_new(message_id):
            message_id = f"msg_pi_{self.index}" + (f"_{count}" if count else "")
        text = sanitize_surrogates(block.text)
        item: JsonObject = {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": text, "annotations": []}],
            "status": "completed",
            "id": message_id,
        }
        if phase is not None:
            item["phase"] = phase
        return item

    def _tool_call(self, call: ToolCall, *, keeps_item_id: bool) -> JsonObject:
        call_id, _, item_id = call.id.partition("|")
        parameter = self.settings.grammar_inputs.get(call.name)
        item: JsonObject = {"type": "function_call" if parameter is None else "custom_tool_call"}
        fits = item_id.startswith("fc_" if parameter is None else "ctc_")
        if keeps_item_id and fits and self._is_new(item_id):
            item["id"] = item_id
        item["call_id"] = call_id
        item["name"] = call.name
        if parameter is None:
            item["arguments"] = js_json(call.arguments)
            return item
        text: JsonValue = call.arguments.get(parameter)
        if not isinstance(text, str):
            raise ValueError(
                f'Grammar tool call "{call.name}" requires argument "{parameter}" to be a string.'
            )
        self.custom_calls.add(call_id)
        item["input"] = sanitize_surrogates(text)
        return item

    # --- tool results -------------------------------------------------------------------------

    def _tool_result(self, message: ToolResultMessage) -> None:
        call_id = message.tool_call_id.partition("|")[0]
        kind = "custom_tool_call" if call_id in self.custom_calls else "function_call"
        output = self._output(message)
        self.items.append({"type": f"{kind}_output", "call_id": call_id, "output": output})

    def _output(self, message: ToolResultMessage) -> str | list[JsonObject]:
        texts = [block.text for block in message.content if isinstance(block, TextContent)]
        images = [block for block in message.content if isinstance(block, ImageContent)]
        text = sanitize_surrogates("\n".join(texts))
        said = bool(text.strip())
        if images and "image" in self.model.input:
            parts = [_image_part(block) for block in images]
            return [_input_text(text), *parts] if said else parts
        if said:
            return text
        return "(see attached image)" if images else "(no tool output)"


def _configuration_update(effort: str) -> JsonObject:
    return {"type": "configuration_update", "reasoning": {"effort": effort}}


def _input_text(text: str) -> JsonObject:
    return {"type": "input_text", "text": sanitize_surrogates(text)}


def _image_part(block: ImageContent) -> JsonObject:
    url = f"data:{block.mime_type.lower()};base64,{block.data}"
    return {"type": "input_image", "detail": "auto", "image_url": url}


def _reasoning_item(signature: str | None) -> JsonObject | None:
    """The item that a signature holds; None for one that holds none, which no server would read."""
    try:
        value = parse_json(signature or "null")
    except ValueError:
        return None
    if not isinstance(value, dict):
        return None
    # Only an escape can hold half of a surrogate pair.
    return sanitize_json(value) if "\\u" in (signature or "") else cast("JsonObject", value)


def _read_text_signature(signature: str | None) -> tuple[str, str | None]:
    """The message id, "" if there is none, and the phase. Older files hold the bare id."""
    if not signature or not signature.startswith("{"):
        return signature or "", None
    try:
        value = parse_json(signature)
    except ValueError:
        return signature, None
    told = cast("JsonObject", value)
    message_id: JsonValue = told.get("id")
    if told.get("v") != 1 or not isinstance(message_id, str):
        return signature, None
    phase: JsonValue = told.get("phase")
    return message_id, phase if phase in _PHASES else None
