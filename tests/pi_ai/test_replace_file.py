"""Small files that are replaced as a whole. Auth spec, sections 5.2 and 13."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from pi_ai.replace_file import create_file, replace_file

NEW = b'{"new": true}'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "f.json"
    path.write_bytes(b"old, and longer than what is new")
    return path


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_file_and_its_directories_are_their_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "f.json"
    before = os.umask(0)
    try:
        assert create_file(path, NEW)
    finally:
        os.umask(before)
    assert path.read_bytes() == NEW
    assert [mode(each) for each in (path, path.parent, path.parent.parent)] == [0o600] + [0o700] * 2
    assert not create_file(path, b"other")
    assert path.read_bytes() == NEW


@pytest.mark.parametrize("wanted", [0o600, 0o640, 0o400])
def test_mode_and_name_are_kept_and_the_file_is_another(file: Path, wanted: int) -> None:
    file.chmod(wanted)
    inode = file.stat().st_ino
    replace_file(file, NEW)
    assert (file.read_bytes(), mode(file)) == (NEW, wanted)
    assert file.stat().st_ino != inode
    assert os.listdir(file.parent) == [file.name]


def test_auth_check_33_a_link_stays_and_leads_to_the_new_content(
    file: Path, tmp_path: Path
) -> None:
    link = tmp_path / "elsewhere" / "link.json"
    link.parent.mkdir()
    link.symlink_to(file)
    replace_file(link, NEW)
    assert (link.is_symlink(), file.read_bytes()) == (True, NEW)
    assert os.listdir(link.parent) == [link.name]


def test_a_dangling_link_gets_its_file(tmp_path: Path) -> None:
    link, target = tmp_path / "link.json", tmp_path / "to" / "f.json"
    link.symlink_to(target)
    assert create_file(link, NEW)
    assert (link.is_symlink(), target.read_bytes()) == (True, NEW)


def test_a_file_of_two_names_stays_one(file: Path) -> None:
    other = file.with_name("other.json")
    other.hardlink_to(file)
    replace_file(file, NEW)
    assert (file.read_bytes(), other.read_bytes()) == (NEW, NEW)


@pytest.mark.parametrize("code", [errno.EBUSY, errno.EXDEV, errno.EACCES])
def test_what_cannot_be_replaced_is_overwritten(
    file: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(*_: object) -> None:  # as for a file that is mounted by itself
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "replace", refuse)
    inode = file.stat().st_ino
    replace_file(file, NEW)
    assert (file.read_bytes(), file.stat().st_ino) == (NEW, inode)
    assert os.listdir(file.parent) == [file.name]


def test_a_full_disk_leaves_the_old_content(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = file.read_bytes()
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        replace_file(file, NEW)
    assert file.read_bytes() == before
    assert os.listdir(file.parent) == [file.name]


def test_auth_check_33_a_planted_temporary_is_not_followed(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    victim = file.with_name("victim")
    victim.write_bytes(b"precious")
    names = iter([b"\0" * 6, b"\1" * 6])
    monkeypatch.setattr(os, "urandom", lambda _size: next(names))
    planted = file.with_name(f".{file.name}.{'00' * 6}.tmp")
    planted.symlink_to(victim)
    replace_file(file, NEW)
    assert (victim.read_bytes(), planted.is_symlink(), file.read_bytes()) == (
        b"precious",
        True,
        NEW,
    )


def test_a_reader_sees_the_old_or_the_new_whatever_moment_the_writer_is_killed(
    file: Path,
) -> None:
    contents = {b"a" * 300_000, b"b" * 200_000}
    file.write_bytes(b"a" * 300_000)
    script = (
        "import sys, pathlib\n"
        "from pi_ai.replace_file import replace_file\n"
        "while True:\n"
        "    print('.', flush=True)\n"
        "    for data in (b'b' * 200_000, b'a' * 300_000):\n"
        f"        replace_file({str(file)!r}, data)\n"
    )
    for _ in range(3):
        with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            for _ in range(3):
                writer.stdout.readline()
                assert file.read_bytes() in contents
            writer.kill()
        assert file.read_bytes() in contents


@pytest.mark.parametrize(("asked", "given"), [(0o600, 0o600), (0o666, 0o640)])
def test_a_new_file_gets_the_mode_asked_for(tmp_path: Path, asked: int, given: int) -> None:
    umask = os.umask(0o027)
    try:
        replace_file(tmp_path / "new", b"x", new_mode=asked)
    finally:
        os.umask(umask)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == given
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_a_missing_directory_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        replace_file(tmp_path / "nowhere" / "a", b"new")
