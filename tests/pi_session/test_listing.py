"""Finding and listing sessions."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from pi_ai.abort import AbortController
from pi_ai.errors import AbortError
from pi_ai.types import UserMessage
from pi_session import (
    SessionInfo,
    SessionManager,
    default_session_dir,
    find_most_recent_session,
    find_session_by_id,
    list_all_sessions,
    list_sessions,
    read_session_info,
)

TIME = "2026-01-01T00:00:00.000Z"
TIME_MS = 1767225600000


def store(path: Path, *entries: dict[str, Any], mtime: float | None = None, **header: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    first = {"type": "session", "version": 3, "id": path.stem, "timestamp": TIME, "cwd": "/c"}
    lines = [{**first, **header}, *({"timestamp": TIME, **entry} for entry in entries)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    if mtime is not None:
        os.utime(path, (mtime, mtime))
    return path


def message(role: str, content: Any, timestamp: Any = 5) -> dict[str, Any]:
    return {
        "type": "message",
        "id": "x",
        "message": {"role": role, "content": content, "timestamp": timestamp},
    }


def info_of(path: Path) -> SessionInfo:
    info = read_session_info(path)
    assert info is not None
    return info


def test_texts_and_counts_cover_all_messages(tmp_path: Path) -> None:
    blocks = [
        {"type": "text", "text": "a"},
        {"type": "image", "data": ""},
        {"type": "text", "text": "b"},
    ]
    info = info_of(
        store(
            tmp_path / "s.jsonl",
            message("system", "s"),
            message("assistant", [{"type": "text", "text": "first"}]),
            message("user", ""),
            message("user", blocks),
            message("toolResult", [{"type": "text", "text": "r"}]),
            {"type": "message", "message": {"role": "bashExecution", "command": "ls"}},
            {"type": "custom_message", "content": "c"},
            parentSession="/p.jsonl",
        )
    )
    assert info.message_count == 6
    assert info.first_message == "a b"
    assert info.all_messages_text == "first a b"
    assert info.parent_session_path == "/p.jsonl"
    assert info.created_ms == TIME_MS


@pytest.mark.parametrize(
    ("names", "name"),
    [([], None), (["a", " b "], "b"), (["a", "  "], None), (["a", None], None)],
)
def test_the_last_name_counts(names: list[str | None], name: str | None, tmp_path: Path) -> None:
    entries = [{"type": "session_info", "id": "n", "name": value} for value in names]
    assert info_of(store(tmp_path / "s.jsonl", *entries)).name == name


@pytest.mark.parametrize(
    ("entries", "header_time", "modified"),
    [
        ([message("user", "x", 7), message("assistant", [], 9), message("user", "y", 8)], TIME, 9),
        ([message("user", "x", "noon")], TIME, TIME_MS),
        ([message("user", "x", 7), message("toolResult", [], 99)], TIME, 7),
        ([message("user", "x", 7), {"type": "label", "id": "l", "targetId": "x"}], TIME, 7),
        ([], TIME, TIME_MS),
        ([message("user", "x", -7)], TIME, TIME_MS),
        ([], "never", 1000_000),
        ([{"type": "message", "message": {"role": "user", "timestamp": 9}}], "never", 1000_000),
    ],
    ids=["last", "entry", "tool result", "label", "header", "negative", "mtime", "no content"],
)
def test_modified_is_the_last_conversation_message(
    entries: list[dict[str, Any]], header_time: str, modified: int, tmp_path: Path
) -> None:
    path = store(tmp_path / "s.jsonl", *entries, mtime=1000, timestamp=header_time)
    assert info_of(path).modified_ms == modified


def test_odd_messages_do_not_hide_a_session(tmp_path: Path) -> None:
    info = info_of(
        store(
            tmp_path / "s.jsonl",
            message("user", None),
            {"type": "message"},
            {"type": "message", "message": 5},
            message("user", [5, {"type": "text", "text": 5}, {"type": "text", "text": "ok"}]),
            message("user", "lone \ud800"),
        )
    )
    assert info.message_count == 5
    assert info.first_message == "ok"
    assert info.all_messages_text == "ok lone \ud800"


def test_a_session_without_messages_says_so(tmp_path: Path) -> None:
    info = info_of(store(tmp_path / "s.jsonl", cwd=None))
    assert (info.first_message, info.all_messages_text, info.cwd) == ("(no messages)", "", "")


def test_lists_are_sorted_and_skip_what_is_no_session(tmp_path: Path) -> None:
    for name, time in (("a", 5), ("b", 7), ("c", 5)):
        store(tmp_path / f"{name}.jsonl", message("user", "x", time))
    store(tmp_path / "other-suffix.json")
    store(tmp_path / "below" / "d.jsonl")
    (tmp_path / "bad.jsonl").write_text("garbage")
    (tmp_path / "folder.jsonl").mkdir()
    assert [info.id for info in list_sessions("/c", tmp_path)] == ["b", "c", "a"]
    assert list_sessions("/c", tmp_path / "none") == []


def test_custom_directories_are_filtered_by_cwd(tmp_path: Path) -> None:
    store(tmp_path / "mine.jsonl", cwd="/c/./")
    store(tmp_path / "theirs.jsonl", cwd="/d")
    store(tmp_path / "nobody.jsonl", cwd="")
    assert [info.id for info in list_sessions("/c", tmp_path)] == ["mine"]
    assert {info.id for info in list_all_sessions(tmp_path)} == {"mine", "theirs", "nobody"}
    assert find_session_by_id("/c", "theirs", tmp_path) is None


def test_default_directories_tell_colliding_cwds_apart(tmp_path: Path) -> None:
    directory = default_session_dir("/a/b", tmp_path)
    assert directory == default_session_dir("/a-b", tmp_path)
    store(directory / "mine.jsonl", cwd="/a/b")
    store(directory / "theirs.jsonl", cwd="/a-b")
    store(directory / "nobody.jsonl", cwd="")
    infos = list_sessions("/a/b", agent_dir=tmp_path)
    assert {info.id for info in infos} == {"mine", "nobody"}
    store(tmp_path / "sessions" / "lost.jsonl")
    store(tmp_path / "sessions" / "--x--" / "x.jsonl")
    everything = {info.id for info in list_all_sessions(agent_dir=tmp_path)}
    assert everything == {"mine", "nobody", "theirs", "x"}
    assert list_all_sessions(agent_dir=tmp_path / "none") == []


def test_the_header_is_looked_for_in_the_first_mebibyte(tmp_path: Path) -> None:
    path = store(tmp_path / "near.jsonl")
    path.write_text("junk\n\n" + path.read_text())
    assert find_session_by_id("/c", "near", tmp_path) == path
    path = store(tmp_path / "far.jsonl", pad="x" * (1 << 20))
    assert find_session_by_id("/c", "far", tmp_path) is None
    path = store(tmp_path / "behind.jsonl")
    path.write_text("x" * (1 << 20) + "\n" + path.read_text())
    assert find_session_by_id("/c", "behind", tmp_path) is None
    assert find_session_by_id("/c", "nea", tmp_path) is None


def test_continue_recent_takes_the_newest_of_the_cwd(tmp_path: Path) -> None:
    store(tmp_path / "old.jsonl", mtime=1000)
    store(tmp_path / "new.jsonl", mtime=2000)
    store(tmp_path / "theirs.jsonl", mtime=3000, cwd="/d")
    (tmp_path / "bad.jsonl").write_text("garbage")
    assert find_most_recent_session("/c", tmp_path) == tmp_path / "new.jsonl"
    with SessionManager.continue_recent("/c/", tmp_path) as session:
        assert session.session_id == "new"
        assert (session.cwd, session.session_dir) == ("/c", tmp_path)
    with SessionManager.continue_recent("/nowhere", tmp_path) as session:
        assert session.session_id not in {"old", "new", "theirs"}
        assert session.cwd == "/nowhere"
        session.append_message(UserMessage("x"))
        assert find_most_recent_session("/nowhere", tmp_path) == session.session_file


def test_continue_recent_works_in_the_callers_directory(tmp_path: Path) -> None:
    store(default_session_dir("/a/b", tmp_path) / "s.jsonl", cwd="")
    with SessionManager.continue_recent("/a/b", agent_dir=tmp_path) as session:
        assert (session.session_id, session.cwd) == ("s", "/a/b")


def test_progress_tells_now_and_then_what_is_known(tmp_path: Path) -> None:
    for number in range(12):
        store(tmp_path / f"{number:02}.jsonl")
    calls: list[tuple[int, int, int | None]] = []
    list_sessions(
        "/c",
        tmp_path,
        on_progress=lambda n, total, known: calls.append((n, total, known and len(known))),
    )
    assert [call[0] for call in calls] == list(range(1, 13))
    assert {call[1] for call in calls} == {12}
    assert [call[2] for call in calls if call[2] is not None] == [1, 10, 12]


def test_an_abort_raises(tmp_path: Path) -> None:
    for number in range(3):
        store(tmp_path / f"{number}.jsonl")
    controller = AbortController()
    seen: list[int] = []

    def on_progress(count: int, total: int, known: list[SessionInfo] | None) -> None:
        seen.append(count)
        controller.abort()

    with pytest.raises(AbortError):
        list_sessions("/c", tmp_path, on_progress=on_progress, signal=controller.signal)
    assert seen == [1]


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (r'"content":[{"type":"\ud800","text":"t"},{"type":"text","text":"u"}]', "first u"),
        (r'"content":[{"\ud800":1},{"type":"text","text":"u"}]', "first u"),
        (r'"content":[{"type":"text","text":"a\ud800"}]', "first a\ud800"),
        ('"content":[{"type":"text","text":5},"x"]', "first"),
        ('"content":"t","timestamp":1e999', "first t"),
        ('"content":"t","timestamp":1e300', "first t"),
        (f'"content":"t","timestamp":1{"0" * 400}', "first t"),
    ],
    ids=["odd-type", "odd-key", "odd-text", "no-text", "infinite", "never", "endless"],
)
def test_odd_messages_are_listed_as_far_as_they_can_be_read(
    body: str, text: str, tmp_path: Path
) -> None:
    path = store(tmp_path / "a.jsonl", message("user", "first"))
    with path.open("a") as file:
        file.write(f'{{"type":"message","id":"y","timestamp":"{TIME}",')
        file.write(f'"message":{{"role":"assistant",{body}}}}}\n')
    info = info_of(path)
    assert (info.message_count, info.first_message) == (2, "first")
    assert info.all_messages_text == text
    if "timestamp" in body:
        assert info.modified_ms == TIME_MS


def test_results_of_tools_are_counted_and_not_read(tmp_path: Path) -> None:
    path = store(tmp_path / "a.jsonl", message("user", "u"), message("toolResult", [{"text": 5}]))
    info = info_of(path)
    assert (info.message_count, info.all_messages_text) == (2, "u")
