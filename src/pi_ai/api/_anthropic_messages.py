"""Turns a transcript into messages of the Messages API. Pure.

Source: providers spec, section 5.4.
"""

from __future__ import annotations

from collections.abc import Sequence

from pi_ai.api._anthropic_compat import AnthropicCompat
from pi_ai.api._anthropic_thinking import effort_message
from pi_ai.api._anthropic_tools import ToolWriter
from pi_ai.json_text import sanitize_surrogates
from pi_ai.replay import (
    normalize_anthropic_tool_call_id,
    split_error_tool_result_images,
    transform_messages,
)
from pi_ai.transcript import render_system_message_update, without_initial_system_message
from pi_ai.types import (
    AssistantMessage,
    ImageContent,
    JsonObject,
    Message,
    Model,
    SystemMessage,
    TextContent,
    ThinkingContent,
    ToolCall,
    ToolResultMessage,
    UserContent,
    UserMessage,
)

__all__ = ("build_messages", "text_block")


def build_messages(
    model: Model, transcript: Sequence[Message], compat: AnthropicCompat, tools: ToolWriter
) -> list[JsonObject]:
    """Every message of `transcript` but the leading system message."""
    return _Conversion(model, compat, tools).run(transcript)


def text_block(text: str, marker: JsonObject | None = None) -> JsonObject:
    """A block of text, perhaps with a cache mark."""
    block: JsonObject = {"type": "text", "text": sanitize_surrogates(text)}
    if marker:
        block["cache_control"] = marker
    return block


class _Conversion:
    def __init__(self, model: Model, compat: AnthropicCompat, tools: ToolWriter) -> None:
        self.model = model
        self.compat = compat
        self.tools = tools

    def run(self, transcript: Sequence[Message]) -> list[JsonObject]:
        sent: list[JsonObject] = []
        held: list[JsonObject] = []  # system blocks, which may not part a call from its result
        results: list[ToolResultMessage] = []
        replayed = transform_messages(
            without_initial_system_message(transcript),
            self.model,
            normalize_anthropic_tool_call_id,
        )
        for message in replayed:
            if results and not isinstance(message, ToolResultMessage):
                sent.append(self._tool_results(results))
                results = []
            match message:
                case ToolResultMessage():
                    results.append(message)
                case SystemMessage():
                    if blocks := self._system(message):
                        held.append({"role": "system", "content": blocks})
                case UserMessage():
                    if content := self._user(message):
                        sent.append({"role": "user", "content": content})
                case AssistantMessage():
                    if blocks := self._assistant(message):
                        sent.extend(held)
                        held = []
                        sent.extend(self._earlier_effort(message))
                        sent.append({"role": "assistant", "content": blocks})
        if results:
            sent.append(self._tool_results(results))
        return sent + held

    def _system(self, message: SystemMessage) -> list[JsonObject]:
        text = render_system_message_update(message)
        blocks = [text_block(text)] if text else []
        return blocks + self.tools.changes(message)

    def _earlier_effort(self, message: AssistantMessage) -> list[JsonObject]:
        level = message.provider_thinking_level
        same = message.provider == self.model.provider and message.api == self.model.api
        known = level in {"low", "medium", "high", "xhigh", "max"}
        if not (self.compat.effort_in_place and same and level and known):
            return []
        return [effort_message(level)]

    def _user(self, message: UserMessage) -> str | list[JsonObject]:
        if isinstance(message.content, str):
            return sanitize_surrogates(message.content) if message.content.strip() else ""
        return self._blocks(message.content)

    def _blocks(self, content: Sequence[UserContent]) -> list[JsonObject]:
        """Text and image blocks without the blank texts, which the API rejects."""
        blocks: list[JsonObject] = []
        for block in content:
            if isinstance(block, ImageContent):
                blocks.append(_image_block(block))
            elif block.text.strip():
                blocks.append(text_block(block.text))
        return blocks

    def _assistant(self, message: AssistantMessage) -> list[JsonObject]:
        blocks: list[JsonObject] = []
        for block in message.content:
            match block:
                case TextContent():
                    if block.text.strip():
                        blocks.append(text_block(block.text))
                case ThinkingContent():
                    blocks.extend(self._thinking(block))
                case ToolCall():
                    blocks.append(
                        {
                            "type": "tool_use",
                            "id": block.id,
                            "name": self.tools.name(block.name),
                            "input": block.arguments,
                        }
                    )
        return blocks

    def _thinking(self, block: ThinkingContent) -> list[JsonObject]:
        signature = block.thinking_signature or ""
        text = sanitize_surrogates(block.thinking)
        if block.redacted:
            return [{"type": "redacted_thinking", "data": signature}]
        if signature.strip():
            return [{"type": "thinking", "thinking": text, "signature": signature}]
        if not text.strip():
            return []
        if self.compat.empty_signature:
            return [{"type": "thinking", "thinking": text, "signature": ""}]
        return [text_block(text)]

    def _tool_results(self, results: Sequence[ToolResultMessage]) -> JsonObject:
        """One user message for a run of results; images of failed calls follow behind."""
        content: list[JsonObject] = []
        behind: list[UserContent] = []
        for result in results:
            given: Sequence[UserContent] = result.content
            if split := split_error_tool_result_images(result):
                given = split.content
                behind += [TextContent(split.caption), *split.images]
            content.append(
                {
                    "type": "tool_result",
                    "tool_use_id": result.tool_call_id,
                    "content": self._tool_result_content(given),
                    "is_error": result.is_error,
                }
            )
        return {"role": "user", "content": content + self._blocks(behind)}

    def _tool_result_content(self, content: Sequence[UserContent]) -> str | list[JsonObject]:
        if all(isinstance(block, TextContent) for block in content):
            texts = [block.text for block in content if isinstance(block, TextContent)]
            return sanitize_surrogates("\n".join(texts))
        blocks = self._blocks(content)
        if not any(block["type"] == "text" for block in blocks):
            blocks.insert(0, text_block("(see attached image)"))
        return blocks


def _image_block(block: ImageContent) -> JsonObject:
    source = {"type": "base64", "media_type": block.mime_type, "data": block.data}
    return {"type": "image", "source": source}
