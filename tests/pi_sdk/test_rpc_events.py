"""Records of an RPC server read as events: rpc spec, sections 6 and 12."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pi_agent import MessageUpdateEvent
from pi_ai import Model, TextContent, ThinkingContent, ToolCall, Usage
from pi_ai.builder import MessageBuilder
from pi_ai.wire import encode
from pi_sdk import (
    AgentSettledEvent,
    AutoRetryEndEvent,
    AutoRetryStartEvent,
    BashExecutionUpdateEvent,
    CompactionEndEvent,
    CompactionStartEvent,
    EntryAppendedEvent,
    ExtensionErrorEvent,
    ExtensionUiRequestEvent,
    QueueUpdateEvent,
    RunEndEvent,
    SessionInfoChangedEvent,
    SummarizationRetryAttemptStartEvent,
    SummarizationRetryFinishedEvent,
    SummarizationRetryScheduledEvent,
    ThinkingLevelChangedEvent,
    UnknownEvent,
)
from pi_sdk.rpc_events import EventReader, Response
from pi_sdk.rpc_types import encode_event, encode_response
from pi_session import FileLists
from pi_session.entries import ContextEditEntry
from support import rpc_stand_in as wire

EDIT = {"type": "context_edit", "id": "66d4cb7c", "parentId": "9339e671", "timestamp": wire.TIME}
EDIT |= {"targetId": "9339e671", "replacement": None}
RECORDS: list[tuple[dict[str, Any], Any]] = [
    ({"type": "agent_settled", "aborted": True}, AgentSettledEvent(True)),
    ({"type": "queue_update", "steering": ["a"], "followUp": []}, QueueUpdateEvent(["a"], [])),
    ({"type": "thinking_level_changed", "level": "low"}, ThinkingLevelChangedEvent("low")),
    ({"type": "session_info_changed", "name": "n"}, SessionInfoChangedEvent("n")),
    ({"type": "session_info_changed"}, SessionInfoChangedEvent()),
    (
        {"type": "entry_appended", "entry": EDIT},
        EntryAppendedEvent(
            ContextEditEntry(
                id="66d4cb7c",
                parent_id="9339e671",
                timestamp=wire.TIME,
                target_id="9339e671",
                replacement=None,
            )
        ),
    ),
    (
        {"type": "bash_execution_update", "id": "r2", "delta": "out\n"},
        BashExecutionUpdateEvent("out\n", "r2"),
    ),
    ({"type": "bash_execution_update", "delta": "x"}, BashExecutionUpdateEvent("x")),
    ({"type": "compaction_start", "reason": "overflow"}, CompactionStartEvent("overflow")),
    (
        {"type": "compaction_end", "reason": "manual", "aborted": False, "willRetry": True}
        | {"errorMessage": "Compaction failed: Already compacted"},
        CompactionEndEvent(
            reason="manual", will_retry=True, error_message="Compaction failed: Already compacted"
        ),
    ),
    (
        {"type": "auto_retry_start", "attempt": 1, "maxAttempts": 2, "delayMs": 200}
        | {"errorMessage": "503"},
        AutoRetryStartEvent(1, 2, 200, "503"),
    ),
    (
        {"type": "auto_retry_end", "success": False, "attempt": 2, "finalError": "503"},
        AutoRetryEndEvent(False, 2, "503"),
    ),
    (
        {"type": "summarization_retry_scheduled", "attempt": 1, "maxAttempts": 3}
        | {"delayMs": 200.5, "errorMessage": "503"},
        SummarizationRetryScheduledEvent(1, 3, 200.5, "503"),
    ),
    (
        {"type": "summarization_retry_attempt_start", "source": "branchSummary"},
        SummarizationRetryAttemptStartEvent("branchSummary"),
    ),
    ({"type": "summarization_retry_finished"}, SummarizationRetryFinishedEvent()),
    (
        {"type": "extension_error", "extensionPath": "p", "event": "e", "error": "x"},
        ExtensionErrorEvent("p", "e", "x"),
    ),
    (
        {"type": "extension_ui_request", "id": "u", "method": "setStatus", "statusKey": "k"},
        ExtensionUiRequestEvent(id="u", method="setStatus", status_key="k"),
    ),
]


@pytest.mark.parametrize(("record", "event"), RECORDS, ids=[r["type"] for r, _ in RECORDS])
def test_a_record_is_the_event_of_its_type(record, event):
    read = EventReader().read(json.dumps(record | {"later": 1}).encode())
    assert read == event
    assert read.type == record["type"]
    told = json.loads(encode(read))
    assert {key: told.get(key) for key in record} == record  # and written again as it was


def test_messages_of_every_role_arrive_typed():
    end = {"type": "agent_end", "messages": wire.MESSAGES, "willRetry": True}
    event = EventReader().read(json.dumps(end).encode())
    assert isinstance(event, RunEndEvent)
    assert [m.role for m in event.messages] == ["user", "bashExecution"]
    assert event.will_retry


def test_a_compaction_arrives_whole():
    end = {"type": "compaction_end", "reason": "manual", "result": wire.COMPACTION}
    event = EventReader().read(json.dumps(end).encode())
    assert isinstance(event, CompactionEndEvent)
    assert event.result is not None
    assert event.result.estimated_tokens_after == 1436
    assert event.result.details == FileLists([], [])


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ('{"type":"brand_new","x":[1]}', "brand_new"),
        ('{"type":"agent_end","messages":[{"role":"alien"}]}', "agent_end"),
        ('{"type":"turn_end"}', "turn_end"),
        ('{"type":"thinking_level_changed","level":7}', "thinking_level_changed"),
        ('{"type":"brand_new","text":"\\ud800"}', "brand_new"),
        ('{"type":"message_update","usage":{},"assistantMessageEvent":{}}', "message_update"),
        ('{"type":"deep","x":' + "[" * 5000 + "]" * 5000 + "}", "deep"),
    ],
    ids=["new type", "new role", "missing field", "wrong type", "surrogate", "no change", "deep"],
)
def test_what_cannot_be_read_is_kept_raw(line, kind):
    event = EventReader().read(line.encode())
    assert isinstance(event, UnknownEvent)
    assert event.type == event.raw["type"] == kind


@pytest.mark.parametrize(
    "line", [b"", b"  ", b"not json", b"null", b"42", b"[]", b"{}", b'{"type":7}', b"\xff\xfe"]
)
def test_what_is_no_record_is_nothing(line):
    assert EventReader().read(line) is None


# --- responses --------------------------------------------------------------------------------


@pytest.mark.parametrize("record_id", ["req_1", None, 7, "\ud800x"])
def test_a_response_of_our_server_is_read(record_id):
    line = encode_response("get_state", record_id, data={"a": 1})
    response = EventReader().read(line)
    assert isinstance(response, Response)
    assert (response.command, response.success, response.id) == ("get_state", True, record_id)
    assert json.loads(bytes(response.data)) == {"a": 1}


def test_a_failure_is_read_with_its_text():
    response = EventReader().read(encode_response("fork", "1", error="Invalid entry ID"))
    assert isinstance(response, Response)
    assert (response.success, response.error, bytes(response.data)) == (
        False,
        "Invalid entry ID",
        b"",
    )


# --- a message that grows ---------------------------------------------------------------------


def read_all(*records: dict[str, Any]) -> list[Any]:
    reader = EventReader()
    return [reader.read(json.dumps(record).encode()) for record in records]


KINDS = ("text", "thinking", "toolcall")
START = {"type": "message_start", "message": wire.ASSISTANT}


def update(kind: str, at: int, **fields: Any) -> dict[str, Any]:
    change = {"type": kind, "contentIndex": at, **fields}
    return {"type": "message_update", "usage": wire.USAGE, "assistantMessageEvent": change}


def test_a_message_is_rebuilt_from_its_changes_and_each_event_shows_its_own_moment():
    call = {"type": "toolCall", "id": "c", "name": "bash", "arguments": {"command": "ls"}}
    events = read_all(
        START,
        update("thinking_start", 0),
        update("thinking_delta", 0, delta="hm"),
        update("text_start", 1),  # while the block before is open
        update("text_delta", 1, delta="Hel"),
        update("thinking_end", 0, content="hm, so"),
        update("text_delta", 1, delta="lo"),
        update("text_end", 1, content="Hello"),
        update("toolcall_start", 2, id="c", toolName="bash"),
        update("toolcall_delta", 2, delta='{"command":"l'),
        update("toolcall_end", 2, toolCall=call),
    )[1:]
    assert all(isinstance(event, MessageUpdateEvent) for event in events)
    assert [event.message.content for event in events] == [
        [ThinkingContent("")],
        [ThinkingContent("hm")],
        [ThinkingContent("hm"), TextContent("")],
        [ThinkingContent("hm"), TextContent("Hel")],
        [ThinkingContent("hm, so"), TextContent("Hel")],
        [ThinkingContent("hm, so"), TextContent("Hello")],
        [ThinkingContent("hm, so"), TextContent("Hello")],
        [ThinkingContent("hm, so"), TextContent("Hello"), ToolCall("c", "bash")],
        [ThinkingContent("hm, so"), TextContent("Hello"), ToolCall("c", "bash", {"command": "l"})],
        [ThinkingContent("hm, so"), TextContent("Hello"), ToolCall("c", "bash", {"command": "ls"})],
    ]
    last = events[-1]
    assert last.assistant_message_event.tool_call == ToolCall("c", "bash", {"command": "ls"})
    assert last.message.usage.cost.total == 0.5
    assert (last.message.provider, last.message.stop_reason) == ("fake", "pending")


def test_half_a_surrogate_pair_makes_no_event_unknown():
    """Servers cut emoji in two, and JavaScript writes the halves as escapes."""
    events = read_all(START, update("text_start", 0), update("text_delta", 0, delta="\ud83d"))
    assert isinstance(events[-1], MessageUpdateEvent)
    assert events[-1].message.content == [TextContent("\ud83d")]


@pytest.mark.parametrize(
    "records",
    [
        [update("text_delta", 0, delta="x")],
        [START, update("text_start", 1)],
        [START, update("text_start", -1)],
        [START, update("text_delta", 0, delta="x")],
        [START, update("text_start", 0), update("thinking_delta", 0, delta="x")],
        [START, update("text_start", 0), update("text_start", 0)],
        [START, update("text_start", 0), update("text_later", 0)],
        [START, update("image_start", 0)],
        [START, {"type": "message_end", "message": wire.ASSISTANT}, update("text_start", 0)],
    ],
    ids=[
        "no message",
        "skips a block",
        "negative",
        "no block",
        "other kind",
        "twice",
        "unknown step",
        "unknown kind",
        "after the end",
    ],
)
def test_a_change_that_does_not_fit_the_message_is_kept_raw(records):
    event = read_all(*records)[-1]
    assert isinstance(event, UnknownEvent)
    assert event.raw == records[-1]


FOREIGN_CALL = {"type": "toolCall", "id": "c", "name": "n"}
STEPS = [f"{kind}_{step}" for kind in KINDS for step in ("start", "delta", "end")]
CHANGES = st.fixed_dictionaries(
    {"type": st.sampled_from(STEPS), "contentIndex": st.sampled_from([0, 0, 1, -1])},
    optional={
        "delta": st.sampled_from(["", "x", '{"a":', None]),
        "content": st.sampled_from(["", "y", None]),
        "id": st.just("c"),
        "toolCall": st.sampled_from([FOREIGN_CALL, {}, None]),
    },
)


@settings(max_examples=100)
@given(st.lists(CHANGES, max_size=12))
@example(
    [
        {"type": "text_start", "contentIndex": 0},
        {"type": "text_end", "contentIndex": 0, "toolCall": FOREIGN_CALL},
    ]
)
def test_no_order_of_changes_breaks_the_reader(changes):
    reader = EventReader()
    reader.read(json.dumps(START).encode())
    for change in changes:
        record = {"type": "message_update", "assistantMessageEvent": change}
        event = reader.read(json.dumps(record).encode())
        if isinstance(event, MessageUpdateEvent):
            encode(event.message)
        else:
            assert isinstance(event, UnknownEvent)
            assert event.raw == record


@settings(max_examples=100)
@given(
    st.sampled_from([record["type"] for record, _ in RECORDS] + ["response", "message_end"]),
    st.dictionaries(
        st.sampled_from(
            ["id", "data", "success", "command", "message", "messages", "entry", "usage"]
        ),
        st.recursive(st.none() | st.integers() | st.text(), st.lists, max_leaves=3),
    ),
)
def test_no_fields_break_the_reader(kind, fields):
    read = EventReader().read(json.dumps({"type": kind, **fields}).encode())
    assert isinstance(read, Response) if kind == "response" else read.type == kind


def test_what_a_session_tells_arrives_as_it_was_told():
    """Our server's records of a message in the making, read back: the same events and moments."""
    told = MessageBuilder(Model(id="m", api="a", provider="p"), timestamp=5)
    told.set_usage(Usage(input=3, output=1))
    updates = [
        told.text_start(),
        told.text(0, "Hi \u2028"),
        told.end(0),
        told.tool_call_start("c", "read"),
        told.tool_call(1, '{"path"'),
        told.tool_call(1, ':"a"}'),
        told.end(1),
    ]
    reader = EventReader()
    start = told.message_at(0)
    start.content.clear()
    reader.read(encode({"type": "message_start", "message": start}))
    for sent in updates:
        event = reader.read(encode_event(MessageUpdateEvent(sent)))
        assert isinstance(event, MessageUpdateEvent)
        assert type(event.assistant_message_event) is type(sent)
        assert encode(event) == encode(MessageUpdateEvent(sent))
