from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from pi_ai import AbortController
from pi_tools import CommandAbortedError, CommandTimeoutError, kill_running_commands
from pi_tools.process import OnData, run_process


async def run_shell(command: str, on_data: OnData, **options: Any) -> int:
    return await run_process(
        ["/bin/sh", "-c", command], cwd="/", env=dict(os.environ), on_data=on_data, **options
    )


def test_a_slow_reader_slows_the_program_down(run: Any) -> None:
    pieces: list[int] = []
    pending: list[asyncio.Future[None]] = []

    def on_data(data: bytes) -> asyncio.Future[None]:
        pieces.append(len(data))
        pending.append(asyncio.get_running_loop().create_future())
        return pending[-1]

    async def scene() -> int:
        command = asyncio.create_task(run_shell("head -c 3000000 /dev/zero", on_data))
        while not pieces:
            await asyncio.sleep(0.005)
        await asyncio.sleep(0.1)
        before = len(pieces)
        assert sum(pieces) < 300_000
        await asyncio.sleep(0.1)
        assert len(pieces) == before, "nothing is read while the reader is busy"
        while not command.done():
            for future in pending:
                if not future.done():
                    future.set_result(None)
            await asyncio.sleep(0)
        return await command

    assert run(scene()) == 0
    assert sum(pieces) == 3_000_000


def test_pause_is_not_taken_for_silence(run: Any) -> None:
    got = bytearray()

    def on_data(data: bytes) -> asyncio.Future[None]:
        got.extend(data)
        loop = asyncio.get_running_loop()
        room: asyncio.Future[None] = loop.create_future()
        loop.call_later(0.15, room.set_result, None)
        return room

    command = "(sleep 0.05; echo late; sleep 1) & echo first"
    assert run(run_shell(command, on_data)) == 0
    assert bytes(got) == b"first\nlate\n"


def test_standard_input_is_passed_whole(run: Any) -> None:
    got = bytearray()
    text = b"x" * 500_000
    assert run(run_shell("cat", lambda data: got.extend(data), stdin=text)) == 0
    assert bytes(got) == text


@pytest.mark.parametrize("moment_ms", [0, 1, 2, 3, 5, 8, 13, 30])
def test_cancelling_at_any_moment_leaves_nothing(moment_ms: int, run: Any) -> None:
    async def scene() -> None:
        task = asyncio.create_task(run_shell("sleep 30", lambda _: None))
        await asyncio.sleep(moment_ms / 1000)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    started = time.monotonic()
    run(scene())
    assert time.monotonic() - started < 2


def test_cancelling_twice_still_reaps(run: Any) -> None:
    async def scene() -> None:
        task = asyncio.create_task(run_shell("trap '' TERM; sleep 30", lambda _: None))
        await asyncio.sleep(0.03)
        task.cancel()
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(scene())


def test_abort_from_another_thread(run: Any) -> None:
    controller = AbortController()

    async def scene() -> None:
        asyncio.get_running_loop().run_in_executor(
            None, lambda: (time.sleep(0.05), controller.abort())
        )
        with pytest.raises(CommandAbortedError):
            await run_shell("sleep 30", lambda _: None, signal=controller.signal)

    run(scene())


def test_timeout_tells_what_it_knows(run: Any) -> None:
    async def scene() -> CommandTimeoutError:
        with pytest.raises(CommandTimeoutError) as caught:
            await run_shell("sleep 30", lambda _: None, timeout=0.05)
        return caught.value

    error = run(scene())
    assert (str(error), error.seconds, error.exit_code) == ("timeout:0.05", 0.05, None)


def test_embedder_can_kill_all_commands(run: Any) -> None:
    started: list[bytes] = []

    async def scene() -> list[int]:
        commands = [
            asyncio.create_task(run_shell("sleep 30 & echo up; wait", started.append))
            for _ in range(3)
        ]
        while len(started) < 3:
            await asyncio.sleep(0.005)
        kill_running_commands()
        return await asyncio.gather(*commands)

    assert run(scene()) == [137, 137, 137]
    kill_running_commands()


def test_loud_command_keeps_memory_flat(tmp_path: Path) -> None:
    script = tmp_path / "loud.py"
    script.write_text(
        "import asyncio, resource, tempfile\n"
        "from pi_agent.types import ToolContext\n"
        "from pi_ai import AbortController\n"
        "from pi_tools import create_bash_tool\n"
        f"tempfile.tempdir = {str(tmp_path)!r}\n"
        "def peak():\n"
        "    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "async def main():\n"
        "    tool = create_bash_tool('/')\n"
        "    context = ToolContext(tool_call_id='1', signal=AbortController().signal)\n"
        "    await tool.execute({'command': 'seq 3000'}, context)\n"
        "    before = peak()\n"
        "    command = 'yes some line of output | head -c 60000000'\n"
        "    result = await tool.execute({'command': command}, context)\n"
        "    print(peak() - before, result.details['truncation']['totalBytes'])\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", str(script)], capture_output=True, text=True, check=True
    )
    growth, total = map(int, done.stdout.split())
    unit = 1 if sys.platform == "darwin" else 1024
    assert total == 60_000_000
    assert growth * unit < 20 * 1024 * 1024


@pytest.mark.parametrize("after", range(8))
def test_closing_the_event_loop_while_a_command_starts(after: int):
    """What asyncio.run does at its end, some steps after the command was asked for."""

    async def main() -> None:
        for number in range(4):
            command = run_process(
                ["sh", "-c", f"sleep {30 + number}"],
                cwd="/",
                env=dict(os.environ),
                on_data=lambda _data: None,
            )
            running.append(asyncio.create_task(command))
        for _ in range(after):
            await asyncio.sleep(0)

    running: list[asyncio.Task[int]] = []
    asyncio.run(main())
    assert all(task.cancelled() for task in running)
    with pytest.raises(ChildProcessError):  # every child was reaped
        os.waitpid(-1, os.WNOHANG)
