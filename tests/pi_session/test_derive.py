"""Branched sessions, forks and exports."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pi_ai.types import AssistantMessage, TextContent, UserMessage
from pi_session import (
    EntryNotFoundError,
    SessionError,
    SessionFormatError,
    SessionManager,
)


def user(text: str) -> UserMessage:
    return UserMessage(text, timestamp=1)


def assistant(text: str) -> AssistantMessage:
    return AssistantMessage([TextContent(text)], provider="p", model="m", timestamp=2)


def lines_of(path: Path | None) -> list[dict]:
    assert path is not None
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_session_check_32_branched_session(tmp_path: Path) -> None:
    with SessionManager.create("/proj", tmp_path) as session:
        u1 = session.append_message(user("1"))
        a2 = session.append_message(assistant("2"))
        first_label = session.append_label_change(u1, "L1")
        u3 = session.append_message(user("3"))
        session.append_label_change(a2, "L2")
        compaction = session.append_compaction("S", first_label, 5)
        u4 = session.append_message(user("4"))
        session.append_label_change(u4, "L3")
        session.append_message(user("after"))
        old_path = session.session_file
        old_lines = lines_of(old_path)
        stamps = {line.get("label"): line["timestamp"] for line in old_lines}
        times = {line["id"]: line["timestamp"] for line in old_lines}

        new_path = session.create_branched_session(u4)
        assert new_path == session.session_file != old_path
        header, *entries = lines_of(new_path)
        assert header["parentSession"] == str(old_path)
        assert header["id"] == session.session_id
        assert [entry["id"] for entry in entries[:5]] == [u1, a2, u3, compaction, u4]
        assert [entry["parentId"] for entry in entries[:5]] == [None, u1, a2, u3, compaction]
        assert entries[3]["firstKeptEntryId"] == u3
        assert all(entry["timestamp"] == times[entry["id"]] for entry in entries[:5])
        labels = entries[5:]
        assert [(label["targetId"], label["label"]) for label in labels] == [
            (u1, "L1"),
            (a2, "L2"),
            (u4, "L3"),
        ]
        assert [label["timestamp"] for label in labels] == [stamps[f"L{n}"] for n in (1, 2, 3)]
        assert [label["parentId"] for label in labels] == [u4, labels[0]["id"], labels[1]["id"]]
        assert not {label["id"] for label in labels} & {line["id"] for line in old_lines}
        assert session.leaf_id == labels[2]["id"]
        assert session.get_label(a2) == "L2"

        session.append_message(user("5"))
        assert len(lines_of(new_path)) == 10
        assert lines_of(old_path) == old_lines
    with SessionManager.open(old_path or "") as reopened:
        assert reopened.get_entry_count() == len(old_lines) - 1


def test_labels_that_were_cleared_or_lie_elsewhere_are_not_made_again() -> None:
    session = SessionManager.in_memory()
    u1 = session.append_message(user("1"))
    u2 = session.append_message(user("2"))
    session.append_label_change(u1, "gone")
    session.append_label_change(u1, None)
    session.append_label_change(u2, "elsewhere")
    session.create_branched_session(u1)
    assert [entry.id for entry in session.get_entries()] == [u1]


def test_a_compaction_that_keeps_itself_still_does() -> None:
    session = SessionManager.in_memory()
    session.append_message(user("1"))
    own = session.append_compaction("S", None, 5)
    session.create_branched_session(own)
    entry = session.get_leaf_entry()
    assert entry is not None
    assert entry.raw["firstKeptEntryId"] == own


def test_session_check_33_branch_without_conversation_is_deferred(tmp_path: Path) -> None:
    with SessionManager.create("/proj", tmp_path) as session:
        level = session.append_thinking_level_change("high")
        session.append_message(user("U"))
        path = session.create_branched_session(level)
        assert path is not None
        assert not path.exists()
        session.append_message(user("V"))
        assert [line["type"] for line in lines_of(path)] == [
            "session",
            "thinking_level_change",
            "message",
        ]


def test_session_check_34_unknown_entry(tmp_path: Path) -> None:
    with SessionManager.create("/proj", tmp_path) as session:
        first = session.append_message(user("U"))
        path = session.session_file
        with pytest.raises(EntryNotFoundError, match=r"^Entry nope not found$"):
            session.create_branched_session("nope")
        assert (session.session_file, session.leaf_id) == (path, first)


def test_a_branch_that_cannot_be_written_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with SessionManager.create("/proj", tmp_path / "a") as session:
        first = session.append_message(user("U"))
        path = session.session_file
        monkeypatch.setattr(session, "_session_dir", tmp_path / "a" / "file" / "b")
        (tmp_path / "a" / "file").touch()
        with pytest.raises(NotADirectoryError):
            session.create_branched_session(first)
        assert session.session_file == path
        session.append_message(user("V"))
    assert len(lines_of(path)) == 3


def test_session_check_35_fork_from(tmp_path: Path) -> None:
    with SessionManager.create("/proj", tmp_path / "source") as session:
        u1 = session.append_message(user("1"))
        session.append_message(assistant("2"))
        session.branch(u1)
        session.append_message(assistant("3"))
        session.append_label_change(u1, "L")
        source = session.session_file
        assert source is not None
        with source.open("a") as file:
            file.write('{"type":"odd",  "x":1.0}\n{"torn')
    with SessionManager.fork_from(source, "/target/./x", tmp_path / "t", id="forked") as fork:
        assert fork.session_file is not None
        assert fork.session_file.name.endswith("_forked.jsonl")
        assert fork.session_file.parent == tmp_path / "t"
        assert fork.cwd == "/target/x"
        header = fork.get_header()
        assert (header.cwd, header.parent_session) == ("/target/x", str(source))
        assert fork.leaf_id == session.leaf_id
        assert fork.get_label(u1) == "L"
        assert len(fork.get_children(u1)) == 2
        theirs, ours = source.read_text().split("\n"), fork.session_file.read_text().split("\n")
        assert ours[1:-1] == theirs[1:-1]
        fork.append_message(user("more"))


def test_session_check_26_forking_an_old_file_migrates_it(tmp_path: Path) -> None:
    source = tmp_path / "v1.jsonl"
    source.write_text(
        '{"type":"session","id":"old","timestamp":"2025-01-01T00:00:00Z","cwd":"/c"}\n'
        '{"type":"message","message":{"role":"user","content":"x","timestamp":1},"odd":1.0}\n'
        '{"type":"message","message":{"role":"hookMessage","customType":"c","content":"y"}}\n'
    )
    before = source.read_bytes()
    with SessionManager.fork_from(source, "/target", tmp_path / "t") as fork:
        header, first, second = lines_of(fork.session_file)
        assert header["version"] == 3
        assert (first["parentId"], second["parentId"]) == (None, first["id"])
        assert second["message"]["role"] == "custom"
        assert fork.session_file is not None
        assert '"odd":1.0' in fork.session_file.read_text()
    assert source.read_bytes() == before


@pytest.mark.parametrize("content", [None, b"", b"garbage\n"], ids=["missing", "empty", "invalid"])
def test_fork_of_no_session(content: bytes | None, tmp_path: Path) -> None:
    source = tmp_path / "source.jsonl"
    if content is not None:
        source.write_bytes(content)
    with pytest.raises(SessionFormatError) as caught:
        SessionManager.fork_from(source, "/target", tmp_path / "t")
    assert str(caught.value) == f"Cannot fork: source session file is empty or invalid: {source}"
    assert not (tmp_path / "t").exists()


def test_export_writes_the_branch_as_a_line_of_entries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with SessionManager.create("/proj", tmp_path / "s", parent_session="/p.jsonl") as session:
        u1 = session.append_message(user("1"))
        session.append_message(assistant("aside"))
        session.branch(u1)
        label = session.append_label_change(u1, "L")
        u2 = session.append_message(user("2"))
        target = session.export_jsonl("out/deep/export.jsonl")
        assert target == tmp_path / "out/deep/export.jsonl"
        header, *entries = lines_of(target)
        assert header["id"] == session.session_id
        assert "parentSession" not in header
        assert [(entry["id"], entry["parentId"]) for entry in entries] == [
            (u1, None),
            (label, u1),
            (u2, label),
        ]
        session.export_jsonl(target)
        default = session.export_jsonl()
        assert default.parent == tmp_path
        assert default.name.startswith("session-20")
        assert ":" not in default.name
        with pytest.raises(SessionError, match="over its own file"):
            session.export_jsonl(session.session_file)
    with SessionManager.open(target) as exported:
        assert exported.build_session_context() == session.build_session_context()


def test_export_of_an_orphaned_branch_has_a_root(tmp_path: Path) -> None:
    message = {"role": "user", "content": "x", "timestamp": 1}
    session = SessionManager.in_memory(
        entries=[{"type": "message", "id": "a", "parentId": "gone", "message": message}]
    )
    header, entry = lines_of(session.export_jsonl(tmp_path / "x.jsonl"))
    assert (header["type"], entry["parentId"]) == ("session", None)
