"""`python -m pi_sdk.rpc` as a client starts it: rpc spec, sections 2, 3, 7, 9 and 12."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pi_session import SessionManager
from support.agent_sessions import BUSY
from support.rpc_process import Server, running


def session_lines(agent_dir: Path) -> list[dict[str, Any]]:
    (path,) = agent_dir.rglob("*.jsonl")
    return [json.loads(line) for line in path.read_bytes().splitlines()]


# --- conversations ----------------------------------------------------------------------------


def test_rpc_check_11_a_whole_conversation(fake, start, answer, agent_dir, project):
    """T1: a real tool call, its events, the state and messages after it, and the file."""
    (project / "note.txt").write_text("remember the milk\n")
    fake.answers = [answer((), [("read", {"path": "note.txt"})])]

    async def main() -> Server:
        async with start() as server:
            server.send({"id": 1, "type": "get_state"})  # before it is up
            server.send({"id": 2, "type": "prompt", "message": "read it"})
            await server.saw("agent_settled")
            state = (await server.ask("get_state"))["data"]
            messages = (await server.ask("get_messages"))["data"]["messages"]
            assert await server.end() == (0, "")
            assert state["messageCount"] == len(messages) == 5
            assert (state["isStreaming"], state["thinkingLevel"]) == (False, "medium")
            assert "headers" not in state["model"]
            path = Path(state["sessionFile"])
            with SessionManager.open(path) as session:
                assert session.session_id == state["sessionId"]
                assert len(session.build_session_context().messages) == 5
            stored = [line["message"] for line in session_lines(agent_dir) if "message" in line]
            assert stored == messages
            return server

    server = asyncio.run(main())
    records = server.records
    assert [records[0]["id"], records[1]["id"]] == [1, 2]
    assert records[1]["data"] == {"disposition": "started"}
    told = [t for t in server.types()[2:-2] if not t.endswith("_update")]
    assert told == [
        "agent_start",
        "turn_start",
        *("message_start", "message_end") * 3,
        "tool_execution_start",
        "tool_execution_end",
        "message_start",
        "message_end",
        "turn_end",
        "turn_start",
        "message_start",
        "message_end",
        "turn_end",
        "agent_end",
        "agent_settled",
    ]
    (result,) = [r["result"] for r in records if r["type"] == "tool_execution_end"]
    assert result["content"][0]["text"].startswith("remember the milk")
    for record in records:
        if record["type"] == "message_update":
            assert list(record) == ["type", "usage", "assistantMessageEvent"]
            assert "partial" not in record["assistantMessageEvent"]
    assert all(line.isascii() or line.decode() for line in server.lines)


def test_rpc_checks_16_19_20_steering_and_abort(fake, start, answer, agent_dir):
    fake.answers = [answer(("w0 ", "w1 "), hold=asyncio.Event())]

    async def main() -> list[dict[str, Any]]:
        async with start() as server:
            server.send({"id": "p", "type": "prompt", "message": "go"})
            await server.text("w0 ")
            assert (await server.ask("steer", message="s"))["data"] == {"disposition": "queued"}
            assert (await server.ask("clear_queue"))["data"] == {"steering": ["s"], "followUp": []}
            await server.ask("follow_up", message="queued fu")
            await server.ask("abort")
            stopped = len(server.lines)
            state = (await server.ask("get_state"))["data"]
            assert (state["isStreaming"], state["pendingMessageCount"]) == (False, 1)
            await server.ask("prompt", message="next")
            await server.saw("agent_settled")
            assert await server.end() == (0, "")
            return server.records[:stopped]

    records = asyncio.run(main())
    assert [r["type"] for r in records[-6:]] == [
        "message_update",  # text_end
        "message_end",
        "turn_end",
        "agent_end",
        "agent_settled",
        "response",
    ]
    partial = records[-5]["message"]
    assert (partial["stopReason"], partial["errorMessage"]) == ("aborted", "Request was aborted")
    stored = [line["message"] for line in session_lines(agent_dir) if line["type"] == "message"]
    assert partial in stored
    assert [m["content"][0]["text"] for m in stored if m["role"] == "user"] == [
        "go",
        "next",
        "queued fu",
    ]


def test_rpc_checks_22_23_commands_in_one_write(fake, start):
    async def main() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        async with start("--no-session") as server:
            server.send(
                {"id": "a", "type": "prompt", "message": "A"},
                {"id": "b", "type": "prompt", "message": "B"},
            )
            await server.saw("agent_settled")
            both = server.records
            server.send({"id": "p", "type": "prompt", "message": "C"}, {"id": "x", "type": "abort"})
            await server.saw("response", id="x")
            server.send({"id": "q", "type": "prompt", "message": "D"})
            server.send({"id": "s", "type": "steer", "message": "E"})  # in this turn or the next
            await server.saw("agent_settled")
            assert await server.end() == (0, "")
            return both, server.records[len(both) :]

    both, rest = asyncio.run(main())
    answers = {r["id"]: r for r in both if r["type"] == "response"}
    assert answers["a"]["data"] == {"disposition": "started"}
    assert answers["b"]["error"] == BUSY
    assert [r["type"] for r in both].count("agent_settled") == 1
    assert [r["type"] for r in rest[:3]] == ["response", "agent_start", "turn_start"]
    settled = rest.index({"type": "agent_settled", "aborted": True})
    assert rest[settled + 1] == {"id": "x", "type": "response", "command": "abort", "success": True}
    assert len(fake.bodies) in {2, 3}
    sent = json.dumps(fake.bodies[-1]["messages"])
    assert [text in sent for text in ('"A"', '"B"', '"C"', '"D"', '"E"')] == [
        True,
        False,
        True,
        True,
        True,
    ]


def test_rpc_checks_2_to_10_framing(start):
    async def main() -> Server:
        async with start("--no-session") as server:
            state = b'"type":"get_state"}'
            server.write(b"not json\n\n   \nnull\n42\n[]\n{}\n\xff\n")
            server.write(b'{"id":"crlf",' + state + b"\r\n")
            server.write(b'{"id":"a",' + state + b'\n{"id":"b",' + state + b"\n")
            whole = '{"id":"é\u2028",'.encode() + state + b"\n"
            for part in (whole[:8], whole[8:12], whole[12:]):  # cuts inside both characters
                server.write(part)
                await asyncio.sleep(0.02)
            server.write(b'{"id":"\\ud800x",' + state + b"\n")
            server.write(b'{"id":"last",' + state)  # no line end
            assert await server.end() == (0, "")
            return server

    server = asyncio.run(main())
    records = server.records
    assert [r["command"] for r in records[:8]] == [
        *("parse",) * 3,
        *("unknown",) * 4,
        "parse",
    ]
    assert all("id" not in r and not r["success"] for r in records[:8])
    assert all(r["error"].startswith("Failed to parse command: ") for r in records[:3])
    assert [r["id"] for r in records[8:]] == ["crlf", "a", "b", "é\u2028", "\ud800x", "last"]
    assert b"\xe2\x80\xa8" in server.lines[11]
    assert b"\\ud800x" in server.lines[12]
    assert all(line.count(b"\n") == 1 for line in server.lines)


def test_long_lines_go_both_ways(fake, start):
    text = "x" * 300_000

    async def main() -> None:
        async with start("--no-session") as server:
            await server.ask("prompt", message=text)
            await server.saw("agent_settled")
            messages = (await server.ask("get_messages"))["data"]["messages"]
            assert messages[1]["content"] == [{"type": "text", "text": text}]
            assert await server.end() == (0, "")

    asyncio.run(main())
    assert text in json.dumps(fake.bodies[0])


def test_rpc_check_53_what_libraries_print_goes_to_standard_error(
    fake, start, answer, tmp_path, project
):
    """They print while a command is read and while a tool runs: from Python, C and children."""
    (tmp_path / "sitecustomize.py").write_text(
        "import os, subprocess\n"
        "import pi_ai.json_text, pi_tools.read\n"
        "def noisy(module, name):\n"
        "    real = getattr(module, name)\n"
        "    def noise(*args, **options):\n"
        "        print(name, 'prints', flush=True)\n"
        "        os.write(1, name.encode() + b' writes\\n')\n"
        "        subprocess.run(['echo', name, 'has a child'])\n"
        "        os.system(f'echo {name} has a shell')\n"
        "        return real(*args, **options)\n"
        "    setattr(module, name, noise)\n"
        "noisy(pi_ai.json_text, 'parse_json')\n"
        "noisy(pi_tools.read, 'resolve_read_path')\n"
    )
    (project / "note.txt").write_text("remember the milk\n")
    fake.answers = [answer((), [("read", {"path": "note.txt"})])]

    async def main() -> tuple[list[dict[str, Any]], str]:
        async with start("--no-session", PYTHONPATH=str(tmp_path)) as server:
            await server.ask("prompt", message="read it")
            await server.saw("agent_settled")
            await server.ask("bash", command="echo printed by the user; echo aside >&2")
            status, err = await server.end()
            assert status == 0
            return server.records, err  # every line of its output is a record

    records, err = asyncio.run(main())
    (result,) = [r["result"] for r in records if r["type"] == "tool_execution_end"]
    assert result["content"][0]["text"] == "remember the milk\n"
    assert records[-1]["data"]["output"] == "printed by the user\naside\n"
    lines = {
        f"{name} {noise}"
        for name in ("parse_json", "resolve_read_path")
        for noise in ("prints", "writes", "has a child", "has a shell")
    }
    assert set(err.splitlines()) == lines


def test_commands_can_tell_that_an_agent_runs_them(fake, start, answer):
    fake.answers = [answer((), [("bash", {"command": "echo $PI_CODING_AGENT $AI_AGENT"})])]

    async def main() -> list[dict[str, Any]]:
        async with start("--no-session") as server:
            told = await server.ask("bash", command="echo $PI_CODING_AGENT $AI_AGENT")
            assert told["data"]["output"] == "true pi\n"
            await server.ask("prompt", message="go")
            await server.saw("agent_settled")
            return server.records

    (result,) = [r["result"] for r in asyncio.run(main()) if r["type"] == "tool_execution_end"]
    assert result["content"][0]["text"] == "true pi\n"


def test_a_server_without_a_model_runs_and_says_so(agent_dir, project):
    async def main() -> tuple[list[dict[str, Any]], str]:
        async with running(agent_dir, project, "--no-session") as server:
            state = await server.ask("get_state")
            assert "model" not in state["data"]
            refused = await server.ask("prompt", message="A")
            assert refused["error"].startswith("No model selected.")
            _, err = await server.end()
            return server.records, err

    records, err = asyncio.run(main())
    assert len(records) == 2
    assert err.startswith("Warning: No models available.")


@pytest.mark.parametrize("other", ["", "http://127.0.0.1:9"])
def test_requests_go_through_the_proxy_of_the_settings(  # unless the environment names one
    fake, agent_dir, project, write_models, other
):
    async def main() -> str:
        async with fake:
            write_models({"fake": fake.config(baseUrl="http://provider.test/v1", apiKey="k")})
            settings = json.dumps({"httpProxy": fake.server.url, "retry": {"enabled": False}})
            (agent_dir / "settings.json").write_text(settings)
            async with running(agent_dir, project, "--no-session", HTTP_PROXY=other) as server:
                await server.ask("prompt", message="hi")
                await server.saw("agent_settled")
                answer = await server.ask("get_last_assistant_text")
                await server.end()
                return answer["data"]["text"]

    assert asyncio.run(main()) == (None if other else "Hello world")
    assert len(fake.bodies) == (0 if other else 1)


def test_a_bad_models_json_is_told_on_standard_error(agent_dir, project, write_models):
    path = write_models("{")

    async def main() -> str:
        async with running(agent_dir, project, "--no-session") as server:
            await server.ask("get_state")
            return (await server.end())[1]

    err = asyncio.run(main())
    assert err.startswith("Warning: Failed to parse models.json: ")
    assert f"File: {path}" in err


@pytest.mark.parametrize("arguments", [[], ["--no-persist-settings"]], ids=["stored", "kept here"])
def test_rpc_check_30_what_commands_set_is_the_users_setting(start, agent_dir, arguments):
    """In the file with whatever else it holds, unless that is not wanted; for the next session."""
    path = agent_dir / "settings.json"
    before = '{"later": [1], "retry": {"maxRetries": 2}}'
    path.write_text(before)

    async def main() -> None:
        async with start("--no-session", *arguments) as server:
            assert (await server.ask("set_steering_mode", mode="all"))["success"]
            assert (await server.ask("set_follow_up_mode", mode="all"))["success"]
            assert (await server.ask("set_auto_compaction", enabled=False))["success"]
            assert (await server.ask("set_auto_retry", enabled=False))["success"]
            refused = await server.ask("set_steering_mode", mode="bogus")
            assert refused["error"].startswith("Invalid set_steering_mode: mode expected one of ")
            await server.ask("new_session")
            state = (await server.ask("get_state"))["data"]
            assert (state["steeringMode"], state["followUpMode"]) == ("all", "all")
            assert state["autoCompactionEnabled"] is False
            assert await server.end() == (0, "")

    asyncio.run(main())
    if arguments:
        assert path.read_text() == before
    else:
        assert json.loads(path.read_text()) == {
            "later": [1],
            "retry": {"maxRetries": 2, "enabled": False},
            "steeringMode": "all",
            "followUpMode": "all",
            "compaction": {"enabled": False},
        }


# --- options ----------------------------------------------------------------------------------


def test_options_choose_model_tools_name_and_session(start, agent_dir, tmp_path):
    async def main() -> dict[str, Any]:
        sessions = str(tmp_path / "elsewhere")
        arguments = (
            *("--provider", "fake", "--model", "m1:low", "--tools", "-bash"),
            *("--name", "My name", "--session-dir", sessions, "--session-id", "my-id"),
            *("--append-system-prompt", "One.", "--append-system-prompt", "Two."),
            "a positional message",
        )
        async with start(*arguments) as server:
            await server.ask("prompt", message="A")
            await server.saw("agent_settled")
            state = (await server.ask("get_state"))["data"]
            messages = (await server.ask("get_messages"))["data"]["messages"]
            status, err = await server.end()
        assert status == 0
        assert err == (
            "Warning: No project session found with id 'my-id'; "
            "creating a new session with that id.\n"
        )
        system = messages[0]
        assert [tool["name"] for tool in system["toolsAdded"]] == ["read", "edit", "write"]
        assert system["sections"]["addendum"] == "<addendum>\nOne.\n\nTwo.\n</addendum>"
        return state

    state = asyncio.run(main())
    assert (state["model"]["id"], state["thinkingLevel"]) == ("m1", "low")
    assert (state["sessionId"], state["sessionName"]) == ("my-id", "My name")
    assert Path(state["sessionFile"]).parent == tmp_path / "elsewhere"
    assert list(agent_dir.rglob("*.jsonl")) == []


def test_search_tools_can_be_chosen_at_the_start(fake, start, answer, project):
    (project / "note.txt").write_text("remember the milk\n")
    calls = [("grep", {"pattern": "milk"}), ("find", {"pattern": "*.txt"}), ("ls", {})]
    fake.answers = [answer((), calls)]

    async def main() -> list[str]:
        async with start("--no-session", "--tools", "grep,find,ls") as server:
            server.send({"id": 1, "type": "prompt", "message": "look"})
            await server.saw("agent_settled")
            messages = (await server.ask("get_messages"))["data"]["messages"]
            assert await server.end() == (0, "")
        return [m["content"][0]["text"] for m in messages if m["role"] == "toolResult"]

    found = asyncio.run(main())
    assert found[0] == "note.txt:1: remember the milk"
    assert found[1] == "note.txt"
    assert "note.txt" in found[2].split("\n")


def test_rpc_check_52_a_failure_to_start_ends_the_process_with_1(agent_dir, project):
    async def main() -> tuple[int, str, list[bytes]]:
        async with running(agent_dir, project, "--wat") as server:
            status, err = await server.wait()
            return status, err, server.lines

    assert asyncio.run(main()) == (1, "Error: Unknown option: --wat\n", [])


# --- the end ----------------------------------------------------------------------------------


def test_rpc_check_48_end_of_input_while_streaming(fake, start, answer, agent_dir):
    fake.answers = [answer(hold=asyncio.Event())]

    async def main() -> list[bytes]:
        async with start() as server:
            server.send({"id": "p", "type": "prompt", "message": "go"})
            await server.text("Hello")
            told = len(server.lines)
            assert await server.end() == (0, "")
            return server.lines[told:]

    assert asyncio.run(main()) == []
    last = session_lines(agent_dir)[-1]["message"]
    assert (last["stopReason"], last["content"][0]["text"]) == ("aborted", "Hello")


def test_a_prompt_with_the_end_of_input_behind_it_is_accepted_and_aborted(start, agent_dir):
    async def main() -> list[dict[str, Any]]:
        async with start() as server:
            server.send({"id": "p", "type": "prompt", "message": "go"})
            assert await server.end() == (0, "")
            return server.records

    records = asyncio.run(main())
    assert records[0]["data"] == {"disposition": "started"}
    stored = [line["message"] for line in session_lines(agent_dir) if line["type"] == "message"]
    assert [m["role"] for m in stored] == ["system", "user", "assistant"]
    assert stored[-1]["stopReason"] in {"aborted", "stop"}


@pytest.mark.parametrize(("name", "status"), [("SIGTERM", 143), ("SIGHUP", 129), ("SIGINT", 130)])
def test_rpc_check_49_signals_end_it_in_good_order(fake, start, answer, agent_dir, name, status):
    fake.answers = [answer(hold=asyncio.Event())]

    async def main() -> tuple[int, str]:
        async with start() as server:
            server.send({"id": "p", "type": "prompt", "message": "go"})
            await server.text("Hello")
            server.process.send_signal(getattr(signal, name))
            return await server.wait()

    assert asyncio.run(main()) == (status, "")
    last = session_lines(agent_dir)[-1]["message"]
    assert (last["stopReason"], last["content"][0]["text"]) == ("aborted", "Hello")


def test_rpc_check_49_a_signal_ends_running_tools(fake, start, answer, project):
    fake.answers = [answer((), [("bash", {"command": "echo $$ > pid; sleep 30"})])]

    async def main() -> tuple[int, str]:
        async with start("--no-session") as server:
            server.send({"id": "p", "type": "prompt", "message": "go"})
            async with asyncio.timeout(5):
                while not (project / "pid").exists() or not (project / "pid").read_text():
                    await asyncio.sleep(0.01)
            server.process.send_signal(signal.SIGTERM)
            return await server.wait()

    assert asyncio.run(main()) == (143, "")
    with pytest.raises(ProcessLookupError):
        os.kill(int((project / "pid").read_text()), 0)


def test_rpc_check_49_a_second_signal_does_not_wait(start, tmp_path):
    """Something keeps the session from closing, so that the first signal would take long."""
    (tmp_path / "sitecustomize.py").write_text(
        "import asyncio, sys\n"
        "from pi_sdk.agent_session import AgentSession\n"
        "async def aclose(self):\n"
        "    print('closing', file=sys.stderr, flush=True)\n"
        "    await asyncio.sleep(30)\n"
        "AgentSession.aclose = aclose\n"
    )

    async def main() -> int:
        async with start("--no-session", PYTHONPATH=str(tmp_path)) as server:
            await server.ask("get_state")
            server.process.send_signal(signal.SIGTERM)
            assert server.process.stderr is not None
            async with asyncio.timeout(5):
                assert await server.process.stderr.readline() == b"closing\n"
            server.process.send_signal(signal.SIGTERM)
            return (await server.wait())[0]

    assert asyncio.run(main()) == 143


def test_rpc_check_51_a_client_that_stops_listening_ends_the_server(start, answer, fake, agent_dir):
    hold = asyncio.Event()
    fake.answers = [answer(hold=hold)]

    async def main() -> tuple[int, str]:
        async with start() as server:
            server.send({"id": "p", "type": "prompt", "message": "go"})
            await server.text("Hello")
            transport = server.process._transport.get_pipe_transport(1)
            transport.close()
            hold.set()
            return await server.wait()

    status, err = asyncio.run(main())
    assert status == 1
    last = session_lines(agent_dir)[-1]["message"]  # what there was of the answer is kept
    assert last["role"] == "assistant"
    assert last["content"][0]["text"].startswith("Hello")
    assert err == "Error: [Errno 32] The client has closed its side\n"


def test_rpc_check_50_output_is_whole_after_a_pause(fake, start, answer):
    """More than pipe and buffers hold; the records arrive complete and in order."""
    pieces = [f"{number:05d} " + "x" * 500 for number in range(1200)]
    fake.answers = [answer(pieces)]

    async def main() -> list[str]:
        async with start("--no-session") as server:
            server.send({"id": "p", "type": "prompt", "message": "go"})
            await asyncio.sleep(0.3)
            await server.saw("agent_settled")
            assert await server.end() == (0, "")
            changes = [r.get("assistantMessageEvent", {}) for r in server.records]
            return [c["delta"] for c in changes if c.get("type") == "text_delta"]

    assert asyncio.run(main()) == pieces


@pytest.mark.parametrize("what", ["an answer", "a shell command"])
def test_rpc_check_50_a_client_that_does_not_read_costs_no_memory(fake, start, answer, what):
    """200 MB for a client that has stopped reading: they stay where they come from."""
    taken = 0
    piece = "x" * 10_000

    def pieces() -> Iterator[str]:
        nonlocal taken
        while taken < 20_000:
            taken += 1
            yield piece

    async def main() -> tuple[int, int]:
        async with start("--no-session") as server:
            await server.ask("get_state")
            before = resident_mb(server.process.pid)
            output = server.process._transport.get_pipe_transport(1)
            output.pause_reading()
            if what == "an answer":
                fake.answers = [answer(pieces())]
                server.send({"id": "p", "type": "prompt", "message": "go"})
            else:
                server.send({"type": "bash", "command": "yes 'a line of output' | head -c 200M"})
            await asyncio.sleep(1.5)
            peak, stalled_at = resident_mb(server.process.pid), taken
            await asyncio.sleep(0.5)
            peak = max(peak, resident_mb(server.process.pid))
            more = taken - stalled_at
            server.process.kill()
            output.resume_reading()
            return peak - before, more

    growth, more = asyncio.run(main())
    assert growth < 40
    assert more == 0


def resident_mb(pid: int) -> int:
    told = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, check=True)
    return int(told.stdout) // 1024


@pytest.mark.parametrize(
    ("closed", "status", "told"),
    [
        ("<&-", 0, ""),  # the end of its input
        (">&-", 1, "Error: Standard output is closed: nobody could read the answers\n"),
        ("2>&-", 0, ""),
        (">&- 2>&-", 1, ""),
        *([("2>/dev/full", 0, "")] if os.path.exists("/dev/full") else []),
    ],
    ids=lambda value: value if "&" in str(value) else "",
)
def test_standard_streams_may_be_closed(agent_dir, project, closed, status, told):
    """Nothing else gets their numbers, and what nobody takes of its warnings is dropped."""
    (agent_dir / "settings.json").write_text("{")  # a warning, after that of no model
    server = f"exec '{sys.executable}' -m pi_sdk.rpc --no-session --thinking bogus {closed}"
    done = subprocess.run(
        ["sh", "-c", server],
        input=b'{"id":1,"type":"get_commands"}\n',
        capture_output=True,
        cwd=project,
        env={**os.environ, "PI_CODING_AGENT_DIR": str(agent_dir)},
        timeout=15,
        check=False,
    )
    answered = b'{"id":1,"type":"response","command":"get_commands","success":true,'
    assert done.returncode == status, done.stderr
    assert done.stdout.startswith(answered) if "2>" in closed and not status else not done.stdout
    if told:
        assert done.stderr.decode() == told


def test_files_serve_as_standard_streams(fake, agent_dir, project, write_models, tmp_path):
    async def main() -> tuple[int, list[dict[str, Any]]]:
        async with fake:
            write_models({"fake": fake.config()})
            (tmp_path / "in").write_bytes(b'{"id":1,"type":"get_state"}\n{"id":2,"type":"abort"}')
            with open(tmp_path / "in", "rb") as stdin, open(tmp_path / "out", "wb") as stdout:
                process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", "pi_sdk.rpc", "--no-session"),
                    stdin=stdin,
                    stdout=stdout,
                    cwd=project,
                    env={**os.environ, "PI_CODING_AGENT_DIR": str(agent_dir)},
                )
                status = await asyncio.wait_for(process.wait(), 10)
        lines = (tmp_path / "out").read_bytes().splitlines()
        return status, [json.loads(line) for line in lines]

    status, records = asyncio.run(main())
    assert status == 0
    assert [(r["id"], r["success"]) for r in records] == [(1, True), (2, True)]
