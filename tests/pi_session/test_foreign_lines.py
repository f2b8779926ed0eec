"""What other programs wrote, and this one does not know, is kept byte for byte."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pi_ai.types import UserMessage
from pi_session import SessionManager, UnknownEntry

STORED = Path(__file__).parent / "data" / "foreign_keys.jsonl"
"""Made by hand: unknown types, roles, blocks and keys; numbers, spaces and escapes of all kinds."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return Path(shutil.copy(STORED, tmp_path / "s.jsonl"))


def entry_lines(path: Path | None) -> list[bytes]:
    assert path is not None
    return path.read_bytes().split(b"\n")[1:-1]


def test_what_is_known_of_foreign_lines_is_read(path: Path) -> None:
    with SessionManager.open(path) as session:
        assert [entry.id for entry in session.get_branch()] == ["m1", "m2", "u1", "m3", "m4", "c1"]
        unknown = [e.id for e in session.get_entries() if isinstance(e.view, UnknownEntry)]
        assert unknown == ["u1", "m3"]
        roles = [message.role for message in session.build_session_context().messages]
        assert roles == ["user", "assistant", "user"]


def test_foreign_lines_survive_appends(path: Path) -> None:
    with SessionManager.open(path) as session:
        session.build_session_context()
        session.append_message(UserMessage("next"))
    assert path.read_bytes().startswith(STORED.read_bytes())


def test_foreign_lines_survive_forks_slices_and_branched_sessions(path: Path) -> None:
    with SessionManager.fork_from(path, "/elsewhere", path.parent) as fork:
        assert entry_lines(fork.session_file) == entry_lines(STORED)
    with SessionManager.open(path) as session:
        with session.slice() as part:
            assert entry_lines(part.session_file) == entry_lines(STORED)
        session.create_branched_session("c1")
        assert entry_lines(session.session_file) == entry_lines(STORED)


def test_foreign_lines_survive_an_export(path: Path) -> None:
    with SessionManager.open(path) as session:
        exported = session.export_jsonl(path.with_name("exported.jsonl"))
    assert entry_lines(exported) == entry_lines(STORED)


@pytest.mark.parametrize("version", [b'"version":2', b'"version":1'])
def test_foreign_lines_survive_a_migration(version: bytes, path: Path) -> None:
    path.write_bytes(STORED.read_bytes().replace(b'"version":3', version))
    SessionManager.open(path).close()
    header, rest = path.read_bytes().split(b"\n", 1)
    stored_header, stored_rest = STORED.read_bytes().split(b"\n", 1)
    assert rest == stored_rest
    assert header == stored_header
