"""The items of a response as content blocks, while they stream. One object per item.

Source: spec of openai-responses, section 5.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from pi_ai.api._responses_records import ItemRecord, PartRecord
from pi_ai.builder import MessageBuilder
from pi_ai.errors import ProviderProtocolError
from pi_ai.events import AssistantEvent
from pi_ai.json_text import js_json
from pi_ai.types import JsonObject

__all__ = ("Block", "CallBlock", "CustomCallBlock", "TextBlock", "ThinkingBlock", "open_block")

_PHASES = ("commentary", "final_answer")


class ThinkingBlock:
    """A reasoning item; its signature is the whole item, to be sent back."""

    def __init__(self, message: MessageBuilder) -> None:
        self.start = message.thinking_start()
        self.at = self.start.content_index
        self._message = message

    def end(self, item: ItemRecord, whole: JsonObject) -> list[AssistantEvent]:
        """The final text and signature."""
        text = _joined(item.summary) or _joined(item.content)
        if text:
            self._message.replace_text(self.at, text)
        self._message.replace_signature(self.at, js_json(whole))
        return [self._message.end(self.at)]


class TextBlock:
    """A message item."""

    def __init__(self, message: MessageBuilder) -> None:
        self.start = message.text_start()
        self.at = self.start.content_index
        self._message = message

    def end(self, item: ItemRecord) -> list[AssistantEvent]:
        """The final text; the id and the phase are the signature."""
        if item.content:
            pieces = (part.text or part.refusal or "" for part in item.content)
            self._message.replace_text(self.at, "".join(pieces))
        phase = item.phase if item.phase in _PHASES else None
        if item.id or phase:
            signature: JsonObject = {"v": 1, "id": item.id or ""}
            if phase:
                signature["phase"] = phase
            self._message.replace_signature(self.at, js_json(signature))
        return [self._message.end(self.at)]


class CallBlock:
    """A call of a function; `ended` once its last word was heard."""

    def __init__(self, message: MessageBuilder, item: ItemRecord) -> None:
        self.ended = False
        self.name = item.name or ""
        self.call_id = _call_id(item)
        self.start = message.tool_call_start(
            self.call_id, self.name, initial=item.arguments or "", namespace=item.namespace
        )
        self.at = self.start.content_index
        self._message = message
        self._namespace = item.namespace

    def add(self, piece: str) -> list[AssistantEvent]:
        """More argument text."""
        return [self._message.tool_call(self.at, piece)]

    def told(self, arguments: str) -> list[AssistantEvent]:
        """All of the argument text: what is missing is added, what contradicts it is replaced."""
        known = self._message.text_of(self.at)
        if not arguments.startswith(known):
            self._message.replace_text(self.at, arguments)
            return []
        return self.add(arguments[len(known) :]) if len(arguments) > len(known) else []

    def end(self, item: ItemRecord) -> list[AssistantEvent]:
        """The final arguments."""
        if item.arguments:
            self._message.replace_text(self.at, item.arguments)
        if item.namespace and item.namespace != self._namespace:
            self._message.correct_tool_call(self.at, {"namespace": item.namespace})
        self.ended = True
        return [self._message.end(self.at)]


class CustomCallBlock:
    """A call of a tool with a grammar: its text becomes the JSON of the one parameter."""

    def __init__(
        self, message: MessageBuilder, item: ItemRecord, grammar_inputs: Mapping[str, str]
    ) -> None:
        self.ended = False
        self.name = item.name or ""
        self.call_id = _call_id(item)
        self._parameter = grammar_inputs.get(self.name, "input")
        self._pieces: list[str] = [item.input] if item.input else []
        self.start = message.tool_call_start(
            self.call_id,
            self.name,
            {self._parameter: item.input or ""},
            namespace=item.namespace,
        )
        self.at = self.start.content_index
        self._message = message
        self._begun = False
        self._closed = False

    def add(self, piece: str) -> list[AssistantEvent]:
        """More of the text."""
        if self._closed:
            raise self._changed()
        self._pieces.append(piece)
        return [self._message.tool_call(self.at, self._written(piece))]

    def told(self, text: str) -> list[AssistantEvent]:
        """All of the text, of which the missing rest closes the JSON."""
        known = _whole("".join(self._pieces))
        text = _whole(text)
        if not text.startswith(known) or (self._closed and text != known):
            raise self._changed()
        if self._closed:
            return []
        rest = text[len(known) :]
        self._pieces.append(rest)
        self._closed = True
        return [self._message.tool_call(self.at, self._written(rest) + '"}')]

    def end(self, item: ItemRecord) -> list[AssistantEvent]:
        """The final text."""
        text = "".join(self._pieces) if item.input is None else item.input
        events = self.told(text)
        self.ended = True
        return [*events, self._message.end(self.at)]

    def _written(self, piece: str) -> str:
        """A piece of plain text as a piece of the JSON object that the tool takes."""
        if self._begun:
            return js_json(piece)[1:-1]
        self._begun = True
        return f'{{{js_json(self._parameter)}:"' + js_json("".join(self._pieces))[1:-1]

    def _changed(self) -> ProviderProtocolError:
        return ProviderProtocolError(
            f'grammar tool input for property "{self._parameter}" changed non-monotonically',
            retryable=True,
        )


Block: TypeAlias = ThinkingBlock | TextBlock | CallBlock | CustomCallBlock


def open_block(
    message: MessageBuilder, item: ItemRecord, grammar_inputs: Mapping[str, str]
) -> Block | None:
    """The block that an item starts; None for items that are the server's own business."""
    match item.type:
        case "reasoning":
            return ThinkingBlock(message)
        case "message":
            return TextBlock(message)
        case "function_call":
            return CallBlock(message, item)
        case "custom_tool_call":
            return CustomCallBlock(message, item, grammar_inputs)
        case _:
            return None


def _call_id(item: ItemRecord) -> str:
    call_id = item.call_id or ""
    return f"{call_id}|{item.id}" if item.id else call_id


def _joined(parts: list[PartRecord] | None) -> str:
    return "\n\n".join(part.text or "" for part in parts or ())


def _whole(text: str) -> str:
    """`text` with the halves of surrogate pairs joined that arrived in two pieces."""
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
