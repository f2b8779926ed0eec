"""Reading and writing upstream's JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import msgspec
import pytest

from pi_ai import (
    AssistantEvent,
    AssistantMessage,
    Context,
    Message,
    Model,
    TextContent,
    UserMessage,
    decode,
    encode,
)
from pi_ai.builder import MessageBuilder
from pi_ai.events import DoneEvent, ErrorEvent, Snapshot, TextDeltaEvent
from pi_ai.wire import from_json_value, to_json_value

MODEL = Model(id="m", api="a", provider="p")


def test_ai_core_check_65_absent_optionals_stay_absent_and_unknown_keys_are_ignored() -> None:
    stored = {
        "role": "assistant",
        "content": [{"type": "text", "text": "x", "index": 3}],
        "api": "a",
        "provider": "p",
        "model": "m",
        "usage": {
            "input": 1,
            "output": 2,
            "cacheRead": 0,
            "cacheWrite": 0,
            "totalTokens": 3,
            "cost": {"input": 0, "output": 0, "cacheRead": 0, "cacheWrite": 0, "total": 0.5},
        },
        "stopReason": "stop",
        "timestamp": 5,
        "futureField": {"a": 1},
    }
    message = decode(json.dumps(stored), AssistantMessage)
    known = {key: value for key, value in stored.items() if key != "futureField"}
    known["content"] = [{"type": "text", "text": "x"}]
    assert json.loads(encode(message)) == known
    assert decode(encode(message), AssistantMessage) == message


@pytest.mark.parametrize(
    ("value", "content"),
    [
        ({"role": "user", "content": None, "timestamp": 1}, []),
        ({"role": "assistant", "timestamp": 1}, []),
        ({"role": "toolResult", "toolCallId": "i", "toolName": "n", "content": None}, []),
        ({"role": "system", "content": None}, ""),
    ],
    ids=["user", "assistant", "tool-result", "system"],
)
def test_ai_core_check_34_content_null_is_no_content(value: Any, content: Any) -> None:
    text = json.dumps(value)
    assert decode(text, Message).content == content
    assert decode(f"[{text}]", list[Message])[0].content == content
    assert decode(f'{{"messages":[{text}]}}', Context).messages[0].content == content


def test_a_context_in_the_older_form_is_read() -> None:
    text = '{"systemPrompt":"s","messages":[{"role":"user","content":"hi"}],"tools":[]}'
    context = decode(text, Context)
    assert (context.system_prompt, context.tools) == ("s", [])
    assert context.messages[0].content == "hi"


@pytest.mark.parametrize(
    ("text", "kind", "path"),
    [
        ('{"role":"user","content":5}', UserMessage, "$.content"),
        ('{"messages":[{"role":"user","content":"a"},{"role":"x"}]}', Context, "$.messages[1]"),
        ('[{"id":"m"}]', list[Model], "$[0]"),
    ],
)
def test_json_of_another_shape_is_refused_with_its_path(text: str, kind: Any, path: str) -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        decode(text, kind)
    assert path in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", '{"role":"user"', "nope"])
def test_text_that_is_no_json_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # the wording is the parser's
        decode(text, UserMessage)


def test_lone_surrogates_survive() -> None:
    message = UserMessage("a\ud800b", 5)
    data = encode(message)
    assert b"\\ud800" in data
    assert decode(data, UserMessage) == message


def test_an_event_is_written_with_its_partial_and_read_back() -> None:
    builder = MessageBuilder(MODEL, timestamp=5)
    builder.text_start()
    event = builder.text(0, "hi")
    builder.text(0, " there")
    written = to_json_value(event)
    assert {key: written[key] for key in ("type", "contentIndex", "delta")} == {
        "type": "text_delta",
        "contentIndex": 0,
        "delta": "hi",
    }
    assert written["partial"]["content"] == [{"type": "text", "text": "hi"}]
    assert json.loads(encode(event)) == written
    back = decode(encode(event), AssistantEvent)
    assert isinstance(back, TextDeltaEvent)
    assert back.partial == event.partial
    assert to_json_value(back) == written


def test_terminal_events_are_written_with_their_message() -> None:
    message = AssistantMessage([TextContent("x")], "a", "p", "m", timestamp=5)
    done = to_json_value(DoneEvent("stop", message))
    assert (done["type"], done["reason"]) == ("done", "stop")
    assert done["message"] == to_json_value(message)
    error = decode(encode(ErrorEvent("aborted", message)), AssistantEvent)
    assert error == ErrorEvent("aborted", message)


def test_a_snapshot_of_a_finished_message_is_that_message() -> None:
    message = AssistantMessage([TextContent("x")])
    assert Snapshot.of(message).message() == message


def test_what_is_no_data_is_refused() -> None:
    with pytest.raises(TypeError, match="Cannot encode object as JSON"):
        encode(object())
    with pytest.raises(msgspec.ValidationError):
        from_json_value(5, UserMessage)


FIRST_USE = """
import sys, threading
from pi_ai.types import AssistantMessage, Message
from pi_ai.wire import decode, encode, from_json_value, to_json_value

sys.setswitchinterval(1e-6)
start = threading.Barrier(8)
kinds = [Message, AssistantMessage, list[Message], dict[str, Message]]
message = AssistantMessage(timestamp=1)
values = [message, message, [message], {"a": message}]
done = []

def read(number):
    kind, value = kinds[number % 4], values[number % 4]
    start.wait()
    if number < 4:
        assert decode(encode(value), kind) == value
    else:
        assert from_json_value(to_json_value(value), kind) == value
    done.append(number)

threads = [threading.Thread(target=read, args=(number,)) for number in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(len(done))
"""


@pytest.mark.parametrize("attempt", range(6))
def test_threads_may_read_types_for_the_first_time_at_once(attempt: int) -> None:
    # Two in five of these processes crashed when nothing kept the threads apart.
    done = subprocess.run(
        [sys.executable, "-c", FIRST_USE], capture_output=True, text=True, timeout=15, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "8\n", "")
