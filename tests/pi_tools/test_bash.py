from __future__ import annotations

import asyncio
import math
import os
import re
import stat
import time
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pi_agent.types import ToolError, ToolResult
from pi_ai import AbortController, AbortSignal, Model
from pi_ai.wire import to_json_value
from pi_tools import (
    BashSpawn,
    CommandAbortedError,
    CommandTimeoutError,
    OnData,
    create_bash_tool,
)
from support.processes import alive, wait_dead

if TYPE_CHECKING:
    from tests.pi_tools.conftest import Calls


@pytest.fixture
def bash(calls: Calls, tmp_path: Path) -> Any:
    """Runs a command; gives the result."""
    tool = create_bash_tool(tmp_path)

    def run(command: str, timeout: float | None = None, **fields: Any) -> ToolResult:
        arguments = {"command": command, "timeout": timeout}
        return calls.result(tool, {k: v for k, v in arguments.items() if v is not None}, **fields)

    return run


def text(result: ToolResult) -> str:
    (block,) = result.content
    return block.text


def error_text(bash: Any, *arguments: Any, **fields: Any) -> str:
    with pytest.raises(ToolError) as caught:
        bash(*arguments, **fields)
    return str(caught.value)


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ("echo 'test output'", "test output\n"),
        ("true", "(no output)"),
        ("printf '   '", "   "),
        ("echo out; echo err >&2", None),
        ('read x; echo "got:$x rc=$?"', "got: rc=1\n"),
        (r"printf '\033[31mred\033[0m\r\n'", "\x1b[31mred\x1b[0m\r\n"),
        (r"printf 'a\xff\xc3b'", "a\ufffd\ufffdb"),
        (r"printf 'a\xe2\x82'", "a\ufffd"),
        (r"printf '\xe2'; sleep 0.05; printf '\x82\xac'", "€"),
        (r"printf '\xef\xbb\xbfhi\xef\xbb\xbf'", "hi\ufeff"),
        ("seq 2000", "".join(f"{n}\n" for n in range(1, 2001))),
    ],
)
def test_tools_check_47_49_and_54_output_is_shown(
    command: str, shown: str | None, bash: Any
) -> None:
    result = bash(command)
    if shown is None:
        assert sorted(text(result).split()) == ["err", "out"]
    else:
        assert text(result) == shown
    assert not isinstance(result.details, dict)
    assert not result.is_error


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ("exit 1", "(no output)\n\nCommand exited with code 1"),
        ("echo hi; exit 3", "hi\n\n\nCommand exited with code 3"),
        ("kill -9 $$", "(no output)\n\nCommand exited with code 137"),
        ("echo x; kill -TERM $$", "x\n\n\nCommand exited with code 143"),
    ],
)
def test_tools_check_47_failure_is_a_result(command: str, shown: str, bash: Any) -> None:
    result = bash(command)
    assert text(result) == shown
    assert result.is_error
    assert not isinstance(result.details, dict)


def test_tools_check_48_timeout_keeps_the_output(bash: Any) -> None:
    assert error_text(bash, "echo start; sleep 5", 0.3) == (
        "start\n\n\nCommand timed out after 0.3 seconds"
    )
    assert error_text(bash, "sleep 5", 1) == "Command timed out after 1 seconds"


@pytest.mark.parametrize("seconds", [0, -1, math.nan, math.inf])
def test_tools_check_48_timeout_that_is_none(seconds: float, bash: Any) -> None:
    assert error_text(bash, "true", seconds) == (
        "Invalid timeout: must be a finite number of seconds"
    )


def test_tools_check_48_longest_timeout(bash: Any) -> None:
    assert text(bash("true", 2147483.647)) == "(no output)"
    assert error_text(bash, "true", 2147483.648) == (
        "Invalid timeout: maximum is 2147483.647 seconds"
    )


def test_tools_check_50_missing_directory_and_shell(calls: Calls, tmp_path: Path) -> None:
    with pytest.raises(ToolError) as caught:
        calls.text(create_bash_tool(tmp_path / "gone"), {"command": "true"})
    assert str(caught.value) == (
        f"Working directory does not exist: {tmp_path}/gone\nCannot execute bash commands."
    )
    with pytest.raises(ToolError) as caught:
        calls.text(create_bash_tool(tmp_path, shell_path="/no/sh"), {"command": "true"})
    assert str(caught.value) == "Custom shell path not found: /no/sh"


def test_shell_that_cannot_start(calls: Calls, tmp_path: Path) -> None:
    (tmp_path / "sh").write_text("#!/bin/sh\n")
    tool = create_bash_tool(tmp_path, shell_path=str(tmp_path / "sh"))
    with pytest.raises(ToolError) as caught:
        calls.text(tool, {"command": "true"})
    assert str(caught.value) == f"spawn {tmp_path}/sh EACCES"


@pytest.mark.parametrize("command", ["echo a\0b", "echo '" + "x" * 200_000 + "'"])
def test_command_that_no_system_call_takes(command: str, bash: Any) -> None:
    assert error_text(bash, command).startswith("spawn /bin/bash E")


def test_tools_check_50_prefix_runs_before_the_command(calls: Calls, tmp_path: Path) -> None:
    tool = create_bash_tool(tmp_path, command_prefix="export V=hello")
    assert calls.text(tool, {"command": "echo $V"}) == "hello\n"
    tool = create_bash_tool(tmp_path, command_prefix="set -e")
    result = calls.result(tool, {"command": "false; echo no"})
    assert text(result) == "(no output)\n\nCommand exited with code 1"


def test_tools_check_50_spawn_hook_replaces_everything(calls: Calls, tmp_path: Path) -> None:
    seen: list[BashSpawn] = []

    def hook(spawn: BashSpawn) -> BashSpawn:
        seen.append(spawn)
        return BashSpawn("echo $PWD $V", "/", {**spawn.env, "V": "v"})

    tool = create_bash_tool(tmp_path, command_prefix="p", spawn_hook=hook)
    assert calls.text(tool, {"command": "x"}) == "/ v\n"
    assert (seen[0].command, seen[0].cwd) == ("p\nx", str(tmp_path))

    def refuse(_: BashSpawn) -> BashSpawn:
        raise PermissionError("not this one")

    with pytest.raises(PermissionError, match="not this one"):
        calls.text(create_bash_tool(tmp_path, spawn_hook=refuse), {"command": "x"})


def test_host_directory_wins(bash: Any, tmp_path: Path) -> None:
    assert text(bash("pwd", host_cwd=Path("/"))) == "/\n"
    assert text(bash("pwd")) == f"{tmp_path}\n"


def test_tools_check_51_abort_before_the_start(bash: Any, tmp_path: Path) -> None:
    controller = AbortController()
    controller.abort()
    assert error_text(bash, "touch x", signal=controller.signal) == "Command aborted"
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("how", ["abort", "cancel"])
def test_tools_check_51_abort_kills_the_whole_group(
    how: str, calls: Calls, run: Any, tmp_path: Path
) -> None:
    controller = AbortController()
    command = "echo a; bash -c 'echo $$ > pid; sleep 30; true' & wait"
    tool = create_bash_tool(tmp_path)

    async def scene() -> str:
        task = asyncio.create_task(
            calls.start(tool, {"command": command}, signal=controller.signal)
        )
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text().strip():
            await asyncio.sleep(0.005)
        controller.abort() if how == "abort" else task.cancel()
        try:
            await task
        except ToolError as error:
            return str(error)
        except asyncio.CancelledError:
            return "cancelled"
        return "no error"

    outcome = run(scene())
    assert outcome == ("a\n\n\nCommand aborted" if how == "abort" else "cancelled")
    wait_dead(int((tmp_path / "pid").read_text()))


def test_tools_check_52_background_process_is_left_alone(bash: Any) -> None:
    started = time.monotonic()
    result = bash("sleep 3 & echo $!; echo started")
    assert time.monotonic() - started < 1
    pid, rest = text(result).split("\n", 1)
    assert rest == "started\n"
    assert alive(int(pid))
    os.kill(int(pid), 9)


def test_tools_check_52_background_output_with_short_gaps_is_read(bash: Any) -> None:
    command = "(for i in 1 2 3 4 5; do sleep 0.03; echo w$i; done) & echo fg"
    assert text(bash(command)) == "fg\nw1\nw2\nw3\nw4\nw5\n"


def test_tools_check_52_background_output_after_a_long_gap_is_not(bash: Any) -> None:
    assert text(bash("(for i in 1 2; do sleep 0.3; echo w$i; done) & echo fg")) == "fg\n"


def test_tools_check_53_background_writer_until_the_timeout(bash: Any) -> None:
    shown = error_text(bash, "(while true; do echo y; sleep 0.02; done) & echo fg; exit 4", 0.5)
    assert {"fg", "y"} <= set(shown.split("\n"))
    # On a busy machine the shell may take a tenth of a second.
    assert re.search(
        r"\n\nCommand timed out after 0\.5 seconds\. "
        r"The shell exited with code 4 after 0(\.[1-4])? seconds, "
        r"but background processes it started kept writing output until the timeout\.\Z",
        shown,
    )


def details(result: ToolResult) -> tuple[dict[str, Any], Path]:
    assert isinstance(result.details, dict)
    assert set(result.details) == {"truncation", "fullOutputPath"}
    return result.details["truncation"], Path(result.details["fullOutputPath"])


def test_tools_check_54_last_lines_and_a_file_with_all(bash: Any) -> None:
    result = bash("seq 2001")
    truncation, file = details(result)
    kept = "\n".join(map(str, range(2, 2002)))
    assert text(result) == f"{kept}\n\n[Showing lines 2-2001 of 2001. Full output: {file}]"
    assert file.read_text() == "".join(f"{n}\n" for n in range(1, 2002))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.name.startswith("pi-bash-")
    assert len(file.stem) == len("pi-bash-") + 16
    assert (truncation["totalBytes"], truncation["outputBytes"]) == (8898, 8895)
    assert "content" not in truncation


def test_tools_check_54_failure_keeps_its_details(bash: Any) -> None:
    result = bash("seq 3000; exit 2")
    _, file = details(result)
    assert result.is_error
    assert text(result).endswith(
        f"\n3000\n\n[Showing lines 1001-3000 of 3000. Full output: {file}]\n\n"
        "Command exited with code 2"
    )


@pytest.mark.parametrize(
    ("lines", "digits", "notice", "output_bytes"),
    [
        (600, 200, "347-600 of 600 (50.0KB limit)", 51053),
        (2100, 30, "450-2100 of 2100 (50.0KB limit)", None),
        (2100, 20, "101-2100 of 2100", None),
    ],
)
def test_tools_check_55_bytes_or_lines(
    lines: int, digits: int, notice: str, output_bytes: int | None, bash: Any
) -> None:
    result = bash(f"for i in $(seq {lines}); do printf '%0{digits}d\\n' $i; done")
    truncation, file = details(result)
    assert text(result).endswith(f"\n\n[Showing lines {notice}. Full output: {file}]")
    assert output_bytes in (None, truncation["outputBytes"])


def print_many(character: str, count: int) -> str:
    return f"printf '%0{count}d' 0 | sed 's/0/{character}/g'"


@pytest.mark.parametrize(
    ("command", "shown", "notice"),
    [
        pytest.param(
            f"echo start; {print_many('y', 60000)}",
            "y" * 51200,
            "Showing last 50.0KB of line 2 (line is 58.6KB)",
            id="last line",
        ),
        pytest.param(
            print_many("€", 60000),
            "€" * 17066,
            "Showing last 50.0KB of line 1 (line is 175.8KB)",
            id="whole characters",
        ),
        pytest.param(
            f"{print_many('x', 60000)}; echo",
            "x" * 51200,
            "Showing last 50.0KB of line 1 (line is 58.6KB)",
            id="final newline",
        ),
        pytest.param(
            f"{print_many('z', 300000)}; echo",
            "z" * 51200,
            "Showing last 50.0KB of line 1 (line is 293.0KB)",
            id="longer than the tail",
        ),
    ],
)
def test_tools_check_56_huge_line(command: str, shown: str, notice: str, bash: Any) -> None:
    result = bash(command)
    truncation, file = details(result)
    assert text(result) == f"{shown}\n\n[{notice}. Full output: {file}]"
    assert truncation["outputBytes"] == len(shown.encode())
    assert truncation["lastLinePartial"] is True


def test_tools_check_57_updates_are_growing_snapshots(bash: Any) -> None:
    updates: list[tuple[float, Any]] = []

    def on_update(update: ToolResult) -> None:
        updates.append((time.monotonic(), to_json_value(update)))

    bash("for i in 1 2 3 4 5 6; do echo $i; sleep 0.04; done", on_update=on_update)
    assert updates[0][1] == {"content": []}
    assert updates[1][1] == {"content": [{"type": "text", "text": "1\n"}], "details": {}}
    shown = [update["content"][0]["text"] for _, update in updates[1:]]
    assert shown[-1] == "1\n2\n3\n4\n5\n6\n"
    assert shown == sorted(set(shown), key=len)
    assert all(shown[-1].startswith(part) for part in shown)
    times = [at for at, _ in updates[1:]]
    gaps = [late - early for early, late in pairwise(times[:-1])]
    assert all(gap > 0.09 for gap in gaps)
    assert 2 <= len(shown) <= 6


def test_tools_check_57_silent_command_has_one_update(bash: Any) -> None:
    updates: list[Any] = []
    bash("true", on_update=lambda update: updates.append(to_json_value(update)))
    assert updates == [{"content": []}]


def test_update_of_long_output_has_details(bash: Any) -> None:
    updates: list[ToolResult] = []
    bash("seq 5000", on_update=updates.append)
    truncation, file = details(updates[-1])
    assert truncation["totalLines"] == 5000
    assert file.exists()
    assert text(updates[-1]).endswith("\n5000")


SESSION = "echo ${PI_SESSION_ID-no} ${PI_SESSION_FILE-no} ${PI_PROVIDER-no} ${PI_MODEL-no} \
${PI_REASONING_LEVEL-no} ${PI_OTHER-no}"
MODEL = Model(id="m", api="a", provider="p")


@pytest.mark.parametrize(
    ("fields", "exposed", "shown"),
    [
        pytest.param({}, True, "no no no no no yes", id="nothing known"),
        pytest.param(
            {
                "session_id": "s",
                "session_file": Path("/f"),
                "model": MODEL,
                "thinking_level": "high",
            },
            True,
            "s /f p m high yes",
            id="all known",
        ),
        pytest.param({"session_id": "s"}, True, "s no no no no yes", id="in memory"),
        pytest.param({"session_id": "s", "model": MODEL}, False, "no no no no no yes", id="off"),
    ],
)
def test_tools_check_58_session_variables(
    fields: dict[str, Any],
    exposed: bool,
    shown: str,
    calls: Calls,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("SESSION_ID", "SESSION_FILE", "PROVIDER", "MODEL", "REASONING_LEVEL"):
        monkeypatch.setenv(f"PI_{name}", "inherited")
    monkeypatch.setenv("PI_OTHER", "yes")
    tool = create_bash_tool(tmp_path, expose_session_environment=exposed)
    assert calls.text(tool, {"command": SESSION}, **fields) == f"{shown}\n"
    assert bool(tool.prompt_guidelines) is exposed


def test_bin_dir_leads_the_path_once(
    calls: Calls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = create_bash_tool(tmp_path, bin_dir=tmp_path / "bin")
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    assert calls.text(tool, {"command": "echo $PATH"}) == f"{tmp_path}/bin:/usr/bin:/bin\n"
    monkeypatch.setenv("PATH", f"/usr/bin:{tmp_path}/bin")
    assert calls.text(tool, {"command": "echo $PATH"}) == f"/usr/bin:{tmp_path}/bin\n"


class Custom:
    """Prints `output`, then ends as told."""

    def __init__(self, output: bytes, end: int | Exception | None) -> None:
        self.output = output
        self.end = end
        self.seen: list[Any] = []
        self.on_data: OnData | None = None

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
        self.seen += [command, cwd, timeout]
        self.on_data = on_data
        if self.output:
            on_data(self.output)
        await asyncio.sleep(0)
        if isinstance(self.end, Exception):
            raise self.end
        return self.end


@pytest.mark.parametrize(
    ("output", "end", "shown"),
    [
        (b"hi", None, "hi\n\nCommand terminated without an exit code"),
        (b"", None, "(no output)\n\nCommand terminated without an exit code"),
        (b"hi\n", Exception("aborted"), "hi\n\n\nCommand aborted"),
        (b"hi\n", CommandAbortedError(), "hi\n\n\nCommand aborted"),
        (b"", Exception("timeout:7"), "Command timed out after 7 seconds"),
        (b"", CommandTimeoutError(7.0), "Command timed out after 7 seconds"),
        (b"hi\n", RuntimeError("line lost"), "hi\n\n\nline lost"),
    ],
    ids=str,
)
def test_tools_check_59_end_of_custom_operations(
    output: bytes, end: int | Exception | None, shown: str, calls: Calls
) -> None:
    with pytest.raises(ToolError) as caught:
        calls.text(create_bash_tool("/r", operations=Custom(output, end)), {"command": "x"})
    assert str(caught.value) == shown


def test_tools_check_59_other_error_without_output_is_unchanged(calls: Calls) -> None:
    lost = ConnectionError("line lost")
    with pytest.raises(ConnectionError) as caught:
        calls.text(create_bash_tool("/r", operations=Custom(b"", lost)), {"command": "x"})
    assert caught.value is lost


def test_tools_check_59_custom_operations_get_prefix_and_raw_timeout(calls: Calls) -> None:
    custom = Custom(b"ok", 0)
    tool = create_bash_tool("/r", operations=custom, command_prefix="p")
    assert calls.text(tool, {"command": "x", "timeout": -5}) == "ok"
    assert custom.seen == ["p\nx", "/r", -5]


def test_output_after_the_end_is_ignored(calls: Calls, run: Any) -> None:
    custom = Custom(b"ok", 0)
    updates: list[ToolResult] = []

    async def scene() -> ToolResult:
        tool = create_bash_tool("/r", operations=custom)
        result = await calls.start(tool, {"command": "x"}, on_update=updates.append)
        assert custom.on_data is not None
        assert custom.on_data(b"x" * 100_000) is None
        await asyncio.sleep(0.12)
        return result

    assert text(run(scene())) == "ok"
    assert len(updates) == 2


def test_raising_listener_fails_the_call_and_kills_the_command(bash: Any, tmp_path: Path) -> None:
    def on_update(update: ToolResult) -> None:
        if update.content:
            raise LookupError("listener")

    shown = error_text(bash, "echo $$ > pid; cat pid; sleep 30", on_update=on_update)
    assert shown.endswith("\n\n\nlistener")
    wait_dead(int((tmp_path / "pid").read_text()))


def test_many_commands_at_once(calls: Calls, run: Any, tmp_path: Path) -> None:
    tool = create_bash_tool(tmp_path)

    async def scene() -> list[str]:
        results = await asyncio.gather(
            *(calls.start(tool, {"command": f"seq {n} {n + 2500}"}) for n in range(20))
        )
        return [text(result).partition("\n\n[")[0].rpartition("\n")[2] for result in results]

    assert run(scene()) == [str(n + 2500) for n in range(20)]
