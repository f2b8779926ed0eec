"""Puts the tool calls of one Chat Completions stream together.

Source: providers spec, sections 4.7 (item 8) and 10 (item 2).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pi_ai.api._completions_records import CallPiece, CustomPiece, FunctionPiece
from pi_ai.builder import MessageBuilder
from pi_ai.events import AssistantEvent
from pi_ai.json_text import js_json, parse_json

__all__ = ("ToolCalls",)

_NO_FUNCTION = FunctionPiece()
_CUSTOM_END = '"}'


class ToolCalls:
    """The tool calls of one response, found by index, else by id, else the latest.

    The text of a call with a grammar becomes the JSON arguments of its one parameter, which
    `grammar_inputs` names per tool.
    """

    def __init__(self, message: MessageBuilder, grammar_inputs: Mapping[str, str]) -> None:
        self.any = False
        self._message = message
        self._grammar_inputs = grammar_inputs
        self._by_index: dict[int, int] = {}
        self._by_id: dict[str, int] = {}
        self._ids: dict[int, str] = {}
        self._texts: dict[int, list[str]] = {}
        self._custom: set[int] = set()
        self._latest: int | None = None

    def feed(self, call: CallPiece, events: list[AssistantEvent]) -> None:
        """Append the events of one entry of `tool_calls`."""
        function = call.function or _NO_FUNCTION
        name = (function.name if call.custom is None else call.custom.name) or ""
        at = self._find(call, name)
        if at is None:
            start = self._message.tool_call_start(call.id or "", name)
            at = start.content_index
            self._texts[at] = []
            self.any = True
            events.append(start)
        elif call.id or name:
            self._message.name_tool_call(at, call_id=call.id or "", name=name)
        if call.index is not None:
            self._by_index[call.index] = at
        if call.id:
            self._by_id.setdefault(call.id, at)
            self._ids.setdefault(at, call.id)
        self._latest = at
        if call.custom is None:
            piece = _arguments_text(function.arguments)
        else:
            piece = self._custom_text(at, name, call.custom)
        self._texts[at].append(piece)
        events.append(self._message.tool_call(at, piece))

    def end(self) -> list[AssistantEvent]:
        """Close the arguments of every call with a grammar; nothing tells the end of one before."""
        return [self._message.tool_call(at, _CUSTOM_END) for at in sorted(self._custom)]

    def _custom_text(self, at: int, name: str, piece: CustomPiece) -> str:
        """A piece of plain text as a piece of the JSON object that the tool takes."""
        text = js_json(piece.input or "")[1:-1]
        if at in self._custom:
            return text
        self._custom.add(at)
        parameter = self._grammar_inputs.get(name, "input")
        return f'{{{js_json(parameter)}:"{text}'

    def _find(self, call: CallPiece, name: str) -> int | None:
        if call.index is not None:
            at = self._by_index.get(call.index)
            another = call.id and name and at is not None and self._is_another(at, call.id)
            return None if another else at
        if call.id:
            return self._by_id.get(call.id)
        return self._latest

    def _is_another(self, at: int, call_id: str) -> bool:
        """Some servers give every call of a response the same index."""
        if self._ids.get(at, call_id) == call_id:
            return False
        end = _CUSTOM_END if at in self._custom else ""
        try:
            parse_json("".join(self._texts[at]) + end)
        except ValueError:
            return False
        return True


def _arguments_text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else js_json(value)
