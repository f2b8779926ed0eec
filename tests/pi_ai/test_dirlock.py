"""The directory lock: between tasks, threads and processes, alive and dead."""

from __future__ import annotations

import asyncio
import inspect
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pi_ai import dirlock
from pi_ai.dirlock import directory_lock, directory_lock_sync, lock_path
from pi_ai.errors import LockHeldError, LockLostError

HOLD = """
import sys
from pi_ai.dirlock import directory_lock_sync
with directory_lock_sync(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""

COUNT = """
import asyncio, pathlib, sys
from pi_ai.dirlock import directory_lock, directory_lock_sync
file = pathlib.Path(sys.argv[1])

def count(lock):
    number = int(file.read_text())
    lock.check()
    file.write_text(str(number + 1))

async def worker():
    for _ in range(10):
        async with directory_lock(file, stale_seconds=2) as lock:
            await asyncio.sleep(0)
            count(lock)

async def main():
    await asyncio.gather(worker(), worker())

if sys.argv[2] == "async":
    asyncio.run(main())
else:
    for _ in range(20):
        with directory_lock_sync(file, stale_seconds=2) as lock:
            count(lock)
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "auth.json"
    path.write_text("0")
    return path


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    yield
    assert len(dirlock._turns) == 0
    assert [thread for thread in threading.enumerate() if thread.name.startswith("lock ")] == []


@contextmanager
def other_holder(file: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock until its input is closed."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(file)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def foreign_lock(file: Path, *, age: float) -> Path:
    """The lock of an upstream process that has not refreshed it for `age` seconds."""
    lock = lock_path(file)
    lock.mkdir()
    then = time.time() - age
    os.utime(lock, (then, then))
    return lock


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def try_once(file: Path) -> None:
    with directory_lock_sync(file, wait_seconds=0):
        pass


# --- holding it -------------------------------------------------------------------------------


def test_auth_check_37_the_lock_is_an_empty_directory_beside_the_file(file: Path) -> None:
    async def scene() -> None:
        async with directory_lock(file) as lock:
            assert lock.path == file.with_name("auth.json.lock")
            assert lock.path.is_dir()
            assert list(lock.path.iterdir()) == []
            lock.check()
        assert not lock.path.exists()

    asyncio.run(scene())


def test_auth_check_37_it_is_gone_when_the_block_fails(file: Path) -> None:
    with pytest.raises(KeyError), directory_lock_sync(file):
        raise KeyError("inside")
    assert not lock_path(file).exists()


def test_an_error_of_the_block_is_not_taken_for_a_lock_that_is_held(file: Path) -> None:
    async def scene() -> None:
        async with directory_lock(file):
            raise TimeoutError("inside")

    with pytest.raises(TimeoutError, match=r"^inside$") as caught:
        asyncio.run(scene())
    assert not isinstance(caught.value, LockHeldError)


def test_aliases_of_a_file_share_one_lock(file: Path) -> None:
    (file.parent / "elsewhere").mkdir()
    alias = file.parent / "elsewhere" / "alias.json"
    alias.symlink_to(file)
    with directory_lock_sync(alias) as lock:
        assert lock.path == lock_path(file)
        with pytest.raises(LockHeldError):
            try_once(file)


def test_the_file_need_not_be_there_but_its_directory_must(tmp_path: Path) -> None:
    with directory_lock_sync(tmp_path / "new.json") as lock:
        lock.check()
    with pytest.raises(FileNotFoundError):
        try_once(tmp_path / "nowhere" / "new.json")


def test_auth_check_39_a_held_lock_is_kept_fresh_though_the_thread_is_busy(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert dirlock._HEARTBEAT_SECONDS <= 4
    monkeypatch.setattr(dirlock, "_HEARTBEAT_SECONDS", 0.01)

    async def scene() -> None:
        async with directory_lock(file) as lock:
            seen = {lock.path.stat().st_mtime_ns}
            deadline = time.monotonic() + 5
            while len(seen) < 4 and time.monotonic() < deadline:  # never lets the loop run
                seen.add(lock.path.stat().st_mtime_ns)
            assert len(seen) == 4
            lock.check()

    asyncio.run(scene())


# --- another holds it -------------------------------------------------------------------------


def test_a_lock_that_is_held_is_an_error_that_names_it(file: Path) -> None:
    foreign_lock(file, age=0)
    with pytest.raises(LockHeldError) as caught:
        try_once(file)
    assert str(caught.value).startswith(f"Lock file is already being held: {lock_path(file)}.")
    assert lock_path(file).is_dir()


def test_auth_check_38_a_lock_31_s_old_is_taken_at_once(file: Path) -> None:
    foreign_lock(file, age=31)
    with directory_lock_sync(file, wait_seconds=0) as lock:
        lock.check()
        assert time.time() - lock.path.stat().st_mtime < 10
    assert not lock_path(file).exists()


@pytest.mark.parametrize("age", [-1, 0, 11, 29])
def test_auth_check_38_a_younger_one_is_not_broken(file: Path, age: float) -> None:
    before = foreign_lock(file, age=age).stat()
    with pytest.raises(LockHeldError):
        try_once(file)
    assert lock_path(file).stat() == before


def test_auth_check_38_a_lock_given_up_is_taken_within_2_s(file: Path) -> None:
    lock = foreign_lock(file, age=0)

    async def scene() -> float:
        asyncio.get_running_loop().call_later(0.7, lock.rmdir)
        start = time.monotonic()
        async with directory_lock(file) as held:
            held.check()
            return time.monotonic() - start

    assert 0.6 < asyncio.run(scene()) < 2.7


def test_auth_check_38_the_wait_ends_with_an_error(file: Path) -> None:
    foreign_lock(file, age=0)

    async def scene() -> None:
        async with directory_lock(file, wait_seconds=0.1):
            pytest.fail("got the lock")

    with pytest.raises(LockHeldError):
        asyncio.run(scene())
    for function in (directory_lock, directory_lock_sync):
        parameters = inspect.signature(function).parameters
        assert parameters["wait_seconds"].default == 35
        assert parameters["stale_seconds"].default == 30


def test_waiting_can_be_cancelled(file: Path) -> None:
    lock = foreign_lock(file, age=0)

    async def wait() -> None:
        async with directory_lock(file):
            pytest.fail("got the lock")

    async def scene() -> None:
        task = asyncio.create_task(wait())
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(scene())
    assert lock.is_dir()


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda path: path.write_text(""), NotADirectoryError),
        (lambda path: (path / "inside").mkdir(parents=True), OSError),
        (lambda path: path.symlink_to(path.parent, target_is_directory=True), OSError),
    ],
    ids=["file", "filled directory", "link"],
)
def test_what_is_no_lock_is_an_error_and_never_removed(
    file: Path, make: Callable[[Path], object], error: type[OSError]
) -> None:
    path = lock_path(file)
    make(path)
    os.utime(path, (1, 1), follow_symlinks=False)
    with pytest.raises(error):
        try_once(file)
    assert os.path.lexists(path)


# --- tasks and threads ------------------------------------------------------------------------


def test_tasks_get_it_in_the_order_they_asked(file: Path) -> None:
    log: list[int] = []

    async def take(number: int) -> None:
        async with directory_lock(file):
            log.append(number)
            await asyncio.sleep(0.001)
            log.append(number)

    async def scene() -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(5):
                group.create_task(take(number))

    asyncio.run(scene())
    assert log == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]


def test_waiting_in_line_ends_with_an_error_too(file: Path) -> None:
    async def scene() -> None:
        async with directory_lock(file):
            with pytest.raises(LockHeldError):
                async with directory_lock(file, wait_seconds=0.02):
                    pytest.fail("got the lock")

    asyncio.run(scene())


def test_a_thread_waits_for_a_task(file: Path) -> None:
    log: list[str] = []

    def take() -> None:
        with directory_lock_sync(file):
            log.append("thread")

    async def scene() -> None:
        async with directory_lock(file):
            waiting = asyncio.create_task(asyncio.to_thread(take))
            await asyncio.sleep(0.05)
            log.append("task")
        await waiting

    asyncio.run(scene())
    assert log == ["task", "thread"]


# --- losing it --------------------------------------------------------------------------------


def remove(lock: Path) -> None:
    lock.rmdir()


def replace(lock: Path) -> None:
    lock.rmdir()
    lock.mkdir()
    os.utime(lock, (time.time() - 1, time.time() - 1))


def refresh_as_its_own(lock: Path) -> None:
    os.utime(lock, (time.time() + 1, time.time() + 1))


@pytest.mark.parametrize("steal", [remove, replace, refresh_as_its_own])
def test_a_lock_taken_away_is_noticed_before_a_write_and_left_to_the_thief(
    file: Path, caplog: pytest.LogCaptureFixture, steal: Callable[[Path], None]
) -> None:
    with directory_lock_sync(file) as lock:
        steal(lock.path)
        left = lock.path.stat() if lock.path.exists() else None
        with pytest.raises(LockLostError, match="Lost the lock"):
            lock.check()
        assert repr(lock) == f"<DirectoryLock {lock.path}, lost>"
    assert (lock.path.stat() if lock.path.exists() else None) == left
    assert "was taken away" in caplog.text


def test_the_heartbeat_does_not_refresh_anothers_lock(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dirlock, "_HEARTBEAT_SECONDS", 0.01)
    with directory_lock_sync(file) as lock:
        # Under the guard, as two calls of ours are no one step like another's take-over.
        with lock._guard:
            replace(lock.path)
            left = lock.path.stat().st_mtime_ns
        until(lambda: not lock._thread.is_alive())
        assert lock.path.stat().st_mtime_ns == left
        with pytest.raises(LockLostError):
            lock.check()


def test_a_heartbeat_that_fails_for_too_long_loses_the_lock(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: object) -> None:
        raise OSError("the disk is away")

    monkeypatch.setattr(dirlock, "_HEARTBEAT_SECONDS", 0.01)
    monkeypatch.setattr(dirlock, "_RETRY_SECONDS", 0.01)
    monkeypatch.setattr(dirlock.os, "utime", fail)
    with directory_lock_sync(file, stale_seconds=0.05) as lock:
        until(lambda: not lock._thread.is_alive())
        with pytest.raises(LockLostError):
            lock.check()


# --- processes --------------------------------------------------------------------------------


def test_a_living_process_keeps_its_lock_and_hands_it_over(file: Path) -> None:
    with other_holder(file) as process:
        with pytest.raises(LockHeldError):
            try_once(file)
        assert process.stdin is not None
        process.stdin.close()
        with directory_lock_sync(file, wait_seconds=10) as lock:
            lock.check()
    assert not lock_path(file).exists()


def test_the_lock_of_a_killed_process_is_taken_once_it_is_stale(file: Path) -> None:
    with other_holder(file) as process:
        process.kill()
        process.wait()
        with pytest.raises(LockHeldError):
            try_once(file)
        with directory_lock_sync(file, stale_seconds=0.2, wait_seconds=10) as lock:
            lock.check()
    assert not lock_path(file).exists()


@pytest.mark.parametrize("stale_at_first", [False, True], ids=["free", "stale"])
def test_processes_that_contend_lose_no_write(file: Path, *, stale_at_first: bool) -> None:
    if stale_at_first:
        foreign_lock(file, age=3)
    workers = [
        subprocess.Popen([sys.executable, "-c", COUNT, str(file), kind])
        for kind in ("async", "async", "sync")
    ]
    try:
        assert [worker.wait(timeout=15) for worker in workers] == [0, 0, 0]
    finally:
        for worker in workers:
            worker.kill()
    assert file.read_text() == "60"
    assert not lock_path(file).exists()
