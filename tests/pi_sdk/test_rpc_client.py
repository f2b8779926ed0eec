"""The commands of RpcClient, and what a stand-in answers: rpc spec, sections 5 and 12."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, TypeAlias

import pytest

from pi_ai import ImageContent
from pi_sdk import (
    ForkPoint,
    ForkResult,
    ModelCycle,
    ReplaceResult,
    RpcClient,
    RpcError,
    RpcProcessError,
    RpcTimeoutError,
)
from pi_sdk.rpc_requests import Command
from pi_sdk.rpc_types import _REFUSED, CommandError, read_command
from pi_session.entries import ModelChangeEntry
from pi_tools import UserBashResult
from support import rpc_stand_in as wire
from support.rpc_clients import run

IMAGE = ImageContent("aGk=", "image/png")

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
            isinstance(t, ModelCycle)
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
            t == UserBashResult(output="out\nerr\n", exit_code=3, cancelled=False, truncated=False)
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
        lambda t: t == [ForkPoint(entry_id="5deacec0", text="first prompt")],
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
        if name in _REFUSED:
            with pytest.raises(CommandError, match="not supported"):
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


def test_rpc_check_54_every_method_raises_what_the_server_refuses_with():
    rows = [
        *COMMANDS,
        ("prompt", ("hi",), {}, {}, None),
        ("prompt_and_wait", ("hi",), {}, {}, None),
        ("abort_retry", (), {}, {}, None),
        ("wait_for_idle", (), {}, {}, None),
    ]
    commands = {kind.type for kind in Command.__args__} | set(_REFUSED)
    assert commands <= {name for name, *_ in rows}

    async def main(client: RpcClient) -> None:
        for name, args, options, *_ in rows:
            asked = {"prompt_and_wait": "prompt", "wait_for_idle": "get_state"}.get(name, name)
            with pytest.raises(RpcError) as raised:
                await getattr(client, name)(*args, **options)
            assert (raised.value.command, raised.value.error) == (asked, f"no {asked} today")

    run(main, "--refuse")


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


def test_half_a_surrogate_pair_in_an_answer_is_read(tmp_path):
    (tmp_path / "data").write_text('{"text":"\\ud83d"}')
    found = run(
        lambda client: client.get_last_assistant_text(),
        *("--answer", "get_last_assistant_text", str(tmp_path / "data")),
    )
    assert found == "\ud83d"


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
