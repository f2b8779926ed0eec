"""A stored session with every entry type: what each leaf shows, and that nothing is lost."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from pi_ai.types import AssistantMessage
from pi_ai.wire import encode
from pi_session import (
    EntryView,
    SessionInfo,
    SessionManager,
    SessionModel,
    UnknownEntry,
    list_sessions,
)

STORED = Path(__file__).parent / "data" / "all_entry_types.jsonl"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return Path(shutil.copy(STORED, tmp_path / "s.jsonl"))


@pytest.mark.parametrize(
    ("leaf", "roles"),
    [
        ("2f577c8c", "system user branchSummary"),
        ("83507af1", "system compactionSummary assistant toolResult bashExecution custom"),
        ("80bd58b0", "system user assistant toolResult assistant"),
        ("db1330e5", "system user assistant toolResult"),
    ],
)
def test_session_check_48_projection_of_each_leaf(leaf: str, roles: str, path: Path) -> None:
    with SessionManager.open(path) as session:
        assert session.get_entry_count() == 16
        assert session.leaf_id == "2f577c8c"
        session.branch(leaf)
        context = session.build_session_context()
        assert [message.role for message in context.messages] == roles.split()
        assert context.thinking_level == "medium"
        assert context.model == SessionModel("anthropic", "claude-sonnet-4-5")
        last = context.messages[-1]
        if leaf == "80bd58b0":
            assert isinstance(last, AssistantMessage)
            assert (last.stop_reason, last.error_message) == ("error", "overloaded")


def test_session_check_48_listing(path: Path) -> None:
    assert list_sessions("/home/dev/proj", path.parent) == [
        SessionInfo(
            path=path,
            id="01a202d2-302c-717f-af1a-36882ceface3",
            cwd="/home/dev/proj",
            name="My name",
            parent_session_path=None,
            created_ms=1795343659053,
            modified_ms=1733234404000,
            message_count=6,
            first_message="naïve 😀",
            all_messages_text="naïve 😀",
        )
    ]


def test_typed_views_write_the_keys_that_were_read(path: Path) -> None:
    with SessionManager.open(path, read_only=True) as session:
        views: list[EntryView] = [entry.view for entry in session.get_entries()]
        for entry, view in zip(session.get_entries(), views, strict=True):
            assert not isinstance(view, UnknownEntry)
            assert json.loads(encode(view)) == entry.raw
        assert session.get_label("a476c398") is None
        assert session.get_session_name() == "My name"


def test_opening_and_appending_leaves_the_stored_bytes_alone(path: Path) -> None:
    before = path.read_bytes()
    with SessionManager.open(path) as session:
        session.append_session_info("New")
    assert path.read_bytes().startswith(before)
    forked = SessionManager.fork_from(path, "/elsewhere", path.parent)
    forked.close()
    assert forked.session_file is not None
    _, kept = path.read_bytes().split(b"\n", 1)
    _, copied = forked.session_file.read_bytes().split(b"\n", 1)
    assert copied == kept
