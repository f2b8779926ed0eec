"""The file itself: locks between processes, files that change while open, damaged files."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NoReturn

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pi_ai.types import UserMessage
from pi_session import (
    SessionConflictError,
    SessionError,
    SessionLockedError,
    SessionManager,
    build_projection,
    read_session_info,
    session_stats,
)
from pi_session.codec import parse_lines
from pi_session.lock import lock_file
from pi_session.store import SessionFile

STORED = Path(__file__).parent / "data" / "all_entry_types.jsonl"

HOLD = """
import sys
from pi_session import SessionManager
with SessionManager.open(sys.argv[1]) as session:
    session.append_session_info("held")
    print("held", flush=True)
    sys.stdin.read()
"""

TAKE_TURNS = """
import sys, time
from pi_session import SessionLockedError, SessionManager
done = 0
while done < 15:
    try:
        with SessionManager.open(sys.argv[1]) as session:
            session.append_custom_entry("turn", {"who": sys.argv[2], "number": done})
        done += 1
    except SessionLockedError:
        time.sleep(0.001)
"""


def start(script: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def new_session(directory: Path) -> Path:
    with SessionManager.create("/proj", directory) as session:
        session.append_message(UserMessage("start"))
        assert session.session_file is not None
        return session.session_file


# --- locks -------------------------------------------------------------------------------------


def test_session_check_36_lock_of_another_process(tmp_path: Path) -> None:
    path = new_session(tmp_path)
    with start(HOLD, str(path)) as child:
        assert child.stdout is not None
        try:
            assert child.stdout.readline() == "held\n"
            with pytest.raises(SessionLockedError) as caught:
                SessionManager.open(path)
            if sys.platform == "linux":
                assert caught.value.pid == child.pid
                assert f"process {child.pid}" in str(caught.value)
            with SessionManager.open(path, read_only=True) as reader:
                assert reader.get_session_name() == "held"
        finally:
            child.kill()
            child.wait()
        with SessionManager.open(path) as session:
            assert session.get_session_name() == "held"


def test_processes_that_take_turns_make_one_chain(tmp_path: Path) -> None:
    path = new_session(tmp_path)
    children = [start(TAKE_TURNS, str(path), str(number)) for number in range(3)]
    for child in children:
        child.communicate(timeout=15)
        assert child.returncode == 0
    with SessionManager.open(path) as session:
        assert session.get_entry_count() == 1 + 3 * 15
        assert len(session.get_branch()) == session.get_entry_count()


@pytest.mark.parametrize("listing", [None, "garbage\n1: POSIX ADVISORY\n"], ids=["none", "odd"])
def test_a_holder_that_nobody_knows(
    listing: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_text(path: Path, **options: Any) -> str:
        if listing is None:
            raise FileNotFoundError
        return listing

    path = new_session(tmp_path)
    with SessionManager.open(path):
        monkeypatch.setattr(Path, "read_text", read_text)
        with pytest.raises(SessionLockedError, match="another process") as caught:
            SessionManager.open(path)
    assert caught.value.pid is None


def test_a_holder_on_a_file_system_that_is_listed_as_another_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = new_session(tmp_path)
    locks = f"1: FLOCK  ADVISORY  WRITE 4711 ff:ff:{path.stat().st_ino} 0 EOF\n"
    with SessionManager.open(path):
        monkeypatch.setattr(Path, "read_text", lambda *_, **__: locks)
        with pytest.raises(SessionLockedError, match="process 4711"):
            SessionManager.open(path)


@pytest.mark.parametrize(
    ("code", "expected"), [(errno.ENOLCK, None), (errno.EIO, OSError)], ids=["no locks", "broken"]
)
def test_file_systems_without_locks_are_used_with_a_warning(
    code: int,
    expected: type[Exception] | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refuse(descriptor: int) -> NoReturn:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("pi_session.lock._take", refuse)
    if expected is None:
        new_session(tmp_path)
        assert "No lock on" in caplog.text
    else:
        with pytest.raises(expected):
            lock_file(0, tmp_path)


def test_a_file_that_is_replaced_before_it_is_locked_is_opened_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "s.jsonl"
    path.write_bytes(b"old\n")
    replaced: list[int] = []

    def replace_once(descriptor: int, target: Path) -> None:
        if not replaced:
            replaced.append(descriptor)
            other = tmp_path / "other"
            other.write_bytes(b"new\n")
            other.replace(target)

    monkeypatch.setattr("pi_session.store.lock_file", replace_once)
    file = SessionFile.open(path)
    assert file.read_lines() == [b"new\n"]
    assert repr(file) == "<SessionFile s.jsonl 4 bytes>"
    file.close()
    assert file.closed
    with pytest.raises(ValueError, match="closed"):
        file.append(b"x\n")


def test_a_failed_replacement_leaves_the_file_and_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "s.jsonl"
    path.write_bytes(b"old\n")
    file = SessionFile.open(path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError("no")))
        with pytest.raises(OSError, match="no"):
            file.replace(b"new\n", keep_backup=False)
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == b"old\n"
    file.read_lines()
    for backup in ("s.jsonl.bak", "s.jsonl.bak1"):
        file.replace(b"new\n", keep_backup=True)
        assert (tmp_path / backup).exists()
    with pytest.raises(SessionLockedError):
        SessionFile.open(path)
    file.append(b"more\n")
    file.close()
    assert path.read_bytes() == b"new\nmore\n"


def test_a_failed_sync_takes_the_line_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(descriptor: int) -> NoReturn:
        raise OSError(errno.EIO, "sync failed")

    with SessionManager.create("/proj", tmp_path, durable=True) as session:
        session.append_message(UserMessage("kept"))
        assert session.session_file is not None
        before = session.session_file.read_bytes()
        with monkeypatch.context() as patch:
            patch.setattr("pi_session.store._sync", fail)
            with pytest.raises(OSError, match="sync failed"):
                session.append_message(UserMessage("lost"))
        assert session.session_file.read_bytes() == before
        session.append_message(UserMessage("kept too"))
        assert session.get_entry_count() == 2


def test_a_failed_write_takes_back_nothing_that_another_program_wrote_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "s.jsonl"
    path.write_bytes(b"first\n")
    file = SessionFile.open(path)
    file.read_lines()
    real_write = os.write

    def write_half(descriptor: int, data: bytes) -> int:
        written = real_write(descriptor, data[:2])
        with path.open("ab") as other:
            other.write(b"\ntheirs\n")
        return written

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", write_half)
        with pytest.raises(OSError, match="No space left"):
            file.append(b"ours\n")
    assert file.read_new_lines() == [b"ou\n", b"theirs\n"]
    file.append(b"ours\n")
    file.close()
    assert path.read_bytes() == b"first\nou\ntheirs\nours\n"


@pytest.mark.parametrize("tail", [b"", b"torn"], ids=["whole", "torn"])
def test_lines_that_slip_in_just_before_an_append_are_told(tail: bytes, tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    path.write_bytes(b"first\n" + tail)
    file = SessionFile.open(path)
    file.read_lines()
    with path.open("ab") as other:
        other.write(b"theirs\n")
    assert file.append(b"ours\n") == [b"theirs\n"]
    assert file.read_new_lines() == []
    assert file.append(b"more\n") == []
    file.close()
    assert path.read_bytes().endswith(b"theirs\n" + b"\n" * bool(tail) + b"ours\nmore\n")


@pytest.mark.parametrize(
    ("rest", "told", "stored"),
    [
        (b"", b'{"id":', b'{"id":\nours\n'),
        (b'"b"}\n', b'{"id":"b"}\n', b'{"id":"b"}\n\nours\n'),
        (b'"b"}\n{"to', b'{"id":"b"}\n{"to', b'{"id":"b"}\n{"to\nours\n'),
    ],
    ids=["stays-torn", "is-finished", "and-more"],
)
def test_a_line_that_another_program_still_writes_is_not_lost(
    rest: bytes, told: bytes, stored: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "s.jsonl"
    path.write_bytes(b"first\n")
    file = SessionFile.open(path)
    file.read_lines()
    with path.open("ab", buffering=0) as other:
        other.write(b'theirs\n{"id":')
        assert file.read_new_lines() == [b"theirs\n"]
        assert file.read_new_lines() == []
        other.write(rest)
    assert b"".join(file.append(b"ours\n")) == told
    assert file.read_new_lines() == []
    file.close()
    assert path.read_bytes() == b"first\ntheirs\n" + stored


def test_a_migrated_link_stays_a_link(tmp_path: Path) -> None:
    target = tmp_path / "real" / "s.jsonl"
    target.parent.mkdir()
    target.write_text('{"type":"session","id":"h"}\n{"type":"custom","customType":"x"}\n')
    link = tmp_path / "link.jsonl"
    link.symlink_to(target)
    with SessionManager.open(link) as session:
        session.append_session_info("n")
    assert link.is_symlink()
    assert len(target.read_text().splitlines()) == 3
    assert list(target.parent.iterdir()) == [target]


def test_a_deleted_file_is_not_made_again(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    path.write_bytes(b"line\n")
    file = SessionFile.open(path)
    path.unlink()
    with pytest.raises(SessionConflictError, match="was deleted"):
        file.read_new_lines()
    file.close()
    assert not path.exists()


# --- damaged files -----------------------------------------------------------------------------


def readable_lines(data: bytes) -> list[dict[str, Any]]:
    """What a plain reader makes of the file."""

    def refuse(name: str) -> NoReturn:
        raise ValueError(name)

    found: list[dict[str, Any]] = []
    for line in data.split(b"\n"):
        try:
            value = json.loads(line.decode("utf-8", "replace"), parse_constant=refuse)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            found.append(value)
    return found


TOKENS = [
    *(b"null", b"true", b"5", b"-0.0", b"1e999", b"NaN", b"1" * 400, b'"', b'"x"', b'"\\ud800"'),
    *(b"[", b"]", b"{", b"}", b"{}", b"[5]", b'{"type":"text","text":5}', b",", b"\\"),
    *(b"\n", b"\r", b"\x0b", b"\x0c", b"\x85"),
    *(b"\xff", b"\xed\xa0\x80", b"\xe2\x80\xa8", b"[" * 5000),
]
Damage = st.lists(
    st.tuples(
        st.sampled_from(["cut", "flip", "insert", "remove", "double", "value", "value"]),
        st.integers(0, 1 << 16),
        st.binary(min_size=1, max_size=6) | st.sampled_from(TOKENS),
    ),
    min_size=1,
    max_size=4,
)


def damaged(data: bytes, damage: list[tuple[str, int, bytes]]) -> bytes:
    for kind, number, noise in damage:
        at = number % (len(data) + 1)
        end = at + len(noise) * 20
        if kind == "cut":
            data = data[:at]
        elif kind == "flip":
            data = data[:at] + noise + data[at + len(noise) :]
        elif kind == "insert":
            data = data[:at] + noise + data[at:]
        elif kind == "value":
            data = with_other_value(data, at, noise)
        elif kind == "remove":
            data = data[:at] + data[end:]
        else:
            data = data[:end] + data[at:]
    return data


def with_other_value(data: bytes, at: int, value: bytes) -> bytes:
    """`data` with something else for the value of the next key."""
    start = data.find(b'":', at) + 2
    ends = [end for mark in (b",", b"}") if (end := data.find(mark, start)) >= 0]
    return data[:start] + value + data[min(ends) :] if start > 1 and ends else data


def look_at_everything(session: SessionManager) -> None:
    session.get_tree()
    session.get_session_name()
    for entry in session.get_entries():
        assert entry.view.id == entry.id
        session.get_label(entry.id)
        session.branch(entry.id)
        session.build_projection()


def in_format(version: int) -> bytes:
    """The stored session as older formats have it: 1 knows neither ids nor versions."""
    data = STORED.read_bytes().replace(b'"version":3', b'"version":%d' % version)
    if version < 2:
        data = re.sub(rb'"(version|id|parentId)":(1|null|"[0-9a-f]{8}"),', b"", data)
    return data


FORMATS = {version: in_format(version) for version in (1, 2, 3)}
LINKS = {"id", "parentId", "firstKeptEntryId", "firstKeptEntryIndex"}


def number_of(version: Any) -> float:
    """The format that a header's version stands for."""
    try:
        return 1 if version is None else float(version)
    except (TypeError, ValueError, OverflowError):
        return 3


def contents(records: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """What a migration leaves as it is."""
    return [{key: record[key] for key in record if key not in LINKS} for record in records]


@settings(max_examples=150)
@given(st.sampled_from([1, 2, 3, 3]), Damage)
def test_damage_never_loses_a_readable_line(
    version: int, damage: list[tuple[str, int, bytes]]
) -> None:
    data = damaged(FORMATS[version], damage)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "s.jsonl"
        path.write_bytes(data)
        read_session_info(path)
        expected = readable_lines(data)
        try:
            reader = SessionManager.open(path, read_only=True)
            session = SessionManager.open(path)
        except SessionError:
            first = expected[0] if expected else {}
            assert first.get("type") != "session" or not isinstance(first.get("id"), str)
            assert path.read_bytes() == data
            return
        with session:
            entries = [line for line in expected if line.get("type") != "session"]
            stored = number_of(expected[0].get("version")) if expected else 3
            if stored >= 2:  # earlier ones get ids where they have none
                entries = [e for e in entries if isinstance(e.get("id"), str) and e["id"]]
                assert [entry.id for entry in session] == [entry["id"] for entry in entries]
            assert contents(entry.raw for entry in session) == contents(entries)
            assert contents(entry.raw for entry in reader) == contents(entries)
            look_at_everything(session)
            before = path.read_bytes()
            if stored >= 3 and data:
                assert before == data
            if session.read_only:
                return
            added = session.append_message(UserMessage("next"))
            assert path.read_bytes().startswith(before)
        with SessionManager.open(path) as session:
            assert session.leaf_id == added
            assert len(session) == len(entries) + 1


def test_any_value_in_the_place_of_any_other_is_read() -> None:
    values = [*TOKENS, b'{"content":null}', b'[{"content":null}]', b'{"role":{}}', b'""', b"1.5"]
    for line in STORED.read_bytes().splitlines(keepends=True)[1:]:
        for at in [found.start() for found in re.finditer(b'":', line)]:
            for value in values:
                for entry in parse_lines([with_other_value(line, at, value)]).entries:
                    assert entry.view.id == entry.id
                    assert entry.role is None or isinstance(entry.role, str)
                    assert len(build_projection([entry]).entries) == 1
                    session_stats([entry])


def test_appending_to_a_long_session_reads_nothing_and_writes_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = new_session(tmp_path)
    filler = STORED.read_text().splitlines()[3:8]
    with path.open("a") as file:
        file.writelines(f"{line}\n" for line in filler * 2000)
    written: list[int] = []
    real_write = os.write

    def write(descriptor: int, data: bytes) -> int:
        written.append(len(data))
        return real_write(descriptor, data)

    def read(descriptor: int, length: int) -> NoReturn:
        raise AssertionError("read back")

    with SessionManager.open(path) as session:
        size = path.stat().st_size
        monkeypatch.setattr(os, "write", write)
        monkeypatch.setattr(os, "read", read)
        for number in range(20):
            session.append_message(UserMessage(str(number)))
            session.build_session_context()
    assert len(written) == 20
    assert path.stat().st_size == size + sum(written)
