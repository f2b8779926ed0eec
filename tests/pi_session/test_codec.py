"""Lines: reading, patching, migration."""

from __future__ import annotations

import json
import re
from collections.abc import Container

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pi_session import (
    CompactionEntry,
    CompactionSummaryMessage,
    CustomMessage,
    CustomMessageEntry,
    MessageEntry,
    UnknownEntry,
    build_session_context,
    parse_session_entries,
)
from pi_session.codec import (
    dump_entries,
    migrate_entries,
    parse_lines,
    patch_line,
    split_lines,
)
from pi_session.entries import Entry, new_entry_id
from pi_session.loading import parse_session

V1 = """\
{"type":"session","id":"sess-1","timestamp":"2025-01-01T00:00:00Z","cwd":"/tmp","branchedFrom":"/tmp/old.jsonl"}
{"type":"message","timestamp":"2025-01-01T00:00:01Z","message":{"role":"user","content":"hi","timestamp":1}}
broken line
{"type":"message","timestamp":"2025-01-01T00:00:03Z","message":{"role":"hookMessage","customType":"x","content":"hm","display":true,"timestamp":3}}
{"type":"compaction","timestamp":"2025-01-01T00:00:04Z","summary":"S","firstKeptEntryIndex":INDEX,"tokensBefore":100}
{"type":"message","timestamp":"2025-01-01T00:00:05Z","message":{"role":"user","content":"last","timestamp":5}}
"""

V2 = """\
{"type":"session","version":2,"id":"sess-2","timestamp":"2025-01-01T00:00:00Z","cwd":"/tmp","odd":1.0}
{"type":"message","id":"bbbbbbbb","parentId":null,"timestamp":"2025-01-01T00:00:03Z","message":{"role":"hookMessage","customType":"x","content":"hm","display":true,"timestamp":3}}
{"type":"message","id":"cccccccc","parentId":"bbbbbbbb","timestamp":"2025-01-01T00:00:03Z"}
{"type":"odd",  "id":"dddddddd","parentId":"cccccccc","x":1.50,"y":"hookMessage"}
"""


def migrated(text: str) -> list[Entry]:
    loaded = parse_session(split_lines(text.encode()))
    assert loaded is not None
    return loaded.entries


def entry(**fields: object) -> Entry:
    (found,) = parse_lines([json.dumps(fields).encode()]).entries
    return found


def test_session_check_23_v1_is_migrated() -> None:
    counter = iter(f"{number:08x}" for number in range(1, 99))

    def new_id(taken: Container[str]) -> str:
        return next(counter)

    parsed = parse_lines(split_lines(V1.replace("INDEX", "2").encode()))
    assert parsed.malformed == 1
    lines = dump_entries(migrate_entries(parsed.entries, 1, new_id)).decode().splitlines()
    assert lines == [
        '{"type":"session","id":"sess-1","timestamp":"2025-01-01T00:00:00Z","cwd":"/tmp",'
        '"branchedFrom":"/tmp/old.jsonl","version":3}',
        '{"type":"message","timestamp":"2025-01-01T00:00:01Z","message":{"role":"user",'
        '"content":"hi","timestamp":1},"id":"00000001","parentId":null}',
        '{"type":"message","timestamp":"2025-01-01T00:00:03Z","message":{"role":"custom",'
        '"customType":"x","content":"hm","display":true,"timestamp":3},"id":"00000002",'
        '"parentId":"00000001"}',
        '{"type":"compaction","timestamp":"2025-01-01T00:00:04Z","summary":"S",'
        '"tokensBefore":100,"id":"00000003","parentId":"00000002",'
        '"firstKeptEntryId":"00000002"}',
        '{"type":"message","timestamp":"2025-01-01T00:00:05Z","message":{"role":"user",'
        '"content":"last","timestamp":5},"id":"00000004","parentId":"00000003"}',
    ]


def test_new_ids_are_eight_hex_digits() -> None:
    assert all(re.fullmatch("[0-9a-f]{8}", e.id) for e in migrated(V1)[1:] if e.id)
    assert re.fullmatch("[0-9a-f]{8}", new_entry_id(set()))


def test_an_id_that_always_collides_becomes_a_whole_uuid() -> None:
    class Everything:
        def __contains__(self, item: object) -> bool:
            return True

    assert re.fullmatch("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", new_entry_id(Everything()))


@pytest.mark.parametrize(
    ("index", "kept"),
    [
        ("0", 1),
        ("1", 1),
        ("2", 2),
        ("3", 3),
        ("2.0", 2),
        ("4", None),
        ("99", None),
        ("-1", None),
        ("true", None),
        ('"2"', None),
    ],
)
def test_session_check_24_v1_kept_index(index: str, kept: int | None) -> None:
    entries = migrated(V1.replace("INDEX", index))
    view = entries[3].view
    assert isinstance(view, CompactionEntry)
    assert view.first_kept_entry_id == (None if kept is None else entries[kept].id)
    assert "firstKeptEntryIndex" not in entries[3].raw
    messages = build_session_context(entries[1:]).messages
    assert isinstance(messages[0], CompactionSummaryMessage)
    assert len(messages) == 2 + {None: 0, 1: 2, 2: 1, 3: 0}[kept]


def test_session_check_25_v2_is_migrated() -> None:
    expected = V2.replace('"version":2', '"version":3')
    expected = expected.replace('"role":"hookMessage"', '"role":"custom"')
    assert dump_entries(migrated(V2)).decode() == expected
    view = migrated(V2)[1].view
    assert isinstance(view, MessageEntry)
    assert isinstance(view.message, CustomMessage)


def test_session_check_21_parse_session_entries() -> None:
    assert parse_session_entries('{"a":1}\nbad\n') == [{"a": 1}]
    assert parse_session_entries("  \n5\n[]\nnull\n") == []


def test_lines_split_on_line_feeds_only() -> None:
    data = "a\u2028b\x0bc\x85d\re\n\nf".encode()
    assert split_lines(data) == ["a\u2028b\x0bc\x85d\re\n".encode(), b"\n", b"f"]


@pytest.mark.parametrize(
    "line",
    [b"", b"  \n", b"5", b"[]", b'"x"', b"null", b'{"a":NaN}', b'{"a":Infinity}', b"{", b"\xff",
     b'{"a":' + b"[" * 100_000, b"\xef\xbb\xbf{}"],
    ids=lambda line: repr(line[:12]),
)  # fmt: skip
def test_lines_that_are_no_json_object_are_skipped(line: bytes) -> None:
    assert parse_lines([line]).entries == []


@given(st.binary(max_size=200))
def test_any_bytes_are_read_without_error(data: bytes) -> None:
    parsed = parse_lines(split_lines(data))
    assert dump_entries(parsed.entries) == b"" or parsed.entries
    assert b"".join(split_lines(data)) == data


@pytest.mark.parametrize(
    ("line", "patched"),
    [
        ('{"b" : {"x" : 1.0}, "parentId":"q","n":12345678901234567890123}',
         '{"b":{"x" : 1.0},"parentId":null,"n":12345678901234567890123}'),
        ('{"type":"x"}', '{"type":"x","parentId":null}'),
        ('{"s":"\\ud800","parentId":"q"}', '{"s":"\\ud800","parentId":null}'),
    ],
)  # fmt: skip
def test_a_patch_keeps_the_other_values(line: str, patched: str) -> None:
    (found,) = parse_lines([line.encode()]).entries
    assert patch_line(found, {"parentId": None}).line.decode() == patched + "\n"


def test_a_message_with_unreadable_parts_keeps_the_others() -> None:
    found = entry(
        type="message",
        id="a",
        message={
            "role": "assistant",
            "content": [{"type": "text", "text": "t"}, {"type": "hologram"}, 5],
            "usage": "none",
            "provider": "p",
            "model": "m",
            "stopReason": "bored",
            "timestamp": 7,
        },
    ).view
    assert isinstance(found, MessageEntry)
    assert found.message.role == "assistant"
    assert found.message.text == "t"
    assert found.message.provider == "p"
    assert found.message.stop_reason == "stop"
    assert found.message.usage.total_tokens == 0


@pytest.mark.parametrize(
    "fields",
    [
        {"type": "message"},
        {"type": "message", "message": None},
        {"type": "message", "message": {"role": "ghost"}},
        {"type": "label"},
        {"type": "hologram"},
    ],
    ids=str,
)
def test_entries_that_cannot_be_read_are_unknown(fields: dict[str, object]) -> None:
    found = entry(id="a", parentId="b", timestamp="t", **fields).view
    assert isinstance(found, UnknownEntry)
    assert (found.type, found.id, found.parent_id, found.timestamp) == (
        fields["type"],
        "a",
        "b",
        "t",
    )
    assert found.raw["type"] == fields["type"]


def test_optional_keys_of_another_shape_are_left_out() -> None:
    found = entry(
        type="compaction", id="a", summary="S", tokensBefore=1.5, usage=3, systemMessage={"role": 1}
    ).view
    assert isinstance(found, CompactionEntry)
    assert (found.summary, found.tokens_before, found.usage) == ("S", 1.5, None)
    assert found.system_message is None
    custom = entry(type="custom_message", id="a", customType="x", content=None).view
    assert isinstance(custom, CustomMessageEntry)
    assert custom.content == []


def test_broken_utf8_is_read_with_replacement() -> None:
    line = b'{"type":"message","id":"a","message":{"role":"user","content":"x\xffy","timestamp":1}}'
    view = parse_lines([line]).entries[0].view
    assert isinstance(view, MessageEntry)
    assert view.message.content == "x\ufffdy"
