"""Entries that other programs wrote differently are read as far as they can be."""

from __future__ import annotations

import pytest

from pi_ai import AssistantMessage, UserMessage
from pi_session import Entry, MessageEntry, UnknownEntry
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


GOOD = '{"role":"user","content":"good","timestamp":5}'


@pytest.mark.parametrize(
    ("odd", "content", "timestamp"),
    [
        ('{"role":"user","content":"no time"}', "no time", ENTRY_MS),
        ('{"role":"user","content":"far","timestamp":99999999999999}', "far", 99999999999999),
        (r'{"role":"user","content":"\ud800","timestamp":7}', "\ud800", 7),
        ('{"role":"user","content":null,"timestamp":7}', [], 7),
    ],
    ids=["no-time", "in-the-future", "lone-surrogate", "null-content"],
)
@pytest.mark.parametrize("end", [b"\n", b""], ids=["ended", "unended"])
def test_messages_read_ahead_are_those_that_are_read_one_by_one(
    odd: str, content: object, timestamp: int, end: bytes
) -> None:
    lines = [(ENTRY % message).encode() + end for message in (GOOD, odd, GOOD)]
    ahead, single = parse_lines(lines).entries, parse_lines(lines).entries
    Entry.read_messages(ahead)
    assert [entry.message for entry in ahead] == [entry.message for entry in single]
    found = ahead[1].message
    assert isinstance(found, UserMessage)
    assert (found.content, found.timestamp) == (content, timestamp)


def test_a_message_is_decoded_once_and_shared_with_the_view() -> None:
    (entry,) = parse_lines([(ENTRY % GOOD).encode()]).entries
    view = entry.view
    assert isinstance(view, MessageEntry)
    assert view.message is entry.message
    assert entry.view is view
    assert (view.id, view.parent_id, view.timestamp) == (entry.id, None, entry.timestamp)
    Entry.read_messages([entry])
    assert entry.message is view.message


@pytest.mark.parametrize("body", ["5", '{"role":"nobody"}', "null"])
def test_an_entry_without_a_readable_message_has_none(body: str) -> None:
    (entry,) = parse_lines([(ENTRY % body).encode()]).entries
    assert entry.message is None
    assert isinstance(entry.view, UnknownEntry)
    assert entry.message is None
