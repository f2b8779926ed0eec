from __future__ import annotations

import asyncio
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pi_ai import AbortController, AbortSignal
from pi_tools import (
    CommandAbortedError,
    LocalBashOperations,
    OnData,
    UserBashResult,
    execute_bash,
    over_prefix,
)


class Scripted:
    """Prints `pieces`, then ends as told."""

    def __init__(self, *pieces: bytes, end: int | Exception | None = 0) -> None:
        self.pieces = pieces
        self.end = end
        self.seen: list[Any] = []

    async def exec(
        self,
        command: str,
        cwd: str,
        *,
        on_data: OnData,
        signal: AbortSignal,
        timeout: float | None,
        env: Mapping[str, str],
    ) -> int | None:
        self.seen += [command, cwd, timeout, dict(env)]
        for piece in self.pieces:
            await asyncio.sleep(0)
            if (room := on_data(piece)) is not None:
                await room
        if isinstance(self.end, Exception):
            raise self.end
        return self.end


def test_tools_check_60_output_is_cleaned(run: Any, tmp_path: Path) -> None:
    command = r"printf '\033[31mred\033[0m\r\n\0\001\007ok\033]0;title\007x\t'; exit 3"
    result = run(execute_bash(command, str(tmp_path), LocalBashOperations()))
    assert msgspec.to_builtins(result) == {
        "output": "red\nokx\t",
        "exitCode": 3,
        "cancelled": False,
        "truncated": False,
    }


def test_tools_check_60_sequence_split_by_a_pause(run: Any, tmp_path: Path) -> None:
    chunks: list[str] = []
    command = r"printf 'a\033[3'; sleep 0.1; printf '1mb'"
    operations = LocalBashOperations()
    result = run(execute_bash(command, str(tmp_path), operations, on_chunk=chunks.append))
    assert chunks == ["a", "b"]
    assert result.output == "ab"


def test_tools_check_60_abort_is_a_result(run: Any, tmp_path: Path) -> None:
    controller = AbortController()

    async def scene() -> UserBashResult:
        return await execute_bash(
            "echo hi; sleep 30",
            str(tmp_path),
            LocalBashOperations(),
            on_chunk=lambda _: controller.abort(),
            signal=controller.signal,
        )

    assert msgspec.to_builtins(run(scene())) == {
        "output": "hi\n",
        "cancelled": True,
        "truncated": False,
    }


@pytest.mark.parametrize(
    ("end", "result"),
    [
        (None, UserBashResult(output="hi")),
        (Exception("aborted"), UserBashResult(output="hi", cancelled=True)),
        (CommandAbortedError(), UserBashResult(output="hi", cancelled=True)),
    ],
    ids=["no code", "aborted by text", "aborted"],
)
def test_end_without_an_exit_code(end: Exception | None, result: UserBashResult, run: Any) -> None:
    assert run(execute_bash("x", "/r", Scripted(b"hi", end=end))) == result


def test_other_failures_propagate(run: Any) -> None:
    lost = ConnectionError("line lost")
    with pytest.raises(ConnectionError) as caught:
        run(execute_bash("x", "/r", Scripted(b"hi", end=lost)))
    assert caught.value is lost


def test_operations_get_no_time_limit_and_the_environment(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME", "thing")
    scripted = Scripted()
    run(execute_bash("x", "/r", scripted))
    assert scripted.seen[:3] == ["x", "/r", None]
    assert scripted.seen[3]["SOME"] == "thing"
    run(execute_bash("x", "/r", scripted, env={"A": "b"}))
    assert scripted.seen[7] == {"A": "b"}


def test_chunks_that_are_empty_once_cleaned_are_not_told(run: Any) -> None:
    chunks: list[str] = []
    scripted = Scripted(b"\x1b[1m", b"\r", b"", b"\xef\xbb\xbf", b"\xe2", b"\x82\xac", b"x\xe2")
    result = run(execute_bash("x", "/r", scripted, on_chunk=chunks.append))
    assert chunks == ["\ufeff", "€", "x", "\ufffd"]
    assert result.output == "".join(chunks)


@pytest.mark.parametrize(
    ("lines", "output_lines"), [(2001, 2000), (40_000, 2000)], ids=["by lines", "beyond the buffer"]
)
def test_long_output_is_cut_and_whole_in_a_file(lines: int, output_lines: int, run: Any) -> None:
    numbered = [f"\x1b[1m{number}\x1b[0m\r\n".encode() for number in range(lines)]
    pieces = [b"".join(numbered[at : at + 1000]) for at in range(0, lines, 1000)]
    result = run(execute_bash("x", "/r", Scripted(*pieces)))
    assert result.truncated
    assert result.output == "\n".join(map(str, range(lines - output_lines, lines)))
    file = Path(result.full_output_path)
    assert file.read_text() == "".join(f"{number}\n" for number in range(lines))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.name.startswith("pi-bash-")


def test_many_raw_bytes_make_a_file_even_if_little_is_left(run: Any) -> None:
    result = run(execute_bash("x", "/r", Scripted(b"a", b"\0" * 60_000)))
    assert (result.output, result.truncated) == ("a", False)
    assert Path(result.full_output_path).read_text() == "a"


def test_cancelling_leaves_nothing(run: Any, tmp_path: Path) -> None:
    async def scene() -> None:
        task = asyncio.create_task(
            execute_bash("yes", str(tmp_path), LocalBashOperations(), on_chunk=chunks.append)
        )
        while not chunks:
            await asyncio.sleep(0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    chunks: list[str] = []
    run(scene())


def test_command_of_the_user_in_another_place(run: Any, tmp_path: Path) -> None:
    operations = over_prefix(["env", "OVER_THERE=yes"])["bash"]["operations"]
    result = run(execute_bash("echo $OVER_THERE", str(tmp_path), operations))
    assert result == UserBashResult(output="yes\n", exit_code=0)
