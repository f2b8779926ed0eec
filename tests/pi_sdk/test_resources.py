"""Context files and prompt files: sdk spec, sections 6.1 and 6.2."""

from __future__ import annotations

import logging

import pytest

from pi_sdk.resources import CONTEXT_FILE_NAMES, read_context_files, read_prompt_file


def test_sdk_check_33_one_file_per_directory_from_the_root_down(tmp_path):
    agent_dir = tmp_path / "agent"
    deep = tmp_path / "p" / "a" / "b"
    deep.mkdir(parents=True)
    agent_dir.mkdir()
    for directory in (agent_dir, tmp_path / "p", tmp_path / "p" / "a", deep):
        (directory / "AGENTS.md").write_text(f"agents of {directory.name}")
    (deep / "AGENTS.override.md").write_text("override of b")
    (tmp_path / "p" / "CLAUDE.md").write_text("not read")
    found = [file for file in read_context_files(deep, agent_dir) if tmp_path in file.path.parents]
    assert [file.content for file in found] == [
        "agents of agent",
        "agents of p",
        "agents of a",
        "override of b",
    ]


@pytest.mark.parametrize("name", CONTEXT_FILE_NAMES)
def test_every_name_counts(tmp_path, name):
    (tmp_path / name).write_text("x")
    (found,) = [f for f in read_context_files(tmp_path, tmp_path) if f.path.parent == tmp_path]
    assert found.content == "x"


def test_a_directory_of_that_name_is_passed_over(tmp_path):
    (tmp_path / "AGENTS.md").mkdir()
    (tmp_path / "CLAUDE.md").write_text("y")
    (found,) = [f for f in read_context_files(tmp_path, tmp_path) if f.path.parent == tmp_path]
    assert found.content == "y"


def test_only_the_byte_order_mark_is_dropped(tmp_path):
    (tmp_path / "AGENTS.md").write_bytes(b"\xef\xbb\xbfone\r\ntwo\xff\n")
    (found,) = [f for f in read_context_files(tmp_path, tmp_path) if f.path.parent == tmp_path]
    assert found.content == "one\r\ntwo\ufffd\n"


def test_a_file_that_cannot_be_read_gives_way_with_a_warning(tmp_path, monkeypatch, caplog):
    from pathlib import Path

    (tmp_path / "AGENTS.md").write_text("secret")
    (tmp_path / "CLAUDE.md").write_text("open")
    read = Path.read_bytes

    def refuse(path):
        if path.name == "AGENTS.md":
            raise PermissionError(13, "Permission denied", str(path))
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with caplog.at_level(logging.WARNING):
        found = [f for f in read_context_files(tmp_path, tmp_path) if f.path.parent == tmp_path]
        assert read_prompt_file(tmp_path / "AGENTS.md") is None
    assert [file.content for file in found] == ["open"]
    assert len(caplog.records) == 2
    assert "Permission denied" in caplog.text


def test_prompt_files(tmp_path):
    assert read_prompt_file(tmp_path / "SYSTEM.md") is None
    (tmp_path / "SYSTEM.md").write_text("\ufeffBe brief.\n", encoding="utf-8")
    assert read_prompt_file(tmp_path / "SYSTEM.md") == "Be brief.\n"
