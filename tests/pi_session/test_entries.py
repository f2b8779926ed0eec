"""Entries that other programs wrote differently are read as far as they can be."""

from __future__ import annotations

import pytest

from pi_ai import AssistantMessage, UserMessage
from pi_session import MessageEntry
from pi_session.codec import parse_lines

ENTRY = (
    '{"type":"message","id":"a","parentId":null,"timestamp":"2026-11-22T10:00:00.000Z",'
    '"message":%s}'
)
ENTRY_MS = 1795341600000


@pytest.mark.parametrize(
    ("message", "wanted"),
    [
        ('{"role":"user","content":"hi","timestamp":5.0}', 5),
        ('{"role":"user","content":"hi","timestamp":1.5}', ENTRY_MS),
        ('{"role":"user","content":"hi","timestamp":"5"}', ENTRY_MS),
        ('{"role":"user","content":"hi","timestamp":1e300}', ENTRY_MS),
        ('{"role":"user","content":"hi"}', ENTRY_MS),
    ],
    ids=["whole-float", "fraction", "string", "huge", "absent"],
)
def test_message_without_a_usable_time_has_that_of_its_entry(message: str, wanted: int) -> None:
    entries = parse_lines([(ENTRY % message).encode()]).entries
    view = entries[0].view
    assert isinstance(view, MessageEntry)
    assert isinstance(view.message, UserMessage)
    assert view.message.content == "hi"
    assert view.message.timestamp == wanted


def test_usage_keeps_the_fields_that_can_be_read() -> None:
    usage = (
        '{"input":10.0,"output":1.5,"cacheRead":3,"cacheWrite":0,"totalTokens":null,'
        '"cost":{"input":0.5,"output":null,"cacheRead":0,"cacheWrite":0,"total":0.5}}'
    )
    message = (
        '{"role":"assistant","content":[{"type":"text","text":"x"},{"type":"toolCall","id":"c",'
        '"name":"read","arguments":null}],"api":"a","provider":"p","model":"m",'
        f'"usage":{usage},"stopReason":"toolUse","timestamp":7}}'
    )
    view = parse_lines([(ENTRY % message).encode()]).entries[0].view
    assert isinstance(view, MessageEntry)
    assert isinstance(view.message, AssistantMessage)
    assert (view.message.usage.input, view.message.usage.cache_read) == (10, 3)
    assert view.message.usage.cost.total == 0.5
    assert [block.type for block in view.message.content] == ["text", "toolCall"]
    assert view.message.timestamp == 7
