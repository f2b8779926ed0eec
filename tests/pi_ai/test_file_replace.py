"""Replacing a file: what is kept of it, and what is left when that fails."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from pi_ai import file_replace
from pi_ai.file_replace import replace_file

REPLACE = """
import sys
from pi_ai.file_replace import replace_file
while True:
    for letter in (b"b", b"a"):
        replace_file(sys.argv[1], letter * 100_000)
"""


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("bits", [0o600, 0o640, 0o644, 0o666])
def test_the_mode_is_kept(tmp_path: Path, bits: int) -> None:
    file = tmp_path / "a.json"
    file.write_bytes(b"old")
    file.chmod(bits)
    before = file.stat().st_ino
    replace_file(file, b"new")
    assert (file.read_bytes(), mode(file)) == (b"new", bits)
    assert file.stat().st_ino != before
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize(("asked", "given"), [(0o600, 0o600), (0o666, 0o640)])
def test_a_new_file_gets_the_mode_asked_for(tmp_path: Path, asked: int, given: int) -> None:
    umask = os.umask(0o027)
    try:
        replace_file(tmp_path / "new", b"x", new_mode=asked)
    finally:
        os.umask(umask)
    assert mode(tmp_path / "new") == given


@pytest.mark.parametrize("there", [True, False])
def test_a_link_stays_and_its_target_is_written(tmp_path: Path, *, there: bool) -> None:
    (tmp_path / "dotfiles").mkdir()
    target = tmp_path / "dotfiles" / "a.json"
    if there:
        target.write_bytes(b"old")
    link = tmp_path / "a.json"
    link.symlink_to(target)
    replace_file(link, b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"


def test_all_names_of_a_file_see_the_new_content(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_bytes(b"a longer old text")
    os.link(first, second)
    replace_file(first, b"new")
    assert second.read_bytes() == b"new"
    assert first.samefile(second)


def test_extended_attributes_are_kept(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"old")
    with suppress(OSError):  # not every file system has them
        os.setxattr(file, "user.note", b"kept")
    before = os.listxattr(file)
    replace_file(file, b"new")
    assert os.listxattr(file) == before
    assert file.read_bytes() == b"new"


def test_what_cannot_be_replaced_is_written_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"a longer old text")

    def refuse(path: Path, target: Path) -> None:
        raise OSError(errno.EBUSY, "Device or resource busy", str(path))

    monkeypatch.setattr(Path, "replace", refuse)
    replace_file(file, b"new")
    assert file.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [file]


def test_a_full_disk_leaves_the_old_content_and_nothing_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(file_replace.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        replace_file(file, b"new")
    assert file.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [file]


def test_a_planted_link_in_the_place_of_the_new_file_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    file = tmp_path / "a"
    file.write_bytes(b"old")
    planted = tmp_path / ".a.00.tmp"
    planted.symlink_to(victim)
    monkeypatch.setattr(file_replace.os, "urandom", lambda _: b"\0")
    with pytest.raises(FileExistsError):
        replace_file(file, b"new")
    assert (victim.read_bytes(), file.read_bytes()) == (b"precious", b"old")
    assert planted.is_symlink()


def test_a_reader_and_a_crash_see_the_old_content_or_the_new(tmp_path: Path) -> None:
    file = tmp_path / "a"
    whole = {letter * 100_000 for letter in (b"a", b"b")}
    file.write_bytes(b"a" * 100_000)
    with subprocess.Popen([sys.executable, "-c", REPLACE, str(file)]) as writer:
        seen: set[bytes] = set()
        deadline = time.monotonic() + 10
        while seen != whole and time.monotonic() < deadline:
            seen.add(file.read_bytes())
        writer.kill()
    assert seen == whole
    assert file.read_bytes() in whole


def test_a_missing_directory_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        replace_file(tmp_path / "nowhere" / "a", b"new")
