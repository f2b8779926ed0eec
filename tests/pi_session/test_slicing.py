"""Parts of a branch as sessions of their own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pi_ai.types import AssistantMessage, TextContent, ToolCall, ToolResultMessage, UserMessage
from pi_session import (
    EntryNotFoundError,
    SessionError,
    SessionManager,
    SessionReadOnlyError,
)
from support.session_trees import RANDOM_SESSIONS, Raw, root_path, session_entries


def user(text: str) -> UserMessage:
    return UserMessage(text, timestamp=1)


def assistant(text: str, *calls: str) -> AssistantMessage:
    content = [TextContent(text), *(ToolCall(call, "read") for call in calls)]
    return AssistantMessage(content, provider="p", model="m", timestamp=2)


def result(call: str) -> ToolResultMessage:
    return ToolResultMessage(call, "read", [TextContent(call)], timestamp=3)


def ids(session: SessionManager) -> list[str]:
    return [entry.id for entry in session]


def lines_of(path: Path | None) -> list[dict]:
    assert path is not None
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_slice_is_a_file_of_its_own(tmp_path: Path) -> None:
    with SessionManager.create("/proj", tmp_path) as session:
        session.append_message(user("before"))
        first = session.append_message(user("1"))
        label = session.append_label_change(first, "here")
        last = session.append_message(assistant("2"))
        session.append_message(user("after"))
        before = lines_of(session.session_file)
        with session.slice(first, last) as part:
            assert part.session_file is not None
            assert part.session_file.parent == tmp_path
            header, *entries = lines_of(part.session_file)
            assert header["parentSession"] == str(session.session_file)
            assert (header["id"], header["cwd"]) == (part.session_id, "/proj")
            assert part.session_id != session.session_id
            assert [entry["id"] for entry in entries[:2]] == [first, last]
            assert [entry["parentId"] for entry in entries] == [None, first, last]
            assert (entries[2]["targetId"], entries[2]["label"]) == (first, "here")
            assert entries[2]["timestamp"] == before[3]["timestamp"]
            assert entries[2]["id"] != label
            part.append_message(user("3"))
            assert len(lines_of(part.session_file)) == 5
        assert lines_of(session.session_file) == before
    with SessionManager.open(part.session_file) as reopened:
        assert [message.role for message in reopened.messages()] == ["user", "assistant", "user"]
        assert reopened.get_label(first) == "here"


def test_a_slice_in_memory_writes_nothing(tmp_path: Path) -> None:
    with SessionManager.create("/proj", tmp_path) as session:
        session.append_message(user("1"))
        part = session.slice(in_memory=True)
        assert (part.session_file, ids(part)) == (None, ids(session))
        assert part.get_header().parent_session == str(session.session_file)
        assert list(tmp_path.iterdir()) == [session.session_file]


def test_a_session_in_memory_has_slices_in_memory() -> None:
    session = SessionManager.in_memory("/proj")
    entry_id = session.append_message(user("1"))
    part = session.slice()
    assert (part.session_file, part.get_header().parent_session) == (None, None)
    assert (part.leaf_id, part.cwd) == (entry_id, "/proj")


def test_a_slice_without_conversation_gets_its_file_later(tmp_path: Path) -> None:
    with SessionManager.create("/proj", tmp_path) as session:
        level = session.append_thinking_level_change("high")
        session.append_message(user("1"))
        with session.slice(level, level) as part:
            assert part.session_file is not None
            assert not part.session_file.exists()
            part.append_message(user("2"))
            kinds = [line["type"] for line in lines_of(part.session_file)]
            assert kinds == ["session", "thinking_level_change", "message"]


def test_a_closed_session_can_be_sliced(tmp_path: Path) -> None:
    with SessionManager.create("/proj", tmp_path) as session:
        session.append_message(user("1"))
    with pytest.raises(SessionReadOnlyError):
        session.append_message(user("2"))
    with session.slice() as part:
        part.append_message(user("2"))
    assert len(part) == 2


def history(session: SessionManager) -> dict[str, str]:
    """Two calls answered with a usage entry between, then an answer and another question."""
    return {
        "q": session.append_message(user("q")),
        "calls": session.append_message(assistant("", "c1", "c2")),
        "r1": session.append_message(result("c1")),
        "warm": session.append_custom_entry("warm"),
        "r2": session.append_message(result("c2")),
        "answer": session.append_message(assistant("a")),
        "more": session.append_message(user("more")),
    }


@pytest.mark.parametrize(
    ("first", "last", "kept"),
    [
        pytest.param("q", "q", "q", id="one-entry"),
        pytest.param("q", "calls", "q calls r1 warm r2", id="ends-at-calls"),
        pytest.param("q", "r1", "q calls r1 warm r2", id="ends-between-results"),
        pytest.param("q", "warm", "q calls r1 warm r2", id="ends-behind-a-result"),
        pytest.param("r2", "answer", "calls r1 warm r2 answer", id="starts-at-the-last-result"),
        pytest.param("r1", "r1", "calls r1 warm r2", id="a-single-result"),
        pytest.param("warm", "warm", "warm", id="no-message-at-all"),
        pytest.param("answer", "more", "answer more", id="behind-the-results"),
        pytest.param(None, "more", "q calls r1 warm r2 answer more", id="everything"),
    ],
)
def test_calls_and_results_stay_together(first: str | None, last: str, kept: str) -> None:
    session = SessionManager.in_memory()
    names = history(session)
    session.branch(names["more"])
    part = session.slice(names[first] if first else None, names[last])
    assert ids(part) == [names[name] for name in kept.split()]
    assert part.leaf_id == names[kept.split()[-1]]


@st.composite
def turns(draw: st.DrawFn) -> list[str | tuple[str, ...]]:
    """Messages in order: a text is the user's, a tuple an answer with calls, then their results."""
    found: list[str | tuple[str, ...]] = []
    for number in range(draw(st.integers(1, 4))):
        found.append(f"question {number}")
        for _ in range(draw(st.integers(0, 2))):
            # Some servers use the same ids in every answer.
            calls = draw(st.lists(st.sampled_from(["c1", "c2", "c3"]), unique=True))
            found.append(tuple(calls))
            for call in draw(st.permutations(calls)):
                found += ["usage"] * draw(st.integers(0, 1))
                found.append(f"result {call}")
    return found


@RANDOM_SESSIONS
@given(turns(), st.data())
def test_any_slice_has_each_call_with_its_result(turns: Any, data: st.DataObject) -> None:
    session = SessionManager.in_memory()
    for turn in turns:
        if isinstance(turn, tuple):
            session.append_message(assistant("", *turn))
        elif turn.startswith("result "):
            session.append_message(result(turn[7:]))
        elif turn == "usage":
            session.append_custom_entry("usage")
        else:
            session.append_message(user(turn))
    if data.draw(st.booleans()):
        session.reset_leaf()
    whole = [entry.id for entry in session]
    start = data.draw(st.integers(0, len(whole) - 1))
    end = data.draw(st.integers(start, len(whole) - 1))
    part = session.slice(whole[start], whole[end])
    assert set(whole[start : end + 1]) <= set(ids(part))
    calls: list[str] = []
    for entry in part:
        message = entry.message
        if isinstance(message, ToolResultMessage):
            calls.remove(message.tool_call_id)
        elif message is not None:
            assert calls == []
            if isinstance(message, AssistantMessage):
                calls = [call.id for call in message.tool_calls]
    assert calls == []


def test_results_are_found_on_a_branch_that_was_left() -> None:
    session = SessionManager.in_memory()
    names = history(session)
    session.branch(names["calls"])
    session.append_message(user("other"))
    session.reset_leaf()
    part = session.slice(names["q"], names["calls"])
    assert ids(part) == [names[name] for name in ("q", "calls", "r1", "warm", "r2")]


def test_a_late_result_brings_its_call_too() -> None:
    session = SessionManager.in_memory()
    messages = [assistant("", "c1"), assistant("", "c2"), result("c1"), result("c2")]
    names = [session.append_message(message) for message in messages]
    assert ids(session.slice(names[3])) == names


def test_calls_that_were_never_answered_keep_the_slice_as_it_is() -> None:
    session = SessionManager.in_memory()
    first = session.append_message(assistant("", "c1"))
    session.append_message(user("next"))
    session.append_message(result("c1"))
    assert ids(session.slice(first, first)) == [first]


def test_a_result_without_a_call_does_not_reach_into_an_earlier_turn() -> None:
    session = SessionManager.in_memory()
    session.append_message(assistant("", "c1"))
    session.append_message(result("c1"))
    session.append_message(user("next"))
    stray = session.append_message(result("c1"))
    assert ids(session.slice(stray, stray)) == [stray]


@pytest.mark.parametrize(
    ("kept", "first", "roles"),
    [
        pytest.param("u1", "u2", "compactionSummary user user", id="kept-entry-cut-off"),
        pytest.param("u2", "u1", "compactionSummary user user", id="kept-entry-inside"),
        pytest.param("u1", "compaction", "compactionSummary user", id="starts-at-the-compaction"),
        pytest.param(None, "u1", "compactionSummary user", id="keeps-nothing"),
    ],
)
def test_a_compaction_keeps_what_of_its_history_is_there(
    kept: str | None, first: str, roles: str
) -> None:
    session = SessionManager.in_memory()
    names = {"u1": session.append_message(user("1")), "u2": session.append_message(user("2"))}
    names["compaction"] = session.append_compaction("S", names[kept] if kept else None, 5)
    session.append_message(user("3"))
    part = session.slice(names[first])
    assert [message.role for message in part.build_session_context().messages] == roles.split()


def test_entries_that_cannot_be_sliced_between() -> None:
    session = SessionManager.in_memory()
    first = session.append_message(user("1"))
    left = session.append_message(user("2"))
    session.branch(first)
    leaf = session.append_message(user("3"))
    with pytest.raises(EntryNotFoundError, match=r"^Entry nope not found$"):
        session.slice("nope")
    with pytest.raises(SessionError, match=f"^Entry {left} is not on the branch to the leaf$"):
        session.slice(left)
    with pytest.raises(SessionError, match=f"^Entry {leaf} is not on the branch to {first}$"):
        session.slice(leaf, first)


def test_a_slice_before_the_first_entry_is_empty() -> None:
    session = SessionManager.in_memory()
    session.append_message(user("1"))
    session.reset_leaf()
    assert ids(session.slice()) == []


def without_links(raw: Raw) -> Raw:
    return {key: raw[key] for key in raw if key not in {"parentId", "firstKeptEntryId"}}


@RANDOM_SESSIONS
@given(session_entries(), st.data())
def test_a_slice_is_a_chain_of_the_same_entries(entries: list[Raw], data: st.DataObject) -> None:
    session = SessionManager.in_memory(entries=entries)
    last = data.draw(st.sampled_from(entries))["id"]
    path = root_path(entries, last)
    first = data.draw(st.sampled_from(path))
    part = session.slice(first, last)
    copies: list[Any] = [entry.raw for entry in part]
    parents = [None, *(raw["id"] for raw in copies)]
    assert [raw["parentId"] for raw in copies] == parents[:-1]

    known = {entry["id"]: entry for entry in entries}
    copied = [raw for raw in copies if raw["id"] in known]
    wanted = [i for i in path[path.index(first) :] if known[i]["type"] != "label"]
    assert [raw["id"] for raw in copied if raw["id"] in set(wanted)] == wanted
    assert [without_links(raw) for raw in copied] == [
        without_links(known[raw["id"]]) for raw in copied
    ]
    labelled = {raw["targetId"]: raw["label"] for raw in copies[len(copied) :]}
    ids_copied = {raw["id"] for raw in copied}
    assert labelled == {i: label for i in ids_copied if (label := session.get_label(i))}
