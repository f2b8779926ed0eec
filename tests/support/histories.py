"""Histories as several wire formats leave them behind, tidy and odd, for hand-over tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from pi_ai import (
    AssistantContent,
    AssistantMessage,
    Context,
    ImageContent,
    Message,
    StopReason,
    SystemMessage,
    TextContent,
    ThinkingContent,
    Tool,
    ToolCall,
    ToolReference,
    ToolResultMessage,
    UserContent,
    UserMessage,
)

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"path": {"type": "string"}},
    "required": ["path"],
}
READ = Tool("read", "Reads a file.", SCHEMA)
LOOK = Tool("look", "Shows an image.", {"type": "object", "properties": {}})
PNG = ImageContent("iVBORw0KGgo=", "image/png")
JPEG = ImageContent("/9j/4AAQ", "image/jpeg")


@dataclass(frozen=True)
class Maker:
    """Who made the assistant messages of a history, and the marks it leaves on them."""

    api: str
    provider: str
    model: str
    call_ids: Sequence[str]
    thinking: Sequence[ThinkingContent] = ()
    text_signature: str | None = None
    thought_signature: str | None = None

    def said(self, *content: AssistantContent, stop_reason: StopReason = "stop") -> Message:
        """One of its messages."""
        return AssistantMessage(
            list(content),
            api=self.api,
            provider=self.provider,
            model=self.model,
            stop_reason=stop_reason,
            timestamp=1,
        )

    def text(self, text: str) -> TextContent:
        """A text, signed if its API signs them."""
        return TextContent(text, text_signature=self.text_signature)

    def call(self, call_id: str, name: str = "read", arguments: Any = None) -> ToolCall:
        """A tool call, signed if its API signs them."""
        given = {"path": "a"} if arguments is None else arguments
        return ToolCall(call_id, name, given, thought_signature=self.thought_signature)


LONG = "x" * 70
ANTHROPIC = Maker(
    "anthropic-messages",
    "anthropic",
    "claude",
    call_ids=("toolu_01", "toolu_02", "toolu_03"),
    thinking=(
        ThinkingContent("deep", thinking_signature="SIG="),
        ThinkingContent("", thinking_signature="SIG2="),
        ThinkingContent("[Reasoning redacted]", thinking_signature="ENC", redacted=True),
        ThinkingContent("broken off"),
        ThinkingContent(" "),
    ),
)
COMPLETIONS = Maker(
    "openai-completions",
    "openai",
    "gpt",
    call_ids=("call_a", "call_b", "call_c"),
    thinking=(ThinkingContent(" "),),
)
VENDOR = Maker(
    "openai-completions",
    "vendor",
    "open-model",
    call_ids=("functions.read:0", "functions.read:1", "call b", "call_b", LONG + "1", LONG + "2"),
    thinking=(
        ThinkingContent("plain", thinking_signature="reasoning_content"),
        ThinkingContent("bare"),
        ThinkingContent(
            "detailed", thinking_signature='[{"type":"reasoning.text","text":"detailed"}]'
        ),
    ),
)
RESPONSES = Maker(
    "openai-responses",
    "openai",
    "o-model",
    call_ids=(
        "call_1|fc_1",
        "call_2|fc_" + "z" * 60,
        "call+3|fc/3",
        "call_3_fc_3",
        "call_4|",
        f"{LONG}|fc_5",
        f"{LONG}|fc_6",
    ),
    thinking=(
        ThinkingContent(
            "summary", thinking_signature='{"type":"reasoning","id":"rs_1","summary":[]}'
        ),
        ThinkingContent("", thinking_signature='{"type":"reasoning","id":"rs_2","summary":[]}'),
    ),
    text_signature='{"v":1,"id":"msg_1"}',
)
GOOGLE = Maker(
    "google-generative-ai",
    "google",
    "gemini",
    call_ids=("read_1700000000_1", "fc 2", "röntgen/3", "fc_2", LONG, LONG + "2"),
    thinking=(
        ThinkingContent("thought", thinking_signature="c2ln"),
        ThinkingContent("unsigned"),
        ThinkingContent("", thinking_signature="c2ln"),
    ),
    text_signature="c2ln",
    thought_signature="c2ln",
)
MAKERS = {
    "anthropic": ANTHROPIC,
    "completions": COMPLETIONS,
    "vendor": VENDOR,
    "responses": RESPONSES,
    "google": GOOGLE,
}


def user(*content: UserContent | str) -> UserMessage:
    """A question of texts and images."""
    blocks = [TextContent(block) if isinstance(block, str) else block for block in content]
    return UserMessage(blocks, timestamp=1)


def result(call: ToolCall, *content: UserContent | str, is_error: bool = False) -> Message:
    """What a call gave."""
    blocks = [TextContent(block) if isinstance(block, str) else block for block in content]
    return ToolResultMessage(call.id, call.name, blocks, is_error=is_error, timestamp=1)


# --- the table ----------------------------------------------------------------------------------


def table(maker: Maker) -> dict[str, list[Message]]:
    """Histories by name; each ends where the model is to speak next."""
    first, second, third = (maker.call(call_id) for call_id in maker.call_ids[:3])
    thought = maker.thinking[0]
    hi = UserMessage("hi", timestamp=1)
    more = UserMessage("more", timestamp=1)
    return {
        "question": [hi],
        "answer": [hi, maker.said(*maker.thinking, maker.text("yes"), maker.text("sure")), more],
        "tool-round": [hi, maker.said(thought, maker.text("ok"), first), result(first, "a")],
        "parallel": [
            hi,
            maker.said(first, second, third),
            result(third, "c"),
            result(first, "a"),
            result(second, "b"),
            more,
        ],
        "tools-and-images": [
            user("see", PNG, JPEG),
            maker.said(thought, first, second, third),
            result(first, "one", PNG),
            result(second, PNG, JPEG),
            result(third, "failed", PNG, "end", is_error=True),
            more,
        ],
        "failed-image": [hi, maker.said(first), result(first, JPEG, is_error=True)],
        "empty-results": [
            hi,
            maker.said(first, second),
            result(first),
            result(second, " "),
            more,
        ],
        "aborted": [
            hi,
            maker.said(thought, maker.text("hal"), first, stop_reason="aborted"),
            more,
        ],
        "failed-behind-calls": [
            hi,
            maker.said(first),
            maker.said(maker.text("x"), second, stop_reason="error"),
            result(second, "b"),
            more,
        ],
        "orphan-calls": [hi, maker.said(first, second), result(second, "b"), more],
        "orphan-call-last": [hi, maker.said(maker.text("go"), first)],
        "stray-and-twice": [
            hi,
            result(third, "stray"),
            maker.said(first),
            result(first, "a"),
            result(first, "again"),
            more,
            result(first, "late"),
        ],
        "empty-texts": [
            UserMessage("hi", timestamp=1),
            maker.said(maker.text(""), maker.text(" \n"), first, maker.text("")),
            result(first, ""),
            user("", " ", "x"),
            maker.said(maker.text("")),
            user(""),
            UserMessage("", timestamp=1),
            maker.said(maker.text("y")),
            more,
        ],
        "lone-surrogates": [
            user("a\ud83d", "b"),
            maker.said(ThinkingContent("t\udc00"), maker.text("c\ud83dd"), first),
            result(first, "\ud83d\ude00 e\ud83d"),
        ],
        "empty-turn": [hi, maker.said(), more, maker.said(maker.text("z")), more],
        "system-messages": [
            hi,
            maker.said(maker.text("a"), first),
            SystemMessage("in between", timestamp=1),
            result(first, "a"),
            SystemMessage("then", sections={"date": "today"}, timestamp=1),
            maker.said(maker.text("b")),
            UserMessage("more", timestamp=1),
            SystemMessage("", sections={"date": None}, tools_added=[LOOK], timestamp=1),
        ],
        "tool-changes": [
            hi,
            SystemMessage("", tools_added=[LOOK], timestamp=1),
            maker.said(maker.call(maker.call_ids[0], "look", {})),
            result(maker.call(maker.call_ids[0], "look"), PNG),
            SystemMessage("", tools_removed=[ToolReference("read")], timestamp=1),
            maker.said(maker.text("b")),
            more,
            SystemMessage(
                "", tools_removed=[ToolReference("look")], tools_added=[READ], timestamp=1
            ),
        ],
        "two-questions": [hi, more, maker.said(maker.text("b")), hi, more],
    }


CASES = sorted(table(ANTHROPIC))


# --- generated ----------------------------------------------------------------------------------

TEXTS = st.sampled_from(["x", "", " ", "\n\n", "naïve 🙂", "a\ud83d", "\udc00", "tail "])
BLOCKS: st.SearchStrategy[UserContent] = TEXTS.map(TextContent) | st.sampled_from([PNG, JPEG])
ARGUMENTS = st.sampled_from(
    [{}, {"path": "a"}, {"path": "ü🙂", "n": [1.5, None, {"k": ""}]}, {"path\ud83d": ["\udc00b"]}]
)
NAMES = st.sampled_from(["read", "read", "mcp.read", "läs", ""])
STOPS: st.SearchStrategy[StopReason] = st.sampled_from(
    ["stop", "stop", "toolUse", "toolUse", "length", "error", "aborted"]
)
SYSTEM = st.sampled_from(
    [
        SystemMessage("note", timestamp=1),
        SystemMessage("", sections={"date": "today"}, timestamp=1),
        SystemMessage("", sections={"date": None}, timestamp=1),
        SystemMessage([TextContent("b\ud83d")], tools_added=[LOOK], timestamp=1),
        SystemMessage("", tools_removed=[ToolReference("look")], timestamp=1),
        SystemMessage(" ", timestamp=1),
        SystemMessage("\ud83d", timestamp=1),
    ]
)


@st.composite
def turns(draw: st.DrawFn, maker: Maker) -> list[Message]:
    """A question, and what the model and its tools did with it, in good and in bad order."""
    history: list[Message] = [user(*draw(st.lists(BLOCKS, max_size=3)))]
    history += draw(st.lists(SYSTEM, max_size=1))
    for _ in range(draw(st.integers(0, 2))):
        # Within a step and between steps ids are used again, as some servers do.
        ids = draw(st.lists(st.sampled_from([*maker.call_ids, "", "call_0"]), max_size=3))
        calls = [maker.call(each, draw(NAMES), draw(ARGUMENTS)) for each in ids]
        content: list[AssistantContent] = [
            *draw(st.lists(st.sampled_from(maker.thinking), max_size=2)),
            *(maker.text(text) for text in draw(st.lists(TEXTS, max_size=2))),
            *draw(st.lists(st.sampled_from(maker.thinking), max_size=1)),
            *calls,
        ]
        history.append(maker.said(*content, stop_reason=draw(STOPS)))
        history += draw(st.lists(SYSTEM, max_size=1))
        answered = draw(st.lists(st.sampled_from(calls), max_size=4)) if calls else []
        for call in answered:
            blocks = draw(st.lists(BLOCKS, max_size=3))
            history.append(result(call, *blocks, is_error=draw(st.booleans())))
            history += draw(st.lists(SYSTEM, max_size=1))
    return history


@st.composite
def contexts(draw: st.DrawFn, maker: Maker) -> Context:
    """A whole conversation of up to three turns, which ends with a question."""
    history: list[Message] = []
    for _ in range(draw(st.integers(0, 3))):
        history += draw(turns(maker))
    history.append(UserMessage(draw(TEXTS), timestamp=1))
    prompt = draw(st.sampled_from([None, "Be brief.", "Be\ud83d brief.", " ", "\ud83d"]))
    tools = draw(st.sampled_from([None, [READ], [READ, LOOK]]))
    return Context(history, system_prompt=prompt, tools=tools)
