"""RpcClient with a stand-in that speaks the whole protocol: rpc spec, sections 5, 10 and 11."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import pytest

from pi_ai import ImageContent, TextContent, ThinkingContent, ToolCall
from pi_sdk import (
    AgentSettledEvent,
    BashResult,
    CycledModel,
    EventsLostEvent,
    ForkMessage,
    ForkResult,
    ReplaceResult,
    RpcClient,
    RpcError,
    RpcEvent,
    RpcProcessError,
    RpcTimeoutError,
    ThinkingLevelChangedEvent,
    UnknownEvent,
    rpc_child,
    rpc_connection,
)
from pi_sdk.rpc_types import _REFUSED, UNBUILT_COMMANDS, CommandError, read_command
from pi_session.entries import ModelChangeEntry
from support import rpc_stand_in as wire

STAND_IN = [sys.executable, "-S", wire.__file__]
IMAGE = ImageContent("aGk=", "image/png")


def stand_in(*args: str, **options: Any) -> RpcClient:
    return RpcClient(STAND_IN, args=args, **options)


def run(main: Callable[[RpcClient], Awaitable[Any]], *args: str, **options: Any) -> Any:
    """What `main` gives, called with a started client."""

    async def all_of_it() -> Any:
        async with asyncio.timeout(15), stand_in(*args, **options) as client:
            return await main(client)

    return asyncio.run(all_of_it())


# --- commands ---------------------------------------------------------------------------------

Row: TypeAlias = tuple[str, tuple[Any, ...], dict[str, Any], dict[str, Any], Callable[[Any], Any]]
"""A method, its arguments, its options, the fields that are sent, and whether the result fits."""

COMMANDS: list[Row] = [
    ("steer", ("s", [IMAGE]), {}, {"message": "s", "images": 1}, lambda told: told == "queued"),
    ("follow_up", ("f",), {}, {"message": "f"}, lambda told: told == "queued"),
    ("abort", (), {}, {}, lambda told: told is None),
    ("clear_queue", (), {}, {}, lambda t: (t.steering, t.follow_up) == (["s1", "s2"], ["f1"])),
    (
        "get_state",
        (),
        {},
        {},
        lambda t: (t.model.id, t.thinking_level, t.follow_up_mode) == ("m1", "medium", "all"),
    ),
    ("get_messages", (), {}, {}, lambda t: [m.role for m in t] == ["user", "bashExecution"]),
    (
        "set_model",
        ("fake", "m1"),
        {},
        {"provider": "fake", "modelId": "m1"},
        lambda t: (t.id, t.context_window) == ("m1", 128_000),
    ),
    (
        "cycle_model",
        (),
        {},
        {},
        lambda t: (
            isinstance(t, CycledModel)
            and (t.model.id, t.thinking_level, t.is_scoped) == ("m1", "low", True)
        ),
    ),
    ("get_available_models", (), {}, {}, lambda t: [m.id for m in t] == ["m1"]),
    ("set_thinking_level", ("max",), {}, {"level": "max"}, lambda t: t is None),
    ("cycle_thinking_level", (), {}, {}, lambda t: t == "high"),
    ("get_available_thinking_levels", (), {}, {}, lambda t: t == ["off", "high"]),
    ("set_steering_mode", ("all",), {}, {"mode": "all"}, lambda t: t is None),
    (
        "set_follow_up_mode",
        ("one-at-a-time",),
        {},
        {"mode": "one-at-a-time"},
        lambda t: t is None,
    ),
    ("set_auto_compaction", (False,), {}, {"enabled": False}, lambda t: t is None),
    ("set_auto_retry", (True,), {}, {"enabled": True}, lambda t: t is None),
    (
        "compact",
        ("Focus",),
        {},
        {"customInstructions": "Focus"},
        lambda t: (t.summary, t.tokens_before, t.usage.cost.total) == ("SUMMARY TEXT", 110, 0.5),
    ),
    (
        "bash",
        ("make",),
        {"exclude_from_context": True},
        {"command": "make", "excludeFromContext": True},
        lambda t: (
            t == BashResult(output="out\nerr\n", exit_code=3, cancelled=False, truncated=False)
        ),
    ),
    ("bash", ("make",), {}, {"command": "make"}, lambda t: t.exit_code == 3),
    ("abort_bash", (), {}, {}, lambda t: t is None),
    (
        "new_session",
        ("/p.jsonl",),
        {},
        {"parentSession": "/p.jsonl"},
        lambda t: t == ReplaceResult(cancelled=False),
    ),
    (
        "switch_session",
        ("/s.jsonl",),
        {},
        {"sessionPath": "/s.jsonl"},
        lambda t: t == ReplaceResult(cancelled=True),
    ),
    (
        "fork",
        ("5148a815",),
        {},
        {"entryId": "5148a815"},
        lambda t: t == ForkResult(text="second prompt", cancelled=False),
    ),
    ("clone", (), {}, {}, lambda t: t == ReplaceResult(cancelled=False)),
    (
        "get_fork_messages",
        (),
        {},
        {},
        lambda t: t == [ForkMessage(entry_id="5deacec0", text="first prompt")],
    ),
    (
        "get_entries",
        (),
        {},
        {},
        lambda t: (
            isinstance(t.entries[0].view, ModelChangeEntry)
            and [entry.raw for entry in t.entries] == [wire.FIRST, wire.SECOND]
            and t.leaf_id == "1d677e2c"
        ),
    ),
    (
        "get_entries",
        ("1d677e2c",),
        {},
        {"since": "1d677e2c"},
        lambda t: (t.entries, t.leaf_id) == ([], None),
    ),
    (
        "get_tree",
        (),
        {},
        {},
        lambda t: (
            (t.tree[0].label, t.tree[0].label_timestamp) == ("start", wire.TIME)
            and t.tree[0].children[0].entry.raw == wire.SECOND
            and t.tree[0].children[0].children == []
            and t.leaf_id == "1d677e2c"
        ),
    ),
    (
        "get_session_stats",
        (),
        {},
        {},
        lambda t: (t.tokens.total, t.cost, t.context_usage.tokens) == (110, 0.00012, None),
    ),
    ("get_last_assistant_text", (), {}, {}, lambda t: t is None),
    ("set_session_name", ("n",), {}, {"name": "n"}, lambda t: t is None),
    (
        "export_html",
        ("o.html",),
        {},
        {"outputPath": "o.html"},
        lambda t: t == "pi-session-s.html",
    ),
    (
        "get_commands",
        (),
        {},
        {},
        lambda t: [(c.name, c.source) for c in t] == [("mcp", "extension")],
    ),
]


@pytest.fixture(scope="module")
def conversation() -> list[tuple[Any, dict[str, Any]]]:
    """What each command of the table gave, and the record that was received."""

    async def main(client: RpcClient) -> list[tuple[Any, dict[str, Any]]]:
        results = [
            await getattr(client, name)(*args, **options) for name, args, options, _, _ in COMMANDS
        ]
        told = await client._request("abort_retry", {}, timed=True)
        received = json.loads(bytes(told.data))["received"]
        return list(zip(results, received[1:], strict=False))

    return run(main)


@pytest.mark.parametrize(
    "number", range(len(COMMANDS)), ids=[f"{row[0]}-{len(row[1])}" for row in COMMANDS]
)
def test_a_command_is_sent_as_the_protocol_has_it_and_its_result_is_typed(conversation, number):
    name, _, _, fields, expected = COMMANDS[number]
    result, record = conversation[number]
    record = dict(record)
    assert expected(result), result
    assert record.pop("id") == f"req_{number + 2}"  # after the question whether it is up
    assert record.pop("type") == name
    if "images" in record:
        record["images"] = len(record["images"])
    assert record == fields


def test_every_command_is_one_that_our_server_reads(conversation):
    for (name, *_), (_, record) in zip(COMMANDS, conversation, strict=True):
        line = json.dumps({"type": name, **record}).encode()
        if name in UNBUILT_COMMANDS or name in _REFUSED:
            with pytest.raises(CommandError, match=r"not available|not supported"):
                read_command(line)
        else:
            command = read_command(line)
            assert command is not None
            assert command.type == name


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda c: c.set_session_name("  "), "Session name cannot be empty"),
        (lambda c: c.compact(), "Already compacted"),
        (lambda c: c.get_entries("nope"), "Entry not found: nope"),
        (lambda c: c.prompt("refuse"), "No model selected."),
        (lambda c: c.prompt_and_wait("refuse"), "No model selected."),
    ],
    ids=["without a result", "compact", "with a result", "prompt", "prompt and wait"],
)
def test_rpc_check_54_a_refusal_is_raised(call, error):
    async def main(client: RpcClient) -> RpcError:
        with pytest.raises(RpcError) as raised:
            await call(client)
        assert not isinstance(raised.value, RpcTimeoutError | RpcProcessError)
        return raised.value

    raised = run(main)
    assert raised.error == error
    assert str(raised) == f"{raised.command} failed: {error}"


@pytest.mark.parametrize(
    ("command", "data"),
    [
        ("get_messages", '{"messages":[{"role":"alien"}]}'),
        ("get_session_stats", ""),
        ("get_session_stats", "null"),
        ("get_tree", '{"tree":[{"entry":7}],"leafId":null}'),
        ("get_tree", ""),
    ],
    ids=["unknown role", "no data", "null", "entry that is none", "no tree"],
)
def test_an_answer_of_another_shape_is_an_error(command, data, tmp_path):
    (tmp_path / "data").write_text(data)

    async def main(client: RpcClient) -> None:
        with pytest.raises(RpcError, match=f"{command} failed: The server's answer cannot be"):
            await getattr(client, command)()

    run(main, "--answer", command, str(tmp_path / "data"))


def test_a_tree_as_deep_as_a_long_session_is_read(tmp_path):
    depth = 3000
    node = json.dumps({"entry": wire.FIRST, "children": []})[:-2]
    tree = node * depth + "]}" * depth
    (tmp_path / "data").write_text(f'{{"tree":[{tree}],"leafId":null}}')

    async def main(client: RpcClient) -> int:
        nodes, levels = (await client.get_tree()).tree, 0
        while nodes:
            nodes, levels = nodes[0].children, levels + 1
        return levels

    assert run(main, "--answer", "get_tree", str(tmp_path / "data")) == depth


def test_what_bash_prints_goes_to_the_call_that_asked():
    async def main(client: RpcClient) -> tuple[list[str], list[str]]:
        one: list[str] = []
        two: list[str] = []
        await asyncio.gather(client.bash("a", on_output=one.append), client.bash("b"))
        await client.bash("c", on_output=two.append)
        return one, two

    assert run(main) == (["out\n", "err\n"], ["out\n", "err\n"])


# --- runs and their events --------------------------------------------------------------------


def test_an_answer_arrives_as_typed_events():
    async def main(client: RpcClient) -> list[RpcEvent]:
        heard: list[RpcEvent] = []
        client.on_event(heard.append)
        events = await client.prompt_and_wait("answer", [IMAGE])
        assert events == heard
        return events

    events = run(main)
    assert events[-1] == AgentSettledEvent()
    updates = [event for event in events if event.type == "message_update"]
    assert updates[3].message.content == [ThinkingContent("hm"), TextContent("Hel")]
    (end,) = [event for event in events if event.type == "message_end"]
    assert end.message.content == [
        ThinkingContent("hm, so", "s"),
        TextContent("Hello"),
        ToolCall("call_2", "bash", {"command": "echo"}),
    ]


@pytest.mark.parametrize(
    ("message", "expected"),
    [("handled", []), ("settle", [])],
    ids=["handled by an extension", "queued"],
)
def test_a_prompt_that_starts_no_run_is_not_waited_for(message, expected):
    assert run(lambda client: client.prompt_and_wait(message)) == expected


def test_idle_is_seen_whether_it_came_before_or_comes_later():
    async def main(client: RpcClient) -> list[bool]:
        await client.wait_for_idle()  # nothing ever ran: no event will come
        await client.prompt_and_wait("answer")
        await client.wait_for_idle()
        await client.prompt("hang")
        waiting = [
            asyncio.ensure_future(client.wait_for_idle()),
            asyncio.ensure_future(client.collect_events()),
        ]
        await client.get_state()  # says that nothing runs, but a prompt was accepted
        before = [task.done() for task in waiting]
        await client.prompt("settle")
        await asyncio.gather(*waiting)
        return before

    assert run(main) == [False, False]


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda c: c.wait_for_idle(0.05), "Timeout waiting for the agent to settle. Stderr: "),
        (lambda c: c.collect_events(0.05), "Timeout waiting for the agent to settle. Stderr: "),
        (
            lambda c: c.prompt_and_wait("silence", timeout=0.05),
            "Timeout waiting for the agent to settle. Stderr: ",
        ),
    ],
    ids=["idle", "collect", "prompt and wait"],
)
def test_a_wait_that_takes_too_long_is_an_error(call, text):
    async def main(client: RpcClient) -> str:
        await client.prompt("hang")
        with pytest.raises(RpcTimeoutError) as raised:
            await call(client)
        assert isinstance(raised.value, TimeoutError)
        return str(raised.value)

    assert run(main) == text


def test_a_reader_that_does_not_read_stalls_nothing_and_holds_little():
    async def main(client: RpcClient) -> list[RpcEvent]:
        idle = client.events(max_waiting=10)
        events = await client.prompt_and_wait("flood 20000")
        assert len(events) == 20_001
        assert (await client.get_state()).session_id == "01a202c1"
        return [await anext(idle) for _ in range(11)]

    held = run(main)
    assert held == [
        EventsLostEvent(19_991),
        *(ThinkingLevelChangedEvent(str(number)) for number in range(19_991, 20_000)),
        AgentSettledEvent(),
    ]


def test_an_iterator_ends_with_the_client():
    async def main() -> list[RpcEvent]:
        client = stand_in()
        events = client.events()  # before the start counts
        async with client:
            await client.prompt("answer")
        return [event async for event in events]

    assert asyncio.run(main())[-1] == AgentSettledEvent()


# --- lines that are no protocol ---------------------------------------------------------------


def test_garbage_between_records_harms_nothing():
    lines = [
        "",
        "   ",
        "Traceback (most recent call last):",
        "null",
        "[1]",
        "{}",
        '{"type":7}',
        '{"type":"from_the_future","x":1}',
        '{"type":"response","command":"parse","success":false,"error":"Failed to parse"}',
        '{"id":"req_99","type":"response","command":"abort","success":true}',
        '{"type":"queue_update","steering":["\u2028\u0085"],"followUp":[]}\r',
        "\udcff\udcfe",
    ]

    async def main(client: RpcClient) -> list[RpcEvent]:
        events = await client.prompt_and_wait("raw " + "\n".join(lines) + "\n")
        await client.get_state()
        return events

    told = run(main)
    assert [(e.type, getattr(e, "raw", None)) for e in told] == [
        ("from_the_future", {"type": "from_the_future", "x": 1}),
        ("response", {"command": "parse", "success": False, "error": "Failed to parse"}),
        ("response", {"command": "abort", "success": True, "id": "req_99"}),
        ("queue_update", None),
        ("agent_settled", None),
    ]
    assert told[3].steering == ["\u2028\u0085"]


def test_a_line_without_an_end_is_not_collected_for_ever(monkeypatch):
    monkeypatch.setattr(rpc_child, "_MAX_LINE_BYTES", 100_000)

    async def main(client: RpcClient) -> RpcProcessError:
        with pytest.raises(RpcProcessError) as raised:
            await client.prompt("line 1000000")
        return raised.value

    raised = run(main)
    assert raised.signal == "SIGKILL"
    assert "Killed: a line of more than 100000 bytes" in raised.stderr


# --- time limits and cancellation -------------------------------------------------------------


def test_a_request_without_an_answer_times_out_and_those_that_may_take_long_do_not():
    async def main(client: RpcClient) -> str:
        client._request_timeout = 0.05  # after the start, which may take longer
        patient = asyncio.ensure_future(client.prompt("silence"))
        with pytest.raises(RpcTimeoutError) as raised:
            await client._request("extension_ui_response", {}, timed=True)
        await asyncio.sleep(0.1)
        assert not patient.done()
        patient.cancel()
        assert raised.value.command == "extension_ui_response"
        return str(raised.value)

    text = run(main)
    assert text == "Timeout waiting for response to extension_ui_response. Stderr: "


@pytest.mark.parametrize("timeout", [None, 0])
def test_no_time_limit(timeout):
    assert run(lambda client: client.get_last_assistant_text(), request_timeout=timeout) is None


def test_cancelling_a_request_leaves_the_client_as_it_was():
    async def main(client: RpcClient) -> None:
        for call in (client.prompt("silence"), client.bash("make"), client.get_messages()):
            task = asyncio.ensure_future(call)
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert await client.get_available_thinking_levels() == ["off", "high"]
        assert client._connection is not None
        assert client._connection._pending == {}

    run(main)


# --- dialogs of extensions --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "answer", "sent"),
    [
        ("select", None, {"cancelled": True}),
        ("input", "text", {"value": "text"}),
        ("confirm", False, {"confirmed": False}),
        ("confirm", True, {"confirmed": True}),
        ("editor", ValueError("mine"), {"cancelled": True}),
    ],
)
@pytest.mark.parametrize("waits", [False, True], ids=["plain", "async"])
def test_dialogs_are_answered(method, answer, sent, waits, caplog):
    asked: list[tuple[str, str | None]] = []

    def plain(request: Any) -> Any:
        asked.append((request.method, request.title))
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def later(request: Any) -> Any:
        await asyncio.sleep(0)
        return plain(request)

    caplog.set_level(logging.CRITICAL)
    assert answered(method, on_dialog=later if waits else plain) == sent
    assert asked == [(method, "Sure?")]  # and not the notification before it


def test_dialogs_are_cancelled_if_nobody_answers():
    assert answered("input") == {"cancelled": True}


def answered(method: str, **options: Any) -> dict[str, Any]:
    """What the stand-in was sent after it opened a dialog."""

    async def main(client: RpcClient) -> Any:
        events = client.events()
        await client.prompt(f"dialog {method}")
        async for event in events:
            if isinstance(event, UnknownEvent):
                return event.raw["answer"]

    record = run(main, **options)
    assert (record.pop("type"), record.pop("id")) == ("extension_ui_response", "u1")
    return record


# --- the end of the server --------------------------------------------------------------------


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


def pid_of(client: RpcClient) -> int:
    assert client._connection is not None
    child = client._connection._child
    assert child is not None
    assert child._transport is not None
    return child._transport.get_pid()


def assert_gone(pid: int) -> None:
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
