"""Making, opening and writing sessions."""

from __future__ import annotations

import copy
import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pi_ai.transcript import content_text
from pi_ai.types import (
    AssistantMessage,
    SystemMessage,
    TextContent,
    ToolResultMessage,
    Usage,
    UserMessage,
)
from pi_session import (
    BashExecutionMessage,
    BranchSummaryMessage,
    ContextEditError,
    EntryNotFoundError,
    SessionConflictError,
    SessionFormatError,
    SessionLockedError,
    SessionManager,
    SessionReadOnlyError,
    list_sessions,
)

HEADER = '{"type":"session","version":3,"id":"h","timestamp":"2026-01-01T00:00:00.000Z","cwd":"/c"}'


def user(text: str) -> UserMessage:
    return UserMessage(text, timestamp=1)


def assistant(text: str) -> AssistantMessage:
    return AssistantMessage([TextContent(text)], provider="p", model="m", timestamp=2)


def line(entry_id: str, parent: str | None = None, text: str = "t") -> str:
    message = {"role": "user", "content": text, "timestamp": 1}
    fields = {"type": "message", "id": entry_id, "parentId": parent, "timestamp": "2026"}
    return json.dumps({**fields, "message": message}, separators=(",", ":"), ensure_ascii=False)


def lines_of(path: Path | None) -> list[str]:
    assert path is not None
    text = path.read_bytes().decode()
    assert text.endswith("\n")
    return text[:-1].split("\n")


def write(path: Path, *lines: str, end: str = "\n") -> Path:
    path.write_bytes(("\n".join(lines) + end).encode())
    return path


# --- the first flush ---------------------------------------------------------------------------


@pytest.mark.parametrize("first", [user("U"), assistant("A")], ids=["check_5_user", "check_6_asst"])
def test_session_check_5_6_file_appears_with_the_conversation(
    first: UserMessage | AssistantMessage, tmp_path: Path
) -> None:
    directory = tmp_path / "sessions"
    with SessionManager.create("/proj", directory) as session:
        session.append_model_change("p", "m")
        session.append_thinking_level_change("high")
        session.append_message(SystemMessage("s", timestamp=1))
        session.append_session_info("name")
        session.append_message(BashExecutionMessage(command="ls", output="", timestamp=1))
        session.append_custom_message_entry("x", "text", True)
        assert not directory.exists()
        assert not session.is_saved
        session.append_message(first)
        assert session.session_file is not None
        assert session.session_file.parent == directory
        lines = lines_of(session.session_file)
        assert len(lines) == 8
        header = json.loads(lines[0])
        assert header == {
            "type": "session",
            "version": 3,
            "id": session.session_id,
            "timestamp": header["timestamp"],
            "cwd": "/proj",
        }
        session.append_message(assistant("A"))
        assert len(lines_of(session.session_file)) == 9


def test_lines_have_base_keys_first_and_null_parents(tmp_path: Path) -> None:
    with SessionManager.create("/proj", tmp_path) as session:
        session.append_message(user("U"))
        entry = session.get_leaf_entry()
        assert entry is not None
        assert lines_of(session.session_file)[1] == (
            f'{{"type":"message","id":"{entry.id}","parentId":null,'
            f'"timestamp":"{entry.timestamp}",'
            '"message":{"role":"user","content":"U","timestamp":1}}'
        )


def test_session_check_7_create_is_exclusive(tmp_path: Path) -> None:
    with SessionManager.create("/proj", tmp_path) as session:
        assert session.session_file is not None
        session.session_file.write_text("somebody else's")
        with pytest.raises(FileExistsError):
            session.append_message(user("U"))
        assert session.get_entry_count() == 0
        assert session.leaf_id is None
        assert session.session_file.read_text() == "somebody else's"
        session.session_file.unlink()
        session.append_message(user("U"))
        assert len(lines_of(session.session_file)) == 2


def test_session_check_8_failed_write_changes_nothing(tmp_path: Path) -> None:
    with SessionManager.create("/proj", tmp_path) as session:
        first = session.append_message(user("U"))
        path = session.session_file
        assert path is not None
        path.unlink()
        path.mkdir()
        with pytest.raises(SessionConflictError, match="was replaced"):
            session.append_message(user("V"))
        assert session.get_entry_count() == 1
        assert session.leaf_id == first
        with pytest.raises(SessionConflictError):
            session.branch_with_summary(None, "S")
        assert session.leaf_id == first


@pytest.mark.parametrize("stage", ["first flush", "later"])
def test_a_write_that_fails_half_way_leaves_whole_lines(
    stage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_write = os.write

    def short_write(descriptor: int, data: bytes) -> int:
        return real_write(descriptor, data[: len(data) // 2])

    with SessionManager.create("/proj", tmp_path) as session:
        if stage == "later":
            session.append_message(user("U"))
        count = session.get_entry_count()
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", short_write)
            with pytest.raises(OSError, match="No space left"):
                session.append_message(user("lost"))
        assert session.get_entry_count() == count
        session.append_message(user("kept"))
        assert len(lines_of(session.session_file)) == count + 2


def test_a_message_that_is_no_json_is_refused_and_nothing_changes(tmp_path: Path) -> None:
    with SessionManager.create("/proj", tmp_path) as session:
        first = session.append_message(user("U"))
        with pytest.raises(TypeError):
            session.append_custom_entry("x", object())
        assert session.leaf_id == first
        assert len(lines_of(session.session_file)) == 2


# --- text --------------------------------------------------------------------------------------


def test_session_check_9_line_separators_stay_in_one_line(tmp_path: Path) -> None:
    with SessionManager.create("/proj", tmp_path) as session:
        session.append_message(user("a\u2028b"))
        path = session.session_file
        assert path is not None
    assert "a\u2028b" in lines_of(path)[1]
    with SessionManager.open(path) as session:
        assert session.get_entry_count() == 1
        (message,) = session.build_session_context().messages
        assert message == user("a\u2028b")
    (info,) = list_sessions("/proj", tmp_path)
    assert info.message_count == 1
    assert info.first_message == "a\u2028b"


def test_session_check_10_lone_surrogates_are_escaped(tmp_path: Path) -> None:
    with SessionManager.create("/proj", tmp_path) as session:
        session.append_message(user("x\ud800"))
        session.append_message(user("y"))
        path = session.session_file
    assert "\\ud800" in lines_of(path)[1]
    assert path is not None
    with SessionManager.open(path) as session:
        assert session.build_session_context().messages == [user("x\ud800"), user("y")]


def test_session_check_11_nan_becomes_null_and_is_not_read(tmp_path: Path) -> None:
    with SessionManager.create("/proj", tmp_path) as session:
        session.append_message(user("U"))
        session.append_custom_entry("x", {"n": float("nan")})
        path = session.session_file
    assert path is not None
    assert '"data":{"n":null}' in lines_of(path)[2]
    with path.open("a") as file:
        file.write('{"type":"custom","id":"n","parentId":null,"data":NaN}\n')
    with SessionManager.open(path) as session:
        assert session.get_entry("n") is None
        assert session.get_entry_count() == 2


def test_session_check_12_names_are_cleaned(tmp_path: Path) -> None:
    with SessionManager.create("/proj", tmp_path) as session:
        session.append_session_info("  Name\r\n\nwith  breaks ")
        entry = session.get_leaf_entry()
        assert entry is not None
        assert entry.raw["name"] == "Name with  breaks"
        assert session.get_session_name() == "Name with  breaks"
        session.append_session_info("")
        assert session.get_session_name() is None


@pytest.mark.parametrize(
    ("message", "error"),
    [
        (BranchSummaryMessage(summary="S"), TypeError),
        (AssistantMessage(stop_reason="pending"), ValueError),
    ],
    ids=["summary role", "streaming"],
)
def test_messages_that_are_never_stored(message: AssistantMessage, error: type[Exception]) -> None:
    with pytest.raises(error, match="never stored"):
        SessionManager.in_memory().append_message(message)


BAD_ARGUMENTS: dict[str, tuple[Callable[[Any], object], str]] = {
    "text for a message": (
        lambda session: session.append_message("Hi"),
        "message must be SystemMessage or UserMessage or AssistantMessage or ToolResultMessage or "
        "BashExecutionMessage or CustomMessage, got str",
    ),
    "dict for a message": (
        lambda session: session.append_message({"role": "user", "content": "Hi"}),
        "message must be SystemMessage or UserMessage or AssistantMessage or ToolResultMessage or "
        "BashExecutionMessage or CustomMessage, got dict",
    ),
    "no content": (
        lambda session: session.append_message(UserMessage(None)),
        "message.content must be str or list or tuple, got NoneType",
    ),
    "text for blocks": (
        lambda session: session.append_message(AssistantMessage("Hi")),
        "message.content must be list or tuple, got str",
    ),
    "level": (
        lambda session: session.append_thinking_level_change(5),
        "thinking_level must be str, got int",
    ),
    "provider": (
        lambda session: session.append_model_change(None, "m"),
        "provider must be str, got NoneType",
    ),
    "model": (
        lambda session: session.append_model_change("p", None),
        "model_id must be str, got NoneType",
    ),
    "usage": (
        lambda session: session.append_usage("k", "p", "m", {"input": 1}),
        "usage must be Usage, got dict",
    ),
    "usage model": (
        lambda session: session.append_usage("k", "p", 5, Usage()),
        "model must be str, got int",
    ),
    "summary": (
        lambda session: session.append_compaction(None, None, 5),
        "summary must be str, got NoneType",
    ),
    "kept entry": (
        lambda session: session.append_compaction("S", session.get_leaf_entry(), 5),
        "first_kept_entry_id must be str or None, got Entry",
    ),
    "tokens": (
        lambda session: session.append_compaction("S", None, "5"),
        "tokens_before must be int or float, got str",
    ),
    "custom type": (
        lambda session: session.append_custom_entry(5),
        "custom_type must be str, got int",
    ),
    "custom content": (
        lambda session: session.append_custom_message_entry("x", {"type": "text"}, True),
        "content must be str or Sequence, got dict",
    ),
    "display": (
        lambda session: session.append_custom_message_entry("x", "y", "yes"),
        "display must be bool, got str",
    ),
    "label": (
        lambda session: session.append_label_change(session.leaf_id, 5),
        "label must be str or None, got int",
    ),
    "name": (
        lambda session: session.append_session_info(None),
        "name must be str, got NoneType",
    ),
    "branch summary": (
        lambda session: session.branch_with_summary(None, 5),
        "summary must be str, got int",
    ),
}


@pytest.mark.parametrize(("append", "text"), BAD_ARGUMENTS.values(), ids=BAD_ARGUMENTS.keys())
def test_arguments_of_another_type_are_refused_and_nothing_changes(
    append: Callable[[Any], object], text: str, tmp_path: Path
) -> None:
    with SessionManager.create("/proj", tmp_path) as session:
        first = session.append_message(user("U"))
        with pytest.raises(TypeError) as caught:
            append(session)
        assert str(caught.value) == text
        assert (session.leaf_id, session.get_entry_count()) == (first, 1)
        assert len(lines_of(session.session_file)) == 2


# --- loading -----------------------------------------------------------------------------------


LOADS = {
    "garbage before the header": ["gar", "", "null", HEADER, line("a")],
    "not objects before the header": ["5", "[]", '"x"', HEADER, line("a")],
    "blank lines": [HEADER, "", "   ", line("a")],
    "carriage returns": [HEADER + "\r", line("a") + "\r"],
    "version 9": [HEADER.replace("3", "9", 1), line("a")],
    "version text": [HEADER.replace("3", '"3"', 1), line("a")],
    "version word": [HEADER.replace("3", '"new"', 1), line("a")],
    "no object": [HEADER, "5", "[]", '"x"', line("a")],
    "no id": [HEADER, '{"type":"message"}', line("a"), '{"type":"label","parentId":"a"}'],
    "malformed": [HEADER, "{", line("a"), "}"],
}


@pytest.mark.parametrize("lines", LOADS.values(), ids=LOADS.keys())
def test_session_check_13_files_that_load(lines: list[str], tmp_path: Path) -> None:
    path = write(tmp_path / "s.jsonl", *lines)
    before = path.read_bytes()
    with SessionManager.open(path) as session:
        assert [entry.id for entry in session.get_entries()] == ["a"]
        assert session.leaf_id == "a"
        assert session.session_id == "h"
        assert session.cwd == "/c"
        assert len(session.build_session_context().messages) == 1
    assert path.read_bytes() == before


BROKEN = {
    "garbage": b"garbage\n",
    "blank lines": b"\n\n",
    "message first": line("a").encode() + b"\n" + HEADER.encode(),
    "header id is a number": b'{"type":"session","version":3,"id":5}\n',
    "BOM": b"\xef\xbb\xbf" + HEADER.encode() + b"\n",
    "BOM and a line": b"\xef\xbb\xbf" + HEADER.encode() + b"\n" + line("a").encode(),
    "binary": bytes(range(256)),
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN.keys())
@pytest.mark.parametrize("read_only", [False, True])
def test_session_check_13_files_that_are_no_session(
    data: bytes, read_only: bool, tmp_path: Path
) -> None:
    path = tmp_path / "s.jsonl"
    path.write_bytes(data)
    with pytest.raises(SessionFormatError) as caught:
        SessionManager.open(path, read_only=read_only)
    assert str(caught.value) == f"Session file is not a valid pi session: {path}"
    assert path.read_bytes() == data


def test_session_check_13_header_only_appends_at_once(tmp_path: Path) -> None:
    path = write(tmp_path / "s.jsonl", HEADER)
    with SessionManager.open(path) as session:
        assert session.get_entries() == []
        assert session.leaf_id is None
        session.append_session_info("n")
    assert len(lines_of(path)) == 2


@pytest.mark.parametrize("cwd", ["", ',"cwd":""', ',"cwd":"sub"', ',"cwd":5'])
def test_session_check_13_cwd_of_the_header(
    cwd: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path / "s.jsonl", '{"type":"session","version":3,"id":"h"' + cwd + "}")
    with SessionManager.open(path) as session:
        assert session.cwd == str(tmp_path / ("sub" if "sub" in cwd else ""))
        assert session.session_dir == tmp_path
    with SessionManager.open(path, cwd_override="/over") as session:
        assert session.cwd == "/over"


def test_session_check_13_duplicate_ids_keep_both_lines(tmp_path: Path) -> None:
    path = write(tmp_path / "s.jsonl", HEADER, line("a", None, "1"), line("a", None, "2"))
    with SessionManager.open(path) as session:
        assert len(session.get_entries()) == 2
        assert session.get_entry_count() == 1
        assert session.build_session_context().messages == [user("2")]


def test_a_long_header_opens(tmp_path: Path) -> None:
    header = HEADER[:-1] + ',"pad":"' + "x" * (1 << 20) + '"}'
    path = write(tmp_path / "s.jsonl", header, line("a"))
    with SessionManager.open(path) as session:
        assert session.get_entry_count() == 1
    assert list_sessions("/c", tmp_path)[0].id == "h"


def test_session_check_14_empty_file_gets_a_header(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    path.touch()
    with SessionManager.open(path, read_only=True) as session:
        assert session.get_entries() == []
    assert path.read_bytes() == b""
    with SessionManager.open(path) as session:
        (header,) = lines_of(path)
        assert json.loads(header)["id"] == session.session_id
        assert session.session_file == path
        session.append_session_info("at once")
    assert len(lines_of(path)) == 2


def test_session_check_15_torn_tail_is_isolated(tmp_path: Path) -> None:
    torn = '{"type":"message","id":"bbbbbbbb","par'
    path = write(tmp_path / "s.jsonl", HEADER, line("a"), torn, end="")
    before = path.read_bytes()
    with SessionManager.open(path) as session:
        assert session.get_entry_count() == 1
        assert path.read_bytes() == before
        session.append_message(user("z"))
    lines = lines_of(path)
    assert lines[:3] == [HEADER, line("a"), torn]
    assert json.loads(lines[3])["parentId"] == "a"
    with SessionManager.open(path) as session:
        assert session.get_entry_count() == 2


def test_session_check_16_missing_final_newline_is_added(tmp_path: Path) -> None:
    path = write(tmp_path / "s.jsonl", HEADER, end="")
    with SessionManager.open(path) as session:
        session.append_model_change("p", "m")
    assert [json.loads(text)["type"] for text in lines_of(path)] == ["session", "model_change"]


def test_session_check_17_unknown_type_may_be_the_leaf(tmp_path: Path) -> None:
    path = write(tmp_path / "s.jsonl", HEADER, line("a"), '{"type":"leaf","id":"b","parentId":"a"}')
    with SessionManager.open(path) as session:
        assert session.leaf_id == "b"
        assert len(session.build_session_context().messages) == 1


def test_session_check_18_missing_path_is_a_new_session(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "s.jsonl"
    with SessionManager.open(path) as session:
        assert session.session_file == path
        assert not path.parent.exists()
        session.append_message(user("U"))
    assert len(lines_of(path)) == 2
    with pytest.raises(FileNotFoundError):
        SessionManager.open(tmp_path / "none.jsonl", read_only=True)


def test_session_check_19_newer_versions_are_only_read(tmp_path: Path) -> None:
    path = write(tmp_path / "s.jsonl", HEADER.replace("3", "9", 1), line("a"))
    with SessionManager.open(path) as session:
        assert session.read_only
        with pytest.raises(SessionReadOnlyError):
            session.append_message(user("U"))
        branched = session.create_branched_session("a")
    assert json.loads(lines_of(branched)[0])["version"] == 3


def test_session_check_19_null_version_is_rewritten(tmp_path: Path) -> None:
    old = line("x").replace('"id":"x","parentId":null,', "")
    path = write(tmp_path / "s.jsonl", HEADER.replace("3", "null", 1), old, old)
    with SessionManager.open(path) as session:
        session.append_message(user("U"))
    header, *entries = lines_of(path)
    assert header == HEADER
    ids = [json.loads(text)["id"] for text in entries]
    assert [json.loads(text)["parentId"] for text in entries] == [None, *ids[:2]]


def test_a_tree_that_lost_its_version_stays_a_tree(tmp_path: Path) -> None:
    tree = [line("a"), line("b", "a"), line("c", "a")]
    path = write(tmp_path / "s.jsonl", HEADER.replace('"version":3,', ""), *tree)
    with SessionManager.open(path) as session:
        assert [entry.id for entry in session.get_branch()] == ["a", "c"]
    assert lines_of(path)[1:] == tree


def test_session_check_20_second_header_is_ignored(tmp_path: Path) -> None:
    other = HEADER.replace('"h"', '"other"')
    path = write(tmp_path / "s.jsonl", HEADER, line("a"), other, line("b", "a"))
    with SessionManager.open(path) as session:
        assert session.session_id == "h"
        assert [entry.id for entry in session.get_branch()] == ["a", "b"]


@pytest.mark.parametrize("malformed", [False, True])
def test_session_check_25_migration_is_atomic_and_happens_once(
    malformed: bool, tmp_path: Path
) -> None:
    broken = ["{oops"] if malformed else []
    path = write(tmp_path / "s.jsonl", HEADER.replace("3", "2", 1), line("a"), *broken)
    original = path.read_bytes()
    path.chmod(0o600)
    with SessionManager.open(path) as session:
        session.append_message(user("U"))
        with pytest.raises(SessionLockedError):
            SessionManager.open(path)
    assert path.stat().st_mode & 0o777 == 0o600
    migrated = path.read_bytes()
    assert migrated.startswith(f"{HEADER}\n{line('a')}\n".encode())
    with SessionManager.open(path) as session:
        assert session.get_entry_count() == 2
    assert path.read_bytes() == migrated
    backup = tmp_path / "s.jsonl.bak"
    assert sorted(tmp_path.iterdir()) == ([path, backup] if malformed else [path])
    if malformed:
        assert backup.read_bytes() == original


def test_session_check_13_lines_without_an_id_stay_when_a_file_is_rewritten(tmp_path: Path) -> None:
    idless = '{"type":"message",  "odd":1.50}'
    path = write(tmp_path / "s.jsonl", HEADER.replace("3", "2", 1), line("a"), idless, line("b"))
    with SessionManager.open(path) as session:
        assert [entry.id for entry in session.get_entries()] == ["a", "b"]
    assert lines_of(path) == [HEADER, line("a"), idless, line("b")]
    with SessionManager.fork_from(path, "/c", tmp_path / "forks") as fork:
        assert lines_of(fork.session_file)[1:] == [line("a"), idless, line("b")]


def test_an_old_file_opened_for_reading_is_migrated_in_memory(tmp_path: Path) -> None:
    text = '{"type":"session","id":"h"}\n{"type":"message","message":{"role":"user","content":"x"}}'
    path = write(tmp_path / "s.jsonl", text)
    before = path.read_bytes()
    with SessionManager.open(path, read_only=True) as session:
        assert len(session.get_entries()[0].id) == 8
        assert len(session.build_session_context().messages) == 1
    assert path.read_bytes() == before


# --- other programs ----------------------------------------------------------------------------


def test_session_check_36_foreign_lines_are_taken_in(tmp_path: Path) -> None:
    with SessionManager.create("/proj", tmp_path) as session:
        a1 = session.append_message(user("A1"))
        session.get_children(None)
        assert session.session_file is not None
        with session.session_file.open("a") as file:
            file.write(line("b1") + "\n" + '{"type":"session_info","id":"n","name":"theirs"}\n')
            file.write('{"torn')
        a2 = session.append_message(user("A2"))
        assert [entry.id for entry in session.get_entries()] == [a1, "b1", "n", a2]
        assert [entry.id for entry in session.get_branch()] == [a1, a2]
        assert session.get_session_name() == "theirs"
        assert [entry.id for entry in session.get_children(None)] == [a1, "b1", "n"]
        assert len(lines_of(session.session_file)) == 6
        path = session.session_file
    with SessionManager.open(path) as session:
        assert [entry.id for entry in session.get_branch()] == [a1, a2]


def test_session_check_36_second_writer_is_kept_out(tmp_path: Path) -> None:
    with SessionManager.create("/proj", tmp_path) as session:
        session.append_message(user("A1"))
        path = session.session_file
        assert path is not None
        with pytest.raises(SessionLockedError) as caught:
            SessionManager.open(path)
        assert caught.value.path == path
        assert caught.value.pid == os.getpid()
        assert str(os.getpid()) in str(caught.value)
        with SessionManager.open(path, read_only=True) as reader:
            assert reader.get_entry_count() == 1
            with pytest.raises(SessionReadOnlyError):
                reader.append_message(user("B1"))
        session.append_message(user("A2"))
    with SessionManager.open(path) as session:
        assert session.get_entry_count() == 2


@pytest.mark.parametrize("what", ["deleted", "replaced", "cut short"])
def test_a_file_that_is_no_longer_ours_is_a_conflict(what: str, tmp_path: Path) -> None:
    with SessionManager.create("/proj", tmp_path) as session:
        session.append_message(user("A1"))
        path = session.session_file
        assert path is not None
        if what == "cut short":
            os.truncate(path, 10)
        else:
            path.unlink()
        if what == "replaced":
            path.write_text("new")
        left = path.read_bytes() if path.exists() else None
        with pytest.raises(SessionConflictError, match=f"was {what}: "):
            session.append_message(user("A2"))
        assert (path.read_bytes() if path.exists() else None) == left
        assert session.build_session_context().messages == [user("A1")]
        leaf = session.leaf_id
        assert leaf is not None
        saved = session.create_branched_session(leaf)
        session.append_message(user("A2"))
    assert len(lines_of(saved)) == 3


# --- life --------------------------------------------------------------------------------------


def test_a_closed_session_is_readable_and_refuses_appends(tmp_path: Path) -> None:
    session = SessionManager.create("/proj", tmp_path)
    session.append_message(user("U"))
    session.close()
    session.close()
    assert len(session.build_session_context().messages) == 1
    with pytest.raises(SessionReadOnlyError, match="Session is closed"):
        session.append_message(user("V"))
    assert session.session_file is not None
    with SessionManager.open(session.session_file) as other:
        assert other.get_entry_count() == 1


def test_a_forgotten_session_warns(tmp_path: Path) -> None:
    sessions = [SessionManager.create("/proj", tmp_path)]
    sessions[0].append_message(user("U"))
    with pytest.warns(ResourceWarning, match="was not closed"):
        sessions.clear()


def test_durable_appends_reach_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr("pi_session.store._sync", synced.append)
    with SessionManager.create("/proj", tmp_path, durable=True) as session:
        session.append_message(user("U"))
        session.append_message(user("V"))
    assert len(synced) == 2


def test_new_session_starts_over_in_the_same_directory(tmp_path: Path) -> None:
    with SessionManager.create("/proj", tmp_path) as session:
        session.append_message(user("U"))
        old = session.session_file
        assert old is not None
        new = session.new_session(id="fresh", parent_session=old)
        assert new is not None
        assert new.name.endswith("_fresh.jsonl")
        assert not new.exists()
        assert session.get_entries() == []
        session.append_message(user("V"))
        assert json.loads(lines_of(new)[0])["parentSession"] == str(old)
        session.set_session_file(old)
        assert session.build_session_context().messages == [user("U")]
        session.set_session_file(old)
        session.append_message(user("W"))
        write(tmp_path / "bad", "no session")
        with pytest.raises(SessionFormatError):
            session.set_session_file(tmp_path / "bad")
        session.append_message(user("X"))
    assert len(lines_of(old)) == 4


def test_a_session_whose_own_file_cannot_be_opened_again_is_only_read(tmp_path: Path) -> None:
    with SessionManager.create("/proj", tmp_path) as session:
        session.append_message(user("U"))
        path = session.session_file
        assert path is not None
        write(tmp_path / "other", "no session").replace(path)
        with pytest.raises(SessionFormatError):
            session.set_session_file(path)
        assert session.build_session_context().messages == [user("U")]
        assert session.read_only
        with pytest.raises(SessionReadOnlyError, match="could not be opened again"):
            session.append_session_info("lost otherwise")


def test_an_empty_file_that_cannot_be_written_is_not_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with SessionManager.create("/proj", tmp_path) as session:
        session.append_message(user("U"))
        path = session.session_file
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", lambda *_: 0)
            with pytest.raises(OSError, match="No space left"):
                session.set_session_file(write(tmp_path / "empty", end=""))
        assert session.session_file == path
        assert session.build_session_context().messages == [user("U")]
        session.append_message(user("V"))
    assert len(lines_of(path)) == 3


def test_in_memory_sessions_write_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    session = SessionManager.in_memory(id="mem")
    first = session.append_message(user("U"))
    assert (session.session_id, session.session_file, session.session_dir) == ("mem", None, None)
    assert session.cwd == str(tmp_path)
    assert session.create_branched_session(first) is None
    assert session.session_file is None
    assert session.get_header().parent_session is None
    assert session.get_entry_count() == 1
    assert list(tmp_path.iterdir()) == []


def test_in_memory_entries_with_a_header_are_migrated() -> None:
    message = {"role": "user", "content": "x", "timestamp": 1}
    session = SessionManager.in_memory(
        entries=[{"type": "session", "id": "old"}, {"type": "message", "message": message}]
    )
    assert session.session_id == "old"
    assert session.get_entry_count() == 1
    plain = SessionManager.in_memory(entries=[{"type": "message", "id": "a", "message": message}])
    assert plain.session_id != "old"
    assert plain.leaf_id == "a"


def test_entries_of_one_session_make_another() -> None:
    session = SessionManager.in_memory(entries=[{"type": "odd", "id": "a", "x": 1.5}])
    other = SessionManager.in_memory(entries=session)
    other.append_message(user("U"))
    assert [entry.line for entry in other.get_entries()[:1]] == [
        b'{"type":"odd","id":"a","x":1.5}\n'
    ]
    assert len(session) == 1
    with pytest.raises(TypeError, match="entries must be dicts or Entry objects, got str"):
        SessionManager.in_memory(entries='[{"type":"odd"}]')


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_session_has_no_second_writer_by_being_copied(
    duplicate: Callable[[object], object], tmp_path: Path
) -> None:
    with SessionManager.create("/proj", tmp_path) as session:
        session.append_message(user("U"))
        with pytest.raises(TypeError, match="cannot be copied or pickled"):
            duplicate(session)
        session.append_message(user("V"))
    assert len(lines_of(session.session_file)) == 3


def test_the_sketch_of_the_style_guide_works(tmp_path: Path) -> None:
    with SessionManager.open(tmp_path / "s.jsonl") as session:
        asked = session.append_message(user("question"))
        session.append_message(assistant("plan a"))
        session.branch(asked)
        session.append_message(assistant("plan b"))
        context = session.build_session_context()
    assert context.messages == [user("question"), assistant("plan b")]


def test_appended_entries_do_not_follow_later_changes_of_the_message() -> None:
    session = SessionManager.in_memory()
    message = user("before")
    session.append_message(message)
    message.content = "after"
    assert session.build_session_context().messages == [user("before")]


def test_append_usage_gives_the_entry() -> None:
    session = SessionManager.in_memory()
    entry = session.append_usage("cache_warm", "p", "m", Usage(input=3), "")
    assert entry.id == session.leaf_id
    assert entry.raw["usage"]["input"] == 3
    assert "note" not in entry.raw


def test_session_check_46_context_edit_errors() -> None:
    session = SessionManager.in_memory()
    root = session.append_message(user("U"))
    custom = session.append_custom_entry("x")
    aside = session.append_message(user("V"))
    session.branch(root)
    for target, replacement, text in (
        ("nope", None, "Entry nope not found"),
        (custom, None, f"Entry {custom} does not contribute editable model content"),
        (aside, None, f"Entry {aside} is not on the active branch"),
        (
            root,
            {"content": 5},
            "Context edit replacement must be null or contain string/array content",
        ),
    ):
        with pytest.raises((ContextEditError, EntryNotFoundError)) as caught:
            session.append_context_edit(target, replacement)
        assert str(caught.value) == text
    assert session.get_entry_count() == 3


def test_context_edits_are_stored_as_content_of_their_target() -> None:
    session = SessionManager.in_memory()
    targets = {
        "user": session.append_message(user("U")),
        "assistant": session.append_message(assistant("A")),
        "toolResult": session.append_message(ToolResultMessage("c", "read", [], timestamp=3)),
        "custom": session.append_custom_message_entry("x", "C", True),
    }
    blocks = [{"type": "text", "text": "E"}]
    for role, target in targets.items():
        for content, stored in (
            ("E", blocks if role in {"assistant", "toolResult"} else "E"),
            (blocks, blocks),
        ):
            session.append_context_edit(target, {"content": content, "more": 1})
            entry = session.get_leaf_entry()
            assert entry is not None
            assert entry.raw["targetId"] == target
            assert entry.raw["replacement"] == {"content": stored}
    assert [content_text(m.content, "") for m in session.messages()] == ["E"] * 4
    session.append_context_edit(targets["user"], None)
    entry = session.get_leaf_entry()
    assert entry is not None
    assert entry.raw["replacement"] is None


def test_unknown_entries_are_reported_by_every_operation() -> None:
    session = SessionManager.in_memory()
    for operation in (
        lambda: session.branch("nope"),
        lambda: session.branch_with_summary("nope", "S"),
        lambda: session.append_label_change("nope", "L"),
        lambda: session.create_branched_session("nope"),
    ):
        with pytest.raises(EntryNotFoundError, match=r"^Entry nope not found$"):
            operation()


def test_repr_is_short(tmp_path: Path) -> None:
    assert len(repr(SessionManager.in_memory(id="x"))) < 80
