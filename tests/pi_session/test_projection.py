"""What the model sees of a branch."""

from __future__ import annotations

from typing import Any

import pytest

from pi_ai.types import (
    AssistantMessage,
    SystemMessage,
    TextContent,
    Tool,
    ToolReference,
    UserMessage,
)
from pi_session import (
    CompactionEntry,
    SessionManager,
    SessionModel,
    build_context_entries,
    build_session_context,
    replay_system_messages,
)
from pi_session.entries import Entry
from pi_session.locations import parse_timestamp
from pi_session.projection import find_branch
from support.session_entries import TIME_MS, a, chain, compaction, edit, message, u


def seen(entries: list[Entry], *leaf: str) -> list[str]:
    """Messages as text: summaries by their summary, others by their content."""
    found: list[str] = []
    for item in build_session_context(entries, *leaf).messages:
        content: Any = getattr(item, "summary", None) or getattr(item, "content", None)
        found.append(content if isinstance(content, str) else "".join(b.text for b in content))
    return found


def test_session_check_37_no_entries_and_no_leaf() -> None:
    for entries, leaf in (([], ()), (chain(u("x")), (None,))):
        context = build_session_context(entries, *leaf)
        assert (context.messages, context.thinking_level, context.model) == ([], "off", None)


def test_session_check_37_unknown_leaf_is_the_last_entry() -> None:
    entries = chain(u("x"), a("y"))
    assert seen(entries, "nope") == seen(entries) == ["x", "y"]
    assert seen(entries, "1") == ["x"]


def test_session_check_38_compaction_keeps_from_the_kept_entry() -> None:
    entries = chain(u("1"), a("2"), u("3"), a("4"), compaction("S", "3"), u("6"), a("7"))
    assert seen(entries) == ["S", "3", "4", "6", "7"]
    summary = build_session_context(entries).messages[0]
    assert summary.role == "compactionSummary"
    assert (summary.tokens_before, summary.timestamp) == (9, TIME_MS)


@pytest.mark.parametrize("kept", ["nope", "5", "6", None], ids=["unknown", "own", "after", "none"])
def test_session_check_39_compaction_that_keeps_nothing(kept: str | None) -> None:
    entries = chain(u("1"), a("2"), u("3"), a("4"), compaction("S", kept), u("6"), a("7"))
    assert seen(entries) == ["S", "6", "7"]


def test_session_check_40_older_compaction_in_the_kept_range() -> None:
    entries = chain(
        u("1"), a("2"), compaction("S1", "1"), u("4"), a("5"), compaction("S2", "2"), u("7")
    )
    assert seen(entries) == ["S2", "2", "4", "5", "7"]
    assert [e.id for e in build_context_entries(entries)] == ["6", "2", "3", "4", "5", "7"]


def test_session_check_41_system_messages_around_a_compaction() -> None:
    checkpoint = {"role": "system", "content": "CK", "timestamp": 1}
    entries = chain(
        message("system", "s"),
        u("U"),
        message("system", "s2"),
        a("A"),
        compaction("summary", "2", systemMessage=checkpoint),
        message("system", "s3"),
        u("U2"),
    )
    assert seen(entries) == ["CK", "summary", "U", "A", "s3", "U2"]


def test_session_check_42_settings_come_from_the_whole_path() -> None:
    openai = {"type": "model_change", "provider": "openai", "modelId": "gpt"}
    level = {"type": "thinking_level_change", "thinkingLevel": "high"}
    context = build_session_context(chain(level, openai, a("x"), compaction("S", None)))
    assert context.model == SessionModel("p", "m")
    assert context.thinking_level == "high"
    context = build_session_context(chain(a("x"), openai, compaction("S", None), u("y")))
    assert context.model == SessionModel("openai", "gpt")


def test_session_check_43_the_last_edit_counts() -> None:
    entries = chain(
        u("1"), a("2"), edit("1", {"content": "A!"}),
        edit("1", {"content": [{"type": "text", "text": "A2"}]}), edit("2", {"content": "B!"}),
    )  # fmt: skip
    messages = build_session_context(entries).messages
    assert messages == [
        UserMessage([TextContent("A2")], timestamp=1),
        AssistantMessage([TextContent("B!")], provider="p", model="m", timestamp=1),
    ]
    assert seen(entries, "3") == ["A!", "2"]
    assert seen(entries, "2") == ["1", "2"]
    assert seen(chain(u("1"), a("2"), edit("1", None))) == ["2"]


def test_edits_keep_all_other_keys_of_their_target() -> None:
    result = message(
        "toolResult", [], toolCallId="c", toolName="read", isError=True, details={"k": 1}
    )
    custom = {"type": "custom_message", "customType": "x", "content": "y", "display": True}
    entries = chain(result, edit("1", {"content": "short"}), custom, edit("3", {"content": "z"}))
    tool_result, custom_message = build_session_context(entries).messages
    assert tool_result.role == "toolResult"
    assert tool_result.content == [TextContent("short")]
    assert (tool_result.is_error, tool_result.details) == (True, {"k": 1})
    assert custom_message.role == "custom"
    assert (custom_message.content, custom_message.timestamp) == ("z", TIME_MS)
    assert custom_message.display


def test_edits_that_were_summarised_away_do_not_apply() -> None:
    entries = chain(u("1"), edit("1", None), u("3"), compaction("S", "3"), u("5"))
    assert seen(entries) == ["S", "3", "5"]
    entries = chain(u("1"), u("2"), edit("1", None), compaction("S", "1"), edit("4", None))
    assert seen(entries) == ["2"]


def test_edits_do_not_reach_roles_without_editable_content() -> None:
    bash = {"role": "bashExecution", "command": "ls", "output": "o", "timestamp": 1}
    entries = chain({"type": "message", "message": bash}, edit("1", {"content": "x"}))
    (found,) = build_session_context(entries).messages
    assert found.role == "bashExecution"
    assert seen(chain({"type": "message", "message": bash}, edit("1", None))) == []


def test_session_check_44_sibling_edits_and_empty_summaries() -> None:
    entries = chain(u("1"), edit("1", None), {**u("3"), "parentId": "1"})
    assert seen(entries) == ["1", "3"]
    empty = {"type": "branch_summary", "fromId": "x", "summary": ""}
    assert seen(chain(u("1"), empty, {**empty, "summary": "S"})) == ["1", "S"]


@pytest.mark.parametrize(
    ("role", "content"),
    [("user", []), ("system", ""), ("assistant", []), ("toolResult", []), ("custom", [])],
)
@pytest.mark.parametrize("written", [{"content": None}, {}], ids=["null", "missing"])
def test_session_check_45_missing_content_is_empty(
    role: str, content: Any, written: dict[str, None]
) -> None:
    fields = {"role": role, "toolCallId": "c", "toolName": "t", "customType": "x", **written}
    (found,) = build_session_context(chain({"type": "message", "message": fields})).messages
    assert getattr(found, "content", None) == content


def test_entries_that_are_no_messages_contribute_nothing() -> None:
    entries = chain(
        {"type": "message"},
        {"type": "message", "message": {"role": "ghost"}},
        {"type": "hologram"},
        {"type": "custom", "customType": "x"},
        {"type": "usage", "kind": "k", "provider": "p", "model": "m", "usage": {}},
        {"type": "session_info", "name": "n"},
        u("x"),
    )
    assert seen(entries) == ["x"]


def test_session_check_47_system_replay() -> None:
    def tool(name: str, description: str) -> Tool:
        return Tool(name, description, {})

    replay = replay_system_messages(
        [
            SystemMessage(
                "base",
                sections={"a": "A", "b": "B"},
                tools_added=[tool("r", "1"), tool("w", "1")],
                timestamp=5,
            ),
            UserMessage("between", timestamp=6),
            SystemMessage(
                "x\ny",
                sections={"a": "A2", "c": "C", "b": None},
                tools_removed=[ToolReference("r")],
                tools_added=[tool("w", "2"), tool("n", "1")],
                timestamp=7,
            ),
            SystemMessage("", sections={"b": "B3"}, tools_added=[tool("r", "2")], timestamp=8),
        ]
    )
    assert replay is not None
    assert replay.content == "base\n\nx\ny"
    assert list((replay.sections or {}).items()) == [("a", "A2"), ("c", "C"), ("b", "B3")]
    assert [(t.name, t.description) for t in replay.tools_added or []] == [
        ("w", "2"),
        ("n", "1"),
        ("r", "2"),
    ]
    assert replay.timestamp == 5
    assert replay_system_messages([UserMessage("x")]) is None


def test_append_compaction_stores_the_prompt_in_force() -> None:
    session = SessionManager.in_memory()
    session.append_message(SystemMessage("one", timestamp=1))
    kept = session.append_message(UserMessage("U", timestamp=2))
    session.append_message(SystemMessage("two", timestamp=3))
    session.append_compaction("S", kept, 5, details={"readFiles": []}, from_hook=False)
    entry = session.get_leaf_entry()
    assert entry is not None
    view = entry.view
    assert isinstance(view, CompactionEntry)
    assert view.system_message is not None
    assert view.system_message.content == "one\n\ntwo"
    assert view.system_message.timestamp == parse_timestamp(entry.timestamp)
    assert list(entry.raw) == [
        "type", "id", "parentId", "timestamp", "summary", "firstKeptEntryId", "tokensBefore",
        "details", "fromHook", "systemMessage",
    ]  # fmt: skip
    roles = [message.role for message in session.build_session_context().messages]
    assert roles == ["system", "compactionSummary", "user"]
    session.append_compaction("T", None, 5)
    assert session.get_entry(session.leaf_id or "") is not None
    entry = session.get_leaf_entry()
    assert entry is not None
    assert entry.raw["firstKeptEntryId"] == entry.id


def test_find_branch_of_nothing() -> None:
    assert find_branch([]) == find_branch([], "x") == find_branch([], None) == []


def test_a_grown_projection_is_extended_and_not_rebuilt(monkeypatch: pytest.MonkeyPatch) -> None:
    session = SessionManager.in_memory()
    session.append_message(UserMessage("1", timestamp=1))
    first = session.build_session_context().messages[0]

    def fail(path: object) -> None:
        raise AssertionError("rebuilt")

    monkeypatch.setattr("pi_session.projection.build_context_entries", fail)
    for number in range(5):
        session.append_message(UserMessage(str(number), timestamp=1))
        messages = session.build_session_context().messages
        assert messages[0] is first
        assert len(messages) == number + 2
    session.append_thinking_level_change("low")
    session.append_model_change("p", "m2")
    context = session.build_session_context()
    assert (context.thinking_level, context.model) == ("low", SessionModel("p", "m2"))
    with pytest.raises(AssertionError, match="rebuilt"):
        session.append_compaction("S", None, 1) and session.build_session_context()
