"""Turns a transcript into messages of the Messages API. Pure.

Source: providers spec, section 5.4.
"""

from __future__ import annotations

from collections.abc import Sequence

from pi_ai.api._anthropic_compat import AnthropicCompat
from pi_ai.api._anthropic_thinking import effort_message
from pi_ai.api._anthropic_tools import ToolWriter
from pi_ai.api._surrogates import sanitize_json
from pi_ai.json_text import sanitize_surrogates
from pi_ai.replay import (
    normalize_anthropic_tool_call_id,
    split_error_tool_result_images,
    transform_messages,
)
from pi_ai.transcript import get_initial_system_message, render_system_message_update
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

_NO_MESSAGE = "(no message)"
_NO_OUTPUT = "(no tool output)"
_THINKING_KINDS = {"thinking", "redacted_thinking"}


def build_messages(
    model: Model, transcript: Sequence[Message], compat: AnthropicCompat, tools: ToolWriter
) -> list[JsonObject]:
    """Every message of `transcript` but the leading system message.

    Unlike upstream it sends what the API takes: a request that begins with a user message, system
    messages directly behind user messages only, no answer that ends in thinking, and no text that
    is blank once halves of surrogate pairs are taken out.
    """
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
        self.sent: list[JsonObject] = []
        self.role: str | None = None
        """Who spoke last: user or assistant."""
        self.held: list[JsonObject] = []
        """System messages, until they may stand behind a user message."""

    def run(self, transcript: Sequence[Message]) -> list[JsonObject]:
        results: list[ToolResultMessage] = []
        silent = False  # the user's last message is blank
        replayed = transform_messages(transcript, self.model, normalize_anthropic_tool_call_id)
        for message in replayed[1:] if get_initial_system_message(transcript) else replayed:
            if results and not isinstance(message, ToolResultMessage):
                self._send("user", self._tool_results(results))
                results = []
            match message:
                case ToolResultMessage():
                    results.append(message)
                case SystemMessage():
                    if blocks := self._system(message):
                        self.held.append({"role": "system", "content": blocks})
                case UserMessage():
                    content = self._user(message)
                    silent = not content
                    if content:
                        self._send("user", content)
                case AssistantMessage():
                    if blocks := self._assistant(message):
                        silent = False
                        self._answer(message, blocks)
        if results:
            self._send("user", self._tool_results(results))
        if (silent or self.held) and self.role != "user":
            self._send("user", _NO_MESSAGE)
        return self.sent + self.held

    def _send(self, role: str, content: str | list[JsonObject]) -> None:
        self.sent.append({"role": role, "content": content})
        self.role = role

    def _answer(self, message: AssistantMessage, blocks: list[JsonObject]) -> None:
        if self.role is None:
            self._send("user", _NO_MESSAGE)
        if self.role == "user":
            self.sent += self.held
            self.held = []
        self.sent += self._earlier_effort(message)
        self._send("assistant", blocks)

    def _system(self, message: SystemMessage) -> list[JsonObject]:
        return _text_blocks(render_system_message_update(message)) + self.tools.changes(message)

    def _earlier_effort(self, message: AssistantMessage) -> list[JsonObject]:
        level = message.provider_thinking_level
        same = message.provider == self.model.provider and message.api == self.model.api
        known = level in {"low", "medium", "high", "xhigh", "max"}
        if not (self.compat.effort_in_place and same and level and known):
            return []
        return [effort_message(level)]

    def _user(self, message: UserMessage) -> str | list[JsonObject]:
        if isinstance(message.content, str):
            text = sanitize_surrogates(message.content)
            return text if text.strip() else ""
        return self._blocks(message.content)

    def _blocks(self, content: Sequence[UserContent]) -> list[JsonObject]:
        """Text and image blocks without the blank texts, which the API rejects."""
        blocks: list[JsonObject] = []
        for block in content:
            if isinstance(block, ImageContent):
                blocks.append(_image_block(block))
            else:
                blocks += _text_blocks(block.text)
        return blocks

    def _assistant(self, message: AssistantMessage) -> list[JsonObject]:
        blocks: list[JsonObject] = []
        for block in message.content:
            match block:
                case TextContent():
                    blocks += _text_blocks(block.text)
                case ThinkingContent():
                    blocks += self._thinking(block)
                case ToolCall():
                    blocks.append(
                        {
                            "type": "tool_use",
                            "id": block.id,
                            "name": self.tools.name(block.name),
                            "input": sanitize_json(block.arguments),
                        }
                    )
        while blocks and blocks[-1]["type"] in _THINKING_KINDS:
            blocks.pop()
        return blocks

    def _thinking(self, block: ThinkingContent) -> list[JsonObject]:
        signature = block.thinking_signature or ""
        text = sanitize_surrogates(block.thinking)
        if block.redacted:
            data = signature.strip()
            return [{"type": "redacted_thinking", "data": signature}] if data else []
        if signature.strip():
            return [{"type": "thinking", "thinking": text, "signature": signature}]
        if not text.strip():
            return []
        if self.compat.empty_signature:
            return [{"type": "thinking", "thinking": text, "signature": ""}]
        return [text_block(text)]

    def _tool_results(self, results: Sequence[ToolResultMessage]) -> list[JsonObject]:
        """One user message's content for a run of results; images of failed calls come last."""
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
                    "content": self._result_content(given, is_error=result.is_error),
                    "is_error": result.is_error,
                }
            )
        return content + self._blocks(behind)

    def _result_content(
        self, content: Sequence[UserContent], *, is_error: bool
    ) -> str | list[JsonObject]:
        if all(isinstance(block, TextContent) for block in content):
            texts = [block.text for block in content if isinstance(block, TextContent)]
            text = sanitize_surrogates("\n".join(texts))
            # An error has to say something.
            return _NO_OUTPUT if is_error and not text.strip() else text
        blocks = self._blocks(content)
        if not any(block["type"] == "text" for block in blocks):
            blocks.insert(0, text_block("(see attached image)"))
        return blocks


def _text_blocks(text: str) -> list[JsonObject]:
    """A block of text; none for one that is blank, which the API rejects."""
    block = text_block(text)
    return [block] if block["text"].strip() else []


def _image_block(block: ImageContent) -> JsonObject:
    source = {"type": "base64", "media_type": block.mime_type.lower(), "data": block.data}
    return {"type": "image", "source": source}
