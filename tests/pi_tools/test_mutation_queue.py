from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from pi_tools import mutation_queue, with_file_mutation_queue


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Any:
    yield
    assert len(mutation_queue._queues) == 0


def test_tools_check_21_link_and_target_share_a_queue(run: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    log: list[str] = []

    async def change(name: str) -> None:
        log.append(f"start {name}")
        await asyncio.sleep(0.005)
        log.append(f"end {name}")

    async def scene() -> None:
        await asyncio.gather(
            with_file_mutation_queue(tmp_path / "file", lambda: change("file")),
            with_file_mutation_queue(tmp_path / "link", lambda: change("link")),
        )

    run(scene())
    assert log == ["start file", "end file", "start link", "end link"]


def test_new_file_below_a_linked_directory_shares_its_queue(run: Any, tmp_path: Path) -> None:
    (tmp_path / "dir").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "dir")
    log: list[int] = []

    async def change(number: int) -> None:
        log.append(number)
        await asyncio.sleep(0.005)
        log.append(number)

    async def scene() -> None:
        await asyncio.gather(
            with_file_mutation_queue(tmp_path / "dir/new", lambda: change(1)),
            with_file_mutation_queue(tmp_path / "link/new", lambda: change(2)),
        )

    run(scene())
    assert log == [1, 1, 2, 2]


def test_tools_check_21_failure_frees_the_queue_and_value_is_returned(
    run: Any, tmp_path: Path
) -> None:
    async def fail() -> int:
        await asyncio.sleep(0)
        raise RuntimeError("first")

    async def give() -> int:
        return 7

    async def scene() -> list[int | BaseException]:
        return await asyncio.gather(
            with_file_mutation_queue(tmp_path / "f", fail),
            with_file_mutation_queue(tmp_path / "f", give),
            return_exceptions=True,
        )

    failed, value = run(scene())
    assert str(failed) == "first"
    assert value == 7


def test_cancelled_waiter_leaves_the_order_intact(run: Any, tmp_path: Path) -> None:
    log: list[str] = []

    async def change(name: str) -> None:
        log.append(f"start {name}")
        await asyncio.sleep(0.02)
        log.append(f"end {name}")

    async def scene() -> None:
        tasks = [
            asyncio.create_task(with_file_mutation_queue(tmp_path / "f", lambda n=n: change(n)))
            for n in "123"
        ]
        await asyncio.sleep(0.005)
        tasks[1].cancel()
        await asyncio.wait(tasks)
        assert tasks[1].cancelled()

    run(scene())
    assert log == ["start 1", "end 1", "start 3", "end 3"]


def test_event_loops_in_different_threads_take_turns(tmp_path: Path) -> None:
    inside = 0
    most = 0

    async def change() -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        await asyncio.sleep(0.002)
        inside -= 1

    async def ten() -> None:
        await asyncio.gather(*(with_file_mutation_queue(tmp_path / "f", change) for _ in range(10)))

    threads = [threading.Thread(target=asyncio.run, args=(ten(),)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert (inside, most) == (0, 1)
