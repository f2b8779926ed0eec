"""Turns a transcript into Chat Completions messages. Pure.

Source: providers spec, section 4.4.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from pi_ai.api._completions_compat import CompletionsCompat
from pi_ai.api._completions_tools import declare_tool
from pi_ai.json_text import js_json, parse_json, sanitize_surrogates
from pi_ai.replay import normalize_completions_tool_call_id, transform_messages
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

__all__ = ("build_messages", "is_reasoning_detail")

_REASONING_FIELDS = {"reasoning", "reasoning_content", "reasoning_text"}
_BRIDGE: JsonObject = {"role": "assistant", "content": "I have processed the tool results."}


def build_messages(
    model: Model,
    transcript: Sequence[Message],
    compat: CompletionsCompat,
    *,
    grammar_inputs: Mapping[str, str],
    folded_messages: int,
) -> list[JsonObject]:
    """Every message of `transcript`, prompt first, as the server wants it.

    `grammar_inputs`: for each tool with a grammar, the parameter that takes the text.
    `folded_messages`: how many system messages, from the first, need not say which tools they add.
    Raises ValueError for what cannot be said in this format.
    """
    conversion = _Conversion(model, compat, grammar_inputs)
    return conversion.run(transcript, folded_messages)


class _Conversion:
    def __init__(
        self, model: Model, compat: CompletionsCompat, grammar_inputs: Mapping[str, str]
    ) -> None:
        self.model = model
        self.compat = compat
        self.grammar_inputs = grammar_inputs
        self.role = "developer" if model.reasoning and compat.developer_role else "system"
        self.sent: list[JsonObject] = []
        self.result_images: list[ImageContent] = []

    def run(self, transcript: Sequence[Message], folded_messages: int) -> list[JsonObject]:
        initial = get_initial_system_message(transcript)
        self._system(get_system_message_text(initial) if initial else "")
        rest = transform_messages(transcript, self.model, normalize_completions_tool_call_id)
        system_messages = 0 if initial is None else 1
        for message in rest if initial is None else rest[1:]:
            if not isinstance(message, ToolResultMessage):
                self._show_result_images()
            match message:
                case SystemMessage():
                    if system_messages >= folded_messages:
                        self._add_tools(message)
                    system_messages += 1
                    self._system(render_system_message_update(message))
                case UserMessage():
                    self._user(message)
                case AssistantMessage():
                    self._assistant(message)
                case ToolResultMessage():
                    self._tool_result(message)
        self._show_result_images()
        return self.sent

    def _add_tools(self, message: SystemMessage) -> None:
        if message.tools_added:
            tools = [declare_tool(tool, self.compat) for tool in message.tools_added]
            self.sent.append({"role": "system", "tools": tools})

    def _system(self, text: str) -> None:
        clean = sanitize_surrogates(text)
        if clean.strip():
            self.sent.append({"role": self.role, "content": clean})

    def _user(self, message: UserMessage) -> None:
        if isinstance(message.content, str):
            content: str | list[JsonObject] = sanitize_surrogates(message.content)
        else:
            content = []
            for block in message.content:
                if isinstance(block, ImageContent):
                    content.append(_image_part(block))
                elif text := sanitize_surrogates(block.text):
                    content.append({"type": "text", "text": text})
            if not content:
                return
        self._bridge()
        self.sent.append({"role": "user", "content": content})

    def _bridge(self) -> None:
        if self.compat.assistant_after_result and self.sent and self.sent[-1]["role"] == "tool":
            self.sent.append(dict(_BRIDGE))

    # --- assistant ----------------------------------------------------------------------------

    def _assistant(self, message: AssistantMessage) -> None:
        texts = [
            text
            for block in message.content
            if isinstance(block, TextContent) and (text := sanitize_surrogates(block.text)).strip()
        ]
        calls = [block for block in message.content if isinstance(block, ToolCall)]
        empty = "" if self.compat.assistant_after_result or self.compat.non_null_content else None
        sent: JsonObject = {"role": "assistant", "content": "".join(texts) or empty}
        self._replay_thinking(message, texts, calls, sent)
        if calls:
            sent["tool_calls"] = [self._tool_call(call) for call in calls]
        if sent["content"] or calls:
            self.sent.append(sent)

    def _tool_call(self, call: ToolCall) -> JsonObject:
        parameter = self.grammar_inputs.get(call.name)
        if parameter is None:
            function = {"name": call.name, "arguments": js_json(call.arguments)}
            return {"id": call.id, "type": "function", "function": function}
        text: JsonValue = call.arguments.get(parameter)
        if not isinstance(text, str):
            raise ValueError(
                f'Grammar tool call "{call.name}" requires argument "{parameter}" to be a string.'
            )
        return {"id": call.id, "type": "custom", "custom": {"name": call.name, "input": text}}

    def _replay_thinking(
        self,
        message: AssistantMessage,
        texts: Sequence[str],
        calls: Sequence[ToolCall],
        sent: JsonObject,
    ) -> None:
        blocks = [block for block in message.content if isinstance(block, ThinkingContent)]
        details = _reasoning_details(blocks, calls)
        shown = [block for block in blocks if block.thinking.strip()]
        if details:
            sent["reasoning_details"] = details
        if self.compat.thinking_as_text:
            said = [
                text for block in shown if (text := sanitize_surrogates(block.thinking)).strip()
            ]
            parts = ["\n\n".join(said), *texts]
            if said:
                sent["content"] = [{"type": "text", "text": part} for part in parts]
        elif shown and not details:
            name = shown[0].thinking_signature
            if self.model.provider == "opencode-go" and name == "reasoning":
                name = "reasoning_content"
            if name in _REASONING_FIELDS:
                sent[name] = "\n".join(block.thinking for block in shown)
        if self.compat.needs_reasoning_content and self.model.reasoning:
            sent.setdefault("reasoning_content", "")

    # --- tool results -------------------------------------------------------------------------

    def _tool_result(self, message: ToolResultMessage) -> None:
        images = [block for block in message.content if isinstance(block, ImageContent)]
        texts = [block.text for block in message.content if isinstance(block, TextContent)]
        text = sanitize_surrogates("\n".join(texts))
        if not text.strip():
            text = "(see attached image)" if images else "(no tool output)"
        sent: JsonObject = {"role": "tool", "content": text, "tool_call_id": message.tool_call_id}
        if self.compat.result_name:
            sent["name"] = message.tool_name
        self.sent.append(sent)
        if "image" in self.model.input:
            self.result_images += images

    def _show_result_images(self) -> None:
        """Results hold only text here; their images follow in a message of their own."""
        if not self.result_images:
            return
        self._bridge()
        caption: JsonObject = {"type": "text", "text": "Attached image(s) from tool result:"}
        parts = [caption, *(_image_part(block) for block in self.result_images)]
        self.sent.append({"role": "user", "content": parts})
        self.result_images = []


def _image_part(block: ImageContent) -> JsonObject:
    url = f"data:{block.mime_type.lower()};base64,{block.data}"
    return {"type": "image_url", "image_url": {"url": url}}


# --- OpenRouter's structured reasoning --------------------------------------------------------


def is_reasoning_detail(value: Any) -> bool:
    """Whether `value` is a reasoning detail that can be sent back."""
    if not isinstance(value, dict):
        return False
    detail = cast("JsonObject", value)
    index = detail.get("index", 0)
    if not (
        isinstance(detail.get("id", ""), str | None)
        and isinstance(detail.get("format", ""), str)
        and isinstance(index, int | float)
        and not isinstance(index, bool)
    ):
        return False
    match detail.get("type"):
        case "reasoning.summary":
            return isinstance(detail.get("summary"), str)
        case "reasoning.encrypted":
            return isinstance(detail.get("data"), str)
        case "reasoning.text":
            signature = detail.get("signature")
            return isinstance(detail.get("text"), str) and isinstance(signature, str | None)
        case _:
            return False


def _reasoning_details(
    blocks: Sequence[ThinkingContent], calls: Sequence[ToolCall]
) -> list[JsonObject]:
    for block in blocks:
        value = _json_or_none(block.thinking_signature)
        items = cast("list[Any]", value) if isinstance(value, list) else []
        if items and all(is_reasoning_detail(item) for item in items):
            return items
    # The older form: one encrypted detail per tool call.
    found: list[JsonObject] = []
    for call in calls:
        value = _json_or_none(call.thought_signature)
        if isinstance(value, dict):
            detail = cast("JsonObject", value)
            told = detail.get("type") == "reasoning.encrypted"
            if told and detail.get("id") and detail.get("data") and is_reasoning_detail(detail):
                found.append(detail)
    return found


def _json_or_none(text: str | None) -> Any:
    if not text or text[0] not in "[{":
        return None
    try:
        return parse_json(text)
    except ValueError:
        return None
