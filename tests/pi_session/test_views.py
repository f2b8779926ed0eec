"""A session as a value: walking, messages, export."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given

from pi_ai.types import AssistantMessage, TextContent, UserMessage
from pi_session import (
    BashExecutionMessage,
    CustomMessage,
    EntryNotFoundError,
    SessionManager,
)
from support.session_trees import RANDOM_SESSIONS, Raw, session_entries

STORED = Path(__file__).parent / "data" / "all_entry_types.jsonl"


def user(text: str) -> UserMessage:
    return UserMessage(text, timestamp=1)


def assistant(text: str) -> AssistantMessage:
    return AssistantMessage([TextContent(text)], provider="p", model="m", timestamp=2)


def test_a_session_is_iterated_in_file_order_over_all_branches() -> None:
    session = SessionManager.in_memory()
    assert (len(session), list(session), bool(session)) == (0, [], True)
    first = session.append_message(user("1"))
    session.append_message(assistant("a"))
    session.branch(first)
    session.append_custom_entry("x")
    assert [entry.id for entry in session] == [entry.id for entry in session.get_entries()]
    assert len(session) == 3
    assert [entry.message for entry in session] == [user("1"), assistant("a"), None]


def test_appending_while_iterating_ends() -> None:
    session = SessionManager.in_memory()
    session.append_message(user("1"))
    for _ in session:
        session.append_message(user("more"))
    assert len(session) == 2


def test_messages_are_what_a_model_sees() -> None:
    session = SessionManager.in_memory()
    session.append_message(user("old"))
    session.append_compaction("S", None, 5)
    session.append_message(BashExecutionMessage(command="ls", exit_code=0, timestamp=3))
    session.append_message(
        BashExecutionMessage(command="secret", exclude_from_context=True, timestamp=3)
    )
    edited = session.append_message(assistant("long"))
    before_edit = session.leaf_id
    session.append_context_edit(edited, {"content": "short"})
    summary, bash, answer = session.messages()
    assert isinstance(summary, UserMessage)
    assert "S" in summary.content[0].text
    assert isinstance(bash, UserMessage)
    assert bash.content[0].text.startswith("Ran `ls`")
    assert answer.content == [TextContent("short")]
    assert session.messages(before_edit)[-1] == assistant("long")


def test_the_transcript_is_what_was_said() -> None:
    session = SessionManager.in_memory()
    first = session.append_message(user("old"))
    answer = session.append_message(assistant("failed"))
    session.append_context_edit(answer, None)
    session.append_compaction("S", None, 5)
    session.append_custom_message_entry("note", "look", True)
    session.branch_with_summary(session.leaf_id, "B")
    session.append_message(BashExecutionMessage(command="ls", timestamp=3))
    said = session.transcript()
    assert [message.role for message in said] == [
        *("user", "assistant", "custom", "branchSummary", "bashExecution")
    ]
    assert said[1] == assistant("failed")
    assert isinstance(said[2], CustomMessage)
    assert session.transcript(first) == [user("old")]


@pytest.mark.parametrize("method", ["messages", "transcript", "stats"])
def test_unknown_branches(method: str) -> None:
    session = SessionManager.in_memory()
    session.append_message(user("1"))
    with pytest.raises(EntryNotFoundError, match=r"^Entry nope not found$"):
        getattr(session, method)("nope")


def test_json_keeps_every_value_as_it_is_stored(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    lines = STORED.read_bytes() + b'{"type":"odd","id":"z","x":1.0,"s":"\\ud800"}\r\n'
    path.write_bytes(lines)
    with SessionManager.open(path, read_only=True) as session:
        text = session.to_json()
    assert '"x":1.0,"s":"\\ud800"}' in text
    assert json.loads(text)[1:] == [json.loads(line) for line in lines.splitlines()[1:]]
    assert text.encode().decode() == text


@RANDOM_SESSIONS
@given(session_entries())
def test_json_makes_the_same_session_again(entries: list[Raw]) -> None:
    session = SessionManager.in_memory("/proj", id="s1", parent_session="/p", entries=entries)
    again = SessionManager.in_memory(entries=json.loads(session.to_json()))
    assert again.get_header() == session.get_header()
    assert [entry.raw for entry in again] == entries
    assert (again.leaf_id, again.stats()) == (session.leaf_id, session.stats())


def test_repr_is_one_short_line(tmp_path: Path) -> None:
    session = SessionManager.in_memory("/proj", id="s1")
    assert repr(session) == "<SessionManager s1 in memory, 0 entries>"
    session.append_session_info("A 'name'\x1b[31m" + "long " * 50)
    assert len(repr(session)) < 100
    assert repr(session).startswith("<SessionManager s1 \"A 'name'\ufffd[31mlong")
    with SessionManager.create("/proj", tmp_path, id="s2") as stored:
        stored.append_message(user("x"))
        assert repr(stored).endswith("_s2.jsonl, 1 entry>")
