"""RPC commands about compaction, retries and shell commands, over lines in memory.

Source: rpc spec, sections 5.3, 7 and 12.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from pi_ai.retry import RetryPolicy
from pi_sdk.session_settings import SessionSettings
from pi_session import CompactionSettings
from support.rpc_wire import Wire, serve

SMALL = SessionSettings(compaction=CompactionSettings(enabled=True, keep_recent_tokens=50))
LONG = "word " * 200


def retrying(base_delay_ms: float) -> SessionSettings:
    return SessionSettings(retry=RetryPolicy(max_retries=2, base_delay_ms=base_delay_ms))


async def prompted(wire: Wire, text: str) -> None:
    settled = len(wire.of("agent_settled"))
    await wire.ask("prompt", message=text)
    await wire.saw("agent_settled", settled + 1)


def at(wire: Wire, record: dict[str, Any]) -> int:
    return wire.records.index(record)


# --- compaction -------------------------------------------------------------------------------


def test_rpc_check_31_compaction_by_hand(fake, project, answer):
    """T5."""

    async def talk(wire: Wire) -> None:
        refused = await wire.ask("compact")
        assert refused["error"] == "Nothing to compact (session too small)"
        for _ in range(3):
            await prompted(wire, LONG)
        fake.answers = [answer(("SUMMARY TEXT",))]
        response = await wire.ask("compact", customInstructions="Focus here")
        data = response["data"]
        assert data["summary"] == "SUMMARY TEXT"
        assert list(data) == [
            "summary",
            "firstKeptEntryId",
            "tokensBefore",
            "estimatedTokensAfter",
            "usage",
            "details",
        ]
        assert data["details"] == {"readFiles": [], "modifiedFiles": []}
        assert "Focus here" in json.dumps(fake.bodies[-1]["messages"])
        again = await wire.ask("compact")
        assert again["error"] == "Already compacted"
        stats = (await wire.ask("get_session_stats"))["data"]
        assert stats["contextUsage"]["tokens"] is None

    wire = serve(fake, project, talk, session_settings=SMALL)
    assert wire.of("compaction_start") == [{"type": "compaction_start", "reason": "manual"}] * 3
    responses = wire.responses("compact")
    failed = {"type": "compaction_end", "reason": "manual", "aborted": False, "willRetry": False}
    ends = wire.of("compaction_end")
    texts = ["Nothing to compact (session too small)", "Already compacted"]
    assert [ends[0], ends[2]] == [
        {**failed, "errorMessage": f"Compaction failed: {text}"} for text in texts
    ]
    assert ends[1] == {**failed, "result": responses[1]["data"]}
    for end, response in zip(ends, responses, strict=True):
        assert at(wire, end) < at(wire, response)


def test_rpc_check_32_prompting_and_steering_while_a_summary_is_written(fake, project, answer):
    hold = asyncio.Event()

    async def talk(wire: Wire) -> None:
        for _ in range(3):
            await prompted(wire, LONG)
        fake.answers = [answer(hold=hold)]
        wire.send({"id": "c", "type": "compact"})
        await wire.saw("compaction_start")
        assert (await wire.ask("get_state"))["data"]["isCompacting"] is True
        refused = await wire.ask("prompt", message="now")
        assert refused["error"] == (
            "Cannot submit a prompt while compaction is in progress. "
            "Wait for compaction to finish and retry."
        )
        assert (await wire.ask("steer", message="s"))["data"] == {"disposition": "queued"}
        hold.set()
        assert (await wire.response("c"))["success"]
        state = (await wire.ask("get_state"))["data"]
        assert (state["isCompacting"], state["pendingMessageCount"]) == (False, 1)

    serve(fake, project, talk, session_settings=SMALL)


def test_an_abort_cancels_a_compaction_which_is_answered_first(fake, project, answer):
    async def talk(wire: Wire) -> None:
        for _ in range(3):
            await prompted(wire, LONG)
        fake.answers = [answer(hold=asyncio.Event())]
        wire.send({"id": "cc", "type": "compact"})
        await wire.saw("compaction_start")
        wire.send({"id": "aa", "type": "abort"})
        await wire.response("aa")

    records = serve(fake, project, talk, session_settings=SMALL).records
    assert records[-3:] == [
        {"type": "compaction_end", "reason": "manual", "aborted": True, "willRetry": False},
        {
            "id": "cc",
            "type": "response",
            "command": "compact",
            "success": False,
            "error": "Compaction cancelled",
        },
        {"id": "aa", "type": "response", "command": "abort", "success": True},
    ]


def test_prompt_and_compact_in_one_write_abort_the_run_first(fake, project, answer):
    async def talk(wire: Wire) -> None:
        for _ in range(3):
            await prompted(wire, LONG)
        wire.send({"id": "p", "type": "prompt", "message": "A"}, {"id": "c", "type": "compact"})
        assert (await wire.response("c"))["success"]

    wire = serve(fake, project, talk, session_settings=SMALL)
    (settled,) = [r for r in wire.of("agent_settled") if r["aborted"]]
    assert at(wire, wire.responses("p")[0]) < at(wire, settled)
    assert at(wire, settled) < at(wire, {"type": "compaction_start", "reason": "manual"})


# --- retries ----------------------------------------------------------------------------------


def test_rpc_check_33_a_failed_answer_is_asked_for_again(fake, project, answer):
    """T4."""
    fake.answers = [answer(status=503)]

    async def talk(wire: Wire) -> None:
        await prompted(wire, "A")

    wire = serve(fake, project, talk, session_settings=retrying(20))
    kinds = [record["type"] for record in wire.records]
    told = kinds[kinds.index("agent_end") :]
    assert told[:4] == ["agent_end", "auto_retry_start", "entry_appended", "agent_start"]
    assert [end["willRetry"] for end in wire.of("agent_end")] == [True, False]
    (start,) = wire.of("auto_retry_start")
    assert (start["attempt"], start["maxAttempts"], start["delayMs"]) == (1, 2, 20)
    (hidden,) = wire.of("entry_appended")
    assert (hidden["entry"]["type"], hidden["entry"]["replacement"]) == ("context_edit", None)
    end = {"type": "auto_retry_end", "success": True, "attempt": 1}
    assert wire.of("auto_retry_end") == [end]
    assert kinds[at(wire, end) + 1] == "turn_end"
    assert kinds.count("agent_settled") == 1


def test_rpc_check_33_a_retry_that_is_given_up(fake, project, answer):
    fake.answers = [answer(status=503)]

    async def talk(wire: Wire) -> None:
        await wire.ask("prompt", message="A")
        await wire.saw("auto_retry_start")
        assert (await wire.ask("get_state"))["data"]["isStreaming"] is True
        await wire.ask("abort_retry")
        await wire.saw("agent_settled")
        await wire.ask("abort_retry")  # nothing waits

    wire = serve(fake, project, talk, session_settings=retrying(60_000))
    (end,) = wire.of("auto_retry_end")
    assert (end["success"], end["finalError"]) == (False, "Retry cancelled")
    assert wire.of("agent_settled") == [{"type": "agent_settled", "aborted": False}]
    assert len(fake.bodies) == 1


def test_rpc_check_34_without_retries_a_failure_is_the_end(fake, project, answer):
    fake.answers = [answer(status=503)]

    async def talk(wire: Wire) -> None:
        await wire.ask("set_auto_retry", enabled=False)
        await prompted(wire, "A")

    wire = serve(fake, project, talk, session_settings=retrying(20))
    assert not wire.of("auto_retry_start") + wire.of("auto_retry_end")
    assert [end["willRetry"] for end in wire.of("agent_end")] == [False]


# --- shell commands ---------------------------------------------------------------------------


def test_rpc_check_35_a_shell_command_and_its_output(fake, project):
    """T7."""

    async def talk(wire: Wire) -> None:
        response = await wire.ask("bash", command="echo out; echo err >&2; exit 3")
        assert response["data"] == {
            "output": "out\nerr\n",
            "exitCode": 3,
            "cancelled": False,
            "truncated": False,
        }
        refused = await wire.ask("bash")
        assert refused["error"] == "Invalid bash: command is missing"

    wire = serve(fake, project, talk)
    *updates, _, _ = wire.records
    assert "".join(update["delta"] for update in updates) == "out\nerr\n"
    for update in updates:
        assert set(update) == {"type", "id", "delta"}
        assert (update["type"], update["id"]) == ("bash_execution_update", "bash")


def test_rpc_check_35_commands_side_by_side_until_they_are_aborted(fake, project):
    ids = ["b1", 7, {"a": 1}, None]

    async def talk(wire: Wire) -> None:
        wire.send(
            *(
                {"id": i, "type": "bash", "command": f"echo {n}; sleep 30"}
                for n, i in enumerate(ids)
            )
        )
        await wire.saw("bash_execution_update", 4)
        assert (await wire.ask("get_state"))["success"]  # nothing is held up
        await wire.ask("abort_bash")
        for number, record_id in enumerate(ids):
            assert (await wire.response(record_id))["data"] == {
                "output": f"{number}\n",
                "cancelled": True,
                "truncated": False,
            }

    wire = serve(fake, project, talk)
    for number, record_id in enumerate(ids):
        (update,) = [u for u in wire.of("bash_execution_update") if u["id"] == record_id]
        assert update["delta"] == f"{number}\n"
        assert at(wire, update) < at(wire, wire.responses(record_id)[0])


def test_rpc_check_35_long_output_is_told_whole_and_answered_with_its_end(fake, project):
    async def talk(wire: Wire) -> None:
        data = (await wire.ask("bash", command="seq 1 5000"))["data"]
        assert data["truncated"] is True
        assert len(data["output"].splitlines()) == 2000
        with open(data["fullOutputPath"], encoding="utf-8") as file:
            assert file.read().splitlines() == [str(n) for n in range(1, 5001)]

    wire = serve(fake, project, talk)
    told = "".join(update["delta"] for update in wire.of("bash_execution_update"))
    assert told.splitlines() == [str(n) for n in range(1, 5001)]


def test_rpc_check_36_output_without_an_id(fake, project):
    async def talk(wire: Wire) -> None:
        wire.send({"type": "bash", "command": "echo hi"})
        await wire.saw("response")

    assert serve(fake, project, talk).of("bash_execution_update") == [
        {"type": "bash_execution_update", "delta": "hi\n"}
    ]


@pytest.mark.parametrize("excluded", [False, True])
def test_rpc_check_37_what_the_model_is_told_of_a_command(fake, project, excluded):
    async def talk(wire: Wire) -> None:
        await wire.ask("bash", command="echo marker", excludeFromContext=excluded)
        (message,) = (await wire.ask("get_messages"))["data"]["messages"]
        assert (message["role"], message["output"]) == ("bashExecution", "marker\n")
        assert message.get("excludeFromContext") is (True if excluded else None)
        await prompted(wire, "A")

    serve(fake, project, talk)
    sent = json.dumps(fake.bodies[0]["messages"])
    assert ("Ran `echo marker`" in sent) is not excluded


def test_replacing_the_session_stops_its_commands(fake, project):
    async def talk(wire: Wire) -> None:
        wire.send({"id": "b", "type": "bash", "command": "echo a; sleep 30"})
        await wire.saw("bash_execution_update")
        await wire.ask("new_session")
        assert (await wire.response("b"))["data"]["cancelled"] is True

    serve(fake, project, talk)


def test_the_end_of_input_stops_commands(fake, project):
    async def talk(wire: Wire) -> None:
        wire.send({"id": "b", "type": "bash", "command": "echo a; sleep 30"})
        await wire.saw("bash_execution_update")

    (response,) = serve(fake, project, talk).responses("b")
    assert response["data"]["cancelled"] is True


# --- numbers ----------------------------------------------------------------------------------


def test_rpc_check_45_counts_tokens_and_cost(fake, project):
    async def talk(wire: Wire) -> None:
        await prompted(wire, "A")
        data = (await wire.ask("get_session_stats"))["data"]
        assert data.pop("sessionId")
        assert data.pop("cost") == pytest.approx(100 * 1e-6 + 10 * 2e-6)
        assert data.pop("contextUsage")["tokens"] == 110
        assert data == {
            "userMessages": 1,
            "assistantMessages": 1,
            "toolCalls": 0,
            "toolResults": 0,
            "totalMessages": 3,
            "tokens": {
                "input": 100,
                "output": 10,
                "cacheRead": 0,
                "cacheWrite": 0,
                "total": 110,
            },
        }
        forks = (await wire.ask("get_fork_messages"))["data"]["messages"]
        assert [list(fork) for fork in forks] == [["entryId", "text"]]
        assert forks[0]["text"] == "A"

    serve(fake, project, talk)
