from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pi_agent.types import ToolError, ToolResult
from pi_ai import AbortController
from pi_tools import (
    BashSpawn,
    CommandPrefix,
    PrefixedBashOperations,
    create_bash_tool,
    kill_running_commands,
    over_prefix,
)
from support.processes import processes_with, wait_dead

if TYPE_CHECKING:
    from tests.pi_tools.conftest import Calls

WORDS = ["env", "OVER_THERE=yes"]
LINE = ["sh", "-c", 'exec sh -c "$*"', "sh"]


@pytest.fixture
def no_setsid(tmp_path: Path) -> list[str]:
    """A prefix to a place that lacks setsid and whose sh has no job control."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("bash", "cat", "echo", "ls", "sed", "sleep", "ps"):
        if found := shutil.which(name):
            (programs / name).symlink_to(found)
    shell = shutil.which("dash") or shutil.which("sh") or "sh"
    (programs / "sh").symlink_to(shell)
    return ["env", f"PATH={programs}"]


@pytest.fixture(params=["words", "line", "no setsid"])
def prefix(request: pytest.FixtureRequest) -> tuple[Sequence[str], bool]:
    if request.param == "no setsid":
        return request.getfixturevalue("no_setsid"), False
    return (LINE, True) if request.param == "line" else (WORDS, False)


@pytest.fixture
def bash(calls: Calls, tmp_path: Path, prefix: tuple[Sequence[str], bool]) -> Any:
    """Runs a command through each kind of prefix; gives the result."""
    argv, shell_string = prefix
    options = over_prefix(argv, shell_string=shell_string).get("bash", {})
    tool = create_bash_tool(tmp_path, **options)

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
    ("command", "shown", "is_error"),
    [
        ("echo 'test output'", "test output\n", False),
        ("true", "(no output)", False),
        ("printf '   '", "   ", False),
        ("echo out; echo err >&2; echo out", "out\nerr\nout\n", False),
        ('read x; echo "got:$x rc=$?"', "got: rc=1\n", False),
        (r"printf 'a\377\303b'", "a\ufffd\ufffdb", False),
        ("echo \"it's\" '$HOME `x`'; echo 'two\nlines'", "it's $HOME `x`\ntwo\nlines\n", False),
        ("exit 1", "(no output)\n\nCommand exited with code 1", True),
        ("echo hi; exit 255", "hi\n\n\nCommand exited with code 255", True),
        ("kill -9 $$", "(no output)\n\nCommand exited with code 137", True),
        ("echo x; kill -TERM $$", "x\n\n\nCommand exited with code 143", True),
        ("echo pi-stack:exit 7 >&2; echo on", "pi-stack:exit 7\non\n", False),
        ('[ -n "$BASH_VERSION" ] && echo bash', "bash\n", False),
    ],
)
def test_output_and_exit_code_come_back(
    command: str, shown: str, is_error: bool, bash: Any
) -> None:
    result = bash(command)
    assert text(result) == shown
    assert result.is_error is is_error


def test_working_directory_is_of_the_other_place(bash: Any, tmp_path: Path) -> None:
    assert text(bash("pwd")) == f"{tmp_path}\n"
    assert error_text(bash, "true", host_cwd=tmp_path / "gone") == (
        f"Working directory does not exist: {tmp_path}/gone\nCannot execute bash commands."
    )
    (tmp_path / "file").write_text("")
    assert error_text(bash, "true", host_cwd=tmp_path / "file") == (
        f"Cannot enter the working directory: {tmp_path}/file"
    )


def test_long_output_is_cut_and_spilled_here(bash: Any) -> None:
    result = bash("i=0; while [ $i -lt 2100 ]; do echo $i; i=$((i + 1)); done; exit 2")
    assert isinstance(result.details, dict)
    path = result.details["fullOutputPath"]
    assert isinstance(path, str)
    assert Path(path).read_text().count("\n") == 2100
    assert text(result).endswith(
        f"[Showing lines 101-2100 of 2100. Full output: {path}]\n\nCommand exited with code 2"
    )


def test_timeout_ends_the_command_over_there(bash: Any, tmp_path: Path) -> None:
    command = "echo start; sleep 30 & echo $! > pid; wait"
    assert error_text(bash, command, 0.7) == "start\n\n\nCommand timed out after 0.7 seconds"
    wait_dead(int((tmp_path / "pid").read_text()))


def test_timeout_is_checked_as_here(bash: Any) -> None:
    assert error_text(bash, "true", -1) == "Invalid timeout: must be a finite number of seconds"


def test_set_signal_starts_nothing(bash: Any, tmp_path: Path) -> None:
    controller = AbortController()
    controller.abort()
    assert error_text(bash, "touch x", signal=controller.signal) == "Command aborted"
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("how", ["abort", "cancel", "raise", "shut down"])
def test_command_ends_over_there_however_it_is_stopped(
    how: str, calls: Calls, run: Any, tmp_path: Path, prefix: tuple[Sequence[str], bool]
) -> None:
    argv, shell_string = prefix
    tool = create_bash_tool(tmp_path, **over_prefix(argv, shell_string=shell_string)["bash"])
    controller = AbortController()
    pid = tmp_path / "pid"

    def on_update(update: ToolResult) -> None:
        if how == "raise" and update.content:
            raise LookupError("listener")

    async def scene() -> str:
        command = "bash -c 'echo $$ > pid; echo a; sleep 30; true' & wait"
        task = asyncio.create_task(
            calls.start(tool, {"command": command}, signal=controller.signal, on_update=on_update)
        )
        while not pid.exists() or not pid.read_text().strip():
            await asyncio.sleep(0.005)
        if how == "abort":
            controller.abort()
        elif how == "cancel":
            task.cancel()
        elif how == "shut down":
            kill_running_commands()
        try:
            await task
        except ToolError as error:
            return str(error).rpartition("\n")[2]
        except asyncio.CancelledError:
            return "cancelled"
        return "no error"

    outcome = run(scene())
    assert (
        outcome
        == {
            "abort": "Command aborted",
            "cancel": "cancelled",
            "raise": "listener",
            "shut down": "Command terminated without an exit code",
        }[how]
    )
    wait_dead(int(pid.read_text()))


def test_shutting_down_in_the_middle_of_a_start_leaves_nothing(calls: Calls, run: Any) -> None:
    mark = f"STARTED_BY={os.getpid()}"
    tool = create_bash_tool("/", **over_prefix(["env", mark])["bash"])

    async def scene(seconds: float) -> None:
        task = asyncio.create_task(calls.start(tool, {"command": "sleep 30"}))
        await asyncio.sleep(seconds)
        kill_running_commands()
        with pytest.raises(ToolError):
            await task

    for milliseconds in range(20):
        run(scene(milliseconds / 1000))
    for pid in processes_with(mark):
        wait_dead(pid)


def test_command_ends_over_there_when_this_process_is_killed(tmp_path: Path) -> None:
    script = (
        "import asyncio\n"
        "from pi_agent.types import ToolContext\n"
        "from pi_ai import AbortController\n"
        "from pi_tools import create_bash_tool, over_prefix\n"
        f"tool = create_bash_tool({str(tmp_path)!r}, **over_prefix(['env', 'X=1'])['bash'])\n"
        "context = ToolContext(tool_call_id='1', signal=AbortController().signal)\n"
        "asyncio.run(tool.execute({'command': 'echo $$ > pid; sleep 30; true'}, context))\n"
    )
    pid = tmp_path / "pid"
    with subprocess.Popen([sys.executable, "-c", script]) as process:
        deadline = time.monotonic() + 10
        while not pid.exists() or not pid.read_text().strip():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.kill()
    wait_dead(int(pid.read_text()))


@pytest.mark.parametrize("argv", [WORDS, LINE], ids=["words", "line"])
def test_background_process_goes_on_after_the_command(
    argv: list[str], calls: Calls, tmp_path: Path
) -> None:
    options = over_prefix(argv, shell_string=argv is LINE)["bash"]
    started = time.monotonic()
    shown = calls.text(
        create_bash_tool(tmp_path, **options), {"command": "sleep 20 & echo $! > pid; echo started"}
    )
    assert shown == "started\n"
    assert time.monotonic() - started < 5
    os.kill(int((tmp_path / "pid").read_text()), 9)


def test_client_that_waits_for_background_output_is_not_waited_for(
    calls: Calls, tmp_path: Path
) -> None:
    # As ssh does: it ends when nobody holds the output over there any more.
    held = ["sh", "-c", '"$@" 3>&2 | cat; exit 0', "sh"]
    options = over_prefix(held)["bash"]
    command = "sleep 20 & echo $! > pid; echo started; exit 3"
    result = calls.result(create_bash_tool(tmp_path, **options), {"command": command})
    assert text(result) == "started\n\n\nCommand exited with code 3"
    os.kill(int((tmp_path / "pid").read_text()), 9)


def test_background_writer_until_the_timeout(calls: Calls, tmp_path: Path) -> None:
    tool = create_bash_tool(tmp_path, **over_prefix(WORDS)["bash"])
    command = "(while true; do echo y; sleep 0.02; done) & echo $! > pid; exit 4"
    with pytest.raises(ToolError, match=r"The shell exited with code 4 after 0(\.\d)? seconds, "):
        calls.text(tool, {"command": command, "timeout": 0.6})
    wait_dead(int((tmp_path / "pid").read_text()))


def test_variables_of_the_call_go_along_and_path_does_not(
    calls: Calls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PI_MODEL", "inherited")

    def hook(spawn: BashSpawn) -> BashSpawn:
        return BashSpawn(
            spawn.command, spawn.cwd, {**spawn.env, "A": "it's\nodd", "PATH": "/no", "b-c": "x"}
        )

    empty = ["env", "-i", f"PATH={os.environ['PATH']}"]
    options = over_prefix(empty)["bash"]
    tool = create_bash_tool(tmp_path, **options, spawn_hook=hook)
    command = 'echo "$A ${HOME-no} ${PI_MODEL-no} $PI_SESSION_ID $PATH"'
    assert calls.text(tool, {"command": command}, session_id="s") == (
        f"it's\nodd no no s {os.environ['PATH']}\n"
    )


def test_stale_session_variables_do_not_go_along(
    calls: Calls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PI_MODEL", "inherited")
    tool = create_bash_tool(tmp_path, **over_prefix(WORDS)["bash"])
    assert calls.text(tool, {"command": "echo ${PI_MODEL-no}"}) == "no\n"


@pytest.mark.parametrize(
    ("argv", "shown"),
    [
        pytest.param(
            ["sh", "-c", "echo connection refused >&2; exit 255"],
            "sh -c 'echo connection refused >&2; exit 255' failed with exit code 255: "
            "connection refused",
            id="not reached",
        ),
        pytest.param(["no-such-client"], "spawn no-such-client ENOENT", id="no client"),
        pytest.param(
            ["sh", "-c", 'exec "$@" </dev/null', "sh"],
            """sh -c 'exec "$@" </dev/null' sh does not pass standard input on, so a command """
            "could not be stopped. docker exec needs -i.",
            id="no standard input",
        ),
    ],
)
def test_place_that_cannot_be_reached(
    argv: list[str], shown: str, calls: Calls, tmp_path: Path
) -> None:
    tool = create_bash_tool(tmp_path, **over_prefix(argv)["bash"])
    with pytest.raises(ToolError) as caught:
        calls.text(tool, {"command": "echo never"})
    assert str(caught.value) == shown


def test_broken_connection_is_no_exit_code(calls: Calls, tmp_path: Path) -> None:
    # A client that dies in the middle; what it says last is shown.
    client = 'exec 4<&0; "$@" <&4 & sleep 0.8; echo connection lost >&2; exit 255'
    tool = create_bash_tool(tmp_path, **over_prefix(["sh", "-c", client, "sh"])["bash"])
    with pytest.raises(ToolError) as caught:
        calls.text(tool, {"command": "echo $$ > pid; echo begun; sleep 30"})
    assert str(caught.value) == (
        "begun\nconnection lost\n\n\nCommand terminated without an exit code"
    )
    wait_dead(int((tmp_path / "pid").read_text()))


def test_shell_of_the_other_place(calls: Calls, tmp_path: Path) -> None:
    prefix = CommandPrefix(WORDS)
    for shell, shown in [("/bin/sh", "no\n"), ("/no/shell", None)]:
        tool = create_bash_tool(
            tmp_path, operations=PrefixedBashOperations(prefix, shell_path=shell)
        )
        if shown is not None:
            assert calls.text(tool, {"command": "echo ${BASH-no}"}) in (shown, "/bin/sh\n")
            continue
        with pytest.raises(ToolError, match=r"^Custom shell path not found: /no/shell$"):
            calls.text(tool, {"command": "true"})


def test_loud_command_does_not_outrun_the_reader(calls: Calls, tmp_path: Path) -> None:
    tool = create_bash_tool(tmp_path, **over_prefix(WORDS)["bash"])
    result = calls.result(tool, {"command": "yes some line of output | head -c 20000000"})
    assert isinstance(result.details, dict)
    truncation = result.details["truncation"]
    assert isinstance(truncation, dict)
    assert truncation["totalBytes"] == 20_000_000


def test_line_prefix_is_quoted_once_for_the_shell_there() -> None:
    command = CommandPrefix(["ssh", "host"], shell_string=True).command("echo $1", "it's\n$x")
    assert command[:2] == ["ssh", "host"]
    assert shlex.split(command[2]) == ["sh", "-c", "echo $1", "sh", "it's\n$x"]


@pytest.mark.parametrize("argv", ["ssh host", [], ["ssh", ""]], ids=str)
def test_prefix_that_is_none(argv: Any) -> None:
    with pytest.raises(ValueError, match=r"^Command prefix: expected a sequence of words, got "):
        over_prefix(argv)
