"""`MessageBuilder`: accumulates one response and makes its events.

Every change has a position, so that the message can be rebuilt as it was at any event. Text and
tool arguments are kept as pieces and joined when somebody looks: the cost is linear in their size.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Any, cast

from msgspec.structs import replace

from pi_ai.cost import price_usage
from pi_ai.events import (
    AssistantEvent,
    Snapshot,
    StartEvent,
    TextDeltaEvent,
    TextEndEvent,
    TextStartEvent,
    ThinkingDeltaEvent,
    ThinkingEndEvent,
    ThinkingStartEvent,
    ToolCallDeltaEvent,
    ToolCallEndEvent,
    ToolCallStartEvent,
)
from pi_ai.json_text import (
    ParsedArguments,
    copy_json,
    parse_partial_object,
    parse_tool_call_arguments,
)
from pi_ai.types import (
    AssistantMessage,
    DeferredHandle,
    Diagnostic,
    JsonObject,
    Model,
    ModelCost,
    StopReason,
    TextContent,
    ThinkingContent,
    ToolCall,
    Usage,
    now_ms,
)

__all__ = ("MessageBuilder",)


class _Pieces:
    """A text that grows by pieces; `until(position)` is the text as it was then."""

    __slots__ = ("marks", "pieces")

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self.marks: list[int] = []

    def add(self, piece: str, position: int) -> None:
        self.pieces.append(piece)
        self.marks.append(position)

    def until(self, position: int) -> str:
        if not self.marks or self.marks[-1] <= position:
            return "".join(self.pieces)
        return "".join(self.pieces[: bisect_right(self.marks, position)])


class _Block:
    """One content block in the making. `ended` is the position of its end event."""

    __slots__ = ("born", "ended", "resigned", "retold", "signature", "text")

    def __init__(self, born: int) -> None:
        self.born = born
        self.ended: int | None = None
        self.text = _Pieces()
        self.signature = _Pieces()
        self.resigned: tuple[int, str] | None = None
        self.retold: tuple[int, str] | None = None

    def text_at(self, position: int) -> str:
        if self.retold is not None and self.retold[0] <= position:
            return self.retold[1]
        return self.text.until(position)

    def signature_at(self, position: int) -> str | None:
        if self.resigned is not None and self.resigned[0] <= position:
            return self.resigned[1]
        return self.signature.until(position) or None


class _Text(_Block):
    __slots__ = ()

    def at(self, position: int) -> TextContent:
        return TextContent(self.text_at(position), self.signature_at(position))


class _Thinking(_Block):
    __slots__ = ("redacted",)

    def __init__(self, born: int, redacted: bool) -> None:
        super().__init__(born)
        self.redacted = born if redacted else None

    def at(self, position: int) -> ThinkingContent:
        redacted = self.redacted is not None and self.redacted <= position
        return ThinkingContent(self.text_at(position), self.signature_at(position), redacted)


class _Call(_Block):
    __slots__ = ("corrected", "final", "id", "initial", "name", "namespace")

    def __init__(self, born: int, call_id: str, name: str, initial: JsonObject | None) -> None:
        super().__init__(born)
        self.id = _Pieces()
        self.name = _Pieces()
        self.initial: JsonObject = initial or {}
        self.namespace: str | None = None
        self.final: ParsedArguments | None = None
        self.corrected: tuple[int, JsonObject] | None = None
        self.identify(call_id, name, born)

    def identify(self, call_id: str, name: str, position: int) -> None:
        """Fill in what is still missing; a known id or name stays."""
        if call_id and not self.id.pieces:
            self.id.add(call_id, position)
        if name and not self.name.pieces:
            self.name.add(name, position)

    def at(self, position: int) -> ToolCall:
        call = ToolCall(self.id.until(position), self.name.until(position))
        call.thought_signature = self.signature_at(position)
        call.namespace = self.namespace
        if self.final is not None and self.ended is not None and self.ended <= position:
            call.arguments = copy_json(self.final.arguments)
            call.arguments_error = self.final.error
        else:
            text = self.text_at(position)
            call.arguments = parse_partial_object(text) if text else copy_json(self.initial)
        if self.corrected is not None and self.corrected[0] <= position:
            for name, value in self.corrected[1].items():
                setattr(call, name, copy_json(value))
        return call

    def finish(self) -> ParsedArguments:
        """Parse the whole argument text; arguments given at the start stand if none came."""
        text = self.retold[1] if self.retold is not None else "".join(self.text.pieces)
        if self.initial and (not text or text.isspace()):
            return ParsedArguments(self.initial, None)
        return parse_tool_call_arguments(text)


def _copy_change(value: Any) -> Any:
    """What a snapshot may hand out of a change: its owner may alter the message."""
    if isinstance(value, Usage):
        return replace(value, cost=replace(value.cost))
    return list(cast("list[Diagnostic]", value)) if isinstance(value, list) else value


class MessageBuilder:
    """One assistant message in the making.

    Block methods return the event to hand out; `content_index` counts the blocks from 0. The other
    changes are silent and show from the next event on.
    """

    def __init__(self, model: Model, *, timestamp: int | None = None) -> None:
        self.model = model
        self.cost: ModelCost = model.cost
        self.timestamp = now_ms() if timestamp is None else timestamp
        self.usage = Usage()
        self.stop_reason: StopReason = "pending"
        self.ends_blocks_on_abort = False
        self._position = 0
        self._blocks: list[_Text | _Thinking | _Call] = []
        self._changes: list[tuple[int, str, Any]] = []

    def __repr__(self) -> str:
        return f"<MessageBuilder {self.stop_reason}, {len(self._blocks)} blocks>"

    # --- silent changes -----------------------------------------------------------------------

    def set_response(self, *, response_id: str | None = None, model: str | None = None) -> None:
        """What the server calls this response, and the model it says it used."""
        if response_id is not None:
            self._change("response_id", response_id)
        if model:
            self._change("response_model", model)

    def set_usage(self, usage: Usage) -> None:
        """Replace the usage; it is priced at `cost`."""
        usage.cost = price_usage(self.cost, usage)
        self.usage = usage
        self._change("usage", usage)

    def set_provider_thinking_level(self, level: str) -> None:
        """The effort in the provider's own words."""
        self._change("provider_thinking_level", level)

    def set_end_turn(self, end_turn: bool) -> None:
        """Whether the server says that the model's turn is over."""
        self._change("end_turn", end_turn)

    def add_diagnostic(self, diagnostic: Diagnostic) -> None:
        """Attach something worth knowing to the message."""
        earlier: list[Diagnostic] = self._latest("diagnostics") or []
        self._change("diagnostics", [*earlier, diagnostic])

    def stop(self, reason: StopReason, *, raw: str | None = None) -> None:
        """Note why the model stopped; `raw` is the provider's own word."""
        self.stop_reason = reason
        self._change("stop_reason", reason)
        if raw is not None:
            self._change("raw_stop_reason", raw)

    def defer(self, handle: DeferredHandle) -> None:
        """The answer comes later, and this is where to fetch it."""
        self._change("deferred", handle)
        self.stop("deferred")

    def sign(self, content_index: int, piece: str) -> None:
        """Append to the signature of a block."""
        self._blocks[content_index].signature.add(piece, self._position + 1)

    def replace_signature(self, content_index: int, signature: str) -> None:
        """Put another signature in the place of what was collected."""
        self._blocks[content_index].resigned = (self._position + 1, signature)

    def replace_text(self, content_index: int, text: str) -> None:
        """Put another text in the place of what a block collected; of a call, its arguments."""
        block = self._blocks[content_index]
        if text != block.text_at(self._position):  # else it would be held twice
            block.retold = (self._position + 1, text)

    def redact(self, content_index: int) -> None:
        """Mark thinking as withheld."""
        block = self._blocks[content_index]
        assert isinstance(block, _Thinking)
        if block.redacted is None:
            block.redacted = self._position + 1

    def correct_tool_call(self, content_index: int, fields: JsonObject) -> None:
        """Let `fields`, by attributes of `ToolCall`, stand over what was collected."""
        block = self._blocks[content_index]
        assert isinstance(block, _Call)
        block.corrected = (self._position + 1, fields)

    def name_tool_call(self, content_index: int, *, call_id: str = "", name: str = "") -> None:
        """Fill in an id or name that arrived late."""
        block = self._blocks[content_index]
        assert isinstance(block, _Call)
        block.identify(call_id, name, self._position + 1)

    def _change(self, name: str, value: Any) -> None:
        self._changes.append((self._position + 1, name, value))

    def _latest(self, name: str) -> Any:
        return next((value for _, key, value in reversed(self._changes) if key == name), None)

    # --- events -------------------------------------------------------------------------------

    def start(self) -> StartEvent:
        """The server accepted the request."""
        return StartEvent(self._step())

    def text_start(self, initial: str = "") -> TextStartEvent:
        """A new text block; `initial` text is in it without a delta."""
        snapshot = self._step()
        block = _Text(self._position)
        if initial:
            block.text.add(initial, self._position)
        self._blocks.append(block)
        return TextStartEvent(snapshot, len(self._blocks) - 1)

    def text(self, content_index: int, delta: str) -> TextDeltaEvent:
        """More text."""
        position = self._position = self._position + 1
        self._blocks[content_index].text.add(delta, position)
        return TextDeltaEvent(Snapshot(self, position), content_index, delta)

    def thinking_start(self, initial: str = "", *, redacted: bool = False) -> ThinkingStartEvent:
        """A new thinking block; `initial` text is in it without a delta."""
        snapshot = self._step()
        block = _Thinking(self._position, redacted)
        if initial:
            block.text.add(initial, self._position)
        self._blocks.append(block)
        return ThinkingStartEvent(snapshot, len(self._blocks) - 1)

    def thinking(self, content_index: int, delta: str) -> ThinkingDeltaEvent:
        """More thinking."""
        position = self._position = self._position + 1
        self._blocks[content_index].text.add(delta, position)
        return ThinkingDeltaEvent(Snapshot(self, position), content_index, delta)

    def tool_call_start(
        self,
        call_id: str,
        name: str,
        arguments: JsonObject | None = None,
        *,
        initial: str = "",
        namespace: str | None = None,
    ) -> ToolCallStartEvent:
        """A new tool call; `arguments` stand if no argument text follows.

        `initial` argument text is in it without a delta.
        """
        snapshot = self._step()
        block = _Call(self._position, call_id, name, arguments)
        block.namespace = namespace
        if initial:
            block.text.add(initial, self._position)
        self._blocks.append(block)
        return ToolCallStartEvent(snapshot, len(self._blocks) - 1)

    def tool_call(self, content_index: int, delta: str) -> ToolCallDeltaEvent:
        """More argument text."""
        position = self._position = self._position + 1
        self._blocks[content_index].text.add(delta, position)
        return ToolCallDeltaEvent(Snapshot(self, position), content_index, delta)

    def end(self, content_index: int) -> TextEndEvent | ThinkingEndEvent | ToolCallEndEvent:
        """Close a block; argument text is parsed here, once."""
        snapshot = self._step()
        block = self._blocks[content_index]
        block.ended = self._position
        if isinstance(block, _Call):
            block.final = block.finish()
            return ToolCallEndEvent(snapshot, content_index, block.at(self._position))
        content = block.text_at(self._position)
        if isinstance(block, _Thinking):
            return ThinkingEndEvent(snapshot, content_index, content)
        return TextEndEvent(snapshot, content_index, content)

    def end_open_blocks(self) -> list[AssistantEvent]:
        """Close every block that is still open, in order."""
        return [self.end(i) for i, block in enumerate(self._blocks) if block.ended is None]

    def _step(self) -> Snapshot:
        self._position += 1
        return Snapshot(self, self._position)

    # --- looking ------------------------------------------------------------------------------

    @property
    def has_content(self) -> bool:
        """Whether any block was started."""
        return bool(self._blocks)

    def text_of(self, content_index: int) -> str:
        """The text of a block as far as it has arrived; of a call, its argument text."""
        return self._blocks[content_index].text_at(self._position)

    def message_at(self, position: int, /) -> AssistantMessage:
        """The message after its first `position` changes, a new object."""
        message = AssistantMessage(
            [block.at(position) for block in self._blocks if block.born <= position],
            self.model.api,
            self.model.provider,
            self.model.id,
            stop_reason="pending",
            timestamp=self.timestamp,
        )
        for mark, name, value in self._changes:
            if mark > position:
                break
            setattr(message, name, _copy_change(value))
        return message

    def usage_at(self, position: int, /) -> Usage:
        """The usage after the first `position` changes."""
        for mark, name, value in reversed(self._changes):
            if name == "usage" and mark <= position:
                return value
        return Usage()

    def message(self) -> AssistantMessage:
        """The message with everything in it, silent changes included."""
        return self.message_at(self._position + 1)
