"""Records of the RPC protocol, without a server: rpc spec, sections 3 to 6."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec import UNSET

from pi_agent import MessageEndEvent, MessageStartEvent, MessageUpdateEvent
from pi_ai import Model, TextContent, Usage, UserMessage
from pi_ai.builder import MessageBuilder
from pi_sdk.events import AgentSettledEvent, QueueUpdateEvent, RunEndEvent
from pi_sdk.rpc_requests import PromptCommand
from pi_sdk.rpc_types import (
    CommandError,
    encode_event,
    encode_response,
    read_command,
)

IMAGE = {"type": "image", "data": "aGk=", "mimeType": "image/png"}


@pytest.mark.parametrize("images", [None, [], [IMAGE]], ids=["null", "no image", "one image"])
def test_a_prompt_with_all_fields_and_unknown_ones(images):
    line = json.dumps(
        {
            "id": "1",
            "type": "prompt",
            "message": "hi",
            "images": images,
            "streamingBehavior": "followUp",
            "later": 1,
        }
    )
    command = read_command(line.encode())
    assert isinstance(command, PromptCommand)
    assert (command.id, command.message, command.streaming_behavior) == ("1", "hi", "followUp")
    assert len(command.images or ()) == len(images or ())


@pytest.mark.parametrize(
    ("line", "command", "error"),
    [
        (b"", "parse", "Failed to parse command: "),
        (b"   ", "parse", "Failed to parse command: "),
        (b"not json", "parse", "Failed to parse command: "),
        (b'{"type":"get_state"}{', "parse", "Failed to parse command: "),
        (b'{"id":"\xff","type":"get_state"', "parse", "Failed to parse command: "),
        (b"NaN", "parse", "Failed to parse command: "),
        (b"null", "unknown", "Unknown command: undefined"),
        (b"42", "unknown", "Unknown command: undefined"),
        (b"[]", "unknown", "Unknown command: undefined"),
        (b'"x"', "unknown", "Unknown command: undefined"),
        (b"{}", "unknown", "Unknown command: undefined"),
        (b'{"type":7}', "unknown", "Unknown command: undefined"),
        (b'{"type":"nope"}', "nope", "Unknown command: nope"),
        (b'{"type":"prompt"}', "prompt", "Invalid prompt: message is missing"),
        (
            b'{"type":"prompt","message":5}',
            "prompt",
            "Invalid prompt: message expected str, got int",
        ),
        (
            b'{"type":"prompt","message":"","images":"x"}',
            "prompt",
            "Invalid prompt: images expected array | null, got str",
        ),
        (
            b'{"type":"prompt","message":"","images":[{"type":"image","data":""}]}',
            "prompt",
            "Invalid prompt: images[0].mimeType is missing",
        ),
        (
            b'{"type":"prompt","message":"","images":[{"type":"text"}]}',
            "prompt",
            "Invalid prompt: images[0].type invalid value 'text'",
        ),
        (
            b'{"type":"prompt","message":"","streamingBehavior":"bogus"}',
            "prompt",
            "Invalid prompt: streamingBehavior expected one of 'steer', 'followUp', got 'bogus'",
        ),
        (b'{"type":"steer"}', "steer", "Invalid steer: message is missing"),
        (b'{"type":"export_html"}', "export_html", "Export to HTML is not supported"),
    ],
)
def test_lines_that_are_no_command(line, command, error):
    with pytest.raises(CommandError) as raised:
        read_command(line)
    assert raised.value.command == command
    assert str(raised.value).startswith(error)
    if not error.endswith(": "):
        assert str(raised.value) == error


def test_answers_to_dialogs_want_no_answer():
    assert read_command(b'{"type":"extension_ui_response","id":"x","cancelled":true}') is None


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({}, '{"type":"response","command":"abort","success":true}'),
        ({"record_id": None}, '{"id":null,"type":"response","command":"abort","success":true}'),
        (
            {"record_id": {"a": 1}, "data": None},
            '{"id":{"a":1},"type":"response","command":"abort","success":true,"data":null}',
        ),
        (
            {"record_id": 7, "error": "no"},
            '{"id":7,"type":"response","command":"abort","success":false,"error":"no"}',
        ),
        (
            {"record_id": "\ud800x é \u2028"},
            '{"id":"\\ud800x é \u2028","type":"response","command":"abort","success":true}',
        ),
    ],
    ids=["no id", "null id", "null data", "error", "surrogates escaped, the rest raw"],
)
def test_responses(arguments, text):
    record_id = arguments.pop("record_id", UNSET)
    assert encode_response("abort", record_id, **arguments) == text.encode()


# --- events -----------------------------------------------------------------------------------


def updates() -> list[dict[str, Any]]:
    """The update records of a message with thinking, text and two interleaved calls."""
    builder = MessageBuilder(Model(id="m", api="a", provider="p"))
    builder.start()
    events: list[Any] = [builder.thinking_start(), builder.thinking(0, "hm"), builder.end(0)]
    events += [builder.text_start(), builder.text(1, "Hel"), builder.text(1, ""), builder.end(1)]
    events += [builder.tool_call_start("c1", "read"), builder.tool_call_start("c2", "bash")]
    events += [builder.tool_call(2, '{"path":'), builder.tool_call(2, '"x"}'), builder.end(2)]
    builder.set_usage(Usage(input=5))
    events += [builder.end(3)]
    return [json.loads(encode_event(MessageUpdateEvent(event))) for event in events]


def test_rpc_check_12_updates_carry_the_change_and_not_the_message():
    records = updates()
    assert all(list(r) == ["type", "usage", "assistantMessageEvent"] for r in records)
    assert [record["assistantMessageEvent"] for record in records] == [
        {"type": "thinking_start", "contentIndex": 0},
        {"type": "thinking_delta", "contentIndex": 0, "delta": "hm"},
        {"type": "thinking_end", "contentIndex": 0, "content": "hm"},
        {"type": "text_start", "contentIndex": 1},
        {"type": "text_delta", "contentIndex": 1, "delta": "Hel"},
        {"type": "text_delta", "contentIndex": 1, "delta": ""},
        {"type": "text_end", "contentIndex": 1, "content": "Hel"},
        {"type": "toolcall_start", "contentIndex": 2, "id": "c1", "toolName": "read"},
        {"type": "toolcall_start", "contentIndex": 3, "id": "c2", "toolName": "bash"},
        {"type": "toolcall_delta", "contentIndex": 2, "delta": '{"path":'},
        {"type": "toolcall_delta", "contentIndex": 2, "delta": '"x"}'},
        {
            "type": "toolcall_end",
            "contentIndex": 2,
            "toolCall": {
                "type": "toolCall",
                "id": "c1",
                "name": "read",
                "arguments": {"path": "x"},
            },
        },
        {
            "type": "toolcall_end",
            "contentIndex": 3,
            "toolCall": {"type": "toolCall", "id": "c2", "name": "bash", "arguments": {}},
        },
    ]
    assert [records[0]["usage"]["input"], records[-1]["usage"]["input"]] == [0, 5]


@pytest.mark.parametrize(
    ("event", "record"),
    [
        (AgentSettledEvent(), {"type": "agent_settled", "aborted": False}),
        (QueueUpdateEvent(["a"], []), {"type": "queue_update", "steering": ["a"], "followUp": []}),
        (RunEndEvent([]), {"type": "agent_end", "messages": [], "willRetry": False}),
        (
            MessageEndEvent(UserMessage([TextContent("hi")], timestamp=5)),
            {
                "type": "message_end",
                "message": {
                    "role": "user",
                    "content": [{"type": "text", "text": "hi"}],
                    "timestamp": 5,
                },
            },
        ),
    ],
    ids=lambda value: value["type"] if isinstance(value, dict) else "",
)
def test_other_events_are_written_whole(event, record):
    assert json.loads(encode_event(event)) == record


def test_a_started_answer_is_pending():
    builder = MessageBuilder(Model(id="m", api="a", provider="p"))
    message = json.loads(encode_event(MessageStartEvent(builder.start().partial)))["message"]
    assert (message["stopReason"], message["content"]) == ("pending", [])
