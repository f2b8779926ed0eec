"""Faults of the world: full disks, read-only directories, migrations that are cut off."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from pi_ai.types import UserMessage
from pi_session import SessionManager, list_sessions
from pi_session.store import SessionFile

HEADER = '{"type":"session","version":3,"id":"h","timestamp":"2026-01-01T00:00:00.000Z","cwd":"/c"}'
OLD = (
    '{"type":"session","id":"h","timestamp":"2026-01-01T00:00:00.000Z","cwd":"/c"}\n'
    '{"type":"message","timestamp":"2026","message":{"role":"user","content":"U","timestamp":1}}\n'
    "torn\n"
    '{"type":"custom","customType":"x","timestamp":"2026","unknown":[1.50]}\n'
)


def run(script: str, *arguments: Path) -> subprocess.CompletedProcess[str]:
    """A program of its own, for what would harm this one."""
    return subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=15,
        check=False,
    )


def message_line(text: str) -> str:
    message = f'"message":{{"role":"user","content":"{text}","timestamp":1}}'
    return f'{{"type":"message","id":"a","parentId":null,"timestamp":"2026",{message}}}'


# --- full disks --------------------------------------------------------------------------------

# The kernel writes up to the limit and refuses the rest, as it does on a disk that is full.
FULL_DISK = """
import resource, sys
from pathlib import Path
from pi_ai.types import UserMessage
from pi_session import SessionManager

def limit(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

path = Path(sys.argv[1])
"""

APPENDING = """
with SessionManager.open(path) as session:
    session.append_message(UserMessage("first"))
    before, entries, leaf = path.read_bytes(), session.get_entry_count(), session.leaf_id
    for room in (0, 1, 50, 5000):
        limit(len(before) + room)
        try:
            session.append_message(UserMessage("x" * 10_000))
        except OSError:
            pass
        else:
            raise AssertionError("written")
        assert path.read_bytes() == before
        assert (session.get_entry_count(), session.leaf_id) == (entries, leaf)
    limit(resource.RLIM_INFINITY)
    session.append_message(UserMessage("last"))
    assert path.read_bytes().startswith(before)
    assert path.read_bytes().count(b"\\n") == before.count(b"\\n") + 1
"""

CREATING = """
session = SessionManager.create("/c", path.parent)
for room in (0, 1, 50, 5000):
    limit(room)
    try:
        session.append_message(UserMessage("x" * 10_000))
    except OSError:
        pass
    else:
        raise AssertionError("written")
    assert not session.is_saved and session.get_entry_count() == 0
    assert list(path.parent.iterdir()) == []
limit(resource.RLIM_INFINITY)
session.append_message(UserMessage("last"))
assert session.session_file.read_bytes().count(b"\\n") == 2
session.close()
"""

MIGRATING = """
before = path.read_bytes()
for room in (0, 50, len(before) - 1, len(before)):
    limit(room)
    try:
        SessionManager.open(path)
    except OSError:
        pass
    else:
        raise AssertionError("written")
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]
limit(resource.RLIM_INFINITY)
with SessionManager.open(path) as session:
    assert session.get_entry_count() == 2
"""

FORKING = """
try:
    limit(50)
    SessionManager.fork_from(path, "/c", path.parent)
except OSError:
    pass
else:
    raise AssertionError("written")
assert list(path.parent.iterdir()) == [path]
"""


@pytest.mark.parametrize(
    ("script", "content"),
    [
        (APPENDING, HEADER + "\n"),
        (APPENDING, HEADER + "\n" + message_line("U")),
        (CREATING, None),
        (MIGRATING, OLD),
        (FORKING, HEADER + "\n" + message_line("U") + "\n"),
    ],
    ids=["append", "append-behind-a-line-without-end", "create", "migrate", "fork"],
)
def test_a_full_disk_leaves_everything_as_it_was(
    script: str, content: str | None, tmp_path: Path
) -> None:
    path = tmp_path / "sessions" / "s.jsonl"
    path.parent.mkdir()
    if content is not None:
        path.write_text(content)
    done = run(FULL_DISK + script, path)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_a_device_without_room_says_so() -> None:
    file = SessionFile.open(Path("/dev/full"))
    with pytest.raises(OSError, match="No space left") as caught:
        file.append(b"line\n")
    assert caught.value.errno == errno.ENOSPC
    assert file.size == 0
    file.close()


# --- directories and files that may not be written -----------------------------------------------

# Root may write everywhere, so it becomes somebody else once all is imported.
WITHOUT_RIGHTS = """
import os, sys
from pathlib import Path
from pi_ai.types import UserMessage
from pi_session import SessionManager

path = Path(sys.argv[1])
SessionManager.in_memory(entries=[{"type": "message"}]).append_message(UserMessage("U"))
if os.getuid() == 0:
    os.chown(path.parent, 65534, 65534)
    if path.exists():
        os.chown(path, 65534, 65534)
    os.setuid(65534)
path.parent.chmod(0o500)
"""

APPEND_THERE = """
with SessionManager.open(path) as session:
    session.append_message(UserMessage("V"))
    assert not session.read_only
assert path.read_bytes().count(b"\\n") == 3
"""

READ_THERE = """
from pi_session import SessionReadOnlyError

before = path.read_bytes()
path.chmod(0o400)
with SessionManager.open(path) as session:
    assert session.read_only
    assert session.get_entry_count() == 1
    try:
        session.append_message(UserMessage("V"))
    except SessionReadOnlyError as error:
        assert str(error) == f"Session is open for reading only: {path}"
    else:
        raise AssertionError("written")
assert path.read_bytes() == before
"""

CREATE_THERE = """
session = SessionManager.create("/c", path.parent)
try:
    session.append_message(UserMessage("U"))
except PermissionError:
    pass
else:
    raise AssertionError("written")
assert session.get_entry_count() == 0
path.parent.chmod(0o700)
session.append_message(UserMessage("U"))
assert session.is_saved
session.close()
"""

MIGRATE_THERE = """
before = path.read_bytes()
with SessionManager.open(path) as session:
    assert session.read_only
    assert session.get_entry_count() == 2
    assert len(session.build_session_context().messages) == 1
assert path.read_bytes() == before
path.parent.chmod(0o700)
with SessionManager.open(path) as session:
    assert not session.read_only
"""


@pytest.mark.parametrize(
    ("script", "content"),
    [
        (APPEND_THERE, HEADER + "\n" + message_line("U") + "\n"),
        (READ_THERE, HEADER + "\n" + message_line("U") + "\n"),
        (CREATE_THERE, None),
        (MIGRATE_THERE, OLD),
    ],
    ids=["append", "a-file-too", "create", "migrate"],
)
def test_what_may_not_be_written(script: str, content: str | None) -> None:
    with tempfile.TemporaryDirectory() as place:  # unlike `tmp_path`, others may go through it
        Path(place).chmod(0o755)
        path = Path(place) / "sessions" / "s.jsonl"
        path.parent.mkdir()
        if content is not None:
            path.write_text(content)
        done = run(WITHOUT_RIGHTS + script, path)
        path.parent.chmod(0o700)
        assert (done.returncode, done.stderr) == (0, "")


# --- migrations that are cut off ---------------------------------------------------------------

MIGRATE_AND_DIE = """
import os, signal, sys
from pi_session import SessionManager, store

def die(*arguments):
    os.kill(os.getpid(), signal.SIGKILL)

def replace_and_die(*arguments):
    real_replace(*arguments)
    die()

real_replace = os.replace
match sys.argv[2]:
    case "writing":
        store._sync = die
    case "written":
        os.replace = die
    case "replaced":
        os.replace = replace_and_die
SessionManager.open(sys.argv[1])
"""


@pytest.mark.parametrize("moment", ["writing", "written", "replaced"])
def test_a_migration_that_is_killed_leaves_one_whole_file(moment: str, tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    path.write_text(OLD)
    assert run(MIGRATE_AND_DIE, path, Path(moment)).returncode == -signal.SIGKILL
    if moment != "replaced":
        assert path.read_text() == OLD
    assert [info.path for info in list_sessions("/c", tmp_path)] == [path]
    with SessionManager.open(path) as session:
        assert session.get_entry_count() == 2
        assert len(session.get_branch()) == 2
        assert b'"unknown":[1.50]' in path.read_bytes()
        session.append_message(UserMessage("V"))
    backups = {each.read_text() for each in tmp_path.glob("s.jsonl.bak*")}
    assert backups == {OLD}


# --- durable sessions --------------------------------------------------------------------------


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """What has been synced since: inodes and sizes."""
    if sys.platform != "linux":
        pytest.skip("other systems have no fdatasync")
    found: list[tuple[int, int]] = []
    for name in ("fdatasync", "fsync"):
        real = getattr(os, name)

        def sync(descriptor: int, real: object = real) -> None:
            assert callable(real)
            real(descriptor)
            status = os.fstat(descriptor)
            found.append((status.st_ino, status.st_size))

        monkeypatch.setattr(os, name, sync)
    return found


def test_a_durable_append_returns_when_all_of_the_file_is_synced(
    synced: list[tuple[int, int]], tmp_path: Path
) -> None:
    directory = tmp_path / "new" / "sessions"
    with SessionManager.create("/c", directory, durable=True) as session:
        session.append_message(UserMessage("U"))
        path = session.session_file
        assert path is not None
        first = path.stat()
        assert synced[0] == (first.st_ino, first.st_size)
        # A new name lasts when the directory that holds it is synced.
        holders = [directory, directory.parent, tmp_path]
        assert [inode for inode, _ in synced[1:]] == [each.stat().st_ino for each in holders]
        session.append_message(UserMessage("V"))
        assert synced[4:] == [(first.st_ino, path.stat().st_size)]
    with SessionManager.create("/c", directory, durable=True) as session:
        session.append_message(UserMessage("W"))
        assert [inode for inode, _ in synced[6:]] == [directory.stat().st_ino]
    with SessionManager.open(path) as session:
        session.append_message(UserMessage("X"))
    assert len(synced) == 7


def test_a_migration_is_on_the_disk_before_and_after_it_takes_the_place(
    synced: list[tuple[int, int]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "s.jsonl"
    path.write_text(OLD)
    real_replace = os.replace
    before: list[tuple[int, int]] = []

    def replace(source: Path, target: Path) -> None:
        before.extend(synced)
        real_replace(source, target)

    monkeypatch.setattr(os, "replace", replace)
    SessionManager.open(path).close()
    assert before[0] == (path.stat().st_ino, path.stat().st_size)
    assert [inode for inode, _ in synced[len(before) :]] == [tmp_path.stat().st_ino]
