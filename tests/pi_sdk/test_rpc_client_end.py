"""How RpcClient starts and ends, and how its server may: rpc spec, sections 9 and 11."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys

import pytest

from pi_sdk import (
    RpcClient,
    RpcProcessError,
    RpcTimeoutError,
    rpc_child,
    rpc_connection,
)
from support.rpc_clients import STAND_IN, assert_gone, pid_of, run, stand_in


def test_rpc_check_54_a_dead_child_is_an_error_for_every_waiter():
    async def main(client: RpcClient) -> list[BaseException]:
        events = client.events()
        waiting = [
            asyncio.ensure_future(call)
            for call in (
                client.prompt("silence"),
                client.collect_events(),
                client.prompt_and_wait("hang"),
                anext(events),
            )
        ]
        await client.get_state()
        last = asyncio.ensure_future(client.prompt("die 7"))
        done = await asyncio.gather(*waiting[:3], last, return_exceptions=True)
        assert (await waiting[3]).type == "agent_start"
        for late in (client.get_state(), client.wait_for_idle(), anext(events)):
            with pytest.raises(RpcProcessError, match="code=7"):
                await late
        return done

    for error in run(main, env={"MY_API_KEY": "sk-very-secret-key"}):
        assert isinstance(error, RpcProcessError)
        assert isinstance(error, ConnectionError)
        assert (error.exit_code, error.signal) == (7, None)
        text = "Agent process exited (code=7 signal=null). Stderr: it hurts: ***\n"
        assert str(error) == text
        assert error.stderr == "it hurts: ***\n"


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ("killed", "Agent process exited (code=null signal=SIGKILL). Stderr: "),
        ("close", "Agent process exited (code=null signal=SIGKILL). Stderr: "),
    ],
    ids=["killed", "closes its output"],
)
def test_a_child_that_is_killed_or_falls_silent(message, text, monkeypatch):
    monkeypatch.setattr(rpc_child, "_PIPE_SECONDS", 0.1)

    async def main(client: RpcClient) -> str:
        with pytest.raises(RpcProcessError) as raised:
            await client.prompt(message)
        return str(raised.value)

    assert run(main) == text


def test_a_server_that_cannot_start_says_why():
    async def main() -> tuple[RpcProcessError, str]:
        client = stand_in("--refuse-to-start")
        with pytest.raises(RpcProcessError) as raised:
            await client.start()
        return raised.value, client.get_stderr()

    error, stderr = asyncio.run(main())
    assert (error.exit_code, error.stderr) == (1, "Error: Unknown option: --wat\n")
    assert stderr == error.stderr


@pytest.mark.parametrize(
    ("command", "error", "text"),
    [
        (["/no/such/program"], RpcProcessError, "Cannot start '/no/such/program': "),
        ([], ValueError, "command: expected a program"),
        ("pi --mode rpc", ValueError, "command: expected a program"),
    ],
    ids=["missing", "empty", "text"],
)
def test_a_command_that_is_none(command, error, text):
    async def main() -> None:
        await RpcClient(command).start()

    with pytest.raises(error, match=text):
        asyncio.run(main())


def test_a_server_that_does_not_answer_is_not_left_behind():
    async def main() -> int:
        client = stand_in("--mute", request_timeout=0.2)
        with pytest.raises(RpcTimeoutError, match="get_state"):
            await client.start()
        return pid_of(client)

    assert_gone(asyncio.run(main()))


@pytest.mark.parametrize(
    ("args", "status", "signal"),
    [((), 0, None), (("--stay",), None, "SIGTERM"), (("--ignore-signals",), None, "SIGKILL")],
    ids=["ends with its input", "needs SIGTERM", "needs SIGKILL"],
)
def test_rpc_check_54_closing_leaves_no_process(args, status, signal, monkeypatch):
    monkeypatch.setattr(rpc_connection, "_END_SECONDS", 0.3)

    async def main() -> tuple[int, RpcProcessError]:
        client = stand_in(*args)
        await client.start()
        waiting = asyncio.ensure_future(client.prompt("silence"))
        await client.get_state()
        await client.aclose()
        await client.aclose()  # a second time does nothing
        with pytest.raises(RpcProcessError) as raised:
            await waiting
        return pid_of(client), raised.value

    pid, error = asyncio.run(main())
    assert_gone(pid)
    assert (error.exit_code, error.signal) == (status, signal)


def test_closing_that_is_cancelled_kills():
    async def main() -> int:
        client = stand_in("--ignore-signals")
        await client.start()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.aclose(), 0.05)
        return pid_of(client)

    assert_gone(asyncio.run(main()))


def test_a_client_that_is_forgotten_warns_and_kills():
    async def main() -> int:
        client = stand_in()
        await client.start()
        pid = pid_of(client)
        with pytest.warns(ResourceWarning, match="was not closed"):
            del client
        await asyncio.sleep(0.05)
        return pid

    assert_gone(asyncio.run(main()))


def test_a_client_that_outlives_its_event_loop_kills_quietly():
    code = (
        "import asyncio, contextlib, os\n"
        "from pi_sdk import RpcClient\n"
        f"client = RpcClient({STAND_IN!r})\n"
        "asyncio.run(client.start())\n"
        "pid = client._connection._child._transport.get_pid()\n"
        "del client\n"
        "with contextlib.suppress(ChildProcessError):\n"
        "    os.waitpid(pid, 0)\n"
        "print(pid)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert_gone(int(done.stdout))


def test_starting_and_using_at_the_wrong_time():
    async def main() -> None:
        client = stand_in()
        with pytest.raises(RuntimeError, match="Client not started"):
            await client.get_state()
        async with client:
            with pytest.raises(RuntimeError, match="Client already started"):
                await client.start()
        with pytest.raises(RuntimeError, match="Client not started"):
            await client.wait_for_idle()
        async with client:  # again
            await client.wait_for_idle()

    asyncio.run(main())


def test_what_the_server_is_started_with(tmp_path):
    path = tmp_path / "server.py"
    path.write_text(
        "import json, os, sys\n"
        "print(json.dumps([sys.argv[1:], os.getcwd(), os.environ['MINE']]), file=sys.stderr)\n"
    )
    lines: list[str] = []

    async def main() -> None:
        client = RpcClient(
            [sys.executable, str(path)],
            provider="fake",
            model="m1:low",
            args=["--api-key", "sk-123456789"],
            cwd=tmp_path,
            env={"MINE": "plain"},
            on_stderr=lines.append,
        )
        with pytest.raises(RpcProcessError, match=r"code=0 signal=null"):
            await client.start()

    asyncio.run(main())
    flags = ["--mode", "rpc", "--provider", "fake", "--model", "m1:low", "--api-key", "***"]
    assert [json.loads(line) for line in lines] == [[flags, os.path.realpath(tmp_path), "plain"]]
