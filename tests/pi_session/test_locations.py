"""Directories, file names, ids and times."""

from __future__ import annotations

from pathlib import Path

import pytest

from pi_session import SessionIdError, SessionManager, default_session_dir, resolve_agent_dir
from pi_session.locations import (
    check_session_id,
    encode_cwd,
    expand_path,
    format_timestamp,
    parse_timestamp,
    session_file_name,
)


@pytest.mark.parametrize(
    ("cwd", "name"),
    [
        ("/home/dev/my.proj", "--home-dev-my.proj--"),
        ("/home/dev/my proj", "--home-dev-my proj--"),
        ("/", "----"),
        ("/a:b/c\\d", "--a-b-c-d--"),
        ("//double//slash/", "--double-slash--"),
        ("/a/./b/../c", "--a-c--"),
    ],
)
def test_session_check_1_directory_of_a_cwd(cwd: str, name: str) -> None:
    assert default_session_dir(cwd, "/g") == Path("/g/sessions") / name


def test_a_windows_drive_is_encoded() -> None:
    assert encode_cwd("C:\\Users\\x") == "--C--Users-x--"


def test_session_check_2_file_name() -> None:
    assert session_file_name("2026-11-22T10:34:19.053Z", "abc") == (
        "2026-11-22T10-34-19-053Z_abc.jsonl"
    )


def test_session_check_2_file_name_of_a_new_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pi_session.manager.now_ms", lambda: 1795343659053)
    session = SessionManager.create("/proj", tmp_path, id="abc")
    assert session.get_header().timestamp == "2026-11-22T10:34:19.053Z"
    assert session.session_file == tmp_path / "2026-11-22T10-34-19-053Z_abc.jsonl"


@pytest.mark.parametrize(
    ("value", "expected"),
    [("", "{home}/.pi/agent"), ("~/zz", "{home}/zz"), ("~", "{home}"), ("file:///a%20b", "/a b")],
)
def test_session_check_3_agent_dir_from_the_environment(
    value: str, expected: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PI_CODING_AGENT_DIR", value)
    assert str(resolve_agent_dir()) == expected.format(home=home)
    assert resolve_agent_dir("/given") == Path("/given")


def test_session_check_3_session_dir_variable_does_not_affect_create(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PI_CODING_AGENT_DIR", str(tmp_path / "agent"))
    monkeypatch.setenv("PI_CODING_AGENT_SESSION_DIR", str(tmp_path / "elsewhere"))
    session = SessionManager.create("/proj")
    assert session.session_dir == tmp_path / "agent/sessions/--proj--"
    assert not (tmp_path / "agent").exists()


@pytest.mark.parametrize("session_id", ["a", "A1", "a.b_c-d", "0"])
def test_session_check_4_good_ids(session_id: str) -> None:
    assert check_session_id(session_id) == session_id


@pytest.mark.parametrize("session_id", ["", "a b", "-a", "a-", "..", "é", "a/b", "a\n"])
def test_session_check_4_bad_ids(session_id: str, tmp_path: Path) -> None:
    with pytest.raises(SessionIdError) as caught:
        SessionManager.create("/proj", tmp_path, id=session_id)
    assert str(caught.value) == (
        "Session id must be non-empty, contain only alphanumeric characters, '-', '_', and '.', "
        "and start and end with an alphanumeric character"
    )


def test_expansion_leaves_other_paths_alone() -> None:
    assert expand_path("~user/x") == "~user/x"
    assert expand_path("rel/x") == "rel/x"


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("1970-01-01T00:00:00.000Z", 0),
        ("2024-12-03T13:20:04.123Z", 1733232004123),
        ("2024-12-03T14:20:04+01:00", 1733232004000),
        ("2024-12-03", 1733184000000),
        ("yesterday", None),
        ("", None),
    ],
)
def test_timestamps_are_read(text: str, ms: int | None) -> None:
    assert parse_timestamp(text) == ms


def test_timestamps_are_written_with_milliseconds() -> None:
    assert format_timestamp(1733232004120) == "2024-12-03T13:20:04.120Z"
    assert format_timestamp(1733232004000) == "2024-12-03T13:20:04.000Z"
