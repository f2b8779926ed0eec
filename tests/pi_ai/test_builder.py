"""Snapshots show the message as it was at their event, whenever they are looked at."""

from __future__ import annotations

import copy
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pi_ai import AssistantMessage, Model, TextContent, ThinkingContent, ToolCall, Usage
from pi_ai.builder import MessageBuilder
from pi_ai.json_text import parse_partial_object, parse_tool_call_arguments
from pi_ai.types import Diagnostic, ModelCost

MODEL = Model(
    id="m",
    api="a",
    provider="p",
    cost=ModelCost(input=1e6, output=2e6, cache_read=0, cache_write=0),
)


class Naive:
    """The same calls on one live message, copied at every event."""

    def __init__(self) -> None:
        self.live = AssistantMessage([], "a", "p", "m", stop_reason="pending", timestamp=5)
        self.raw: dict[int, str] = {}
        self.initial: dict[int, Any] = {}

    def block(self, block: Any, initial: Any = None) -> None:
        self.live.content.append(block)
        if isinstance(block, ToolCall):
            self.raw[len(self.live.content) - 1] = ""
            self.initial[len(self.live.content) - 1] = initial or {}

    def grow(self, at: int, delta: str) -> None:
        block = self.live.content[at]
        match block:
            case TextContent():
                block.text += delta
            case ThinkingContent():
                block.thinking += delta
            case ToolCall():
                self.raw[at] += delta
                if self.raw[at]:
                    block.arguments = parse_partial_object(self.raw[at])

    def sign(self, at: int, text: str, *, replace: bool) -> None:
        block = self.live.content[at]
        name = {
            TextContent: "text_signature",
            ThinkingContent: "thinking_signature",
            ToolCall: "thought_signature",
        }[type(block)]
        before = "" if replace else getattr(block, name) or ""
        setattr(block, name, before + text or None)

    def end(self, at: int) -> None:
        block = self.live.content[at]
        if isinstance(block, ToolCall):
            text = self.raw[at]
            if self.initial[at] and not text.strip():
                block.arguments, block.arguments_error = self.initial[at], None
            else:
                block.arguments, block.arguments_error = parse_tool_call_arguments(text)

    def copy(self) -> AssistantMessage:
        return copy.deepcopy(self.live)


TEXTS = st.text('{}[]":,1aé ', max_size=6)
ARGUMENTS = st.none() | st.dictionaries(st.text("ab", max_size=1), st.integers(), max_size=2)
STEPS = st.one_of(
    st.tuples(st.just("start_text"), TEXTS),
    st.tuples(st.just("start_thinking"), TEXTS, st.booleans()),
    st.tuples(st.just("start_call"), TEXTS, TEXTS, ARGUMENTS),
    st.tuples(st.just("grow"), st.integers(0, 9), TEXTS),
    st.tuples(st.just("grow"), st.integers(0, 9), TEXTS),
    st.tuples(st.just("grow"), st.integers(0, 9), TEXTS),
    st.tuples(st.just("end"), st.integers(0, 9)),
    st.tuples(st.just("whole_call"), st.sampled_from(['{"a":', "1}", '{"a":1}', "[1]", "", " "])),
    st.tuples(st.just("sign"), st.integers(0, 9), TEXTS),
    st.tuples(st.just("resign"), st.integers(0, 9), TEXTS),
    st.tuples(st.just("name"), st.integers(0, 9), TEXTS, TEXTS),
    st.tuples(st.just("overrule"), st.integers(0, 9), TEXTS),
    st.tuples(st.just("usage"), st.integers(0, 9)),
    st.tuples(st.just("response"), TEXTS, TEXTS),
    st.tuples(st.just("diagnose"), TEXTS),
    st.tuples(st.just("stop"), st.sampled_from(["stop", "length", "toolUse", "error"])),
    st.tuples(st.just("level"), TEXTS),
)


class Both:
    """Applies each step to the builder and to the naive model."""

    def __init__(self) -> None:
        self.built = MessageBuilder(MODEL, timestamp=5)
        self.naive = Naive()
        self.open: set[int] = set()
        self.kinds: list[str] = []
        self.history: list[tuple[Any, AssistantMessage]] = []
        self.resigned: set[int] = set()

    def note(self, event: Any) -> None:
        self.history.append((event, self.naive.copy()))

    def step(self, step: Any) -> None:
        name, *args = step
        if name in {"grow", "end", "sign", "resign", "name", "overrule"}:
            which = args.pop(0)
            if self.open:
                at = sorted(self.open)[which % len(self.open)]
                getattr(self, name)(at, *args)
        else:
            getattr(self, name)(*args)

    def begun(self, kind: str, event: Any) -> None:
        self.open.add(len(self.kinds))
        self.kinds.append(kind)
        self.note(event)

    def start_text(self, initial: str) -> None:
        self.naive.block(TextContent(initial))
        self.begun("text", self.built.text_start(initial))

    def start_thinking(self, initial: str, redacted: bool) -> None:
        self.naive.block(ThinkingContent(initial, None, redacted))
        self.begun("thinking", self.built.thinking_start(initial, redacted=redacted))

    def start_call(self, call_id: str, name: str, arguments: Any) -> None:
        self.naive.block(ToolCall(call_id, name, arguments or {}), arguments)
        self.begun("tool_call", self.built.tool_call_start(call_id, name, arguments))

    def whole_call(self, text: str) -> None:
        self.start_call("id", "f", {"b": 2})
        at = max(self.open)
        self.grow(at, text)
        self.end(at)

    def grow(self, at: int, delta: str) -> None:
        self.naive.grow(at, delta)
        self.note(getattr(self.built, self.kinds[at])(at, delta))

    def end(self, at: int) -> None:
        self.naive.end(at)
        self.open.discard(at)
        self.note(self.built.end(at))

    def sign(self, at: int, text: str) -> None:
        if at not in self.resigned:
            self.naive.sign(at, text, replace=False)
            self.built.sign(at, text)

    def resign(self, at: int, text: str) -> None:
        if text and at not in self.resigned:
            self.resigned.add(at)
            self.naive.sign(at, text, replace=True)
            self.built.replace_signature(at, text)

    def overrule(self, at: int, text: str) -> None:
        """End a block in other words than it was streamed in."""
        block = self.naive.live.content[at]
        fields = {"id": text, "arguments": {"t": [text]}, "arguments_error": None}
        match block:
            case TextContent():
                self.built.replace_text(at, text)
            case ThinkingContent():
                self.built.replace_text(at, text)
                self.built.redact(at)
            case ToolCall():
                self.built.correct_tool_call(at, fields)
        self.naive.end(at)
        match block:
            case TextContent():
                block.text = text
            case ThinkingContent():
                block.thinking, block.redacted = text, True
            case ToolCall():
                block.id, block.arguments, block.arguments_error = text, {"t": [text]}, None
        self.open.discard(at)
        self.note(self.built.end(at))

    def name(self, at: int, call_id: str, name: str) -> None:
        block = self.naive.live.content[at]
        if isinstance(block, ToolCall):
            block.id = block.id or call_id
            block.name = block.name or name
            self.built.name_tool_call(at, call_id=call_id, name=name)

    def usage(self, tokens: int) -> None:
        self.built.set_usage(Usage(input=tokens))
        usage = Usage(input=tokens)
        usage.cost.input = usage.cost.total = tokens
        usage.cost.total_from_provider = False
        self.naive.live.usage = usage

    def response(self, response_id: str, model: str) -> None:
        self.built.set_response(response_id=response_id, model=model)
        self.naive.live.response_id = response_id
        if model:
            self.naive.live.response_model = model

    def diagnose(self, kind: str) -> None:
        diagnostic = Diagnostic(kind, 0)
        self.built.add_diagnostic(diagnostic)
        self.naive.live.diagnostics = [*(self.naive.live.diagnostics or []), diagnostic]

    def stop(self, reason: Any) -> None:
        self.built.stop(reason, raw=f"raw {reason}")
        self.naive.live.stop_reason = reason
        self.naive.live.raw_stop_reason = f"raw {reason}"

    def level(self, level: str) -> None:
        self.built.set_provider_thinking_level(level)
        self.naive.live.provider_thinking_level = level


@given(st.lists(STEPS, min_size=5, max_size=40))
def test_every_snapshot_is_the_message_of_its_moment(steps: list[Any]) -> None:
    both = Both()
    both.note(both.built.start())
    for step in steps:
        both.step(step)
        event, wanted = both.history[-1]
        assert event.partial == wanted  # looked at while it is the newest
    for event, wanted in both.history:
        assert event.partial == wanted  # and looked at late
    assert both.built.message() == both.naive.live
    while both.open:
        both.end(min(both.open))
    assert both.built.message() == both.naive.live


@given(st.lists(STEPS, max_size=25))
def test_what_a_snapshot_gives_is_the_lookers_own(steps: list[Any]) -> None:
    both = Both()
    both.note(both.built.start())
    for step in steps:
        both.step(step)
    for event, wanted in both.history:
        spoil(event.partial)
        spoil(both.built.message())
        assert event.partial == wanted
    assert both.built.message() == both.naive.live


def spoil(message: AssistantMessage) -> None:
    for block in message.content:
        if isinstance(block, ToolCall):
            block.arguments["spoiled"] = True
    message.usage.input += 1
    message.usage.cost.total += 1
    if message.diagnostics:
        message.diagnostics.clear()
    message.content.clear()


def test_events_carry_the_index_and_what_happened() -> None:
    builder = MessageBuilder(MODEL)
    assert builder.text_start().content_index == 0
    assert builder.tool_call_start("id", "f").content_index == 1
    delta = builder.tool_call(1, '{"a":1}')
    assert (delta.type, delta.content_index, delta.delta) == ("toolcall_delta", 1, '{"a":1}')
    ended = builder.end(1)
    assert ended.type == "toolcall_end"
    assert ended.tool_call == ToolCall("id", "f", {"a": 1})


def test_open_blocks_are_ended_in_order_and_once() -> None:
    builder = MessageBuilder(MODEL)
    builder.text_start()
    builder.thinking_start()
    builder.tool_call_start("id", "f")
    builder.end(1)
    ends = builder.end_open_blocks()
    assert [(event.type, event.content_index) for event in ends] == [
        ("text_end", 0),
        ("toolcall_end", 2),
    ]
    assert builder.end_open_blocks() == []


@pytest.mark.parametrize("kind", ["text", "tool_call"])
def test_accumulating_costs_linear_time_and_holding_events_costs_no_copies(kind: str) -> None:
    def seconds(deltas: int) -> float:
        builder = MessageBuilder(MODEL)
        if kind == "text":
            builder.text_start()
        else:
            builder.tool_call_start("id", "f")
            builder.tool_call(0, '{"a":"')
        grow = getattr(builder, kind)
        began = time.process_time()
        held = [grow(0, "abcde") for _ in range(deltas)]
        assert len(held) == deltas
        builder.end(0)
        return time.process_time() - began

    small = min(seconds(2_000) for _ in range(3))
    large = min(seconds(16_000) for _ in range(3))
    assert large < 8 * small * 4  # copies at each event would take 64 times as long


def test_arguments_that_are_told_again_stand_from_then_on() -> None:
    built = MessageBuilder(MODEL)
    built.tool_call_start("c", "read", initial='{"a":', namespace="mcp")
    before = built.tool_call(0, "1")
    assert built.text_of(0) == '{"a":1'
    built.replace_text(0, '{"b":2}')
    built.set_end_turn(False)
    end = built.end(0)
    assert before.partial.tool_calls == [ToolCall("c", "read", {"a": 1}, namespace="mcp")]
    assert end.partial.tool_calls == [ToolCall("c", "read", {"b": 2}, namespace="mcp")]
    assert built.text_of(0) == '{"b":2}'
    assert (before.partial.end_turn, end.partial.end_turn) == (None, False)
